//! Messages at which the upstream failed, or refused what may be about us: whether it is well again is found out with others.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::store::MessageId;

/// Messages that are remembered at most; beyond, they are like all others.
const MOST: usize = 10_000;

/// The suspects of a lane. A reload forgets them.
#[derive(Debug, Default)]
pub(super) struct Suspects(Mutex<HashSet<MessageId>>);

impl Suspects {
    /// Whether a message is suspect from now on: by an attempt that has ended, or no more since it has left the queue.
    pub(super) fn note(&self, id: MessageId, is_suspect: bool) {
        let mut suspects = self.lock();
        if !is_suspect {
            suspects.remove(&id);
        } else if suspects.len() < MOST {
            suspects.insert(id);
        }
    }

    /// All of them, and what must be passed over besides.
    pub(super) fn and(&self, others: &HashSet<MessageId>) -> HashSet<MessageId> {
        self.lock().union(others).copied().collect()
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<MessageId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
