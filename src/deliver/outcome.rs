//! What became of each recipient is logged, stored, and reported to the sender.

use std::fmt::Write;
use std::time::Duration;

use super::carrier::Carrier;
use super::context::Phase;
use super::lane::LaneShared;
use super::reports;
use crate::config::TestAction;
use crate::policy::test_mode::action_name;
use crate::queue::{backoff, jitter};
use crate::store::{
    BlacklistCandidate, Delivery, MessageKind, NewMessage, Permit, QueuedMessage, RecipientState, Settlement,
    StoreError,
};
use crate::time::Moment;

/// How often an outcome is offered to a store that fails.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// How an attempt ended for a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The upstream took it.
    Sent,
    /// It is in the local mailbox.
    Captured,
    /// It waits for another attempt.
    Deferred {
        /// The upstream may have taken it already.
        possible_duplicate: bool,
        /// Why, which says when it is tried again.
        why: Why,
    },
    /// It goes in the next transaction, at once.
    Later,
    /// It failed for good.
    Bounced,
    /// The blacklist dropped it.
    Dropped,
}

/// Why a recipient is deferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// For its own sake: it is tried again after a wait that grows.
    Message,
    /// A person must mend it, and soon it will not be: it is tried again after the longest wait.
    Sender,
    /// The upstream is at fault: it is due again as soon as that answers.
    Upstream,
}

impl End {
    /// Deferred for the message's own sake.
    pub(super) const DEFERRED: Self = Self::Deferred { possible_duplicate: false, why: Why::Message };
    /// Deferred since the upstream can't be used.
    pub(super) const UPSTREAM: Self = Self::Deferred { possible_duplicate: false, why: Why::Upstream };

    /// Deferred, and not by the upstream's trouble: that is never held against a message.
    fn is_own_failure(&self) -> bool {
        matches!(self, Self::Deferred { why: Why::Message | Why::Sender, .. })
    }

    fn waits_longest(&self) -> bool {
        matches!(self, Self::Deferred { why: Why::Sender, .. })
    }
}

/// What became of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fate {
    /// Its place among the recipients of the attempt.
    pub(super) place: usize,
    /// How it ended.
    pub(super) end: End,
    /// The reply, or what happened in words.
    pub(super) reply: String,
    /// Whether its mailbox does not exist.
    pub(super) candidate: bool,
}

/// An attempt that has ended.
pub(super) struct Tried {
    pub(super) message: QueuedMessage,
    /// The upstream as it answered; empty when none did.
    pub(super) host: String,
    /// For each recipient that was looked at.
    pub(super) fates: Vec<Fate>,
    /// Whether the upstream sends the reports of success that were asked for.
    pub(super) reports: bool,
    /// Whether a transaction was begun, which the provider may have counted.
    pub(super) transacted: bool,
    /// Nothing was tried, and nothing is to be recorded.
    pub(super) handed_back: bool,
    /// It was not tried: it had waited too long.
    pub(super) overdue: bool,
}

impl Tried {
    pub(super) fn new(message: QueuedMessage) -> Self {
        Self {
            message,
            host: String::new(),
            fates: Vec::new(),
            reports: false,
            transacted: false,
            handed_back: false,
            overdue: false,
        }
    }

    /// The same for every recipient.
    pub(super) fn all(message: QueuedMessage, end: &End, reply: &str) -> Self {
        let fate = |place| Fate { place, end: end.clone(), reply: reply.to_owned(), candidate: false };
        let fates = (0..message.recipients.len()).map(fate).collect();
        Self { fates, ..Self::new(message) }
    }
}

