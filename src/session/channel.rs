//! The connection with its two buffers: replies are gathered while more input is waiting (RFC 2920 3.2).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::rustls::ServerConfig;

use super::wire::Wire;
use crate::smtp::Reply;

/// More replies than this are not gathered, in octets.
const MAX_OUTPUT: usize = 16 * 1024;
/// More memory than this is not kept between reads, in octets.
const IDLE_INPUT: usize = 8 * 1024;
/// How long, and for how many octets, we listen to a client that we have hung up on, so that it can read why.
const LINGER: (Duration, usize) = (Duration::from_secs(2), 256 * 1024);

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
    /// The client does not read our replies.
    #[error("the client does not read")]
    Stuck,
    /// TLS could not be agreed on.
    #[error("the TLS handshake failed: {0}")]
    Tls(io::Error),
    /// The relay is stopping.
    #[error("the relay is stopping")]
    Stopping,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Channel<S> {
    stream: Wire<S>,
    input: Vec<u8>,
    /// How much of the input's beginning has been consumed.
    used: usize,
    output: Vec<u8>,
    write_timeout: Duration,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Channel<S> {
    pub(super) fn new(stream: S, write_timeout: Duration) -> Self {
        Self { stream: Wire::Open(stream), input: Vec::new(), used: 0, output: Vec::new(), write_timeout }
    }

    /// Sends what is queued, forgets all that the client has sent in clear text, and begins TLS (RFC 3207 4.2).
    ///
    /// Once it has failed, or was cancelled, there is no connection any more.
    pub(super) async fn secure(&mut self, config: Arc<ServerConfig>) -> Result<(), Gone> {
        self.flush().await?;
        // Whoever stands between us could have put words there that would count as said inside TLS.
        self.input = Vec::new();
        self.used = 0;
        let stream = std::mem::replace(&mut self.stream, Wire::Closed);
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
        Ok(())
    }

    /// Waits for more input, up to `room` octets. Cancel-safe. Call [`flush`](Self::flush) before.
    pub(super) async fn read(&mut self, room: usize) -> Result<(), Gone> {
        if self.used > 0 {
            self.input.drain(..self.used);
            self.used = 0;
        }
        if room <= IDLE_INPUT {
            self.input.shrink_to(IDLE_INPUT);
        }
        self.input.reserve(room);
        let octets = (&mut self.stream).take(room as u64).read_buf(&mut self.input).await?;
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
            match timeout_at(end, self.read(IDLE_INPUT)).await {
                Ok(Ok(())) => heard += self.input.len(),
                _ => return,
            }
        }
    }
}
