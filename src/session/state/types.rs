//! What goes into the dialogue and comes out of it.

use crate::mail::{Address, Envelope, MessageRequest, RecipientRequest, ReversePath};
use crate::smtp::command::{Chunk, Initial, Mail};
use crate::smtp::sasl_server::ServerMechanism;
use crate::smtp::{InstanceId, Reply};

/// What the dialogue must know of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Our name.
    pub hostname: String,
    /// Who we are, if it is announced: a relay that meets itself then knows it.
    pub instance: Option<InstanceId>,
    /// The largest content in octets; announced as SIZE.
    pub max_message_size: u64,
    /// Recipients in one envelope.
    pub max_recipients: usize,
    /// Errors after which the session is closed.
    pub max_errors: u32,
    /// Whether the client can begin TLS by STARTTLS.
    pub starttls: bool,
    /// How clients can log in; empty when they can't.
    pub mechanisms: &'static [ServerMechanism],
    /// Whether they can before TLS has begun.
    pub auth_in_clear: bool,
    /// Whether they must, before they hand in mail.
    pub auth_required: bool,
}

/// How the client introduced itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The name that it gave.
    pub name: String,
    /// EHLO, not HELO.
    pub extended: bool,
}

/// A message whose content is to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailTransaction {
    /// Reverse-path and accepted recipients.
    pub envelope: Envelope,
    /// Places in the envelope of recipients that were accepted but get nothing (blacklist), in order.
    pub dropped: Vec<usize>,
    /// What the client asks for the message.
    pub request: MessageRequest,
    /// What it asks for each recipient, in the order of the envelope.
    pub requests: Vec<RecipientRequest>,
}

/// What MAIL has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender<'a> {
    /// Where reports go.
    pub reverse_path: &'a ReversePath,
    /// Whether the client asked for SMTPUTF8.
    pub smtputf8: bool,
    /// What the client asks for the message.
    pub request: &'a MessageRequest,
}

/// What a command asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Nothing but this reply.
    Reply(Reply),
    /// Decide whether a message can be taken now, then call [`Dialogue::admit`](super::Dialogue::admit).
    Admit(Mail),
    /// Decide about a recipient, then call [`Dialogue::judge`](super::Dialogue::judge).
    Judge(Address, RecipientRequest),
    /// The recipient at this place of the envelope was given again: make room for what is asked that is new, then call
    /// [`Dialogue::repeat`](super::Dialogue::repeat).
    Repeat(usize, RecipientRequest),
    /// Answer 354, take the content, decide about it, then call [`Dialogue::finish`](super::Dialogue::finish).
    Receive(MailTransaction),
    /// Take the chunk that follows; the transaction comes with the first. Behind the last decide about the message and
    /// call [`Dialogue::finish`](super::Dialogue::finish); when a chunk before is refused call [`Dialogue::refuse_chunks`](super::Dialogue::refuse_chunks).
    Take(Chunk, Option<MailTransaction>),
    /// Throw away as many octets, then say this: they belong to a message that was refused.
    Discard(u64, Reply),
    /// Say this to a chunk that has no message; its octets must not run as commands.
    Misplaced(u64, Reply),
    /// Say this, begin TLS, then call [`Dialogue::secure`](super::Dialogue::secure).
    StartTls(Reply),
    /// Lead a login, then call [`Dialogue::log_in`](super::Dialogue::log_in) when it succeeds.
    LogIn(ServerMechanism, Option<Initial>),
    /// Say this, then close the connection.
    Close(Reply),
}

/// What was decided about a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecipientDecision {
    /// The recipient gets the message.
    Accept,
    /// The client reads 250, but nothing is sent to it.
    Drop,
    /// This reply, and the others go on.
    Refuse(Reply),
}
