//! What became of each recipient is logged, stored, and reported to the sender. Only a lane settles.

use std::time::Duration;

use super::attempted::{Attempted, RecipientOutcome, state};
use super::context::Context;
use super::delivery_log::{self, DeliveryLine};
use super::lane_settings::LaneSettings;
use super::reports::{self, Reporter};
use crate::account::Account;
use crate::lane::{backoff, jitter};
use crate::mail::QueueId;
use crate::store::{
    BlacklistCandidate, Delivery, Leased, NewMessage, QueuedRecipient, RecipientState, Settlement, StoreError,
};
use crate::time::Moment;
use crate::upstream::{DeferralCause, Outcome};

/// How often an outcome is offered to a store that fails.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// Records an attempt: log lines, the store, reports. Ends its permit.
pub(super) async fn settle(lane: &LaneSettings, account: Option<&Account>, attempted: Attempted) {
    let context = &lane.context;
    let now = context.timeline.now();
    let again_in = again_in(context, &attempted);
    let expired = age(lane, &attempted.leased, now) >= context.config.queue.expire_after;
    let log_line = DeliveryLine {
        lane,
        account,
        message: &attempted.leased.message,
        host: &attempted.host,
        next: now.after(again_in),
        now,
        expired,
        tried: true,
    };
    delivery_log::attempt(&log_line, &attempted.outcomes);
    let settlement = Settlement {
        lease: attempted.leased.lease,
        deliveries: deliveries(context, &attempted.outcomes, expired),
        again_in: Some(again_in),
        counts: attempted.outcomes.iter().any(|each| each.outcome != Outcome::Later),
        warned: false,
        used: attempted.used,
        reports: attempt_reports(lane, &attempted, expired).await,
    };
    if attempted.outcomes.iter().all(|each| state(each.outcome, expired) != RecipientState::Waiting) {
        lane.unfit.forget(attempted.leased.lease.id);
        lane.suspects.forget(attempted.leased.lease.id);
    }
    record(context, &attempted.leased, settlement).await;
    if let Some(account) = account {
        // Of a message whose recipients were on the blacklist by then, less counts than was allotted.
        account.permit_ended(attempted.used != Some(attempted.leased.message.amount()));
    }
}

/// Gives up the lease of a message that was not tried. While the store fails it is tried again: the message would stay
/// in an attempt that is none.
pub(super) async fn hand_back(lane: &LaneSettings, account: &Account, leased: Leased) {
    let context = &lane.context;
    let lease = leased.lease;
    let offer = || async move { context.store.hand_back(vec![lease]).await.map(|_| ()) };
    persist(context, &leased.message.queue_id, offer).await;
    account.permit_ended(true);
}

/// Our reports about an attempt.
async fn attempt_reports(lane: &LaneSettings, attempted: &Attempted, expired: bool) -> Vec<NewMessage> {
    let reporter = Reporter { context: &lane.context, upstream: &lane.upstream };
    let message = &attempted.leased.message;
    let pick = |wanted: RecipientState| -> Vec<(&QueuedRecipient, &str)> {
        let chosen = attempted.outcomes.iter().filter(|each| state(each.outcome, expired) == wanted);
        chosen.map(|each| (&each.recipient, each.reply.as_str())).collect()
    };
    let mut reports = Vec::new();
    for (wanted, expired) in [(RecipientState::Bounced, false), (RecipientState::Expired, true)] {
        let failed = pick(wanted);
        if !failed.is_empty() {
            reports.extend(reports::failed(&reporter, message, &failed, &attempted.host, expired).await);
        }
    }
    if !attempted.sends_reports {
        let sent = pick(RecipientState::Sent);
        reports.extend(reports::relayed(&reporter, message, &sent, &attempted.host).await);
    }
    reports
}

/// How old the message is; waiting for limits makes nothing older.
fn age(lane: &LaneSettings, leased: &Leased, now: Moment) -> Duration {
    let waited = lane.context.limit_waits.of(&lane.name, now).as_millis() as i64;
    Moment(now.0 - waited).since(Moment(leased.message.age_base))
}

/// How long what still waits is to rest: not at all as long as some have not had their turn, else for a time that grows with
/// the attempts of the recipients that were deferred.
fn again_in(context: &Context, attempted: &Attempted) -> Duration {
    let outcomes = &attempted.outcomes;
    let others_go_on = attempted.leased.others_at_once > 0
        || outcomes.len() < attempted.leased.message.recipients.len()
        || outcomes.iter().any(|each| each.outcome == Outcome::Later);
    let own = outcomes.iter().filter(|each| each.outcome.is_own_failure());
    match own.map(|each| each.recipient.failures.saturating_add(1)).max() {
        Some(failures) if !others_go_on => {
            let queue = &context.config.queue;
            let longest = |each: &RecipientOutcome| {
                matches!(each.outcome, Outcome::Deferred { cause: DeferralCause::Sender, .. })
            };
            let wait = if outcomes.iter().any(longest) {
                queue.retry_max
            } else {
                backoff(failures, queue.retry_min, queue.retry_max)
            };
            jitter(wait, rand::random())
        }
        _ => Duration::ZERO,
    }
}

pub(super) fn deliveries(context: &Context, outcomes: &[RecipientOutcome], expired: bool) -> Vec<Delivery> {
    let config = &context.config.blacklist;
    let delivery = |each: &RecipientOutcome| Delivery {
        index: each.recipient.index,
        state: state(each.outcome, expired),
        reply: each.reply.clone(),
        counts: each.outcome != Outcome::Later,
        failed: each.outcome.is_own_failure(),
        blacklist: (each.no_such_mailbox && config.auto_add).then(|| BlacklistCandidate {
            address: each.recipient.address.key(),
            after: config.auto_add_after,
            lasts: config.expire_after,
        }),
    };
    outcomes.iter().map(delivery).collect()
}

/// Writes the outcome down.
pub(super) async fn record(context: &Context, leased: &Leased, settlement: Settlement) {
    let queue_id = &leased.message.queue_id;
    let kept = persist(context, queue_id, || context.store.settle(settlement.clone())).await;
    for report in settlement.reports.iter().filter(|_| kept) {
        log_report(context, report, Some(queue_id));
    }
}

/// A report of ours has been queued.
pub(super) fn log_report(context: &Context, report: &NewMessage, original: Option<&QueueId>) {
    tracing::info!(
        event = "report",
        queue_id = %report.queue_id,
        original = original.map(ToString::to_string),
        to = report.recipients.first().map(|to| to.address.as_str()),
        upstream = report.lane.as_str()
    );
    context.wakeups.wake(&report.lane);
    context.has_queued();
}

/// Offers something to the store until it takes it: it is known nowhere else. False when the relay stops before.
pub(super) async fn persist<F>(context: &Context, queue_id: &QueueId, offer: impl Fn() -> F) -> bool
where
    F: Future<Output = Result<(), StoreError>>,
{
    let mut offered_before = false;
    loop {
        match offer().await {
            Ok(()) => {
                context.has_queued();
                return true;
            }
            // Nobody knew whether it had been committed; it had.
            Err(StoreError::Fenced) if offered_before => return true,
            Err(error @ StoreError::Fenced) => {
                tracing::error!(event = "store", %queue_id, reason = %error, next = "possible duplicate");
                return false;
            }
            Err(error) => {
                tracing::error!(event = "store", %queue_id, reason = %error, next = "offered again");
            }
        }
        if context.is_stopping() {
            return false;
        }
        offered_before = true;
        tokio::time::sleep(STORE_RETRY).await;
    }
}
