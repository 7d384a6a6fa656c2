//! What a lane works with; a reload exchanges it.

use std::sync::Arc;

use super::context::Context;
use super::suspects::Suspects;
use super::unfit::UnfitMail;
use crate::account::Candidates;
use crate::config::{Login, Upstream};
use crate::lane::LaneState;
use crate::memory::MemoryBudget;
use crate::route::lane_name;
use crate::store::LaneName;

/// What a lane and its attempts work with.
pub(super) struct LaneSettings {
    pub(super) context: Arc<Context>,
    /// The lane's name in the store.
    pub(super) name: LaneName,
    /// The upstream whose mail it is.
    pub(super) upstream: Arc<Upstream>,
    pub(super) candidates: Candidates,
    /// Octets of content that this lane may hold in memory.
    pub(super) memory: MemoryBudget,
    /// What some of the candidates can't take.
    pub(super) unfit: UnfitMail,
    /// At what the upstream failed: a probe takes something else, while there is something.
    pub(super) suspects: Suspects,
}

impl LaneSettings {
    /// For the lane of an upstream, or with an account that is bound to its sender, for that sender's lane.
    pub(super) fn new(context: &Arc<Context>, upstream: &Arc<Upstream>, bound: Option<&Login>) -> Self {
        Self {
            name: lane_name(upstream, bound),
            candidates: context.accounts.candidates(upstream, bound.map(Login::name)),
            upstream: upstream.clone(),
            memory: MemoryBudget::new((context.config.session.memory_budget.0 / 2).max(1)),
            unfit: UnfitMail::default(),
            suspects: Suspects::default(),
            context: context.clone(),
        }
    }

    /// Notes how the lane is.
    pub(super) fn show(&self, state: LaneState) {
        self.context.statuses.set(&self.name, state);
    }
}
