//! One transaction: MAIL, RCPT for each recipient, DATA, the content (RFC 5321 3.3), and what became of each recipient.
//!
//! Where the upstream offers PIPELINING the commands go out in groups (RFC 2920); replies are read while we write, so
//! that two full buffers never wait for each other. Each recipient keeps the reply that decided its fate.

mod steps;

pub use steps::Steps;

use super::connection::{Connection, State};
use super::error::{Fault, Stage};
use super::wire::Event;
use crate::mail::{Address, Body, MessageRequest, RecipientRequest, ReversePath};
use crate::smtp::Reply;
use crate::smtp::dot_stuffing::Encoder;

/// Commands in one group of a pipelined dialogue.
const GROUP: usize = 100;
/// Content is encoded and sent in blocks of this many octets; each has its own time-out (RFC 5321 4.5.3.2.5).
const BLOCK: usize = 32 * 1024;

/// What is to be sent.
///
/// The caller has made sure that the upstream can take it: with `smtputf8`, or non-ASCII addresses, that it offers
/// SMTPUTF8; with `Body::EightBitMime`, that it offers 8BITMIME. A parameter that is not offered is left out.
#[derive(Debug, Clone, Copy)]
pub struct Transaction<'a> {
    /// Where reports go.
    pub reverse_path: &'a ReversePath,
    /// The recipients, at least one.
    pub recipients: &'a [Address],
    /// Whether the content has octets over 127.
    pub body: Body,
    /// Whether an address or a header needs SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// Header and body, as they are to arrive; not dot-stuffed.
    pub content: &'a [u8],
    /// What the client asked for beyond delivery, for an upstream that offers it.
    pub requests: Requests<'a>,
}

/// What is passed on to an upstream that offers DSN or MT-PRIORITY. `Default` is nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Requests<'a> {
    /// For the message.
    pub message: Option<&'a MessageRequest>,
    /// For each recipient, in their order; those that are missing ask for nothing.
    pub recipients: &'a [RecipientRequest],
}

/// What the upstream, or the lack of an answer from it, means for a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The upstream has taken responsibility.
    Accepted(Reply),
    /// It has refused.
    Refused(Reply),
    /// It took others and no more in this transaction: send it in another (RFC 5321 4.5.3.1.10).
    Later(Reply),
    /// The dialogue broke before the final dot: nothing has happened.
    Failed(Fault),
    /// The dialogue broke after the final dot: the upstream may have the message.
    Unknown(Fault),
}

/// What became of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientResult {
    /// At which point it was decided.
    pub stage: Stage,
    /// What was decided.
    pub answer: Answer,
}

impl RecipientResult {
    /// The upstream's reply, where one decided it.
    #[must_use]
    pub fn reply(&self) -> Option<&Reply> {
        match &self.answer {
            Answer::Accepted(reply) | Answer::Refused(reply) | Answer::Later(reply) => Some(reply),
            Answer::Failed(_) | Answer::Unknown(_) => None,
        }
    }

    /// Whether a second attempt may bring the message twice.
    #[must_use]
    pub fn possible_duplicate(&self) -> bool {
        matches!(self.answer, Answer::Unknown(_))
    }
}

/// What the log and `queue show` say: the reply, or what happened in words.
impl std::fmt::Display for RecipientResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.answer {
            Answer::Accepted(reply) | Answer::Refused(reply) | Answer::Later(reply) => reply.fmt(f),
            Answer::Failed(fault) | Answer::Unknown(fault) => write!(f, "at {}: {fault}", self.stage),
        }
    }
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionResult {
    /// One result per recipient, in the order of the transaction.
    pub recipients: Vec<RecipientResult>,
}

impl TransactionResult {
    /// Whether the connection was gone, or closing, before it began: an idle connection ends like this, and a new one
    /// may serve.
    #[must_use]
    pub fn never_began(&self) -> bool {
        self.recipients.iter().all(|result| {
            result.stage == Stage::Mail
                && match &result.answer {
                    Answer::Failed(Fault::Closed | Fault::Broken(_)) => true,
                    Answer::Refused(reply) => reply.code == 421,
                    _ => false,
                }
        })
    }
}

/// The commands before the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Mail,
    Rcpt(usize),
    Data,
}

