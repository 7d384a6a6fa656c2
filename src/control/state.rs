//! What the control interface shows and acts on.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::extract::FromRef;

use super::config_request::ConfigRequests;
use super::scrapes::Scrapes;
use super::stream::Streams;
use crate::account::Accounts;
use crate::alert::Alerts;
use crate::config::Config;
use crate::deliver::OutcomeWatchers;
use crate::lane::{LaneStatuses, LimitWaits, Wakeups};
use crate::memory::MemoryBudget;
use crate::metrics::Metrics;
use crate::oauth::SignIns;
use crate::policy::estimate::Estimate;
use crate::policy::kept_switches::KeptSwitches;
use crate::policy::test_mode::Switch;
use crate::policy::tokens::ApiTokens;
use crate::report::log::LogFeed;
use crate::route::Router;
use crate::store::Store;
use crate::time::{Moment, Timeline};
use crate::transform::Transformer;

/// The parts of the running relay that requests look at; handed in.
#[derive(Clone)]
pub struct ApiState {
    /// The queue, the blacklist, the counters.
    pub store: Arc<dyn Store>,
    /// What time it is.
    pub timeline: Timeline,
    /// The configuration in force.
    pub config: Arc<Config>,
    /// When the relay started.
    pub started: Moment,
    /// Whether it runs: what is at rest is only looked at.
    pub is_running: bool,
    /// The program's version.
    pub version: &'static str,
    /// Wakes those who wait for work.
    pub wakeups: Arc<Wakeups>,
    /// How the lanes are.
    pub statuses: Arc<LaneStatuses>,
    /// How long lanes have waited for limits.
    pub limit_waits: LimitWaits,
    /// Who waits for what becomes of a message.
    pub outcomes: Arc<OutcomeWatchers>,
    /// Memory for what is handed in.
    pub memory: MemoryBudget,
    /// Memory for what goes out.
    pub memory_out: MemoryBudget,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Which upstream serves a sender.
    pub router: Arc<Router>,
    /// What messages are changed by on their way out.
    pub transformer: Arc<Transformer>,
    /// Who may send, and how the limits are.
    pub accounts: Arc<Accounts>,
    /// When mail will probably go.
    pub estimate: Arc<Estimate>,
    /// Where tokens come from.
    pub sign_ins: Arc<SignIns>,
    /// What a person must know, and who is told.
    pub alerts: Arc<Alerts>,
    /// Test mode.
    pub test_mode: Arc<Switch>,
    /// Switches that the configuration file could not take.
    pub kept_switches: Arc<KeptSwitches>,
    /// Asks the relay to read its configuration again, or to change it.
    pub requests: ConfigRequests,
    /// Who may come in at the console's address.
    pub tokens: Arc<ApiTokens>,
    /// What is logged.
    pub events: LogFeed,
}

/// The state as requests find it: the one that is in force when they come.
#[derive(Clone)]
pub struct SharedState {
    in_force: Arc<ArcSwap<ApiState>>,
    streams: Streams,
    scrapes: Scrapes,
}

impl SharedState {
    /// With a first state.
    #[must_use]
    pub fn new(state: ApiState) -> Self {
        Self {
            in_force: Arc::new(ArcSwap::from_pointee(state)),
            streams: Streams::default(),
            scrapes: Scrapes::default(),
        }
    }

    /// The state in force.
    pub(super) fn in_force(&self) -> Arc<ApiState> {
        self.in_force.load_full()
    }

    /// Puts another state in force.
    pub fn store(&self, state: ApiState) {
        self.in_force.store(Arc::new(state));
    }
}

impl FromRef<SharedState> for ApiState {
    fn from_ref(shared: &SharedState) -> Self {
        (**shared.in_force.load()).clone()
    }
}

impl FromRef<SharedState> for Scrapes {
    fn from_ref(shared: &SharedState) -> Self {
        shared.scrapes.clone()
    }
}

impl FromRef<SharedState> for Streams {
    fn from_ref(shared: &SharedState) -> Self {
        shared.streams.clone()
    }
}
