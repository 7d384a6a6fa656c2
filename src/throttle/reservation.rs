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
        let kept =
            Room { messages: self.left.messages.min(1), recipients: recipients.min(self.left.recipients) };
        self.left.messages -= kept.messages;
        self.left.recipients -= kept.recipients;
        self.throttle.with(|state| {
            for counter in state.group(&self.upstream).both(&self.account) {
                counter.give_back(kept.messages, kept.recipients);
                counter.begin(recipients, now);
            }
        });
    }

    /// Gives back what is left.
    pub fn release(&mut self) {
        let Room { messages, recipients } =
            std::mem::replace(&mut self.left, Room { messages: 0, recipients: 0 });
        if messages == 0 && recipients == 0 {
            return;
        }
        self.throttle.with(|state| {
            for counter in state.group(&self.upstream).both(&self.account) {
                counter.give_back(messages, recipients);
            }
        });
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.release();
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
            for counter in state.group(&self.upstream).both(&self.account) {
                counter.disconnect();
            }
        });
    }
}
