//! A client that says what it is told to, octet for octet, and writes down the replies.

use std::time::Duration;

use mailsluice::upstream::Stream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The other end of a session.
pub(crate) struct Client<S> {
    stream: S,
    heard: String,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, heard: String::new() }
    }

    /// The connection. Nothing may have been said that was not heard.
    pub(crate) fn into_stream(self) -> S {
        assert_eq!(self.heard, "", "more was said");
        self.stream
    }

    /// The same client, of any kind of stream.
    pub(crate) fn boxed(self) -> Client<Box<dyn Stream>>
    where
        S: Stream + 'static,
    {
        Client { stream: Box::new(self.stream), heard: self.heard }
    }

    /// Sends the octets in one segment. A server that has hung up is no fault of this client's.
    pub(crate) async fn send(&mut self, octets: &[u8]) {
        let _ = self.stream.write_all(octets).await;
        let _ = self.stream.flush().await;
    }

    /// Sends the pieces one by one, each after the session has taken the one before.
    pub(crate) async fn send_pieces<'a>(&mut self, pieces: impl IntoIterator<Item = &'a [u8]>) {
        for piece in pieces {
            self.send(piece).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Sends the octets and waits for a whole reply with this code; gives it back.
    pub(crate) async fn ask(&mut self, octets: &[u8], code: u16) -> String {
        self.send(octets).await;
        loop {
            let reply = self.reply().await;
            if reply.starts_with(&format!("{code} ")) {
                return reply;
            }
            assert!(!reply.is_empty(), "hung up instead of {code}, after {}", octets.escape_ascii());
        }
    }

    /// The last line of the next reply; empty when the server has hung up.
    pub(crate) async fn reply(&mut self) -> String {
        loop {
            while let Some((line, rest)) = self.heard.split_once("\r\n") {
                let (line, rest) = (line.to_owned(), rest.to_owned());
                self.heard = rest;
                if line.as_bytes().get(3) != Some(&b'-') {
                    return line;
                }
            }
            let mut piece = [0; 4096];
            match self.stream.read(&mut piece).await {
                Ok(0) | Err(_) => return String::new(),
                Ok(octets) => self.heard.push_str(std::str::from_utf8(&piece[..octets]).unwrap()),
            }
        }
    }

    /// Sends no more, and gives back the codes of all replies until the server hangs up.
    pub(crate) async fn codes(mut self) -> Vec<u16> {
        let _ = self.stream.shutdown().await;
        let mut codes = Vec::new();
        loop {
            let reply = self.reply().await;
            if reply.is_empty() {
                return codes;
            }
            codes.push(reply[..3].parse().unwrap());
        }
    }
}
