//! One connection: the dialogue, and what each command is counted as.

use std::io;

use mailsluice::upstream::Stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::replies::{NOT_LOGGED_IN, Refusal, Step, TOO_LARGE, send_as_denied};
use super::{Limit, Objection, Office365, Submitted};

const BANNER: &str = "220 AM0PR01CA0036.outlook.office365.com Microsoft ESMTP MAIL Service ready";
/// The longest command line that is taken.
const LONGEST: usize = 12_288;

/// Whether the dialogue goes on.
#[derive(PartialEq, Eq)]
pub(super) enum Next {
    Go,
    End,
}

/// A transaction.
struct Mail {
    reverse_path: String,
    recipients: Vec<String>,
}

pub(super) struct Session {
    pub(super) service: Office365,
    stream: Box<dyn Stream>,
    pub(super) id: u64,
    input: Vec<u8>,
    /// Replies that wait until all that was said has been answered.
    output: Vec<u8>,
    pub(super) tls: bool,
    pub(super) user: Option<String>,
    mail: Option<Mail>,
}

impl Session {
    pub(super) fn new(service: Office365, stream: Box<dyn Stream>) -> Self {
        let id = {
            let mut state = service.state();
            state.sessions += 1;
            state.sessions
        };
        let (input, output) = Default::default();
        Self { service, stream, id, input, output, tls: false, user: None, mail: None }
    }

    pub(super) async fn run(mut self) -> io::Result<()> {
        self.say(BANNER);
        loop {
            let line = self.line().await?;
            if self.command(&line).await? == Next::End {
                self.flush().await?;
                return self.stream.shutdown().await;
            }
        }
    }

