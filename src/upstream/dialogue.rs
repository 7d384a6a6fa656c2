//! What is said on the connections of an upstream, for people who look on: each line as it goes.
//!
//! Nothing is kept, and while nobody looks nothing is even written down. Who reads too slowly misses lines and is told how
//! many; the mail never waits for a reader.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use tracing::Level;

use crate::smtp::shown;

/// Lines that wait for the slowest reader.
const WAITING: usize = 1024;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// We, as the upstream's client.
    Client,
    /// The upstream.
    Server,
    /// Neither: what happens beside the words.
    Nobody,
}

impl Speaker {
    /// The word for it: `client`, `server`, or `none`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Nobody => "none",
        }
    }
}

/// A line of a dialogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialogueLine {
    /// When it was said.
    pub at: Instant,
    /// On which connection: they are numbered from 1 on, for each upstream.
    pub connection: u64,
    /// By whose login; empty for an upstream without a login.
    pub account: Arc<str>,
    /// Who has said it.
    pub speaker: Speaker,
    /// What was said; secrets and contents are left out.
    pub text: String,
}

/// What is said on all connections of an upstream. It lives by the upstream's name, over reloads. At level `trace` the log
/// has it, too.
#[derive(Debug)]
pub struct DialogueHub {
    upstream: Box<str>,
    connections: AtomicU64,
    /// Whether anybody looks; asked at each line.
    watched: AtomicBool,
    lines: Mutex<Option<broadcast::Sender<DialogueLine>>>,
}

/// Somebody who looks on. Dropped, it does no longer.
#[derive(Debug)]
pub struct DialogueWatch {
    hub: Arc<DialogueHub>,
    lines: Option<broadcast::Receiver<DialogueLine>>,
}

/// What a watcher gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watched {
    /// The next line.
    Line(DialogueLine),
    /// So many lines were missed.
    Missed(u64),
}

impl DialogueHub {
    /// For the upstream of this name.
    #[must_use]
    pub fn new(upstream: &str) -> Self {
        let (connections, watched) = (AtomicU64::default(), AtomicBool::default());
        Self { upstream: upstream.into(), connections, watched, lines: Mutex::default() }
    }

    /// Looks on from now on.
    #[must_use]
    pub fn watch(self: &Arc<Self>) -> DialogueWatch {
        let mut lines = self.lock();
        let lines = lines.get_or_insert_with(|| broadcast::channel(WAITING).0).subscribe();
        self.watched.store(true, Ordering::Release);
        DialogueWatch { hub: self.clone(), lines: Some(lines) }
    }

    /// Whether anybody looks on.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Acquire)
    }

    /// A new connection of an account.
    pub(super) fn connection(self: &Arc<Self>, account: &str) -> ConnectionTap {
        let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        ConnectionTap { hub: self.clone(), number, account: account.into() }
    }

    fn tell(&self, line: DialogueLine) {
        if let Some(lines) = &*self.lock() {
            // Whoever looked has just gone.
            let _ = lines.send(line);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<broadcast::Sender<DialogueLine>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DialogueWatch {
    /// Waits for the next line.
    pub async fn next(&mut self) -> Watched {
        let Some(lines) = &mut self.lines else { return std::future::pending().await };
        match lines.recv().await {
            Ok(line) => Watched::Line(line),
            Err(RecvError::Lagged(missed)) => Watched::Missed(missed),
            // The hub is there as long as this is.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

impl Drop for DialogueWatch {
    fn drop(&mut self) {
        drop(self.lines.take());
        let mut lines = self.hub.lock();
        if lines.as_ref().is_none_or(|lines| lines.receiver_count() == 0) {
            self.hub.watched.store(false, Ordering::Release);
            *lines = None;
        }
    }
}

/// One connection, as its hub hears it. When it is dropped, the connection is over.
#[derive(Debug)]
pub(super) struct ConnectionTap {
    hub: Arc<DialogueHub>,
    number: u64,
    account: Arc<str>,
}

impl ConnectionTap {
    /// Whether anybody looks on, or reads the log at level `trace`.
    pub(super) fn is_watched(&self) -> bool {
        self.hub.is_watched() || tracing::event_enabled!(Level::TRACE)
    }

    /// Passes a line on.
    pub(super) fn tell(&self, speaker: Speaker, text: &str) {
        if !self.is_watched() {
            return;
        }
        let text = shown::bounded(text);
        tracing::trace!(
            event = "upstream_line",
            upstream = &*self.hub.upstream,
            account = Some(&*self.account).filter(|account| !account.is_empty()),
            connection = self.number,
            speaker = speaker.name(),
            text,
        );
        if self.hub.is_watched() {
            self.hub.tell(DialogueLine {
                at: Instant::now(),
                connection: self.number,
                account: self.account.clone(),
                speaker,
                text,
            });
        }
    }
}

impl Drop for ConnectionTap {
    fn drop(&mut self) {
        self.tell(Speaker::Nobody, "the connection is closed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(watched: Watched) -> String {
        match watched {
            Watched::Line(line) => line.text,
            Watched::Missed(missed) => format!("missed {missed}"),
        }
    }

    #[tokio::test]
    async fn nothing_is_kept_while_nobody_looks() {
        let hub = Arc::new(DialogueHub::new("main"));
        let tap = hub.connection("anna");
        tap.tell(Speaker::Client, "before");
        assert!(!hub.is_watched() && hub.lock().is_none());
        let (mut one, mut two) = (hub.watch(), hub.watch());
        tap.tell(Speaker::Client, "for both");
        assert_eq!([text(one.next().await), text(two.next().await)], ["for both", "for both"]);
        drop(one);
        assert!(hub.is_watched());
        drop(tap);
        assert_eq!(text(two.next().await), "the connection is closed");
        drop(two);
        assert!(!hub.is_watched() && hub.lock().is_none());
    }

    #[tokio::test]
    async fn who_reads_too_slowly_is_told_how_much_was_missed() {
        let hub = Arc::new(DialogueHub::new("main"));
        let (first, second) = (hub.connection("anna"), hub.connection(""));
        let mut watch = hub.watch();
        for n in 0..WAITING + 5 {
            (if n % 2 == 0 { &first } else { &second }).tell(Speaker::Server, &n.to_string());
        }
        assert_eq!(watch.next().await, Watched::Missed(5));
        let Watched::Line(line) = watch.next().await else { panic!("a line comes behind the gap") };
        assert_eq!((line.text.as_str(), line.connection, &*line.account), ("5", 2, ""));
    }
}
