//! A content on its way into the store, in blocks. What has come is in a file that nobody else knows yet.
//!
//! Until all of it is there and synced, its file has the extension [`PART`]: what a crash leaves under such a name was never handed
//! in, so nobody was told that it had been taken.
//!
//! The file is removed when its upload is dropped, wherever that happens. For that it travels with each blocking call: an
//! upload that is cancelled in the middle leaves nothing behind.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::StoreError;
use crate::content::{Content, ContentFile, PART, RunningChecksum};
use crate::folder;
use crate::mail::QueueId;

/// A content that is being written.
#[derive(Debug)]
pub struct Upload {
    folder: PathBuf,
    progress: UploadProgress,
}

/// How far it is.
enum UploadProgress {
    /// Nothing has come; the file will have this name.
    NotBegun(PathBuf),
    /// The file is there.
    Begun(Box<OpenContent>),
    /// Failed, or given up.
    Over,
}

/// A file with so many octets in it.
struct OpenContent {
    file: File,
    /// What it is called when it is complete.
    path: PathBuf,
    guard: ContentFile,
    written: u64,
    checksum: RunningChecksum,
}

impl Upload {
    /// The upload of a message's content to `folder/QUEUE_ID`. Nothing is there before the first block.
    #[must_use]
    pub fn new(folder: &Path, id: &QueueId) -> Self {
        Self { folder: folder.to_owned(), progress: UploadProgress::NotBegun(folder.join(id.as_str())) }
    }

    /// Whether a block has been written.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        matches!(self.progress, UploadProgress::Begun(_))
    }

    /// Appends a block. The file is readable by us alone.
    ///
    /// # Errors
    /// When it can't be written; nothing is left of the upload then.
    pub async fn write(&mut self, block: Vec<u8>) -> Result<(), StoreError> {
        let written = self.blocking(move |progress| {
            let mut open = progress.begin()?;
            open.file.write_all(&block)?;
            open.written += block.len() as u64;
            open.checksum.add(&block);
            Ok(open)
        });
        self.progress = UploadProgress::Begun(written.await?);
        Ok(())
    }

    /// Makes the file durable, gives it its name, and makes that durable.
    ///
    /// # Errors
    /// When one of them can't be synced; nothing is left of the upload then.
    pub async fn finish(mut self) -> Result<Content, StoreError> {
        let synced = self.blocking(|progress| {
            let OpenContent { file, path, mut guard, written, checksum } = *progress.begin()?;
            file.sync_all()?;
            guard.rename(path)?;
            if let Some(folder) = guard.folder() {
                folder::sync(folder)?;
            }
            Ok(Content::file(guard, written, Some(checksum.end())))
        });
        synced.await
    }

    /// Removes what has come. Nothing can be written any more.
    pub fn give_up(&mut self) {
        self.progress = UploadProgress::Over;
    }

    /// Runs a call that waits for the disk on a thread where it disturbs nobody.
    async fn blocking<T: Send + 'static>(
        &mut self,
        call: impl FnOnce(UploadProgress) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let progress = std::mem::replace(&mut self.progress, UploadProgress::Over);
        let done = tokio::task::spawn_blocking(move || call(progress)).await;
        let done = done.map_err(io::Error::other).flatten();
        done.map_err(|source| StoreError::File { path: self.folder.clone(), source })
    }
}

impl UploadProgress {
    /// Creates the file, if that has not been done.
    fn begin(self) -> io::Result<Box<OpenContent>> {
        match self {
            Self::NotBegun(path) => {
                if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
                    folder::make(folder)?;
                }
                let part = path.with_extension(PART);
                let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
                let (guard, checksum) = (ContentFile::ours(part), RunningChecksum::default());
                Ok(Box::new(OpenContent { file, path, guard, written: 0, checksum }))
            }
            Self::Begun(open) => Ok(open),
            Self::Over => Err(io::Error::other("the upload was given up")),
        }
    }
}

impl std::fmt::Debug for UploadProgress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotBegun(path) => write!(f, "NotBegun({})", path.display()),
            Self::Begun(open) => write!(f, "Begun({})", open.written),
            Self::Over => write!(f, "Over"),
        }
    }
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
        let (path, part) = (folder.join(id.as_str()), folder.join(format!("{id}.part")));
        let mut upload = Upload::new(&folder, &id);
        assert!(!folder.exists() && !upload.is_begun());
        upload.write(b"abc".to_vec()).await.unwrap();
        assert!(part.exists() && upload.is_begun() && !path.exists(), "what is not complete shows it");
        assert!(Upload::new(&folder, &id).write(b"x".to_vec()).await.is_err(), "no file is overwritten");
        upload.give_up();
        assert!(!part.exists() && upload.write(b"x".to_vec()).await.is_err());

        for is_kept in [false, true] {
            let mut upload = Upload::new(&folder, &id);
            upload.write(b"abc".to_vec()).await.unwrap();
            upload.write(b"de".to_vec()).await.unwrap();
            let content = upload.finish().await.unwrap();
            assert_eq!((content.len(), content.octets()), (5, None));
            assert!(!part.exists(), "it has its name");
            assert_eq!(content.read().await.unwrap(), b"abcde");
            assert_eq!(content.beginning(2).await.unwrap(), b"ab");
            assert_eq!(content.beginning(9).await.unwrap(), b"abcde");
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            let copy = content.clone();
            drop(content);
            assert!(path.exists());
            if is_kept {
                copy.keep();
            }
            drop(copy);
            assert_eq!(path.exists(), is_kept);
        }
    }

    /// One thread for what may block, so that calls come one after the other.
    #[test]
    fn what_is_cancelled_leaves_nothing_behind() {
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        for begun in [false, true] {
            runtime.block_on(cancelled(begun));
        }
    }

    async fn cancelled(begun: bool) {
        let folder = tempfile::tempdir().unwrap();
        let id = QueueId::new(1, 1);
        let mut upload = Upload::new(folder.path(), &id);
        if begun {
            upload.write(b"abc".to_vec()).await.unwrap();
        }
        let (disk_is_free, busy) = std::sync::mpsc::channel::<()>();
        let disk = tokio::task::spawn_blocking(move || busy.recv());
        let write = upload.write(vec![b'x'; 1 << 20]);
        assert!(at_once(write).await.is_none(), "it waits for the disk");
        drop(upload);
        disk_is_free.send(()).unwrap();
        disk.await.unwrap().unwrap();
        tokio::task::spawn_blocking(|| ()).await.unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    /// Polls a future once, and drops it.
    async fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = future => Some(done),
            () = std::future::ready(()) => None,
        }
    }
}
