//! The sockets of a relay: listeners and the control interface, and what they are told after a reload.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::core::Core;
use super::error::RelayError;
use crate::config::Config;
use crate::control::{ApiState, ControlSocket, Reloads, SharedState};
use crate::listen::{self, Door, Gate};
use crate::memory::MemoryBudget;
use crate::policy::admission::Admission;
use crate::policy::estimate::{Estimate, Sources};
use crate::policy::pacing::Pacing;
use crate::policy::users::Users;
use crate::session::Services;

/// All sockets, open and served.
pub(super) struct Front {
    /// What serves them; ends when the relay stops.
    pub(super) tasks: JoinSet<()>,
    doors: Vec<(SocketAddr, Arc<ArcSwap<Door>>)>,
    control: SharedState,
    reloads: Reloads,
    /// A reload forgives nobody: who is locked out or too fast stays so.
    users: Mutex<Arc<Users>>,
    pacing: Arc<Pacing>,
    /// For what clients are handing in.
    memory: MemoryBudget,
}

impl Front {
    /// Opens the sockets of the configuration. Nobody is served yet.
    pub(super) async fn bind(config: &Config) -> Result<Vec<TcpListener>, RelayError> {
        let mut sockets = Vec::new();
        for listener in &config.listeners {
            let bound = listen::bind(listener).await;
            sockets.push(bound.map_err(|reason| RelayError::Listen { address: listener.address, reason })?);
        }
        Ok(sockets)
    }

    /// Serves them until `stopping` turns true.
    pub(super) fn serve(
        core: &Core,
        sockets: Vec<TcpListener>,
        control: ControlSocket,
        reloads: Reloads,
        stopping: &watch::Receiver<bool>,
    ) -> Self {
        let config = &core.context.config;
        let pacing = Arc::new(Pacing::new(core.context.timeline.clone()));
        let users = Arc::new(Users::new(config, core.login_secret.clone(), core.context.timeline.clone()));
        let memory = MemoryBudget::new(config.session.memory_in());
        let services = services(core, &users, &pacing, &memory);
        let gate =
            Arc::new(Gate::new(config.session.max_connections, config.session.max_connections_per_client));
        let mut tasks = JoinSet::new();
        let mut doors = Vec::new();
        for (socket, listener) in sockets.into_iter().zip(&config.listeners) {
            let door = Arc::new(ArcSwap::from_pointee(Door::new(listener, services.clone())));
            doors.push((listener.address, door.clone()));
            tasks.spawn(listen::serve(socket, door, gate.clone(), stopping.clone()));
        }
        let shared = SharedState::new(control_state(core, &reloads));
        tasks.spawn(control.serve(shared.clone(), stopped(stopping.clone())));
        Self { tasks, doors, control: shared, reloads, users: Mutex::new(users), pacing, memory }
    }

    /// Tells the sockets of the core's new configuration: each session has it from its next message on. Returns what only a
    /// restart can change.
    pub(super) fn follow(&self, core: &Core, before: &Config) -> Vec<String> {
        let config = &core.context.config;
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        *users = Arc::new(users.reloaded(config));
        self.memory.resize(config.session.memory_in());
        let services = services(core, &users, &self.pacing, &self.memory);
        let mut left = Vec::new();
        for listener in &config.listeners {
            match self.doors.iter().find(|(address, _)| *address == listener.address) {
                Some((_, door)) => door.store(Arc::new(Door::new(listener, services.clone()))),
                None => left.push(format!("the new listener {}", listener.address)),
            }
        }
        for (address, _) in &self.doors {
            if !config.listeners.iter().any(|listener| listener.address == *address) {
                left.push(format!("the listener {address} that is gone from the file"));
            }
        }
        let (old, new) = (&before.session, &config.session);
        if (old.max_connections, old.max_connections_per_client)
            != (new.max_connections, new.max_connections_per_client)
        {
            left.push("max_connections and max_connections_per_client".to_owned());
        }
        self.control.store(control_state(core, &self.reloads));
        left
    }
}

fn services(core: &Core, users: &Arc<Users>, pacing: &Arc<Pacing>, memory: &MemoryBudget) -> Arc<Services> {
    let context = &core.context;
    let config = &context.config;
    Arc::new(Services {
        config: config.clone(),
        instance: core.instance,
        store: context.store.clone(),
        timeline: context.timeline.clone(),
        router: context.router.clone(),
        wakeups: context.wakeups.clone(),
        limit_waits: context.limit_waits.clone(),
        test_mode: core.test_mode.clone(),
        memory: memory.clone(),
        admission: Arc::new(Admission::new(config)),
        estimate: estimate(core),
        users: users.clone(),
        pacing: pacing.clone(),
        direct: core.direct.clone(),
    })
}

fn estimate(core: &Core) -> Arc<Estimate> {
    let context = &core.context;
    let sources = Sources {
        store: context.store.clone(),
        timeline: context.timeline.clone(),
        accounts: context.accounts.clone(),
        statuses: context.statuses.clone(),
    };
    Arc::new(Estimate::new(sources))
}

fn control_state(core: &Core, reloads: &Reloads) -> ApiState {
    let context = &core.context;
    ApiState {
        store: context.store.clone(),
        timeline: context.timeline.clone(),
        config: context.config.clone(),
        started: core.started,
        version: env!("CARGO_PKG_VERSION"),
        wakeups: context.wakeups.clone(),
        statuses: context.statuses.clone(),
        router: context.router.clone(),
        accounts: context.accounts.clone(),
        estimate: estimate(core),
        test_mode: core.test_mode.clone(),
        reloads: reloads.clone(),
    }
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // When the sender is gone, so is the relay.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}
