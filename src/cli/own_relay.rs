//! The relay within a command, for as long as the command needs one.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::context::CliContext;
use super::failure::Failure;
use super::relay_user::check_owner;
use crate::config::LoadedConfig;
use crate::relay::{self, RelayError, RunScope, ServiceManager};
use crate::report::log::{Control, LineLayer};
use crate::time::SystemClock;

/// How long it may take to start.
const START_LIMIT: Duration = Duration::from_mins(1);
/// How much longer it may take to end than what is under way in it.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A relay in this process. SIGTERM, SIGINT and the end of this value stop it.
pub(super) struct OwnRelay {
    /// Dropped to stop it.
    stop: Option<oneshot::Sender<()>>,
    told: Receiver<News>,
    /// How long it may take to end.
    patience: Duration,
}

/// What the relay's thread says.
enum News {
    Begun,
    Ended(Result<(), RelayError>),
}

impl OwnRelay {
    /// Starts the relay of this configuration, as `run` does, and waits until it takes requests. What it logs is written
    /// nowhere: whoever starts it asks it.
    pub(super) fn start(context: &CliContext) -> Result<Self, Failure> {
        let loaded = context.load()?;
        check_owner(&loaded.config.data_dir)?;
        let patience = loaded.config.shutdown_grace + STOP_LIMIT;
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = mpsc::channel();
        let source = context.source(&loaded);
        let runtime = relay::runtime().map_err(|error| Failure::Failed(error.into()))?;
        let work = move || {
            let log = unread_log(&loaded);
            let begun = || drop(tell.send(News::Begun));
            let done = async { drop(stopped.await) };
            let scope = RunScope { begun, done, manager: ServiceManager::default() };
            let ended = runtime.block_on(relay::run_for(loaded, source, log, scope));
            runtime.shutdown_background();
            // Who has gone needs no word.
            let _ = tell.send(News::Ended(ended));
        };
        let thread = thread::Builder::new().name("relay".to_owned()).spawn(work);
        thread.map_err(|error| Failure::Failed(error.into()))?;
        let started = Self { stop: Some(stop), told, patience };
        match started.told.recv_timeout(START_LIMIT) {
            Ok(News::Begun) => Ok(started),
            Ok(News::Ended(Err(error))) => Err(Failure::Failed(error.into())),
            Ok(News::Ended(Ok(()))) => Err(Failure::new("the relay was stopped while it started")),
            Err(_) => Err(Failure::new("the relay did not start: mailsluice run tells more")),
        }
    }

    /// Stops it, and waits until what is under way has ended or is handed back.
    pub(super) fn stop(mut self) -> Result<(), Failure> {
        self.end().map_err(|error| Failure::Failed(error.into()))
    }

    fn end(&mut self) -> Result<(), RelayError> {
        if self.stop.take().is_none() {
            return Ok(());
        }
        match self.told.recv_timeout(self.patience) {
            Ok(News::Ended(ended)) => ended,
            // What it was at is in the queue, whatever becomes of this process.
            Ok(News::Begun) | Err(_) => Ok(()),
        }
    }
}

impl Drop for OwnRelay {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// The settings of a log that nobody reads.
fn unread_log(loaded: &LoadedConfig) -> Control {
    let (_, log): (LineLayer<io::Sink>, Control) =
        LineLayer::new(loaded.config.log, Arc::new(SystemClock), io::sink());
    log
}
