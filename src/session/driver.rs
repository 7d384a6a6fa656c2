//! Drives one session: reads lines, asks the dialogue and the policies, writes replies. All waiting has a deadline.
//!
//! Every wait is cancel-safe: a session may be dropped at any moment, and leaves nothing behind.

mod admit;
mod ask;
mod auth;
mod chunks;
mod deadlines;
mod envelope;
mod incoming;
mod refusal;
mod session;
mod spoken;

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, info};

use self::refusal::{FaultyLine, about};
use super::channel::{Channel, Gone};
use super::direct::Asked;
use super::receive::Receiver;
use super::state::{Action, Dialogue, MailTransaction, Rules};
use super::{Door, Peer, Services};
use crate::config::{ServerAuth, TlsMode};
use crate::mail::RecipientRequest;
use crate::policy::users::LoggedIn;
use crate::smtp::Reply;
use crate::smtp::command::{About, Command};
use crate::smtp::data_stream::StreamStatus;
use crate::smtp::line::{Line, LineReader};
use envelope::EnvelopeMemory;
use session::{Flow, Follows, SessionDriver};

/// Why a client is turned away whose user is no more, as the log has it.
const GONE_USER: &str = "user";
/// How much is read at once while we wait for commands, in octets.
const COMMAND_READ: usize = 4 * 1024;

/// Talks to one client until either side has had enough.
///
/// `session_id` is its name in the log. What `doors` holds when a message begins is in force for that message. When
/// `stopping` turns true, for the relay stops or a reload has closed the listener, the session ends as soon as no message is
/// under way.
pub async fn run<S>(
    stream: S,
    ip: IpAddr,
    session_id: String,
    doors: Arc<ArcSwap<Door>>,
    stopping: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let door = doors.load_full();
    let Door { listener, tls, services } = Door::clone(&door);
    let peer = Peer { ip, session_id, listener, tls };
    debug!(event = "session_start", session = peer.session_id, client = %peer.ip, listener = %peer.listener.address);
    let rules = rules(&peer, &services, None);
    let settings = &services.config.session;
    let mut session = SessionDriver {
        channel: Channel::new(stream, settings.command_timeout),
        lines: LineReader::new(settings.bare_newline),
        memory: EnvelopeMemory::default(),
        peer,
        services,
        door,
        doors: &doors,
        stopping,
        user: None,
        under_way: None,
        asked: Asked::Nothing,
        chunks: None,
        content_due: None,
    };
    let end = session.converse(Dialogue::new(rules)).await;
    let last = end.as_ref().err().and_then(|gone| gone.reply(&session.services.config.hostname));
    let linger = matches!(end, Ok(Flow::Hang) | Err(Gone::Timeout | Gone::NoContent));
    session.log_aborted(&end, last.as_ref());
    if let Some(last) = last {
        session.say(&last);
    }
    let SessionDriver { channel, peer, .. } = session;
    if !matches!(end, Err(Gone::Closed | Gone::Io(_) | Gone::Stuck | Gone::Tls(_))) {
        channel.close(linger).await;
    }
    if let Err(Gone::Tls(error)) = &end {
        info!(event = "tls_failed", session = peer.session_id, client = %peer.ip, listener = %peer.listener.address, reason = %error);
    }
    let reason = end.err().map(|gone| gone.to_string());
    debug!(event = "session_end", session = peer.session_id, client = %peer.ip, reason);
}

/// What the dialogue must know of the configuration and the client.
fn rules(peer: &Peer, services: &Services, user: Option<&LoggedIn>) -> Rules {
    let Services { config, users, .. } = services;
    let listener = &peer.listener;
    let starttls = peer.tls.is_some() && !begins_with_tls(peer);
    // A client that a proxy brings to a loopback listener is not on this machine.
    let is_local = listener.address.ip().to_canonical().is_loopback() && peer.ip.is_loopback();
    // One that takes no mail can't be part of a circle.
    let may_relay = !listener.relay_from.is_empty() || listener.auth != ServerAuth::None;
    Rules {
        hostname: config.hostname.clone(),
        instance: may_relay.then_some(services.instance),
        max_message_size: services.max_message_size(user).0,
        max_recipients: config.session.max_recipients,
        max_errors: config.session.max_errors,
        starttls,
        mechanisms: auth::mechanisms(listener.auth, users),
        auth_in_clear: listener.auth_without_tls || is_local,
        auth_required: listener.auth == ServerAuth::Required,
    }
}

