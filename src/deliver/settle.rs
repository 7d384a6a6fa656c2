//! What became of each recipient is logged, stored, and reported to the sender. Only a lane settles.

use std::time::Duration;

use super::attempted::{Attempted, RecipientOutcome, state};
use super::context::Context;
use super::delivery_log::{self, DeliveryLine};
use super::lane_settings::LaneSettings;
use super::mailboxes;
use super::pause::Pauses;
use super::reports::{self, Affected, Reporter};
use super::sent_copy;
use crate::account::{Account, FinishedRecipients};
use crate::mail::QueueId;
use crate::metrics::{CountedLogin, CountedOutcome};
use crate::store::{
    BlacklistEntry, Delivery, Lease, Leased, LeasedMove, Message, MessageKind, NewMessage, RecipientState,
    Settlement, StoreError,
};
use crate::time::Moment;
use crate::upstream::Outcome;

/// How often an outcome is offered to a store that fails.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// What a person does about a message whose content is damaged.
const DAMAGED: &str = "held; `mailsluice queue show` tells what it is: restore its content from a backup and release it, or \
    `mailsluice queue delete`";

/// Records an attempt: log lines, the store, reports. Ends its permit.
pub(super) async fn settle(lane: &LaneSettings, account: Option<&Account>, mut attempted: Attempted) {
    let context = &lane.context;
    let now = context.timeline.now();
    let age = age(lane, &attempted.leased, now);
    let pauses = Pauses { queue: &context.config.queue, age, random: spread(&attempted.leased) };
    let expired = pauses.expired();
    log_attempt(lane, account, &attempted, &pauses);
    let queue_id = &attempted.leased.message.queue_id;
    // Before its reports, which tell of it. Noted twice for the same attempt it counts once.
    let listed = mailboxes::note_attempt(context, &attempted.outcomes, queue_id).await;
    if let Some(account) = account {
        note_finished(account, &attempted, expired, now);
    }
    let is_sent = attempted.outcomes.iter().any(|each| each.outcome == Outcome::Sent);
    let copy = match (attempted.sent.take().filter(|_| is_sent), account) {
        (Some(sent), Some(account)) => sent_copy::copy_of(context, account, queue_id, &sent.content).await,
        _ => None,
    };
    let settlement = Settlement {
        lease: attempted.leased.lease,
        deliveries: deliveries(context, &attempted.leased.message, &attempted.outcomes, &pauses),
        counts: attempted.outcomes.iter().any(RecipientOutcome::is_attempt),
        warned: false,
        hold: attempted.damaged.is_some(),
        used: attempted.used,
        reports: attempt_reports(lane, &attempted, &listed, expired).await,
        copy,
    };
    if attempted.outcomes.iter().all(|each| state(each.outcome, expired) != RecipientState::Waiting) {
        lane.unfit.forget(attempted.leased.lease.id);
        lane.suspects.note(attempted.leased.lease.id, false);
    }
    record(context, &attempted.leased, settlement).await;
    if let Some(account) = account {
        account.note_copy();
        // Of a message whose recipients were on the blacklist by then, less counts than was allotted.
        account.permit_ended(attempted.used != Some(attempted.leased.message.amount()));
    }
}

/// Writes a line for each recipient; of a message whose content is damaged, one that asks a person to see to it.
fn log_attempt(lane: &LaneSettings, account: Option<&Account>, attempted: &Attempted, pauses: &Pauses<'_>) {
    let message = &attempted.leased.message;
    let common = DeliveryLine {
        lane,
        account,
        message,
        host: &attempted.host,
        now: lane.context.timeline.now(),
        pauses,
        tried: true,
        edited: attempted.edited,
    };
    let Some(reason) = &attempted.damaged else { return delivery_log::attempt(&common, &attempted.outcomes) };
    tracing::error!(event = "damaged", queue_id = %message.queue_id, reason, action = DAMAGED);
    let is_settled =
        |each: &&RecipientOutcome| state(each.outcome, pauses.expired()) != RecipientState::Waiting;
    let settled: Vec<_> = attempted.outcomes.iter().filter(is_settled).cloned().collect();
    delivery_log::attempt(&common, &settled);
}

/// Notes what the upstream has taken and refused. Whether a report of ours arrives says nothing of the mail of programs.
fn note_finished(account: &Account, attempted: &Attempted, expired: bool, now: Moment) {
    // The blacklist's word is none of the upstream's.
    let is = |each: &RecipientOutcome, wanted| {
        state(each.outcome, expired) == wanted && each.recipient.listed.is_none()
    };
    let count =
        |wanted: RecipientState| attempted.outcomes.iter().filter(|each| is(each, wanted)).count() as u64;
    let finished =
        FinishedRecipients { sent: count(RecipientState::Sent), bounced: count(RecipientState::Bounced) };
    match attempted.leased.message.kind {
        MessageKind::Report if finished.sent > 0 => account.note_sent(now),
        MessageKind::Report => {}
        MessageKind::Submitted => account.note_finished(finished, now),
    }
}

