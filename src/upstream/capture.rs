//! The local mailbox: a Maildir in `DATA_DIR/captured`. Nothing leaves the machine.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::folder;
use crate::mail::QueueId;

/// A Maildir that keeps the newest messages.
#[derive(Debug)]
pub struct Mailbox {
    folder: PathBuf,
    max: usize,
    /// Messages in `new`, as far as we know; `None` until they have been counted.
    count: Mutex<Option<usize>>,
}

/// The mailbox could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct CaptureError {
    /// Which file or folder.
    path: PathBuf,
    /// What the system says.
    source: std::io::Error,
}

impl Mailbox {
    /// The mailbox in a folder, with at most `max` messages; the oldest go first.
    #[must_use]
    pub fn new(folder: PathBuf, max: usize) -> Self {
        Self { folder, max, count: Mutex::new(None) }
    }

    /// Puts a message into the mailbox: written and synced in `tmp`, then moved to `new`. It blocks.
    ///
    /// The same message under the same name replaces itself, so that an attempt that is repeated makes no second copy.
    ///
    /// # Errors
    /// With the path that could not be written.
    pub fn put(&self, id: &QueueId, envelope: &str, content: &[u8]) -> Result<(), CaptureError> {
        // One at a time: the count and the order of removal belong together.
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        for part in ["tmp", "new", "cur"] {
            let folder = self.folder.join(part);
            // One that is there may have been made by somebody who died before it was synced; a person may remove one later.
            if count.is_none() || !folder.is_dir() {
                folder::make(&folder).map_err(at(&folder))?;
            }
        }
        // The queue id grows with time and is unique, which is all that a Maildir asks of a name.
        let temporary = self.folder.join("tmp").join(id.as_str());
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(at(&temporary))?;
        let written = file.write_all(envelope.as_bytes()).and_then(|()| file.write_all(content));
        written.and_then(|()| file.sync_all()).map_err(at(&temporary))?;
        let new = self.folder.join("new");
        let path = new.join(id.as_str());
        let replaced = path.exists();
        fs::rename(&temporary, &path).map_err(at(&path))?;
        folder::sync(&new).map_err(at(&new))?;
        match count.as_mut() {
            Some(count) => *count += usize::from(!replaced),
            None => *count = Some(self.names().len()),
        }
        if count.is_some_and(|count| count > self.max) {
            *count = Some(self.remove_oldest());
        }
        Ok(())
    }

    /// Removes the oldest until a tenth is free, so that the folder is not read for every message.
    fn remove_oldest(&self) -> usize {
        let mut names = self.names();
        names.sort_unstable_by(|a, b| a.file_name().cmp(&b.file_name()));
        let keep = if self.max < 10 { self.max } else { self.max - self.max / 10 };
        let surplus = names.len().saturating_sub(keep);
        names[..surplus].iter().for_each(|path| {
            // One that a person has just removed is gone as well.
            let _ = fs::remove_file(path);
        });
        names.len() - surplus
    }

    /// All messages, also those that a mail program has moved to `cur`.
    fn names(&self) -> Vec<PathBuf> {
        let list = |part: &str| fs::read_dir(self.folder.join(part)).into_iter().flatten().flatten();
        list("new").chain(list("cur")).map(|entry| entry.path()).collect()
    }
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> CaptureError {
    let path = path.to_owned();
    move |source| CaptureError { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        let mailbox = Mailbox::new(dir.path().join("captured"), 3);
        for n in 1..=5 {
            mailbox.put(&QueueId::new(n, 0), "Return-Path: <a@b>\r\n", b"Subject: x\r\n\r\n").unwrap();
        }
        mailbox.put(&QueueId::new(5, 0), "Return-Path: <a@b>\r\n", b"Subject: y\r\n\r\n").unwrap();
        let mut names: Vec<_> = mailbox.names();
        names.sort();
        assert_eq!(names.len(), 3);
        assert!(names[2].ends_with(QueueId::new(5, 0).as_str()));
        assert_eq!(fs::read(&names[2]).unwrap(), b"Return-Path: <a@b>\r\nSubject: y\r\n\r\n");
    }
}
