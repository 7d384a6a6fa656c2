//! `mailsluice run`

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::context::CliContext;
use super::failure::{Failure, warn};
use crate::config::{ConfigPlace, Faults, LoadedConfig};
use crate::relay::{self, ServiceManager};
use crate::report::log;
use crate::time::SystemClock;

/// How long the last words on stderr may take.
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(1);

pub(super) fn execute(context: &CliContext) -> Result<(), Failure> {
    let loaded = context.load().map_err(|faults| told_of_init(faults, context))?;
    warn(&loaded.warnings);
    // The log has ended, and what waited is written, before the failure is told.
    run(context, loaded).map_err(tell_in_time)
}

/// The faults; a person without any configuration is told how to make one.
fn told_of_init(faults: Faults, context: &CliContext) -> Failure {
    let place = ConfigPlace::find(context.config.as_deref(), &context.machine());
    if io::stderr().is_terminal() && matches!(place, ConfigPlace::Free(_)) {
        return Failure::Configuration(format!(
            "{faults}\nmailsluice: there is no configuration; make one with: mailsluice init"
        ));
    }
    faults.into()
}

fn run(context: &CliContext, loaded: LoadedConfig) -> Result<(), Failure> {
    // A file of its own: `io::stdout` would hold a lock, and what a reader has not taken, at the end.
    let stdout = io::stdout().as_fd().try_clone_to_owned().map(File::from);
    let stdout = stdout.map_err(|error| Failure::Failed(error.into()))?;
    let installed = log::install_queued(loaded.config.log, Arc::new(SystemClock), stdout);
    let (log, _log_thread) = installed.map_err(|error| Failure::Failed(error.into()))?;
    log::log_panics();
    let source = context.source(&loaded);
    let manager = ServiceManager::find(|name| std::env::var_os(name));
    let manager =
        manager.map_err(|error| Failure::Failed(anyhow::Error::new(error).context("NOTIFY_SOCKET")))?;
    let runtime = relay::runtime().map_err(|error| Failure::Failed(error.into()))?;
    let ended = runtime.block_on(relay::run(loaded, source, log, manager));
    // All that must last has been waited for. A name look-up that hangs must not hold up the exit.
    runtime.shutdown_background();
    ended.map_err(|error| Failure::Failed(error.into()))
}

/// Says on stderr what has happened, but does not wait for a reader that stalls: the process must end.
fn tell_in_time(failure: Failure) -> Failure {
    let (done, is_done) = mpsc::channel();
    let telling = thread::Builder::new().spawn(move || {
        failure.report();
        let _ = done.send(());
    });
    if telling.is_ok() {
        let _ = is_done.recv_timeout(LAST_WORDS_LIMIT);
    }
    Failure::Told
}
