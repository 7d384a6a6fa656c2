//! What the control interface shows and acts on.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::extract::FromRef;
use tokio::sync::{mpsc, oneshot};

use crate::config::Config;
use crate::deliver::Fleet;
use crate::policy::estimate::Estimate;
use crate::policy::test_mode::Switch;
use crate::queue::{Board, Wake};
use crate::route::Router;
use crate::store::Store;
use crate::throttle::Throttle;
use crate::time::{Moment, Timeline};

/// The parts of the running relay that requests look at; handed in.
#[derive(Clone)]
pub struct State {
    /// The queue, the blacklist, the counters.
    pub store: Arc<dyn Store>,
    /// What time it is.
    pub timeline: Timeline,
    /// The configuration in force.
    pub config: Arc<Config>,
    /// When the relay started.
    pub started: Moment,
    /// The program's version.
    pub version: &'static str,
    /// The limits.
    pub throttle: Arc<Throttle>,
    /// Wakes those who wait for work.
    pub wake: Arc<Wake>,
    /// How the upstreams are.
    pub board: Arc<Board>,
    /// Which upstream serves a sender.
    pub router: Arc<Router>,
    /// What carries mail.
    pub fleet: Arc<Fleet>,
    /// When mail will probably go.
    pub estimate: Arc<Estimate>,
    /// Test mode.
    pub test_mode: Arc<Switch>,
    /// Asks the relay to read its configuration again.
    pub reloads: Reloads,
}

/// The way to ask for a reload. The answer is what only a restart can change, or all faults, one per line.
pub type Reloads = mpsc::Sender<oneshot::Sender<Result<Vec<String>, String>>>;

/// The state as requests find it: the one that is in force when they come.
#[derive(Clone)]
pub struct Shared(Arc<ArcSwap<State>>);

impl Shared {
    /// With a first state.
    #[must_use]
    pub fn new(state: State) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(state)))
    }

    /// Puts another state in force.
    pub fn store(&self, state: State) {
        self.0.store(Arc::new(state));
    }
}

impl FromRef<Shared> for State {
    fn from_ref(shared: &Shared) -> Self {
        (**shared.0.load()).clone()
    }
}
