//! When the log of the data base is moved into it. SQLite would do that by itself, and say nothing when it fails: the log would
//! grow, and each commit would try again from its beginning.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::hooks::Wal;

use super::schema;

/// Pages in the log from which on it is moved.
const PAGES: i32 = 4_000;
/// How long nothing is tried after a failure; it doubles with each that follows.
const PAUSE: Duration = Duration::from_secs(10);
/// The longest of these.
const LONGEST: Duration = Duration::from_mins(5);

/// Moves the log when it has grown, and knows whether that works.
pub(super) struct Checkpoints {
    /// In the log, as of the last commit.
    pages: Arc<AtomicI32>,
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
        let pages = Arc::new(AtomicI32::new(0));
        let noted = pages.clone();
        connection.wal_hook(Some(move |_: &mut Wal, pages| {
            noted.store(pages, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self { pages, failing: Cell::new(None), truncates: Cell::new(false) })
    }

    /// Moves the log, if it is time. What was committed is durable in it, whether or not this works.
    pub(super) fn run(&self, connection: &Connection) {
        let now = Instant::now();
        let truncates = self.truncates.take();
        if !(truncates || self.pages.load(Ordering::Relaxed) >= PAGES) || !self.is_due(now) {
            return;
        }
        let done = if truncates { truncate(connection) } else { passive(connection) };
        self.note(done.as_ref().copied(), now);
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

/// Moves what no reader needs where it is.
fn passive(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
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
}
