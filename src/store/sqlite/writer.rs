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

/// A write. Given the connection it runs inside the transaction; given a refusal it only tells its caller.
type WriteJob = Box<dyn FnOnce(Result<&Writing, &str>) -> Option<FinishedJob> + Send>;

/// Tells a caller the fate of the transaction: `Err` is why nothing of it is to be believed.
type CommitListener = Box<dyn FnOnce(Result<(), &CommitError>) + Send>;

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

struct FinishedJob {
    /// Whether what it wrote is to be kept.
    keep: bool,
    /// Whether the disk is to blame for its failure.
    disk: Option<String>,
    tell: CommitListener,
}

pub(super) struct Writer {
    place: WriterPlace,
    health: Arc<WriterHealth>,
}

enum WriterPlace {
    Thread { jobs: Arc<JobQueue<WriteJob>>, ended: Mutex<Option<thread::JoinHandle<()>>> },
    Caller(Box<Mutex<WriterCore>>),
}

/// What the writer's thread takes. Should it end by a fault of ours, nobody waits for it in vain.
struct WaitingJobs(Arc<JobQueue<WriteJob>>);

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
    tried: Cell<Option<Instant>>,
}

impl Writer {
    pub(super) fn start(connection: Writing, threading: Threading) -> Self {
        let health = Arc::new(WriterHealth::default());
        let mut core = WriterCore { connection, health: health.clone(), tried: Cell::new(None) };
        let place = match threading {
            Threading::Caller => WriterPlace::Caller(Box::new(Mutex::new(core))),
            Threading::Writer => {
                let jobs = Arc::new(JobQueue::new());
                let waiting = WaitingJobs(jobs.clone());
                let run = move || {
                    while waiting.0.wait() {
                        core.batch(std::iter::from_fn(|| waiting.0.pop()).take(BATCH));
                    }
                };
                let ended = thread::Builder::new().name("store".into()).spawn(run);
                WriterPlace::Thread { jobs, ended: Mutex::new(ended.ok()) }
            }
        };
        Self { place, health }
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        urgency: Urgency,
        operation: impl FnOnce(&Writing) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (tell, answered) = oneshot::channel();
        let job: WriteJob = Box::new(move |connection| {
            let connection = match connection {
                Ok(connection) => connection,
                Err(reason) => {
                    let _ = tell.send(Err(StoreError::Broken(reason.to_owned())));
                    return None;
                }
            };
            let result = operation(connection);
            Some(FinishedJob {
                keep: result.is_ok(),
                disk: result.as_ref().err().filter(|e| is_disk(e)).map(ToString::to_string),
                tell: Box::new(move |committed| {
                    // Nobody may be waiting any longer; what was committed stays committed.
                    let _ = tell.send(match committed {
                        Ok(()) => result.map_err(database),
                        Err(lost) => Err(lost.error()),
                    });
                }),
            })
        });
        match &self.place {
            WriterPlace::Thread { jobs, .. } => jobs.push(urgency, job).await?,
            WriterPlace::Caller(core) => {
                core.lock().unwrap_or_else(PoisonError::into_inner).batch(std::iter::once(job));
            }
        }
        answered.await.map_err(|_| StoreError::Closed)?
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
    /// Runs writes in one transaction and tells each caller what came of it.
    fn batch(&mut self, mut jobs: impl Iterator<Item = WriteJob>) {
        let mut listeners: Vec<CommitListener> = Vec::new();
        let believed = self.believe().map_err(CommitError::from);
        let outcome = believed.and_then(|()| self.transaction(&mut jobs, &mut listeners));
        for tell in listeners {
            tell(outcome.as_ref().copied());
        }
        if let Err(lost) = &outcome {
            // These have not run. (After a success whatever the iterator yields is new, and for the next batch.)
            for job in jobs {
                job(Err(&lost.reason));
            }
        } else {
            // Whoever waited has been told: nobody waits for this.
            self.connection.checkpoint();
        }
    }

    fn transaction(
        &mut self,
        jobs: &mut impl Iterator<Item = WriteJob>,
        listeners: &mut Vec<CommitListener>,
    ) -> Result<(), CommitError> {
        let ran = self.execute("BEGIN IMMEDIATE").map_err(|error| error.to_string());
        let ran = ran.and_then(|()| jobs.try_for_each(|job| self.one(job, listeners)));
        let ran = ran.and_then(|()| self.connection.write_sums().map_err(|error| error.to_string()));
        let committed = ran.map_err(CommitError::from).and_then(|()| {
            self.execute("COMMIT").map_err(|error| CommitError { reason: error.to_string(), in_doubt: true })
        });
        if committed.is_ok() {
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

    /// Runs one write in a savepoint, so that its failure harms no other.
    fn one(&self, job: WriteJob, listeners: &mut Vec<CommitListener>) -> Result<(), String> {
        let text = |error: rusqlite::Error| error.to_string();
        if let Err(error) = self.execute("SAVEPOINT one") {
            job(Err(&error.to_string()));
            return Err(text(error));
        }
        let mark = self.connection.mark();
        let Some(ran) = job(Ok(&self.connection)) else {
            return Ok(());
        };
        listeners.push(ran.tell);
        if let Some(reason) = ran.disk {
            return Err(reason);
        }
        if !ran.keep {
            self.connection.undone(mark);
            self.execute("ROLLBACK TO one").map_err(text)?;
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
