//! How long a recipient that was deferred rests. Pure.

use std::time::Duration;

use super::attempted::RecipientOutcome;
use crate::config::Queue;
use crate::lane::{backoff, jitter};
use crate::upstream::{DeferralCause, Outcome};

/// What the pauses of one message's recipients go by.
pub(super) struct Pauses<'a> {
    pub(super) queue: &'a Queue,
    /// How old the message is.
    pub(super) age: Duration,
    /// Any number. It spreads the pauses, all of a message alike, so that its recipients stay together.
    pub(super) random: u32,
}

impl Pauses<'_> {
    /// Whether the message has outlived the queue.
    pub(super) fn expired(&self) -> bool {
        self.age >= self.queue.expire_after
    }

    /// How long a recipient rests; `None` when it goes as soon as the upstream takes it.
    ///
    /// For its own sake it rests longer after each failure, or for as long as the reply says. One that may have arrived too
    /// often rests until its message expires.
    pub(super) fn of(&self, each: &RecipientOutcome) -> Option<Duration> {
        let (shortest, longest) = (self.queue.retry_min, self.queue.retry_max);
        if each.is_given_up() {
            return Some(self.queue.expire_after.saturating_sub(self.age).max(longest));
        }
        let Outcome::Deferred { cause, .. } = each.outcome else { return None };
        let wait = match (cause, each.stated) {
            (DeferralCause::Upstream, _) => return None,
            (DeferralCause::Sender, _) => longest,
            (DeferralCause::Message, Some(stated)) => stated.max(shortest).min(longest),
            (DeferralCause::Message, None) => {
                backoff(each.recipient.failures.saturating_add(1), shortest, longest)
            }
        };
        Some(jitter(wait, self.random))
    }
}
