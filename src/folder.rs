//! Folders that last: each entry on the way to them is synced.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

/// Makes a folder for us alone, with those above it that are missing, and makes the entries of all of them durable. One that is
/// there already may have been made by somebody who died before that.
///
/// # Errors
/// When it can't be made, or the entry of a new folder can't be synced. (Folders above ours may be closed to us; then nobody
/// but their owner has made what is in them.)
pub fn make(path: &Path) -> io::Result<()> {
    let missing =
        path.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists()).count();
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let path = path.canonicalize()?;
    for (place, parent) in path.ancestors().skip(1).enumerate() {
        let synced = sync(parent);
        if place < missing {
            synced?;
        }
    }
    Ok(())
}

/// Makes a file that is not there yet, for those whom `mode` lets read it, and makes it and its name durable. The name is there
/// only when all of the content is: nobody ever sees a part of it, and no crash leaves one behind by that name.
///
/// # Errors
/// When there is something of that name already, or it can't be written or synced.
pub fn create_file(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Some(name) = path.file_name() else { return Err(io::ErrorKind::InvalidFilename.into()) };
    let mut beside = OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}", std::process::id()));
    let beside = folder.join(beside);
    // Left over by a process that had our number and died; in a container all have the same one.
    let _ = std::fs::remove_file(&beside);
    let written = write_synced(&beside, content, mode).and_then(|()| {
        give_name(&beside, path)?;
        sync(folder).inspect_err(|_| drop(std::fs::remove_file(path)))
    });
    // When it can't be removed, that says no more than the error itself.
    let _ = std::fs::remove_file(&beside);
    written
}

/// Gives a file its name, unless something of that name is there.
fn give_name(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::hard_link(from, to) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            // Not every file system gives a file two names; those that don't may still rename with care.
            let careful = rustix::fs::RenameFlags::NOREPLACE;
            rustix::fs::renameat_with(rustix::fs::CWD, from, rustix::fs::CWD, to, careful)?;
            Ok(())
        }
        done => done,
    }
}

fn write_synced(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content).and_then(|()| file.sync_all())
}

/// Makes the names in a folder durable.
///
/// # Errors
/// When it can't be synced.
pub fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// A folder that is ours alone for as long as this lives, by a lock on a file in it.
#[derive(Debug)]
pub struct FolderLock(File);

impl FolderLock {
    /// Takes the lock; `None` when somebody else has it.
    ///
    /// # Errors
    /// When the file can't be made.
    pub fn take(path: &Path) -> io::Result<Option<Self>> {
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        // A command that looks whether somebody is there holds the lock for an instant.
        for wait in [Duration::ZERO, Duration::from_millis(50), Duration::from_millis(200)] {
            std::thread::sleep(wait);
            if rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok() {
                return Ok(Some(Self(lock)));
            }
        }
        Ok(None)
    }

    /// Whether a text was left in the file, by us or by a predecessor.
    #[must_use]
    pub fn is_marked(&self) -> bool {
        self.0.metadata().is_ok_and(|lock| lock.len() > 0)
    }

    /// Leaves a text in the file, and makes it durable.
    ///
    /// # Errors
    /// When it can't be written or synced.
    pub fn mark(&self, text: &str) -> io::Result<()> {
        let mut lock = &self.0;
        lock.write_all(text.as_bytes()).and_then(|()| lock.sync_all())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        create_file(&path, b"hush\n", 0o600).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = create_file(&path, b"other\n", 0o600).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"hush\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left behind");
        let nowhere = create_file(&folder.path().join("x/y"), b"", 0o600).unwrap_err();
        assert_eq!(nowhere.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_is_made_is_ours_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        for _ in 0..2 {
            make(&path).unwrap();
            for made in [&path, path.parent().unwrap()] {
                assert_eq!(std::fs::metadata(made).unwrap().permissions().mode() & 0o777, 0o700);
            }
        }
        std::fs::remove_dir(&path).unwrap();
        File::create(&path).unwrap();
        assert!(make(&path).is_err(), "a file is in its place");
    }
}
