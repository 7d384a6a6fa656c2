//! Folders that last: each entry on the way to them is synced.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

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

/// Makes the names in a folder durable.
///
/// # Errors
/// When it can't be synced.
pub fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

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
