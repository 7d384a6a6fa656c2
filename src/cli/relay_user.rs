//! As whom the relay runs, by the owner of its data folder; commands may be given by somebody else, such as root.

use std::path::Path;

use super::context::CliContext;
use super::failure::warn;
pub(super) use super::folder_owner::check_owner;
use super::folder_owner::owner_of;
use super::shell::shell_word;
use crate::config::DataDir;

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
