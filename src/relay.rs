//! The relay itself: wires the rooms together, keeps house, and goes down in good order.
//!
//! Nothing else knows all parts; each gets handed in what it needs.

mod at_rest;
mod changes;
mod config_file;
mod console;
mod core;
mod error;
mod file_watch;
mod front;
mod housekeeping;
mod reload;
mod restored;
mod service_manager;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

pub use self::core::Core;
pub use at_rest::at_rest;
pub use error::RelayError;
pub use service_manager::ServiceManager;

use self::core::STORE_GRACE;
use self::front::Front;
use self::reload::Reloader;
use crate::config::{Config, ConfigSource, LoadedConfig};
use crate::control::ControlSocket;
use crate::dns::HostLookups;
use crate::oauth::SignIns;
use crate::policy::test_mode::action_name;
use crate::report::log;
use crate::store::StoreError;
use crate::store::sqlite::{SqliteStore, Threading};
use crate::time::SystemClock;
use crate::upstream::TcpDial;
use crate::web::WebClient;

/// Threads on which something may block at most: files of large contents, passwords, the names of hosts.
const BLOCKING_THREADS: usize = 64;
/// How long such a thread stands that nobody needs.
const IDLE_THREAD: Duration = Duration::from_secs(2);

/// How long somebody who looks at the store is waited for, and how often.
const LOOK: Duration = Duration::from_millis(100);
const LOOKS: usize = 20;

/// What a relay runs on: a thread for each core but the one that the store's writer keeps busy, and a bounded number of those on
/// which something may block.
///
/// # Errors
/// When the system has no threads for it.
pub fn runtime() -> io::Result<Runtime> {
    let cores = std::thread::available_parallelism()?.get();
    let mut threads = Builder::new_multi_thread();
    threads.worker_threads(cores.saturating_sub(1).max(1));
    threads.enable_all().max_blocking_threads(BLOCKING_THREADS).thread_keep_alive(IDLE_THREAD).build()
}

/// Who needs a relay for a while.
pub struct RunScope<B, D> {
    /// Called once, when it takes requests.
    pub begun: B,
    /// The relay stops when this is done.
    pub done: D,
    /// Who has started it.
    pub manager: ServiceManager,
}

/// Runs the relay until SIGTERM or SIGINT. SIGHUP, a request over the control interface, or a change of the file where it is
/// watched, reads the configuration again from `source`; `log` then changes the log's settings, and `manager` hears how it is.
///
/// # Errors
/// When it can't start, or a part of it fails in a way that only a restart can mend.
pub async fn run(
    loaded: LoadedConfig,
    source: ConfigSource,
    log: log::Control,
    manager: ServiceManager,
) -> Result<(), RelayError> {
    let scope = RunScope { begun: || {}, done: std::future::pending(), manager };
    run_for(loaded, source, log, scope).await
}

/// How upstreams and the providers of tokens are reached: they share what looks hosts up.
fn ways_out() -> (Arc<TcpDial>, Arc<SignIns>) {
    let lookups = HostLookups::default();
    let web = WebClient::new(lookups.clone());
    (Arc::new(TcpDial::new(lookups)), Arc::new(SignIns::new(Arc::new(web))))
}