/// Records an attempt: log lines, the store, reports. Ends its permit.
pub(super) async fn settle(shared: &LaneShared, carrier: Option<&Carrier>, tried: Tried) {
    let now = shared.context.timeline.now();
    let counted = tried.transacted.then(|| (1, tried.message.permit(), now));
    if let Some(carrier) = carrier {
        end_permit(shared, carrier, &tried.message, counted);
    }
    let next = next_attempt(shared, &tried, now);
    let expired = age(shared, &tried.message, now) >= shared.context.config.queue.expire_after;
    let settled: Vec<Settled> = tried.fates.iter().map(|fate| Settled::new(fate, expired)).collect();
    log((shared, carrier), &tried, &settled, (next, now));
    let reports = report(shared, &tried, &settled).await;
    let permit = carrier.zip(counted).map(|(carrier, (messages, recipients, ended))| Permit {
        upstream: carrier.upstream().name.clone(),
        account: carrier.account.clone(),
        ended,
        messages,
        recipients,
    });
    let settlement = Settlement {
        id: tried.message.id,
        deliveries: deliveries(shared, &tried, &settled, now),
        next_attempt: Some(next),
        counts: tried.fates.iter().any(|fate| fate.end != End::Later),
        warned: false,
        permit,
        reports,
    };
    record(shared, &tried.message, settlement).await;
}

/// Our reports about an attempt.
async fn report(shared: &LaneShared, tried: &Tried, settled: &[Settled]) -> Vec<NewMessage> {
    let pick = |state: RecipientState| -> Vec<(usize, &str)> {
        let chosen = tried.fates.iter().zip(settled).filter(|(_, settled)| settled.state == state);
        chosen.map(|(fate, _)| (fate.place, fate.reply.as_str())).collect()
    };
    let mut reports = Vec::new();
    for (state, expired) in [(RecipientState::Bounced, false), (RecipientState::Expired, true)] {
        let failed = pick(state);
        if !failed.is_empty() {
            reports.extend(
                reports::failed(&shared.office(), &tried.message, &failed, &tried.host, expired).await,
            );
        }
    }
    if !tried.reports {
        let sent = pick(RecipientState::Sent);
        reports.extend(reports::relayed(&shared.office(), &tried.message, &sent, &tried.host).await);
    }
    reports
}

/// Deals with a message that has outlived the queue, or whose sender is to be told that it is late.
pub(super) async fn overdue(shared: &LaneShared, message: QueuedMessage, expired_before: Option<i64>) {
    let now = shared.context.timeline.now();
    let expired = expired_before.is_some_and(|before| message.age_base < before);
    let last = |place: usize| match message.recipients[place].last_reply.as_str() {
        "" => "450 4.4.7 the upstream could not be reached in time".to_owned(),
        reply => reply.to_owned(),
    };
    let all: Vec<(usize, String)> = (0..message.recipients.len()).map(|place| (place, last(place))).collect();
    let recipients: Vec<(usize, &str)> = all.iter().map(|(place, reply)| (*place, reply.as_str())).collect();
    let mut settlement = Settlement {
        id: message.id,
        deliveries: Vec::new(),
        next_attempt: None,
        counts: false,
        warned: !expired,
        permit: None,
        reports: Vec::new(),
    };
    if expired {
        settlement.reports = reports::failed(&shared.office(), &message, &recipients, "", true).await;
        let fate =
            |(place, reply): (usize, String)| Fate { place, end: End::DEFERRED, reply, candidate: false };
        let fates = all.into_iter().map(fate).collect();
        let tried = Tried { fates, overdue: true, ..Tried::new(message.clone()) };
        let settled: Vec<Settled> = tried.fates.iter().map(|fate| Settled::new(fate, true)).collect();
        log((shared, None), &tried, &settled, (now, now));
        settlement.deliveries = deliveries(shared, &tried, &settled, now);
        settlement.deliveries.iter_mut().for_each(|delivery| delivery.counts = false);
    } else {
        let report = reports::delayed(&shared.office(), &message, &recipients).await;
        settlement.reports = report.into_iter().collect();
    }
    record(shared, &message, settlement).await;
}

