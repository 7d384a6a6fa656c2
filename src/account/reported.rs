//! What was reported once need not be reported again.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Names that are remembered; beyond, they are reported again.
const MOST: usize = 1_000;

/// Senders whose refusal was reported.
#[derive(Debug, Default)]
pub(super) struct AlreadyReported(Mutex<HashSet<String>>);

impl AlreadyReported {
    /// Notes a name; whether it is new.
    pub(super) fn note(&self, name: &str) -> bool {
        let mut reported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.len() >= MOST {
            reported.clear();
        }
        reported.insert(name.to_owned())
    }
}
