//! How an upstream is reached: over SMTP, or it is the local mailbox. The rest of the relay sees a [`Transport`] that opens
//! [`Link`]s, and a link that takes a prepared message and tells what became of each recipient.

use std::fmt::Write as _;
use std::sync::Arc;

use super::answer::{Answer, RecipientResult, TransactionResult};
use super::capture::{CaptureError, Mailbox, RECIPIENT_FIELD};
use super::connection::Connection;
use super::connector::Connector;
use super::error::{ConnectError, DialogueFault, SendError, Stage};
use super::graph::{GraphClient, GraphLink};
use super::offer::Offer;
use super::outgoing::Outgoing;
use crate::content::ContentError;
use crate::smtp::Reply;

/// How an account's upstream is reached.
pub enum Transport {
    /// A smart host.
    Smtp(Box<Connector>),
    /// A mailbox of Microsoft 365, by Microsoft Graph.
    Graph(Arc<GraphClient>),
    /// The local mailbox.
    Capture(Arc<Mailbox>),
}

/// What is open to an upstream, ready for mail.
pub enum Link {
    /// A connection to a smart host.
    Smtp(Box<Connection>),
    /// Requests to Microsoft Graph, one at a time.
    Graph(Box<GraphLink>),
    /// The local mailbox.
    Capture(Arc<Mailbox>),
}

impl Transport {
    /// Opens a link.
    ///
    /// # Errors
    /// Tells at which step it ended and why. No message is at fault.
    pub async fn open(&self) -> Result<Link, ConnectError> {
        match self {
            Self::Smtp(connector) => {
                connector.open().await.map(|connection| Link::Smtp(Box::new(connection)))
            }
            Self::Graph(client) => client.open().await.map(|link| Link::Graph(Box::new(link))),
            Self::Capture(mailbox) => Ok(Link::Capture(mailbox.clone())),
        }
    }

    /// Octets of memory that a content of so many takes while it is sent.
    #[must_use]
    pub fn held(&self, content: u64) -> u64 {
        if self.is_by_request() { held_by_request(content) } else { content }
    }

    /// Whether a message is one request, for which all of it must be in memory.
    #[must_use]
    pub fn is_by_request(&self) -> bool {
        match self {
            Self::Graph(_) => true,
            Self::Smtp(_) | Self::Capture(_) => false,
        }
    }
}

/// Octets of memory that a content of so many takes while it is sent by a request, which stands beside it in base64.
#[must_use]
pub fn held_by_request(content: u64) -> u64 {
    content.saturating_add(content.div_ceil(3).saturating_mul(4))
}

impl Link {
    /// What the upstream takes.
    #[must_use]
    pub fn offer(&self) -> Offer {
        match self {
            Self::Smtp(connection) => connection.offer(),
            Self::Graph(link) => link.offer(),
            Self::Capture(_) => {
                Offer { eight_bit_mime: true, smtputf8: true, local: true, dsn: true, ..Offer::default() }
            }
        }
    }

    /// The upstream as the log names it; empty for what is no host.
    #[must_use]
    pub fn host(&self) -> &str {
        match self {
            Self::Smtp(connection) => connection.host(),
            Self::Graph(link) => link.host(),
            Self::Capture(_) => "",
        }
    }

    /// Sends one message, and tells what became of each of its recipients. When the call is cancelled, the link is of no
    /// use any more.
    ///
    /// # Errors
    /// When nobody has the message, and none of its recipients was decided about.
    pub async fn send(&mut self, message: &Outgoing<'_>) -> Result<TransactionResult, SendError> {
        match self {
            Self::Smtp(connection) => Ok(connection.send(&message.transaction()).await?),
            Self::Graph(link) => Ok(link.send(message).await?),
            Self::Capture(mailbox) => Ok(put(mailbox, message).await?),
        }
    }

    /// Whether the upstream may have taken a message about which it has not said so yet.
    #[must_use]
    pub fn is_dot_under_way(&self) -> bool {
        match self {
            Self::Smtp(connection) => connection.is_dot_under_way(),
            Self::Graph(link) => link.is_under_way(),
            Self::Capture(_) => false,
        }
    }

    /// Whether another message can go over it; does not wait.
    pub fn is_reusable(&mut self) -> bool {
        match self {
            Self::Smtp(connection) => connection.is_reusable(),
            Self::Graph(_) | Self::Capture(_) => true,
        }
    }

    /// How many messages the upstream has accepted over it.
    #[must_use]
    pub fn messages(&self) -> u32 {
        match self {
            Self::Smtp(connection) => connection.messages(),
            Self::Graph(_) | Self::Capture(_) => 0,
        }
    }

    /// Whether a transaction was begun over it before.
    #[must_use]
    pub fn is_used(&self) -> bool {
        matches!(self, Self::Smtp(connection) if connection.is_used())
    }

    /// Ends it in good order.
    pub async fn quit(self) {
        if let Self::Smtp(connection) = self {
            connection.quit().await;
        }
    }
}

/// Puts a message into the local mailbox, with lines before it that show its envelope.
async fn put(mailbox: &Arc<Mailbox>, message: &Outgoing<'_>) -> Result<TransactionResult, ContentError> {
    let mut envelope = format!("Return-Path: <{}>\r\n", message.reverse_path);
    for recipient in message.envelope {
        // Writing to a string can't fail.
        let _ = write!(envelope, "{RECIPIENT_FIELD}: <{recipient}>\r\n");
    }
    let (mailbox, id, content) = (mailbox.clone(), message.queue_id.clone(), message.content.clone());
    let task = tokio::task::spawn_blocking(move || mailbox.put(&id, &envelope, &content));
    let answer = match task.await {
        Ok(Ok(())) => Answer::Captured(Reply::new(250, (2, 0, 0), "kept in the local mailbox")),
        Ok(Err(CaptureError::Content(error))) => return Err(error),
        Ok(Err(error)) => Answer::Failed(DialogueFault::Mailbox(error.to_string())),
        Err(error) => Answer::Failed(DialogueFault::Mailbox(error.to_string())),
    };
    let result = RecipientResult { stage: Stage::FinalDot, answer };
    Ok(TransactionResult { recipients: vec![result; message.recipients.len()] })
}
