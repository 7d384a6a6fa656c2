//! How accounts and their limits are, for people and for estimates: read, never changed.

use std::sync::Arc;

use super::accounts::Accounts;
use super::complaints::{Complaint, Complaints};
use super::login::{Account, UpstreamState};
use super::obstacle::Obstacle;
use super::throughput::FinishedRecipients;
use crate::lane::LaneState;
use crate::limits::{Amount, Availability, Capacity, Cause, Ceilings, Counts, Forecast, LimitLine, Scope};
use crate::store::{LaneName, StoreError};
use crate::time::Moment;
use crate::upstream::AppliesTo;

/// An upstream as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamView {
    /// Up when one account at least can send; else what ends first.
    pub state: LaneState,
    /// Its accounts, in the order of the configuration.
    pub accounts: Vec<AccountView>,
}

/// An account as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountView {
    /// The login name; empty for an upstream without a login.
    pub account: String,
    /// Whether it serves its own address alone.
    pub sender_bound: bool,
    /// Whether it can send, and why not.
    pub state: LaneState,
    /// Whose affair that is.
    pub applies_to: AppliesTo,
    /// Whether it was tried since the start.
    pub tried: bool,
    /// Connections that are open.
    pub connections: u32,
    /// Connections that may be open, as the configuration and the provider's answers have it.
    pub most_connections: u32,
    /// The pace that the provider's answers have taught, in words; `None` when it is as configured.
    pub pace: Option<String>,
}

/// Why nothing goes by an account, or by an upstream as a whole, until somebody sees to it or a time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopInForce {
    /// The upstream.
    pub upstream: String,
    /// The login name; `None` when it is about all of them.
    pub account: Option<String>,
    /// Why, and what to do about it, in words.
    pub reason: String,
    /// Until when; `None` when a person must see to it.
    pub until: Option<Moment>,
    /// What a person does about it; `None` for a pause that only has to end.
    pub action: Option<String>,
}

/// Why an upstream is off that a person has switched off.
pub const DISABLED_BY_HAND: &str = "disabled by hand";

/// What a person does to let an upstream send again.
#[must_use]
pub fn enabling(upstream: &str) -> String {
    format!("mailsluice upstream enable {upstream}")
}

/// What a person does about a stop.
pub(super) fn mend_then_enable(upstream: &str) -> String {
    format!("mend it, then `{}`", enabling(upstream))
}

impl Accounts {
    /// All stops and pauses in force for these upstreams.
    #[must_use]
    pub fn stops(&self, upstreams: &[&str]) -> Vec<StopInForce> {
        let now = self.timeline.now();
        let is_stop = |obstacle: &Obstacle| match obstacle {
            Obstacle::Disabled(_) | Obstacle::Paused(_) => true,
            Obstacle::NoToken(why) => why.needs_a_person(),
            Obstacle::Down(down) => down.is_login,
            Obstacle::Busy | Obstacle::Limited(_) => false,
        };
        let mut stops = Vec::new();
        for upstream in upstreams {
            let accounts = self.of(upstream);
            let stop = |account: Option<&str>, obstacle: Obstacle| StopInForce {
                upstream: (*upstream).to_owned(),
                account: account.map(str::to_owned),
                reason: obstacle.reason(),
                until: obstacle.until(),
                action: match &obstacle {
                    Obstacle::Paused(_) => None,
                    Obstacle::NoToken(why) => why.action.clone(),
                    _ => Some(mend_then_enable(upstream)),
                },
            };
            let of_all = accounts.first().and_then(|first| first.upstream.condition.obstacle(now));
            if let Some(obstacle) = of_all.filter(is_stop) {
                stops.push(stop(None, obstacle));
                continue;
            }
            for account in &accounts {
                if let Some(obstacle) = account.own_obstacle(now).filter(is_stop) {
                    stops.push(stop(account.name(), obstacle));
                }
            }
        }
        stops
    }

    /// How an upstream and its accounts are; `None` when there is none of that name.
    ///
    /// # Errors
    /// When the store can't be asked.
    pub async fn view(&self, upstream: &str) -> Result<Option<UpstreamView>, StoreError> {
        self.view_of(self.of(upstream)).await
    }

