//! Whose the relay's data folder is.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::failure::Failure;

/// Refuses to make files in the relay's folder that the relay could not write, since they would be another user's.
pub(super) fn check_owner(data_dir: &Path) -> Result<(), Failure> {
    let us = rustix::process::geteuid();
    let (folder, owner) = match owner_of(data_dir) {
        Ok(owner) => (data_dir, owner),
        // Root makes it where another user has everything: that one would find it closed.
        Err(_) if us.is_root() => {
            let above =
                data_dir.ancestors().skip(1).find_map(|folder| Some((folder, owner_of(folder).ok()?)));
            above.filter(|(_, owner)| *owner != 0).unwrap_or((data_dir, us.as_raw()))
        }
        Err(_) => return Ok(()),
    };
    if owner == us.as_raw() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{} belongs to another user (number {owner}), as whom the relay runs: run this as that user, or while the relay runs",
        folder.display(),
    )))
}

/// The number of the user whose it is.
pub(super) fn owner_of(path: &Path) -> io::Result<u32> {
    Ok(fs::metadata(path)?.uid())
}
