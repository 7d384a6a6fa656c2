//! The embedded store: SQLite in WAL mode with `synchronous=FULL`, one writer with group commit, readers beside it.
//!
//! Content up to a border lies in the data base, larger content in files under `DATA_DIR/content/`, named by queue id
//! and synced before their row commits. A lock on `DATA_DIR/lock` keeps a second instance out.

mod blacklist;
mod claim;
mod direct;
mod enqueue;
mod listing;
mod place;
mod recover;
mod rows;
mod schema;
mod settle;
mod standing;
mod turns;
mod usage;
mod writer;
mod writing;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::Notify;

use super::{
    Ahead, BlacklistEntry, Claim, Claimed, Counts, EnqueueError, Handover, ListFilter, Load, MessageId,
    NewMessage, NewPermit, OverdueClaim, PermitId, QueuedMessage, Recovered, Route, Settlement, Standing,
    StandingKind, Store, StoreError, StoredContent, Summary, TestTreatment, Totals, UsageRow,
};
use crate::config::Window;
use crate::mail::QueueId;
use crate::time::{Anchor, Moment};
use listing::Where;
use settle::Left;
use writer::Writer;
use writing::{Loads, Writing};

/// Open reader connections that are kept for the next reader.
const IDLE_READERS: usize = 4;

/// The embedded store.
pub struct SqliteStore {
    writer: Writer,
    readers: Arc<Readers>,
    content_dir: PathBuf,
    length: AtomicU64,
    loads: Loads,
    max_messages: u64,
    /// Told whenever a message is no longer being sent.
    settled: Notify,
    /// Held for as long as we live.
    _lock: File,
}

/// How the store runs its writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threading {
    /// On a thread of its own, so that many tasks share one commit. For the relay.
    Writer,
    /// On the caller's thread, each with its own commit. For programs that drive time themselves.
    Caller,
}

struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl SqliteStore {
    /// Opens the store in `data_dir`, or makes it; migrates it to this version's schema.
    ///
    /// # Errors
    /// When another instance uses it, a newer version wrote it, or the files can't be used.
    pub fn open(data_dir: &Path, max_messages: u64, threading: Threading) -> Result<Self, StoreError> {
        let content_dir = data_dir.join("content");
        let file = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::File { path, source }
        };
        let mut folder = std::fs::DirBuilder::new();
        folder.recursive(true).mode(0o700).create(&content_dir).map_err(file(&content_dir))?;
        let lock = lock(data_dir)?;
        let path = data_dir.join("queue.db");
        // SQLite gives its files the mode of the data base; make that one ourselves, for nobody else to read.
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(file(&path))?;
        let mut connection = Connection::open(&path).map_err(database)?;
        schema::prepare(&mut connection)?;
        let length = connection.query_row("SELECT count(*) FROM message", [], |row| row.get::<_, i64>(0));
        let length = length.map_err(database)?.unsigned_abs();
        sync_folder(data_dir)?;
        let connection = Writing::new(connection).map_err(database)?;
        Ok(Self {
            loads: connection.loads(),
            writer: Writer::start(connection, threading),
            readers: Arc::new(Readers { path, idle: Mutex::new(Vec::new()) }),
            content_dir,
            length: AtomicU64::new(length),
            max_messages,
            settled: Notify::new(),
            _lock: lock,
        })
    }

    /// Runs a write; it is durable when this returns `Ok`.
    async fn write<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Writing) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.run(operation).await
    }

    /// Runs a read on a thread where it may block.
    async fn read<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let readers = self.readers.clone();
        let task = tokio::task::spawn_blocking(move || readers.with(operation));
        task.await.map_err(|_| StoreError::Closed)?
    }

    /// Removes content files whose messages are gone. A file that stays is removed at the next start.
    async fn remove_files(&self, files: Vec<QueueId>) {
        for queue_id in files {
            let path = self.content_dir.join(queue_id.as_str());
            if let Err(error) = tokio::fs::remove_file(&path).await {
                tracing::warn!(event = "store", path = %path.display(), reason = %error);
            }
        }
    }

    fn shrink(&self, gone: u64) {
        self.length.fetch_sub(gone, Ordering::Relaxed);
        self.settled.notify_waiters();
    }

    /// Runs a write that answers `None` while the message is being sent, until it is not.
    async fn when_settled<T: Send + 'static>(
        &self,
        operation: impl Fn(&Writing) -> rusqlite::Result<Option<T>> + Clone + Send + 'static,
    ) -> Result<T, StoreError> {
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            if let Some(result) = self.write(operation.clone()).await? {
                return Ok(result);
            }
            settled.await;
        }
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn enqueue(&self, message: NewMessage) -> Result<(), EnqueueError> {
        let kept = message.recipients.iter().any(|r| !r.dropped);
        if !kept {
            if matches!(message.content, StoredContent::File(_)) {
                self.remove_files(vec![message.queue_id.clone()]).await;
            }
            return Ok(self.write(move |db| enqueue::enqueue(db, &message)).await?);
        }
        let before = self.length.fetch_add(1, Ordering::Relaxed);
        if before >= self.max_messages {
            self.length.fetch_sub(1, Ordering::Relaxed);
            return Err(EnqueueError::Full { messages: before, limit: self.max_messages });
        }
        let result = self.write(move |db| enqueue::enqueue(db, &message)).await;
        if result.is_err() {
            self.length.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(result?)
    }

    fn healthy(&self) -> Result<(), StoreError> {
        self.writer.healthy()
    }

    fn queue_length(&self) -> u64 {
        self.length.load(Ordering::Relaxed)
    }

    fn lane_load(&self, route: &str) -> Load {
        self.loads.of(route)
    }

    async fn ahead(&self, queue_id: QueueId, now: Moment) -> Result<Option<Ahead>, StoreError> {
        self.read(move |db| place::ahead(db, &queue_id, now)).await
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        let content_dir = self.content_dir.clone();
        self.write(move |db| claim::claim(db, &claim, &content_dir)).await
    }

    async fn claim_overdue(&self, claim: OverdueClaim) -> Result<Vec<QueuedMessage>, StoreError> {
        let content_dir = self.content_dir.clone();
        self.write(move |db| claim::claim_overdue(db, &claim, &content_dir)).await
    }

    async fn settle(&self, settlement: Settlement) -> Result<(), StoreError> {
        let reports = settlement.reports.len() as u64;
        let left = self.write(move |db| settle::settle(db, &settlement)).await?;
        self.length.fetch_add(reports, Ordering::Relaxed);
        self.shrink(u64::from(left.is_some()));
        if let Some(Left { file: Some(file) }) = left {
            self.remove_files(vec![file]).await;
        }
        Ok(())
    }

    async fn hand_back(&self, messages: Vec<MessageId>) -> Result<(), StoreError> {
        self.write(move |db| settle::hand_back(db, &messages)).await?;
        self.settled.notify_waiters();
        Ok(())
    }

    async fn take_permit(&self, permit: NewPermit) -> Result<PermitId, StoreError> {
        self.write(move |db| direct::take_permit(db, &permit)).await
    }

    async fn hand_over(&self, handover: Handover) -> Result<(), StoreError> {
        let reports = handover.reports.len() as u64;
        if self.write(move |db| direct::hand_over(db, &handover)).await? {
            self.length.fetch_add(reports, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn recover(&self, now: Moment) -> Result<Recovered, StoreError> {
        let mut recovered = self.write(move |db| recover::recover(db, now)).await?;
        let content_dir = self.content_dir.clone();
        recovered.orphans = self.read(move |db| recover::remove_orphans(db, &content_dir)).await?;
        Ok(recovered)
    }

    async fn routes(&self) -> Result<Vec<Route>, StoreError> {
        self.read(listing::routes).await
    }

    async fn reroute(&self, from: Route, to: String, credit: i64) -> Result<(), StoreError> {
        self.write(move |db| settle::reroute(db, &from, &to, credit)).await
    }

    async fn make_due(&self, route: String, now: Moment) -> Result<(), StoreError> {
        self.write(move |db| settle::make_due(db, &route, now)).await
    }

    async fn usage(&self) -> Result<Vec<UsageRow>, StoreError> {
        self.read(usage::all).await
    }

    async fn reset_usage(&self, upstream: String, windows: Vec<Window>) -> Result<(), StoreError> {
        self.write(move |db| usage::reset(db, &upstream, &windows)).await
    }

    async fn prune_usage(&self, now: Moment) -> Result<(), StoreError> {
        self.write(move |db| usage::prune(db, now)).await
    }

    async fn limit_waits(&self) -> Result<Vec<(String, i64)>, StoreError> {
        self.read(usage::limit_waits).await
    }

    async fn set_limit_wait(&self, route: String, millis: i64) -> Result<(), StoreError> {
        self.write(move |db| usage::set_limit_wait(db, &route, millis)).await
    }

    async fn standings(&self) -> Result<Vec<Standing>, StoreError> {
        self.read(standing::all).await
    }

    async fn set_standing(&self, standing: Standing) -> Result<(), StoreError> {
        self.write(move |db| standing::set(db, &standing)).await
    }

    async fn clear_standings(
        &self,
        upstream: Option<String>,
        kinds: Vec<StandingKind>,
    ) -> Result<(), StoreError> {
        self.write(move |db| standing::clear(db, upstream.as_deref(), &kinds)).await
    }

    async fn blacklist_match(
        &self,
        address: String,
        now: Moment,
    ) -> Result<Option<BlacklistEntry>, StoreError> {
        self.read(move |db| blacklist::find(db, &address, now)).await
    }

    async fn blacklist(&self) -> Result<Vec<BlacklistEntry>, StoreError> {
        self.read(blacklist::all).await
    }

    async fn blacklist_add(&self, entry: BlacklistEntry) -> Result<(), StoreError> {
        self.write(move |db| blacklist::add(db, &entry)).await
    }

    async fn blacklist_remove(&self, pattern: String) -> Result<bool, StoreError> {
        self.write(move |db| blacklist::remove(db, &pattern)).await
    }

    async fn list(&self, filter: ListFilter) -> Result<Vec<Summary>, StoreError> {
        self.read(move |db| listing::list(db, &filter)).await
    }

    async fn show(&self, queue_id: QueueId) -> Result<Option<Summary>, StoreError> {
        self.read(move |db| listing::show(db, &queue_id)).await
    }

    async fn content(&self, queue_id: QueueId) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.content_dir.join(queue_id.as_str());
        match self.read(move |db| listing::content(db, &queue_id)).await? {
            Where::Inline(content) => Ok(Some(content)),
            Where::File => {
                let read = tokio::fs::read(&path).await;
                read.map(Some).map_err(|source| StoreError::File { path, source })
            }
            Where::Nowhere => Ok(None),
        }
    }

    async fn retry(&self, queue_id: Option<QueueId>, now: Moment) -> Result<u64, StoreError> {
        match queue_id {
            Some(queue_id) => self.when_settled(move |db| settle::retry(db, &queue_id, now)).await,
            None => self.write(move |db| settle::retry_all(db, now)).await,
        }
    }

    async fn hold(&self, queue_id: QueueId) -> Result<bool, StoreError> {
        self.when_settled(move |db| settle::hold(db, &queue_id)).await
    }

    async fn release(
        &self,
        queue_id: QueueId,
        test: Option<TestTreatment>,
        now: Moment,
    ) -> Result<bool, StoreError> {
        self.write(move |db| settle::release(db, &queue_id, test.as_ref(), now)).await
    }

    async fn delete(&self, queue_id: QueueId) -> Result<Option<Summary>, StoreError> {
        let id = queue_id.clone();
        let deleted = self.when_settled(move |db| settle::delete(db, &id)).await?;
        let Some((summary, in_file)) = deleted else {
            return Ok(None);
        };
        self.shrink(1);
        if in_file {
            self.remove_files(vec![queue_id]).await;
        }
        Ok(Some(summary))
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        self.read(listing::counts).await
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        self.read(listing::totals).await
    }

    async fn switch(&self, key: &'static str) -> Result<Option<String>, StoreError> {
        self.read(move |db| usage::switch(db, key)).await
    }

    async fn set_switch(&self, key: &'static str, value: String) -> Result<(), StoreError> {
        self.write(move |db| usage::set_switch(db, key, &value)).await
    }

    async fn anchor(&self) -> Result<Option<Anchor>, StoreError> {
        self.read(usage::anchor).await
    }

    async fn set_anchor(&self, anchor: Anchor) -> Result<(), StoreError> {
        self.write(move |db| usage::set_anchor(db, &anchor)).await
    }
}

impl Readers {
    fn with<T>(&self, operation: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.open().map_err(database)?,
        };
        let result = operation(&connection).map_err(database);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_READERS {
            idle.push(connection);
        }
        result
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(schema::BUSY)?;
        connection.pragma_update(None, "cache_size", -512)?;
        Ok(connection)
    }
}

/// Keeps a second instance out of the folder.
fn lock(data_dir: &Path) -> Result<File, StoreError> {
    let path = data_dir.join("lock");
    let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let lock = lock.map_err(|source| StoreError::File { path, source })?;
    // A command that looks whether a relay is there holds the lock for an instant.
    for wait in [Duration::ZERO, Duration::from_millis(50), Duration::from_millis(200)] {
        std::thread::sleep(wait);
        if rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok() {
            return Ok(lock);
        }
    }
    Err(StoreError::InUse(data_dir.to_owned()))
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    synced.map_err(|source| StoreError::File { path: path.to_owned(), source })
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands over")]
fn database(error: rusqlite::Error) -> StoreError {
    StoreError::Database(error.to_string())
}

#[cfg(test)]
mod tests;
