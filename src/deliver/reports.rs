//! Our reports: who gets one, and by which way it goes.

use std::time::Duration;

use tokio::io::AsyncReadExt;

use super::context::Context;
use crate::config::{BounceFrom, Upstream};
use crate::mail::message_id;
use crate::mail::{Address, Body, MessageRequest, Notify, QueueId, RecipientRequest, Return, ReversePath};
use crate::report::dsn::{Dsn, Kind, Recipient};
use crate::store::{
    ClientInfo, Content, MessageKind, NewMessage, NewRecipient, Priority, QueuedMessage, StoredContent,
};

/// So much of the original is sent back at most; of a larger one the header, as far as that is within it.
const RETURNED: u64 = 64 << 10;

/// Who reports: a relay, about mail for an upstream.
pub(super) struct Office<'a> {
    pub(super) context: &'a Context,
    pub(super) upstream: &'a Upstream,
}

/// The report about recipients that failed for good; empty when nobody wants one, or is to get one.
///
/// `recipients` are places in the message's list, each with what happened in words.
pub(super) async fn failed(
    shared: &Office<'_>,
    message: &QueuedMessage,
    recipients: &[(usize, &str)],
    host: &str,
    expired: bool,
) -> Vec<NewMessage> {
    let kind = if expired { Kind::Expired } else { Kind::Failed };
    let recipients = &wanted(message, recipients, |notify| notify.failure, true);
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
    shared: &Office<'_>,
    message: &QueuedMessage,
    recipients: &[(usize, &str)],
) -> Option<NewMessage> {
    let recipients = wanted(message, recipients, |notify| notify.delay, true);
    make(shared, message, &recipients, "", Kind::Delayed).await
}

/// The report that an upstream which sends no reports of success has taken the message (RFC 3461 5.2.2); only for who
/// asked for it. A test copy has reached nobody, so there is none.
pub(super) async fn relayed(
    shared: &Office<'_>,
    message: &QueuedMessage,
    recipients: &[(usize, &str)],
    host: &str,
) -> Option<NewMessage> {
    let recipients = wanted(message, recipients, |notify| notify.success, false);
    if message.test.is_some() { None } else { make(shared, message, &recipients, host, Kind::Relayed).await }
}

