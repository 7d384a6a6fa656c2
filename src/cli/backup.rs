//! `mailsluice backup`

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;

use serde::Serialize;

use super::context::CliContext;
use super::failure::Failure;
use super::output::{count, size};
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
    let mut progress = ProgressLine::new();
    let sum = backup.take(|done, all| progress.show(done, all));
    progress.end();
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

/// How far something has come, in a line on stderr that is written again and again, where a person looks on.
struct ProgressLine {
    is_shown: bool,
    percent: Option<u64>,
}

impl ProgressLine {
    fn new() -> Self {
        Self { is_shown: io::stderr().is_terminal(), percent: None }
    }

    fn show(&mut self, done: u64, all: u64) {
        let percent = done.saturating_mul(100).checked_div(all).unwrap_or(100).min(100);
        if !self.is_shown || self.percent == Some(percent) {
            return;
        }
        self.percent = Some(percent);
        let text = format!("\r{percent:3} % of {}", size(all));
        // Who does not read it misses nothing.
        let _ = io::stderr().write_all(text.as_bytes());
    }

    fn end(&self) {
        if self.percent.is_some() {
            let _ = io::stderr().write_all(b"\n");
        }
    }
}
