//! Direct mode: the client reads what the upstream says.

use super::submission::{AcceptedLine, Submission, SubmissionError};
use super::{Peer, Services};
use crate::config::{Mode, TestAction, Upstream, UpstreamKind};
use crate::direct::{DirectMessage, Exchange, Opening};
use crate::smtp::Reply;
use crate::store::{ClientInfo, Decisions, LaneName, Message, MessageKind, QueuedRecipient, TestTreatment};

/// How far the upstream has been asked about the message that is under way.
#[derive(Debug, Default)]
pub(super) enum Asked {
    /// Not at all.
    #[default]
    Nothing,
    /// About recipients.
    Begun(Exchange),
    /// Not before the content is here: until then nobody knows whom to ask, or how.
    Later,
}

impl Asked {
    /// The exchange, for the content.
    pub(super) fn into_exchange(self) -> Option<Exchange> {
        match self {
            Self::Begun(exchange) => Some(exchange),
            Self::Nothing | Self::Later => None,
        }
    }
}

/// Whether clients of the peer's listener wait for the upstream.
pub(super) fn is_direct(services: &Services, peer: &Peer) -> bool {
    peer.listener.mode.unwrap_or(services.config.queue.mode) == Mode::Direct
}

/// Whether a message goes through while the client waits. What stays on this machine is queued like all mail.
pub(super) fn is_sent_at_once(upstream: &Upstream, test: Option<&TestTreatment>) -> bool {
    let stays = test.is_some_and(|test| matches!(test.action, TestAction::Hold | TestAction::Capture));
    matches!(upstream.kind, UpstreamKind::Smtp(_)) && !stays
}

/// Sends a message, and returns the upstream's reply.
///
/// # Errors
/// When the upstream has not taken it: with its reply, or why there is none.
pub(super) async fn send(
    services: &Services,
    peer: &Peer,
    submission: Submission,
    (upstream, sender, test): (&Upstream, String, Option<TestTreatment>),
) -> Result<Reply, SubmissionError> {
    let Submission { queue_id, hello, user, transaction, content, exchange, .. } = submission;
    let lane = services.router.lane(&sender).unwrap_or_else(LaneName::unrouted);
    let exchange = exchange.unwrap_or_else(|| {
        let opening = Opening {
            session: peer.session_id.clone(),
            lane: lane.clone(),
            reverse_path: transaction.envelope.reverse_path.clone(),
            smtputf8: transaction.envelope.smtputf8,
            request: transaction.request.clone(),
        };
        Exchange::begin(&*services.direct, opening)
    });
    let size = content.len();
    let (now, wall) = (services.timeline.now(), services.timeline.wall().as_millisecond());
    let all = transaction.envelope.recipients();
    let dropped: Vec<_> = transaction.dropped.iter().map(|&place| all[place].clone()).collect();
    let recipients = recipients(&transaction);
    let envelope = transaction.envelope;
    let message = Message {
        queue_id,
        kind: MessageKind::Submitted,
        lane,
        accepted: now,
        accepted_wall: wall,
        age_base: now.0,
        reverse_path: envelope.reverse_path,
        sender,
        body: envelope.body,
        smtputf8: envelope.smtputf8,
        request: transaction.request,
        client: ClientInfo {
            address: peer.ip.to_string(),
            helo: hello.name,
            user: user.map(|user| user.name.to_string()),
            listener: peer.listener.address.to_string(),
        },
        decisions: Decisions { test, upstream: None },
        recipients,
        size,
        content,
    };
    let (queue_id, from, test) =
        (message.queue_id.clone(), message.reverse_path.clone(), message.decisions.test.clone());
    let handed = DirectMessage { message, dropped: dropped.len() as u64 };
    let reply = exchange.content(handed).await.map_err(SubmissionError::Direct)?;
    let entry =
        AcceptedLine { queue_id: &queue_id, sender: &from, upstream, size, test: test.as_ref(), user: None };
    entry.log_dropped(peer, dropped.iter());
    Ok(reply)
}

/// Who is to get the message.
fn recipients(transaction: &super::state::MailTransaction) -> Vec<QueuedRecipient> {
    let all = (0_u32..).zip(transaction.envelope.recipients()).zip(&transaction.requests);
    all.filter(|((index, _), _)| transaction.dropped.binary_search(&(*index as usize)).is_err())
        .map(|((index, address), request)| QueuedRecipient {
            index,
            address: address.clone(),
            attempts: 0,
            failures: 0,
            doubts: 0,
            last_reply: String::new(),
            request: request.clone(),
            // It was asked for at RCPT.
            listed: None,
        })
        .collect()
}
