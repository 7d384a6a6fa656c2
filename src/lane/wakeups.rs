//! Wakes the lane whose mail has just been queued.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::store::LaneName;

/// A signal per lane. A wake-up that comes while the lane is busy is not lost.
#[derive(Debug, Default)]
pub struct Wakeups {
    lanes: Mutex<HashMap<LaneName, Signal>>,
    /// Told when mail may stand where it does not belong.
    unserved: Notify,
    /// Told when an upstream or an account has come into trouble, or out of it.
    troubled: Notify,
}

#[derive(Debug, Default)]
struct Signal {
    notify: Arc<Notify>,
    retry: bool,
    /// Tasks that serve the lane: one that ends and the one that follows it may both.
    servers: u32,
}

/// Says that somebody serves a lane, for as long as it is held.
#[derive(Debug)]
pub struct Served {
    wakeups: Arc<Wakeups>,
    lane: LaneName,
}

impl Wakeups {
    /// Tells a lane that something for it has changed. Where nobody serves it, its mail is to be moved.
    pub fn wake(&self, lane: &LaneName) {
        let is_served = self.with(lane, |signal| {
            signal.notify.notify_one();
            signal.servers > 0
        });
        if !is_served {
            self.unserved.notify_one();
        }
    }

    /// Says that somebody serves a lane from now on.
    #[must_use]
    pub fn serve(self: &Arc<Self>, lane: &LaneName) -> Served {
        self.with(lane, |signal| signal.servers += 1);
        Served { wakeups: self.clone(), lane: lane.clone() }
    }

    /// Whether somebody serves a lane.
    #[must_use]
    pub fn is_served(&self, lane: &LaneName) -> bool {
        self.with(lane, |signal| signal.servers > 0)
    }

    /// Somebody is to look for mail that stands in a lane that nobody serves, or that does not serve its sender.
    pub fn call_unserved(&self) {
        self.unserved.notify_one();
    }

    /// Waits until there may be such mail.
    pub async fn unserved(&self) {
        self.unserved.notified().await;
    }

    /// Somebody is to look which upstreams and accounts are in trouble.
    pub fn call_troubled(&self) {
        self.troubled.notify_one();
    }

    /// Waits until that may have changed.
    pub async fn troubled(&self) {
        self.troubled.notified().await;
    }

    /// Tells all lanes.
    pub fn wake_all(&self) {
        self.lock().values().for_each(|signal| signal.notify.notify_one());
    }

    /// Tells a lane that a person wants its mail tried now, even if the upstream was down a moment ago.
    pub fn retry(&self, lane: &LaneName) {
        self.with(lane, Signal::retry);
    }

    /// Tells all lanes the same.
    pub fn retry_all(&self) {
        self.lock().values_mut().for_each(Signal::retry);
    }

    /// Whether [`Wakeups::retry`] was called since this was last asked.
    #[must_use]
    pub fn take_retry(&self, lane: &LaneName) -> bool {
        self.with(lane, |signal| std::mem::take(&mut signal.retry))
    }

    /// The signal of a lane.
    #[must_use]
    pub fn signal(&self, lane: &LaneName) -> Arc<Notify> {
        self.with(lane, |signal| signal.notify.clone())
    }

    fn with<T>(&self, lane: &LaneName, f: impl FnOnce(&mut Signal) -> T) -> T {
        f(self.lock().entry(lane.clone()).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LaneName, Signal>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.wakeups.with(&self.lane, |signal| signal.servers = signal.servers.saturating_sub(1));
    }
}

impl Signal {
    fn retry(&mut self) {
        self.retry = true;
        self.notify.notify_one();
    }
}
