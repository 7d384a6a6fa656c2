//! A store in memory: just what sessions need, with faults to order.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use mailsluice::config::Window;
use mailsluice::mail::QueueId;
use mailsluice::store::*;
use mailsluice::time::{Anchor, Moment};

/// What was queued, what is blacklisted, and what is to go wrong.
#[derive(Default)]
pub(crate) struct MemoryStore {
    /// The queue.
    pub(crate) messages: Mutex<Vec<NewMessage>>,
    /// The blacklist; matched by the whole address only.
    pub(crate) blacklist: Vec<BlacklistEntry>,
    /// The store says that it is not healthy.
    pub(crate) unhealthy: AtomicBool,
    /// Commits fail.
    pub(crate) broken: AtomicBool,
    /// Commits fail so that nobody knows whether they are on the disk.
    pub(crate) in_doubt: AtomicBool,
    /// The queue is said to be full at the commit.
    pub(crate) full: AtomicBool,
    switches: Mutex<HashMap<&'static str, String>>,
}

fn fault() -> StoreError {
    StoreError::Broken("the disk is on fire".into())
}

#[async_trait]
impl Store for MemoryStore {
    async fn enqueue(&self, message: NewMessage) -> Result<(), EnqueueError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(EnqueueError::Store(fault()));
        }
        if self.in_doubt.load(Ordering::SeqCst) {
            return Err(EnqueueError::Store(StoreError::InDoubt("the disk is on fire".into())));
        }
        if self.full.load(Ordering::SeqCst) {
            return Err(EnqueueError::Full { messages: 7, limit: 7 });
        }
        self.messages.lock().unwrap().push(message);
        Ok(())
    }

    fn healthy(&self) -> Result<(), StoreError> {
        if self.unhealthy.load(Ordering::SeqCst) { Err(fault()) } else { Ok(()) }
    }

    fn queue_length(&self) -> u64 {
        self.messages.lock().unwrap().len() as u64
    }

    fn lane_load(&self, route: &str) -> Load {
        let messages = self.messages.lock().unwrap();
        let lane = messages.iter().filter(|message| message.route == route && !message.held);
        lane.fold(Load::default(), |load, message| Load {
            messages: load.messages + 1,
            recipients: load.recipients + message.recipients.iter().filter(|r| !r.dropped).count() as u64,
        })
    }

    async fn ahead(&self, _queue_id: QueueId, _now: Moment) -> Result<Option<Ahead>, StoreError> {
        unreachable!("sessions never do this")
    }

    async fn blacklist_match(
        &self,
        address: String,
        _now: Moment,
    ) -> Result<Option<BlacklistEntry>, StoreError> {
        Ok(self.blacklist.iter().find(|entry| entry.pattern == address).cloned())
    }

    async fn switch(&self, key: &'static str) -> Result<Option<String>, StoreError> {
        Ok(self.switches.lock().unwrap().get(key).cloned())
    }

    async fn set_switch(&self, key: &'static str, value: String) -> Result<(), StoreError> {
        self.switches.lock().unwrap().insert(key, value);
        Ok(())
    }

    async fn claim(&self, _claim: Claim) -> Result<Claimed, StoreError> {
        unreachable!("sessions never do this")
    }

    async fn claim_overdue(&self, _claim: OverdueClaim) -> Result<Vec<QueuedMessage>, StoreError> {
        unreachable!("sessions never do this")
    }

    async fn settle(&self, _settlement: Settlement) -> Result<(), StoreError> {
        unreachable!("sessions never do this")
    }

    async fn hand_back(&self, _messages: Vec<MessageId>) -> Result<(), StoreError> {
        unreachable!("sessions never do this")
    }

    async fn take_permit(&self, _permit: NewPermit) -> Result<PermitId, StoreError> {
        unreachable!("sessions never do this")
    }

    async fn hand_over(&self, _handover: Handover) -> Result<(), StoreError> {
        unreachable!("sessions never do this")
    }

    async fn recover(&self, _now: Moment) -> Result<Recovered, StoreError> {
        unreachable!("sessions never do this")
    }

    async fn routes(&self) -> Result<Vec<Route>, StoreError> {
        unreachable!("sessions never do this")
    }

    async fn reroute(&self, _from: Route, _to: String, _credit: i64) -> Result<(), StoreError> {
        unreachable!("sessions never do this")
    }

    async fn make_due(&self, _route: String, _now: Moment) -> Result<(), StoreError> {
        unreachable!("sessions never do this")
    }

    async fn usage(&self) -> Result<Vec<UsageRow>, StoreError> {
        unreachable!("sessions never do this")
    }

    async fn reset_usage(&self, _upstream: String, _windows: Vec<Window>) -> Result<(), StoreError> {
        unreachable!("sessions never do this")
    }

    async fn prune_usage(&self, _now: Moment) -> Result<(), StoreError> {
        unreachable!("sessions never do this")
    }

    async fn limit_waits(&self) -> Result<Vec<(String, i64)>, StoreError> {
        unreachable!("sessions never do this")
    }

    async fn set_limit_wait(&self, _route: String, _millis: i64) -> Result<(), StoreError> {
        unreachable!("sessions never do this")
    }

    async fn standings(&self) -> Result<Vec<Standing>, StoreError> {
        unreachable!("sessions never do this")
    }

    async fn set_standing(&self, _standing: Standing) -> Result<(), StoreError> {
        unreachable!("sessions never do this")
    }

    async fn clear_standings(&self, _: Option<String>, _: Vec<StandingKind>) -> Result<(), StoreError> {
        unreachable!("sessions never do this")
    }

    async fn blacklist(&self) -> Result<Vec<BlacklistEntry>, StoreError> {
        unreachable!("sessions never do this")
    }

    async fn blacklist_add(&self, _entry: BlacklistEntry) -> Result<(), StoreError> {
        unreachable!("sessions never do this")
    }

    async fn blacklist_remove(&self, _pattern: String) -> Result<bool, StoreError> {
        unreachable!("sessions never do this")
    }

    async fn list(&self, _filter: ListFilter) -> Result<Vec<Summary>, StoreError> {
        unreachable!("sessions never do this")
    }

    async fn show(&self, _queue_id: QueueId) -> Result<Option<Summary>, StoreError> {
        unreachable!("sessions never do this")
    }

    async fn content(&self, _queue_id: QueueId) -> Result<Option<Vec<u8>>, StoreError> {
        unreachable!("sessions never do this")
    }

    async fn retry(&self, _queue_id: Option<QueueId>, _now: Moment) -> Result<u64, StoreError> {
        unreachable!("sessions never do this")
    }

    async fn hold(&self, _: QueueId) -> Result<bool, StoreError> {
        unreachable!("sessions never do this")
    }

    async fn release(&self, _: QueueId, _: Option<TestTreatment>, _: Moment) -> Result<bool, StoreError> {
        unreachable!("sessions never do this")
    }

    async fn delete(&self, _queue_id: QueueId) -> Result<Option<Summary>, StoreError> {
        unreachable!("sessions never do this")
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        unreachable!("sessions never do this")
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        unreachable!("sessions never do this")
    }

    async fn anchor(&self) -> Result<Option<Anchor>, StoreError> {
        unreachable!("sessions never do this")
    }

    async fn set_anchor(&self, _anchor: Anchor) -> Result<(), StoreError> {
        unreachable!("sessions never do this")
    }
}
