//! Folders that last: each entry on the way to them is synced.

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{
    Access, AtFlags, Gid, Mode, OFlags, RenameFlags, Uid, accessat, fchown, linkat, mkdirat, openat,
    renameat, renameat_with, unlinkat,
};
use rustix::io::Errno;

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

/// Makes a folder with those above it that are missing, for those whom `mode` lets in, and makes their names durable. What root
/// makes in another user's folder belongs to that user. Tells the topmost of them, when any was missing.
///
/// # Errors
/// When one can't be made, given away or synced.
pub fn make_for_owner(path: &Path, mode: u32) -> io::Result<Option<&Path>> {
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let missing: Vec<&Path> = path.ancestors().take_while(is_missing).collect();
    for folder in missing.iter().rev() {
        let (parent, name) = place_of(folder)?;
        match mkdirat(&parent, name, Mode::from_raw_mode(mode)) {
            // Somebody else was faster.
            Err(Errno::EXIST) => continue,
            done => done?,
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        give_to_owner(&File::from(openat(&parent, name, flags, Mode::empty())?), &parent)?;
        parent.sync_all()?;
    }
    Ok(missing.last().copied())
}

/// Makes a file that is not there yet, for those whom `mode` lets read it, and makes it and its name durable. The name is there
/// only when all of the content is: nobody ever sees a part of it, and no crash leaves one behind by that name. What root makes
/// in another user's folder belongs to that user.
///
/// # Errors
/// When there is something of that name already, or it can't be written, given away or synced.
pub fn create_file(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let (folder, name) = place_of(path)?;
    let beside = name_beside(name);
    let remove = |name: &OsStr| {
        let _ = unlinkat(&folder, name, AtFlags::empty());
    };
    // Left over by a process that had our number and died; in a container all have the same one.
    remove(&beside);
    let written = write_synced((&folder, &beside), content, mode).and_then(|()| {
        give_name(&folder, &beside, name)?;
        folder.sync_all().inspect_err(|_| remove(name))
    });
    // When it can't be removed, that says no more than the error itself.
    remove(&beside);
    written
}

/// A file that grows under another name, for its owner alone, and has its own name only once all of it is there. Dropped before, it
/// leaves nothing behind.
#[derive(Debug)]
pub struct GrowingFile {
    /// What is written to.
    pub file: File,
    folder: File,
    beside: OsString,
    name: OsString,
    is_named: bool,
}

impl GrowingFile {
    /// Begins a file.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn begin(path: &Path) -> io::Result<Self> {
        let (folder, name) = place_of(path)?;
        let beside = name_beside(name);
        let _ = unlinkat(&folder, &beside, AtFlags::empty());
        let new = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = File::from(openat(&folder, &beside, new, Mode::from_raw_mode(0o600))?);
        Ok(Self { file, folder, beside, name: name.to_owned(), is_named: false })
    }

    /// Makes it durable, and gives it its name: what had that before is gone.
    ///
    /// # Errors
    /// When it can't be synced or renamed.
    pub fn finish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        renameat(&self.folder, &self.beside, &self.folder, &self.name)?;
        self.is_named = true;
        self.folder.sync_all()
    }
}

impl Drop for GrowingFile {
    fn drop(&mut self) {
        if !self.is_named {
            let _ = unlinkat(&self.folder, &self.beside, AtFlags::empty());
        }
    }
}

/// What became of a file that was to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replacement {
    /// The new content is in its place, and lasts.
    Done,
    /// It has another content than was expected, and was not touched.
    Differs,
}

/// Puts another content in the place of a file's, in one step: whoever reads it finds the old one or the new one, and so does
/// who comes after a crash. A link is followed; owner, group and mode stay.
///
/// # Errors
/// When we may not write it, or its folder can't take another file, or owner and mode can't be kept: then nothing has changed.
pub fn replace_file(path: &Path, expected: &[u8], content: &[u8]) -> io::Result<Replacement> {
    let path = path.canonicalize()?;
    let (folder, name) = place_of(&path)?;
    accessat(&folder, name, Access::WRITE_OK, AtFlags::EACCESS)?;
    let is_expected = || {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut found = Vec::new();
        let file = File::from(openat(&folder, name, flags, Mode::empty())?);
        (&file).take(expected.len() as u64 + 1).read_to_end(&mut found)?;
        Ok::<_, io::Error>((found == expected).then_some(file.metadata()?))
    };
    let Some(facts) = is_expected()? else { return Ok(Replacement::Differs) };
    let beside = name_beside(name);
    let remove = || {
        let _ = unlinkat(&folder, &beside, AtFlags::empty());
    };
    remove();
    let replaced = write_like(&folder, &beside, content, &facts).and_then(|()| {
        // Whoever has written it meanwhile goes first.
        if is_expected()?.is_none() {
            return Ok(Replacement::Differs);
        }
        renameat(&folder, &beside, &folder, name)?;
        folder.sync_all()?;
        Ok(Replacement::Done)
    });
    if !matches!(replaced, Ok(Replacement::Done)) {
        remove();
    }
    replaced
}

