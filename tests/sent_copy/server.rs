//! An IMAP server over pipes and TLS: it takes what is appended, or does what a test wants instead.

use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use mailsluice::upstream::{Dial, DialError, Dialled, Observer, Target};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::support::simulation::Host;

/// What it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Conduct {
    /// Takes all.
    #[default]
    Well,
    /// Nobody can connect.
    Down,
    /// Says nothing.
    Hang,
    /// Refuses the login.
    NoLogin,
    /// Refuses what is appended.
    Refuse,
    /// Another client makes the folder a moment before it is asked to.
    MadeByAnother,
    /// Lets nobody make a folder.
    NoCreate,
    /// Takes what is appended, and closes without an answer.
    LoseAnswer,
}

#[derive(Default)]
struct Record {
    conduct: Conduct,
    connections: u32,
    offers: u32,
    folder_is_there: bool,
    stored: Vec<Vec<u8>>,
}

/// The server. Clones are the same one.
#[derive(Clone)]
pub(crate) struct ImapServer {
    record: Arc<Mutex<Record>>,
    tls: TlsAcceptor,
}

impl ImapServer {
    pub(crate) fn new(tls: Arc<ServerConfig>) -> Self {
        Self { record: Arc::default(), tls: TlsAcceptor::from(tls) }
    }

    pub(crate) fn set(&self, conduct: Conduct) {
        self.record().conduct = conduct;
    }

    /// What lies in the folder.
    pub(crate) fn stored(&self) -> Vec<Vec<u8>> {
        self.record().stored.clone()
    }

    /// How often somebody has connected, or has tried to.
    pub(crate) fn connections(&self) -> u32 {
        self.record().connections
    }

    /// How often something was offered to the folder in full.
    pub(crate) fn offers(&self) -> u32 {
        self.record().offers
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap()
    }

    async fn serve(self, stream: tokio::io::DuplexStream) -> std::io::Result<()> {
        let stream = BufStream::new(self.tls.accept(stream).await?);
        let mut session = Session { server: self, stream };
        session.say("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n").await?;
        session.run().await
    }
}

struct Session<S> {
    server: ImapServer,
    stream: BufStream<S>,
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Session<S> {
    async fn say(&mut self, text: &str) -> std::io::Result<()> {
        self.stream.write_all(text.as_bytes()).await?;
        self.stream.flush().await
    }

    async fn run(&mut self) -> std::io::Result<()> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let Some((tag, command)) = line.trim_end().split_once(' ') else { return Ok(()) };
            let conduct = self.server.record().conduct;
            match command.split(' ').next().unwrap() {
                _ if conduct == Conduct::Hang => std::future::pending().await,
                "AUTHENTICATE" if conduct == Conduct::NoLogin => {
                    self.say(&format!("{tag} NO [AUTHENTICATIONFAILED] who are you\r\n")).await?;
                }
                "APPEND" => {
                    let (tag, command) = (tag.to_owned(), command.to_owned());
                    if !self.append(&tag, &command, conduct).await? {
                        return Ok(());
                    }
                }
                "EXAMINE" if !self.server.record().folder_is_there => {
                    self.say(&format!("{tag} NO no such folder\r\n")).await?;
                }
                "CREATE" if conduct == Conduct::NoCreate => {
                    self.say(&format!("{tag} NO [NOPERM] not for you\r\n")).await?;
                }
                "CREATE" if conduct == Conduct::MadeByAnother => {
                    self.server.record().folder_is_there = true;
                    self.say(&format!("{tag} NO [ALREADYEXISTS] it is there\r\n")).await?;
                }
                "CREATE" => {
                    self.server.record().folder_is_there = true;
                    self.say(&format!("{tag} OK made\r\n")).await?;
                }
                "UID" => {
                    let found = self.search(command);
                    self.say(&format!("* SEARCH{found}\r\n{tag} OK searched\r\n")).await?;
                }
                _ => self.say(&format!("{tag} OK done\r\n")).await?,
            }
        }
    }

    /// Takes a message, if the folder is there; whether the session goes on.
    async fn append(&mut self, tag: &str, command: &str, conduct: Conduct) -> std::io::Result<bool> {
        if !self.server.record().folder_is_there {
            self.say(&format!("{tag} NO [TRYCREATE] no such folder\r\n")).await?;
            return Ok(true);
        }
        assert!(command.contains("\"Sent\" (\\Seen) \""), "{command}");
        let size: usize = command.rsplit_once('{').unwrap().1.trim_end_matches('}').parse().unwrap();
        self.say("+ go on\r\n").await?;
        let mut content = vec![0; size + 2];
        self.stream.read_exact(&mut content).await?;
        content.truncate(size);
        self.server.record().offers += 1;
        match conduct {
            Conduct::Refuse => self.say(&format!("{tag} NO [OVERQUOTA] full\r\n")).await?,
            Conduct::LoseAnswer => {
                self.server.record().stored.push(content);
                return Ok(false);
            }
            _ => {
                self.server.record().stored.push(content);
                self.say(&format!("{tag} OK [APPENDUID 1 1] taken\r\n")).await?;
            }
        }
        Ok(true)
    }

    fn search(&self, command: &str) -> String {
        let id = command.rsplit(' ').next().unwrap().trim_matches('"').to_owned();
        let field = format!("Message-ID: {id}\r\n");
        let record = self.server.record();
        let has = |content: &&Vec<u8>| String::from_utf8_lossy(content).contains(&field);
        record
            .stored
            .iter()
            .position(|content| has(&content))
            .map_or_else(String::new, |at| format!(" {}", at + 1))
    }
}

impl Host for ImapServer {
    fn way(&self) -> Arc<dyn Dial> {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl Dial for ImapServer {
    async fn dial(&self, target: &Target, _: Instant, _: &Observer) -> Result<Dialled, DialError> {
        self.record().connections += 1;
        let peer = "192.0.2.143:993".parse().unwrap();
        if self.record().conduct == Conduct::Down {
            let tried = vec![(peer, "connection refused".to_owned())];
            return Err(DialError::Unreachable { host: target.host.clone(), tried });
        }
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        tokio::spawn(self.clone().serve(theirs));
        Ok(Dialled { stream: Box::new(ours), peer })
    }
}
