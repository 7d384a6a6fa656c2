//! Direct mode: the client reads what the upstream says.

use super::accept::{Entry, Refused, Submission};
use super::{Peer, Services};
use crate::config::{Mode, TestAction, Upstream, UpstreamKind};
use crate::queue::direct::{Exchange, Handed, Opening};
use crate::smtp::Reply;
use crate::store::{ClientInfo, MessageId, MessageKind, QueuedMessage, QueuedRecipient, TestTreatment};

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
pub(super) fn goes_through(upstream: &Upstream, test: Option<&TestTreatment>) -> bool {
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
) -> Result<Reply, Refused> {
    let Submission { queue_id, hello, user, transaction, content, exchange } = submission;
    let lane = services.router.lane(&sender).unwrap_or_default();
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
    let size = content.size;
    let (content, guard) = content.into_content();
    let (now, wall) = (services.timeline.now(), services.timeline.wall().as_millisecond());
    let all = transaction.envelope.recipients();
    let dropped: Vec<_> = transaction.dropped.iter().map(|&place| all[place].clone()).collect();
    let recipients = recipients(&transaction);
    let envelope = transaction.envelope;
    let message = QueuedMessage {
        id: MessageId(0),
        queue_id,
        kind: MessageKind::Submitted,
        route: lane,
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
        test,
        warned: false,
        attempts: 0,
        recipients,
        others_waiting: 0,
        others_at_once: 0,
        size,
        content,
    };
    let (queue_id, from, test) =
        (message.queue_id.clone(), message.reverse_path.clone(), message.test.clone());
    let handed = Handed { message, dropped: dropped.len() as u64, guard };
    let reply = exchange.content(handed).await.map_err(Refused::Direct)?;
    let entry = Entry { queue_id: &queue_id, sender: &from, upstream, size, test: test.as_ref(), user: None };
    entry.log_dropped(peer, dropped.iter());
    Ok(reply)
}

/// Who is to get the message.
fn recipients(transaction: &super::state::Transaction) -> Vec<QueuedRecipient> {
    let all = (0_u32..).zip(transaction.envelope.recipients()).zip(&transaction.requests);
    all.filter(|((index, _), _)| transaction.dropped.binary_search(&(*index as usize)).is_err())
        .map(|((index, address), request)| QueuedRecipient {
            index,
            address: address.clone(),
            attempts: 0,
            failures: 0,
            last_reply: String::new(),
            request: request.clone(),
        })
        .collect()
}
