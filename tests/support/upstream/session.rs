//! One connection to the scriptable upstream.

use std::io;
use std::time::Duration;

use mailsluice::upstream::Stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsAcceptor;

use super::super::lines::take_line;
use super::{Act, Seen, Step, Upstream, Whose};

/// Whether the dialogue goes on.
pub(super) enum Flow {
    /// The step was done.
    Done,
    /// It was refused.
    Refused,
    /// The connection ends here.
    End,
}

pub struct Session {
    pub(super) upstream: Upstream,
    stream: Box<dyn Stream>,
    inbox: Vec<u8>,
    pub(super) user: Option<String>,
    tls: bool,
    /// What a login can be bound to (RFC 9266).
    pub(super) binding: Option<[u8; 32]>,
    transaction: Option<Seen>,
    rcpts: usize,
    /// The reverse-path and the recipients of the last transaction, accepted or not.
    named: (String, Vec<String>),
    /// Transactions that came to their end.
    carried: usize,
}

impl Session {
    pub fn new(upstream: Upstream, stream: Box<dyn Stream>) -> Self {
        Self {
            upstream,
            stream,
            inbox: Vec::new(),
            user: None,
            tls: false,
            binding: None,
            transaction: None,
            rcpts: 0,
            named: Default::default(),
            carried: 0,
        }
    }

    pub async fn run(mut self) -> io::Result<()> {
        if self.upstream.script().implicit_tls && !self.handshake().await? {
            return Ok(());
        }
        let (most, act) = self.upstream.script().most_open;
        if self.upstream.record().open > most {
            self.upstream.record().turned_away += 1;
            if let Flow::End = self.enact(act, "220 upstream.example ESMTP\r\n").await? {
                return Ok(());
            }
        } else if let Flow::End = self.play(Step::Greeting, "220 upstream.example ESMTP\r\n").await? {
            return Ok(());
        }
        loop {
            let line = self.line().await?;
            self.upstream.record().commands.push(line.clone());
            if let Flow::End = self.command(&line).await? {
                return Ok(());
            }
        }
    }

