//! One transaction: MAIL, RCPT for each recipient, DATA, the content (RFC 5321 3.3), and what became of each recipient.
//!
//! Where the upstream offers PIPELINING the commands go out in groups (RFC 2920); replies are read while we write, so
//! that two full buffers never wait for each other. Each recipient keeps the reply that decided its fate.

mod commands;
mod progress;
mod steps;
mod wire_form;

pub use steps::Steps;

use progress::{Ended, Progress, Unfinished, Verb};
use wire_form::{WireBlock, WireForm};

use super::answer::{Answer, RecipientResult, TransactionResult};
use super::connection::{Connection, ConnectionState};
use super::error::{DialogueFault, Stage};
use super::wire::{Surplus, WireEvent};
use crate::content::{ContentError, SplitContent};
use crate::mail::{Address, Body, MessageRequest, RecipientRequest, ReversePath};
use crate::smtp::Reply;

/// Commands in one group of a pipelined dialogue.
const GROUP: usize = 100;
/// What is to be sent.
///
/// The caller has made sure that the upstream can take it: with `smtputf8`, or addresses that have no
/// [path](crate::upstream::Offer::path) without it, that it offers SMTPUTF8; with `Body::EightBitMime`, that it offers 8BITMIME. A
/// parameter that is not offered is left out, and domains go as the upstream knows them.
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
    /// Header and body, as they are to arrive; not dot-stuffed. Empty while it is still to come.
    pub content: &'a SplitContent,
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

impl Connection {
    /// Sends one message to one or more recipients, and tells what became of each. What breaks between us and the upstream is the
    /// result of the recipients that it hits.
    ///
    /// When the call is cancelled, the connection is of no use any more.
    ///
    /// # Errors
    /// When the content can't be read to its end, or is not what it was: the transaction was broken off before the final dot, and
    /// nobody has the message. The connection is of no use any more.
    pub async fn send(&mut self, transaction: &Transaction<'_>) -> Result<TransactionResult, ContentError> {
        let mut progress = Progress::new(transaction.recipients.len());
        let before = std::mem::replace(&mut self.state, ConnectionState::Closed);
        let ended = self.run(transaction, before, &mut progress).await;
        self.used |= progress.mail_accepted;
        self.ended(ended, progress)
    }

    /// What the end of a transaction comes to.
    fn ended(
        &mut self,
        ended: Result<ConnectionState, Unfinished>,
        mut progress: Progress,
    ) -> Result<TransactionResult, ContentError> {
        match ended {
            Ok(after) => self.set_next_state(after),
            Err(Unfinished::Ended(Ended(result))) => progress.settle(&result),
            Err(Unfinished::Unread(error)) => return Err(error),
        }
        Ok(progress.into_result())
    }

    /// Notes what the next step finds.
    fn set_next_state(&mut self, after: ConnectionState) {
        // A reply that nobody asked for means that we and the upstream have lost step.
        let is_over = self.wire.has_rest() || self.wire.is_closing();
        self.state = if is_over { ConnectionState::Closed } else { after };
    }

    /// Recipients that the upstream takes in one transaction (RFC 9422).
    fn most_recipients(&self) -> usize {
        self.capabilities.max_recipients.map_or(usize::MAX, |most| most as usize)
    }

    /// Makes ready for another transaction.
    async fn clear(&mut self, before: ConnectionState) -> Result<(), Ended> {
        match before {
            ConnectionState::Closed => return Err(Ended::fault(Stage::Mail, DialogueFault::Closed)),
            ConnectionState::Open => {
                self.state = before;
                self.reset().await.map_err(|fault| Ended::fault(Stage::Mail, fault))?;
                self.state = ConnectionState::Closed;
            }
            ConnectionState::Ready => {}
        }
        self.transactions += 1;
        Ok(())
    }

    async fn run(
        &mut self,
        transaction: &Transaction<'_>,
        before: ConnectionState,
        progress: &mut Progress,
    ) -> Result<ConnectionState, Unfinished> {
        self.clear(before).await?;
        let most = self.most_recipients();
        let recipients = (0..transaction.recipients.len().min(most)).map(Verb::Rcpt);
        let commands: Vec<_> = [Verb::Mail].into_iter().chain(recipients).chain([Verb::Data]).collect();
        for group in commands.chunks(if self.capabilities.pipelining { GROUP } else { 1 }) {
            if progress.wants(group[0]) {
                self.exchange(group, transaction, progress).await?;
            }
        }
        progress.hold_back(most);
        let after = self.conclude(transaction, progress).await?;
        let goes_on = after != ConnectionState::Closed;
        if goes_on && self.capabilities.pipelining && progress.has_refusal_without_content() {
            return Ok(self.check_step(progress).await?);
        }
        Ok(after)
    }

    /// Refusals of a pipelined group are believed when what comes behind them is the reply to what was sent behind them:
    /// one reply too many gives each command its neighbour's.
    async fn check_step(&mut self, progress: &mut Progress) -> Result<ConnectionState, Ended> {
        if self.wire.is_closing() {
            return Ok(ConnectionState::Closed);
        }
        self.state = ConnectionState::Ready;
        let reset = self.reset().await;
        self.state = ConnectionState::Closed;
        match reset {
            Ok(()) => Ok(ConnectionState::Ready),
            // It refuses RSET, and goes on in step all the same.
            Err(DialogueFault::Unexpected(reply)) if reply.code == 421 || self.is_in_step().await => {
                Ok(ConnectionState::Closed)
            }
            Err(DialogueFault::Unexpected(_) | DialogueFault::Garbage(_)) => {
                progress.disbelieve();
                Err(Ended::fault(Stage::Data, DialogueFault::OutOfStep))
            }
            // It has hung up behind its refusal, as some do.
            Err(_) => Ok(ConnectionState::Closed),
        }
    }

