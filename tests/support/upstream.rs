//! A scriptable upstream: an SMTP server that does at each step what a test wants, and records what it saw.
//!
//! It speaks over anything: pipes, so that a test can stop the clock ([`UpstreamDial`]), or TCP on loopback
//! ([`Upstream::listen`]). The script can be changed while it runs; it is read again at each step.

mod auth;
mod authority;
mod script;
mod session;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use mailsluice::upstream::{Dial, DialError, Dialled, Observer, Stream, Target};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use authority::{Authority, SelfSigned};
pub use script::{Act, Script, Step, Whose};

/// One message whose content arrived in full.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Without brackets.
    pub reverse_path: String,
    /// The parameters of MAIL.
    pub parameters: Vec<String>,
    /// The recipients that were accepted, without brackets.
    pub recipients: Vec<String>,
    /// The content, with the dot-stuffing undone.
    pub content: Vec<u8>,
    /// When the final dot came.
    pub at: Instant,
    /// Who had logged in.
    pub user: Option<String>,
    /// Whether the line was encrypted.
    pub tls: bool,
    /// Whether the upstream took responsibility (even when it never said so).
    pub taken: bool,
}

#[derive(Default)]
struct Record {
    messages: Vec<Seen>,
    commands: Vec<String>,
    connections: usize,
    open: usize,
    most_open: usize,
    turned_away: usize,
    tokens: Vec<String>,
}

/// The upstream. Clones are the same one.
#[derive(Clone)]
pub struct Upstream {
    script: Arc<Mutex<Script>>,
    record: Arc<Mutex<Record>>,
}

impl Upstream {
    pub fn new(script: Script) -> Self {
        Self { script: Arc::new(Mutex::new(script)), record: Arc::default() }
    }

    /// From now on it does this.
    pub fn set(&self, script: Script) {
        *self.script.lock().unwrap() = script;
    }

    /// The messages whose content arrived in full, in order.
    pub fn messages(&self) -> Vec<Seen> {
        self.record().messages.clone()
    }

    /// Every command line of every connection, in order.
    pub fn commands(&self) -> Vec<String> {
        self.record().commands.clone()
    }

    /// The command lines that begin with a word.
    pub fn commands_of(&self, verb: &str) -> Vec<String> {
        self.commands().into_iter().filter(|line| line.starts_with(verb)).collect()
    }

    /// Every token that was offered, in order.
    pub fn tokens(&self) -> Vec<String> {
        self.record().tokens.clone()
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.record().connections
    }

    /// How many connections were open at the same time at most.
    pub fn most_connections(&self) -> usize {
        self.record().most_open
    }

    /// How many connections were turned away because there were as many as there may be.
    pub fn turned_away(&self) -> usize {
        self.record().turned_away
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> usize {
        self.record().open
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap()
    }

    fn act(&self, step: Step) -> Act {
        self.script.lock().unwrap().act(step)
    }

    fn script(&self) -> Script {
        self.script.lock().unwrap().clone()
    }

    /// Serves one connection until it ends.
    pub async fn serve(&self, stream: impl Stream + 'static) {
        self.enter().serve(stream).await;
    }

    /// One connection more is open.
    fn enter(&self) -> Open {
        let mut record = self.record();
        record.connections += 1;
        record.open += 1;
        record.most_open = record.most_open.max(record.open);
        Open(self.clone())
    }

    async fn serve_owned(self, stream: impl Stream + 'static) {
        self.serve(stream).await;
    }

    /// A way to it without a network.
    pub fn dial(&self) -> Arc<UpstreamDial> {
        Arc::new(UpstreamDial {
            upstream: self.clone(),
            peer: "192.0.2.25:25".parse().unwrap(),
            buffer: 64 * 1024,
        })
    }

    /// Listens on a free port of loopback until the guard is dropped.
    pub async fn listen(&self) -> Listening {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let upstream = self.clone();
        let task = tokio::spawn(async move {
            let mut sessions = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                if !matches!(upstream.act(Step::Connect), Act::Drop | Act::Refuse) {
                    sessions.spawn(upstream.clone().serve_owned(stream));
                }
            }
        });
        Listening { address, task }
    }
}

struct Open(Upstream);

impl Open {
    async fn serve(self, stream: impl Stream + 'static) {
        // A client that hangs up ends the session; the record tells what it did until then.
        let _ = session::Session::new(self.0.clone(), Box::new(stream)).run().await;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.record().open -= 1;
    }
}

/// A listening upstream; dropping it ends it and all its connections.
pub struct Listening {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Hands out pipes to an upstream.
#[derive(Clone)]
pub struct UpstreamDial {
    pub upstream: Upstream,
    /// The address that it claims to have.
    pub peer: SocketAddr,
    /// What a pipe holds in each direction, in octets.
    pub buffer: usize,
}

#[async_trait]
impl Dial for UpstreamDial {
    async fn dial(&self, target: &Target, _deadline: Instant, _: &Observer) -> Result<Dialled, DialError> {
        let (ours, theirs) = tokio::io::duplex(self.buffer);
        let (most, act) = self.upstream.script().most_open;
        let is_full = act == Act::Refuse && self.upstream.open_connections() >= most;
        self.upstream.record().turned_away += usize::from(is_full);
        match if is_full { act } else { self.upstream.act(Step::Connect) } {
            Act::Refuse => {
                let tried = vec![(self.peer, "Connection refused".to_owned())];
                return Err(DialError::Unreachable { host: target.host.clone(), tried });
            }
            Act::Hang => std::future::pending().await,
            Act::Drop => drop(theirs),
            _ => {
                // Whoever is dialled next finds it open.
                let open = self.upstream.enter();
                tokio::spawn(async move { open.serve(theirs).await });
            }
        }
        Ok(Dialled { stream: Box::new(ours), peer: self.peer })
    }
}
