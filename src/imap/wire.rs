//! Commands out, answers in, over one stream; every wait has a time-out, and what is kept is bounded.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout_at;

use super::answer::{Ending, EndingStatus, ImapAnswer, Parsed, parse};
use super::error::ImapError;
use crate::upstream::{Stream, deadline_in};

/// The longest answer, in octets.
const LONGEST_ANSWER: usize = 64 << 10;
/// How much is read at once, and how much of a content is written at once, in octets.
const BLOCK: usize = 16 << 10;

/// A connection to an IMAP server.
pub(super) struct ImapWire {
    stream: Box<dyn Stream>,
    come: Vec<u8>,
    commands: u32,
    /// What it can do, as it has said last.
    capabilities: Option<Vec<String>>,
}

/// What came of a command, or of a part of it.
#[derive(Debug)]
pub(super) enum ImapProgress {
    /// The rest of it may come.
    GoOn(String),
    /// It has ended: so many messages were found, if it was a search.
    Done(Ending, usize),
}

impl ImapWire {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, come: Vec::new(), commands: 0, capabilities: None }
    }

    /// The stream itself, for TLS; an error when more has come than was asked for.
    pub(super) fn into_stream(self) -> Result<Box<dyn Stream>, ImapError> {
        if self.come.is_empty() { Ok(self.stream) } else { Err(ImapError::Injected) }
    }

    /// What it can do, if it has said so since it was asked last.
    pub(super) fn take_capabilities(&mut self) -> Option<Vec<String>> {
        self.capabilities.take()
    }

    /// The first words; whether somebody is logged in already.
    pub(super) async fn greeting(&mut self, limit: Duration) -> Result<bool, ImapError> {
        match self.answer("the connection", limit).await? {
            ImapAnswer::Told(Ending { status: EndingStatus::Ok, .. }) => Ok(false),
            ImapAnswer::Told(Ending { status: EndingStatus::PreAuth, .. }) => Ok(true),
            _ => Err(ImapError::Garbage),
        }
    }

    /// Begins a command.
    pub(super) async fn command(
        &mut self,
        (step, line): (&'static str, &str),
        limit: Duration,
    ) -> Result<ImapProgress, ImapError> {
        self.commands += 1;
        let line = format!("{} {line}\r\n", self.tag());
        self.write(step, line.as_bytes(), limit).await?;
        self.progress(step, limit).await
    }

    /// The next part of a command.
    pub(super) async fn go_on(
        &mut self,
        (step, line): (&'static str, &[u8]),
        limit: Duration,
    ) -> Result<ImapProgress, ImapError> {
        self.write(step, &[line, b"\r\n"].concat(), limit).await?;
        self.progress(step, limit).await
    }

    /// Sends a content, in blocks that have their time each, and the end of its command.
    pub(super) async fn content(
        &mut self,
        (step, content): (&'static str, &[u8]),
        (block, limit): (Duration, Duration),
    ) -> Result<ImapProgress, ImapError> {
        for octets in content.chunks(BLOCK) {
            self.write(step, octets, block).await?;
        }
        self.write(step, b"\r\n", block).await?;
        self.progress(step, limit).await
    }

    /// A command that is done when it is sent.
    pub(super) async fn done(
        &mut self,
        step: &'static str,
        line: &str,
        limit: Duration,
    ) -> Result<usize, ImapError> {
        match self.command((step, line), limit).await? {
            ImapProgress::Done(Ending { status: EndingStatus::Ok, .. }, found) => Ok(found),
            ImapProgress::Done(Ending { text, .. }, _) => Err(ImapError::Refused { step, text }),
            ImapProgress::GoOn(_) => Err(ImapError::Garbage),
        }
    }

    fn tag(&self) -> String {
        format!("m{}", self.commands)
    }

    async fn progress(&mut self, step: &'static str, limit: Duration) -> Result<ImapProgress, ImapError> {
        let mut found = 0;
        let deadline = deadline_in(limit);
        let whole = async {
            loop {
                match self.read().await? {
                    ImapAnswer::GoOn(text) => return Ok(ImapProgress::GoOn(text)),
                    ImapAnswer::Done(tag, ending) if tag == self.tag() => {
                        return Ok(ImapProgress::Done(ending, found));
                    }
                    ImapAnswer::Done(..) => return Err(ImapError::Garbage),
                    ImapAnswer::Found(more) => found += more,
                    ImapAnswer::Told(_) | ImapAnswer::Capabilities(_) | ImapAnswer::Other => {}
                }
            }
        };
        timeout_at(deadline, whole).await.unwrap_or(Err(ImapError::TimedOut { step, limit }))
    }

    async fn answer(&mut self, step: &'static str, limit: Duration) -> Result<ImapAnswer, ImapError> {
        let read = timeout_at(deadline_in(limit), self.read()).await;
        read.unwrap_or(Err(ImapError::TimedOut { step, limit }))
    }

    /// The next answer; what says by the way what the server can do is noted.
    async fn read(&mut self) -> Result<ImapAnswer, ImapError> {
        loop {
            match parse(&self.come) {
                Parsed::Whole(answer, taken) => {
                    self.come.drain(..taken);
                    return self.noted(answer);
                }
                Parsed::Garbage => return Err(ImapError::Garbage),
                Parsed::Part if self.come.len() >= LONGEST_ANSWER => return Err(ImapError::TooLong),
                Parsed::Part => {}
            }
            self.come.reserve(BLOCK);
            let room = LONGEST_ANSWER - self.come.len();
            let mut stream = (&mut self.stream).take(room as u64);
            if stream.read_buf(&mut self.come).await? == 0 {
                return Err(ImapError::Closed(String::new()));
            }
        }
    }

    fn noted(&mut self, answer: ImapAnswer) -> Result<ImapAnswer, ImapError> {
        match &answer {
            ImapAnswer::Told(Ending { status: EndingStatus::Bye, text, .. }) => {
                return Err(ImapError::Closed(text.clone()));
            }
            ImapAnswer::Capabilities(all) => self.capabilities = Some(all.clone()),
            ImapAnswer::Told(ending) | ImapAnswer::Done(_, ending) => {
                self.capabilities = ending.capabilities.clone().or(self.capabilities.take());
            }
            ImapAnswer::GoOn(_) | ImapAnswer::Found(_) | ImapAnswer::Other => {}
        }
        Ok(answer)
    }

    async fn write(&mut self, step: &'static str, octets: &[u8], limit: Duration) -> Result<(), ImapError> {
        let written = async {
            self.stream.write_all(octets).await?;
            self.stream.flush().await
        };
        let written = timeout_at(deadline_in(limit), written).await;
        Ok(written.map_err(|_| ImapError::TimedOut { step, limit })??)
    }
}
