//! Our reports: who gets one, and by which way it goes.

use std::time::Duration;

use jiff::Timestamp;

use super::attempted::RecipientOutcome;
use super::context::Context;
use crate::config::{Login, Upstream};
use crate::mail::header::{self, Fields, Header};
use crate::mail::message_id;
use crate::mail::{
    Address, AddressKey, Body, MessageLabel, MessageRequest, Notify, QueueId, RecipientRequest, Return,
    ReversePath,
};
use crate::report::author::report_author;
use crate::report::dsn::{Dsn, Kind, Listing, REPORT_MARK, Recipient, ReportCause, ReportReader};
use crate::smtp::Reply;
use crate::store::{
    BlacklistEntry, ClientInfo, Content, Decisions, Message, MessageKind, NewMessage, NewRecipient, Priority,
    QueuedRecipient, Recipients, StoredLabel, pattern_key,
};
use crate::upstream::cause_of;

/// So much of the original is sent back at most; of a larger one the header, as far as that is within it.
const RETURNED: u64 = 64 << 10;
/// How long reading it may take.
const READING: Duration = Duration::from_secs(30);

/// Who reports: a relay, about mail for an upstream.
pub(super) struct Reporter<'a> {
    pub(super) context: &'a Context,
    pub(super) upstream: &'a Upstream,
    /// What has come on the blacklist by what is reported.
    pub(super) listed: &'a [BlacklistEntry],
}

/// A recipient that a report tells of.
#[derive(Clone, Copy)]
pub(super) struct Affected<'a> {
    pub(super) recipient: &'a QueuedRecipient,
    /// The reply, or what happened in words; empty when nothing was tried.
    pub(super) reply: &'a str,
    /// The upstream that has said so, if one has.
    pub(super) host: Option<&'a str>,
    /// Whether it was tried just now.
    pub(super) tried: bool,
    /// Whether it has outlived the queue.
    pub(super) expired: bool,
    /// Whether it may have arrived all the same.
    pub(super) may_have_arrived: bool,
}

impl<'a> Affected<'a> {
    /// Nothing but this reply is known of it.
    fn by_reply(recipient: &'a QueuedRecipient, reply: &'a str) -> Self {
        let may_have_arrived = recipient.doubts > 0;
        Self { recipient, reply, host: None, tried: false, expired: false, may_have_arrived }
    }

    /// It has waited too long. What was never tried has no reply to show.
    pub(super) fn late(recipient: &'a QueuedRecipient, expired: bool) -> Self {
        Self { expired, ..Self::by_reply(recipient, &recipient.last_reply) }
    }

    /// The upstream has answered so in an attempt that has just ended.
    pub(super) fn answered(recipient: &'a QueuedRecipient, reply: &'a str, host: &'a str) -> Self {
        Self { host: Some(host), tried: true, ..Self::by_reply(recipient, reply) }
    }

    /// What became of it in an attempt at an upstream.
    pub(super) fn of(each: &'a RecipientOutcome, host: &'a str, expired: bool) -> Self {
        Self {
            host: Some(host).filter(|host| each.is_said && !host.is_empty()),
            tried: each.is_attempt() && each.recipient.listed.is_none(),
            expired,
            may_have_arrived: each.recipient.doubts > 0 || each.is_doubtful(),
            ..Self::by_reply(&each.recipient, &each.reply)
        }
    }
}

/// The report about recipients that failed for good, and its copy for the operator; empty when nobody wants one, or is to
/// get one. One report tells of all of them.
pub(super) async fn failed(
    shared: &Reporter<'_>,
    message: &Message,
    recipients: &[Affected<'_>],
) -> Vec<NewMessage> {
    let recipients = &wanted(recipients, |notify| notify.failure, true);
    if recipients.is_empty() {
        return Vec::new();
    }
    let reports = make(shared, message, recipients, Kind::Failed).await;
    let is_submitted = message.kind == MessageKind::Submitted;
    if reports.is_empty() && is_submitted && message.reverse_path == ReversePath::Null {
        // Nobody can be told (RFC 5321 4.5.5), so the operator is.
        tracing::error!(event = "report", queue_id = %message.queue_id, reason = "null reverse-path: no report can be sent");
    }
    reports
}

/// The report about a delay; empty when nobody wants one, or is to get one.
pub(super) async fn delayed(
    shared: &Reporter<'_>,
    message: &Message,
    recipients: &[Affected<'_>],
) -> Vec<NewMessage> {
    let recipients = wanted(recipients, |notify| notify.delay, true);
    make(shared, message, &recipients, Kind::Delayed).await
}

/// The report that an upstream which sends no reports of success has taken the message (RFC 3461 5.2.2); only for who
/// asked for it. A test copy has reached nobody, so there is none.
pub(super) async fn relayed(
    shared: &Reporter<'_>,
    message: &Message,
    recipients: &[Affected<'_>],
) -> Vec<NewMessage> {
    let recipients = wanted(recipients, |notify| notify.success, false);
    if message.decisions.test.is_some() {
        Vec::new()
    } else {
        make(shared, message, &recipients, Kind::Relayed).await
    }
}

/// The recipients of which the client wants to hear, or where it said nothing, those of `otherwise`.
fn wanted<'a>(recipients: &[Affected<'a>], event: fn(Notify) -> bool, otherwise: bool) -> Vec<Affected<'a>> {
    let wants = |each: &&Affected<'_>| each.recipient.request.notify.map_or(otherwise, event);
    recipients.iter().filter(wants).copied().collect()
}

