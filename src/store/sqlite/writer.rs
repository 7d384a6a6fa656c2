//! The one writer: it gathers what many tasks want to write into one transaction and one sync.
//!
//! After a failed commit nothing is believed: the kernel may have dropped the pages that it could not write and report
//! the next sync as done. Only a checkpoint with `TRUNCATE` copies every page of the log anew and syncs it; until one
//! has succeeded each write is refused.

use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::ErrorCode;
use tokio::sync::oneshot;

use super::fault::database;
use super::job_queue::{JobQueue, Urgency};
use super::writing::{Mark, Writing};
use crate::metrics::WriteMeter;
use crate::store::StoreError;

/// Writes that share one commit at most.
const BATCH: usize = 256;
/// How often a broken store is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How the store runs its writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threading {
    /// On a thread of its own, so that many tasks share one commit. For the relay.
    Writer,
    /// On the caller's thread, each with its own commit. For programs that drive time themselves.
    Caller,
}

/// A write, and who waits for it.
trait WriteJob: Send {
    /// Runs it inside the transaction; it may be run again after the transaction was rolled back.
    fn run(&mut self, db: &Writing) -> JobEnd;

    /// Tells its caller the fate of the transaction: `Err` is why nothing of it is to be believed.
    fn tell(self: Box<Self>, committed: Result<(), &CommitError>);
}

/// What a write came to.
enum JobEnd {
    Done,
    /// It failed: what it wrote is not to be kept.
    Failed,
    /// It failed, and the disk is to blame.
    Disk(String),
}

/// A write with its outcome so far.
struct Pending<T, F> {
    operation: F,
    result: Option<rusqlite::Result<T>>,
    tell: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> WriteJob for Pending<T, F>
where
    T: Send,
    F: Fn(&Writing) -> rusqlite::Result<T> + Send,
{
    fn run(&mut self, db: &Writing) -> JobEnd {
        // What an earlier run came to was undone.
        self.result = None;
        let result = (self.operation)(db);
        let end = match &result {
            Ok(_) => JobEnd::Done,
            Err(error) if is_disk(error) => JobEnd::Disk(error.to_string()),
            Err(_) => JobEnd::Failed,
        };
        self.result = Some(result);
        end
    }

    fn tell(self: Box<Self>, committed: Result<(), &CommitError>) {
        let result = self.result.ok_or(StoreError::Closed).and_then(|result| result.map_err(database));
        // Nobody may be waiting any longer; what was committed stays committed.
        let _ = self.tell.send(committed.map_err(CommitError::error).and(result));
    }
}

/// Why a transaction is lost.
struct CommitError {
    reason: String,
    /// Whether it may be on the disk all the same: the commit was written, and its sync has failed.
    in_doubt: bool,
}

impl CommitError {
    fn error(&self) -> StoreError {
        let reason = self.reason.clone();
        if self.in_doubt { StoreError::InDoubt(reason) } else { StoreError::Broken(reason) }
    }
}

/// Not committed.
impl From<String> for CommitError {
    fn from(reason: String) -> Self {
        Self { reason, in_doubt: false }
    }
}

pub(super) struct Writer {
    place: WriterPlace,
    health: Arc<WriterHealth>,
    meter: Arc<WriteMeter>,
}

enum WriterPlace {
    Thread { jobs: Arc<JobQueue<Box<dyn WriteJob>>>, ended: Mutex<Option<thread::JoinHandle<()>>> },
    Caller(Box<Mutex<WriterCore>>),
}

/// What the writer's thread takes. Should it end by a fault of ours, nobody waits for it in vain.
struct WaitingJobs(Arc<JobQueue<Box<dyn WriteJob>>>);

impl Drop for WaitingJobs {
    fn drop(&mut self) {
        self.0.close();
        while self.0.pop().is_some() {}
    }
}

/// `Some` with the reason while the store believes nothing.
#[derive(Default)]
struct WriterHealth(Mutex<Option<String>>);

struct WriterCore {
    connection: Writing,
    health: Arc<WriterHealth>,
    meter: Arc<WriteMeter>,
    tried: Cell<Option<Instant>>,
}

impl Writer {
    pub(super) fn start(mut connection: Writing, threading: Threading) -> Self {
        if threading == Threading::Writer {
            connection.move_log_beside();
        }
        let health = Arc::new(WriterHealth::default());
        let meter = Arc::new(WriteMeter::default());
        let (theirs, counted) = (health.clone(), meter.clone());
        let mut core = WriterCore { connection, health: theirs, meter: counted, tried: Cell::new(None) };
        let place = match threading {
            Threading::Caller => WriterPlace::Caller(Box::new(Mutex::new(core))),
            Threading::Writer => {
                let jobs = Arc::new(JobQueue::new());
                let waiting = WaitingJobs(jobs.clone());
                let run = move || {
                    let mut jobs = 0;
                    while waiting.0.wait(jobs) {
                        jobs = core.batch(std::iter::from_fn(|| waiting.0.pop()).take(BATCH));
                    }
                };
                let ended = thread::Builder::new().name("store".into()).spawn(run);
                WriterPlace::Thread { jobs, ended: Mutex::new(ended.ok()) }
            }
        };
        Self { place, health, meter }
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        urgency: Urgency,
        operation: impl Fn(&Writing) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (tell, answered) = oneshot::channel();
        let job: Box<dyn WriteJob> = Box::new(Pending { operation, result: None, tell });
        match &self.place {
            WriterPlace::Thread { jobs, .. } => jobs.push(urgency, job).await?,
            WriterPlace::Caller(core) => {
                core.lock().unwrap_or_else(PoisonError::into_inner).batch(std::iter::once(job));
            }
        }
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// What its commits cost.
    pub(super) fn meter(&self) -> Arc<WriteMeter> {
        self.meter.clone()
    }

    pub(super) fn healthy(&self) -> Result<(), StoreError> {
        if let WriterPlace::Thread { jobs, .. } = &self.place
            && jobs.is_closed()
        {
            return Err(StoreError::Closed);
        }
        self.health.reason().map_or(Ok(()), |reason| Err(StoreError::Broken(reason)))
    }
}

impl Drop for Writer {
    /// Lets the writer finish what it was given, so that the data base is closed when we are gone.
    fn drop(&mut self) {
        if let WriterPlace::Thread { jobs, ended } = &mut self.place {
            jobs.close();
            if let Some(ended) = ended.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
                let _ = ended.join();
            }
        }
    }
}

impl WriterHealth {
    fn reason(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, reason: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }
}

impl WriterCore {
    /// Runs writes in one transaction and tells each caller what came of it. How many there were.
    fn batch(&mut self, mut jobs: impl Iterator<Item = Box<dyn WriteJob>>) -> usize {
        let mut ran = Vec::new();
        let believed = self.believe().map_err(CommitError::from);
        let outcome = believed.and_then(|()| self.transaction(&mut jobs, &mut ran));
        let written = ran.len();
        for job in ran {
            job.tell(outcome.as_ref().copied());
        }
        if let Err(lost) = &outcome {
            // These have not run. (After a success whatever the iterator yields is new, and for the next batch.)
            let lost = CommitError::from(lost.reason.clone());
            jobs.for_each(|job| job.tell(Err(&lost)));
        } else {
            // Whoever waited has been told: nobody waits for this.
            self.connection.checkpoint();
        }
        written
    }

