//! As whom the relay runs, by the owner of its data folder; commands may be given by somebody else, such as root.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::context::CliContext;
use super::failure::{Failure, warn};
use super::shell::shell_word;
use crate::config::DataDir;

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

/// Says what to do when the relay runs as another user than the owner of a new file or folder that is closed to all others.
pub(super) fn warn_of_closed(made: &Path, context: &CliContext) {
    let Ok(found) = DataDir::find(context.config.as_deref(), &context.machine()) else { return };
    let (Ok(relay), Ok(owner)) = (owner_of(&found.path), owner_of(made)) else { return };
    if relay != owner && relay != 0 {
        let (file, data_dir) = (made.display(), found.path.display());
        warn(&[format!(
            "{file} is closed to all but its owner (number {owner}), and the relay runs as another user, whose \
             data folder {data_dir} is (number {relay}): chown -R {relay} {}",
            shell_word(made)
        )]);
    }
}

fn owner_of(path: &Path) -> io::Result<u32> {
    Ok(fs::metadata(path)?.uid())
}