    async fn command(&mut self, line: &str) -> io::Result<Flow> {
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" => {
                let reply = self.ehlo();
                self.play(Step::Ehlo, &reply).await
            }
            "HELO" => self.play(Step::Helo, "250 upstream.example\r\n").await,
            "STARTTLS" => self.start_tls().await,
            "AUTH" => self.auth(line).await,
            "MAIL" => self.mail(line).await,
            "RCPT" => self.rcpt(line).await,
            "DATA" => self.data().await,
            "RSET" => {
                self.transaction = None;
                self.play(Step::Rset, "250 2.0.0 OK\r\n").await
            }
            "QUIT" => {
                self.play(Step::Quit, "221 2.0.0 bye\r\n").await?;
                self.stream.shutdown().await?;
                Ok(Flow::End)
            }
            _ => self.say("502 5.5.2 unknown\r\n").await,
        }
    }

    fn ehlo(&mut self) -> String {
        self.transaction = None;
        let script = self.upstream.script();
        let mut lines = vec!["upstream.example".to_owned()];
        lines.extend(script.extensions);
        if script.tls.is_some() && !script.implicit_tls && !self.tls {
            lines.push("STARTTLS".to_owned());
        }
        let last = lines.len() - 1;
        let line =
            |(i, text): (usize, &String)| format!("250{}{text}\r\n", if i == last { ' ' } else { '-' });
        lines.iter().enumerate().map(line).collect()
    }

    async fn start_tls(&mut self) -> io::Result<Flow> {
        let flow = self.play(Step::StartTls, "220 2.0.0 go ahead\r\n").await?;
        match flow {
            Flow::Done => Ok(if self.handshake().await? { Flow::Done } else { Flow::End }),
            other => Ok(other),
        }
    }

    async fn handshake(&mut self) -> io::Result<bool> {
        if self.act(Step::Handshake) != Act::Normal {
            // First comes the client's hello: what is said before it would count as behind the 220.
            self.fill(4096).await?;
            self.inbox.clear();
            return Ok(!matches!(self.play(Step::Handshake, "").await?, Flow::End));
        }
        let config = self.upstream.script().tls.expect("a script with TLS has a certificate");
        let (placeholder, _) = tokio::io::duplex(1);
        let stream = std::mem::replace(&mut self.stream, Box::new(placeholder));
        let accepted = TlsAcceptor::from(config).accept(stream).await?;
        let (label, context) = (b"EXPORTER-Channel-Binding", Some(&b""[..]));
        self.binding = accepted.get_ref().1.export_keying_material([0; 32], label, context).ok();
        self.stream = Box::new(accepted);
        self.tls = true;
        Ok(true)
    }

    async fn mail(&mut self, line: &str) -> io::Result<Flow> {
        if self.upstream.script().require_auth && self.user.is_none() {
            return self.say("530 5.7.0 log in first\r\n").await;
        }
        if self.transaction.is_some() {
            return self.say("503 5.5.1 nested MAIL\r\n").await;
        }
        self.named = (path(line), Vec::new());
        let flow = self.play(Step::Mail, "250 2.1.0 sender ok\r\n").await?;
        if let Flow::Done = flow {
            self.rcpts = 0;
            self.transaction = Some(Seen {
                reverse_path: path(line),
                parameters: line.split(' ').skip(2).map(str::to_owned).collect(),
                recipients: Vec::new(),
                content: Vec::new(),
                at: Instant::now(),
                user: self.user.clone(),
                tls: self.tls,
                taken: false,
            });
        }
        Ok(flow)
    }

    async fn rcpt(&mut self, line: &str) -> io::Result<Flow> {
        let Some(accepted) = self.transaction.as_ref().map(|seen| seen.recipients.len()) else {
            return self.say("503 5.5.1 MAIL first\r\n").await;
        };
        if accepted >= self.upstream.script().max_recipients {
            return self.say("452 4.5.3 too many recipients\r\n").await;
        }
        self.rcpts += 1;
        self.named.1.push(path(line));
        let flow = self.play(Step::Rcpt(self.rcpts - 1), "250 2.1.5 recipient ok\r\n").await?;
        if let (Flow::Done, Some(transaction)) = (&flow, &mut self.transaction) {
            transaction.recipients.push(path(line));
        }
        Ok(flow)
    }

    async fn data(&mut self) -> io::Result<Flow> {
        let empty = self.transaction.as_ref().is_none_or(|seen| seen.recipients.is_empty());
        if empty && self.act(Step::Data) == Act::Normal {
            return self.say("554 5.5.1 no valid recipients\r\n").await;
        }
        match self.play(Step::Data, "354 go ahead\r\n").await? {
            Flow::Done => {}
            other => return Ok(other),
        }
        let Some(content) = self.content().await? else {
            return Ok(Flow::End);
        };
        let Some(mut seen) = self.transaction.take() else {
            return self.say("554 5.5.1 no transaction\r\n").await;
        };
        let act = self.act(Step::Dot);
        seen.taken = !matches!(act, Act::Reply(400.., _) | Act::ReplyAndDrop(400.., _));
        seen.content = content;
        seen.at = Instant::now();
        self.upstream.record().messages.push(seen);
        let flow = self.play(Step::Dot, "250 2.0.0 queued as 42\r\n").await;
        self.carried += 1;
        flow
    }

    /// Reads the content up to the final dot, unless the script has other plans.
    async fn content(&mut self) -> io::Result<Option<Vec<u8>>> {
        let act = self.act(Step::Content);
        let mut reader = ContentReader { lax: self.upstream.script().lax, ..ContentReader::default() };
        match act {
            Act::Hang => std::future::pending().await,
            Act::Normal | Act::Slow(_) | Act::Late(_) => {}
            _ => {
                self.fill(8192).await?;
                self.inbox.clear();
                self.play(Step::Content, "").await?;
                // The rest of the content is not looked at.
                return if matches!(act, Act::Reply(..) | Act::Raw(_)) {
                    self.drain().await
                } else {
                    Ok(None)
                };
            }
        }
        loop {
            let piece = std::mem::take(&mut self.inbox);
            if let Some(used) = reader.take(&piece) {
                self.inbox = piece[used..].to_vec();
                return Ok(Some(reader.content));
            }
            if let Act::Slow(pause) = act {
                sleep(pause).await;
                self.fill(1024).await?;
            } else {
                self.fill(64 * 1024).await?;
            }
        }
    }

    async fn drain<T>(&mut self) -> io::Result<Option<T>> {
        loop {
            self.fill(64 * 1024).await?;
            self.inbox.clear();
        }
    }

    pub(super) fn act(&self, step: Step) -> Act {
        self.upstream.script().act_for(step, |whose| match whose {
            Whose::User(name) => self.user.as_ref() == Some(name),
            Whose::Sender(address) => self.named.0 == *address,
            Whose::Recipient(address) => self.named.1.contains(address),
            Whose::Used => self.carried > 0,
        })
    }

    /// Does what the script says, or else gives the normal reply.
    pub(super) async fn play(&mut self, step: Step, normal: &str) -> io::Result<Flow> {
        self.enact(self.act(step), normal).await
    }

    async fn enact(&mut self, act: Act, normal: &str) -> io::Result<Flow> {
        match act {
            Act::Normal | Act::Refuse => self.say(normal).await,
            Act::Reply(code, text) => {
                self.say(&format!("{code} {text}\r\n")).await?;
                Ok(if code < 400 { Flow::Done } else { Flow::Refused })
            }
            Act::ReplyAndDrop(code, text) => {
                self.say(&format!("{code} {text}\r\n")).await?;
                Ok(Flow::End)
            }
            Act::Raw(octets) => {
                self.write(&octets).await?;
                Ok(Flow::Refused)
            }
            Act::RawAndDrop(octets) => {
                self.write(&octets).await?;
                Ok(Flow::End)
            }
            Act::Append(octets) => {
                self.write(&[normal.as_bytes(), &octets].concat()).await?;
                Ok(Flow::Done)
            }
            Act::Hang => {
                self.drain::<()>().await?;
                Ok(Flow::End)
            }
            Act::Drop => Ok(Flow::End),
            Act::Slow(pause) => self.say_slowly(normal, pause).await,
            Act::Late(pause) => {
                sleep(pause).await;
                self.say(normal).await
            }
        }
    }

    pub(super) async fn say(&mut self, reply: &str) -> io::Result<Flow> {
        self.write(reply.as_bytes()).await?;
        Ok(Flow::Done)
    }

    async fn say_slowly(&mut self, reply: &str, pause: Duration) -> io::Result<Flow> {
        for octet in reply.as_bytes() {
            sleep(pause).await;
            self.write(&[*octet]).await?;
        }
        Ok(Flow::Done)
    }

    async fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.stream.write_all(octets).await?;
        self.stream.flush().await
    }

    /// A command line, without its end.
    pub(super) async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(line) = take_line(&mut self.inbox) {
                return Ok(line);
            }
            self.fill(4096).await?;
        }
    }

    /// Reads what is there, at most `most` octets.
    async fn fill(&mut self, most: usize) -> io::Result<()> {
        let mut piece = vec![0; most];
        match self.stream.read(&mut piece).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                self.inbox.extend_from_slice(&piece[..n]);
                Ok(())
            }
        }
    }
}

