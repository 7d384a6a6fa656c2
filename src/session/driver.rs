//! Drives one session: reads lines, asks the dialogue and the policies, writes replies. All waiting has a deadline.
//!
//! Every wait is cancel-safe: a session may be dropped at any moment, and leaves nothing behind.

mod auth;
mod refusal;

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, info};

use self::refusal::{Refused, about};
use super::accept::{Submission, accept};
use super::channel::{Channel, Gone};
use super::receive::{Arrival, Receiver, Refusal};
use super::state::{Action, Dialogue, Hello, Rules, Transaction, Verdict};
use super::{Peer, Services, log_rejected};
use crate::config::{ServerAuth, TlsMode};
use crate::mail::{Address, QueueId};
use crate::policy::{blacklist, relay};
use crate::smtp::Reply;
use crate::smtp::command::{Command, Mail};
use crate::smtp::data_stream::Status;
use crate::smtp::line::{Line, LineReader};

/// How much is read at once while we wait for commands, in octets.
const COMMAND_READ: usize = 4 * 1024;
/// How much is read at once while content arrives, in octets.
const CONTENT_READ: usize = 32 * 1024;

/// Talks to one client until either side has had enough.
///
/// When `stopping` turns true the session ends as soon as no message is under way.
pub async fn run<S>(stream: S, peer: Peer, services: Arc<Services>, stopping: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    debug!(event = "session_start", session = peer.session_id, client = %peer.ip, listener = %peer.listener.address);
    let config = &services.config;
    let mut session = Session {
        channel: Channel::new(stream, config.session.command_timeout),
        lines: LineReader::new(config.session.bare_newline),
        peer: &peer,
        services: &services,
        stopping,
        under_way: None,
    };
    let end = session.converse(Dialogue::new(rules(&peer, &services))).await;
    let name = &config.hostname;
    let (last, linger) = match &end {
        Ok(Flow::Hang) => (None, true),
        Err(Gone::Timeout) => (Some(Reply::new(421, (4, 4, 2), format!("{name} timeout, closing"))), true),
        Err(Gone::Stopping) => (Some(Reply::new(421, (4, 3, 2), format!("{name} is stopping"))), false),
        Ok(_) | Err(_) => (None, false),
    };
    session.log_aborted(&end, last.as_ref());
    let Session { mut channel, .. } = session;
    if let Some(last) = last {
        channel.say(&last);
    }
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
fn rules(peer: &Peer, services: &Services) -> Rules {
    let Services { config, users, .. } = services;
    let listener = &peer.listener;
    let starttls = peer.tls.is_some() && !begins_with_tls(peer);
    // A client that a proxy brings to a loopback listener is not on this machine.
    let is_local = listener.address.ip().to_canonical().is_loopback() && peer.ip.is_loopback();
    Rules {
        hostname: config.hostname.clone(),
        max_message_size: config.session.max_message_size.0,
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

/// Whether the session goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// The next command, please.
    On,
    /// The client said QUIT.
    Quit,
    /// We hang up; the client may still be sending.
    Hang,
}

struct Session<'a, S> {
    channel: Channel<S>,
    lines: LineReader,
    peer: &'a Peer,
    services: &'a Services,
    stopping: watch::Receiver<bool>,
    /// The sender of the message that is under way.
    under_way: Option<String>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<'_, S> {
    /// Greets, then obeys command after command. Returns how it ended, never [`Flow::On`].
    async fn converse(&mut self, mut dialogue: Dialogue) -> Result<Flow, Gone> {
        if begins_with_tls(self.peer) {
            dialogue = self.secure(dialogue).await?;
        }
        self.channel.say(&dialogue.greeting());
        loop {
            self.under_way = dialogue.in_transaction().then(|| dialogue.reverse_path().to_owned());
            let (parsed, content_follows) = self.next_command(dialogue.in_transaction()).await?;
            let flow;
            (dialogue, flow) = match parsed {
                Ok(command) => self.obey(dialogue, command, content_follows).await?,
                Err(refused) => {
                    self.log_line(&dialogue, &refused);
                    self.answer(dialogue, &refused.reply, content_follows).await
                }
            };
            if flow != Flow::On {
                return Ok(flow);
            }
            self.channel.flush_if_full().await?;
        }
    }

    /// Waits for a whole command line, and reads it. Also tells whether content would follow the command.
    async fn next_command(&mut self, in_transaction: bool) -> Result<(Result<Command, Refused>, bool), Gone> {
        if *self.stopping.borrow() && !in_transaction {
            return Err(Gone::Stopping);
        }
        let read = |lines: &mut LineReader, input: &[u8]| {
            let (line, used) = lines.take(input);
            let found = match line {
                Line::More => None,
                Line::Command(line) => {
                    let parsed = Command::parse(line).map_err(|error| Refused::command(&error, line));
                    Some((parsed, announces_content(line)))
                }
                Line::Faulty(error, line) => Some((Err(Refused::line(error, line)), announces_content(line))),
            };
            (found, used)
        };
        self.line(in_transaction, read).await
    }

    /// Waits until `read` finds what it looks for at the beginning of what the client has sent.
    async fn line<T>(
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
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + timeout);
            tokio::select! {
                read = timeout_at(deadline, self.channel.read(COMMAND_READ)) => read.map_err(|_| Gone::Timeout)??,
                () = stopped(&mut self.stopping), if !in_transaction => return Err(Gone::Stopping),
            }
        }
    }

    /// One command: legal now? what do the policies say? act.
    async fn obey(
        &mut self,
        dialogue: Dialogue,
        command: Command,
        content_follows: bool,
    ) -> Result<(Dialogue, Flow), Gone> {
        let about = about(&command);
        let (dialogue, action) = dialogue.step(command);
        match action {
            Action::Reply(reply) => {
                if let Some(about) = about {
                    self.log_refused(&dialogue, &about, &reply);
                }
                Ok(self.answer(dialogue, &reply, content_follows).await)
            }
            Action::Admit(mail) => {
                let (dialogue, reply) = self.admit(dialogue, mail);
                Ok(self.answer(dialogue, &reply, false).await)
            }
            Action::Judge(recipient) => {
                let verdict = self.judge(&dialogue, &recipient).await;
                let (dialogue, reply) = dialogue.judge(recipient, verdict);
                Ok(self.answer(dialogue, &reply, false).await)
            }
            Action::Receive(transaction) => {
                let reply = self.receive(&dialogue, transaction).await?;
                Ok(self.answer(dialogue.finish(), &reply, false).await)
            }
            Action::StartTls(reply) => {
                self.channel.say(&reply);
                Ok((self.secure(dialogue).await?, Flow::On))
            }
            Action::LogIn(mechanism, initial) => {
                let (dialogue, reply) = self.log_in(dialogue, mechanism, initial).await?;
                Ok(self.answer(dialogue, &reply, false).await)
            }
            Action::Close(reply) => {
                self.channel.say(&reply);
                Ok((dialogue, Flow::Quit))
            }
        }
    }

    /// Begins TLS. All that the client has said is forgotten.
    async fn secure(&mut self, dialogue: Dialogue) -> Result<Dialogue, Gone> {
        let config = self.peer.tls.clone().expect("TLS is offered only where it is configured");
        self.channel.secure(config).await?;
        self.lines.restart();
        Ok(dialogue.secure())
    }

    /// Queues a reply, and hangs up when there were too many errors, or when content would run as commands.
    async fn answer(
        &mut self,
        mut dialogue: Dialogue,
        reply: &Reply,
        content_follows: bool,
    ) -> (Dialogue, Flow) {
        self.channel.say(reply);
        if reply.code == 421 {
            return (dialogue, Flow::Hang);
        }
        if dialogue.count(reply) {
            self.channel.say(&dialogue.too_many_errors());
            return (dialogue, Flow::Hang);
        }
        let flow = if content_follows && self.channel.has_more().await { Flow::Hang } else { Flow::On };
        (dialogue, flow)
    }

    /// Whether a message can be taken now.
    fn admit(&self, dialogue: Dialogue, mail: Mail) -> (Dialogue, Reply) {
        let now = self.services.timeline.now();
        match self.services.admission.check(&*self.services.store, now) {
            Ok(()) => dialogue.admit(mail),
            Err(reason) => {
                let reply = reason.reply();
                self.reject(mail.reverse_path.as_str(), "", &reply, "not_accepting");
                (dialogue, reply)
            }
        }
    }

    /// Whether a recipient is taken: may the client relay, is the recipient blacklisted?
    async fn judge(&self, dialogue: &Dialogue, recipient: &Address) -> Verdict {
        let (verdict, reason) = match relay::permit(&self.peer.listener, self.peer.ip, dialogue.user()) {
            Err(reply) => (Verdict::Refuse(reply), "relay"),
            Ok(()) => self.listed(recipient).await,
        };
        if let Verdict::Refuse(reply) = &verdict {
            self.reject(dialogue.reverse_path(), recipient.as_str(), reply, reason);
        }
        verdict
    }

    /// What the blacklist says of a recipient, and the word for it in the log.
    async fn listed(&self, recipient: &Address) -> (Verdict, &'static str) {
        let Services { config, store, timeline, .. } = self.services;
        let standing =
            blacklist::standing(&**store, config.blacklist.action, recipient, timeline.now()).await;
        let verdict = match standing {
            Ok(blacklist::Standing::Clear) => Verdict::Accept,
            Ok(blacklist::Standing::Dropped { .. }) => Verdict::Drop,
            Ok(blacklist::Standing::Refused(reply)) => Verdict::Refuse(reply),
            Err(error) => {
                tracing::error!(event = "blacklist_not_read", reason = %error);
                let reply =
                    Reply::new(451, (4, 3, 0), "recipients cannot be checked at present, try again later");
                return (Verdict::Refuse(reply), "store");
            }
        };
        (verdict, "blacklist")
    }

    /// Takes the content, and the message into the queue. Returns the reply to the final dot.
    async fn receive(&mut self, dialogue: &Dialogue, transaction: Transaction) -> Result<Reply, Gone> {
        self.channel.say(&Reply::bare(354, vec!["end with <CRLF>.<CRLF>".to_owned()]));
        let services = self.services;
        let hello = dialogue.hello().cloned().expect("no MAIL is taken before EHLO or HELO");
        let arrival = self.arrival(dialogue, &hello, &transaction);
        let queue_id = arrival.queue_id.clone();
        let settings = &services.config.session;
        let mut receiver = Receiver::new(arrival, settings, services.memory.clone(), &services.content_dir);
        let deadline = Instant::now() + settings.data_timeout;
        let content = self.content(&mut receiver);
        timeout_at(deadline, content).await.map_err(|_| Gone::Timeout)??;
        let from = transaction.envelope.reverse_path.to_string();
        let refused = match receiver.finish().await {
            Ok(content) => {
                let user = dialogue.user().cloned();
                let submission = Submission { queue_id, hello, user, transaction, content };
                match accept(services, self.peer, submission).await {
                    Ok(reply) => return Ok(reply),
                    Err(refused) => (refused.reply(), refused.reason()),
                }
            }
            Err(refusal) => {
                self.log_disk(&queue_id, &refusal);
                (refusal.reply(), refusal.reason())
            }
        };
        self.reject(&from, "", &refused.0, refused.1);
        Ok(refused.0)
    }

    /// A disk that fails is the operator's business, not only the client's.
    fn log_disk(&self, queue_id: &QueueId, refusal: &Refusal) {
        if let Refusal::Disk(error) = refusal {
            let path = self.services.content_dir.display();
            tracing::error!(event = "content_not_written", queue_id = %queue_id, path = %path, reason = %error);
        }
    }

    /// Feeds the receiver until the content ends.
    async fn content(&mut self, receiver: &mut Receiver<'_>) -> Result<(), Gone> {
        loop {
            if self.channel.waiting().is_empty() {
                self.channel.flush().await?;
                self.channel.read(CONTENT_READ).await?;
            }
            let status = receiver.feed(self.channel.waiting()).await;
            let octets = match status {
                Status::More => self.channel.waiting().len(),
                Status::End { consumed } => consumed,
            };
            self.channel.consume(octets);
            if status != Status::More {
                return Ok(());
            }
        }
    }

    fn arrival(&self, dialogue: &Dialogue, hello: &Hello, transaction: &Transaction) -> Arrival {
        let envelope = &transaction.envelope;
        let date = self.services.timeline.wall();
        let only = match envelope.recipients() {
            [only] => Some(only.clone()),
            _ => None,
        };
        Arrival {
            queue_id: QueueId::new(date.as_millisecond(), rand::random()),
            helo: hello.name.clone(),
            client: self.peer.ip,
            hostname: self.services.config.hostname.clone(),
            protocol: protocol(envelope.smtputf8, hello.extended, dialogue),
            recipient: only,
            submitter: None,
            date,
        }
    }

    fn reject(&self, from: &str, to: &str, reply: &Reply, reason: &str) {
        log_rejected(self.peer, from, to, Some(reply), reason);
    }
}

