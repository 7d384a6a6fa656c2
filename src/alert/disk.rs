//! The room on the disk.

use std::path::Path;

use super::trouble::{AlertCause, StandingTrouble, TroubleKey};
use crate::config::Config;

/// When there is less than this many times of what is needed, it is said.
const TIGHT: u64 = 4;

/// The room at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The place.
    pub path: String,
    /// What is free, in octets.
    pub free: u64,
    /// What must be (`[queue] min_free_disk`).
    pub needed: u64,
}

/// How it stands with the room on a disk, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskVerdict {
    /// There is too little: no mail is accepted.
    Full(String),
    /// There will soon be.
    Tight(String),
    /// There is enough.
    Enough(String),
}

/// What to do where there is little room.
pub const MAKE_ROOM: &str = "make room, or write a smaller min_free_disk in [queue]";

impl Disk {
    /// Looks at the place where the data is, or will be; `None` when nobody can tell. Asks the file system.
    #[must_use]
    pub fn of(config: &Config) -> Option<Self> {
        let path = config.data_dir.display().to_string();
        Some(Self { path, free: free(&config.data_dir)?, needed: config.queue.min_free_disk.0 })
    }

    /// Whether there is room for mail.
    #[must_use]
    pub fn verdict(&self) -> DiskVerdict {
        let Self { free, needed, .. } = *self;
        let mebibytes = free >> 20;
        if free < needed {
            DiskVerdict::Full(format!(
                "{mebibytes} MiB are free, less than min_free_disk, so that no mail is accepted"
            ))
        } else if free < needed.saturating_mul(TIGHT) {
            DiskVerdict::Tight(format!(
                "{mebibytes} MiB are free; below {} MiB no mail is accepted",
                needed >> 20
            ))
        } else {
            DiskVerdict::Enough(format!("{mebibytes} MiB are free"))
        }
    }

    /// The trouble that it is, unless there is enough room.
    pub(super) fn trouble(&self) -> Option<StandingTrouble> {
        let text = match self.verdict() {
            DiskVerdict::Full(text) | DiskVerdict::Tight(text) => text,
            DiskVerdict::Enough(_) => return None,
        };
        Some(StandingTrouble {
            key: TroubleKey::of_relay(AlertCause::Disk),
            text: format!("disk {}: {text}", self.path),
            action: MAKE_ROOM.to_owned(),
            step: None,
        })
    }
}

fn free(data_dir: &Path) -> Option<u64> {
    let disk = data_dir.ancestors().find_map(|folder| rustix::fs::statvfs(folder).ok())?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}
