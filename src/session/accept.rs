//! The end of DATA: routes the message, and puts it into the queue. Only when the store has committed it is there a 250.

use jiff::Timestamp;

use super::carrier::{self, Carrier, carrier, route};
use super::direct::{client, is_direct, is_sent_at_once, send};
use super::ruling::{Arrived, Decided, Ruling};
use super::state::MailTransaction;
use super::submission::{AcceptedLine, Searchable, Submission, SubmissionError};
use super::{Peer, Services};
use crate::config::{TestAction, UserPriority};
use crate::mail::{Address, RecipientRequest};
use crate::policy::estimate::Accepted;
use crate::policy::users::LoggedIn;
use crate::smtp::Reply;
use crate::store::{
    LaneName, Message, MessageKind, NewMessage, NewRecipient, Priority, Recipients, Ruled, StoredLabel,
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
    let now = services.timeline.wall();
    let listener = peer.listener.address.to_string();
    let arrived = Arrived {
        content: &submission.content,
        author: &submission.author,
        reverse_path: &submission.transaction.envelope.reverse_path,
        recipients: submission.transaction.envelope.recipients(),
        user: submission.user.as_ref().map(|user| &*user.name),
        listener: &listener,
        client: peer.ip,
    };
    let mut ruling = Ruling::of(&services.config, now, arrived).await?;
    let upstream = route(&services.router, &ruling)?;
    let copies = ruling.recipients(&*services.store, services.config.blacklist.action).await?;
    let test = test_of(services, submission.user.as_ref(), &ruling.ruled);
    let relay = (&*services.router, &services.transformer);
    let mail = (&*ruling.sender, &submission.content);
    let message = || sketch(&submission, &ruling, (test.as_ref(), &copies));
    let Carrier { upstream, detour } = Box::pin(carrier(relay, upstream, mail, message)).await?;
    if let Some(detour) = detour {
        detour.log(&submission.queue_id, &upstream.name);
        ruling.upstream = Some(upstream.name.clone());
    }
    let mut decided = Decided { upstream, test, delay: ruling.delay(now), ruling, copies };
    let at_once = is_sent_at_once(upstream, decided.test.as_ref()) && !decided.ruling.keeps();
    if is_direct(services, peer) && at_once && !submission.all_dropped() {
        let copies = QueuedCopies::of(&submission, &mut decided);
        let reply = send(services, peer, submission, decided).await?;
        if let Some(copies) = copies {
            // Rare, and large: whoever waits for a client does not hold room for it.
            Box::pin(copies.queue(services, peer)).await;
        }
        return Ok(reply);
    }
    let recipients = recipients(&submission.transaction, std::mem::take(&mut decided.copies));
    // Most of the time a session has no message to queue: it does not hold room for one.
    Box::pin(queue(services, peer, submission, (decided, recipients))).await
}

/// The copies of a message that goes through while its client waits. They are none of the client's affair: it is not told of
/// them, and waits for nobody but its own recipients. So they are queued, once the upstream has the message.
struct QueuedCopies<'a> {
    submission: Submission,
    decided: Decided<'a>,
    recipients: Recipients,
}

impl<'a> QueuedCopies<'a> {
    /// Takes them out of what was decided. Of a test there is one mail, whoever it names: then they stay.
    fn of(submission: &Submission, decided: &mut Decided<'a>) -> Option<Self> {
        if decided.test.is_some() {
            return None;
        }
        let recipients = Recipients::new(std::mem::take(&mut decided.copies))?;
        Some(Self { submission: submission.without_exchange(), decided: decided.clone(), recipients })
    }

    /// The client has its reply whatever becomes of them.
    async fn queue(self, services: &Services, peer: &Peer) {
        let Self { submission, decided, recipients } = self;
        let (queue_id, upstream) = (submission.queue_id.clone(), decided.upstream.name.clone());
        if let Err(error) = queue(services, peer, submission, (decided, recipients)).await {
            tracing::error!(
                event = "store",
                queue_id = %queue_id,
                upstream,
                reason = %error,
                effect = "the message was sent, and its copies are not"
            );
        }
    }
}

/// The message as its first attempt would get it, without its content.
fn sketch(
    submission: &Submission,
    ruling: &Ruling,
    (test, copies): (Option<&TestTreatment>, &[NewRecipient]),
) -> Message {
    let Submission { queue_id, transaction, .. } = submission;
    let all = transaction.envelope.recipients().iter().enumerate();
    let kept = all.filter(|(place, _)| transaction.dropped.binary_search(place).is_err());
    let copies = copies.iter().filter(|copy| !copy.dropped).map(|copy| &copy.address);
    let recipients = kept.map(|(_, address)| address).chain(copies);
    let ruled = (ruling, test);
    carrier::sketch((queue_id.clone(), transaction.envelope.smtputf8), ruled, recipients)
}

