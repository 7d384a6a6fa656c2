//! One connection to the upstream.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::provider::{AtDot, Provider, Report, Served};
use super::script::{DropAt, Fate, GREYLISTING, PUT_OFF, REFUSALS};
use super::support::lines::take_line;

/// Transactions in a session.
const TRANSACTIONS: u32 = 10;

/// The dialogue.
pub(crate) struct Session {
    provider: Provider,
    served: Served,
    stream: DuplexStream,
    inbox: Vec<u8>,
    breaks: watch::Receiver<u32>,
    transactions: u32,
    /// Recipients that were accepted, while a transaction is open.
    accepted: Option<Vec<String>>,
}

impl Session {
    pub(crate) fn new(provider: Provider, served: Served, stream: DuplexStream) -> Self {
        let breaks = provider.breaks();
        Self { provider, served, stream, inbox: Vec::new(), breaks, transactions: 0, accepted: None }
    }

    /// Serves until one of both hangs up.
    pub(crate) async fn run(mut self) {
        let _ = self.serve().await;
    }

    async fn serve(&mut self) -> io::Result<()> {
        if self.provider.is_closed() {
            return self.say("421 4.3.2 closed for a while").await;
        }
        if self.served.is_one_too_many {
            return self.say("421 4.7.0 too many connections from your host").await;
        }
        self.say("220 provider.example ESMTP").await?;
        loop {
            let line = self.line().await?;
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" if self.served.pipelining => {
                    self.say("250-provider.example\r\n250-PIPELINING\r\n250 ENHANCEDSTATUSCODES").await?;
                }
                "EHLO" => self.say("250-provider.example\r\n250 ENHANCEDSTATUSCODES").await?,
                "MAIL" if self.provider.is_closed() => {
                    return self.say("421 4.3.2 closed for a while").await;
                }
                "MAIL" => self.mail().await?,
                "RCPT" => self.rcpt(&line).await?,
                "DATA" => self.data().await?,
                "RSET" => {
                    self.accepted = None;
                    self.say("250 2.0.0 ok").await?;
                }
                "QUIT" => return self.say("221 2.0.0 bye").await,
                _ => self.say("502 5.5.2 what").await?,
            }
        }
    }

    async fn mail(&mut self) -> io::Result<()> {
        assert!(self.accepted.is_none(), "MAIL inside a transaction");
        if self.transactions == TRANSACTIONS {
            self.provider.book().full += 1;
            return self.say("452 4.5.3 too many messages in this session").await;
        }
        self.transactions += 1;
        self.accepted = Some(Vec::new());
        self.provider.book().mails.push(Instant::now());
        self.say("250 2.1.0 ok").await
    }

    async fn rcpt(&mut self, line: &str) -> io::Result<()> {
        let Some(accepted) = &mut self.accepted else { return self.say("503 5.5.1 MAIL first").await };
        let address = line[line.find('<').unwrap() + 1..line.rfind('>').unwrap()].to_owned();
        let now = Instant::now();
        let first = *self.provider.book().tried.entry(address.clone()).or_insert(now);
        let reply = match self.provider.script.of(&address).map(|(_, fate)| fate) {
            Some(Fate::Refused(text)) => REFUSALS[text].0,
            Some(Fate::PutOff(text)) if now < first + GREYLISTING => PUT_OFF[text],
            _ => {
                accepted.push(address);
                "250 2.1.5 ok"
            }
        };
        self.say(reply).await
    }

    async fn data(&mut self) -> io::Result<()> {
        let accepted = match &self.accepted {
            None => return self.say("503 5.5.1 MAIL first").await,
            Some(accepted) if accepted.is_empty() => return self.say("554 5.5.1 no valid recipients").await,
            Some(accepted) => accepted.clone(),
        };
        let number = self.provider.script.of(&accepted[0]).map(|(number, _)| number);
        let script = self.provider.script.clone();
        let message = number.map(|number| &script.messages[number]);
        let dropped = message.and_then(|message| message.dropped);
        if dropped == Some(DropAt::Data) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        self.say("354 go ahead").await?;
        let mut content = String::new();
        loop {
            let line = self.line().await?;
            if line == "." {
                break;
            }
            content.push_str(line.strip_prefix('.').unwrap_or(&line));
            content.push('\n');
        }
        let is_broken = matches!(self.provider.dot(), AtDot::Restart)
            || self.think(message.map_or(Duration::from_millis(50), |message| message.think)).await.is_err();
        let is_unsaid = is_broken || dropped.is_some();
        // Of reports none that is broken is kept, so that each comes once.
        if is_broken && message.is_none_or(|message| !message.survives) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        self.keep(&accepted, number, is_unsaid, content);
        if is_unsaid {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        self.accepted = None;
        self.say("250 2.0.0 queued").await
    }

    /// Takes the message.
    fn keep(&self, accepted: &[String], number: Option<usize>, is_unsaid: bool, content: String) {
        let mut book = self.provider.book();
        for to in accepted {
            *book.kept.entry(to.clone()).or_default() += 1;
            if book.missing.remove(to) {
                book.last_good = Some(Instant::now());
            }
        }
        match number {
            Some(number) if is_unsaid => {
                book.unsaid.insert(number);
            }
            Some(_) => {}
            None => book.reports.push(Report { to: accepted[0].clone(), content }),
        }
    }

    /// Takes its time; an error when all connections break.
    async fn think(&mut self, time: Duration) -> io::Result<()> {
        tokio::select! {
            () = sleep(time) => Ok(()),
            _ = self.breaks.changed() => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }

    async fn say(&mut self, reply: &str) -> io::Result<()> {
        self.stream.write_all(format!("{reply}\r\n").as_bytes()).await
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(line) = take_line(&mut self.inbox) {
                return Ok(line);
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        let mut piece = [0; 4096];
        let read = tokio::select! {
            read = self.stream.read(&mut piece) => read?,
            _ = self.breaks.changed() => 0,
        };
        if read == 0 {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        self.inbox.extend_from_slice(&piece[..read]);
        Ok(())
    }
}
