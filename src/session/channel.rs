//! The connection with its two buffers: replies are gathered while more input is waiting (RFC 2920 3.2).

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::rustls::ServerConfig;

use super::wire::ClientStream;
use crate::smtp::Reply;

/// More replies than this are not gathered, in octets.
const MAX_OUTPUT: usize = 16 * 1024;
/// More memory than this is not kept for commands that have been read, in octets.
const IDLE_INPUT: usize = 4 * 1024;
/// More memory than this is not kept for replies that have been sent, in octets.
const IDLE_OUTPUT: usize = 2 * 1024;
/// How long, and for how many octets, we listen to a client that we have hung up on, so that it can read why; and how much
/// is read at once.
const LINGER: (Duration, usize, usize) = (Duration::from_secs(2), 256 * 1024, 8 * 1024);

/// Why a session can't go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum Gone {
    /// The client hung up.
    #[error("the client hung up")]
    Closed,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// The client was too slow.
    #[error("the client was too slow")]
    Timeout,
    /// The client has given an envelope, or a part of it, and no content.
    #[error("the client did not begin the content in time")]
    NoContent,
    /// The client does not read our replies.
    #[error("the client does not read")]
    Stuck,
    /// TLS could not be agreed on.
    #[error("the TLS handshake failed: {0}")]
    Tls(io::Error),
    /// The relay is stopping, or the listener is closed.
    #[error("the listener is closed")]
    Stopping,
}