    async fn command(&mut self, line: &str) -> io::Result<Next> {
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" => self.ehlo(),
            "HELO" => self.say("250 AM0PR01CA0036.outlook.office365.com Hello"),
            "STARTTLS" => return self.start_tls().await,
            "AUTH" => return self.auth(line).await,
            "MAIL" => return Ok(self.mail(line)),
            "RCPT" => return Ok(self.rcpt(line)),
            "DATA" => return self.data().await,
            "RSET" => {
                self.mail = None;
                self.say("250 2.0.0 Resetting");
            }
            "NOOP" => self.say("250 2.0.0 OK"),
            "QUIT" => {
                self.say("221 2.0.0 Service closing transmission channel");
                return Ok(Next::End);
            }
            _ => self.say("500 5.3.3 Unrecognized command"),
        }
        Ok(Next::Go)
    }

    fn ehlo(&mut self) {
        self.mail = None;
        let (size, has_tls) = {
            let state = self.service.state();
            (state.rules.message_size, state.tls.is_some())
        };
        self.say("250-AM0PR01CA0036.outlook.office365.com Hello [192.0.2.1]");
        self.say(&format!("250-SIZE {size}"));
        self.say("250-PIPELINING");
        self.say("250-DSN");
        self.say("250-ENHANCEDSTATUSCODES");
        // As the original: with TLS to be had, logins are offered behind it alone.
        if has_tls && !self.tls {
            self.say("250-STARTTLS");
        } else {
            self.say("250-AUTH LOGIN PLAIN XOAUTH2");
        }
        self.say("250-8BITMIME");
        self.say("250 SMTPUTF8");
    }

    async fn start_tls(&mut self) -> io::Result<Next> {
        let config = self.service.state().tls.clone();
        let Some(config) = config.filter(|_| !self.tls) else {
            self.say("503 5.5.2 Bad sequence of commands");
            return Ok(Next::Go);
        };
        self.say("220 2.0.0 SMTP server ready");
        self.flush().await?;
        self.input.clear();
        let (placeholder, _) = tokio::io::duplex(1);
        let stream = std::mem::replace(&mut self.stream, Box::new(placeholder));
        let idle = self.service.state().rules.idle;
        self.stream = Box::new(timeout(idle, TlsAcceptor::from(config).accept(stream)).await??);
        self.tls = true;
        self.mail = None;
        Ok(Next::Go)
    }

    fn mail(&mut self, line: &str) -> Next {
        let Some(user) = self.user.clone() else {
            self.say(NOT_LOGGED_IN);
            return Next::Go;
        };
        if self.mail.is_some() {
            self.say("503 5.5.2 Sender already specified");
            return Next::Go;
        }
        let size =
            line.split(' ').find_map(|word| word.strip_prefix("SIZE=")).and_then(|size| size.parse().ok());
        if let Err(refusal) = self.begin(&user, size.unwrap_or(0)) {
            return self.refuse(&refusal);
        }
        self.mail = Some(Mail { reverse_path: path(line), recipients: Vec::new() });
        self.say("250 2.1.0 Sender OK");
        Next::Go
    }

    fn begin(&self, user: &str, size: usize) -> Result<(), Refusal> {
        let (mut state, now) = (self.service.state(), Instant::now());
        state.attempts += 1;
        state.free_of(user, |step| step == Step::Mail)?;
        if size > state.rules.message_size {
            return Err(Refusal::of(TOO_LARGE));
        }
        let limit = state.rules.per_minute;
        let mailbox = state.mailboxes.get_mut(user).expect("who has logged in has a mailbox");
        if mailbox.starts.is_over(1, limit, now) {
            return Err(state.overrun(user, Limit::Starts));
        }
        mailbox.starts.add(1, now);
        Ok(())
    }

    fn rcpt(&mut self, line: &str) -> Next {
        let (Some(user), Some(mail)) = (&self.user, &mut self.mail) else {
            self.say("503 5.5.2 Need mail command");
            return Next::Go;
        };
        let mut state = self.service.state();
        if mail.recipients.len() >= state.rules.recipients_per_message {
            let refusal = state.overrun(user, Limit::RecipientsPerMessage);
            drop(state);
            return self.refuse(&refusal);
        }
        drop(state);
        mail.recipients.push(path(line));
        self.say("250 2.1.5 Recipient OK");
        Next::Go
    }

    async fn data(&mut self) -> io::Result<Next> {
        let Some(mail) = self.mail.take_if(|mail| !mail.recipients.is_empty()) else {
            self.say("503 5.5.2 Need rcpt command");
            return Ok(Next::Go);
        };
        let user = self.user.clone().expect("MAIL needs a login");
        if let Err(refusal) = self.may_send(&user) {
            return Ok(self.refuse(&refusal));
        }
        self.say("354 Start mail input; end with <CRLF>.<CRLF>");
        let (size, header) = self.content().await?;
        let think = self.service.state().rules.think;
        if !think.is_zero() {
            sleep(think).await;
        }
        match self.end(&user, mail, size, &from(&header)) {
            Err(refusal) => Ok(self.refuse(&refusal)),
            Ok(number) => {
                self.say(&format!("250 2.0.0 OK <{number}@AM0PR01MB0036.eurprd01.prod.exchangelabs.com> [Hostname=AM0PR01MB0036.eurprd01.prod.exchangelabs.com]"));
                Ok(Next::Go)
            }
        }
    }

    /// The first connections of a mailbox may send, those beyond the limit may not.
    fn may_send(&self, user: &str) -> Result<(), Refusal> {
        let mut state = self.service.state();
        let most = state.rules.connections;
        let before = state.mailboxes.get(user).map_or(0, |mailbox| mailbox.open.range(..self.id).count());
        if before < most {
            return Ok(());
        }
        Err(state.refuse(user, Limit::Connections))
    }

    fn end(&self, user: &str, mail: Mail, size: usize, from: &str) -> Result<usize, Refusal> {
        let mut state = self.service.state();
        state.free_of(user, |step| step == Step::Dot)?;
        if size > state.rules.message_size {
            return Err(Refusal::of(TOO_LARGE));
        }
        let Mail { reverse_path, recipients } = mail;
        let message = Submitted { reverse_path, recipients, from: from.to_owned(), size, content: None };
        state.take(user, message).map_err(|objection| match objection {
            Objection::SendAs => Refusal::of(send_as_denied(user, from)),
            Objection::Overrun(limit) => state.overrun(user, limit),
        })
    }

    /// Reads the content; how long it is, and its header.
    async fn content(&mut self) -> io::Result<(usize, Vec<u8>)> {
        const END: &[u8] = b"\r\n.\r\n";
        const HEADER: usize = 64 * 1024;
        let mut header = Vec::new();
        let mut size = 0;
        // The line end behind DATA is the first half of an end, and stands for the content's last one in its length.
        self.input.splice(0..0, *b"\r\n");
        loop {
            if let Some(at) = self.input.windows(END.len()).position(|octets| octets == END) {
                header.extend_from_slice(&self.input[..at.min(HEADER.saturating_sub(header.len()))]);
                self.input.drain(..at + END.len());
                return Ok((size + at, header));
            }
            // What may be the beginning of an end stays.
            let sure = self.input.len().saturating_sub(END.len() - 1);
            header.extend_from_slice(&self.input[..sure.min(HEADER.saturating_sub(header.len()))]);
            size += sure;
            self.input.drain(..sure);
            self.fill().await?;
        }
    }

    pub(super) fn refuse(&mut self, refusal: &Refusal) -> Next {
        self.say(&refusal.text);
        if refusal.closes { Next::End } else { Next::Go }
    }

    pub(super) fn say(&mut self, reply: &str) {
        self.output.extend_from_slice(reply.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.output).await?;
        self.output.clear();
        self.stream.flush().await
    }

    /// A command line, without its end.
    pub(super) async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.input.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(&self.input[..end]).into_owned();
                self.input.drain(..end + 2);
                return Ok(line);
            }
            if self.input.len() > LONGEST {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.fill().await?;
        }
    }

    /// Says what is to be said, and reads what comes.
    async fn fill(&mut self) -> io::Result<()> {
        self.flush().await?;
        let idle = self.service.state().rules.idle;
        let mut piece = [0; 8192];
        match timeout(idle, self.stream.read(&mut piece)).await {
            Ok(Ok(0)) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(Ok(read)) => {
                self.input.extend_from_slice(&piece[..read]);
                Ok(())
            }
            Ok(Err(error)) => Err(error),
            Err(_) => {
                self.say("421 4.4.1 Connection timed out");
                self.flush().await?;
                Err(io::ErrorKind::TimedOut.into())
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(user) = self.user.take()
            && let Some(mailbox) = self.service.state().mailboxes.get_mut(&user)
        {
            mailbox.open.remove(&self.id);
        }
    }
}

/// What stands between the angle brackets.
fn path(line: &str) -> String {
    let start = line.find('<').map_or(line.len(), |at| at + 1);
    let end = line[start..].find('>').map_or(line.len(), |at| start + at);
    line[start..end].to_owned()
}

/// The address in From, in lower case; folded fields are not looked at.
fn from(header: &[u8]) -> String {
    let text = String::from_utf8_lossy(header);
    let fields = text.split("\r\n\r\n").next().unwrap_or_default();
    let field = fields.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("from").then_some(value.trim())
    });
    let value = field.unwrap_or_default();
    let address = if value.contains('<') { path(value) } else { value.to_owned() };
    address.to_lowercase()
}
