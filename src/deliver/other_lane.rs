//! A message that goes by another lane than the one in which it was found.

use super::content::Unfit;
use super::context::Context;
use super::lane_settings::LaneSettings;
use super::settle;
use crate::account::{Account, AccountSettings};
use crate::limits::Amount;
use crate::store::{Decisions, Disposition, LaneMove, LaneName, Leased, LeasedMove, Message};

/// The lane in which a message stands by the configuration in force.
pub(super) fn lane_now(context: &Context, message: &Message) -> LaneName {
    match message.disposition() {
        Disposition::Captured => LaneName::captured(),
        // Nobody but a person has decided that it goes by this upstream, and no routing changes that.
        Disposition::Sent | Disposition::OneCopy if is_decided(context, message) => message.lane.clone(),
        Disposition::Sent | Disposition::OneCopy => {
            context.router.lane(&message.sender).unwrap_or_else(LaneName::unrouted)
        }
    }
}

/// Whether a message stands in a lane of the upstream by which a person wants it to go.
fn is_decided(context: &Context, message: &Message) -> bool {
    message.decisions.upstream.as_deref().is_some_and(|upstream| upstream == message.lane.upstream())
        && context.router.serves(&message.lane)
}

/// What an upstream itself can't carry goes by its `large` from now on, unchanged: `None`. Comes back where there is none, or
/// where the upstream only stands in for another. `used` is what the provider may have counted, where it was asked.
pub(super) async fn by_large(
    (lane, account, settings): (&LaneSettings, &Account, &AccountSettings),
    leased: Leased,
    (unfit, used): (&Unfit, Option<Amount>),
) -> Option<Leased> {
    let is_own = lane.candidates.is_own(account) && unfit.misfit.is_some();
    let Some(large) = settings.upstream.large().filter(|_| is_own) else { return Some(leased) };
    let message = &leased.message;
    let Some(to) = lane.context.router.lane_of(large, &message.sender) else { return Some(leased) };
    let decisions = Decisions { upstream: Some(large.to_owned()), ..message.decisions.clone() };
    let moved =
        LeasedMove { lease: leased.lease, credit: credit(lane, &to), to: to.clone(), decisions, used };
    if settle::move_leased(&lane.context, account, &message.queue_id, moved).await {
        lane.unfit.forget(leased.lease.id);
        tracing::info!(
            event = "by_large",
            queue_id = %message.queue_id,
            upstream = lane.upstream.name,
            large,
            reason = %unfit.reply
        );
        lane.context.wakeups.wake(&to);
    }
    None
}

/// What makes the age of mail count from later that moves to another lane: how much longer this one has waited for limits.
fn credit(lane: &LaneSettings, to: &LaneName) -> i64 {
    let now = lane.context.timeline.now();
    let waited = |lane_name: &LaneName| lane.context.limit_waits.of(lane_name, now).as_millis() as i64;
    waited(&lane.name) - waited(to)
}

/// Moves a message whose sender is now served by another lane.
pub(super) async fn move_to_lane(lane: &LaneSettings, account: &Account, leased: Leased, to: LaneName) {
    let context = &lane.context;
    let sender = leased.message.sender.clone();
    settle::hand_back(lane, account, leased).await;
    let credit = credit(lane, &to);
    let with_decided = !context.router.serves(&lane.name);
    let moves = vec![LaneMove { sender, to: to.clone(), credit, with_decided }];
    if let Err(error) = context.store.reroute(lane.name.clone(), moves).await {
        tracing::error!(event = "store", upstream = to.as_str(), reason = %error);
    }
    context.wakeups.wake(&to);
    // A configuration that came meanwhile may have it elsewhere.
    context.has_queued();
}
