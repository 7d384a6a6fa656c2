//! Direct mode: a client waits for the upstream's own reply, and nothing stays in the queue. What a session and
//! [`deliver`](crate::deliver) say to each other about it.
//!
//! A session begins an [`Exchange`] for a message, asks about each recipient, and hands the content over. Dropping it
//! gives the message up: the upstream is told, unless the content was on its way already.

use tokio::sync::{mpsc, oneshot};

use crate::mail::{Address, MessageRequest, RecipientRequest, ReversePath};
use crate::smtp::Reply;
use crate::store::{LaneName, Message, StoredLabel};

/// Speaks with upstreams while clients wait.
pub trait Direct: Send + Sync {
    /// Serves an exchange in the background: answers each of `asks`, and gives the message up when they end without
    /// content.
    fn attend(&self, opening: Opening, asks: mpsc::Receiver<ExchangeRequest>);
}

/// What is known of a message before its recipients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The session's name in the log.
    pub session: String,
    /// The lane of the upstream that is asked about recipients.
    pub lane: LaneName,
    /// The reverse-path.
    pub reverse_path: ReversePath,
    /// Whether the client asked for SMTPUTF8.
    pub smtputf8: bool,
    /// What the client asks for the message.
    pub request: MessageRequest,
}

/// What a session asks for.
pub enum ExchangeRequest {
    /// Does the upstream take this recipient?
    Recipient {
        /// The recipient.
        address: Address,
        /// What the client asks for it.
        request: RecipientRequest,
        /// The answer.
        answer: oneshot::Sender<Result<(), DirectRefusal>>,
    },
    /// The content is on its way to us: from now on the session answers for the pace of it.
    ContentBegins,
    /// Send it.
    Content {
        /// The message.
        message: Box<DirectMessage>,
        /// The upstream's reply to the final dot.
        answer: oneshot::Sender<Result<Reply, DirectRefusal>>,
    },
}

/// A complete message. Its recipients are those that were accepted.
pub struct DirectMessage {
    /// The message; `lane` is the one that its content asks for. It is not in the store.
    pub message: Message,
    /// By what it is found again.
    pub label: StoredLabel,
    /// Recipients that were accepted and get nothing (blacklist).
    pub dropped: Vec<Address>,
    /// Recipients that rules have added, those that get nothing among them.
    pub copies: u64,
}

/// Why the upstream does not have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectRefusal {
    /// What the client is told.
    pub reply: Reply,
    /// The word for it in the log.
    pub reason: &'static str,
    /// Whether it is the trouble of this route alone: by another upstream the message might go.
    pub elsewhere: bool,
}

impl DirectRefusal {
    /// Nobody answers any more.
    fn lost() -> Self {
        let reply = Reply::new(451, (4, 3, 0), "the message was broken off, try again later");
        Self { reply, reason: "broken_off", elsewhere: false }
    }
}

/// A message for which a client waits.
#[derive(Debug)]
pub struct Exchange {
    asks: mpsc::Sender<ExchangeRequest>,
}

impl Exchange {
    /// Begins one. The upstream is spoken to when it is first asked for something.
    #[must_use]
    pub fn begin(direct: &dyn Direct, opening: Opening) -> Self {
        // A session asks for one thing at a time.
        let (asks, asked) = mpsc::channel(1);
        direct.attend(opening, asked);
        Self { asks }
    }

    /// Asks the upstream about a recipient.
    ///
    /// # Errors
    /// When it is not taken.
    pub async fn recipient(&self, address: Address, request: RecipientRequest) -> Result<(), DirectRefusal> {
        let (answer, answered) = oneshot::channel();
        let asked = self.asks.send(ExchangeRequest::Recipient { address, request, answer }).await;
        asked.map_err(|_| DirectRefusal::lost())?;
        answered.await.map_err(|_| DirectRefusal::lost())?
    }

    /// The client has begun to send the content.
    pub fn content_begins(&self) {
        // The session asks for one thing at a time, so there is room; an exchange that is gone says so later.
        let _ = self.asks.try_send(ExchangeRequest::ContentBegins);
    }

    /// Hands the message over, and waits for the upstream's reply. From here on the message goes its way, even when
    /// nobody waits any more.
    ///
    /// # Errors
    /// When the upstream has not taken it for all recipients; or is not known to have.
    pub async fn content(self, message: Box<DirectMessage>) -> Result<Reply, DirectRefusal> {
        let (answer, answered) = oneshot::channel();
        let asked = self.asks.send(ExchangeRequest::Content { message, answer }).await;
        asked.map_err(|_| DirectRefusal::lost())?;
        answered.await.map_err(|_| DirectRefusal::lost())?
    }
}
