//! The connections of one account: so many at the same time, and those that are idle are used again.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::connection::Connection;

/// How long an idle connection is kept. Long enough for the next mail of a burst, too short to annoy a provider.
const IDLE: Duration = Duration::from_secs(10);
/// Messages over one connection; some providers close after more.
const MESSAGES: u32 = 1000;
/// How long we wait for the answer to QUIT.
const QUIT: Duration = Duration::from_secs(5);

/// The pool of one account.
pub(super) struct Pool {
    slots: Arc<Semaphore>,
    idle: Mutex<Vec<(Connection, Instant)>>,
    /// Recipients in one transaction, as the upstream said last (RFC 9422); 0 when it did not say.
    most_recipients: AtomicU32,
}

/// The right to one connection; it is given back when this is dropped.
pub(super) struct Slot {
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    pub(super) fn new(connections: u32) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(connections as usize)),
            idle: Mutex::new(Vec::new()),
            most_recipients: AtomicU32::new(0),
        }
    }

    /// How many connections may still be used.
    pub(super) fn free(&self) -> usize {
        self.slots.available_permits()
    }

    pub(super) fn slot(&self) -> Option<Slot> {
        self.slots.clone().try_acquire_owned().ok().map(|permit| Slot { _permit: permit })
    }

    /// How many recipients the upstream takes in one transaction, if it has said so.
    pub(super) fn most_recipients(&self) -> Option<u32> {
        Some(self.most_recipients.load(Ordering::Relaxed)).filter(|&most| most > 0)
    }

    /// A connection that is open and idle, the one that was used last.
    pub(super) fn take(&self) -> Option<Connection> {
        self.close_idle();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((mut connection, _)) = idle.pop() {
            if connection.is_reusable() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection for the next message, or closes it. Its slot is free when it is idle or closed.
    pub(super) fn give_back(&self, mut connection: Connection, slot: Option<Slot>) {
        let most = connection.capabilities().max_recipients.unwrap_or(0);
        self.most_recipients.store(most, Ordering::Relaxed);
        if connection.is_reusable() && connection.messages() < MESSAGES {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push((connection, Instant::now()));
        } else {
            quit(connection, slot);
        }
    }

    /// Closes what has been idle for too long; tells whether any are left.
    pub(super) fn close_idle(&self) -> bool {
        let now = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let old = idle.extract_if(.., |(_, since)| now.duration_since(*since) >= IDLE).collect::<Vec<_>>();
        self.quit_all(old);
        !idle.is_empty()
    }

    /// Closes all that are idle.
    pub(super) fn close_all(&self) {
        self.quit_all(std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner)));
    }

    /// An idle connection holds no slot, but one that is being closed does: the provider still counts it.
    fn quit_all(&self, connections: Vec<(Connection, Instant)>) {
        for (connection, _) in connections {
            quit(connection, self.slot());
        }
    }
}

/// Says goodbye in the background: nobody waits for it.
fn quit(connection: Connection, slot: Option<Slot>) {
    tokio::spawn(async move {
        let _ = tokio::time::timeout(QUIT, connection.quit()).await;
        drop(slot);
    });
}