impl Gone {
    /// What the client is told, where one is left that reads.
    pub(super) fn reply(&self, hostname: &str) -> Option<Reply> {
        let (status, text) = match self {
            Self::Timeout => ((4, 4, 2), "timeout, closing"),
            Self::NoContent => ((4, 4, 2), "timeout: the content did not begin in time after MAIL, closing"),
            Self::Stopping => ((4, 3, 2), "is closing this listener"),
            Self::Closed | Self::Io(_) | Self::Stuck | Self::Tls(_) => return None,
        };
        Some(Reply::new(421, status, format!("{hostname} {text}")))
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Channel<S> {
    stream: ClientStream<S>,
    input: Vec<u8>,
    /// How much of the input's beginning has been consumed.
    used: usize,
    output: Vec<u8>,
    write_timeout: Duration,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Channel<S> {
    pub(super) fn new(stream: S, write_timeout: Duration) -> Self {
        Self {
            stream: ClientStream::Open(stream),
            input: Vec::new(),
            used: 0,
            output: Vec::new(),
            write_timeout,
        }
    }

    /// Another time for the client to read a reply.
    pub(super) fn set_write_timeout(&mut self, write_timeout: Duration) {
        self.write_timeout = write_timeout;
    }

    /// Sends what is queued, forgets all that the client has sent in clear text, and begins TLS (RFC 3207 4.2).
    ///
    /// Once it has failed, or was cancelled, there is no connection any more.
    pub(super) async fn secure(&mut self, config: Arc<ServerConfig>) -> Result<(), Gone> {
        self.flush().await?;
        // Whoever stands between us could have put words there that would count as said inside TLS.
        self.input = Vec::new();
        self.used = 0;
        let stream = std::mem::replace(&mut self.stream, ClientStream::Closed);
        self.stream = stream.secure(config).await.map_err(Gone::Tls)?;
        Ok(())
    }

    /// What the client has sent and nobody has consumed.
    pub(super) fn waiting(&self) -> &[u8] {
        &self.input[self.used..]
    }

    /// Takes octets off the beginning of what is waiting.
    pub(super) fn consume(&mut self, octets: usize) {
        self.used += octets;
        if self.used >= self.input.len() {
            self.used = 0;
            self.input.clear();
            // The session may wait for something else than the client now.
            self.input.shrink_to(IDLE_INPUT);
        }
    }

    /// Queues a reply; [`flush`](Self::flush) sends it.
    pub(super) fn say(&mut self, reply: &Reply) {
        self.output.extend_from_slice(&reply.to_wire());
    }

    /// Sends the replies when there are too many to keep.
    pub(super) async fn flush_if_full(&mut self) -> Result<(), Gone> {
        if self.output.len() > MAX_OUTPUT { self.flush().await } else { Ok(()) }
    }

    /// Sends the replies.
    pub(super) async fn flush(&mut self) -> Result<(), Gone> {
        if self.output.is_empty() {
            return Ok(());
        }
        let stream = &mut self.stream;
        let output = &self.output;
        let write = async {
            stream.write_all(output).await?;
            stream.flush().await
        };
        timeout(self.write_timeout, write).await.map_err(|_| Gone::Stuck)??;
        self.output.clear();
        self.output.shrink_to(IDLE_OUTPUT);
        Ok(())
    }

    /// Waits for more input, up to `room` octets. Cancel-safe. Call [`flush`](Self::flush) before.
    ///
    /// While it waits it holds no memory but for what nobody has consumed: of a thousand sessions nearly all wait.
    pub(super) async fn read(&mut self, room: usize) -> Result<(), Gone> {
        if self.used > 0 {
            self.input.drain(..self.used);
            self.used = 0;
        }
        let Self { stream, input, .. } = self;
        let read = poll_fn(|context| {
            input.reserve(room);
            let mut limited = (&mut *stream).take(room as u64);
            let read = pin!(limited.read_buf(input)).poll(context);
            if read.is_pending() {
                input.shrink_to_fit();
            }
            read
        });
        let octets = read.await?;
        if octets == 0 { Err(Gone::Closed) } else { Ok(()) }
    }

    /// Whether the client has sent more already.
    pub(super) async fn has_more(&mut self) -> bool {
        if self.waiting().is_empty() {
            tokio::select! {
                biased;
                result = self.read(1024) => return result.is_ok(),
                () = std::future::ready(()) => {}
            }
        }
        !self.waiting().is_empty()
    }

    /// Sends what is queued and closes our side. With `linger` it listens on for a while: closing with unread input
    /// would make the system reset the connection, and the client would not read our last reply.
    pub(super) async fn close(mut self, linger: bool) {
        if self.flush().await.is_err() || timeout(self.write_timeout, self.stream.shutdown()).await.is_err() {
            return;
        }
        let end = Instant::now() + LINGER.0;
        let mut heard = 0;
        while linger && heard < LINGER.1 {
            self.input.clear();
            self.used = 0;
            match timeout_at(end, self.read(LINGER.2)).await {
                Ok(Ok(())) => heard += self.input.len(),
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(size: usize) -> (tokio::io::DuplexStream, Channel<tokio::io::DuplexStream>) {
        let (client, server) = tokio::io::duplex(size);
        (client, Channel::new(server, Duration::from_secs(1)))
    }

    /// Waits for input that does not come.
    async fn wait(channel: &mut Channel<tokio::io::DuplexStream>) {
        let read = timeout(Duration::from_millis(1), channel.read(32 * 1024)).await;
        assert!(read.is_err(), "there was more");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_holds_what_was_not_consumed_and_no_more() {
        let (mut client, mut channel) = channel(64 * 1024);
        wait(&mut channel).await;
        assert_eq!(channel.input.capacity(), 0);
        client.write_all(&vec![b'x'; 30_000]).await.unwrap();
        channel.read(32 * 1024).await.unwrap();
        assert_eq!(channel.waiting().len(), 30_000);
        channel.consume(29_900);
        wait(&mut channel).await;
        assert_eq!(channel.waiting(), [b'x'; 100]);
        assert!(channel.input.capacity() < 1000, "{}", channel.input.capacity());
        client.write_all(b"yz").await.unwrap();
        channel.read(1).await.unwrap();
        assert_eq!(channel.waiting()[99..], *b"xy", "no more is read than was asked for");
        channel.consume(101);
        channel.read(32 * 1024).await.unwrap();
        channel.consume(1);
        wait(&mut channel).await;
        assert_eq!(channel.input.capacity(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn replies_are_kept_until_there_are_too_many() {
        let (mut client, mut channel) = channel(64 * 1024);
        let reply = Reply::bare(250, vec!["x".repeat(100)]);
        while channel.output.len() <= MAX_OUTPUT {
            channel.say(&reply);
            let before = channel.output.len();
            channel.flush_if_full().await.unwrap();
            assert_eq!(channel.output.is_empty(), before > MAX_OUTPUT, "{before}");
            if channel.output.is_empty() {
                break;
            }
        }
        assert!(channel.output.capacity() <= IDLE_OUTPUT);
        let mut heard = vec![0; MAX_OUTPUT];
        client.read_exact(&mut heard).await.unwrap();
        assert!(heard.starts_with(b"250 xxx"));
    }

    /// Nobody reads, and we do not wait for ever.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_left() {
        let (_client, mut channel) = channel(100);
        channel.say(&Reply::bare(250, vec!["x".repeat(100)]));
        assert!(matches!(channel.flush().await, Err(Gone::Stuck)));
    }
}
