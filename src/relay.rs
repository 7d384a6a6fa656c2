//! The relay itself: wires the rooms together, keeps house, and goes down in good order.
//!
//! Level 7. Nothing else knows all parts; each gets handed in what it needs.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::config::{Capture, Config, Limits, Loaded, Upstream, UpstreamKind};
use crate::control::{ControlSocket, SocketError, State};
use crate::deliver::{Context, Dial, Lane, Mailbox, Phase, TcpDial};
use crate::listen::{self, Gate};
use crate::policy::admission::Admission;
use crate::policy::test_mode::{Switch, action_name};
use crate::queue::{Board, Wake};
use crate::route::Router;
use crate::session::Services;
use crate::store::sqlite::{SqliteStore, Threading};
use crate::store::{Store, StoreError};
use crate::throttle::Throttle;
use crate::time::{Clock, SystemClock, Timeline};
use crate::transform::{DkimError, Signer};

/// How often the relay looks whether the store has failed, and tries it again if it has.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How often the relay notes its tie to the clocks: only a boot makes its age matter, and a quiet relay should leave the
/// disk asleep.
const ANCHOR: Duration = Duration::from_secs(600);
/// How often counts that have left their windows are removed.
const PRUNE: Duration = Duration::from_secs(3600);
/// So much of `shutdown_grace` is kept for writing down what was broken off.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Why the relay does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The store can't be used.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A DKIM key can't be used.
    #[error("{0}")]
    Dkim(#[from] DkimError),
    /// A listener's address can't be had.
    #[error("cannot listen at {address}: {source}; is another program using the port, or is it below 1024?")]
    Listen {
        /// Which.
        address: std::net::SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The control socket can't be made.
    #[error("{0}")]
    Control(#[from] SocketError),
    /// The system does not let us hear signals.
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
}

/// The parts of a relay that do not depend on sockets and signals: it takes what is in the store and delivers it.
///
/// The dialer, the clock and the store are handed in, so that a test can stand in for the world.
pub struct Core {
    /// What all lanes share.
    pub context: Arc<Context>,
    /// The test mode switch.
    pub test_mode: Arc<Switch>,
    phase: watch::Sender<Phase>,
    lanes: JoinSet<()>,
}

impl Core {
    /// Recovers what a predecessor left and starts a lane for each upstream.
    ///
    /// # Errors
    /// When the store or a DKIM key can't be used.
    pub async fn start(
        config: Arc<Config>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        dial: Arc<dyn Dial>,
    ) -> Result<Self, RelayError> {
        let timeline = Timeline::resume(clock, store.anchor().await?.as_ref());
        let signer = Arc::new(Signer::new(&config.dkim)?);
        let wake = Arc::new(Wake::default());
        for (route, waited) in store.limit_waits().await? {
            wake.restore_limit_wait(&route, waited);
        }
        recover(&*store, &timeline).await?;
        let router = Arc::new(Router::new(&config));
        reroute(&*store, &router, &wake, &timeline).await?;
        let throttle = Arc::new(Throttle::default());
        throttle.restore(&store.usage().await?);
        let test_mode = Arc::new(Switch::load(store.clone(), &config.test_mode).await?);
        let memory = Arc::new(Semaphore::new(config.session.memory_budget.0 as usize));
        let (phase, watched) = watch::channel(Phase::Running);
        let context = Arc::new(Context {
            config,
            store,
            timeline,
            router,
            wake,
            board: Arc::new(Board::default()),
            throttle,
            signer,
            dial,
            memory,
            phase: watched,
        });
        let mut core = Self { context, test_mode, phase, lanes: JoinSet::new() };
        core.start_lanes();
        Ok(core)
    }

    fn start_lanes(&mut self) {
        let config = &self.context.config;
        let folder = config.data_dir.join("captured");
        let captured = Arc::new(Mailbox::new(folder, config.test_mode.capture_max));
        let lost = nowhere(config.test_mode.capture_max);
        for upstream in config.upstreams.iter().chain([&lost]) {
            self.lanes.spawn(Lane::new(self.context.clone(), upstream, captured.clone()).run());
        }
        let context = self.context.clone();
        self.lanes.spawn(keep_house(context));
    }

    /// Stops sending: what is under way may end within `grace`, then it is broken off and handed back.
    pub async fn stop(mut self, grace: Duration) {
        let _ = self.phase.send(Phase::Finishing);
        let all = async { while self.lanes.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, all).await.is_err() {
            let _ = self.phase.send(Phase::Stopping);
            let all = async { while self.lanes.join_next().await.is_some() {} };
            let _ = tokio::time::timeout(LAST_WORDS, all).await;
        }
        if let Err(error) = self.context.store.set_anchor(self.context.timeline.anchor()).await {
            tracing::error!(event = "store", reason = %error);
        }
    }
}

/// Runs the relay until SIGTERM or SIGINT.
///
/// # Errors
/// When it can't start. Once it runs, it ends only when it is told to.
pub async fn run(loaded: Loaded) -> Result<(), RelayError> {
    let config = Arc::new(loaded.config);
    let mut terminate = signal(SignalKind::terminate()).map_err(RelayError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RelayError::Signals)?;
    let store = SqliteStore::open(&config.data_dir, config.queue.max_messages, Threading::Writer)?;
    let sockets = bind(&config).await?;
    let control = ControlSocket::bind(&config.data_dir)?;
    let core = Core::start(config.clone(), Arc::new(store), Arc::new(SystemClock), Arc::new(TcpDial)).await?;
    let (stop, stopping) = watch::channel(false);
    let mut front = JoinSet::new();
    serve(&mut front, &core, sockets, &stopping);
    front.spawn(control.serve(control_state(&core), stopped(stopping)));
    log_started(&core);
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::info!(event = "stopping", reason = name);
    let _ = stop.send(true);
    let store = core.context.store.clone();
    let grace = config.shutdown_grace.saturating_sub(LAST_WORDS);
    let sessions = async {
        let all = async { while front.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(grace, all).await;
        front.shutdown().await;
    };
    tokio::join!(sessions, core.stop(grace));
    tracing::info!(event = "stopped", queued = store.queue_length());
    Ok(())
}

async fn bind(config: &Config) -> Result<Vec<TcpListener>, RelayError> {
    let mut sockets = Vec::new();
    for listener in &config.listeners {
        let bound = listen::bind(listener).await;
        sockets.push(bound.map_err(|source| RelayError::Listen { address: listener.address, source })?);
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
    });
    let gate = Arc::new(Gate::new(config.session.max_connections, config.session.max_connections_per_client));
    for (socket, listener) in sockets.into_iter().zip(&config.listeners) {
        let listener = Arc::new(listener.clone());
        front.spawn(listen::serve(socket, listener, services.clone(), gate.clone(), stopping.clone()));
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
        test_mode = test.enabled,
        action = test.enabled.then(|| action_name(test.action)),
        origin = test.origin,
    );
    if test.enabled {
        let address = test.address.map(|address| address.to_string());
        tracing::warn!(event = "test_mode", enabled = true, action = action_name(test.action), to = address);
    }
}

/// Voids the leases of a dead predecessor, and says what may come twice.
async fn recover(store: &dyn Store, timeline: &Timeline) -> Result<(), StoreError> {
    let recovered = store.recover(timeline.now()).await?;
    for queue_id in &recovered.unknown {
        tracing::warn!(event = "recovered", %queue_id, reason = "its last attempt was cut off: possible duplicate");
    }
    if recovered.orphans > 0 {
        tracing::info!(
            event = "recovered",
            files = recovered.orphans,
            reason = "content that was never acknowledged, removed"
        );
    }
    store.set_anchor(timeline.anchor()).await
}

/// Moves queued mail to the upstreams that serve its senders now.
async fn reroute(
    store: &dyn Store,
    router: &Router,
    wake: &Wake,
    timeline: &Timeline,
) -> Result<(), StoreError> {
    let now = timeline.now();
    for from in store.routes().await? {
        let to = router.route(&from.sender).map(|upstream| upstream.name.clone()).unwrap_or_default();
        if to != from.route {
            let credit = wake.limit_wait(&from.route, now) - wake.limit_wait(&to, now);
            tracing::info!(event = "rerouted", from = from.sender, reason = from.route, upstream = to);
            store.reroute(from, to, credit).await?;
        }
    }
    Ok(())
}

/// Writes down the tie to the clocks, which also tries a store that has failed; removes old counts.
async fn keep_house(context: Arc<Context>) {
    let mut phase = context.phase.clone();
    let mut anchored = context.timeline.now();
    let mut pruned = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(HEARTBEAT) => {}
            _ = phase.wait_for(|phase| *phase >= Phase::Finishing) => return,
        }
        let now = context.timeline.now();
        if now.since(anchored) >= ANCHOR || context.store.healthy().is_err() {
            // A failure has been logged by the store; the next beat tries again.
            let _ = context.store.set_anchor(context.timeline.anchor()).await;
            anchored = now;
        }
        if pruned.is_none_or(|pruned| now.since(pruned) >= PRUNE)
            && context.store.prune_usage(now).await.is_ok()
        {
            pruned = Some(now);
        }
    }
}

/// Where mail stands whose senders no upstream serves any more: it waits, and expires in the end.
fn nowhere(max: usize) -> Upstream {
    Upstream {
        name: String::new(),
        default: false,
        enabled: false,
        filter: Vec::new(),
        sign: false,
        kind: UpstreamKind::Capture(Capture { max }),
        limits: Limits::default(),
    }
}