    /// Whether QUIT gets the one reply that nothing else gets (RFC 5321 4.2.3).
    async fn is_in_step(&mut self) -> bool {
        let reply = self.wire.command("QUIT", self.timeouts.command).await;
        reply.is_ok_and(|reply| reply.code == 221)
    }

    /// All commands are answered: sends the content if it is wanted.
    async fn conclude(
        &mut self,
        transaction: &Transaction<'_>,
        progress: &mut Progress,
    ) -> Result<ConnectionState, Unfinished> {
        match progress.data.take() {
            None if progress.mail_refused.is_some() => Ok(ConnectionState::Ready),
            None => Ok(ConnectionState::Open),
            Some(reply) if reply.code == 354 => self.content(transaction, progress).await,
            Some(reply) => {
                progress.settle(&RecipientResult { stage: Stage::Data, answer: Answer::Refused(reply) });
                Ok(ConnectionState::Open)
            }
        }
    }

    /// Sends a group of commands and takes the reply to each. When the replies of a pipelined group do not fit its commands,
    /// no refusal is believed: it may be a neighbour's.
    async fn exchange(
        &mut self,
        group: &[Verb],
        transaction: &Transaction<'_>,
        progress: &mut Progress,
    ) -> Result<(), Ended> {
        let mut exchanged = self.exchange_group(group, transaction, progress).await;
        if exchanged.is_ok() && self.wire.surplus() == Surplus::Reply {
            exchanged = Err(Ended::fault(group[group.len() - 1].stage(), DialogueFault::OutOfStep));
        }
        if group.len() > 1 && exchanged.as_ref().is_err_and(Ended::is_fault) {
            progress.disbelieve();
        }
        exchanged
    }

    async fn exchange_group(
        &mut self,
        group: &[Verb],
        transaction: &Transaction<'_>,
        progress: &mut Progress,
    ) -> Result<(), Ended> {
        let lines: String = group.iter().map(|&command| self.line(command, transaction)).collect();
        lines.lines().for_each(|line| self.wire.show(line));
        let mut rest = lines.as_bytes();
        let mut sent = false;
        for &command in group {
            let limit = if command == Verb::Data { self.timeouts.data } else { self.timeouts.command };
            let fault = |fault| Ended::fault(command.stage(), fault);
            let early =
                if sent { None } else { Some(self.wire.send(&mut rest, limit).await.map_err(fault)?) };
            let reply = if let Some(WireEvent::Reply(reply)) = early {
                reply
            } else {
                sent = true;
                self.wire.reply(limit).await.map_err(fault)?
            };
            progress.take(command, reply)?;
        }
        if !rest.is_empty() {
            return Err(Ended::fault(Stage::Data, DialogueFault::OutOfStep));
        }
        Ok(())
    }

    /// The upstream has said 354.
    async fn content(
        &mut self,
        transaction: &Transaction<'_>,
        progress: &mut Progress,
    ) -> Result<ConnectionState, Unfinished> {
        if progress.mail_refused.is_some() {
            // It has refused the sender and wants the content all the same: only leaving says nothing wrong.
            return Ok(ConnectionState::Closed);
        }
        // DATA went out in the same group as the recipients, and none was accepted: there is nothing to send, and a
        // lone dot says so (RFC 2920 3.1).
        let nothing = SplitContent::default();
        let content = if progress.accepted == 0 { &nothing } else { transaction.content };
        let reply = match self.blocks(content).await? {
            Some(reply) => reply,
            None => self.wire.reply(self.timeouts.final_dot).await.map_err(Ended::unknown)?,
        };
        self.dot_under_way = false;
        let state = if reply.code == 421 { ConnectionState::Closed } else { ConnectionState::Ready };
        let answer = match reply.code {
            200..=299 => Answer::Accepted(reply),
            400.. => Answer::Refused(reply),
            _ => return Err(Ended::unknown(DialogueFault::Unexpected(reply)).into()),
        };
        if progress.accepted > 0 && matches!(answer, Answer::Accepted(_)) {
            self.messages += 1;
        }
        progress.settle(&RecipientResult { stage: Stage::FinalDot, answer });
        Ok(state)
    }

    /// Sends the content and the final dot. Gives the final reply when it came before the last flush was done.
    async fn blocks(&mut self, content: &SplitContent) -> Result<Option<Reply>, Unfinished> {
        self.wire.observer().sent_content(content.len());
        let mut form = WireForm::of(content);
        loop {
            let WireBlock { octets: mut rest, is_last: last } =
                form.next().await.map_err(Unfinished::Unread)?;
            self.dot_under_way = last;
            let event = self.wire.send(&mut rest, self.timeouts.block).await;
            // Once the stream has taken the final dot, the upstream may have the message.
            let dot_sent = last && rest.is_empty();
            let ended = match event {
                Ok(WireEvent::Sent) if last => return Ok(None),
                Ok(WireEvent::Sent) => continue,
                Ok(WireEvent::Reply(reply)) if dot_sent => return Ok(Some(reply)),
                Ok(WireEvent::Reply(reply)) if reply.code >= 400 => Ended::refused(Stage::Content, reply),
                Ok(WireEvent::Reply(reply)) => Ended::fault(Stage::Content, DialogueFault::Unexpected(reply)),
                Err(fault) if dot_sent => Ended::unknown(fault),
                Err(fault) => Ended::fault(Stage::Content, fault),
            };
            return Err(ended.into());
        }
    }
}
