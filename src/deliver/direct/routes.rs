//! By what the mail of each lane goes whose clients wait.

use std::collections::HashMap;
use std::sync::Arc;

use crate::account::Candidates;
use crate::config::{Login, Upstream, UpstreamKind};
use crate::deliver::context::Context;
use crate::route::{lane_name, lanes};
use crate::store::LaneName;

/// By what the mail of each lane goes. Upstreams that keep mail on this machine are not among them: such mail does not go
/// through.
pub(super) struct Routes(HashMap<LaneName, DirectRoute>);

/// By what the mail of one lane goes.
pub(super) struct DirectRoute {
    pub(super) upstream: Arc<Upstream>,
    pub(super) candidates: Candidates,
}

impl Routes {
    pub(super) fn new(context: &Context) -> Self {
        let mut routes = HashMap::new();
        let leaves = |upstream: &&Arc<Upstream>| !matches!(upstream.kind, UpstreamKind::Capture(_));
        for upstream in context.config.upstreams.iter().filter(leaves) {
            for bound in lanes(upstream) {
                let candidates = context.accounts.direct_candidates(upstream, bound.map(Login::name));
                let route = DirectRoute { upstream: upstream.clone(), candidates };
                routes.insert(lane_name(upstream, bound), route);
            }
        }
        Self(routes)
    }

    pub(super) fn of(&self, lane: &LaneName) -> Option<&DirectRoute> {
        self.0.get(lane)
    }
}
