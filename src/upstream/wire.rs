//! Commands out, replies in, over one stream; every wait has a time-out.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout_at;

use super::error::DialogueFault;
use super::observer::Observer;
use super::stream::{Stream, deadline_in};
use super::tls_error::TlsError;
use crate::smtp::{Reply, ReplyError, ReplyParser, shown};

/// How much is read at once, in octets.
const READ_SIZE: usize = 4096;
/// How long a broken connection may still say why.
const CLOSING_REPLY: Duration = Duration::from_secs(1);

/// What came of sending.
#[derive(Debug)]
pub(crate) enum WireEvent {
    /// All of it is on its way.
    Sent,
    /// A reply came, perhaps before all of it was sent.
    Reply(Reply),
}

/// What has come without a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surplus {
    Nothing,
    /// 421: the upstream says that it closes, which it may at any time (RFC 5321 3.8).
    Closing,
    /// A reply too many.
    Reply,
}

/// What one step on the stream got done.
enum WireStep {
    Wrote(usize),
    Flushed,
    Read(usize),
}

/// A stream that speaks in replies. All methods can be cancelled: what has arrived stays in the parser.
pub(crate) struct Wire {
    stream: Box<dyn Stream>,
    parser: ReplyParser,
    buffer: Box<[u8; READ_SIZE]>,
    /// Whether the upstream has said by itself that it closes.
    closing: bool,
    /// Who looks on.
    observer: Observer,
    /// Whether a login is under way, of which nobody is shown what is said.
    concealed: bool,
}

impl Wire {
    pub(crate) fn new(stream: Box<dyn Stream>, observer: Observer) -> Self {
        Self {
            stream,
            parser: ReplyParser::new(),
            buffer: Box::new([0; READ_SIZE]),
            closing: false,
            observer,
            concealed: false,
        }
    }

    /// From now on secrets are said, until a login has ended: nothing of it is shown but the mechanism and the codes.
    pub(crate) fn conceal(&mut self, concealed: bool) {
        self.concealed = concealed;
    }

    /// Who looks on.
    pub(crate) fn observer(&self) -> &Observer {
        &self.observer
    }

    /// Whether something has arrived that belongs to no command of ours.
    pub(crate) fn has_rest(&self) -> bool {
        self.parser.has_rest()
    }

