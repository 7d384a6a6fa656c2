//! What is logged and reported of a message that has gone through.

use super::Shared;
use super::ticket::Ticket;
use crate::config::TestAction;
use crate::deliver::reports::{self, Office};
use crate::policy::test_mode::action_name;
use crate::store::{NewMessage, QueuedMessage};

/// The upstream has taken a message.
pub(super) struct Sent {
    /// Its reply.
    pub(super) reply: String,
    /// The upstream as it answered.
    pub(super) host: String,
    /// Whether it sends the reports of success that were asked for.
    pub(super) reports: bool,
}

/// The reports of success that nobody else sends.
pub(super) async fn reports(
    shared: &Shared,
    ticket: &Ticket,
    message: &QueuedMessage,
    sent: &Sent,
) -> Vec<NewMessage> {
    if sent.reports {
        return Vec::new();
    }
    let office = Office { context: &shared.context, upstream: ticket.carrier.upstream() };
    let all: Vec<(usize, &str)> = (0..message.recipients.len()).map(|place| (place, &*sent.reply)).collect();
    reports::relayed(&office, message, &all, &sent.host).await.into_iter().collect()
}

/// One line per recipient; for a test copy one line that names them all.
pub(super) fn log_sent(
    shared: &Shared,
    ticket: &Ticket,
    (session, message): (&str, &QueuedMessage),
    sent: &Sent,
) {
    let delay = shared.context.timeline.now().since(message.accepted).as_secs_f64();
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
            upstream = ticket.upstream(),
            account = ticket.carrier.account(),
            host = sent.host,
            reply = sent.reply,
            delay = format!("{delay:.1}s"),
            attempt = 1,
            size = message.size,
            test_mode = message.test.as_ref().map(|test| action_name(test.action)),
        );
    };
    let copy = message.test.as_ref().filter(|test| test.action == TestAction::Redirect);
    if let Some(test) = copy {
        let all: Vec<_> = message.recipients.iter().map(|r| r.address.as_str()).collect();
        let to = test.address.as_ref().map(ToString::to_string).unwrap_or_default();
        return line(&to, Some(&all.join(",")));
    }
    message.recipients.iter().for_each(|recipient| line(recipient.address.as_str(), None));
}

/// Says that a transaction was cut off, and whether the upstream may have the message.
pub(super) fn log_cut(message: &QueuedMessage, upstream: &str, possible_duplicate: bool) {
    let reason = if possible_duplicate {
        "broken off behind the final dot: possible duplicate when the client sends it again"
    } else {
        "broken off before the final dot"
    };
    tracing::warn!(event = "broken_off", queue_id = %message.queue_id, from = %message.reverse_path, upstream, reason);
}
