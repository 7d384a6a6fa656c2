//! One connection to an upstream that misbehaves.

use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::{Instant, sleep};

use super::facts::{Key, Transaction};
use super::provider::{Bad, Provider, Served};
use super::support::lines::take_line;

/// The dialogue.
pub(crate) struct Session {
    provider: Provider,
    served: Served,
    stream: DuplexStream,
    inbox: Vec<u8>,
    upstream: String,
    /// The transaction's place in the book.
    open: Option<usize>,
    /// Whether RSET is needed before the next MAIL (RFC 5321 4.1.1.5).
    is_begun: bool,
    refused_any: bool,
}

impl Session {
    pub(crate) fn new(provider: Provider, stream: DuplexStream) -> Self {
        let served = Served::new(&provider);
        let (inbox, upstream) = (Vec::new(), String::new());
        Self { provider, served, stream, inbox, upstream, open: None, is_begun: false, refused_any: false }
    }

    pub(crate) async fn run(mut self) {
        let host = self.provider.host;
        let ended = self.serve().await;
        let key = self.key();
        if let Some(open) = self.open.take() {
            self.provider.facts.note(|book, now| {
                let transaction = &mut book.transactions[open];
                transaction.ended = Some(now);
                transaction.cut = true;
            });
            self.provider.facts.failed(host, key.as_ref());
        } else if ended.is_err() && key.is_none() {
            self.provider.facts.failed(host, None);
        }
    }

    fn key(&self) -> Option<Key> {
        self.provider.facts.book().lines[self.served.line].key.clone()
    }

