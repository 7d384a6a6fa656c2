//! When the log of the data base is moved into it. SQLite would do that by itself, and say nothing when it fails: the log would
//! grow, and each commit would try again from its beginning; and who commits would wait for all of it.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::hooks::Wal;

use super::log_mover::{LogMover, MoveProgress, move_what_is_free};
use super::schema;

/// Pages in the log from which on it is moved. The more there are, the more of them are there several times, of which only the
/// last is moved.
const PAGES: i32 = 12_000;
/// Pages that the writer moves itself at most, so that the log can begin anew; also by how much a log has grown that could not
/// begin anew because somebody reads, when it is worth another look.
const REST: i32 = PAGES / 8;
/// Pages with which the writer waits for a move that is under way: the log is bounded.
const MOST: i32 = 2 * PAGES;
/// Octets that the file of the log keeps when it begins anew: so it need not grow again each time.
const KEPT_OCTETS: i64 = (PAGES + REST) as i64 * 4_096;
/// How long nothing is tried after a failure; it doubles with each that follows.
const PAUSE: Duration = Duration::from_secs(10);
/// The longest of these.
const LONGEST: Duration = Duration::from_mins(5);

/// Moves the log when it has grown, and knows whether that works.
pub(super) struct Checkpoints {
    /// In the log, as of the last commit.
    pages: Arc<AtomicI32>,
    /// Pages in the log when it was last moved.
    moved_at: Cell<i32>,
    /// Moves beside the writer; without it the writer does all.
    mover: Option<LogMover>,
    failing: Cell<Option<Failing>>,
    /// Whether the next one is to cut both files to what they need.
    truncates: Cell<bool>,
}

/// Since the last success each attempt has failed.
#[derive(Debug, Clone, Copy)]
struct Failing {
    again: Instant,
    pause: Duration,
}

/// What is worth a line in the log.
#[derive(Debug, PartialEq, Eq)]
enum CheckpointNews {
    Fails,
    WorksAgain,
}

