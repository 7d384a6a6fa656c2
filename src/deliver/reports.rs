//! Our reports: who gets one, and by which way it goes.

use std::time::Duration;

use jiff::Timestamp;

use super::context::Context;
use crate::config::{BounceFrom, Filter, GraphMailbox, Login, Upstream, UpstreamKind};
use crate::mail::header::{self, Fields, Header};
use crate::mail::message_id;
use crate::mail::{
    Address, AddressKey, Body, MessageLabel, MessageRequest, Notify, QueueId, RecipientRequest, Return,
    ReversePath,
};
use crate::report::dsn::{Dsn, Kind, Listing, REPORT_MARK, Recipient};
use crate::store::{
    BlacklistEntry, ClientInfo, Content, Decisions, Message, MessageKind, NewMessage, NewRecipient, Priority,
    QueuedRecipient, Recipients, StoredLabel, pattern_key,
};

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

/// The report about recipients that failed for good; empty when nobody wants one, or is to get one.
///
/// `recipients` come each with what happened in words.
pub(super) async fn failed(
    shared: &Reporter<'_>,
    message: &Message,
    recipients: &[(&QueuedRecipient, &str)],
    host: &str,
    expired: bool,
) -> Vec<NewMessage> {
    let kind = if expired { Kind::Expired } else { Kind::Failed };
    let recipients = &wanted(recipients, |notify| notify.failure, true);
    if recipients.is_empty() {
        return Vec::new();
    }
    let report = make(shared, message, recipients, host, kind).await;
    if report.is_none() && message.kind == MessageKind::Submitted && message.reverse_path == ReversePath::Null
    {
        // Nobody can be told (RFC 5321 4.5.5), so the operator is.
        tracing::error!(event = "report", queue_id = %message.queue_id, reason = "null reverse-path: no report can be sent");
    }
    report.into_iter().collect()
}

/// The report about a delay; empty when nobody wants one, or is to get one.
pub(super) async fn delayed(
    shared: &Reporter<'_>,
    message: &Message,
    recipients: &[(&QueuedRecipient, &str)],
) -> Option<NewMessage> {
    let recipients = wanted(recipients, |notify| notify.delay, true);
    make(shared, message, &recipients, "", Kind::Delayed).await
}

/// The report that an upstream which sends no reports of success has taken the message (RFC 3461 5.2.2); only for who
/// asked for it. A test copy has reached nobody, so there is none.
pub(super) async fn relayed(
    shared: &Reporter<'_>,
    message: &Message,
    recipients: &[(&QueuedRecipient, &str)],
    host: &str,
) -> Option<NewMessage> {
    let recipients = wanted(recipients, |notify| notify.success, false);
    if message.decisions.test.is_some() {
        None
    } else {
        make(shared, message, &recipients, host, Kind::Relayed).await
    }
}

/// The recipients of which the client wants to hear, or where it said nothing, those of `otherwise`.
fn wanted<'a>(
    recipients: &[(&'a QueuedRecipient, &'a str)],
    event: fn(Notify) -> bool,
    otherwise: bool,
) -> Vec<(&'a QueuedRecipient, &'a str)> {
    let wants = |recipient: &QueuedRecipient| recipient.request.notify.map_or(otherwise, event);
    recipients.iter().copied().filter(|(recipient, _)| wants(recipient)).collect()
}

/// The report of a kind about these recipients, if anybody is to get it.
async fn make(
    shared: &Reporter<'_>,
    message: &Message,
    recipients: &[(&QueuedRecipient, &str)],
    host: &str,
    kind: Kind,
) -> Option<NewMessage> {
    // Never a report about a report (RFC 3464 2).
    if recipients.is_empty() || message.kind == MessageKind::Report {
        return None;
    }
    let original = original(message).await;
    // Nor about one of ours that has come back, with an address in place of the null reverse-path.
    if is_marked(&original) {
        tracing::info!(event = "report", queue_id = %message.queue_id, reason = "it is a report itself: no report about it");
        return None;
    }
    let to = addressees(shared, message, &original);
    let first = to.first()?.clone();
    let context = &shared.context;
    let (wall, now) = (context.timeline.wall(), context.timeline.now());
    let queue_id = QueueId::new(wall.as_millisecond(), rand::random());
    let described = all_described(shared, (message, recipients), (host, wall), kind);
    let dsn = Dsn {
        kind,
        hostname: &context.config.hostname,
        from: &bounce_from(shared, &first),
        to: &first,
        message_id: &message_id::generate(&queue_id, &context.config.hostname),
        date: wall,
        queue_id: &message.queue_id,
        arrival: Timestamp::from_millisecond(message.accepted_wall).unwrap_or(wall),
        envelope_id: message.request.envelope_id.as_ref(),
        original: &original,
        whole: message.request.ret == Some(Return::Full) && original.len() as u64 == message.size,
        recipients: &described,
    };
    let report = dsn.build();
    let smtputf8 = Header::parse(&report).fields().any(|field| !field.raw().is_ascii());
    let lane = context.router.lane(&message.sender).unwrap_or_else(|| message.lane.clone());
    Some(NewMessage {
        queue_id,
        kind: MessageKind::Report,
        priority: Priority::Report,
        limit_wait: context.limit_waits.of(&lane, now),
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
        recipients: Recipients::new(to.into_iter().map(never_reported).collect())?,
        content: Content::memory(report),
    })
}

