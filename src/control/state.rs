//! What the control interface shows and acts on.

use std::sync::Arc;

use crate::config::Config;
use crate::policy::test_mode::Switch;
use crate::queue::{Board, Wake};
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
    /// Test mode.
    pub test_mode: Arc<Switch>,
}