impl Command {
    fn stage(self) -> Stage {
        match self {
            Self::Mail => Stage::Mail,
            Self::Rcpt(_) => Stage::Rcpt,
            Self::Data => Stage::Data,
        }
    }
}

/// Why a transaction ended early: it settles every recipient that is still open.
struct Stop(RecipientResult);

impl Stop {
    fn fault(stage: Stage, fault: Fault) -> Self {
        Self(RecipientResult { stage, answer: Answer::Failed(fault) })
    }

    fn unknown(fault: Fault) -> Self {
        Self(RecipientResult { stage: Stage::FinalDot, answer: Answer::Unknown(fault) })
    }

    fn refused(stage: Stage, reply: Reply) -> Self {
        Self(RecipientResult { stage, answer: Answer::Refused(reply) })
    }
}

/// How far the commands have come.
struct Progress {
    /// What is settled; `None` while a recipient is open, or accepted and waiting for the content.
    settled: Vec<Option<RecipientResult>>,
    /// Recipients that the upstream has accepted at RCPT.
    accepted: usize,
    /// How MAIL was refused, if it was.
    mail_refused: Option<RecipientResult>,
    /// The reply to DATA, once it was sent.
    data: Option<Reply>,
}

impl Progress {
    fn new(recipients: usize) -> Self {
        Self { settled: vec![None; recipients], accepted: 0, mail_refused: None, data: None }
    }

    /// Recipients that are more than the upstream takes in one transaction go in another (RFC 9422 6.2).
    fn hold_back(&mut self, most: usize) {
        let text = format!("the upstream takes {most} recipients in one transaction");
        let answer = Answer::Later(Reply::new(452, (4, 5, 3), text));
        for surplus in self.settled.iter_mut().skip(most).filter(|settled| settled.is_none()) {
            *surplus = Some(RecipientResult { stage: Stage::Rcpt, answer: answer.clone() });
        }
    }

    /// Whether a command still makes sense.
    fn wants(&self, command: Command) -> bool {
        match command {
            Command::Mail => true,
            Command::Rcpt(_) => self.mail_refused.is_none(),
            Command::Data => self.mail_refused.is_none() && self.accepted > 0,
        }
    }

    /// Takes the reply to a command.
    fn take(&mut self, command: Command, reply: Reply) -> Result<(), Stop> {
        let stage = command.stage();
        // After 421 the upstream closes the connection, whatever the command was (RFC 5321 3.8).
        if reply.code == 421 {
            return Err(Stop::refused(stage, reply));
        }
        match command {
            Command::Mail if reply.code >= 400 => {
                let refused = RecipientResult { stage, answer: Answer::Refused(reply) };
                self.settle(&refused);
                self.mail_refused = Some(refused);
            }
            Command::Rcpt(_) if self.mail_refused.is_some() => {}
            Command::Rcpt(index) if reply.code >= 400 => {
                let full = self.accepted > 0 && matches!(reply.code, 452 | 552);
                let answer = if full { Answer::Later(reply) } else { Answer::Refused(reply) };
                self.settled[index] = Some(RecipientResult { stage, answer });
            }
            Command::Data if reply.code >= 400 || reply.code == 354 => self.data = Some(reply),
            Command::Rcpt(_) if reply.is_positive() => self.accepted += 1,
            Command::Mail if reply.is_positive() => {}
            _ => return Err(Stop::fault(stage, Fault::Unexpected(reply))),
        }
        Ok(())
    }

    /// Settles all recipients that are still open.
    fn settle(&mut self, result: &RecipientResult) {
        for open in self.settled.iter_mut().filter(|settled| settled.is_none()) {
            *open = Some(result.clone());
        }
    }

    /// The end; all are settled.
    fn into_result(self) -> TransactionResult {
        let recipients = self.settled.into_iter();
        let recipients = recipients.map(|result| result.expect("a run that ends has settled each recipient"));
        TransactionResult { recipients: recipients.collect() }
    }
}

/// Appends ` NAME=value` when there is a value.
fn add(parameters: &mut String, name: &str, value: Option<impl std::fmt::Display>) {
    parameters.extend(value.map(|value| format!(" {name}={value}")));
}