/// What test mode makes of a message that this user hands in now, and that rules have decided about.
pub(super) fn test_of(services: &Services, user: Option<&LoggedIn>, ruled: &Ruled) -> Option<TestTreatment> {
    let granted = user.and_then(|user| services.users.granted(user));
    services.test_mode.for_message(granted.is_some_and(|user| user.test) || ruled.test_by.is_some())
}

/// Puts the message into the queue.
async fn queue(
    services: &Services,
    peer: &Peer,
    submission: Submission,
    (decided, recipients): (Decided<'_>, Recipients),
) -> Result<Reply, SubmissionError> {
    let Submission { queue_id, hello, user, transaction, content, label, .. } = submission;
    let decisions = decided.decisions();
    let Decided { upstream, test, ruling, delay, .. } = decided;
    let Ruling { sender, reverse_path, goes_at, ruled, .. } = ruling;
    let priority = priority(services, user.as_ref(), (transaction.request.priority, &ruled));
    let user = user.as_ref().map(|user| &*user.name);
    let size = content.len();
    let lane = lane(test.as_ref(), services.router.lane_of(&upstream.name, &sender));
    let envelope = transaction.envelope;
    let (sender_path, rules) = (&reverse_path, &ruled.rules);
    let entry = AcceptedLine {
        queue_id: &queue_id,
        sender: sender_path,
        upstream,
        size,
        test: test.as_ref(),
        user,
        rules,
    };
    let client = client(peer, hello.name, user);
    let held = ruled.held_by.is_some() || test.as_ref().is_some_and(|t| t.action == TestAction::Hold);
    let waits = !held && recipients.kept() > 0;
    let submitter = client.submitter();
    let message = NewMessage {
        queue_id: queue_id.clone(),
        kind: MessageKind::Submitted,
        priority,
        lane: lane.clone(),
        limit_wait: services.limit_waits.of(&lane, services.timeline.now()),
        delay,
        reverse_path: reverse_path.clone(),
        sender,
        body: envelope.body,
        smtputf8: envelope.smtputf8,
        request: transaction.request.clone(),
        client,
        held,
        decisions,
        label: StoredLabel::new(&label, services.config.history.subject),
        recipients: recipients.clone(),
        content,
    };
    let taken = services.store.enqueue(message).await.map_err(SubmissionError::NotQueued)?;
    let (submitter, kept) = (&*submitter, recipients.kept() as u64);
    let accepted = Accepted { queue_id: &queue_id, lane: &lane, submitter, priority, recipients: kept };
    let eta = if waits && taken.is_none() { estimate(services, accepted, goes_at).await } else { None };
    let found_by = Searchable::new(&recipients, &label, services.config.log.subject);
    entry.count_accepted(&services.metrics, &recipients);
    entry.log_accepted(peer, &found_by, eta.as_deref());
    entry.log_dropped((peer, &services.metrics), recipients.iter().filter(|r| r.dropped).map(|r| &r.address));
    // Its attempt may begin, now that this stands in the log.
    taken.map_or_else(|| wake(services, &lane), drop);
    Ok(Reply::new(250, (2, 0, 0), format!("queued as {queue_id}")))
}

/// There is mail in a lane.
fn wake(services: &Services, lane: &LaneName) {
    services.wakeups.wake(lane);
    if services.router.is_outdated() {
        services.wakeups.call_unserved();
    }
}

/// When it will probably go, as the log says it.
async fn estimate(services: &Services, accepted: Accepted<'_>, goes_at: Option<Timestamp>) -> Option<String> {
    if let Some(at) = goes_at {
        return Some(format!("{at:.3}"));
    }
    let eta = services.estimate.of_accepted(accepted).await?;
    Some(format!("{:.3}", services.timeline.wall_at(eta)))
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
/// that; a rule can.
fn priority(services: &Services, user: Option<&LoggedIn>, (asked, ruled): (Option<i8>, &Ruled)) -> Priority {
    if let Some(by_rule) = ruled.priority {
        return by_rule;
    }
    let of_user = user.and_then(|user| services.users.granted(user)).map(|user| user.priority);
    match (of_user, asked) {
        (Some(UserPriority::Low), _) => Priority::Low,
        (Some(UserPriority::High), None) => Priority::High,
        (_, asked) => Priority::asked(asked),
    }
}

fn recipients(transaction: &MailTransaction, copies: Vec<NewRecipient>) -> Recipients {
    let dropped = |i: usize| transaction.dropped.binary_search(&i).is_ok();
    let all = transaction.envelope.recipients().iter().zip(&transaction.requests).enumerate();
    let recipient = |(i, (address, request)): (usize, (&Address, &RecipientRequest))| NewRecipient {
        address: address.clone(),
        dropped: dropped(i),
        copy: false,
        request: request.clone(),
    };
    Recipients::new(all.map(recipient).chain(copies).collect())
        .expect("no content is taken before a recipient")
}
