//! An upstream that misbehaves as it is told, and writes down what it sees.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use mailsluice::upstream::{Dial, DialError, Dialled, Observer, Target};
use tokio::time::Instant;

use super::dice::Dice;
use super::facts::{Facts, Line};
use super::session::Session;

/// How it is at present.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Mood {
    /// Connections: refused, or never answered.
    pub(crate) connect: Option<Bad>,
    pub(crate) greeting: Option<Bad>,
    pub(crate) login: Option<Bad>,
    pub(crate) mail: Option<Bad>,
    /// Of a hundred recipients so many are put off, and so many refused.
    pub(crate) put_off: u64,
    pub(crate) refuse: u64,
    /// Of a hundred messages so many are put off, or end with a broken connection behind the dot.
    pub(crate) dot_put_off: u64,
    pub(crate) dot_broken: u64,
    /// How long it thinks about each message, in milliseconds.
    pub(crate) think: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bad {
    /// No, for now.
    No,
    /// No answer.
    Hang,
    /// It hangs up.
    Drop,
}

impl Mood {
    pub(crate) fn random(dice: &mut Dice) -> Self {
        let mut mood = Self { think: *dice.pick(&[0, 0, 50, 400, 3_000, 15_000]), ..Self::default() };
        let bad = Some(*dice.pick(&[Bad::No, Bad::No, Bad::Hang, Bad::Drop]));
        match dice.between(0, 11) {
            0 => mood.connect = bad,
            1 => mood.greeting = bad,
            2 => mood.login = bad,
            3 => mood.mail = bad,
            4 => mood.put_off = 30,
            5 => mood.refuse = 20,
            6 => mood.dot_put_off = 40,
            7 => mood.dot_broken = 30,
            _ => {}
        }
        mood
    }
}

/// The upstream at one host.
#[derive(Clone)]
pub(crate) struct Provider {
    pub(crate) host: &'static str,
    pub(crate) mood: Arc<Mutex<Mood>>,
    pub(crate) facts: Facts,
    pub(crate) dice: Arc<Mutex<Dice>>,
}

#[async_trait]
impl Dial for Provider {
    async fn dial(&self, target: &Target, _deadline: Instant, _: &Observer) -> Result<Dialled, DialError> {
        let peer = "192.0.2.25:25".parse().unwrap();
        self.facts.note(|book, now| book.dialled.insert(self.host, now));
        match self.mood().connect {
            Some(Bad::Hang) => {
                let _line = Served::new(self);
                self.facts.failed(self.host, None);
                return std::future::pending().await;
            }
            Some(_) => {
                self.facts.failed(self.host, None);
                let tried = vec![(peer, "Connection refused".to_owned())];
                return Err(DialError::Unreachable { host: target.host.clone(), tried });
            }
            None => {}
        }
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        tokio::spawn(Session::new(self.clone(), theirs).run());
        Ok(Dialled { stream: Box::new(ours), peer })
    }
}

impl Provider {
    pub(crate) fn mood(&self) -> Mood {
        *self.mood.lock().unwrap()
    }

    pub(crate) fn chance(&self, share: u64) -> bool {
        share > 0 && self.dice.lock().unwrap().percent(share)
    }
}

/// A connection in the book, until it is dropped.
pub(crate) struct Served {
    facts: Facts,
    pub(crate) line: usize,
}

impl Served {
    pub(crate) fn new(provider: &Provider) -> Self {
        let line = provider.facts.note(|book, now| {
            book.lines.push(Line {
                host: provider.host,
                key: None,
                opened: now,
                closed: None,
                busy: true,
                transactions: 0,
            });
            book.lines.len() - 1
        });
        Self { facts: provider.facts.clone(), line }
    }

    pub(crate) fn set_busy(&self, busy: bool) {
        self.facts.note(|book, _| book.lines[self.line].busy = busy);
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.facts.note(|book, now| {
            let line = &mut book.lines[self.line];
            line.closed = Some(now);
            if line.key.is_none() {
                // It came to nothing.
                let host = line.host;
                book.hosts.insert(host, now);
            }
        });
    }
}
