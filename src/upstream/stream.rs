//! Octets to and from an upstream, whatever carries them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Octets both ways: TCP, TLS, or a pipe in a test.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// How much of a stream's beginning is kept, in octets.
const KEPT: usize = 16;

/// A stream that remembers its first octets, to tell what came in place of a handshake.
pub(crate) struct FirstOctets {
    stream: Box<dyn Stream>,
    first: Vec<u8>,
}

impl FirstOctets {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, first: Vec::with_capacity(KEPT) }
    }

    /// At most sixteen.
    pub(super) fn first(&self) -> &[u8] {
        &self.first
    }
}

impl AsyncRead for FirstOctets {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let missing = KEPT - self.first.len();
        self.first.extend(buf.filled()[before..].iter().take(missing));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for FirstOctets {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, octets)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// How long a dial may take, as a deadline.
pub(crate) fn deadline_in(duration: Duration) -> Instant {
    // A time-out that overflows the clock is as good as a year.
    let now = Instant::now();
    now.checked_add(duration).unwrap_or(now + Duration::from_hours(365 * 24))
}
