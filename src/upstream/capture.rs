//! The local mailbox: a Maildir in `DATA_DIR/captured`. Nothing leaves the machine.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read as _, Write};
use std::iter;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::content::{ContentError, SplitContent};
use crate::folder;
use crate::mail::QueueId;

/// The field of a captured message that shows a recipient of its envelope; one for each.
pub const RECIPIENT_FIELD: &str = "X-Mailsluice-Recipient";

/// A Maildir that keeps the newest messages.
#[derive(Debug)]
pub struct Mailbox {
    folder: PathBuf,
    max: usize,
    /// Messages in `new`, as far as we know; `None` until they have been counted.
    count: Mutex<Option<usize>>,
}

/// A message in the mailbox, as its file shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedFile {
    /// The queue id; or what somebody else has named the file, up to the flags that mail programs add.
    pub id: String,
    /// The file.
    pub path: PathBuf,
    /// Octets.
    pub size: u64,
    /// When it was captured.
    pub captured: SystemTime,
    /// Whether a mail program has seen it.
    pub seen: bool,
}

/// The mailbox could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// One of its files or folders.
    #[error("{path}: {source}")]
    File {
        /// Which file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// What was to be put into it can't be read.
    #[error(transparent)]
    Content(#[from] ContentError),
}

impl Mailbox {
    /// The mailbox in a folder, with at most `max` messages; the oldest go first.
    #[must_use]
    pub fn new(folder: PathBuf, max: usize) -> Self {
        Self { folder, max, count: Mutex::new(None) }
    }

    /// Puts a message into the mailbox: written and synced in `tmp`, then moved to `new`. It blocks.
    ///
    /// The same message with the same envelope replaces itself, so that an attempt that is repeated makes no second copy. A message
    /// whose recipients come in parts has a file for each.
    ///
    /// # Errors
    /// With the path that could not be written, or why the content can't be read.
    pub fn put(&self, id: &QueueId, envelope: &str, content: &SplitContent) -> Result<(), CaptureError> {
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
        let written = file.write_all(envelope.as_bytes()).and_then(|()| file.write_all(content.head()));
        written.map_err(at(&temporary))?;
        content.body().each_block(|block| file.write_all(block).map_err(at(&temporary)))?;
        file.sync_all().map_err(at(&temporary))?;
        let new = self.folder.join("new");
        let CapturePlace { path, is_taken } = place(&new, id, envelope).map_err(at(&new))?;
        fs::rename(&temporary, &path).map_err(at(&path))?;
        folder::sync(&new).map_err(at(&new))?;
        match count.as_mut() {
            Some(count) => *count += usize::from(!is_taken),
            None => *count = Some(self.names().len()),
        }
        if count.is_some_and(|count| count > self.max) {
            *count = Some(self.remove_oldest());
        }
        Ok(())
    }

    /// All messages, the oldest first, also those that a mail program has moved to `cur`; none where there is no mailbox.
    /// Whoever reads needs no running relay.
    ///
    /// # Errors
    /// With the path that could not be read.
    pub fn list(folder: &Path) -> Result<Vec<CapturedFile>, CaptureError> {
        let mut files = Vec::new();
        for (part, seen) in [("new", false), ("cur", true)] {
            let folder = folder.join(part);
            let entries = match fs::read_dir(&folder) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                entries => entries.map_err(at(&folder))?,
            };
            for entry in entries {
                let path = entry.map_err(at(&folder))?.path();
                // One that has gone since is no fault.
                let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
                let name =
                    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                let id = name.split(':').next().unwrap_or_default().to_owned();
                let captured = metadata.modified().map_err(at(&path))?;
                if metadata.is_file() {
                    files.push(CapturedFile { id, path, size: metadata.len(), captured, seen });
                }
            }
        }
        files.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Ok(files)
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

/// Where a message goes.
struct CapturePlace {
    path: PathBuf,
    /// Whether the same stands there, which it replaces.
    is_taken: bool,
}

/// Where a message with this envelope goes: over the same, or beside other parts of it.
fn place(folder: &Path, id: &QueueId, envelope: &str) -> std::io::Result<CapturePlace> {
    let later = (2_u32..).map(|part| format!("{id}-{part}"));
    for name in iter::once(id.to_string()).chain(later) {
        let path = folder.join(name);
        let mut beginning = Vec::new();
        match fs::File::open(&path) {
            Ok(file) => {
                file.take((envelope.len() + RECIPIENT_FIELD.len()) as u64).read_to_end(&mut beginning)?
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(CapturePlace { path, is_taken: false });
            }
            Err(error) => return Err(error),
        };
        let has_more = |rest: &[u8]| rest.starts_with(RECIPIENT_FIELD.as_bytes());
        if beginning.strip_prefix(envelope.as_bytes()).is_some_and(|rest| !has_more(rest)) {
            return Ok(CapturePlace { path, is_taken: true });
        }
    }
    Err(std::io::Error::other("too many parts of a message"))
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> CaptureError {
    let path = path.to_owned();
    move |source| CaptureError::File { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_message_stand_beside_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let mailbox = Mailbox::new(dir.path().join("captured"), 9);
        let content = SplitContent::memory(b"Subject: x\r\n\r\n".to_vec());
        let part = |to: &str| format!("Return-Path: <a@b>\r\n{to}");
        let (one, two) = ("X-Mailsluice-Recipient: <c@d>\r\n", "X-Mailsluice-Recipient: <e@f>\r\n");
        for to in [one, two, one, &format!("{one}{two}"), two] {
            mailbox.put(&QueueId::new(5, 0), &part(to), &content).unwrap();
        }
        let listed = Mailbox::list(&dir.path().join("captured")).unwrap();
        let texts: Vec<_> = listed.iter().map(|file| fs::read_to_string(&file.path).unwrap()).collect();
        let want = [one, two, &format!("{one}{two}")].map(|to| format!("{}Subject: x\r\n\r\n", part(to)));
        assert_eq!(texts, want);
        assert!(listed.iter().all(|file| file.id.starts_with(QueueId::new(5, 0).as_str())));
    }

    #[test]
    fn keeps_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        let mailbox = Mailbox::new(dir.path().join("captured"), 3);
        for n in 1..=5 {
            let content = SplitContent::memory(b"Subject: x\r\n\r\n".to_vec());
            mailbox.put(&QueueId::new(n, 0), "Return-Path: <a@b>\r\n", &content).unwrap();
        }
        let content = SplitContent::memory(b"Subject: y\r\n\r\n".to_vec());
        mailbox.put(&QueueId::new(5, 0), "Return-Path: <a@b>\r\n", &content).unwrap();
        let mut names: Vec<_> = mailbox.names();
        names.sort();
        assert_eq!(names.len(), 3);
        assert!(names[2].ends_with(QueueId::new(5, 0).as_str()));
        assert_eq!(fs::read(&names[2]).unwrap(), b"Return-Path: <a@b>\r\nSubject: y\r\n\r\n");
        // A mail program moves what it has seen, and adds its flags.
        let folder = dir.path().join("captured");
        fs::rename(&names[0], folder.join("cur").join(format!("{}:2,S", QueueId::new(3, 0)))).unwrap();
        let listed = Mailbox::list(&folder).unwrap();
        let listed: Vec<_> = listed.into_iter().map(|file| (file.id, file.size, file.seen)).collect();
        let want = [(3, 34, true), (4, 34, false), (5, 34, false)];
        assert_eq!(listed, want.map(|(n, size, seen)| (QueueId::new(n, 0).to_string(), size, seen)));
        assert_eq!(Mailbox::list(&dir.path().join("nothing")).unwrap(), []);
    }
}