/// The report of a kind about these recipients, for each who is to get it.
async fn make(
    shared: &Reporter<'_>,
    message: &Message,
    recipients: &[Affected<'_>],
    kind: Kind,
) -> Vec<NewMessage> {
    // Never a report about a report (RFC 3464 2).
    if recipients.is_empty() || message.kind == MessageKind::Report {
        return Vec::new();
    }
    let original = original(message).await;
    // Nor about one of ours that has come back, with an address in place of the null reverse-path.
    if is_marked(&original) {
        tracing::info!(event = "report", queue_id = %message.queue_id, reason = "it is a report itself: no report about it");
        return Vec::new();
    }
    let wall = shared.context.timeline.wall();
    let described = all_described(shared, (message, recipients), wall, kind);
    let report = Report { shared, message, original: &original, kind, described: &described, wall };
    let readers = addressees(shared, message, &original, kind);
    readers.iter().filter_map(|addressee| report.to(addressee)).collect()
}

/// A report that is written for each of its readers.
struct Report<'a> {
    shared: &'a Reporter<'a>,
    message: &'a Message,
    original: &'a [u8],
    kind: Kind,
    described: &'a [Recipient],
    /// When it is written.
    wall: Timestamp,
}

impl Report<'_> {
    fn to(&self, addressee: &Addressee) -> Option<NewMessage> {
        let Self { shared, message, original, kind, .. } = *self;
        let (context, to) = (&shared.context, &addressee.address);
        let queue_id = QueueId::new(self.wall.as_millisecond(), rand::random());
        let reader = match &addressee.copy_of {
            None => ReportReader::Sender,
            Some(CopyOf { told }) => ReportReader::Operator { told: told.as_ref() },
        };
        let is_complete = original.len() as u64 == message.size;
        // What was too large one way is too large on the way back.
        let was_too_large = self.described.iter().any(|recipient| recipient.cause == ReportCause::TooLarge);
        let dsn = Dsn {
            kind,
            reader,
            language: context.config.language,
            zone: &context.config.timezone,
            lifetime: context.config.queue.expire_after,
            hostname: &context.config.hostname,
            from: &report_author(&context.config, shared.upstream, to),
            to,
            message_id: &message_id::generate(&queue_id, &context.config.hostname),
            date: self.wall,
            queue_id: &message.queue_id,
            arrival: Timestamp::from_millisecond(message.accepted_wall).unwrap_or(self.wall),
            envelope_id: message.request.envelope_id.as_ref(),
            original,
            // What a message says is none of the operator's business.
            whole: is_complete
                && !was_too_large
                && reader == ReportReader::Sender
                && message.request.ret != Some(Return::Headers),
            recipients: self.described,
        };
        self.queued(queue_id, to, dsn.build())
    }

    /// The report as it enters the queue.
    fn queued(&self, queue_id: QueueId, to: &Address, report: Vec<u8>) -> Option<NewMessage> {
        let Self { shared: Reporter { context, .. }, message, .. } = *self;
        let smtputf8 = Header::parse(&report).fields().any(|field| !field.raw().is_ascii());
        let lane = context.router.lane(&message.sender).unwrap_or_else(|| message.lane.clone());
        Some(NewMessage {
            queue_id,
            kind: MessageKind::Report,
            priority: Priority::Report,
            limit_wait: context.limit_waits.of(&lane, context.timeline.now()),
            delay: Duration::ZERO,
            lane,
            reverse_path: ReversePath::Null,
            sender: message.sender.clone(),
            body: if report.is_ascii() { Body::SevenBit } else { Body::EightBitMime },
            smtputf8,
            request: MessageRequest::default(),
            client: ClientInfo { listener: "report".into(), ..ClientInfo::default() },
            decisions: Decisions::default(),
            held: false,
            label: StoredLabel::new(&MessageLabel::of(&report), context.config.history.subject),
            recipients: Recipients::new(vec![never_reported(to.clone())])?,
            content: Content::memory(report),
        })
    }
}

