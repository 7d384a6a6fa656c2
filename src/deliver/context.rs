//! What all lanes share.

use std::sync::Arc;

use tokio::sync::watch;

use super::outcomes::OutcomeWatchers;
use crate::account::Accounts;
use crate::config::Config;
use crate::lane::{LaneStatuses, LimitWaits, Wakeups};
use crate::memory::MemoryBudget;
use crate::metrics::Metrics;
use crate::route::Router;
use crate::store::Store;
use crate::time::{Moment, Timeline};
use crate::transform::Transformer;

/// How far the relay is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Phase {
    /// The relay works.
    #[default]
    Running,
    /// Nothing new is begun; what is under way may end.
    Finishing,
    /// What is still under way is broken off and handed back.
    Stopping,
}

/// Everything that an attempt needs and that is handed in from outside. A reload makes another one, with another
/// configuration, router and transformer; all else is the same.
#[derive(Clone)]
pub struct Context {
    /// The configuration in force.
    pub config: Arc<Config>,
    /// Which upstream serves a sender.
    pub router: Arc<Router>,
    /// What messages are changed by.
    pub transformer: Arc<Transformer>,
    /// Where all is kept.
    pub store: Arc<dyn Store>,
    /// The present moment.
    pub timeline: Timeline,
    /// Wakes lanes.
    pub wakeups: Arc<Wakeups>,
    /// How the lanes are.
    pub statuses: Arc<LaneStatuses>,
    /// How long the lanes have waited for limits.
    pub limit_waits: LimitWaits,
    /// Who waits for what becomes of a message.
    pub outcomes: Arc<OutcomeWatchers>,
    /// Who may send.
    pub accounts: Arc<Accounts>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Octets of content that may be in memory, of all lanes together.
    pub memory: MemoryBudget,
    /// How far the relay is on its way out.
    pub phase: watch::Receiver<Phase>,
}

impl Context {
    /// Mail waits in a lane that these routes have chosen: when others are in force by now, it is to be moved.
    pub(super) fn has_queued(&self) {
        if self.router.is_outdated() {
            self.wakeups.call_unserved();
        }
    }

    /// Whether nothing new is to begin.
    pub(super) fn is_finishing(&self) -> bool {
        *self.phase.borrow() >= Phase::Finishing
    }

    /// Whether what is under way is to be broken off.
    pub(super) fn is_stopping(&self) -> bool {
        *self.phase.borrow() >= Phase::Stopping
    }

    /// Waits until what is under way is to be broken off.
    pub(super) async fn stopping(&self) {
        // When the sender is gone, so is the relay.
        let _ = self.phase.clone().wait_for(|now| *now >= Phase::Stopping).await;
    }

    /// A moment as the log writes it.
    pub(super) fn wall(&self, moment: Moment) -> String {
        format!("{:.3}", self.timeline.wall_at(moment))
    }
}
