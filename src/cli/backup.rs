//! `mailsluice backup`

use std::path::PathBuf;

use serde::Serialize;

use super::context::CliContext;
use super::failure::Failure;
use super::output::{count, size};
use super::progress::{ProgressUnit, TaskProgress};
use crate::config::DataDir;
use crate::report::log::escape::printable;
use crate::store::sqlite::Backup;
use crate::time::{Clock as _, SystemClock};

#[derive(Debug, clap::Args)]
pub(super) struct BackupOptions {
    /// The tar to make; one of that name is replaced once the new one is whole
    file: PathBuf,
}

/// A backup as `--json` has it.
#[derive(Debug, Serialize)]
struct BackupJson {
    file: PathBuf,
    messages: u64,
    contents: u64,
    octets: u64,
}

pub(super) fn execute(options: &BackupOptions, context: &CliContext) -> Result<(), Failure> {
    let data_dir = DataDir::find(context.config.as_deref(), &context.machine())?.path;
    let backup =
        Backup { data_dir: &data_dir, file: &options.file, now: SystemClock.wall().as_millisecond() };
    let progress = TaskProgress::of("Backing up", ProgressUnit::Octets);
    let sum = backup.take(|done, all| progress.show(done, all));
    drop(progress);
    let sum = sum.map_err(|error| Failure::Failed(error.into()))?;
    let file = options.file.clone();
    let text = format!(
        "{}: {} in the queue, {}",
        printable(&file.display().to_string()),
        count(sum.messages, "message"),
        size(sum.octets)
    );
    let told = BackupJson { file, messages: sum.messages, contents: sum.contents, octets: sum.octets };
    context.print_value(&told, &text)
}