/// What stands between the angle brackets.
fn path(line: &str) -> String {
    let start = line.find('<').map_or(line.len(), |at| at + 1);
    let end = line.rfind('>').unwrap_or(line.len());
    line.get(start..end).unwrap_or_default().to_owned()
}

/// Finds the end of the content.
#[derive(Default)]
struct ContentReader {
    lax: bool,
    line: Vec<u8>,
    content: Vec<u8>,
}

impl ContentReader {
    /// Takes the next piece; how much of it belonged to the content, once that has ended.
    fn take(&mut self, piece: &[u8]) -> Option<usize> {
        for (index, &octet) in piece.iter().enumerate() {
            self.line.push(octet);
            let ended = if self.lax { b"\r\n".contains(&octet) } else { self.line.ends_with(b"\r\n") };
            if !ended {
                continue;
            }
            let text = &self.line[..self.line.len() - if self.lax { 1 } else { 2 }];
            if text == b"." {
                // A lax reader has taken the CR for the end; the LF belongs to it.
                let lf = self.lax && octet == b'\r' && piece.get(index + 1) == Some(&b'\n');
                return Some(index + 1 + usize::from(lf));
            }
            self.content.extend_from_slice(self.line.strip_prefix(b".").unwrap_or(&self.line));
            self.line.clear();
        }
        None
    }
}