/// The recipients of which the client wants to hear, or where it said nothing, those of `otherwise`.
fn wanted<'a>(
    message: &QueuedMessage,
    recipients: &[(usize, &'a str)],
    event: fn(Notify) -> bool,
    otherwise: bool,
) -> Vec<(usize, &'a str)> {
    let wants = |place: usize| message.recipients[place].request.notify.map_or(otherwise, event);
    recipients.iter().copied().filter(|&(place, _)| wants(place)).collect()
}

async fn make(
    shared: &Office<'_>,
    message: &QueuedMessage,
    recipients: &[(usize, &str)],
    host: &str,
    kind: Kind,
) -> Option<NewMessage> {
    // Never a report about a report (RFC 3464 2).
    if recipients.is_empty() || message.kind == MessageKind::Report {
        return None;
    }
    let to = addressees(shared, message);
    let first = to.first()?.clone();
    let context = &shared.context;
    let wall = context.timeline.wall();
    let now = context.timeline.now();
    let queue_id = QueueId::new(wall.as_millisecond(), rand::random());
    let left = context.config.queue.expire_after.saturating_sub(now.since(message.accepted));
    let retry_until = (kind == Kind::Delayed).then(|| context.timeline.wall_at(now.after(left)));
    let tried = matches!(kind, Kind::Failed | Kind::Relayed);
    let described: Vec<Recipient> = recipients
        .iter()
        .map(|&(place, reply)| Recipient {
            address: message.recipients[place].address.clone(),
            original: message.recipients[place].request.original.clone(),
            status: if tried { status_in(reply) } else { String::new() },
            reply: reply.to_owned(),
            host: Some(host.to_owned()).filter(|host| !host.is_empty()),
            last_attempt: tried.then_some(wall),
            will_retry_until: retry_until,
        })
        .collect();
    let original = original(message).await;
    let dsn = Dsn {
        kind,
        hostname: &context.config.hostname,
        from: &bounce_from(shared),
        to: &first,
        message_id: &message_id::generate(&queue_id, &context.config.hostname),
        date: wall,
        queue_id: &message.queue_id,
        arrival: jiff::Timestamp::from_millisecond(message.accepted_wall).unwrap_or(wall),
        envelope_id: message.request.envelope_id.as_ref(),
        original: &original,
        whole: message.request.ret == Some(Return::Full) && original.len() as u64 == message.size,
        recipients: &described,
    };
    let report = dsn.build();
    let route = context.router.lane(&message.sender).unwrap_or_else(|| message.route.clone());
    Some(NewMessage {
        queue_id,
        kind: MessageKind::Report,
        priority: Priority::Report,
        accepted: now,
        accepted_wall: wall.as_millisecond(),
        limit_wait: context.wake.limit_wait(&route, now),
        route,
        reverse_path: ReversePath::Null,
        sender: message.sender.clone(),
        body: if report.is_ascii() { Body::SevenBit } else { Body::EightBitMime },
        smtputf8: false,
        request: MessageRequest::default(),
        client: ClientInfo { listener: "report".into(), ..ClientInfo::default() },
        test: None,
        held: false,
        recipients: to
            .into_iter()
            .map(|address| NewRecipient {
                address,
                dropped: false,
                request: RecipientRequest { notify: Some(Notify::NEVER), original: None },
            })
            .collect(),
        content: StoredContent::Inline(report),
    })
}

/// The enhanced status code of a reply such as `550 5.1.1 no such user`; empty when it has none.
fn status_in(reply: &str) -> String {
    let second = reply.split(' ').nth(1).unwrap_or_default();
    let is_status =
        second.split('.').count() == 3 && second.split('.').all(|part| part.parse::<u16>().is_ok());
    if is_status { second.to_owned() } else { String::new() }
}

/// The sender, and who gets copies of reports; without doubles.
fn addressees(shared: &Office<'_>, message: &QueuedMessage) -> Vec<Address> {
    let queue = &shared.context.config.queue;
    let sender = message.reverse_path.address().filter(|_| queue.bounce_to_sender);
    let copy = queue.bounce_copy_to.as_ref().filter(|copy| sender.is_none_or(|s| s.key() != copy.key()));
    sender.into_iter().chain(copy).cloned().collect()
}

/// The From of reports. Some providers take only mail that is from the account's own address.
fn bounce_from(shared: &Office<'_>) -> Address {
    if let BounceFrom::Address(address) = &shared.context.config.queue.bounce_from {
        return address.clone();
    }
    let account = shared.upstream.accounts.first().and_then(|account| Address::parse(account.name()).ok());
    let hostname = &shared.context.config.hostname;
    account
        .or_else(|| Address::parse(&format!("MAILER-DAEMON@{hostname}")).ok())
        .unwrap_or_else(|| Address::parse("MAILER-DAEMON@localhost").expect("it is a mailbox"))
}

/// The beginning of the original, as far as it can be read; of one that is not larger, all of it.
async fn original(message: &QueuedMessage) -> Vec<u8> {
    let path = match &message.content {
        Content::Inline(content) => return content[..content.len().min(RETURNED as usize)].to_vec(),
        Content::File(path) => path,
    };
    let mut start = Vec::new();
    let read = async {
        let mut file = tokio::fs::File::open(path).await?.take(RETURNED);
        file.read_to_end(&mut start).await
    };
    if let Ok(Err(error)) = tokio::time::timeout(Duration::from_secs(30), read).await {
        tracing::warn!(event = "report", queue_id = %message.queue_id, reason = %error);
    }
    start
}
