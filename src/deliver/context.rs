//! What all lanes share.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

use super::carrier::Fleet;
use crate::config::Config;
use crate::queue::{Board, Wake};
use crate::route::Router;
use crate::store::Store;
use crate::throttle::Throttle;
use crate::time::Timeline;
use crate::transform::dkim::Signer;
use crate::upstream::Dial;

/// How far the relay is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Phase {
    /// It works.
    #[default]
    Running,
    /// Nothing new is begun; what is under way may end.
    Finishing,
    /// What is still under way is broken off and handed back.
    Stopping,
}

/// Everything that an attempt needs and that is handed in from outside.
pub struct Context {
    /// The configuration in force.
    pub config: Arc<Config>,
    /// Where all is kept.
    pub store: Arc<dyn Store>,
    /// The present moment.
    pub timeline: Timeline,
    /// Which upstream serves a sender.
    pub router: Arc<Router>,
    /// Wakes lanes.
    pub wake: Arc<Wake>,
    /// How the lanes are.
    pub board: Arc<Board>,
    /// May it go now?
    pub throttle: Arc<Throttle>,
    /// The DKIM keys.
    pub signer: Arc<Signer>,
    /// What carries mail.
    pub fleet: Arc<Fleet>,
    /// Reaches upstreams.
    pub dial: Arc<dyn Dial>,
    /// Octets of content that may be in memory, of all lanes together.
    pub memory: Arc<Semaphore>,
    /// How far the relay is on its way out.
    pub phase: watch::Receiver<Phase>,
}