/// How the message came, as Received has it (RFC 3848, RFC 6531 3.7.3).
fn protocol(smtputf8: bool, extended: bool, dialogue: &Dialogue) -> &'static str {
    match (smtputf8, extended, dialogue.is_secure(), dialogue.user().is_some()) {
        (true, _, false, false) => "UTF8SMTP",
        (true, _, true, false) => "UTF8SMTPS",
        (true, _, false, true) => "UTF8SMTPA",
        (true, _, true, true) => "UTF8SMTPSA",
        (false, true, false, false) => "ESMTP",
        (false, _, true, false) => "ESMTPS",
        (false, _, false, true) => "ESMTPA",
        (false, _, true, true) => "ESMTPSA",
        (false, false, false, false) => "SMTP",
    }
}

/// Whether content follows the command when the client does not wait for our reply. When such a command is refused,
/// what waits behind it must never run as commands.
fn announces_content(line: &[u8]) -> bool {
    let verb = line.trim_ascii_start().get(..4);
    verb.is_some_and(|verb| verb.eq_ignore_ascii_case(b"DATA") || verb.eq_ignore_ascii_case(b"BDAT"))
}

/// Waits until the relay is stopping; for ever when nobody can stop it any more.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    if stopping.wait_for(|stopping| *stopping).await.is_err() {
        std::future::pending::<()>().await;
    }
}