    fn transaction(
        &self,
        jobs: &mut impl Iterator<Item = Box<dyn WriteJob>>,
        ran: &mut Vec<Box<dyn WriteJob>>,
    ) -> Result<(), CommitError> {
        let written = self.write_all(jobs, ran);
        let written = written.and_then(|()| self.connection.write_sums().map_err(|error| error.to_string()));
        let begun = Instant::now();
        let committed = written.map_err(CommitError::from).and_then(|()| {
            self.execute("COMMIT").map_err(|error| CommitError { reason: error.to_string(), in_doubt: true })
        });
        if committed.is_ok() {
            self.meter.committed(ran.len(), begun.elapsed());
            self.connection.committed();
        }
        committed.inspect_err(|lost| {
            self.connection.undone(Mark::default());
            if !self.connection.is_autocommit() {
                // It may fail as well; the checkpoint decides when we go on.
                let _ = self.execute("ROLLBACK");
            }
            self.broken(&lost.reason);
        })
    }

    /// Runs the writes. Hardly ever does one fail, so they run without savepoints, of which each costs copies of all that is
    /// changed under it; when one fails, all are run again, each for itself.
    fn write_all(
        &self,
        jobs: &mut impl Iterator<Item = Box<dyn WriteJob>>,
        ran: &mut Vec<Box<dyn WriteJob>>,
    ) -> Result<(), String> {
        let text = |error: rusqlite::Error| error.to_string();
        self.execute("BEGIN IMMEDIATE").map_err(text)?;
        let mut has_failed = false;
        for mut job in jobs.by_ref() {
            if has_failed {
                let done = self.one(job.as_mut());
                ran.push(job);
                done?;
                continue;
            }
            let end = job.run(&self.connection);
            ran.push(job);
            match end {
                JobEnd::Done => {}
                JobEnd::Disk(reason) => return Err(reason),
                JobEnd::Failed => {
                    has_failed = true;
                    self.connection.undone(Mark::default());
                    self.execute("ROLLBACK").map_err(text)?;
                    self.execute("BEGIN IMMEDIATE").map_err(text)?;
                    ran.iter_mut().try_for_each(|job| self.one(job.as_mut()))?;
                }
            }
        }
        Ok(())
    }