/// Whether the client speaks TLS from the first octet on.
fn begins_with_tls(peer: &Peer) -> bool {
    peer.listener.tls.as_ref().is_some_and(|tls| tls.mode == TlsMode::Implicit)
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> SessionDriver<'_, S> {
    /// Greets, then obeys command after command. Returns how it ended, never [`Flow::On`].
    async fn converse(&mut self, mut dialogue: Dialogue) -> Result<Flow, Gone> {
        if begins_with_tls(&self.peer) {
            dialogue = self.secure(dialogue).await?;
        }
        self.say(&dialogue.greeting());
        loop {
            self.user = dialogue.user().cloned();
            self.under_way = dialogue.in_transaction().then(|| self.reverse_path(&dialogue).to_owned());
            self.note_envelope(&dialogue);
            if !dialogue.in_transaction() {
                self.memory = EnvelopeMemory::default();
            }
            let (parsed, follows) = self.next_command(dialogue.in_transaction()).await?;
            let flow;
            (dialogue, flow) = match parsed {
                Ok(command) => self.obey(dialogue, command, follows).await?,
                Err(line) => {
                    self.log_faulty_line(&dialogue, &line);
                    self.refuse(dialogue, &line.reply, line.about.as_ref(), follows).await
                }
            };
            if flow != Flow::On {
                return Ok(flow);
            }
            self.channel.flush_if_full().await?;
        }
    }

    /// Waits for a whole command line, and reads it. Also tells what may follow the command.
    async fn next_command(
        &mut self,
        in_transaction: bool,
    ) -> Result<(Result<Command, FaultyLine>, Follows), Gone> {
        if *self.stopping.borrow() && !in_transaction {
            return Err(Gone::Stopping);
        }
        // Also where the client has said more already, so that nobody waits for it.
        if self.content_is_late() {
            return Err(Gone::NoContent);
        }
        let completion = self.services.config.complete_addresses.clone();
        let read = |lines: &mut LineReader, input: &[u8]| {
            let (line, used) = lines.take(input);
            let found = match line {
                Line::More => None,
                Line::Command(line) => {
                    let parsed = Command::parse_completed(line, completion.as_ref());
                    let parsed = parsed.map_err(|error| FaultyLine::command(&error, line));
                    Some((parsed, Follows::of(line), spoken::heard(line)))
                }
                Line::Faulty(error, line) => {
                    Some((Err(FaultyLine::line(error, line)), Follows::of(line), spoken::heard(line)))
                }
            };
            (found, used)
        };
        let (parsed, follows, heard) = self.read_until(in_transaction, read).await?;
        self.log_heard(heard);
        Ok((parsed, follows))
    }

    /// Waits until `read` finds what it looks for at the beginning of what the client has sent.
    async fn read_until<T>(
        &mut self,
        in_transaction: bool,
        mut read: impl FnMut(&mut LineReader, &[u8]) -> (Option<T>, usize),
    ) -> Result<T, Gone> {
        let mut deadline = None;
        loop {
            let (found, used) = read(&mut self.lines, self.channel.waiting());
            self.channel.consume(used);
            if let Some(found) = found {
                return Ok(found);
            }
            self.channel.flush().await?;
            let timeout = self.services.config.session.command_timeout;
            let deadline = *deadline.get_or_insert_with(|| self.deadline(timeout));
            // A line without an end is waited for no longer than one that does not come.
            if deadline <= Instant::now() {
                return Err(self.too_slow());
            }
            tokio::select! {
                read = timeout_at(deadline, self.channel.read(COMMAND_READ)) => read.map_err(|_| self.too_slow())??,
                () = stopped(&mut self.stopping), if !in_transaction => return Err(Gone::Stopping),
            }
        }
    }

    /// Obeys one command: legal now? what do the policies say? act.
    async fn obey(
        &mut self,
        dialogue: Dialogue,
        command: Command,
        follows: Follows,
    ) -> Result<(Dialogue, Flow), Gone> {
        let about = about(&command);
        self.log_ignored(&command);
        if let Some(user) = self.dismissed(&dialogue).filter(|_| command != Command::Quit) {
            return Ok(self.dismiss(dialogue, &user).await);
        }
        let dialogue = self.adopt_reload(dialogue);
        let (dialogue, action) = dialogue.step(command);
        self.forget_what_is_over(&dialogue, &action);
        match action {
            Action::Reply(reply) => {
                if let Some(about) = &about {
                    self.log_refused(&dialogue, about, &reply);
                }
                Ok(self.refuse(dialogue, &reply, about.as_ref(), follows).await)
            }
            Action::Admit(mail) => {
                let (dialogue, reply) = self.admit(dialogue, mail);
                Ok(self.answer(dialogue, &reply, Follows::Nothing).await)
            }
            Action::Judge(recipient, request) => {
                let verdict = self.judge(&dialogue, &recipient, &request).await;
                let (dialogue, reply) = dialogue.judge(recipient, request, verdict);
                self.say(&reply);
                Ok((dialogue, Flow::On))
            }
            Action::Repeat(place, request) => Ok((self.repeat(dialogue, place, request), Flow::On)),
            Action::Receive(transaction) => {
                let reply = self.receive(&dialogue, transaction).await?;
                self.say(&reply);
                Ok((dialogue.finish(&reply), Flow::On))
            }
            Action::Take(chunk, first) => {
                let (dialogue, reply) = self.chunk(dialogue, chunk, first).await?;
                self.say(&reply);
                Ok((dialogue, Flow::On))
            }
            Action::Discard(octets, reply) => self.discard(dialogue, octets, &reply).await,
            Action::Misplaced(octets, reply) => self.misplaced(dialogue, octets, &reply).await,
            Action::StartTls(reply) => {
                self.say(&reply);
                Ok((self.secure(dialogue).await?, Flow::On))
            }
            Action::LogIn(mechanism, initial) => {
                let (dialogue, reply) = self.log_in(dialogue, mechanism, initial).await?;
                Ok(self.answer(self.ruled(dialogue), &reply, Follows::Nothing).await)
            }
            Action::Close(reply) => {
                self.say(&reply);
                Ok((dialogue, Flow::Quit))
            }
        }
    }

    /// Answers a recipient that was given again. An upstream that has been asked about it in direct mode knows what was asked
    /// for at first.
    fn repeat(&mut self, dialogue: Dialogue, place: usize, request: RecipientRequest) -> Dialogue {
        let request = self.memory.fit(&self.services.memory, request);
        let (dialogue, reply) = dialogue.repeat(place, request);
        self.say(&reply);
        dialogue
    }

    /// Lets go of what belonged to a message that is over.
    fn forget_what_is_over(&mut self, dialogue: &Dialogue, action: &Action) {
        if !dialogue.in_chunks() {
            self.chunks = None;
        }
        if !dialogue.in_transaction() && !matches!(action, Action::Receive(_)) {
            self.asked = Asked::Nothing;
        }
    }

    /// The user that has logged in, if a reload has removed it since. What is in force counts, also while a message is under
    /// way.
    fn dismissed(&self, dialogue: &Dialogue) -> Option<LoggedIn> {
        let user = dialogue.user()?;
        self.doors.load().services.users.granted(user).is_none().then(|| user.clone())
    }

    /// Hangs up on a client whose user is no more: in this session it could not log in again.
    async fn dismiss(&mut self, dialogue: Dialogue, user: &LoggedIn) -> (Dialogue, Flow) {
        let reply = Reply::new(421, (4, 7, 0), "your user has changed, connect again and log in");
        tracing::info!(
            event = "rejected",
            session = self.peer.session_id,
            client = %self.peer.ip,
            listener = %self.peer.listener.address,
            user = &*user.name,
            from = self.under_way.as_deref(),
            reply = %reply,
            reason = GONE_USER,
        );
        self.services.metrics.rejected(GONE_USER);
        // Its line is written; the end of the session needs no second one.
        self.under_way = None;
        self.answer(dialogue, &reply, Follows::Nothing).await
    }

    /// Takes what is in force by now, unless a message is under way. A client may stay for hours.
    fn adopt_reload(&mut self, dialogue: Dialogue) -> Dialogue {
        if dialogue.in_transaction() || Arc::ptr_eq(&self.doors.load(), &self.door) {
            return dialogue;
        }
        self.door = self.doors.load_full();
        let Door { listener, tls, services } = Door::clone(&self.door);
        (self.peer.listener, self.peer.tls, self.services) = (listener, tls, services);
        let settings = &self.services.config.session;
        self.lines = LineReader::new(settings.bare_newline);
        self.channel.set_write_timeout(settings.command_timeout);
        self.ruled(dialogue)
    }

    /// A dialogue by what is in force for this client and for who has logged in.
    fn ruled(&self, dialogue: Dialogue) -> Dialogue {
        let rules = rules(&self.peer, &self.services, dialogue.user());
        dialogue.with_rules(rules)
    }

    /// Begins TLS. All that the client has said is forgotten.
    async fn secure(&mut self, dialogue: Dialogue) -> Result<Dialogue, Gone> {
        let config = self.peer.tls.clone().expect("TLS is offered only where it is configured");
        self.channel.secure(config).await?;
        self.lines.restart();
        Ok(self.ruled(dialogue.secure()))
    }

    /// Queues the reply to a command that the dialogue refuses, or answers by itself. What is said to RCPT is no error.
    async fn refuse(
        &mut self,
        dialogue: Dialogue,
        reply: &Reply,
        about: Option<&About>,
        follows: Follows,
    ) -> (Dialogue, Flow) {
        if matches!(about, Some(About::Recipient(_))) {
            self.say(reply);
            return (dialogue, Flow::On);
        }
        self.answer(dialogue, reply, follows).await
    }

    /// Queues a reply, and hangs up when there were too many errors, or when content would run as commands.
    async fn answer(&mut self, mut dialogue: Dialogue, reply: &Reply, follows: Follows) -> (Dialogue, Flow) {
        self.say(reply);
        if reply.code == 421 {
            return (dialogue, Flow::Hang);
        }
        if dialogue.count(reply) {
            self.say(&dialogue.too_many_errors());
            return (dialogue, Flow::Hang);
        }
        let hang = match follows {
            Follows::Nothing => false,
            Follows::Perhaps => self.channel.has_more().await,
            Follows::Content => true,
        };
        let flow = if hang { Flow::Hang } else { Flow::On };
        (dialogue, flow)
    }

    /// Takes the content, and the message into the queue. Returns the reply to the final dot.
    async fn receive(&mut self, dialogue: &Dialogue, transaction: MailTransaction) -> Result<Reply, Gone> {
        self.say(&Reply::bare(354, vec!["end with <CRLF>.<CRLF>".to_owned()]));
        let mut incoming = self.begin(dialogue, transaction);
        let content = self.content(&mut incoming.receiver);
        timeout_at(incoming.deadline, content).await.map_err(|_| Gone::Timeout)??;
        Ok(self.conclude(incoming).await)
    }

    /// Feeds the receiver until the content ends.
    async fn content(&mut self, receiver: &mut Receiver) -> Result<(), Gone> {
        loop {
            if self.channel.waiting().is_empty() {
                self.channel.flush().await?;
                self.channel.read(receiver.room()).await?;
            }
            let status = receiver.decode(self.channel.waiting());
            self.channel.consume(status.consumed());
            receiver.settle().await;
            if matches!(status, StreamStatus::End { .. }) {
                return Ok(());
            }
        }
    }
}

/// Waits until the relay is stopping; for ever when nobody can stop it any more.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    if stopping.wait_for(|stopping| *stopping).await.is_err() {
        std::future::pending::<()>().await;
    }
}
