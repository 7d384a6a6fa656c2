//! What the upstreams have seen: connections, transactions, and what became of each recipient.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// A login of an upstream, as it has named itself.
pub(crate) type Key = (String, String);

/// Milliseconds since the walk began.
pub(crate) type Ms = u64;

/// A connection.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) host: &'static str,
    /// Known when it has logged in.
    pub(crate) key: Option<Key>,
    /// When it was asked for.
    pub(crate) opened: Ms,
    pub(crate) closed: Option<Ms>,
    /// Whether it is being made, or in the middle of a transaction.
    pub(crate) busy: bool,
    pub(crate) transactions: u32,
}

/// A transaction: from MAIL to the last answer.
#[derive(Debug, Clone)]
pub(crate) struct Transaction {
    pub(crate) key: Key,
    /// The earliest moment at which the relay can have decided upon it.
    pub(crate) decided: Ms,
    pub(crate) begun: Ms,
    pub(crate) ended: Option<Ms>,
    /// When each RCPT came.
    pub(crate) asked: Vec<Ms>,
    pub(crate) accepted: Vec<String>,
    /// It ended before all recipients were heard.
    pub(crate) cut: bool,
}

/// The last contacts of a login.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Contact {
    pub(crate) failed: Option<Ms>,
    pub(crate) good: Option<Ms>,
}

#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) lines: Vec<Line>,
    pub(crate) transactions: Vec<Transaction>,
    /// How often each recipient was taken.
    pub(crate) taken: BTreeMap<String, u32>,
    /// Recipients that were refused for good.
    pub(crate) refused: BTreeSet<String>,
    /// When a recipient was last put off for its own sake.
    pub(crate) put_off: BTreeMap<String, Ms>,
    /// Recipients that were taken without the client's reading so.
    pub(crate) doubtful: BTreeSet<String>,
    /// When a host last failed, and when an upstream last answered, by the name that the relay has for it.
    pub(crate) hosts: BTreeMap<&'static str, Ms>,
    pub(crate) upstreams: BTreeMap<String, Ms>,
    /// The same of each login.
    pub(crate) logins: BTreeMap<Key, Contact>,
    /// When a connection was last asked for.
    pub(crate) dialled: BTreeMap<&'static str, Ms>,
    /// Counts whatever happens.
    pub(crate) events: u64,
}

/// The book, and the time by which it is written.
#[derive(Clone)]
pub(crate) struct Facts {
    origin: Instant,
    book: Arc<Mutex<Book>>,
}

impl Facts {
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now(), book: Arc::default() }
    }

    pub(crate) fn now(&self) -> Ms {
        self.origin.elapsed().as_millis() as Ms
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes something down.
    pub(crate) fn note<T>(&self, write: impl FnOnce(&mut Book, Ms) -> T) -> T {
        let now = self.now();
        let mut book = self.book();
        book.events += 1;
        write(&mut book, now)
    }

    pub(crate) fn failed(&self, host: &'static str, key: Option<&Key>) {
        self.note(|book, now| match key {
            Some(key) => book.logins.entry(key.clone()).or_default().failed = Some(now),
            None => drop(book.hosts.insert(host, now)),
        });
    }

    pub(crate) fn answered(&self, key: &Key) {
        self.note(|book, now| {
            book.upstreams.insert(key.0.clone(), now);
            book.logins.entry(key.clone()).or_default().good = Some(now);
        });
    }
}

impl Book {
    /// Connections of a login, or of all of an upstream, that are being used.
    pub(crate) fn busy(&self, upstream: &str, user: Option<&str>) -> usize {
        let fits = |(name, of): &Key| name == upstream && user.is_none_or(|user| user == of);
        let is_busy =
            |line: &&Line| line.closed.is_none() && line.busy && line.key.as_ref().is_some_and(fits);
        self.lines.iter().filter(is_busy).count()
    }

    /// When a recipient was last put off, or may have been: whose mail was cut off early nobody has heard.
    pub(crate) fn put_off_or_cut(&self, address: &str) -> Option<Ms> {
        let cut = self.transactions.iter().filter(|one| one.cut).filter_map(|one| one.ended).max();
        self.put_off.get(address).copied().max(cut)
    }

    /// Connections to a host that are being made: whose they are nobody knows yet.
    pub(crate) fn nameless(&self, host: &str) -> usize {
        let is_new = |line: &&Line| line.closed.is_none() && line.host == host && line.key.is_none();
        self.lines.iter().filter(is_new).count()
    }
}