impl Checkpoints {
    /// Takes the checkpoints of a connection over.
    pub(super) fn take_over(connection: &mut Connection) -> rusqlite::Result<Self> {
        connection.pragma_update(None, "journal_size_limit", KEPT_OCTETS)?;
        let pages = Arc::new(AtomicI32::new(0));
        let noted = pages.clone();
        connection.wal_hook(Some(move |_: &mut Wal, pages| {
            noted.store(pages, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self {
            pages,
            moved_at: Cell::new(0),
            mover: None,
            failing: Cell::new(None),
            truncates: Cell::new(false),
        })
    }

    /// From now on the log is moved beside the writer.
    pub(super) fn move_beside(&mut self, database: &Path) {
        self.mover = Some(LogMover::new(database));
    }

    /// Moves the log, if it is time. What was committed is durable in it, whether or not this works.
    pub(super) fn run(&self, connection: &Connection) {
        let now = Instant::now();
        let pages = self.pages.load(Ordering::Relaxed);
        let truncates = self.truncates.take();
        let is_moved = match self.progress(truncates || pages >= MOST) {
            MoveProgress::Moving => return,
            MoveProgress::Ended(moved) => {
                self.note(moved.as_ref().map(drop), now);
                moved.is_ok_and(|moved| pages - moved.pages <= REST)
            }
            MoveProgress::Idle => false,
        };
        if !self.is_due(now) {
            return;
        }
        if truncates {
            self.moved_at.set(0);
            self.note(truncate(connection).as_ref().copied(), now);
        } else if is_moved {
            self.move_here(connection, pages, now);
        } else if self.is_long(pages) {
            self.begin(connection, pages, now);
        }
    }

    /// Waits for a move that is under way: nobody else can move meanwhile.
    pub(super) fn wait(&self) {
        if let MoveProgress::Ended(moved) = self.progress(true) {
            self.note(moved.as_ref().map(drop), Instant::now());
        }
    }

    fn progress(&self, waits: bool) -> MoveProgress {
        self.mover.as_ref().map_or(MoveProgress::Idle, |mover| mover.progress(waits))
    }

    /// Whether it is worth a move.
    fn is_long(&self, pages: i32) -> bool {
        // A log that is shorter than it was has begun anew.
        let moved_at = Some(self.moved_at.get()).filter(|moved_at| *moved_at > 0 && *moved_at <= pages);
        pages >= PAGES && moved_at.is_none_or(|moved_at| pages - moved_at >= REST)
    }

    fn begin(&self, connection: &Connection, pages: i32, now: Instant) {
        self.moved_at.set(pages);
        if !self.mover.as_ref().is_some_and(LogMover::begin) {
            self.move_here(connection, pages, now);
        }
    }

    fn move_here(&self, connection: &Connection, pages: i32, now: Instant) {
        self.moved_at.set(pages);
        self.note(move_what_is_free(connection).as_ref().map(drop), now);
    }

    /// The next one cuts both files to what they need, if nobody reads then.
    pub(super) fn truncate_next(&self) {
        self.truncates.set(true);
    }

    /// Whether it may be tried.
    fn is_due(&self, now: Instant) -> bool {
        self.failing.get().is_none_or(|failing| now >= failing.again)
    }

    /// Notes what came of an attempt, and logs what is new.
    pub(super) fn note(&self, done: Result<(), &rusqlite::Error>, now: Instant) {
        match (self.learn(done.is_ok(), now), done) {
            (Some(CheckpointNews::Fails), Err(error)) => tracing::error!(
                event = "checkpoint_failed",
                reason = %error,
                effect = "mail is taken all the same, and queue.db-wal grows; it is tried again now and then",
                action = "see to the disk of data_dir: is it full, or broken?"
            ),
            (Some(CheckpointNews::WorksAgain), _) => {
                tracing::warn!(
                    event = "checkpoint_recovered",
                    reason = "queue.db-wal was moved into queue.db"
                );
            }
            _ => {}
        }
    }

    fn learn(&self, works: bool, now: Instant) -> Option<CheckpointNews> {
        let before = self.failing.get();
        let pause = before.map_or(PAUSE, |failing| (failing.pause * 2).min(LONGEST));
        self.failing.set((!works).then(|| Failing { again: now + pause, pause }));
        match (works, before) {
            (false, None) => Some(CheckpointNews::Fails),
            (true, Some(_)) => Some(CheckpointNews::WorksAgain),
            _ => None,
        }
    }
}

/// Moves all of it, and cuts the files. Nobody waits for readers: with one at work it is a passive one.
fn truncate(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::ZERO)?;
    let done = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    connection.busy_timeout(schema::BUSY)?;
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_once_and_tried_again_at_growing_intervals() {
        let dir = tempfile::tempdir().unwrap();
        let mut connection = Connection::open(dir.path().join("db")).unwrap();
        let checkpoints = Checkpoints::take_over(&mut connection).unwrap();
        let begun = Instant::now();
        let mut tried = Vec::new();
        // A commit each second, for half an hour.
        for second in 0..1_800 {
            let now = begun + Duration::from_secs(second);
            if checkpoints.is_due(now) {
                tried.push(second);
                let news = checkpoints.learn(false, now);
                assert_eq!(news, (second == 0).then_some(CheckpointNews::Fails), "{second}");
            }
        }
        assert_eq!(tried, [0, 10, 30, 70, 150, 310, 610, 910, 1_210, 1_510]);
        assert_eq!(checkpoints.learn(true, begun), Some(CheckpointNews::WorksAgain));
        assert!(checkpoints.is_due(begun));
        assert_eq!(checkpoints.learn(true, begun), None);
        assert_eq!(checkpoints.learn(false, begun), Some(CheckpointNews::Fails));
    }

    #[test]
    fn the_log_is_moved_when_it_has_grown() {
        let dir = tempfile::tempdir().unwrap();
        let mut db = Connection::open(dir.path().join("db")).unwrap();
        db.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x)").unwrap();
        let checkpoints = Checkpoints::take_over(&mut db).unwrap();
        let len = || std::fs::metadata(dir.path().join("db")).unwrap().len();
        let before = len();
        for pages in [100, PAGES] {
            db.execute("INSERT INTO t VALUES (zeroblob(?1))", [pages * 4096]).unwrap();
            assert_eq!(len(), before, "a commit alone moves nothing");
            checkpoints.run(&db);
        }
        assert!(len() > before + 4096 * u64::from(PAGES.unsigned_abs()));
        assert!(checkpoints.failing.get().is_none());
    }

    /// A data base whose log is moved beside it, and a commit of so many pages, after which the length of the log is told.
    fn beside(
        folder: &Path,
    ) -> (Connection, Checkpoints, impl Fn(&Connection, &Checkpoints, i32) -> i32 + use<>) {
        let path = folder.join("db");
        let mut db = Connection::open(&path).unwrap();
        db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA cache_size = -1000; CREATE TABLE t (x)").unwrap();
        let mut checkpoints = Checkpoints::take_over(&mut db).unwrap();
        checkpoints.move_beside(&path);
        let commit = |db: &Connection, checkpoints: &Checkpoints, pages: i32| {
            db.execute("INSERT INTO t VALUES (zeroblob(?1))", [pages * 4096]).unwrap();
            checkpoints.run(db);
            checkpoints.pages.load(Ordering::Relaxed)
        };
        (db, checkpoints, commit)
    }

    /// Commits go on while the most of the log is moved; what has come meanwhile is moved behind the commit that sees the end.
    fn begins_anew(commit: impl Fn() -> i32) {
        let begun = Instant::now();
        while commit() > PAGES {
            assert!(begun.elapsed() < Duration::from_mins(1), "it does not begin anew");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_log_that_was_moved_beside_the_writer_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let (db, checkpoints, commit) = beside(dir.path());
        for _ in 0..3 {
            assert!(commit(&db, &checkpoints, PAGES) > PAGES);
            begins_anew(|| commit(&db, &checkpoints, 1));
        }
        assert!(checkpoints.failing.get().is_none());
    }

    #[test]
    fn while_somebody_reads_it_is_tried_now_and_then_and_begins_anew_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let (db, checkpoints, commit) = beside(dir.path());
        let reader = Connection::open(dir.path().join("db")).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM t").unwrap();
        assert!(commit(&db, &checkpoints, PAGES) > PAGES);
        checkpoints.wait();
        let moved_at = checkpoints.moved_at.get();
        let mut pages = 0;
        while pages < moved_at + REST {
            assert_eq!(checkpoints.moved_at.get(), moved_at, "nothing has grown");
            pages = commit(&db, &checkpoints, REST / 4);
        }
        assert_eq!(checkpoints.moved_at.get(), pages);
        checkpoints.wait();
        reader.execute_batch("COMMIT").unwrap();
        commit(&db, &checkpoints, REST);
        begins_anew(|| commit(&db, &checkpoints, 1));
    }
}