/// The recipients as a report of this kind tells of them, made at this time.
fn all_described(
    shared: &Reporter<'_>,
    (message, recipients): (&Message, &[Affected<'_>]),
    wall: Timestamp,
    kind: Kind,
) -> Vec<Recipient> {
    let will_retry_until = (kind == Kind::Delayed).then(|| retried_until(shared.context, message));
    let describe = |each: &Affected<'_>| Recipient { will_retry_until, ..described(shared, each, wall) };
    recipients.iter().map(describe).collect()
}

/// Whether this is the beginning of a report of ours, or of another relay like this one.
fn is_marked(original: &[u8]) -> bool {
    let section = &original[..header::end(original).unwrap_or(original.len())];
    Fields::new(section).any(|field| field.is(REPORT_MARK))
}

/// Until when a message is tried.
fn retried_until(context: &Context, message: &Message) -> Timestamp {
    let now = context.timeline.now();
    let left = context.config.queue.expire_after.saturating_sub(now.since(message.accepted));
    context.timeline.wall_at(now.after(left))
}

/// A recipient as a report describes it.
fn described(shared: &Reporter<'_>, each: &Affected<'_>, wall: Timestamp) -> Recipient {
    let Affected { recipient, reply, host, tried, expired, may_have_arrived } = *each;
    let status = Reply::shown(reply).and_then(|reply| reply.status);
    let status = status.map(|(class, subject, detail)| format!("{class}.{subject}.{detail}"));
    // Who is on the blacklist is refused by us, in the words of a reply.
    let cause = if recipient.listed.is_some() { ReportCause::Blacklisted } else { cause_of(reply) };
    Recipient {
        address: recipient.address.clone(),
        original: recipient.request.original.clone(),
        status: status.unwrap_or_default(),
        reply: reply.to_owned(),
        host: host.map(str::to_owned),
        cause,
        expired,
        may_have_arrived,
        last_attempt: tried.then_some(wall),
        will_retry_until: None,
        listed: listing(shared, recipient),
    }
}

/// Whether the recipient has come on the blacklist by this.
fn listing(shared: &Reporter<'_>, recipient: &QueuedRecipient) -> Option<Listing> {
    let key = pattern_key(recipient.address.as_str());
    let entry = shared.listed.iter().find(|entry| entry.pattern == key)?;
    Some(Listing { until: entry.expires.map(|until| shared.context.timeline.wall_at(until)) })
}

/// Who gets a report.
struct Addressee {
    address: Address,
    /// It gets a copy, for the operator.
    copy_of: Option<CopyOf>,
}

/// A copy of a report.
struct CopyOf {
    /// Who got the report itself, if anybody did.
    told: Option<Address>,
}

/// The sender as whom the message goes out, whom other servers would tell as well; and the operator, who gets a copy of what is
/// said of a failure, unless it is the sender.
fn addressees(shared: &Reporter<'_>, message: &Message, original: &[u8], kind: Kind) -> Vec<Addressee> {
    let queue = &shared.context.config.queue;
    let by = (shared.upstream, account_of(shared.upstream, message));
    let reverse_path = shared.context.transformer.reverse_path(message, original, by);
    let sender = reverse_path.address().filter(|_| queue.bounce_to_sender);
    let is_other = |copy: &&Address| sender.is_none_or(|sender| sender.key() != copy.key());
    let copy = queue.bounce_copy_to.as_ref().filter(|_| kind == Kind::Failed).filter(is_other);
    let told = sender.map(|sender| Addressee { address: sender.clone(), copy_of: None });
    let copied =
        copy.map(|copy| Addressee { address: copy.clone(), copy_of: Some(CopyOf { told: sender.cloned() }) });
    told.into_iter().chain(copied).collect()
}

/// An account by which a message goes: of several any.
fn account_of<'a>(upstream: &'a Upstream, message: &Message) -> &'a Login {
    let sender = message.lane.sender().map(AddressKey::of_text);
    let is_bound_to = |account: &&Login| account.sender_bound && Some(account.key()) == sender;
    let bound = upstream.accounts.iter().find(is_bound_to);
    let free = upstream.accounts.iter().find(|account| !account.sender_bound);
    bound.or(free).unwrap_or(&upstream.accounts[0])
}

/// A recipient of a report: of that no report is wanted.
fn never_reported(address: Address) -> NewRecipient {
    let request = RecipientRequest { notify: Some(Notify::NEVER), original: None };
    NewRecipient { address, dropped: false, copy: false, request }
}

/// The beginning of the original, as far as it can be read; of one that is not larger, all of it.
async fn original(message: &Message) -> Vec<u8> {
    let reading = message.content.beginning(RETURNED);
    match tokio::time::timeout(READING, reading).await {
        Ok(Ok(octets)) => octets,
        Ok(Err(error)) => {
            tracing::warn!(event = "report", queue_id = %message.queue_id, reason = %error);
            Vec::new()
        }
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_ours_is_known_again() {
        for (original, want) in [
            ("From: a@x.test\r\nX-Mailsluice-Report: 1\r\n\r\nhi\r\n", true),
            ("x-mailsluice-REPORT: 1\r\n\r\n", true),
            ("X-Mailsluice-Report: 1", true),
            ("From: a@x.test\r\n\r\nX-Mailsluice-Report: 1\r\n", false),
            ("Subject: a\r\n X-Mailsluice-Report: 1\r\n\r\n", false),
            ("X-Mailsluice-Reported: 1\r\n\r\n", false),
            ("", false),
        ] {
            assert_eq!(is_marked(original.as_bytes()), want, "{original}");
        }
    }
}
