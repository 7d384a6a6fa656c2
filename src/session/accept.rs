//! The end of DATA: routes the message, and puts it into the queue. Only when the store has committed it is there a 250.

use super::direct::{goes_through, is_direct, send};
use super::receive::{Stored, Taken};
use super::state::{Hello, Transaction};
use super::{Peer, Services};
use crate::config::{ByteSize, TestAction, Upstream, UserPriority};
use crate::mail::{Address, QueueId, RecipientRequest};
use crate::policy::estimate::Accepted;
use crate::policy::test_mode::action_name;
use crate::policy::users::LoggedIn;
use crate::queue::direct::{self, Exchange};
use crate::route::CAPTURED;
use crate::smtp::Reply;
use crate::store::{
    ClientInfo, EnqueueError, MessageKind, NewMessage, NewRecipient, Priority, StoreError, StoredContent,
    TestTreatment,
};

/// Why a message is refused at the end of its content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The operator's configuration has no upstream for the sender.
    #[error("no upstream serves {sender}: add a filter or a default upstream")]
    NoRoute {
        /// The address that routing went by.
        sender: String,
    },
    /// No login of the upstream may send for this sender.
    #[error("no account of upstream {upstream} may send as {sender}: add one, or one without sender_bound")]
    NoAccount {
        /// The upstream.
        upstream: String,
        /// The address that routing went by.
        sender: String,
    },
    /// The upstream would not take it.
    #[error("the message is larger than {max} octets, the limit of its upstream")]
    TooLarge {
        /// `message_size` of the upstream.
        max: u64,
    },
    /// The store did not take it.
    #[error("{}", match .0 {
        EnqueueError::Full { .. } => "the queue is full, try again later",
        _ => "the message cannot be stored at present, try again later",
    })]
    NotQueued(#[source] EnqueueError),
    /// The upstream did not take it while the client waited.
    #[error("{}", .0.reply)]
    Direct(direct::Refused),
}

impl Refused {
    /// What the client is told.
    #[must_use]
    pub fn reply(&self) -> Reply {
        let (code, status) = match self {
            Self::NoRoute { .. } | Self::NoAccount { .. } => (550, (5, 7, 1)),
            Self::TooLarge { .. } => (552, (5, 3, 4)),
            Self::NotQueued(EnqueueError::Full { .. }) => (452, (4, 3, 1)),
            Self::NotQueued(_) => (451, (4, 3, 0)),
            Self::Direct(refused) => return refused.reply.clone(),
        };
        Reply::new(code, status, self.to_string())
    }

    /// The word for it in the log.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoRoute { .. } => "route",
            Self::NoAccount { .. } => "account",
            Self::TooLarge { .. } => "size",
            Self::NotQueued(EnqueueError::Full { .. }) => "queue_full",
            Self::NotQueued(_) => "store",
            Self::Direct(refused) => refused.reason,
        }
    }
}

/// A message that has arrived completely.
#[derive(Debug)]
pub struct Submission {
    /// Its name.
    pub queue_id: QueueId,
    /// How the client introduced itself.
    pub hello: Hello,
    /// Who has logged in.
    pub user: Option<LoggedIn>,
    /// Who it is from and for.
    pub transaction: Transaction,
    /// Its content.
    pub content: Taken,
    /// What the upstream was asked about its recipients, in direct mode.
    pub exchange: Option<Exchange>,
}

/// Takes the message into the queue, or in direct mode sends it.
///
/// There is no time-out here: the answer to the client is what the store says, or the upstream, and nothing else.
///
/// # Errors
/// With the reason why it was not taken; nothing of it is left then, save where the store itself does not know.
pub async fn accept(services: &Services, peer: &Peer, submission: Submission) -> Result<Reply, Refused> {
    let sender = sender(&submission.content.from, &submission.transaction);
    let upstream =
        services.router.route(&sender).ok_or_else(|| Refused::NoRoute { sender: named(&sender) })?;
    let size = submission.content.size;
    if !services.router.has_account(&sender) {
        return Err(Refused::NoAccount { upstream: upstream.name.clone(), sender: named(&sender) });
    }
    if let Some(ByteSize(max)) = upstream.message_size().filter(|max| size > max.0) {
        return Err(Refused::TooLarge { max });
    }
    let test = services.test_mode.current();
    if is_direct(services, peer) && goes_through(upstream, test.as_ref()) && !submission.all_dropped() {
        return send(services, peer, submission, (upstream, sender, test)).await;
    }
    queue(services, peer, submission, (upstream, sender, test)).await
}

