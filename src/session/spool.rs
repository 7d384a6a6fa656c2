//! Content that is too large for memory, in a file while it arrives.
//!
//! The file is removed when its [`Spool`] is dropped, wherever that happens, unless it was kept. For that the value
//! travels with each blocking call: a session that is cancelled in the middle leaves nothing behind.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::mail::QueueId;

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Spool {
    file: File,
    path: Guard,
    /// Octets so far.
    pub(super) written: u64,
}

/// Removes the file, unless told to keep it.
#[derive(Debug)]
struct Guard(Option<PathBuf>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::warn!(event = "content_not_removed", path = %path.display(), reason = %error);
        }
    }
}

impl Spool {
    /// Creates `folder/QUEUE_ID`, readable by us alone.
    ///
    /// # Errors
    /// When the file exists or can't be created.
    pub(super) async fn create(folder: &Path, id: &QueueId) -> io::Result<Self> {
        let (folder, path) = (folder.to_owned(), folder.join(id.as_str()));
        blocking(move || {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            Ok(Self { file, path: Guard(Some(path)), written: 0 })
        })
        .await
    }

    /// Appends a block.
    ///
    /// # Errors
    /// When it can't be written; the file is gone then.
    pub(super) async fn write(mut self, block: Vec<u8>) -> io::Result<Self> {
        blocking(move || {
            self.file.write_all(&block)?;
            self.written += block.len() as u64;
            Ok(self)
        })
        .await
    }

    /// Makes the file and its name durable.
    ///
    /// # Errors
    /// When one of them can't be synced; the file is gone then.
    pub(super) async fn sync(self) -> io::Result<Self> {
        blocking(move || {
            self.file.sync_all()?;
            if let Some(folder) = self.path.0.as_deref().and_then(Path::parent) {
                File::open(folder)?.sync_all()?;
            }
            Ok(self)
        })
        .await
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.path.0.as_deref().expect("the path is taken only where the spool ends")
    }

    /// The file stays: somebody else answers for it now. Returns where it is.
    pub(super) fn keep(mut self) -> PathBuf {
        self.path.0.take().expect("the path is taken only here, where the spool ends")
    }
}

/// Runs a call that waits for the disk on a thread where it disturbs nobody.
async fn blocking<T: Send + 'static>(call: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(call).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn only_what_is_kept_stays() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("content");
        let id = QueueId::new(1, 1);
        let spool = Spool::create(&folder, &id).await.unwrap();
        let spool = spool.write(b"abc".to_vec()).await.unwrap();
        assert!(Spool::create(&folder, &id).await.is_err(), "no file is overwritten");
        drop(spool);
        assert!(!folder.join(id.as_str()).exists());

        let spool = Spool::create(&folder, &id).await.unwrap();
        let spool = spool.write(b"abc".to_vec()).await.unwrap();
        let spool = spool.sync().await.unwrap();
        assert_eq!(spool.written, 3);
        let path = spool.keep();
        assert_eq!(std::fs::read(&path).unwrap(), b"abc");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
