//! `mailsluice run`

use std::io;
use std::sync::Arc;

use super::context::CliContext;
use super::failure::{Failure, complain};
use crate::config::{Config, Machine};
use crate::relay;
use crate::report::log;
use crate::time::SystemClock;

pub(super) fn execute(context: &CliContext) -> Result<(), Failure> {
    let loaded = context.load()?;
    for warning in &loaded.warnings {
        complain(&warning.to_string());
    }
    let log = log::install(loaded.config.log, Arc::new(SystemClock), io::stdout())
        .map_err(|error| Failure::Failed(error.into()))?;
    let file = loaded.path.clone().or_else(|| context.config.clone());
    let reread = Box::new(move || Config::load(file.as_deref(), &Machine::here()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(error.into()))?;
    let ended = runtime.block_on(relay::run(loaded, reread, log));
    // All that must last has been waited for. A name look-up that hangs must not hold up the exit.
    runtime.shutdown_background();
    ended.map_err(|error| Failure::Failed(error.into()))
}
