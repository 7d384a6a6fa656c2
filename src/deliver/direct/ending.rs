//! What is logged and reported of a message that has gone through.

use super::permit::DirectPermit;
use super::shared::DirectContext;
use crate::config::TestAction;
use crate::content::ContentError;
use crate::deliver::reports::{self, Affected, Reporter};
use crate::deliver::sent_copy;
use crate::direct::DirectMessage;
use crate::metrics::{CountedLogin, CountedOutcome};
use crate::policy::test_mode::action_name;
use crate::store::{Message, NewMessage, NewSentCopy, PassedMessage, PermitEnd};
use crate::transform::{EditedFields, Prepared};

/// The upstream has taken a message.
pub(super) struct Sent {
    /// The upstream's reply.
    pub(super) reply: String,
    /// The upstream as it answered.
    pub(super) host: String,
    /// Whether it sends the reports of success that were asked for.
    pub(super) reports: bool,
    /// The fields that others than the recipients were taken out of.
    pub(super) edited: EditedFields,
}

/// Writes down what became of a transaction: of the message of a session, where it was sent.
pub(super) async fn record(
    shared: &DirectContext,
    permit: DirectPermit,
    sent: Option<(Sent, (&str, &DirectMessage))>,
    prepared: Option<Prepared>,
) {
    let Some((sent, (session, handed))) = sent else { return permit.end(|end| end).await };
    permit.account.note_sent(shared.context.timeline.now());
    log_sent(shared, &permit, (session, &handed.message), &sent);
    let reports = reports(shared, &permit, &handed.message, &sent).await;
    count_taken(shared, &permit, handed);
    let copy = copy(shared, &permit, &handed.message, prepared).await;
    let passed = Box::new(PassedMessage {
        message: handed.message.clone(),
        label: handed.label.clone(),
        dropped: handed.dropped.clone(),
        copies: handed.copies,
        reply: sent.reply,
        reached: reaches(shared, &handed.message),
    });
    permit.end(|end| PermitEnd { passed: Some(passed), reports, copy, ..end }).await;
}

/// The reports of success that nobody else sends.
async fn reports(
    shared: &DirectContext,
    permit: &DirectPermit,
    message: &Message,
    sent: &Sent,
) -> Vec<NewMessage> {
    if sent.reports {
        return Vec::new();
    }
    let reporter = Reporter { context: &shared.context, upstream: &permit.settings.upstream, listed: &[] };
    let taken = |recipient| Affected::answered(recipient, &sent.reply, &sent.host);
    let all: Vec<Affected<'_>> = message.recipients.iter().map(taken).collect();
    reports::relayed(&reporter, message, &all).await
}

/// A copy of what was sent for the account's Sent folder, where one is wanted.
async fn copy(
    shared: &DirectContext,
    permit: &DirectPermit,
    message: &Message,
    prepared: Option<Prepared>,
) -> Option<NewSentCopy> {
    let prepared = prepared.filter(|_| sent_copy::is_wanted(&permit.settings, message))?;
    // Most mail has none: the session is not to hold room for it.
    Box::pin(sent_copy::copy_of(&shared.context, &permit.account, &message.queue_id, &prepared.content)).await
}

/// Whether the recipients' own mailboxes have the message by this: never in test mode.
fn reaches(shared: &DirectContext, message: &Message) -> bool {
    message.decisions.test.is_none() && shared.context.config.blacklist.auto_add
}

/// Counts what has come in by this, and has gone. What its session drops is counted with its lines.
fn count_taken(shared: &DirectContext, permit: &DirectPermit, handed: &DirectMessage) {
    let (metrics, message) = (&shared.context.metrics, &handed.message);
    let sent = message.recipients.len() as u64;
    let upstream = CountedLogin::of_upstream(permit.upstream());
    metrics.count(
        CountedOutcome::Accepted,
        upstream,
        (sent + handed.dropped.len() as u64).saturating_sub(handed.copies),
    );
    metrics.count(CountedOutcome::Generated, upstream, handed.copies);
    metrics.count(CountedOutcome::Sent, permit.account.counted(), sent);
    let delay = shared.context.timeline.now().since(message.accepted);
    metrics.delivered_after(permit.upstream(), delay, sent);
}

/// Writes one line per recipient; for a test copy one line that names them all.
fn log_sent(
    shared: &DirectContext,
    permit: &DirectPermit,
    (session, message): (&str, &Message),
    sent: &Sent,
) {
    let delay = shared.context.timeline.now().since(message.accepted).as_secs_f64();
    let edited = (!sent.edited.is_empty()).then(|| sent.edited.to_string());
    let line = |to: &str, original_to: Option<&str>| {
        tracing::info!(
            event = "sent",
            session,
            queue_id = %message.queue_id,
            client = message.client.address,
            user = message.client.user,
            listener = message.client.listener,
            from = %message.reverse_path,
            to,
            original_to,
            upstream = permit.upstream(),
            account = permit.account.name(),
            host = sent.host,
            reply = sent.reply,
            delay = format!("{delay:.1}s"),
            attempt = 1,
            size = message.size,
            edited,
            test_mode = message.decisions.test.as_ref().map(|test| action_name(test.action)),
        );
    };
    let copy = message.decisions.test.as_ref().filter(|test| test.action == TestAction::Redirect);
    if let Some(test) = copy {
        let all: Vec<_> = message.recipients.iter().map(|r| r.address.as_str()).collect();
        let to = test.address.as_ref().map(ToString::to_string).unwrap_or_default();
        return line(&to, Some(&all.join(",")));
    }
    message.recipients.iter().for_each(|recipient| line(recipient.address.as_str(), None));
}

/// Says that a transaction was cut off, and whether the upstream may have the message.
pub(super) fn log_cut(message: &Message, upstream: &str, possible_duplicate: bool) {
    let reason = if possible_duplicate {
        "broken off behind the final dot: possible duplicate when the client sends it again"
    } else {
        "broken off before the final dot"
    };
    tracing::warn!(event = "broken_off", queue_id = %message.queue_id, from = %message.reverse_path, upstream, reason);
}

/// Says that a transaction was broken off since the content can't be read to its end: the upstream does not have the message.
pub(super) fn log_unread(message: &Message, upstream: &str, error: &ContentError) {
    tracing::error!(event = "store", queue_id = %message.queue_id, upstream, reason = %error);
}
