//! The connections of one login: no more than its limits allow, and those that are idle are used again.
//!
//! The throttle counts a connection from before it is opened until it is closed, idle or not, as the provider does.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::signals::Signals;
use crate::throttle::{ConnectionSlot, Throttle};
use crate::upstream::Connection;

/// How long an idle connection is kept. Long enough for the next mail of a burst, too short to annoy a provider.
const IDLE: Duration = Duration::from_secs(10);
/// Messages over one connection; some providers close after more.
const MESSAGES: u32 = 1000;
/// How long we wait for the answer to QUIT.
const QUIT: Duration = Duration::from_secs(5);

/// The pool of one login.
pub(super) struct Pool {
    throttle: Arc<Throttle>,
    upstream: String,
    account: String,
    idle: Mutex<Vec<Idle>>,
    /// Told when a connection is free to be used, or is closed.
    signals: Signals,
    /// Recipients in one transaction, as the upstream said last (RFC 9422); 0 when it did not say.
    most_recipients: AtomicU32,
}

struct Idle {
    seat: Seat,
    since: Instant,
}

/// The right to one connection, with the open one if there is one.
pub(super) struct Seat {
    pub(super) connection: Option<Connection>,
    pub(super) slot: ConnectionSlot,
}

impl Pool {
    pub(super) fn new(throttle: Arc<Throttle>, upstream: &str, account: &str, signals: Signals) -> Self {
        Self {
            throttle,
            upstream: upstream.to_owned(),
            account: account.to_owned(),
            idle: Mutex::new(Vec::new()),
            signals,
            most_recipients: AtomicU32::new(0),
        }
    }

    /// A connection that is open and idle, the one that was used last; else the right to open one; `None` when as many
    /// are in use as may be.
    pub(super) fn seat(&self) -> Option<Seat> {
        self.close_idle();
        while let Some(Idle { mut seat, .. }) = self.idle().pop() {
            if seat.connection.as_mut().is_none_or(Connection::is_reusable) {
                return Some(seat);
            }
        }
        let slot = self.throttle.connect(&self.upstream, &self.account)?;
        Some(Seat { connection: None, slot })
    }

    /// Whether it is the other logins of the upstream that leave no connection for this one.
    pub(super) fn is_crowded_out(&self) -> bool {
        let (own, shared) = self.throttle.free_connections(&self.upstream, &self.account);
        own > 0 && shared == 0
    }

    /// How many recipients the upstream takes in one transaction, if it has said so.
    pub(super) fn most_recipients(&self) -> Option<u32> {
        Some(self.most_recipients.load(Ordering::Relaxed)).filter(|&most| most > 0)
    }

    /// Keeps a connection for the next message, or closes it.
    pub(super) fn give_back(&self, mut seat: Seat) {
        let Some(connection) = &mut seat.connection else {
            drop(seat);
            return self.signals.notify();
        };
        let most = connection.capabilities().max_recipients.unwrap_or(0);
        self.most_recipients.store(most, Ordering::Relaxed);
        if connection.is_reusable() && connection.messages() < MESSAGES && !self.is_too_many() {
            self.idle().push(Idle { seat, since: Instant::now() });
            self.signals.notify();
        } else {
            self.quit(seat);
        }
    }

    /// Takes a seat back that was not used, as it was.
    pub(super) fn not_used(&self, seat: Seat) {
        if seat.connection.is_some() {
            self.idle().push(Idle { seat, since: Instant::now() });
        }
    }

    /// Closes what has been idle for too long; tells whether any are left.
    pub(super) fn close_idle(&self) -> bool {
        let now = Instant::now();
        let mut idle = self.idle();
        let old: Vec<Idle> = idle.extract_if(.., |idle| now.duration_since(idle.since) >= IDLE).collect();
        let left = !idle.is_empty();
        drop(idle);
        for idle in old {
            self.quit(idle.seat);
        }
        left
    }

    /// Closes all that are idle.
    pub(super) fn close_all(&self) {
        let all = std::mem::take(&mut *self.idle());
        for idle in all {
            self.quit(idle.seat);
        }
    }

    /// Closes one that is idle, for another login's sake.
    pub(super) fn close_one(&self) -> bool {
        let one = self.idle().pop();
        one.map(|idle| self.quit(idle.seat)).is_some()
    }

    /// Whether more connections are open than may be by now.
    fn is_too_many(&self) -> bool {
        self.throttle.is_over_connections(&self.upstream, &self.account)
    }

    /// Says goodbye in the background: nobody waits for it. Until it is said the provider counts the connection.
    fn quit(&self, seat: Seat) {
        let signals = self.signals.clone();
        tokio::spawn(async move {
            let Seat { connection, slot } = seat;
            if let Some(connection) = connection {
                let _ = tokio::time::timeout(QUIT, connection.quit()).await;
            }
            drop(slot);
            signals.notify();
        });
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