impl Connection {
    /// Sends one message to one or more recipients, and tells what became of each. It never fails as a whole: what
    /// breaks is the result of the recipients that it hits.
    ///
    /// When the call is cancelled, the connection is of no use any more.
    pub async fn send(&mut self, transaction: &Transaction<'_>) -> TransactionResult {
        let mut progress = Progress::new(transaction.recipients.len());
        let before = std::mem::replace(&mut self.state, State::Closed);
        match self.run(transaction, before, &mut progress).await {
            Ok(after) => self.rest(after),
            Err(Stop(result)) => progress.settle(&result),
        }
        progress.into_result()
    }

    /// Notes what the next step finds.
    fn rest(&mut self, after: State) {
        // A reply that nobody asked for means that we and the upstream have lost step.
        self.state = if self.wire.has_rest() { State::Closed } else { after };
    }

    /// Recipients that the upstream takes in one transaction (RFC 9422).
    fn most_recipients(&self) -> usize {
        self.capabilities.max_recipients.map_or(usize::MAX, |most| most as usize)
    }

    /// Makes ready for another transaction.
    async fn clear(&mut self, before: State) -> Result<(), Stop> {
        match before {
            State::Closed => return Err(Stop::fault(Stage::Mail, Fault::Closed)),
            State::Open => {
                self.state = before;
                self.reset().await.map_err(|fault| Stop::fault(Stage::Mail, fault))?;
                self.state = State::Closed;
            }
            State::Ready => {}
        }
        self.transactions += 1;
        Ok(())
    }

    async fn run(
        &mut self,
        transaction: &Transaction<'_>,
        before: State,
        progress: &mut Progress,
    ) -> Result<State, Stop> {
        self.clear(before).await?;
        let most = self.most_recipients();
        let recipients = (0..transaction.recipients.len().min(most)).map(Command::Rcpt);
        let commands: Vec<_> = [Command::Mail].into_iter().chain(recipients).chain([Command::Data]).collect();
        for group in commands.chunks(if self.capabilities.pipelining { GROUP } else { 1 }) {
            if progress.wants(group[0]) {
                self.exchange(group, transaction, progress).await?;
            }
        }
        progress.hold_back(most);
        self.conclude(transaction, progress).await
    }

    /// All commands are answered: sends the content if it is wanted.
    async fn conclude(
        &mut self,
        transaction: &Transaction<'_>,
        progress: &mut Progress,
    ) -> Result<State, Stop> {
        match progress.data.take() {
            None if progress.mail_refused.is_some() => Ok(State::Ready),
            None => Ok(State::Open),
            Some(reply) if reply.code == 354 => self.content(transaction, progress).await,
            Some(reply) => {
                progress.settle(&RecipientResult { stage: Stage::Data, answer: Answer::Refused(reply) });
                Ok(State::Open)
            }
        }
    }

    /// Sends a group of commands and takes the reply to each.
    async fn exchange(
        &mut self,
        group: &[Command],
        transaction: &Transaction<'_>,
        progress: &mut Progress,
    ) -> Result<(), Stop> {
        let lines: String = group.iter().map(|&command| self.line(command, transaction)).collect();
        let mut rest = lines.as_bytes();
        let mut sent = false;
        for &command in group {
            let limit = if command == Command::Data { self.timeouts.data } else { self.timeouts.command };
            let fault = |fault| Stop::fault(command.stage(), fault);
            let early =
                if sent { None } else { Some(self.wire.send(&mut rest, limit).await.map_err(fault)?) };
            let reply = if let Some(Event::Reply(reply)) = early {
                reply
            } else {
                sent = true;
                self.wire.reply(limit).await.map_err(fault)?
            };
            progress.take(command, reply)?;
        }
        if !rest.is_empty() {
            return Err(Stop::fault(Stage::Data, Fault::OutOfStep));
        }
        Ok(())
    }

    fn line(&self, command: Command, transaction: &Transaction<'_>) -> String {
        match command {
            Command::Mail => {
                format!("MAIL FROM:<{}>{}\r\n", transaction.reverse_path, self.parameters(transaction))
            }
            Command::Rcpt(index) => {
                let parameters = self.recipient_parameters(transaction.requests.recipients.get(index));
                format!("RCPT TO:<{}>{parameters}\r\n", transaction.recipients[index])
            }
            Command::Data => "DATA\r\n".to_owned(),
        }
    }

