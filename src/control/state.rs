//! What the control interface shows and acts on.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::extract::FromRef;
use tokio::sync::{mpsc, oneshot};

use super::stream::Streams;
use crate::account::Accounts;
use crate::config::{Config, FileChange};
use crate::deliver::OutcomeWatchers;
use crate::lane::{LaneStatuses, LimitWaits, Wakeups};
use crate::memory::MemoryBudget;
use crate::oauth::SignIns;
use crate::policy::estimate::Estimate;
use crate::policy::kept_switches::KeptSwitches;
use crate::policy::test_mode::{Switch, TestModeError};
use crate::route::Router;
use crate::store::{Store, StoreError};
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
    /// Test mode.
    pub test_mode: Arc<Switch>,
    /// Switches that the configuration file could not take.
    pub kept_switches: Arc<KeptSwitches>,
    /// Asks the relay to read its configuration again, or to change it.
    pub requests: ConfigRequests,
}

/// The way to whoever reads and writes the configuration.
pub type ConfigRequests = mpsc::Sender<ConfigRequest>;

/// What is asked of whoever reads and writes the configuration.
#[derive(Debug)]
pub enum ConfigRequest {
    /// Read it again. The answer is what has changed, or all faults, one per line.
    Reload(oneshot::Sender<Result<Vec<String>, String>>),
    /// Switch something, in the file too.
    Switch(FileChange, oneshot::Sender<Result<KeptIn, SwitchError>>),
}

/// What makes a switch last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptIn {
    /// The configuration says so.
    File,
    /// The configuration could not be changed; the store has it.
    Store {
        /// Why, in words.
        why: String,
    },
}

/// Why something was not switched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SwitchError {
    /// Somebody has edited the file: what they have written is not overwritten.
    #[error(
        "{} is no longer the file that the relay has read: nothing was changed. To put it in force: mailsluice reload",
        _0.display()
    )]
    Differs(PathBuf),
    /// The configuration would have faults with it, one per line.
    #[error("the configuration would have faults, so nothing was changed: {0}")]
    Faults(String),
    /// The switch makes no sense.
    #[error("{0}")]
    Refused(String),
    /// It is noted, but a part of the configuration can't be put in force.
    #[error(
        "the switch is noted in {}, but the configuration could not be put in force: {reason}",
        match kept { KeptIn::File => "the configuration file", KeptIn::Store { .. } => "the store" }
    )]
    NotInForce {
        /// What makes it last.
        kept: KeptIn,
        /// All faults, one per line.
        reason: String,
    },
    /// Test mode can't be so.
    #[error(transparent)]
    TestMode(#[from] TestModeError),
    /// It could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The state as requests find it: the one that is in force when they come.
#[derive(Clone)]
pub struct SharedState {
    in_force: Arc<ArcSwap<ApiState>>,
    streams: Streams,
}

impl SharedState {
    /// With a first state.
    #[must_use]
    pub fn new(state: ApiState) -> Self {
        Self { in_force: Arc::new(ArcSwap::from_pointee(state)), streams: Streams::default() }
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

impl FromRef<SharedState> for Streams {
    fn from_ref(shared: &SharedState) -> Self {
        shared.streams.clone()
    }
}
