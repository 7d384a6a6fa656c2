//! A client that says one line after the other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailsluice::upstream::{Observer, Stream, Target};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::support::office365::Office365;

pub(crate) struct Client {
    stream: Box<dyn Stream>,
    input: Vec<u8>,
}

impl Client {
    /// Connected, and greeted.
    pub(crate) async fn connect(service: &Office365) -> Self {
        let target = Target { host: "smtp.office365.com".into(), port: 587, source_address: None };
        let stream = service.dial().dial(&target, Instant::now(), &Observer::default()).await.unwrap().stream;
        let mut client = Self { stream, input: Vec::new() };
        assert!(client.reply().await.starts_with("220 "));
        client
    }

    /// Logged in by password.
    pub(crate) async fn login(service: &Office365, user: &str) -> Self {
        let mut client = Self::connect(service).await;
        let login = STANDARD.encode(format!("\0{user}\0secret"));
        assert_eq!(&client.say(&format!("AUTH PLAIN {login}")).await[..3], "235");
        client
    }

    /// Says a line, or several; the last line of the reply to it.
    pub(crate) async fn say(&mut self, line: &str) -> String {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        self.reply().await
    }

    /// Sends a message to so many recipients; the first refusal, or the reply to the final dot.
    pub(crate) async fn send(&mut self, from: &str, recipients: usize) -> String {
        let mut reply = self.say(&format!("MAIL FROM:<{from}>")).await;
        for n in 0..recipients {
            if reply.starts_with("250") {
                reply = self.say(&format!("RCPT TO:<r{n}@there.example>")).await;
            }
        }
        if !reply.starts_with("250") {
            return reply;
        }
        let reply = self.say("DATA").await;
        if !reply.starts_with("354") {
            return reply;
        }
        self.say(&format!("From: <{from}>\r\nSubject: x\r\n\r\n..\r\n.")).await
    }

    async fn reply(&mut self) -> String {
        loop {
            if let Some(end) = self.input.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8(self.input.drain(..end + 2).collect()).unwrap();
                if line.as_bytes().get(3) != Some(&b'-') {
                    return line.trim_end().to_owned();
                }
                continue;
            }
            let mut piece = [0; 4096];
            let read = self.stream.read(&mut piece).await.unwrap();
            assert!(read > 0, "the service hung up");
            self.input.extend_from_slice(&piece[..read]);
        }
    }

    /// Whether the service has hung up.
    pub(crate) async fn is_over(&mut self) -> bool {
        self.stream.read(&mut [0; 16]).await.unwrap_or(0) == 0
    }
}
