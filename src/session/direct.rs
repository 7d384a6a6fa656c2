//! Direct mode: the client reads what the upstream says.

use super::ruling::{Decided, Ruling};
use super::submission::{AcceptedLine, Submission, SubmissionError};
use super::{Peer, Services};
use crate::config::{Mode, TestAction, Upstream, UpstreamKind};
use crate::direct::{DirectMessage, Exchange, Opening};
use crate::smtp::Reply;
use crate::store::{
    ClientInfo, Decisions, LaneName, Message, MessageKind, NewRecipient, QueuedRecipient, StoredLabel,
    TestTreatment,
};

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
    !matches!(upstream.kind, UpstreamKind::Capture(_)) && !stays
}

/// Sends a message, and returns the upstream's reply.
///
/// # Errors
/// When the upstream has not taken it: with its reply, or why there is none.
pub(super) async fn send(
    services: &Services,
    peer: &Peer,
    submission: Submission,
    decided: Decided<'_>,
) -> Result<Reply, SubmissionError> {
    let Submission { queue_id, hello, user, transaction, content, label, exchange, .. } = submission;
    let decisions = decided.decisions();
    let Decided { upstream, ruling, copies, .. } = decided;
    let Ruling { sender, reverse_path, .. } = ruling;
    let lane = services.router.lane_of(&upstream.name, &sender).unwrap_or_else(LaneName::unrouted);
    let exchange = exchange.unwrap_or_else(|| {
        let opening = Opening {
            session: peer.session_id.clone(),
            lane: lane.clone(),
            reverse_path: reverse_path.clone(),
            smtputf8: transaction.envelope.smtputf8,
            request: transaction.request.clone(),
        };
        Exchange::begin(&*services.direct, opening)
    });
    let size = content.len();
    let (now, wall) = (services.timeline.now(), services.timeline.wall().as_millisecond());
    let all = transaction.envelope.recipients();
    let mut dropped: Vec<_> = transaction.dropped.iter().map(|&place| all[place].clone()).collect();
    dropped.extend(copies.iter().filter(|copy| copy.dropped).map(|copy| copy.address.clone()));
    let added = copies.len() as u64;
    let recipients = recipients(&transaction, copies);
    let envelope = transaction.envelope;
    let message = Message {
        queue_id,
        kind: MessageKind::Submitted,
        lane,
        accepted: now,
        accepted_wall: wall,
        age_base: now.0,
        reverse_path,
        sender,
        body: envelope.body,
        smtputf8: envelope.smtputf8,
        request: transaction.request,
        client: client(peer, hello.name, user.as_ref().map(|user| &*user.name)),
        decisions,
        recipients,
        size,
        content,
    };
    let (queue_id, from) = (message.queue_id.clone(), message.reverse_path.clone());
    let Decisions { test, ruled, .. } = message.decisions.clone();
    let label = StoredLabel::new(&label, services.config.history.subject);
    let handed = Box::new(DirectMessage { message, label, dropped: dropped.clone(), copies: added });
    let reply = exchange.content(handed).await.map_err(SubmissionError::Direct)?;
    let (test, rules) = (test.as_ref(), &ruled.rules[..]);
    let entry = AcceptedLine { queue_id: &queue_id, sender: &from, upstream, size, test, user: None, rules };
    entry.log_dropped((peer, &services.metrics), dropped.iter());
    Ok(reply)
}

/// What is known of the client.
pub(super) fn client(peer: &Peer, helo: String, user: Option<&str>) -> ClientInfo {
    ClientInfo {
        address: peer.ip.to_string(),
        helo,
        user: user.map(str::to_owned),
        listener: peer.listener.address.to_string(),
    }
}

/// Who is to get the message.
fn recipients(
    transaction: &super::state::MailTransaction,
    copies: Vec<NewRecipient>,
) -> Vec<QueuedRecipient> {
    let all = transaction.envelope.recipients().iter().zip(&transaction.requests).enumerate();
    let kept = all.filter(|(index, _)| transaction.dropped.binary_search(index).is_err());
    let kept = kept.map(|(_, (address, request))| (address.clone(), request.clone()));
    let copies = copies.into_iter().filter(|copy| !copy.dropped).map(|copy| (copy.address, copy.request));
    // The blacklist was asked when they were taken.
    let each = |(index, (address, request))| QueuedRecipient::untried(index, address, request);
    (0..).zip(kept.chain(copies)).map(each).collect()
}