/// The lines that a captured message begins with, so that its envelope can be seen.
pub(super) fn envelope_header(message: &QueuedMessage) -> String {
    let mut lines = format!("Return-Path: <{}>\r\n", message.reverse_path);
    for recipient in &message.recipients {
        // Writing to a string can't fail.
        let _ = write!(lines, "X-Mailsluice-Recipient: <{}>\r\n", recipient.address);
    }
    lines
}

/// A fate with what it means for the recipient's state.
struct Settled {
    state: RecipientState,
    event: &'static str,
}

impl Settled {
    fn new(fate: &Fate, expired: bool) -> Self {
        let (state, event) = match &fate.end {
            End::Sent => (RecipientState::Sent, "sent"),
            End::Captured => (RecipientState::Captured, "captured"),
            End::Deferred { .. } if expired => (RecipientState::Expired, "expired"),
            End::Deferred { .. } | End::Later => (RecipientState::Waiting, "deferred"),
            End::Bounced => (RecipientState::Bounced, "bounced"),
            End::Dropped => (RecipientState::Dropped, "dropped"),
        };
        Self { state, event }
    }
}

/// How old the message is; waiting for limits makes nothing older.
fn age(shared: &LaneShared, message: &QueuedMessage, now: Moment) -> Duration {
    let waited = shared.context.wake.limit_wait(&shared.name, now);
    Moment(now.0 - waited).since(Moment(message.age_base))
}

/// When what still waits is due: at once as long as some have not had their turn, else after a wait that grows with the
/// attempts of the recipients that were deferred.
fn next_attempt(shared: &LaneShared, tried: &Tried, now: Moment) -> Moment {
    let turn = tried.message.others_at_once > 0
        || tried.fates.len() < tried.message.recipients.len()
        || tried.fates.iter().any(|fate| fate.end == End::Later);
    let failures = |fate: &Fate| tried.message.recipients[fate.place].failures.saturating_add(1);
    match tried.fates.iter().filter(|fate| fate.end.is_own_failure()).map(failures).max() {
        Some(failures) if !turn => {
            let queue = &shared.context.config.queue;
            let wait = if tried.fates.iter().any(|fate| fate.end.waits_longest()) {
                queue.retry_max
            } else {
                backoff(failures, queue.retry_min, queue.retry_max)
            };
            now.after(jitter(wait, rand::random()))
        }
        _ => now,
    }
}

fn deliveries(shared: &LaneShared, tried: &Tried, settled: &[Settled], now: Moment) -> Vec<Delivery> {
    let config = &shared.context.config.blacklist;
    let pairs = tried.fates.iter().zip(settled);
    pairs
        .map(|(fate, settled)| {
            let recipient = &tried.message.recipients[fate.place];
            let candidate = (fate.candidate && config.auto_add).then(|| BlacklistCandidate {
                address: recipient.address.key(),
                after: config.auto_add_after,
                added: shared.context.timeline.wall().as_millisecond(),
                expires: config.expire_after.map(|lasts| now.after(lasts)),
            });
            Delivery {
                index: recipient.index,
                state: settled.state,
                reply: fate.reply.clone(),
                counts: fate.end != End::Later,
                failed: fate.end.is_own_failure(),
                blacklist: candidate,
            }
        })
        .collect()
}

/// One line per recipient; for a test copy one line that names them all.
fn log(by: (&LaneShared, Option<&Carrier>), tried: &Tried, settled: &[Settled], times: (Moment, Moment)) {
    let message = &tried.message;
    let copy = message.test.as_ref().filter(|test| test.action == TestAction::Redirect);
    if let (Some(test), [first, ..], [first_settled, ..]) = (copy, tried.fates.as_slice(), settled) {
        let all: Vec<_> = message.recipients.iter().map(|r| r.address.as_str()).collect();
        let to = test.address.as_ref().map(ToString::to_string).unwrap_or_default();
        line(by, tried, (first, first_settled), (&to, Some(&all.join(","))), times);
        return;
    }
    for (fate, settled) in tried.fates.iter().zip(settled) {
        let to = message.recipients[fate.place].address.as_str();
        line(by, tried, (fate, settled), (to, None), times);
    }
}

