//! What carries the octets: a stream in clear text, or TLS over it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

/// How long a client may take for the whole handshake.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// How much a client may send until the handshake is done, in octets: it is kept until a message of it is complete, which a
/// client may announce with 64 KiB.
const LONGEST_HANDSHAKE: usize = 16 * 1024;

/// A connection with a client.
#[derive(Debug)]
pub(super) enum ClientStream<S> {
    /// In clear text.
    Open(S),
    /// Inside TLS.
    Secure(Box<TlsStream<Measured<S>>>),
    /// A handshake has failed, or was given up.
    Closed,
}

impl<S: AsyncRead + AsyncWrite + Unpin> ClientStream<S> {
    /// Does the server's part of the handshake.
    ///
    /// # Errors
    /// When the client does not, or takes too long. TLS inside TLS is refused.
    pub(super) async fn secure(self, config: Arc<ServerConfig>) -> io::Result<Self> {
        let Self::Open(stream) = self else { return Err(io::ErrorKind::NotConnected.into()) };
        let handshake = TlsAcceptor::from(config).accept(Measured { stream, left: Some(LONGEST_HANDSHAKE) });
        let mut stream = timeout(HANDSHAKE, handshake).await.map_err(|_| io::ErrorKind::TimedOut)??;
        stream.get_mut().0.left = None;
        Ok(Self::Secure(Box::new(stream)))
    }
}

/// A stream of which so much may be read.
#[derive(Debug)]
pub(super) struct Measured<S> {
    stream: S,
    /// Without bound when there is none.
    left: Option<usize>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Measured<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, left } = self.get_mut();
        let Some(left) = left else { return Pin::new(stream).poll_read(context, buffer) };
        if *left == 0 {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "it is too long")));
        }
        let mut part = [0; 4096];
        let most = part.len().min(buffer.remaining()).min(*left);
        let mut part = ReadBuf::new(&mut part[..most]);
        ready!(Pin::new(stream).poll_read(context, &mut part))?;
        buffer.put_slice(part.filled());
        *left -= part.filled().len();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Measured<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, octets)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for ClientStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Open(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Secure(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ClientStream<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Open(stream) => Pin::new(stream).poll_write(context, octets),
            Self::Secure(stream) => Pin::new(stream).poll_write(context, octets),
            Self::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Open(stream) => Pin::new(stream).poll_flush(context),
            Self::Secure(stream) => Pin::new(stream).poll_flush(context),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Open(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Secure(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn no_more_than_its_measure_is_read() {
        for (left, want) in [(Some(5000), Err(5000)), (Some(6001), Ok(6000)), (None, Ok(6000))] {
            let (mut client, stream) = tokio::io::duplex(10_000);
            client.write_all(&[b'x'; 6000]).await.unwrap();
            drop(client);
            let mut measured = Measured { stream, left };
            let mut heard = Vec::new();
            let result = measured.read_to_end(&mut heard).await.map_err(|_| heard.len());
            assert_eq!(result, want, "{left:?}");
        }
    }
}