    /// How the accounts are that serve a lane; `None` when there are none.
    ///
    /// # Errors
    /// When the store can't be asked.
    pub async fn lane_view(&self, lane: &LaneName) -> Result<Option<UpstreamView>, StoreError> {
        self.view_of(self.of_lane(lane)).await
    }

    /// How an upstream and its accounts are as far as that is known in memory: not how its limits are.
    #[must_use]
    pub fn view_in_memory(&self, upstream: &str) -> Option<UpstreamView> {
        let now = self.timeline.now();
        let known = |account: Arc<Account>| {
            let obstacle = account.shown_obstacle(now);
            (account, obstacle)
        };
        self.view_with(self.of(upstream).into_iter().map(known).collect())
    }

    async fn view_of(&self, all: Vec<Arc<Account>>) -> Result<Option<UpstreamView>, StoreError> {
        let mut found = Vec::with_capacity(all.len());
        for account in all {
            let obstacle = self.shown_obstacle(&account).await?;
            found.push((account, obstacle));
        }
        Ok(self.view_with(found))
    }

    /// What accounts and their obstacles come to.
    fn view_with(&self, all: Vec<(Arc<Account>, Option<Obstacle>)>) -> Option<UpstreamView> {
        let (mut accounts, mut nearest, mut all_wait) = (Vec::new(), None, true);
        for (account, obstacle) in all {
            accounts.push(AccountView::new(&account, obstacle.as_ref(), self.timeline.now()));
            match obstacle {
                Some(obstacle) => nearest = Some(Obstacle::nearer(nearest, obstacle)),
                None => all_wait = false,
            }
        }
        if accounts.is_empty() {
            return None;
        }
        let state = nearest.filter(|_| all_wait).map_or(LaneState::Up, |obstacle| obstacle.state());
        Some(UpstreamView { state, accounts })
    }

    /// What an upstream has taken and refused within [`THROUGHPUT_WINDOW`](super::THROUGHPUT_WINDOW), at most since the start.
    #[must_use]
    pub fn finished_recipients(&self, upstream: &str) -> FinishedRecipients {
        let now = self.timeline.now();
        self.of(upstream).first().map(|first| first.upstream.throughput.finished(now)).unwrap_or_default()
    }

    /// When an upstream last took something, since the start.
    #[must_use]
    pub fn last_sent(&self, upstream: &str) -> Option<Moment> {
        self.of(upstream).first().and_then(|first| first.upstream.throughput.last_sent())
    }

    /// The senders as whom accounts of an upstream may not send at present, by the provider's word.
    #[must_use]
    pub fn refused_senders(&self, upstream: &str) -> Vec<Complaint> {
        self.complaints(upstream, |state| &state.refused_senders)
    }

    /// What an upstream has answered of late that is not known here.
    #[must_use]
    pub fn strange_replies(&self, upstream: &str) -> Vec<Complaint> {
        self.complaints(upstream, |state| &state.strange_replies)
    }

    fn complaints(&self, upstream: &str, kind: impl Fn(&UpstreamState) -> &Complaints) -> Vec<Complaint> {
        let accounts = self.of(upstream);
        let Some(first) = accounts.first() else { return Vec::new() };
        let mut complaints = kind(&first.upstream).all(self.timeline.now());
        // One that has left the configuration sends nothing any more.
        complaints.retain(|one| accounts.iter().any(|account| *account.key().account == *one.account));
        complaints
    }

    /// What is in an account's way, without trying. The short waits between any two messages are nothing.
    async fn shown_obstacle(&self, account: &Account) -> Result<Option<Obstacle>, StoreError> {
        if let Some(obstacle) = account.shown_obstacle(self.timeline.now()) {
            return Ok(Some(obstacle));
        }
        let one = Amount::of_message(1, 0);
        let room = self.store.room(account.ceilings(), one).await?;
        let wait = room.err().filter(|wait| !matches!(wait.cause, Cause::Even | Cause::Batch));
        Ok(wait.map(Obstacle::Limited))
    }

