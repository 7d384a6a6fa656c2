//! A file with a content in it, and the folder of such files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::mail::QueueId;

/// The extension of a file that is not complete yet.
pub(crate) const PART: &str = "part";

/// A content in the folder of the contents.
pub(crate) struct ContentEntry {
    pub(crate) path: PathBuf,
    pub(crate) queue_id: QueueId,
    pub(crate) is_complete: bool,
}

/// A file, removed when this is dropped unless somebody else answers for it.
pub(crate) struct ContentFile {
    path: PathBuf,
    is_ours: AtomicBool,
}

/// The contents in a folder, by the names of their files; whatever else lies there is none.
pub(crate) fn entries(folder: &Path) -> impl Iterator<Item = ContentEntry> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|file| {
        let path = file.path();
        let is_complete = match path.extension() {
            None => true,
            Some(extension) if extension == PART => false,
            Some(_) => return None,
        };
        let queue_id = QueueId::parse(path.file_stem()?.to_str()?).ok()?;
        Some(ContentEntry { path, queue_id, is_complete })
    })
}

impl ContentFile {
    /// A file that is removed when this is dropped.
    pub(crate) fn ours(path: PathBuf) -> Self {
        Self { path, is_ours: AtomicBool::new(true) }
    }

    /// A file that the store answers for.
    pub(crate) fn stored(path: PathBuf) -> Self {
        Self { path, is_ours: AtomicBool::new(false) }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that it is in.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.path.parent()
    }

    /// Gives the file another name, which nothing else has yet.
    pub(crate) fn rename(&mut self, path: PathBuf) -> io::Result<()> {
        if path.try_exists()? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        std::fs::rename(&self.path, &path)?;
        self.path = path;
        Ok(())
    }

    /// Somebody else answers for it from now on.
    pub(super) fn leave(&self) {
        self.is_ours.store(false, Ordering::Release);
    }

    /// Removes it at once.
    pub(super) async fn remove(&self) {
        self.leave();
        self.log_removal(tokio::fs::remove_file(&self.path).await);
    }

    fn log_removal(&self, removed: io::Result<()>) {
        if let Err(error) = removed {
            tracing::warn!(event = "content_not_removed", path = %self.path.display(), reason = %error);
        }
    }
}

impl Drop for ContentFile {
    fn drop(&mut self) {
        if *self.is_ours.get_mut() {
            self.log_removal(std::fs::remove_file(&self.path));
        }
    }
}