/// Gives up the lease of a message that was not tried. While the store fails it is tried again: the message would stay
/// in an attempt that is none.
pub(super) async fn hand_back(lane: &LaneSettings, account: &Account, leased: Leased) {
    give_up_lease(&lane.context, &leased.message.queue_id, leased.lease).await;
    account.permit_ended(true);
}

/// Gives up a lease without any outcome.
pub(super) async fn give_up_lease(context: &Context, queue_id: &QueueId, lease: Lease) {
    let offer = || async move { context.store.hand_back(vec![lease]).await.map(|_| ()) };
    persist(context, queue_id, offer).await;
}

/// Moves a message to the lane of another upstream, by which it goes from now on. Returns whether the store has taken that.
pub(super) async fn move_leased(
    context: &Context,
    account: &Account,
    queue_id: &QueueId,
    moved: LeasedMove,
) -> bool {
    let is_moved = persist(context, queue_id, || context.store.move_leased(moved.clone())).await;
    account.permit_ended(moved.used.is_none());
    is_moved
}

/// Our reports about an attempt.
async fn attempt_reports(
    lane: &LaneSettings,
    attempted: &Attempted,
    listed: &[BlacklistEntry],
    expired: bool,
) -> Vec<NewMessage> {
    let reporter = Reporter { context: &lane.context, upstream: &lane.upstream, listed };
    let message = &attempted.leased.message;
    let host = attempted.host.as_str();
    let failed: Vec<Affected<'_>> = attempted
        .outcomes
        .iter()
        .filter_map(|each| match state(each.outcome, expired) {
            RecipientState::Bounced => Some(Affected::of(each, host, false)),
            RecipientState::Expired => Some(Affected::of(each, host, true)),
            _ => None,
        })
        .collect();
    let mut reports = reports::failed(&reporter, message, &failed).await;
    if !attempted.sends_reports {
        let sent = attempted.outcomes.iter().filter(|each| each.outcome == Outcome::Sent);
        let sent: Vec<Affected<'_>> = sent.map(|each| Affected::of(each, host, false)).collect();
        reports.extend(reports::relayed(&reporter, message, &sent).await);
    }
    reports
}

/// What spreads the pauses of messages that failed together: the same for all attempts of one, so that its parts stay near
/// each other.
fn spread(leased: &Leased) -> u32 {
    // The golden ratio: numbers in succession come to lie far apart.
    (leased.lease.id.0 as u32).wrapping_mul(0x9E37_79B9)
}

/// How old the message is; waiting for limits makes nothing older.
fn age(lane: &LaneSettings, leased: &Leased, now: Moment) -> Duration {
    let waited = lane.context.limit_waits.of(&lane.name, now).as_millis() as i64;
    Moment(now.0 - waited).since(Moment(leased.message.age_base))
}

pub(super) fn deliveries(
    context: &Context,
    message: &Message,
    outcomes: &[RecipientOutcome],
    pauses: &Pauses<'_>,
) -> Vec<Delivery> {
    let is_test = message.decisions.test.is_some();
    let counts_mailboxes = context.config.blacklist.auto_add && !is_test;
    let delivery = |each: &RecipientOutcome| Delivery {
        index: each.recipient.index,
        state: state(each.outcome, pauses.expired()),
        reply: each.reply.clone(),
        counts: each.is_attempt(),
        failed: each.outcome.is_own_failure(),
        doubtful: each.is_doubtful(),
        again_in: pauses.of(each),
        reached: each.outcome == Outcome::Sent && counts_mailboxes,
    };
    outcomes.iter().map(delivery).collect()
}

/// Writes the outcome down.
pub(super) async fn record(context: &Context, leased: &Leased, settlement: Settlement) {
    let queue_id = &leased.message.queue_id;
    let teller = context.outcomes.teller(queue_id);
    let kept = persist(context, queue_id, || context.store.settle(settlement.clone())).await;
    if let Some(teller) = teller.filter(|_| kept) {
        teller.tell(&leased.message, &settlement.deliveries);
    }
    for report in settlement.reports.iter().filter(|_| kept) {
        log_report(context, report, Some(queue_id));
    }
}

/// A report of ours has been queued.
pub(super) fn log_report(context: &Context, report: &NewMessage, original: Option<&QueueId>) {
    let login = CountedLogin::of_upstream(report.lane.upstream());
    context.metrics.count(CountedOutcome::Generated, login, report.recipients.len() as u64);
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
                tracing::error!(event = "store", %queue_id, reason = %error, effect = "possible duplicate");
                return false;
            }
            Err(error) => {
                tracing::error!(event = "store", %queue_id, reason = %error, effect = "offered again");
            }
        }
        if context.is_stopping() {
            return false;
        }
        offered_before = true;
        tokio::time::sleep(STORE_RETRY).await;
    }
}