    /// All windows of all accounts of an upstream; where accounts share limits, also those of all together, and of its limit
    /// group.
    ///
    /// # Errors
    /// When the store can't be asked.
    pub async fn limit_lines(&self, upstream: &str) -> Result<Vec<LimitLine>, StoreError> {
        let accounts = self.of(upstream);
        let Some(first) = accounts.first() else { return Ok(Vec::new()) };
        let now = self.timeline.now();
        let shared_pause = first.upstream.condition.pause(now);
        let is_shown = |(scope, ceilings): &(Scope, Ceilings)| {
            ceilings.has_quotas() || (matches!(scope, Scope::Upstream(_)) && shared_pause.is_some())
        };
        let mut scopes: Vec<_> =
            accounts.iter().filter_map(|account| account.ceilings().into_iter().next()).collect();
        scopes.extend(first.ceilings().into_iter().skip(1).filter(is_shown));
        let names: Vec<Scope> = scopes.iter().map(|(scope, _)| scope.clone()).collect();
        let counts = self.store.usage(names).await?;
        let mut lines = Vec::new();
        for (index, ((scope, ceilings), mut counts)) in scopes.iter().zip(counts).enumerate() {
            let account = accounts.get(index);
            let pause = match (account, scope) {
                (Some(account), _) => account.condition.pause(now),
                (None, Scope::Group(_)) => None,
                (None, _) => shared_pause.clone(),
            };
            let slowed = account.and_then(|account| account.condition.with_pace(|pace| pace.words()));
            let held: Vec<String> = pause
                .iter()
                .map(|pause| format!("a pause: {}", pause.reason))
                .chain(slowed.map(|pace| format!("slowed down to {pace}")))
                .collect();
            let reason = (!held.is_empty()).then(|| held.join("; "));
            let until = pause.map(|pause| pause.until);
            let of_scope = LimitLine::of_scope(scope, ceilings, &mut counts, now, &self.timeline);
            lines.extend(of_scope.into_iter().map(|line| line.held_back(until, reason.clone())));
        }
        Ok(lines)
    }

    /// When mail of a lane will probably go, all being as it is now; `None` when no account serves it.
    pub async fn forecast(&self, lane: &LaneName, now: Moment) -> Option<Forecast> {
        let candidates = self.of_lane(lane);
        let first = candidates.first()?;
        let mut scopes: Vec<_> =
            candidates.iter().filter_map(|account| account.ceilings().into_iter().next()).collect();
        scopes.extend(first.ceilings().into_iter().skip(1));
        let names: Vec<Scope> = scopes.iter().map(|(scope, _)| scope.clone()).collect();
        let counts = self.store.usage(names).await.ok()?;
        let capacity = |index: usize, mut counts: Counts| {
            let availability = match candidates.get(index) {
                Some(account) if account.is_stopped() => Availability::Never,
                Some(account) => {
                    let token = account.settings().no_token().and_then(|why| why.until);
                    paused(account.condition.pause(now).map(|pause| pause.until).max(token))
                }
                None => paused(first.upstream.condition.pause(now).map(|pause| pause.until)),
            };
            Capacity::new(&scopes[index].1, &mut counts, availability, now, &self.timeline)
        };
        let mut all: Vec<Capacity> =
            counts.into_iter().enumerate().map(|(index, counts)| capacity(index, counts)).collect();
        let shared = all.split_off(candidates.len());
        Some(Forecast::new(now, shared, all))
    }
}

fn paused(until: Option<Moment>) -> Availability {
    until.map_or(Availability::Now, Availability::From)
}

/// Whether what is in an account's way is its own affair, or that of its upstream as a whole.
fn whose(account: &Account, obstacle: &Obstacle, now: Moment) -> AppliesTo {
    let is_upstreams = match obstacle {
        Obstacle::Limited(wait) => matches!(wait.cause, Cause::Shared(_) | Cause::Group(_)),
        other => {
            !account.settings().upstream.enabled
                || account.upstream.condition.shown(now).as_ref() == Some(other)
        }
    };
    if is_upstreams { AppliesTo::Upstream } else { AppliesTo::Account }
}

impl AccountView {
    fn new(account: &Account, obstacle: Option<&Obstacle>, now: Moment) -> Self {
        let connections = account.pool.connections().0;
        let (own, of_all) = account.most_connections();
        Self {
            account: account.key().account.to_string(),
            sender_bound: account.settings().account().sender_bound,
            state: obstacle.map_or(LaneState::Up, Obstacle::state),
            applies_to: obstacle.map_or(AppliesTo::Account, |obstacle| whose(account, obstacle, now)),
            tried: account.condition.was_tried(),
            connections,
            most_connections: own.min(of_all),
            pace: account.condition.with_pace(|pace| pace.words()),
        }
    }
}
