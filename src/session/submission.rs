//! A message that has arrived: what it is, why it may be refused, and what the log says of it.

use super::Peer;
use super::state::{Hello, MailTransaction};
use crate::config::Upstream;
use crate::direct::{DirectRefusal, Exchange};
use crate::mail::header::Author;
use crate::mail::{Address, MessageLabel, QueueId, ReversePath};
use crate::metrics::{CountedLogin, CountedOutcome, Metrics};
use crate::policy::test_mode::action_name;
use crate::policy::users::LoggedIn;
use crate::smtp::Reply;
use crate::store::{Content, ContentError, EnqueueError, Recipients, StoreError, TestTreatment};
use crate::transform::TransformError;

/// The longest piece of a From field that is shown, in characters.
const MAX_SHOWN: usize = 200;

/// Why a message is refused at the end of its content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmissionError {
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
    /// The upstream would not take it as it would be sent.
    #[error(
        "the message has {size} octets as its upstream gets it, with text as base64, and {max} is the limit: send it in parts, \
        or configure an SMTP upstream as its `large`"
    )]
    Outgrown {
        /// Octets as it would be sent.
        size: u64,
        /// `message_size` of the upstream.
        max: u64,
    },
    /// The upstream delivers to whom the header names, and that is not clear.
    #[error(transparent)]
    Header(TransformError),
    /// A rule of the operator refuses it.
    #[error("{text}")]
    Rule {
        /// The rule.
        rule: String,
        /// What it says.
        text: String,
    },
    /// What has come can't be read again.
    #[error("the message cannot be read at present, try again later")]
    Unreadable(#[source] ContentError),
    /// Whether a copy may be sent can't be found out.
    #[error("recipients cannot be checked at present, try again later")]
    NoBlacklist(#[source] StoreError),
    /// The store did not take it.
    #[error("{}", match .0 {
        EnqueueError::Full { .. } => "the queue is full, try again later",
        _ => "the message cannot be stored at present, try again later",
    })]
    NotQueued(#[source] EnqueueError),
    /// The upstream did not take it while the client waited.
    #[error("{}", .0.reply)]
    Direct(DirectRefusal),
}

impl SubmissionError {
    /// What the client is told.
    #[must_use]
    pub fn reply(&self) -> Reply {
        let (code, status) = match self {
            Self::NoRoute { .. } | Self::NoAccount { .. } | Self::Rule { .. } => (550, (5, 7, 1)),
            Self::TooLarge { .. } | Self::Outgrown { .. } => (552, (5, 3, 4)),
            Self::NotQueued(EnqueueError::Full { .. }) => (452, (4, 3, 1)),
            Self::NotQueued(_) | Self::Unreadable(_) | Self::NoBlacklist(_) => (451, (4, 3, 0)),
            Self::Header(error) => return error.to_reply(),
            Self::Direct(refused) => return refused.reply.clone(),
        };
        Reply::new(code, status, self.to_string())
    }

    /// The rule that refuses it.
    #[must_use]
    pub fn rule(&self) -> Option<&str> {
        match self {
            Self::Rule { rule, .. } => Some(rule),
            _ => None,
        }
    }

    /// The word for it in the log.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoRoute { .. } => "route",
            Self::NoAccount { .. } => "account",
            Self::TooLarge { .. } | Self::Outgrown { .. } => "size",
            Self::Header(_) => "header",
            Self::NotQueued(EnqueueError::Full { .. }) => "queue_full",
            Self::Rule { .. } => "rule",
            Self::NotQueued(_) | Self::Unreadable(_) | Self::NoBlacklist(_) => "store",
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
    pub transaction: MailTransaction,
    /// Its content.
    pub content: Content,
    /// Who it is from.
    pub author: Author,
    /// By what a person knows it again.
    pub label: MessageLabel,
    /// What the upstream was asked about its recipients, in direct mode.
    pub exchange: Option<Exchange>,
}

impl Submission {
    /// The same, and no upstream was asked about it.
    pub(super) fn without_exchange(&self) -> Self {
        Self {
            queue_id: self.queue_id.clone(),
            hello: self.hello.clone(),
            user: self.user.clone(),
            transaction: self.transaction.clone(),
            content: self.content.clone(),
            author: self.author.clone(),
            label: self.label.clone(),
            exchange: None,
        }
    }

