//! The facts of this machine that are judged.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::SystemTime;

use jiff::Timestamp;

use crate::config::Config;
use crate::control::view::StatusJson;
use crate::doctor::{Diagnosis, Disk, judge_clock, judge_disk, judge_expiry, judge_mode};
use crate::expiry::expiries;
use crate::time::{Clock, SystemClock};

/// Judges what ends, the disk, the clock and the modes. `status` is what a running relay says.
pub(super) fn judge(config: &Config, status: Option<&StatusJson>) -> Vec<Diagnosis> {
    let now = SystemClock.wall();
    let mut found: Vec<Diagnosis> = Vec::new();
    let known = |name: &str| status?.sign_ins.iter().find(|known| known.name == name);
    let renewed = |name: &str| known(name)?.renewed_at.as_ref()?.parse().ok();
    for ends in expiries(config, renewed) {
        found.extend(judge_expiry(&ends, now));
    }
    let path = config.data_dir.display().to_string();
    if let Some(free) = free(&config.data_dir) {
        found.extend(judge_disk(&Disk { path: path.clone(), free, needed: config.queue.min_free_disk.0 }));
    }
    found.extend(judge_clock(now, newest(&config.data_dir)));
    if let Ok(facts) = std::fs::metadata(&config.data_dir) {
        found.extend(judge_mode(&path, facts.permissions().mode()));
    }
    found
}

/// What is free where the data is, or will be.
fn free(data_dir: &Path) -> Option<u64> {
    let disk = data_dir.ancestors().find_map(|folder| rustix::fs::statvfs(folder).ok())?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// When something was last written there.
fn newest(data_dir: &Path) -> Option<Timestamp> {
    let entries = std::fs::read_dir(data_dir).ok()?;
    let written = |entry: std::io::Result<std::fs::DirEntry>| -> Option<SystemTime> {
        entry.ok()?.metadata().ok()?.modified().ok()
    };
    entries.filter_map(written).max().and_then(|time| Timestamp::try_from(time).ok())
}