    /// Whether the upstream has said by itself that it closes.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing
    }

    /// The next reply that has come; whoever looks on sees it.
    fn next_reply(&mut self) -> Result<Option<Reply>, ReplyError> {
        let reply = self.parser.next();
        if let Ok(Some(reply)) = &reply {
            self.observer.heard(reply, self.concealed);
        }
        reply
    }

    /// Looks whether more has come than was asked for. Does not wait.
    pub(crate) fn surplus(&mut self) -> Surplus {
        loop {
            match self.next_reply() {
                Ok(Some(reply)) if reply.code == 421 => {
                    self.closing = true;
                    return Surplus::Closing;
                }
                Ok(Some(_)) | Err(_) => return Surplus::Reply,
                Ok(None) => {}
            }
            match self.poll_read(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(WireStep::Read(n))) if n > 0 => self.parser.push(&self.buffer[..n]),
                _ if self.parser.has_rest() => return Surplus::Reply,
                _ => return Surplus::Nothing,
            }
        }
    }

    /// The stream itself, for the TLS handshake.
    pub(crate) fn into_stream(self) -> Box<dyn Stream> {
        self.stream
    }

    /// Waits for one reply; the whole of it must come within `limit`.
    pub(crate) async fn reply(&mut self, limit: Duration) -> Result<Reply, DialogueFault> {
        let whole = async {
            loop {
                if let Some(reply) = self.next_reply()? {
                    return Ok(reply);
                }
                self.step(None).await?;
            }
        };
        let whole =
            timeout_at(deadline_in(limit), whole).await.unwrap_or(Err(DialogueFault::TimedOut(limit)));
        whole.inspect_err(|fault| self.observer.note_fault(fault))
    }

    /// Sends one command line and waits for its reply.
    pub(crate) async fn command(&mut self, line: &str, limit: Duration) -> Result<Reply, DialogueFault> {
        self.show(line);
        let octets = format!("{line}\r\n");
        match self.send(&mut octets.as_bytes(), limit).await? {
            WireEvent::Reply(reply) => Ok(reply),
            WireEvent::Sent => self.reply(limit).await,
        }
    }

    /// Lets whoever looks on see a command.
    pub(crate) fn show(&self, line: &str) {
        if self.concealed {
            self.observer.said(&shown::login_line(line));
        } else {
            self.observer.said(line);
        }
    }

    /// Sends `rest`, until all is sent or a reply comes. `rest` is cut down to what the stream has not taken yet,
    /// whatever the outcome. Nobody is shown what it is: it may be a content.
    pub(crate) async fn send(
        &mut self,
        rest: &mut &[u8],
        limit: Duration,
    ) -> Result<WireEvent, DialogueFault> {
        let all = async {
            loop {
                if let Some(reply) = self.next_reply()? {
                    return Ok(WireEvent::Reply(reply));
                }
                match self.step(Some(rest)).await {
                    Ok(WireStep::Wrote(n)) => *rest = &rest[n..],
                    Ok(WireStep::Flushed) => return Ok(WireEvent::Sent),
                    Ok(WireStep::Read(_)) => {}
                    Err(fault) => return self.closing_reply(fault).await,
                }
            }
        };
        let all = timeout_at(deadline_in(limit), all).await.unwrap_or(Err(DialogueFault::TimedOut(limit)));
        all.inspect_err(|fault| self.observer.note_fault(fault))
    }

    /// Writes some of `octets` (flushes when there are none left, does neither for `None`); reads when the stream
    /// takes nothing at the moment, since an upstream that waits for us to read would block us both.
    async fn step(&mut self, octets: Option<&[u8]>) -> Result<WireStep, DialogueFault> {
        let step = poll_fn(|cx| {
            let sent = match octets {
                None => Poll::Pending,
                Some([]) => Pin::new(&mut self.stream).poll_flush(cx).map_ok(|()| WireStep::Flushed),
                Some(octets) => Pin::new(&mut self.stream).poll_write(cx, octets).map_ok(WireStep::Wrote),
            };
            if sent.is_ready() { sent } else { self.poll_read(cx) }
        });
        match step.await {
            Ok(WireStep::Wrote(0) | WireStep::Read(0)) => Err(self.closed()),
            Ok(WireStep::Read(n)) => {
                self.parser.push(&self.buffer[..n]);
                Ok(WireStep::Read(n))
            }
            Ok(done) => Ok(done),
            Err(error) => match broken(&error) {
                DialogueFault::Closed => Err(self.closed()),
                fault => Err(fault),
            },
        }
    }

    /// The stream has ended: perhaps with half of a reply.
    fn closed(&self) -> DialogueFault {
        if self.parser.has_rest() { DialogueFault::CutOff } else { DialogueFault::Closed }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<WireStep>> {
        let mut buffer = ReadBuf::new(&mut self.buffer[..]);
        let read = Pin::new(&mut self.stream).poll_read(cx, &mut buffer);
        read.map_ok(|()| WireStep::Read(buffer.filled().len()))
    }

    /// A reply may stand in the stream though it takes nothing more: an upstream that gives up often says why.
    async fn closing_reply(&mut self, fault: DialogueFault) -> Result<WireEvent, DialogueFault> {
        match self.reply(CLOSING_REPLY).await {
            Ok(reply) => Ok(WireEvent::Reply(reply)),
            Err(told @ DialogueFault::Tls(_)) => Err(told),
            Err(_) => Err(fault),
        }
    }

    /// Whether the stream is silent and open, as it should be between two commands. Does not wait.
    pub(crate) fn is_quiet(&mut self) -> bool {
        !self.parser.has_rest() && self.poll_read(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// Ends the stream in good order.
    pub(crate) async fn close(mut self, limit: Duration) {
        // Nothing depends on the outcome: the dialogue is over.
        let _ = timeout_at(deadline_in(limit), self.stream.shutdown()).await;
    }
}

fn broken(error: &io::Error) -> DialogueFault {
    if let Some(error) = TlsError::of_line(error) {
        return error.into();
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => DialogueFault::Closed,
        _ => DialogueFault::Broken(error.to_string()),
    }
}