    async fn serve(&mut self) -> io::Result<()> {
        match self.provider.mood().greeting {
            Some(bad) => return self.misbehave(bad, None, "421 4.3.2 not now\r\n").await,
            None => self.say("220 provider.example ESMTP\r\n").await?,
        }
        loop {
            let line = self.line().await?;
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => {
                    let name = line.split([' ', '.']).nth(1).unwrap_or_default();
                    name.clone_into(&mut self.upstream);
                    self.say("250-provider.example\r\n250-PIPELINING\r\n250 AUTH PLAIN\r\n").await?;
                }
                "AUTH" => {
                    let text = STANDARD.decode(line.rsplit(' ').next().unwrap()).unwrap();
                    let user = String::from_utf8(text).unwrap().split('\0').nth(1).unwrap().to_owned();
                    let key = (self.upstream.clone(), user);
                    if let Some(bad) = self.provider.mood().login {
                        return self.misbehave(bad, Some(&key), "454 4.7.0 not now\r\n").await;
                    }
                    self.provider.facts.note(|book, _| book.lines[self.served.line].key = Some(key));
                    self.say("235 2.7.0 welcome\r\n").await?;
                }
                "MAIL" => {
                    assert!(!self.is_begun, "MAIL inside a transaction");
                    self.begin();
                    if let Some(bad) = self.provider.mood().mail {
                        return self.misbehave(bad, None, "421 4.3.2 closing\r\n").await;
                    }
                    self.say("250 2.1.0 ok\r\n").await?;
                }
                "RCPT" => self.rcpt(&line).await?,
                "DATA" => self.data().await?,
                "RSET" => {
                    if self.refused_any {
                        self.provider.facts.answered(&self.key().unwrap());
                    }
                    self.is_begun = false;
                    self.end();
                    self.say("250 2.0.0 ok\r\n").await?;
                }
                "QUIT" => return self.say("221 2.0.0 bye\r\n").await,
                _ => self.say("502 5.5.2 what\r\n").await?,
            }
        }
    }

    /// Whatever it does, this connection is over.
    async fn misbehave(&mut self, bad: Bad, key: Option<&Key>, reply: &str) -> io::Result<()> {
        self.provider.facts.failed(self.provider.host, key);
        match bad {
            Bad::No => self.say(reply).await,
            Bad::Drop => Ok(()),
            // Until the other side hangs up.
            Bad::Hang => loop {
                self.fill().await?;
            },
        }
    }

    fn begin(&mut self) {
        (self.is_begun, self.refused_any) = (true, false);
        let line = self.served.line;
        self.open = Some(self.provider.facts.note(|book, now| {
            let line = &mut book.lines[line];
            line.busy = true;
            let decided = if line.transactions == 0 { line.opened } else { now };
            line.transactions += 1;
            let key = line.key.clone().unwrap();
            book.transactions.push(Transaction {
                key,
                decided,
                begun: now,
                ended: None,
                asked: Vec::new(),
                accepted: Vec::new(),
                cut: false,
            });
            book.transactions.len() - 1
        }));
    }

    fn end(&mut self) {
        if let Some(open) = self.open.take() {
            self.provider.facts.note(|book, now| book.transactions[open].ended = Some(now));
        }
        self.served.set_busy(false);
    }

    async fn rcpt(&mut self, line: &str) -> io::Result<()> {
        let Some(open) = self.open else { return self.say("503 5.5.1 MAIL first\r\n").await };
        let address = line[line.find('<').unwrap() + 1..line.rfind('>').unwrap()].to_owned();
        let mood = self.provider.mood();
        let (put_off, refused) = (self.provider.chance(mood.put_off), self.provider.chance(mood.refuse));
        self.refused_any |= put_off || refused;
        self.provider.facts.note(|book, now| {
            book.transactions[open].asked.push(now);
            if put_off {
                book.put_off.insert(address, now);
            } else if refused {
                book.refused.insert(address);
            } else {
                book.transactions[open].accepted.push(address);
            }
        });
        let reply = match (put_off, refused) {
            (true, _) => "450 4.2.0 not now\r\n",
            (_, true) => "550 5.2.0 never\r\n",
            _ => "250 2.1.5 ok\r\n",
        };
        self.say(reply).await
    }

    async fn data(&mut self) -> io::Result<()> {
        let Some(open) = self.open else { return self.say("503 5.5.1 MAIL first\r\n").await };
        let accepted = self.provider.facts.book().transactions[open].accepted.clone();
        if accepted.is_empty() {
            // It can come to nothing more, whenever RSET comes.
            self.provider.facts.answered(&self.key().unwrap());
            self.end();
            return self.say("554 5.5.1 no valid recipients\r\n").await;
        }
        self.say("354 go ahead\r\n").await?;
        while self.line().await? != "." {}
        let mood = self.provider.mood();
        self.think(mood.think).await?;
        if self.provider.chance(mood.dot_broken) {
            self.provider.facts.note(|book, now| {
                for to in accepted {
                    *book.taken.entry(to.clone()).or_default() += 1;
                    book.put_off.insert(to.clone(), now);
                    book.doubtful.insert(to);
                }
            });
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let later = self.provider.chance(mood.dot_put_off);
        self.provider.facts.note(|book, now| {
            for to in accepted {
                if later {
                    book.put_off.insert(to, now);
                } else {
                    *book.taken.entry(to).or_default() += 1;
                }
            }
        });
        self.provider.facts.answered(&self.key().unwrap());
        self.is_begun = false;
        self.end();
        self.say(if later { "451 4.3.0 not now\r\n" } else { "250 2.0.0 queued\r\n" }).await
    }

    /// Takes its time, but notices when the other side hangs up.
    async fn think(&mut self, ms: u64) -> io::Result<()> {
        let until = Instant::now() + Duration::from_millis(ms);
        while Instant::now() < until {
            tokio::select! {
                () = sleep(until - Instant::now()) => {}
                filled = self.fill() => filled?,
            }
        }
        Ok(())
    }

    async fn say(&mut self, reply: &str) -> io::Result<()> {
        self.stream.write_all(reply.as_bytes()).await
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
        match self.stream.read(&mut piece).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                self.inbox.extend_from_slice(&piece[..n]);
                Ok(())
            }
        }
    }
}
