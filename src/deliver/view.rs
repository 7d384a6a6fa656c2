//! How the logins of an upstream are, for people: read, never changed.

use super::carrier::{Carrier, Fleet, Obstacle};
use crate::queue::LaneState;
use crate::throttle::{AccountLoad, Cause};
use crate::time::Moment;

/// An upstream as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamView {
    /// Up when one login at least can send; else what ends first.
    pub state: LaneState,
    /// Its logins, in the order of the configuration.
    pub accounts: Vec<AccountView>,
}

/// A login as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountView {
    /// Its name; empty for an upstream without a login.
    pub account: String,
    /// Whether it serves its own address alone.
    pub sender_bound: bool,
    /// Whether it can send, and why not.
    pub state: LaneState,
    /// Its connections and its pace.
    pub load: AccountLoad,
}

impl Fleet {
    /// How an upstream and its logins are at `now`; `None` when there is none of that name.
    #[must_use]
    pub fn view(&self, upstream: &str, now: Moment) -> Option<UpstreamView> {
        let carriers = self.upstreams.get(upstream)?;
        let obstacles: Vec<Option<Obstacle>> = carriers.iter().map(|carrier| carrier.obstacle(now)).collect();
        let state = |obstacle: &Option<Obstacle>| {
            obstacle.as_ref().and_then(Obstacle::state).unwrap_or(LaneState::Up)
        };
        let account = |(carrier, obstacle)| AccountView::new(carrier, state(obstacle));
        let accounts = carriers.iter().map(|carrier| &**carrier).zip(&obstacles).map(account).collect();
        let all: Option<Vec<Obstacle>> = obstacles.into_iter().collect();
        let nearest = all.and_then(|all| all.into_iter().fold(None, |a, b| Some(Obstacle::nearer(a, b))));
        Some(UpstreamView { state: state(&nearest), accounts })
    }
}

impl AccountView {
    fn new(carrier: &Carrier, state: LaneState) -> Self {
        Self {
            account: carrier.account.clone(),
            sender_bound: carrier.is_bound(),
            state,
            load: carrier.throttle.load(&carrier.upstream().name, &carrier.account),
        }
    }
}

impl Carrier {
    /// What is in its way, without trying. The short waits between any two messages are none.
    fn obstacle(&self, now: Moment) -> Option<Obstacle> {
        if let Some(reason) = self.why_stopped() {
            return Some(Obstacle::Disabled(reason));
        }
        if let Some(down) = self.down() {
            return Some(Obstacle::Down(down));
        }
        let wait = self.throttle.wait_for(&self.upstream().name, &self.account, 1, now)?;
        (!matches!(wait.cause, Cause::Even | Cause::Batch)).then_some(Obstacle::Limited(wait))
    }
}