fn line(
    (shared, carrier): (&LaneShared, Option<&Carrier>),
    tried: &Tried,
    (fate, settled): (&Fate, &Settled),
    (to, original_to): (&str, Option<&str>),
    (next, now): (Moment, Moment),
) {
    let message = &tried.message;
    let duplicate = matches!(fate.end, End::Deferred { possible_duplicate: true, .. });
    let reply = if duplicate { format!("{} (possible duplicate)", fate.reply) } else { fate.reply.clone() };
    let waits = settled.state == RecipientState::Waiting;
    // While the upstream is down or must not be used, what counts is the end of that.
    let resumes = if waits { shared.tiers.resumes_at(now) } else { None };
    let next = waits.then(|| shared.wall(resumes.map_or(next, |resumes| resumes.max(next))));
    let delay = format!("{:.1}s", now.since(message.accepted).as_secs_f64());
    let tried_now = u32::from(!tried.overdue);
    let attempt = message.recipients[fate.place].attempts + tried_now;
    let account = carrier.and_then(Carrier::account);
    let upstream = carrier.map_or(&shared.upstream, |carrier| carrier.upstream()).name.as_str();
    // The local mailbox of test mode is no upstream.
    let upstream = Some(upstream).filter(|name| *name != crate::route::CAPTURED);
    let host = Some(tried.host.as_str()).filter(|host| !host.is_empty());
    let test_mode = message.test.as_ref().map(|test| action_name(test.action));
    // The level is part of a tracing call's static data, so there is one call for each.
    macro_rules! write_line {
        ($level:expr) => {
            tracing::event!(
                $level,
                event = settled.event,
                queue_id = %message.queue_id,
                from = %message.reverse_path,
                to,
                original_to,
                upstream,
                account,
                host,
                reply,
                delay,
                attempt,
                next,
                test_mode
            )
        };
    }
    let report = message.kind == MessageKind::Report;
    match settled.state {
        RecipientState::Bounced | RecipientState::Expired if report => write_line!(tracing::Level::ERROR),
        RecipientState::Bounced | RecipientState::Expired => write_line!(tracing::Level::WARN),
        RecipientState::Waiting if fate.end != End::Later => write_line!(tracing::Level::WARN),
        _ => write_line!(tracing::Level::INFO),
    }
}

/// Writes the outcome down.
async fn record(shared: &LaneShared, message: &QueuedMessage, settlement: Settlement) {
    let kept = persist(shared, message, || shared.context.store.settle(settlement.clone())).await;
    for report in settlement.reports.iter().filter(|_| kept) {
        tracing::info!(
            event = "report",
            queue_id = %report.queue_id,
            original = %message.queue_id,
            to = report.recipients.first().map(|to| to.address.as_str()),
            upstream = report.route
        );
        shared.context.wake.wake(&report.route);
    }
}

/// Offers something to the store until it takes it: it is known nowhere else. False when the relay stops before.
pub(super) async fn persist<F>(shared: &LaneShared, message: &QueuedMessage, offer: impl Fn() -> F) -> bool
where
    F: Future<Output = Result<(), StoreError>>,
{
    while let Err(error) = offer().await {
        tracing::error!(event = "store", queue_id = %message.queue_id, reason = %error, next = "offered again");
        if *shared.context.phase.borrow() == Phase::Stopping {
            return false;
        }
        tokio::time::sleep(STORE_RETRY).await;
    }
    true
}

/// Ends the permit that was taken for a message.
pub(super) fn end_permit(
    shared: &LaneShared,
    carrier: &Carrier,
    message: &QueuedMessage,
    counted: Option<(u32, u32, Moment)>,
) {
    let taken = message.permit();
    if taken > 0 {
        shared.context.throttle.end(&carrier.upstream().name, &carrier.account, taken, counted);
    }
}
