//! The embedded store itself: what it is made of, and how its calls run.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;

use rusqlite::Connection;
use tokio::sync::Notify;

use super::abandon::Awaited;
use super::books::Books;
use super::fault::at_start;
use super::files::{StoreFolder, at};
use super::history_book::HistoryInForce;
use super::job_queue::Urgency;
use super::listed_patterns::ListedPatterns;
use super::loads::Loads;
use super::readers::Readers;
use super::standing_asks::StandingAsks;
use super::writer::{Threading, Writer};
use super::writing::Writing;
use super::{restored, schema, settings};
use crate::folder;
use crate::mail::QueueId;
use crate::metrics::WriteMeter;
use crate::store::StoreError;
use crate::time::{Clock, Timeline};

/// A store that has made no more commits since the last look is at rest.
const AT_REST: u64 = 50;
/// Octets of the log that a store at rest keeps at most.
const LOG_AT_REST: u64 = 8 << 20;

/// The embedded store.
pub struct SqliteStore {
    writer: Writer,
    readers: Arc<Readers>,
    pub(super) timeline: Timeline,
    pub(super) content_dir: PathBuf,
    /// Messages in the queue.
    pub(super) length: AtomicU64,
    pub(super) loads: Loads,
    pub(super) standing: StandingAsks,
    pub(super) books: Books,
    pub(super) history: HistoryInForce,
    pub(super) listed: Arc<ListedPatterns>,
    pub(super) max_messages: AtomicU64,
    /// Whether all of the data base was looked at for damage.
    pub(super) is_looked_at: AtomicBool,
    /// Told whenever a message is no longer being sent.
    settled: Notify,
    /// Commits as of the last look whether it is at rest.
    commits: AtomicU64,
    /// Ours for as long as we live.
    folder: StoreFolder,
}

impl SqliteStore {
    /// Opens the store in `data_dir`, or makes it; migrates it to this version's schema. Its time goes on from where the
    /// last process has left it.
    ///
    /// # Errors
    /// When another instance uses it, a newer version wrote it, a queue that was here is gone, or the files can't be used or are
    /// damaged. Then nothing has been touched.
    pub fn open(
        data_dir: &Path,
        max_messages: u64,
        threading: Threading,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        Self::open_watched(data_dir, max_messages, (threading, clock), |_| Ok(()))
    }

    /// The same; `watch` gets the writer's connection before it is used.
    pub(super) fn open_watched(
        data_dir: &Path,
        max_messages: u64,
        (threading, clock): (Threading, Arc<dyn Clock>),
        watch: impl FnOnce(&mut Connection) -> rusqlite::Result<()>,
    ) -> Result<Self, StoreError> {
        let ours = StoreFolder::take(data_dir)?;
        ours.make_database()?;
        let path = ours.database();
        let fault = at_start(&path);
        let mut connection = Connection::open(&path).map_err(&fault)?;
        let is_looked_at = schema::prepare(&mut connection, &ours)?;
        restored::hold(&mut connection, clock.wall().as_millisecond()).map_err(&fault)?;
        let content_dir = ours.contents();
        folder::make(&content_dir).map_err(at(&content_dir))?;
        ours.mark()?;
        let length = connection.query_row("SELECT count(*) FROM message", [], |row| row.get::<_, i64>(0));
        let length = length.map_err(&fault)?.unsigned_abs();
        let anchor = settings::anchor(&connection).map_err(&fault)?;
        let timeline = Timeline::resume(clock, anchor.as_ref());
        watch(&mut connection).map_err(&fault)?;
        let connection = Writing::new(connection, timeline.clone()).map_err(&fault)?;
        Ok(Self {
            loads: connection.loads(),
            standing: connection.standing().clone(),
            books: connection.books(),
            history: connection.history().in_force(),
            listed: connection.knowledge.listed().clone(),
            writer: Writer::start(connection, threading),
            readers: Arc::new(Readers::new(path)),
            timeline,
            content_dir,
            length: AtomicU64::new(length),
            max_messages: AtomicU64::new(max_messages),
            is_looked_at: AtomicBool::new(is_looked_at),
            settled: Notify::new(),
            commits: AtomicU64::new(0),
            folder: ours,
        })
    }

    /// What commits cost.
    pub(super) fn meter(&self) -> Arc<WriteMeter> {
        self.writer.meter()
    }

    /// Whether little was written since this was asked last, and the log is long all the same.
    pub(super) fn keeps_a_long_log_at_rest(&self) -> bool {
        let commits = self.writer.meter().seconds.count();
        let before = self.commits.swap(commits, Ordering::Relaxed);
        commits - before <= AT_REST && self.folder.log_octets() > LOG_AT_REST
    }

    /// Whether commits are believed.
    pub(super) fn writer_health(&self) -> Result<(), StoreError> {
        self.writer.healthy()
    }

    /// Runs a write; it is durable when this returns `Ok`.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        operation: impl Fn(&Writing) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.run(Urgency::AtOnce, operation).await
    }

    /// Runs a write that nobody waits for: it shares the commit of the next one.
    pub(super) async fn write_with_next<T: Send + 'static>(
        &self,
        operation: impl Fn(&Writing) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.run(Urgency::WithNext, operation).await
    }

    /// Runs a read on a thread where it may block.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.read_apart(move |readers| readers.with(operation)).await
    }

    /// The same of a read that takes long: it is broken off when nobody waits for it any more.
    pub(super) async fn read_while_awaited<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let awaited = Awaited::default();
        let read = awaited.told();
        self.read_apart(move |readers| readers.with_mut(|connection| read.run(connection, operation))).await
    }

    async fn read_apart<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Readers) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let readers = self.readers.clone();
        tokio::task::spawn_blocking(move || read(&readers)).await.map_err(|_| StoreError::Closed)?
    }

    /// Runs a read of a few look-ups on the calling thread.
    pub(super) fn read_here<T>(
        &self,
        operation: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.readers.with(operation)
    }

    /// Runs a write that can't be done while a message is being sent, until it can.
    pub(super) async fn when_settled<T: Send + 'static>(
        &self,
        operation: impl Fn(&Writing) -> rusqlite::Result<Poll<T>> + Clone + Send + 'static,
    ) -> Result<T, StoreError> {
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            if let Poll::Ready(result) = self.write(operation.clone()).await? {
                return Ok(result);
            }
            settled.await;
        }
    }

    /// Messages are no longer being sent; so many of them have left the queue.
    pub(super) fn note_settled(&self, gone: u64) {
        self.length.fetch_sub(gone, Ordering::Relaxed);
        self.settled.notify_waiters();
    }

    /// Removes content files whose messages are gone. A file that stays is removed later.
    pub(super) async fn remove_files(&self, files: impl IntoIterator<Item = QueueId, IntoIter: Send> + Send) {
        for queue_id in files {
            let path = self.content_dir.join(queue_id.as_str());
            if let Err(error) = tokio::fs::remove_file(&path).await {
                tracing::warn!(event = "store", path = %path.display(), reason = %error);
            }
        }
    }
}