/// The recipients as a report of this kind tells of them, made at this time.
fn all_described(
    shared: &Reporter<'_>,
    (message, recipients): (&Message, &[(&QueuedRecipient, &str)]),
    (host, wall): (&str, Timestamp),
    kind: Kind,
) -> Vec<Recipient> {
    let will_retry_until = (kind == Kind::Delayed).then(|| retried_until(shared.context, message));
    let last_attempt = matches!(kind, Kind::Failed | Kind::Relayed).then_some(wall);
    let describe = |each: &(&QueuedRecipient, &str)| Recipient {
        will_retry_until,
        ..described(shared, each, host, last_attempt)
    };
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

/// A recipient as a report describes it. `last_attempt`: when the upstream answered, if it did.
fn described(
    shared: &Reporter<'_>,
    &(recipient, reply): &(&QueuedRecipient, &str),
    host: &str,
    last_attempt: Option<Timestamp>,
) -> Recipient {
    Recipient {
        address: recipient.address.clone(),
        original: recipient.request.original.clone(),
        status: last_attempt.map(|_| status_in(reply)).unwrap_or_default(),
        reply: reply.to_owned(),
        host: Some(host.to_owned()).filter(|host| !host.is_empty()),
        last_attempt,
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

/// The enhanced status code of a reply such as `550 5.1.1 no such user`; empty when it has none.
fn status_in(reply: &str) -> String {
    let second = reply.split(' ').nth(1).unwrap_or_default();
    let is_status =
        second.split('.').count() == 3 && second.split('.').all(|part| part.parse::<u16>().is_ok());
    if is_status { second.to_owned() } else { String::new() }
}

/// The sender as whom the message goes out, whom other servers would tell as well; and who gets copies of reports; without
/// doubles.
fn addressees(shared: &Reporter<'_>, message: &Message, original: &[u8]) -> Vec<Address> {
    let queue = &shared.context.config.queue;
    let by = (shared.upstream, account_of(shared.upstream, message));
    let reverse_path = shared.context.transformer.reverse_path(message, original, by);
    let sender = reverse_path.address().filter(|_| queue.bounce_to_sender);
    let copy = queue.bounce_copy_to.as_ref().filter(|copy| sender.is_none_or(|s| s.key() != copy.key()));
    sender.into_iter().chain(copy).cloned().collect()
}

/// An account by which a message goes: of several any.
fn account_of<'a>(upstream: &'a Upstream, message: &Message) -> &'a Login {
    let sender = message.lane.sender().map(AddressKey::of_text);
    let is_bound_to = |account: &&Login| account.sender_bound && Some(account.key()) == sender;
    let bound = upstream.accounts.iter().find(is_bound_to);
    let free = upstream.accounts.iter().find(|account| !account.sender_bound);
    bound.or(free).unwrap_or(&upstream.accounts[0])
}

/// The From of reports. Some providers take only mail that is from the account's own address, or the one that all its mail has.
fn bounce_from(shared: &Reporter<'_>, to: &Address) -> Address {
    if let BounceFrom::Address(address) = &shared.context.config.queue.bounce_from {
        return address.clone();
    }
    // Where each message names its mailbox, there is none that the sender does not have: it tells itself.
    let is_by_author =
        matches!(&shared.upstream.kind, UpstreamKind::Graph(graph) if graph.mailbox == GraphMailbox::From);
    if is_by_author && Filter::any_matches(&shared.upstream.filter, to) {
        return to.clone();
    }
    let account = shared.upstream.accounts.first();
    let fixed =
        shared.upstream.sender.as_ref().zip(account).and_then(|(s, account)| s.fixed_address(account));
    let account = fixed.or_else(|| account.and_then(|account| Address::parse(account.name()).ok()));
    let hostname = &shared.context.config.hostname;
    account
        .or_else(|| Address::parse(&format!("MAILER-DAEMON@{hostname}")).ok())
        .unwrap_or_else(|| Address::parse("MAILER-DAEMON@localhost").expect("it is a mailbox"))
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
