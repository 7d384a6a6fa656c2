//! The folder of the store: its files, who may use it, and what tells that a queue has been in it.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::content;
use crate::folder::{self, FolderLock};
use crate::store::StoreError;

/// What the lock says as soon as a queue has been made beside it.
const MARK: &str =
    "A queue has been made in this folder: it is in queue.db, and never begins anew beside this file.\n";

/// The folder of the store, which is ours alone for as long as this lives.
pub(super) struct StoreFolder {
    data_dir: PathBuf,
    lock: FolderLock,
}

impl StoreFolder {
    /// Makes the folder where it is missing, and keeps other instances out of it.
    pub(super) fn take(data_dir: &Path) -> Result<Self, StoreError> {
        folder::make(data_dir).map_err(at(data_dir))?;
        let path = data_dir.join("lock");
        let lock = FolderLock::take(&path).map_err(at(&path))?;
        let lock = lock.ok_or_else(|| StoreError::InUse(data_dir.to_owned()))?;
        Ok(Self { data_dir: data_dir.to_owned(), lock })
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
        let count = content::entries(&self.contents()).count();
        let mut signs = Vec::new();
        signs.extend((count > 0).then(|| format!("content has {count} files")));
        signs.extend(has_log.then(|| "queue.db-wal is there".to_owned()));
        signs.extend(self.lock.is_marked().then(|| "lock says so".to_owned()));
        if signs.is_empty() {
            return Ok(());
        }
        Err(StoreError::QueueLost { path: self.database(), state, signs: signs.join(", ") })
    }

    /// Notes that a queue is here from now on. Before this nobody has been told that mail was taken.
    pub(super) fn mark(&self) -> Result<(), StoreError> {
        folder::sync(&self.data_dir).map_err(at(&self.data_dir))?;
        if self.lock.is_marked() {
            return Ok(());
        }
        self.lock.mark(MARK).map_err(at(&self.data_dir.join("lock")))
    }

    /// Whether SQLite has left a log, which belongs to a data base that is not empty.
    fn has_log(&self) -> bool {
        self.log_octets() > 0
    }

    /// What the log of the data base takes.
    pub(super) fn log_octets(&self) -> u64 {
        fs::metadata(self.data_dir.join("queue.db-wal")).map_or(0, |log| log.len())
    }
}

/// Says which file a failure is about.
pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::File { path, source }
}
