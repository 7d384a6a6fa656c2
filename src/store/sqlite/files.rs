//! The folder of the store: its files, who may use it, and what tells that a queue has been in it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::contents;
use crate::folder;
use crate::store::StoreError;

/// What the lock says as soon as a queue has been made beside it.
const MARK: &str =
    "A queue has been made in this folder: it is in queue.db, and never begins anew beside this file.\n";

/// The folder of the store, which is ours alone for as long as this lives.
pub(super) struct StoreFolder {
    data_dir: PathBuf,
    lock: File,
}

impl StoreFolder {
    /// Makes the folder where it is missing, and keeps other instances out of it.
    pub(super) fn take(data_dir: &Path) -> Result<Self, StoreError> {
        folder::make(data_dir).map_err(at(data_dir))?;
        let path = data_dir.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let lock = lock.map_err(at(&path))?;
        // A command that looks whether a relay is there holds the lock for an instant.
        for wait in [Duration::ZERO, Duration::from_millis(50), Duration::from_millis(200)] {
            std::thread::sleep(wait);
            if rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok() {
                return Ok(Self { data_dir: data_dir.to_owned(), lock });
            }
        }
        Err(StoreError::InUse(data_dir.to_owned()))
    }

    /// Where the queue is.
    pub(super) fn database(&self) -> PathBuf {
        self.data_dir.join("queue.db")
    }

    /// Where contents are.
    pub(super) fn contents(&self) -> PathBuf {
        self.data_dir.join("content")
    }

    /// Makes the file of the data base where there has been no queue. SQLite gives its other files the mode of this one: for
    /// nobody else to read.
    ///
    /// # Errors
    /// When there has been one: whoever begins anew then would take for orphans what was acknowledged.
    pub(super) fn make_database(&self) -> Result<(), StoreError> {
        let path = self.database();
        match fs::metadata(&path) {
            Ok(found) if found.len() > 0 => return Ok(()),
            Ok(_) => self.refuse_to_begin_anew("is empty", self.has_log())?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.refuse_to_begin_anew("is missing", self.has_log())?;
            }
            Err(source) => return Err(StoreError::File { path, source }),
        }
        let made = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        made.map(drop).map_err(at(&path))
    }

    /// Refuses a data base without a queue in it where there has been one.
    pub(super) fn refuse_to_begin_anew(&self, state: &'static str, has_log: bool) -> Result<(), StoreError> {
        let count = contents::count(&self.contents());
        let mut signs = Vec::new();
        signs.extend((count > 0).then(|| format!("content has {count} files")));
        signs.extend(has_log.then(|| "queue.db-wal is there".to_owned()));
        signs.extend(self.is_marked().then(|| "lock says so".to_owned()));
        if signs.is_empty() {
            return Ok(());
        }
        Err(StoreError::QueueLost { path: self.database(), state, signs: signs.join(", ") })
    }

    /// Notes that a queue is here from now on. Before this nobody has been told that mail was taken.
    pub(super) fn mark(&self) -> Result<(), StoreError> {
        folder::sync(&self.data_dir).map_err(at(&self.data_dir))?;
        if self.is_marked() {
            return Ok(());
        }
        let mut lock = &self.lock;
        let marked = lock.write_all(MARK.as_bytes()).and_then(|()| lock.sync_all());
        marked.map_err(at(&self.data_dir.join("lock")))
    }

    fn is_marked(&self) -> bool {
        self.lock.metadata().is_ok_and(|lock| lock.len() > 0)
    }

    /// Whether SQLite has left a log, which belongs to a data base that is not empty.
    fn has_log(&self) -> bool {
        fs::metadata(self.data_dir.join("queue.db-wal")).is_ok_and(|log| log.len() > 0)
    }
}

/// Says which file a failure is about.
pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::File { path, source }
}
