//! What a session is while it lasts, and what its parts share.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::time::Instant;

use super::envelope::EnvelopeMemory;
use crate::direct::Exchange;
use crate::mail::QueueId;
use crate::policy::users::LoggedIn;
use crate::session::channel::Channel;
use crate::session::direct::Asked;
use crate::session::receive::Receiver;
use crate::session::state::{Dialogue, Hello, MailTransaction};
use crate::session::{Door, Peer, Services};
use crate::smtp::Reply;
use crate::smtp::line::LineReader;

/// A session under way.
pub(super) struct SessionDriver<'a, S> {
    pub(super) channel: Channel<S>,
    pub(super) lines: LineReader,
    /// What the envelope that is under way takes of the memory.
    pub(super) memory: EnvelopeMemory,
    pub(super) peer: Peer,
    pub(super) services: Arc<Services>,
    /// Where `services` and the peer's listener are from.
    pub(super) door: Arc<Door>,
    pub(super) doors: &'a ArcSwap<Door>,
    pub(super) stopping: watch::Receiver<bool>,
    /// Who has logged in.
    pub(super) user: Option<LoggedIn>,
    /// The sender of the message that is under way.
    pub(super) under_way: Option<String>,
    /// What the upstream was asked about it, in direct mode.
    pub(super) asked: Asked,
    /// A content of which part has come by BDAT.
    pub(super) chunks: Option<Incoming>,
    /// When the content of the message under way must have begun; `None` once it has, and while there is no message.
    pub(super) content_due: Option<Instant>,
}

impl<S> SessionDriver<'_, S> {
    /// The reverse-path of the message under way, empty when there is none.
    pub(super) fn reverse_path<'d>(&'d self, dialogue: &'d Dialogue) -> &'d str {
        match &self.chunks {
            Some(incoming) => incoming.transaction.envelope.reverse_path.as_str(),
            None => dialogue.reverse_path(),
        }
    }

    /// Logs that a recipient, or a whole message, was refused.
    pub(super) fn reject(&self, from: &str, to: &str, reply: &Reply, reason: &'static str) {
        self.log_rejected(from, to, Some(reply), RefusalCause::new(reason));
    }

    /// The same; `to` is empty for a whole message, and there is no `reply` where nobody was left to read one.
    pub(super) fn log_rejected(&self, from: &str, to: &str, reply: Option<&Reply>, cause: RefusalCause<'_>) {
        let RefusalCause { reason, rule } = cause;
        self.services.metrics.rejected(reason);
        let to = (!to.is_empty()).then_some(to);
        let reply = reply.map(Reply::to_string);
        tracing::info!(
            event = "rejected",
            session = self.peer.session_id,
            client = %self.peer.ip,
            listener = %self.peer.listener.address,
            user = self.user.as_ref().map(|user| &*user.name),
            from,
            to,
            reply,
            reason,
            rule,
        );
    }
}

/// Why a recipient or a message was refused, as the log has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct RefusalCause<'a> {
    /// The word for it.
    pub(super) reason: &'static str,
    /// The rule that has refused it.
    pub(super) rule: Option<&'a str>,
}

impl RefusalCause<'_> {
    /// No rule has refused it.
    pub(super) fn new(reason: &'static str) -> Self {
        Self { reason, rule: None }
    }
}

/// A message of which part has come, or nothing yet.
pub(super) struct Incoming {
    pub(super) receiver: Receiver,
    pub(super) queue_id: QueueId,
    pub(super) hello: Hello,
    pub(super) user: Option<LoggedIn>,
    pub(super) transaction: MailTransaction,
    pub(super) exchange: Option<Exchange>,
    /// When all of it must have come (`[session] data_timeout`).
    pub(super) deadline: Instant,
}

/// Whether the session goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// The next command, please.
    On,
    /// The client said QUIT.
    Quit,
    /// We hang up; the client may still be sending.
    Hang,
}

/// What comes behind a command when the client does not wait for our reply. When such a command is refused, it must
/// never run as commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Follows {
    /// Commands.
    Nothing,
    /// Content, from a client that does not wait for 354.
    Perhaps,
    /// Content, and how much of it is not known.
    Content,
}

impl Follows {
    pub(super) fn of(line: &[u8]) -> Self {
        match line.trim_ascii_start().get(..4).map(<[u8]>::to_ascii_uppercase).as_deref() {
            Some(b"DATA") => Self::Perhaps,
            Some(b"BDAT") => Self::Content,
            _ => Self::Nothing,
        }
    }
}
