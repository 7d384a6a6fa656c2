//! The upstream that does it all, and what it has seen.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use mailsluice::upstream::{Dial, DialError, Dialled, Observer, Target};
use tokio::sync::watch;
use tokio::time::Instant;

use super::script::{CLOSED, RESTART, Script};
use super::session::Session;
use super::support::simulation::Host;

/// Connections at the same time.
const CONNECTIONS: u32 = 3;

/// A report that came.
pub(crate) struct Report {
    pub(crate) to: String,
    pub(crate) content: String,
}

/// What the upstream has seen.
#[derive(Default)]
pub(crate) struct Book {
    /// Good recipients that have got nothing yet.
    pub(crate) missing: HashSet<String>,
    /// When the last of them got something.
    pub(crate) last_good: Option<Instant>,
    /// How often each recipient's message was kept.
    pub(crate) kept: HashMap<String, u32>,
    /// Messages that were kept without saying so.
    pub(crate) unsaid: HashSet<usize>,
    pub(crate) reports: Vec<Report>,
    /// When MAIL was accepted.
    pub(crate) mails: Vec<Instant>,
    /// When each final dot came.
    pub(crate) dots: Vec<Instant>,
    /// When each recipient was tried first.
    pub(crate) tried: HashMap<String, Instant>,
    /// Connections that were turned away as one too many.
    pub(crate) turned_away: u32,
    /// Sessions that were to carry more than they may.
    pub(crate) full: u32,
    /// Connections that were made, and those that are open.
    made: u32,
    open: u32,
    refuses_until: Option<Instant>,
    closed_until: Option<Instant>,
}

/// The upstream. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Provider {
    pub(crate) script: Arc<Script>,
    book: Arc<Mutex<Book>>,
    /// Changes when all connections break.
    breaks: Arc<watch::Sender<u32>>,
}

/// What happens at a final dot.
pub(crate) enum AtDot {
    Nothing,
    Restart,
}

impl Provider {
    pub(crate) fn new(script: Arc<Script>) -> Self {
        let good = script.recipients().filter(|(message, to)| message.is_good(to));
        let missing = good.map(|(_, to)| to.address.clone()).collect();
        let book = Book { missing, ..Book::default() };
        Self { script, book: Arc::new(Mutex::new(book)), breaks: Arc::new(watch::Sender::new(0)) }
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        // A failed check must not bury its words under others.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn breaks(&self) -> watch::Receiver<u32> {
        self.breaks.subscribe()
    }

    /// Whether it has closed its doors.
    pub(crate) fn is_closed(&self) -> bool {
        self.book().closed_until.is_some_and(|until| Instant::now() < until)
    }

    /// A final dot has come.
    pub(crate) fn dot(&self) -> AtDot {
        let mut book = self.book();
        let now = Instant::now();
        book.dots.push(now);
        let dots = book.dots.len();
        if dots == self.script.closes {
            book.closed_until = Some(now + CLOSED);
        }
        if !self.script.restarts.contains(&dots) {
            return AtDot::Nothing;
        }
        book.refuses_until = Some(now + RESTART);
        drop(book);
        self.breaks.send_modify(|breaks| *breaks += 1);
        AtDot::Restart
    }
}

#[async_trait]
impl Dial for Provider {
    async fn dial(&self, target: &Target, _deadline: Instant, _: &Observer) -> Result<Dialled, DialError> {
        let peer = "192.0.2.25:25".parse().unwrap();
        if self.book().refuses_until.is_some_and(|until| Instant::now() < until) {
            let tried = vec![(peer, "Connection refused".to_owned())];
            return Err(DialError::Unreachable { host: target.host.clone(), tried });
        }
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let served = Served::new(self);
        tokio::spawn(Session::new(self.clone(), served, theirs).run());
        Ok(Dialled { stream: Box::new(ours), peer })
    }
}

impl Host for Provider {
    fn way(&self) -> Arc<dyn Dial> {
        Arc::new(self.clone())
    }
}

/// A connection that counts until this is dropped.
pub(crate) struct Served {
    provider: Provider,
    pub(crate) is_one_too_many: bool,
    /// Whether it offers PIPELINING: every other does.
    pub(crate) pipelining: bool,
}

impl Served {
    fn new(provider: &Provider) -> Self {
        let mut book = provider.book();
        let is_one_too_many = book.open >= CONNECTIONS;
        book.open += u32::from(!is_one_too_many);
        book.turned_away += u32::from(is_one_too_many);
        book.made += 1;
        let pipelining = book.made.is_multiple_of(2);
        Self { provider: provider.clone(), is_one_too_many, pipelining }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.provider.book().open -= u32::from(!self.is_one_too_many);
    }
}
