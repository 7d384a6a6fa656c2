//! The sockets of a relay: listeners, and those of the control interface, and what they are told after a reload.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use super::console::{ConsoleChange, OpenConsole};
use super::core::Core;
use super::error::RelayError;
use crate::config::Config;
use crate::control::{ApiState, ConfigRequests, ControlSocket, SharedState};
use crate::deliver::Context;
use crate::listen::{BoundSockets, Listeners};
use crate::memory::MemoryBudget;
use crate::policy::admission::Admission;
use crate::policy::estimate::{Estimate, Sources};
use crate::policy::pacing::Pacing;
use crate::policy::tokens::ApiTokens;
use crate::policy::users::Users;
use crate::report::log::LogFeed;
use crate::session::Services;

/// All sockets, open and served.
pub(super) struct Front {
    listeners: Listeners,
    /// Serves the control socket; ends when the relay stops.
    control: JoinSet<()>,
    console: OpenConsole,
    state: SharedState,
    requests: ConfigRequests,
    lasting: Lasting,
}

/// What outlives a reload, for it forgives nobody: who is locked out or too fast stays so.
struct Lasting {
    users: Arc<Users>,
    pacing: Arc<Pacing>,
    admission: Arc<Admission>,
    /// For what clients are handing in.
    memory: MemoryBudget,
    tokens: Arc<ApiTokens>,
    /// What is logged, for those who read along.
    events: LogFeed,
}

/// All sockets of a relay that starts, open though nobody is served yet.
pub(super) struct OpenFront {
    listeners: Listeners,
    sockets: BoundSockets,
    console: OpenConsole,
    console_socket: ConsoleChange,
}

/// What a configuration needs of the front, made before it is in force.
pub(super) struct PreparedFront {
    sockets: BoundSockets,
    users: Arc<Users>,
    console: ConsoleChange,
}

impl Front {
    /// Opens the sockets of the configuration. Nobody is served yet.
    pub(super) fn bind(config: &Config) -> Result<OpenFront, RelayError> {
        let listeners = Listeners::new(&config.session);
        let sockets = listeners.bind(&config.listeners)?;
        let console = OpenConsole::default();
        let console_socket = console.prepare(&config.console)?;
        Ok(OpenFront { listeners, sockets, console, console_socket })
    }

    /// Serves them until [`stop`](Self::stop), and the control socket until `stopping` turns true.
    pub(super) async fn serve(
        core: &Core,
        open: OpenFront,
        control: ControlSocket,
        (requests, events): (ConfigRequests, LogFeed),
        stopping: &watch::Receiver<bool>,
    ) -> Self {
        let OpenFront { mut listeners, sockets, mut console, console_socket } = open;
        let config = &core.context.config;
        let timeline = core.context.timeline.clone();
        let lasting = Lasting {
            pacing: Arc::new(Pacing::new(timeline.clone())),
            tokens: Arc::new(ApiTokens::new(&config.api_tokens, timeline.clone())),
            users: Arc::new(Users::new(config, core.login_secret.clone(), timeline)),
            admission: Arc::new(Admission::new(config)),
            memory: MemoryBudget::new(config.session.memory_in()),
            events,
        };
        listeners.follow(sockets, &config.listeners, &services(core, &lasting)).await;
        let state = SharedState::new(control_state(core, &lasting, &requests));
        let mut serving = JoinSet::new();
        serving.spawn(control.serve(state.clone(), stopped(stopping.clone())));
        console.follow(console_socket, &state);
        Self { listeners, control: serving, console, state, requests, lasting }
    }

    /// Makes what another configuration needs. Nothing of what is in force changes.
    ///
    /// # Errors
    /// When a listener's address can't be had.
    pub(super) async fn prepare(&self, config: &Arc<Config>) -> Result<PreparedFront, RelayError> {
        let sockets = self.listeners.bind(&config.listeners)?;
        let console = self.console.prepare(&config.console)?;
        let (users, config) = (self.lasting.users.clone(), config.clone());
        // Verifiers of passwords take their time.
        let users = tokio::task::spawn_blocking(move || users.reloaded(&config)).await;
        Ok(PreparedFront {
            sockets,
            users: Arc::new(users.map_err(|error| RelayError::Fault(error.to_string()))?),
            console,
        })
    }

