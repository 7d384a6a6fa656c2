//! Who is to be told that something has become free.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// Those who wait for one upstream's logins: its own lanes, and lanes that fall back to it.
#[derive(Clone, Default)]
pub(super) struct Signals(Arc<Mutex<Vec<Arc<Notify>>>>);

impl Signals {
    pub(super) fn add(&self, signal: Arc<Notify>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(signal);
    }

    pub(super) fn notify(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|signal| signal.notify_one());
    }
}
