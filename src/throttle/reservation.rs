//! Rights that are given back when nobody holds them any more.

use std::sync::Arc;

use super::Throttle;
use super::counter::Room;
use crate::time::Moment;

/// Room that is kept while the store is asked which messages are to go. What is not begun is free again when this is
/// dropped.
#[derive(Debug)]
pub struct Reservation {
    throttle: Arc<Throttle>,
    upstream: String,
    account: String,
    left: Room,
}

impl Reservation {
    pub(super) fn new(throttle: Arc<Throttle>, (upstream, account): (&str, &str), left: Room) -> Self {
        Self { throttle, upstream: upstream.to_owned(), account: account.to_owned(), left }
    }

    /// Transactions that may begin.
    #[must_use]
    pub fn messages(&self) -> u32 {
        self.left.messages
    }

    /// Recipients of them together.
    #[must_use]
    pub fn recipients(&self) -> u32 {
        self.left.recipients
    }

    /// One transaction begins; the store has recorded its permit. [`Throttle::end`] ends it.
    pub fn begin(&mut self, recipients: u32, now: Moment) {
        let from_here = recipients.min(self.left.recipients);
        let (messages, beyond) = (self.left.messages.min(1), recipients - from_here);
        self.left.messages -= messages;
        self.left.recipients -= from_here;
        self.throttle.with(|state| {
            let group = state.group(&self.upstream);
            for counter in [&mut group.shared, group.accounts.entry(self.account.clone()).or_default()] {
                // What was kept goes on to be under way; more than that is a fault of ours, and counts all the same.
                counter.keep(1 - messages, beyond);
                counter.begin(recipients, now);
            }
        });
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let Room { messages, recipients } = self.left;
        if messages == 0 && recipients == 0 {
            return;
        }
        self.throttle.with(|state| {
            let group = state.group(&self.upstream);
            group.shared.give_back(messages, recipients);
            group.account(&self.account).give_back(messages, recipients);
        });
    }
}

/// The right to one open connection.
#[derive(Debug)]
pub struct ConnectionSlot {
    throttle: Arc<Throttle>,
    upstream: String,
    account: String,
}

impl ConnectionSlot {
    pub(super) fn new(throttle: Arc<Throttle>, upstream: &str, account: &str) -> Self {
        Self { throttle, upstream: upstream.to_owned(), account: account.to_owned() }
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.throttle.with(|state| {
            let group = state.group(&self.upstream);
            group.shared.disconnect();
            group.account(&self.account).disconnect();
        });
    }
}