/// Runs the relay as [`run`] does, until its scope is over at the latest.
///
/// # Errors
/// As [`run`].
pub async fn run_for(
    loaded: LoadedConfig,
    source: ConfigSource,
    log: log::Control,
    scope: RunScope<impl FnOnce(), impl Future<Output = ()>>,
) -> Result<(), RelayError> {
    let mut reloader = Reloader::new(&loaded, source, log.clone(), scope.manager.clone()).await;
    let hear = |kind| signal(kind).map_err(RelayError::Signals);
    let (mut terminate, mut interrupt) = (hear(SignalKind::terminate())?, hear(SignalKind::interrupt())?);
    let mut hang_up = hear(SignalKind::hangup())?;
    let store = open_store(&loaded.config).await?;
    let config = Arc::new(reloader.restore_switches(&store, loaded.config).await?);
    // Whoever finds a listener finds the control socket, too.
    let control = ControlSocket::bind(&config.data_dir, config.control_group.as_ref())?;
    let sockets = Front::bind(&config)?;
    let (dial, sign_ins) = ways_out();
    let log_written = || log.wait_written();
    let core = Core::start(config.clone(), Arc::new(store), dial, sign_ins, log_written);
    let mut core = core.await?;
    core.kept_switches = reloader.kept_switches();
    let (stop, stopping) = watch::channel(false);
    let (requests, mut asked) = mpsc::channel(1);
    let mut front = Front::serve(&core, sockets, control, (requests, log.feed()), &stopping).await;
    log_started(&core, loaded.path.as_deref());
    let _attending = scope.manager.attend(core.context.store.clone());
    scope.manager.ready();
    (scope.begun)();
    let mut done = std::pin::pin!(scope.done);
    let end = loop {
        tokio::select! {
            name = either(&mut terminate, &mut interrupt) => break Ok(name),
            () = &mut done => break Ok("it was needed for a while only"),
            _ = hang_up.recv() => {
                // Whoever sent the signal reads the log.
                let _ = reloader.reload(&mut core, &mut front).await;
            }
            () = reloader.watch.changed(), if core.context.config.watch => {
                let _ = reloader.reload(&mut core, &mut front).await;
            }
            Some(request) = asked.recv() => reloader.answer(request, &mut core, &mut front).await,
            fault = core.failed() => break Err(fault),
            fault = front.failed() => break Err(fault),
        }
    };
    log_stopping(&end);
    scope.manager.stopping();
    let _ = stop.send(true);
    let store = core.context.store.clone();
    let grace = core.context.config.shutdown_grace.saturating_sub(STORE_GRACE);
    tokio::select! {
        ((), ()) = async { tokio::join!(front.stop(grace), core.stop(grace)) } => {}
        name = either(&mut terminate, &mut interrupt) => {
            tracing::warn!(event = "stopped", queued = store.queue_length(), reason = format!("a second {name}"));
            return Err(RelayError::StoppedAtOnce(name));
        }
    }
    tracing::info!(event = "stopped", queued = store.queue_length());
    end.map(|_| ()).map_err(RelayError::Fault)
}

fn log_stopping(end: &Result<&str, String>) {
    match end {
        Ok(name) => tracing::info!(event = "stopping", reason = name),
        Err(fault) => tracing::error!(event = "stopping", reason = fault),
    }
}

/// Opens the store. Whoever looks at it while no relay runs has it for a moment, which is waited for.
async fn open_store(config: &Config) -> Result<SqliteStore, StoreError> {
    let open = || {
        let clock = Arc::new(SystemClock);
        SqliteStore::open(&config.data_dir, config.queue.max_messages, Threading::Writer, clock)
    };
    for _ in 0..LOOKS {
        match open() {
            Err(StoreError::InUse(_)) => tokio::time::sleep(LOOK).await,
            opened => return opened,
        }
    }
    open()
}

/// Waits for either signal, and names it.
async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// Says what is in force, and by which file and folder; a person who looks into another one finds out here.
fn log_started(core: &Core, file: Option<&Path>) {
    let config = &core.context.config;
    let listeners: Vec<_> = config.listeners.iter().map(|l| l.address.to_string()).collect();
    let upstreams: Vec<_> = config.upstreams.iter().map(|u| u.name.as_str()).collect();
    let test = core.test_mode.state();
    tracing::info!(
        event = "started",
        version = env!("CARGO_PKG_VERSION"),
        config = file.map_or_else(|| "environment".to_owned(), |file| file.display().to_string()),
        data_dir = %config.data_dir.display(),
        listener = listeners.join(","),
        console = config.console.address.map(tracing::field::display),
        upstream = upstreams.join(","),
        queued = core.context.store.queue_length(),
        test_mode = test.enabled.then(|| action_name(test.action)),
        origin = test.origin,
    );
    for stop in core.context.accounts.stops(&upstreams) {
        let upstream = &stop.upstream;
        let next = stop.until.map(|until| format!("{:.3}", core.context.timeline.wall_at(until)));
        tracing::warn!(
            event = "stop_in_force",
            upstream,
            account = stop.account,
            reason = stop.reason,
            next,
            action = stop.action
        );
    }
    if test.enabled {
        test.log();
    }
    test.log_users(&config.users);
}