/// Puts the message into the queue.
async fn queue(
    services: &Services,
    peer: &Peer,
    submission: Submission,
    (upstream, sender, test): (&Upstream, String, Option<TestTreatment>),
) -> Result<Reply, Refused> {
    let Submission { queue_id, hello, user, transaction, content, .. } = submission;
    let priority = priority(services, user.as_ref(), transaction.request.priority);
    let user = user.as_ref().map(|user| &*user.name);
    let size = content.size;
    let recipients = recipients(&transaction);
    let (stored, path) = hand_over(content.stored);
    let (stored, spare) = if recipients.iter().all(|r| r.dropped) {
        // It is counted, but nothing of it is kept.
        (StoredContent::Inline(Vec::new()), path.clone())
    } else {
        (stored, None)
    };
    let now = services.timeline.now();
    let lane = match test.as_ref().map(|test| test.action) {
        Some(TestAction::Capture) => CAPTURED.to_owned(),
        _ => services.router.lane(&sender).unwrap_or_default(),
    };
    let envelope = transaction.envelope;
    let entry = Entry {
        queue_id: &queue_id,
        sender: &envelope.reverse_path,
        upstream,
        size,
        test: test.as_ref(),
        user,
    };
    let client = ClientInfo {
        address: peer.ip.to_string(),
        helo: hello.name,
        user: user.map(str::to_owned),
        listener: peer.listener.address.to_string(),
    };
    let held = test.as_ref().is_some_and(|t| t.action == TestAction::Hold);
    let waits = !held && spare.is_none() && recipients.iter().any(|r| !r.dropped);
    let submitter = client.submitter();
    let message = NewMessage {
        queue_id: queue_id.clone(),
        kind: MessageKind::Submitted,
        priority,
        route: lane.clone(),
        accepted: now,
        accepted_wall: services.timeline.wall().as_millisecond(),
        limit_wait: services.wake.limit_wait(&lane, now),
        reverse_path: envelope.reverse_path.clone(),
        sender,
        body: envelope.body,
        smtputf8: envelope.smtputf8,
        request: transaction.request.clone(),
        client,
        held,
        test: test.clone(),
        recipients: recipients.clone(),
        content: stored,
    };
    let queued = services.store.enqueue(message).await;
    let unclaimed = match &queued {
        Ok(()) => spare,
        Err(error) if in_doubt(error) => None,
        Err(_) => path,
    };
    if let Some(path) = unclaimed {
        remove(path).await;
    }
    queued.map_err(Refused::NotQueued)?;
    let accepted = Accepted {
        queue_id: &queue_id,
        lane: &lane,
        submitter: &submitter,
        priority,
        recipients: recipients.iter().filter(|r| !r.dropped).count() as u64,
    };
    let eta = if waits { services.estimate.of_accepted(accepted).await } else { None };
    let eta = eta.map(|eta| format!("{:.3}", services.timeline.wall_at(eta)));
    entry.log_accepted(peer, recipients.len(), eta.as_deref());
    entry.log_dropped(peer, recipients.iter().filter(|r| r.dropped).map(|r| &r.address));
    services.wake.wake(&lane);
    Ok(Reply::new(250, (2, 0, 0), format!("queued as {queue_id}")))
}

impl Submission {
    fn all_dropped(&self) -> bool {
        self.transaction.dropped.len() == self.transaction.envelope.recipients().len()
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

/// The address that routing goes by: the one in From, or else the reverse-path. Lower case.
fn sender(from: &[Address], transaction: &Transaction) -> String {
    match from {
        [only] => only.key(),
        _ => transaction.envelope.reverse_path.address().map(Address::key).unwrap_or_default(),
    }
}

fn named(sender: &str) -> String {
    if sender.is_empty() { "mail without a sender".to_owned() } else { sender.to_owned() }
}

fn recipients(transaction: &Transaction) -> Vec<NewRecipient> {
    let dropped = |i: usize| transaction.dropped.binary_search(&i).is_ok();
    let all = transaction.envelope.recipients().iter().zip(&transaction.requests).enumerate();
    let recipient = |(i, (address, request)): (usize, (&Address, &RecipientRequest))| NewRecipient {
        address: address.clone(),
        dropped: dropped(i),
        request: request.clone(),
    };
    all.map(recipient).collect()
}

/// Whether the message may be found in the queue by the next start, although it could not be promised. Its content must be
/// there then; when it is not found, that start removes the content.
fn in_doubt(error: &EnqueueError) -> bool {
    matches!(error, EnqueueError::Store(StoreError::InDoubt(_) | StoreError::Closed))
}

/// From here on the store answers for the file: were this cancelled while the store commits, the file must stay.
fn hand_over(stored: Stored) -> (StoredContent, Option<std::path::PathBuf>) {
    match stored {
        Stored::Memory(octets) => (StoredContent::Inline(octets), None),
        Stored::File(file) => {
            let (content, path) = file.hand_over();
            (content, Some(path))
        }
    }
}

async fn remove(path: std::path::PathBuf) {
    if let Err(error) = tokio::fs::remove_file(&path).await {
        tracing::warn!(event = "content_not_removed", path = %path.display(), reason = %error);
    }
}

/// What the log says of an accepted message.
pub(super) struct Entry<'a> {
    pub(super) queue_id: &'a QueueId,
    pub(super) sender: &'a crate::mail::ReversePath,
    pub(super) upstream: &'a Upstream,
    pub(super) size: u64,
    pub(super) test: Option<&'a TestTreatment>,
    pub(super) user: Option<&'a str>,
}

impl Entry<'_> {
    pub(super) fn log_accepted(&self, peer: &Peer, recipients: usize, eta: Option<&str>) {
        tracing::info!(
            event = "accepted",
            session = peer.session_id,
            queue_id = %self.queue_id,
            client = %peer.ip,
            user = self.user,
            listener = %peer.listener.address,
            from = self.sender.as_str(),
            recipients,
            size = self.size,
            upstream = self.upstream.name,
            eta,
            test_mode = self.test.map(|t| action_name(t.action)),
        );
    }

    /// One line for each recipient that gets nothing.
    pub(super) fn log_dropped<'a>(&self, peer: &Peer, recipients: impl Iterator<Item = &'a Address>) {
        for recipient in recipients {
            tracing::info!(
                event = "dropped",
                session = peer.session_id,
                queue_id = %self.queue_id,
                from = self.sender.as_str(),
                to = %recipient,
                client = %peer.ip,
                upstream = self.upstream.name,
                test_mode = self.test.map(|t| action_name(t.action)),
                reason = "blacklist",
            );
        }
    }
}
