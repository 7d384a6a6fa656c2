//! The folder of the store, and who may use it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::store::StoreError;

/// Makes the folder of the content, and with it that of the store.
pub(super) fn make_folder(content_dir: &Path) -> Result<(), StoreError> {
    let mut folder = std::fs::DirBuilder::new();
    let made = folder.recursive(true).mode(0o700).create(content_dir);
    made.map_err(|source| StoreError::File { path: content_dir.to_owned(), source })
}

/// Makes the file of the data base. SQLite gives its other files the mode of this one: for nobody else to read.
pub(super) fn make_database(data_dir: &Path) -> Result<PathBuf, StoreError> {
    let path = data_dir.join("queue.db");
    let made = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    made.map_err(|source| StoreError::File { path: path.clone(), source })?;
    Ok(path)
}

/// Keeps a second instance out of the folder.
pub(super) fn lock(data_dir: &Path) -> Result<File, StoreError> {
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
pub(super) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    synced.map_err(|source| StoreError::File { path: path.to_owned(), source })
}