    /// Runs one write in a savepoint, so that its failure harms no other.
    fn one(&self, job: &mut dyn WriteJob) -> Result<(), String> {
        let text = |error: rusqlite::Error| error.to_string();
        self.execute("SAVEPOINT one").map_err(text)?;
        let mark = self.connection.mark();
        match job.run(&self.connection) {
            JobEnd::Done => {}
            JobEnd::Disk(reason) => return Err(reason),
            JobEnd::Failed => {
                self.connection.undone(mark);
                self.execute("ROLLBACK TO one").map_err(text)?;
            }
        }
        self.execute("RELEASE one").map_err(text)
    }

    /// Whether commits can be believed; tries to get there when not.
    fn believe(&self) -> Result<(), String> {
        let Some(reason) = self.health.reason() else {
            return Ok(());
        };
        if self.tried.get().is_some_and(|tried| tried.elapsed() < RETRY) {
            return Err(reason);
        }
        self.tried.set(Some(Instant::now()));
        match self.connection.move_whole_log() {
            Ok(true) => {
                if let Err(error) = self.connection.read_again() {
                    return Err(format!("{reason}; the queue can't be read: {error}"));
                }
                self.health.set(None);
                tracing::warn!(event = "store_recovered", reason = "a checkpoint has been synced");
                Ok(())
            }
            Ok(false) => Err(format!("{reason}; the checkpoint waits for readers")),
            Err(error) => Err(format!("{reason}; the checkpoint failed: {error}")),
        }
    }

    fn broken(&self, reason: &str) {
        tracing::error!(event = "store_broken", reason, effect = "451 until a checkpoint has been synced");
        self.health.set(Some(reason.to_owned()));
        self.tried.set(Some(Instant::now()));
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(|_| ())
    }
}

/// Whether an error says that what was written can no longer be trusted.
fn is_disk(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::SystemIoFailure
                | ErrorCode::DiskFull
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::NotADatabase
                | ErrorCode::OutOfMemory
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(folder: &std::path::Path) -> Writer {
        let mut db = rusqlite::Connection::open(folder.join("db")).unwrap();
        crate::store::sqlite::schema::prepare_new(&mut db).unwrap();
        db.execute_batch(
            "PRAGMA foreign_keys = ON; CREATE TABLE parent (id INTEGER PRIMARY KEY);
             CREATE TABLE child (id INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED);",
        )
        .unwrap();
        let timeline = crate::time::Timeline::resume(Arc::new(crate::time::SystemClock), None);
        Writer::start(Writing::new(db, timeline).unwrap(), Threading::Caller)
    }

    #[tokio::test]
    async fn a_write_that_fails_harms_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(folder.path());
        let WriterPlace::Caller(core) = &writer.place else { panic!() };
        let (mut jobs, mut told): (Vec<Box<dyn WriteJob>>, Vec<_>) = (Vec::new(), Vec::new());
        for (n, fails) in [(1, false), (2, true), (3, false), (4, true), (5, false)] {
            let (tell, answer) = oneshot::channel();
            let operation = move |db: &Writing| {
                db.count("sent", n);
                // It fails after it has written something.
                let written = db.execute("INSERT INTO parent VALUES (?1)", [n as i64]);
                written.and((!fails).then_some(n).ok_or(rusqlite::Error::QueryReturnedNoRows))
            };
            jobs.push(Box::new(Pending { operation, result: None, tell }));
            told.push(answer);
        }
        assert_eq!(core.lock().unwrap().batch(jobs.into_iter()), 5);
        let mut answers = Vec::new();
        for answer in told {
            answers.push(answer.await.unwrap().ok());
        }
        assert_eq!(answers, [Some(1), None, Some(3), None, Some(5)]);
        let sums = "SELECT (SELECT sum(id) FROM parent), (SELECT count FROM total WHERE name = 'sent')";
        let found = core.lock().unwrap().connection.query_row(sums, [], |row| Ok((row.get(0)?, row.get(1)?)));
        assert_eq!(found, Ok((9_i64, 9_i64)));
    }

    #[tokio::test]
    async fn only_a_commit_that_fails_is_in_doubt() {
        let folder = tempfile::tempdir().unwrap();
        let orphan = |db: &Writing| db.execute("INSERT INTO child VALUES (1)", []);
        // A child without its parent is found at the commit alone, which stands in for a sync that fails.
        let broken = writer(folder.path());
        assert!(matches!(broken.run(Urgency::AtOnce, orphan).await, Err(StoreError::InDoubt(_))));
        // Nothing runs until a checkpoint has been synced, so there is nothing to doubt.
        assert!(matches!(broken.run(Urgency::AtOnce, orphan).await, Err(StoreError::Broken(_))));

        let folder = tempfile::tempdir().unwrap();
        let disk = |_: &Writing| -> rusqlite::Result<()> {
            let error = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR);
            Err(rusqlite::Error::SqliteFailure(error, None))
        };
        assert!(matches!(writer(folder.path()).run(Urgency::AtOnce, disk).await, Err(StoreError::Broken(_))));
    }
}