/// Writes a file that has the owner and the mode of another, and syncs it.
fn write_like(folder: &File, name: &OsStr, content: &[u8], like: &Metadata) -> io::Result<()> {
    let new = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let mut file = File::from(openat(folder, name, new, Mode::from_raw_mode(0o600))?);
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
        fchown(&file, Some(Uid::from_raw(like.uid())), Some(Gid::from_raw(like.gid())))?;
    }
    file.set_permissions(like.permissions())?;
    file.write_all(content)?;
    file.sync_all()
}

/// The name under which a file is written before it gets its own.
fn name_beside(name: &OsStr) -> OsString {
    let mut beside = OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}", std::process::id()));
    beside
}

/// The folder of something, opened, so that it stays the same one whatever others do, and the name in it.
fn place_of(path: &Path) -> io::Result<(File, &OsStr)> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Some(name) = path.file_name() else { return Err(io::ErrorKind::InvalidFilename.into()) };
    Ok((File::open(folder)?, name))
}

/// Gives a file its name, unless something of that name is there.
fn give_name(folder: &File, from: &OsStr, to: &OsStr) -> io::Result<()> {
    match linkat(folder, from, folder, to, AtFlags::empty()) {
        Err(error) if error != Errno::EXIST => {
            // Not every file system gives a file two names; those that don't may still rename with care.
            Ok(renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE)?)
        }
        done => Ok(done?),
    }
}

fn write_synced((folder, name): (&File, &OsStr), content: &[u8], mode: u32) -> io::Result<()> {
    let new = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let mut file = File::from(openat(folder, name, new, Mode::from_raw_mode(mode))?);
    give_to_owner(&file, folder)?;
    file.write_all(content).and_then(|()| file.sync_all())
}

/// What root makes for another user's programs must be that user's, or they can't read it.
fn give_to_owner(made: &File, folder: &File) -> io::Result<()> {
    let owner = folder.metadata()?;
    if rustix::process::geteuid().is_root() && owner.uid() != 0 {
        fchown(made, Some(Uid::from_raw(owner.uid())), Some(Gid::from_raw(owner.gid())))?;
    }
    Ok(())
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
        assert!(create_file(&folder.path().join(".."), b"", 0o600).is_err());
    }

    #[expect(clippy::disallowed_methods, reason = "a test writes plain files")]
    #[test]
    fn a_file_is_replaced_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("a.toml"), folder.path().join("link"));
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            std::os::unix::fs::chown(&path, Some(65534), Some(65534)).unwrap();
        }
        let facts = |path: &Path| {
            let facts = std::fs::metadata(path).unwrap();
            (facts.uid(), facts.gid(), facts.permissions().mode())
        };
        let before = facts(&path);
        assert_eq!(replace_file(&link, b"old", b"new").unwrap(), Replacement::Done);
        assert_eq!((std::fs::read(&path).unwrap(), facts(&path)), (b"new".to_vec(), before));
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        for other in [&b"old"[..], b"ne", b"new!"] {
            assert_eq!(replace_file(&path, other, b"x").unwrap(), Replacement::Differs);
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left behind");
        assert!(replace_file(&folder.path().join("b"), b"", b"x").is_err());
        if !is_root {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o440)).unwrap();
            let closed = replace_file(&path, b"new", b"x").unwrap_err();
            assert_eq!(closed.kind(), io::ErrorKind::PermissionDenied);
        }
    }

    #[test]
    fn what_is_made_in_a_folder_has_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        // Only root can give anything away; for all others it is theirs anyway.
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            std::os::unix::fs::chown(folder.path(), Some(65534), Some(65534)).unwrap();
        }
        let (folders, file) = (folder.path().join("a/b"), folder.path().join("a/b/key"));
        assert_eq!(make_for_owner(&folders, 0o700).unwrap(), Some(&*folder.path().join("a")));
        assert_eq!(make_for_owner(&folders, 0o700).unwrap(), None);
        create_file(&file, b"hush\n", 0o600).unwrap();
        let owner = std::fs::metadata(folder.path()).unwrap();
        for (made, mode) in [(&folders, 0o700), (&folder.path().join("a"), 0o700), (&file, 0o600)] {
            let made = std::fs::metadata(made).unwrap();
            assert_eq!((made.uid(), made.gid()), (owner.uid(), owner.gid()));
            assert_eq!(made.permissions().mode() & 0o777, mode);
        }
        assert_eq!(owner.uid() == 65534, is_root);
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
