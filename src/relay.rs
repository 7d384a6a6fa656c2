//! The relay itself: wires the rooms together, keeps house, and goes down in good order.
//!
//! Level 7. Nothing else knows all parts; each gets handed in what it needs.

mod core;

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use self::core::Core;

use self::core::LAST_WORDS;
use crate::config::{Config, Loaded};
use crate::control::{ControlSocket, SocketError, State};
use crate::deliver::TcpDial;
use crate::listen::{self, Door, Gate};
use crate::policy::admission::Admission;
use crate::policy::test_mode::action_name;
use crate::policy::users::Users;
use crate::session::Services;
use crate::store::StoreError;
use crate::store::sqlite::{SqliteStore, Threading};
use crate::time::SystemClock;
use crate::transform::DkimError;

/// Why the relay does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The store can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A DKIM key can't be used.
    #[error(transparent)]
    Dkim(#[from] DkimError),
    /// A listener's address can't be had.
    #[error("cannot listen at {address}: {reason}; is another program using the port, or is it below 1024?")]
    Listen {
        /// Which.
        address: std::net::SocketAddr,
        /// What the system says.
        reason: std::io::Error,
    },
    /// The control socket can't be made.
    #[error(transparent)]
    Control(#[from] SocketError),
    /// A part has ended that must not end. It is our fault; a restart recovers what it was doing.
    #[error("a fault in the program: {0}; please report it with the log")]
    Fault(String),
    /// Whoever told it to stop did not want to wait. What was under way is taken up at the next start.
    #[error("stopped at once by a second {0}; what was under way is taken up at the next start")]
    Hurried(&'static str),
    /// The system does not let us hear signals.
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
}

/// Runs the relay until SIGTERM or SIGINT.
///
/// # Errors
/// When it can't start, or a part of it fails in a way that only a restart can mend.
pub async fn run(loaded: Loaded) -> Result<(), RelayError> {
    let config = Arc::new(loaded.config);
    let mut terminate = signal(SignalKind::terminate()).map_err(RelayError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RelayError::Signals)?;
    let store = SqliteStore::open(&config.data_dir, config.queue.max_messages, Threading::Writer)?;
    let sockets = bind(&config).await?;
    let control = ControlSocket::bind(&config.data_dir)?;
    let mut core =
        Core::start(config.clone(), Arc::new(store), Arc::new(SystemClock), Arc::new(TcpDial)).await?;
    let (stop, stopping) = watch::channel(false);
    let mut front = JoinSet::new();
    serve(&mut front, &core, sockets, &stopping);
    front.spawn(control.serve(control_state(&core), stopped(stopping)));
    log_started(&core);
    let end = tokio::select! {
        name = either(&mut terminate, &mut interrupt) => Ok(name),
        fault = core.failed() => Err(fault),
        ended = front.join_next() => Err(format!("a listener has ended: {ended:?}")),
    };
    match &end {
        Ok(name) => tracing::info!(event = "stopping", reason = name),
        Err(fault) => tracing::error!(event = "stopping", reason = fault),
    }
    let _ = stop.send(true);
    let store = core.context.store.clone();
    let grace = config.shutdown_grace.saturating_sub(LAST_WORDS);
    let sessions = async {
        let all = async { while front.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(grace, all).await;
        front.shutdown().await;
    };
    tokio::select! {
        ((), ()) = async { tokio::join!(sessions, core.stop(grace)) } => {}
        name = either(&mut terminate, &mut interrupt) => {
            tracing::warn!(event = "stopped", queued = store.queue_length(), reason = format!("a second {name}"));
            return Err(RelayError::Hurried(name));
        }
    }
    tracing::info!(event = "stopped", queued = store.queue_length());
    end.map(|_| ()).map_err(RelayError::Fault)
}

/// Waits for either signal, and names it.
async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

async fn bind(config: &Config) -> Result<Vec<TcpListener>, RelayError> {
    let mut sockets = Vec::new();
    for listener in &config.listeners {
        let bound = listen::bind(listener).await;
        sockets.push(bound.map_err(|reason| RelayError::Listen { address: listener.address, reason })?);
    }
    Ok(sockets)
}

fn serve(front: &mut JoinSet<()>, core: &Core, sockets: Vec<TcpListener>, stopping: &watch::Receiver<bool>) {
    let context = &core.context;
    let config = &context.config;
    let services = Arc::new(Services {
        config: config.clone(),
        store: context.store.clone(),
        timeline: context.timeline.clone(),
        router: context.router.clone(),
        wake: context.wake.clone(),
        test_mode: core.test_mode.clone(),
        memory: context.memory.clone(),
        content_dir: config.data_dir.join("content"),
        admission: Arc::new(Admission::new(config)),
        users: Arc::new(Users::new(config, context.timeline.clone())),
    });
    let gate = Arc::new(Gate::new(config.session.max_connections, config.session.max_connections_per_client));
    for (socket, listener) in sockets.into_iter().zip(&config.listeners) {
        let door = Arc::new(ArcSwap::from_pointee(Door::new(listener, services.clone())));
        front.spawn(listen::serve(socket, door, gate.clone(), stopping.clone()));
    }
}

fn control_state(core: &Core) -> State {
    let context = &core.context;
    State {
        store: context.store.clone(),
        timeline: context.timeline.clone(),
        config: context.config.clone(),
        started: context.timeline.now(),
        version: env!("CARGO_PKG_VERSION"),
        throttle: context.throttle.clone(),
        wake: context.wake.clone(),
        board: context.board.clone(),
        test_mode: core.test_mode.clone(),
    }
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // When the sender is gone, so is the relay.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

fn log_started(core: &Core) {
    let config = &core.context.config;
    let listeners: Vec<_> = config.listeners.iter().map(|l| l.address.to_string()).collect();
    let upstreams: Vec<_> = config.upstreams.iter().map(|u| u.name.as_str()).collect();
    let test = core.test_mode.state();
    tracing::info!(
        event = "started",
        version = env!("CARGO_PKG_VERSION"),
        listener = listeners.join(","),
        upstream = upstreams.join(","),
        queued = core.context.store.queue_length(),
        test_mode = test.enabled.then(|| action_name(test.action)),
        origin = test.origin,
    );
    if test.enabled {
        let address = test.address.map(|address| address.to_string());
        tracing::warn!(event = "test_mode", enabled = true, action = action_name(test.action), to = address);
    }
}