    /// Whether nobody is to get it.
    pub(super) fn all_dropped(&self) -> bool {
        self.transaction.dropped.len() == self.transaction.envelope.recipients().len()
    }
}

/// A message that was taken though nobody can read who it is from.
pub(super) struct UnreadableFrom {
    queue_id: QueueId,
    user: Option<LoggedIn>,
    value: String,
}

impl UnreadableFrom {
    /// `None` where From can be read, or is not there.
    pub(super) fn of(author: &Author, queue_id: &QueueId, user: Option<&LoggedIn>) -> Option<Self> {
        let Author::Unreadable(value) = author else { return None };
        let value = String::from_utf8_lossy(value).chars().take(MAX_SHOWN).collect();
        Some(Self { queue_id: queue_id.clone(), user: user.cloned(), value })
    }

    /// Logs what follows from it, since nothing else shows it: mail may take another upstream than was meant.
    pub(super) fn log(&self, peer: &Peer, sender: &str) {
        tracing::warn!(
            event = "from_unreadable",
            session = peer.session_id,
            queue_id = %self.queue_id,
            client = %peer.ip,
            user = self.user.as_ref().map(|user| &*user.name),
            from = sender,
            value = self.value,
            reason = "no address can be read in the From field: the message is routed by its reverse-path, and not signed",
            action = "mend the From field in the program that sends it",
        );
    }
}

/// What the log says of an accepted message.
pub(super) struct AcceptedLine<'a> {
    pub(super) queue_id: &'a QueueId,
    pub(super) sender: &'a ReversePath,
    pub(super) upstream: &'a Upstream,
    pub(super) size: u64,
    pub(super) test: Option<&'a TestTreatment>,
    pub(super) user: Option<&'a str>,
    /// The rules that have matched.
    pub(super) rules: &'a [String],
}

/// By what people find the line of an accepted message.
pub(super) struct Searchable<'a> {
    /// The only or first recipient.
    pub(super) to: &'a Address,
    /// How many there are.
    pub(super) recipients: usize,
    pub(super) message_id: Option<&'a str>,
    /// `None` when subjects are not logged, too.
    pub(super) subject: Option<String>,
}

impl<'a> Searchable<'a> {
    /// What the log says; of the subject only where that is wanted.
    pub(super) fn new(recipients: &'a Recipients, label: &'a MessageLabel, with_subject: bool) -> Self {
        Self {
            to: &recipients[0].address,
            recipients: recipients.len(),
            message_id: label.message_id.as_deref(),
            subject: if with_subject { label.subject() } else { None },
        }
    }
}

/// The names with commas; nothing when there are none.
pub(crate) fn some_list(names: &[String]) -> Option<String> {
    (!names.is_empty()).then(|| names.join(","))
}

impl AcceptedLine<'_> {
    /// Counts what was taken: so many recipients, of which so many were added by rules.
    pub(super) fn count_accepted(&self, metrics: &Metrics, recipients: &Recipients) {
        let (upstream, copies) = (CountedLogin::of_upstream(&self.upstream.name), recipients.copies());
        metrics.count(CountedOutcome::Accepted, upstream, recipients.len() as u64 - copies);
        metrics.count(CountedOutcome::Generated, upstream, copies);
    }

    pub(super) fn log_accepted(&self, peer: &Peer, found_by: &Searchable<'_>, eta: Option<&str>) {
        tracing::info!(
            event = "accepted",
            session = peer.session_id,
            queue_id = %self.queue_id,
            client = %peer.ip,
            user = self.user,
            listener = %peer.listener.address,
            from = self.sender.as_str(),
            to = %found_by.to,
            recipients = found_by.recipients,
            message_id = found_by.message_id,
            subject = found_by.subject.as_deref(),
            size = self.size,
            upstream = self.upstream.name,
            eta,
            rules = some_list(self.rules),
            test_mode = self.test.map(|t| action_name(t.action)),
        );
    }

    /// Logs a line for each recipient that gets nothing.
    pub(super) fn log_dropped<'a>(
        &self,
        (peer, metrics): (&Peer, &Metrics),
        recipients: impl Iterator<Item = &'a Address>,
    ) {
        for recipient in recipients {
            metrics.count(CountedOutcome::Dropped, CountedLogin::of_upstream(&self.upstream.name), 1);
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