    /// The parameters of MAIL that the upstream knows.
    fn parameters(&self, transaction: &Transaction<'_>) -> String {
        let offered = &self.capabilities;
        let mut parameters = String::new();
        if offered.size.is_some() && !transaction.content.is_empty() {
            parameters = format!(" SIZE={}", transaction.content.len());
        }
        if offered.eight_bit_mime && transaction.body == Body::EightBitMime {
            parameters += " BODY=8BITMIME";
        }
        if offered.smtputf8 && transaction.smtputf8 {
            parameters += " SMTPUTF8";
        }
        if let Some(request) = transaction.requests.message {
            let (ret, id) = (request.ret.filter(|_| offered.dsn), request.envelope_id.as_ref());
            add(&mut parameters, "RET", ret);
            add(&mut parameters, "ENVID", id.filter(|_| offered.dsn));
            add(&mut parameters, "MT-PRIORITY", request.priority.filter(|_| offered.mt_priority));
        }
        parameters
    }

    /// The parameters of RCPT that the upstream knows (RFC 3461 5.2.1).
    fn recipient_parameters(&self, request: Option<&RecipientRequest>) -> String {
        let mut parameters = String::new();
        if let Some(request) = request.filter(|_| self.capabilities.dsn) {
            add(&mut parameters, "NOTIFY", request.notify);
            add(&mut parameters, "ORCPT", request.original.as_ref());
        }
        parameters
    }

    /// The upstream has said 354.
    async fn content(
        &mut self,
        transaction: &Transaction<'_>,
        progress: &mut Progress,
    ) -> Result<State, Stop> {
        if progress.mail_refused.is_some() {
            // It has refused the sender and wants the content all the same: only leaving says nothing wrong.
            return Ok(State::Closed);
        }
        // DATA went out in the same group as the recipients, and none was accepted: there is nothing to send, and a
        // lone dot says so (RFC 2920 3.1).
        let content = if progress.accepted == 0 { &[] } else { transaction.content };
        let reply = match self.blocks(content).await? {
            Some(reply) => reply,
            None => self.wire.reply(self.timeouts.final_dot).await.map_err(Stop::unknown)?,
        };
        self.dot_under_way = false;
        let state = if reply.code == 421 { State::Closed } else { State::Ready };
        let answer = match reply.code {
            200..=299 => Answer::Accepted(reply),
            400.. => Answer::Refused(reply),
            _ => return Err(Stop::unknown(Fault::Unexpected(reply))),
        };
        if progress.accepted > 0 && matches!(answer, Answer::Accepted(_)) {
            self.messages += 1;
        }
        progress.settle(&RecipientResult { stage: Stage::FinalDot, answer });
        Ok(state)
    }

    /// Sends the content and the final dot. Gives the final reply when it came before the last flush was done.
    async fn blocks(&mut self, content: &[u8]) -> Result<Option<Reply>, Stop> {
        let mut encoder = Encoder::new();
        let mut octets = Vec::with_capacity(content.len().min(BLOCK) + content.len().min(BLOCK) / 16 + 8);
        let mut parts = content.chunks(BLOCK).peekable();
        loop {
            octets.clear();
            encoder.encode(parts.next().unwrap_or_default(), &mut octets);
            let last = parts.peek().is_none();
            if last {
                std::mem::take(&mut encoder).finish(&mut octets);
            }
            let mut rest = octets.as_slice();
            self.dot_under_way = last;
            let event = self.wire.send(&mut rest, self.timeouts.block).await;
            // Once the stream has taken the final dot, the upstream may have the message.
            let dot_sent = last && rest.is_empty();
            match event {
                Ok(Event::Sent) if last => return Ok(None),
                Ok(Event::Sent) => {}
                Ok(Event::Reply(reply)) if dot_sent => return Ok(Some(reply)),
                Ok(Event::Reply(reply)) if reply.code >= 400 => {
                    return Err(Stop::refused(Stage::Content, reply));
                }
                Ok(Event::Reply(reply)) => return Err(Stop::fault(Stage::Content, Fault::Unexpected(reply))),
                Err(fault) if dot_sent => return Err(Stop::unknown(fault)),
                Err(fault) => return Err(Stop::fault(Stage::Content, fault)),
            }
        }
    }
}
