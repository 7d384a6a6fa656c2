//! The end of DATA: routes the message, and puts it into the queue. Only when the store has committed it is there a 250.

use super::direct::{is_direct, is_sent_at_once, send};
use super::state::MailTransaction;
use super::submission::{AcceptedLine, Searchable, Submission, SubmissionError};
use super::{Peer, Services};
use crate::config::{ByteSize, TestAction, Upstream, UserPriority};
use crate::mail::{Address, RecipientRequest};
use crate::policy::estimate::Accepted;
use crate::policy::users::LoggedIn;
use crate::route::Router;
use crate::smtp::Reply;
use crate::store::{
    ClientInfo, Decisions, LaneName, MessageKind, NewMessage, NewRecipient, Priority, Recipients,
    TestTreatment,
};

/// Takes the message into the queue, or in direct mode sends it.
///
/// There is no time-out here: the answer to the client is what the store says, or the upstream, and nothing else.
///
/// # Errors
/// With the reason why it was not taken; nothing of it is left then, save where the store itself does not know.
pub async fn accept(
    services: &Services,
    peer: &Peer,
    submission: Submission,
) -> Result<Reply, SubmissionError> {
    let reverse_path = submission.transaction.envelope.reverse_path.address();
    let sender = sender(submission.author.mailboxes(), reverse_path);
    let upstream =
        services.router.route(&sender).ok_or_else(|| SubmissionError::NoRoute { sender: named(&sender) })?;
    admit(&services.router, upstream, &sender, submission.content.len())?;
    let test = test_of(services, submission.user.as_ref());
    if is_direct(services, peer) && is_sent_at_once(upstream, test.as_ref()) && !submission.all_dropped() {
        return send(services, peer, submission, (upstream, sender, test)).await;
    }
    queue(services, peer, submission, (upstream, sender, test)).await
}

/// What test mode makes of a message that this user hands in now.
pub(super) fn test_of(services: &Services, user: Option<&LoggedIn>) -> Option<TestTreatment> {
    let granted = user.and_then(|user| services.users.granted(user));
    services.test_mode.for_message(granted.is_some_and(|user| user.test))
}

/// Whether an upstream can take a sender's message of that size.
///
/// # Errors
/// With the reason why it can't, whatever happens.
pub fn admit(router: &Router, upstream: &Upstream, sender: &str, size: u64) -> Result<(), SubmissionError> {
    if router.lane_of(&upstream.name, sender).is_none() {
        return Err(SubmissionError::NoAccount { upstream: upstream.name.clone(), sender: named(sender) });
    }
    match upstream.message_size().filter(|max| size > max.0) {
        Some(ByteSize(max)) => Err(SubmissionError::TooLarge { max }),
        None => Ok(()),
    }
}

/// Puts the message into the queue.
async fn queue(
    services: &Services,
    peer: &Peer,
    submission: Submission,
    (upstream, sender, test): (&Upstream, String, Option<TestTreatment>),
) -> Result<Reply, SubmissionError> {
    let Submission { queue_id, hello, user, transaction, content, label, .. } = submission;
    let priority = priority(services, user.as_ref(), transaction.request.priority);
    let user = user.as_ref().map(|user| &*user.name);
    let size = content.len();
    let recipients = recipients(&transaction);
    let lane = lane(test.as_ref(), services.router.lane(&sender));
    let envelope = transaction.envelope;
    let entry = AcceptedLine {
        queue_id: &queue_id,
        sender: &envelope.reverse_path,
        upstream,
        size,
        test: test.as_ref(),
        user,
    };
    let client = client(peer, hello.name, user);
    let held = test.as_ref().is_some_and(|t| t.action == TestAction::Hold);
    let waits = !held && recipients.kept() > 0;
    let submitter = client.submitter();
    let message = NewMessage {
        queue_id: queue_id.clone(),
        kind: MessageKind::Submitted,
        priority,
        lane: lane.clone(),
        limit_wait: services.limit_waits.of(&lane, services.timeline.now()),
        reverse_path: envelope.reverse_path.clone(),
        sender,
        body: envelope.body,
        smtputf8: envelope.smtputf8,
        request: transaction.request.clone(),
        client,
        held,
        decisions: Decisions { test: test.clone(), upstream: None },
        recipients: recipients.clone(),
        content,
    };
    services.store.enqueue(message).await.map_err(SubmissionError::NotQueued)?;
    let accepted = Accepted {
        queue_id: &queue_id,
        lane: &lane,
        submitter: &submitter,
        priority,
        recipients: recipients.kept() as u64,
    };
    let eta = if waits { estimate(services, accepted).await } else { None };
    let found_by = Searchable::new(&recipients, &label, services.config.log.subject);
    entry.log_accepted(peer, &found_by, eta.as_deref());
    entry.log_dropped(peer, recipients.iter().filter(|r| r.dropped).map(|r| &r.address));
    services.wakeups.wake(&lane);
    if services.router.is_outdated() {
        services.wakeups.call_unserved();
    }
    Ok(Reply::new(250, (2, 0, 0), format!("queued as {queue_id}")))
}

/// When it will probably go, as the log says it.
async fn estimate(services: &Services, accepted: Accepted<'_>) -> Option<String> {
    let eta = services.estimate.of_accepted(accepted).await?;
    Some(format!("{:.3}", services.timeline.wall_at(eta)))
}

/// What is known of the client.
fn client(peer: &Peer, helo: String, user: Option<&str>) -> ClientInfo {
    ClientInfo {
        address: peer.ip.to_string(),
        helo,
        user: user.map(str::to_owned),
        listener: peer.listener.address.to_string(),
    }
}

/// By which lane a message goes; `of_sender` is the one that serves its sender.
#[must_use]
pub fn lane(test: Option<&TestTreatment>, of_sender: Option<LaneName>) -> LaneName {
    match test.map(|test| test.action) {
        Some(TestAction::Capture) => LaneName::captured(),
        _ => of_sender.unwrap_or_else(LaneName::unrouted),
    }
}

/// How urgent a message is: as MT-PRIORITY says, or else as the user's mail is. A user whose mail goes last can't change
/// that.
fn priority(services: &Services, user: Option<&LoggedIn>, asked: Option<i8>) -> Priority {
    let of_user = user.and_then(|user| services.users.granted(user)).map(|user| user.priority);
    match (of_user, asked) {
        (Some(UserPriority::Low), _) => Priority::Low,
        (Some(UserPriority::High), None) => Priority::High,
        (_, asked) => Priority::asked(asked),
    }
}

/// The address that routing goes by: the one in From, or else the reverse-path. Its key.
#[must_use]
pub fn sender(from: &[Address], reverse_path: Option<&Address>) -> String {
    match from {
        [only] => only.key().into(),
        _ => reverse_path.map(|address| address.key().into()).unwrap_or_default(),
    }
}

fn named(sender: &str) -> String {
    if sender.is_empty() { "mail without a sender".to_owned() } else { sender.to_owned() }
}

fn recipients(transaction: &MailTransaction) -> Recipients {
    let dropped = |i: usize| transaction.dropped.binary_search(&i).is_ok();
    let all = transaction.envelope.recipients().iter().zip(&transaction.requests).enumerate();
    let recipient = |(i, (address, request)): (usize, (&Address, &RecipientRequest))| NewRecipient {
        address: address.clone(),
        dropped: dropped(i),
        request: request.clone(),
    };
    Recipients::new(all.map(recipient).collect()).expect("no content is taken before a recipient")
}