    /// Puts the core's new configuration in force at all sockets: who comes in has it at once, a session from its next
    /// message on.
    pub(super) async fn follow(&mut self, core: &Core, prepared: PreparedFront) {
        let config = &core.context.config;
        self.lasting.users = prepared.users;
        self.lasting.tokens = Arc::new(self.lasting.tokens.reloaded(&config.api_tokens));
        self.lasting.memory.resize(config.session.memory_in());
        self.lasting.admission.follow(config);
        core.context.store.set_max_messages(config.queue.max_messages);
        let services = services(core, &self.lasting);
        self.listeners.follow(prepared.sockets, &config.listeners, &services).await;
        self.show(core);
        self.console.follow(prepared.console, &self.state);
    }

    /// Shows requests the core as it is now.
    pub(super) fn show(&self, core: &Core) {
        self.state.store(control_state(core, &self.lasting, &self.requests));
    }

    /// Waits for a part that ends although nobody has told it to.
    pub(super) async fn failed(&mut self) -> String {
        let control =
            |ended: Option<Result<(), JoinError>>| format!("the control socket has ended: {ended:?}");
        tokio::select! {
            fault = self.listeners.failed() => fault,
            ended = self.control.join_next() => control(ended),
            fault = self.console.failed() => fault,
        }
    }

    /// Closes all listeners; sessions, and requests, may end what is under way within `grace`.
    pub(super) async fn stop(&mut self, grace: Duration) {
        self.listeners.stop();
        self.console.stop();
        let all = async {
            self.listeners.ended().await;
            while self.control.join_next().await.is_some() {}
            self.console.ended().await;
        };
        let _ = tokio::time::timeout(grace, all).await;
        self.listeners.shutdown().await;
        self.control.shutdown().await;
        self.console.shutdown().await;
    }
}

fn services(core: &Core, lasting: &Lasting) -> Arc<Services> {
    let context = &core.context;
    let config = &context.config;
    Arc::new(Services {
        config: config.clone(),
        instance: core.instance,
        store: context.store.clone(),
        timeline: context.timeline.clone(),
        router: context.router.clone(),
        transformer: context.transformer.clone(),
        wakeups: context.wakeups.clone(),
        limit_waits: context.limit_waits.clone(),
        test_mode: core.test_mode.clone(),
        memory: lasting.memory.clone(),
        admission: lasting.admission.clone(),
        estimate: estimate_of(context),
        users: lasting.users.clone(),
        pacing: lasting.pacing.clone(),
        metrics: context.metrics.clone(),
        direct: core.direct.clone(),
    })
}

/// What tells when mail will go.
pub(super) fn estimate_of(context: &Context) -> Arc<Estimate> {
    let sources = Sources {
        store: context.store.clone(),
        timeline: context.timeline.clone(),
        accounts: context.accounts.clone(),
        statuses: context.statuses.clone(),
    };
    Arc::new(Estimate::new(sources))
}

fn control_state(core: &Core, lasting: &Lasting, requests: &ConfigRequests) -> ApiState {
    let context = &core.context;
    ApiState {
        store: context.store.clone(),
        timeline: context.timeline.clone(),
        config: context.config.clone(),
        started: core.started,
        is_running: true,
        version: env!("CARGO_PKG_VERSION"),
        wakeups: context.wakeups.clone(),
        statuses: context.statuses.clone(),
        limit_waits: context.limit_waits.clone(),
        outcomes: context.outcomes.clone(),
        memory: lasting.memory.clone(),
        memory_out: context.memory.clone(),
        metrics: context.metrics.clone(),
        router: context.router.clone(),
        transformer: context.transformer.clone(),
        accounts: context.accounts.clone(),
        estimate: estimate_of(context),
        sign_ins: core.sign_ins.clone(),
        alerts: core.alerts.clone(),
        test_mode: core.test_mode.clone(),
        kept_switches: core.kept_switches.clone(),
        requests: requests.clone(),
        tokens: lasting.tokens.clone(),
        events: lasting.events.clone(),
    }
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // When the sender is gone, so is the relay.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}
