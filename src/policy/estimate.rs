//! When will it go? What goes before a message, and how fast the limits let it.
//!
//! An estimate, not a promise: nothing else is handed in, each attempt succeeds, and the limits stay as they are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::account::Accounts;
use crate::lane::{LaneState, LaneStatus, LaneStatuses};
use crate::limits::{Forecast, Load};
use crate::mail::QueueId;
use crate::store::{
    LaneKind, LaneName, MessageId, MessageState, Outlook, Priority, RecipientState, StoreError, Summary,
};
use crate::time::{Moment, Timeline};

/// How long what was looked up serves for mail that comes in: a burst pays once for it.
const FRESH: Duration = Duration::from_secs(2);
/// Submitters whose last place is remembered.
const SUBMITTERS: usize = 1_000;
/// Only a wait that is longer is worth a word when a message is accepted.
const WORTH_TELLING: Duration = Duration::from_mins(1);
/// How long a client may wait for its 250 on this account.
const PATIENCE: Duration = Duration::from_millis(250);
/// A look-up serves for so many times as long as it took, so that long queues cost no more of the processor than a twentieth.
const REST: u32 = 20;
/// Look-ups at the same time. Whoever finds as many under way goes without an answer.
const LOOK_UPS: usize = 2;
/// Lanes with more mail are not walked through for a list.
const MOST: u32 = 500_000;

/// What an estimate looks at; handed in.
pub struct Sources {
    /// What waits.
    pub store: Arc<dyn Outlook>,
    /// The present moment.
    pub timeline: Timeline,
    /// Which accounts serve a lane, and what their limits let through.
    pub accounts: Arc<Accounts>,
    /// How the lanes are.
    pub statuses: Arc<LaneStatuses>,
}

/// Where a submitter's mail stands: the lane, the priority, the submitter.
type SubmitterPlace = (LaneName, Priority, String);

/// Tells when mail will probably go.
pub struct Estimate {
    sources: Sources,
    /// By lane.
    forecasts: Mutex<HashMap<LaneName, (Moment, Arc<Forecast>)>>,
    places: Arc<Places>,
}

/// What went before the last message of a submitter.
struct Places {
    known: Mutex<HashMap<SubmitterPlace, KnownPlace>>,
    look_ups: Arc<Semaphore>,
}

#[derive(Debug, Clone, Copy)]
enum KnownPlace {
    /// It is being looked up.
    Asked,
    /// It serves until then.
    Found { until: Moment, ahead: Load },
}

/// A message that has just been accepted.
#[derive(Debug, Clone, Copy)]
pub struct Accepted<'a> {
    /// Its name.
    pub queue_id: &'a QueueId,
    /// Where it stands.
    pub lane: &'a LaneName,
    /// Who takes turns with the others.
    pub submitter: &'a str,
    /// Within which priority.
    pub priority: Priority,
    /// How many it is for.
    pub recipients: u64,
}

impl Estimate {
    /// From these sources.
    #[must_use]
    pub fn new(sources: Sources) -> Self {
        let places = Places { known: Mutex::default(), look_ups: Arc::new(Semaphore::new(LOOK_UPS)) };
        Self { sources, forecasts: Mutex::default(), places: Arc::new(places) }
    }

    /// When a message will probably go. `None` when it is held, being sent, or nobody knows.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn of(&self, message: &Summary) -> Result<Option<Moment>, StoreError> {
        if !waits(message) {
            return Ok(None);
        }
        let now = self.sources.timeline.now();
        let lane = self.lane(&message.lane, now).await;
        let Some(ahead) = self.sources.store.ahead(message.queue_id.clone()).await? else {
            return Ok(None);
        };
        let amount = self.with_itself(&message.lane, ahead, open_recipients(message));
        Ok(lane.and_then(|lane| lane.eta(lane.forecast.when(amount), message.due)))
    }

    /// The same for many: a walk through each lane, whatever their number.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn of_all(&self, messages: &[Summary]) -> Result<HashMap<MessageId, Moment>, StoreError> {
        let now = self.sources.timeline.now();
        let mut lanes: HashMap<&LaneName, Vec<&Summary>> = HashMap::new();
        for message in messages.iter().filter(|message| waits(message)) {
            lanes.entry(&message.lane).or_default().push(message);
        }
        let mut all = HashMap::new();
        for (name, messages) in lanes {
            // The pages of a long list would each walk through the lane to learn that it is too long.
            if self.sources.store.lane_load(name).messages > u64::from(MOST) {
                continue;
            }
            let Some(lane) = self.lane(name, now).await else { continue };
            let places = self.sources.store.places(name.clone(), MOST).await?;
            let amount = |message: &&Summary| {
                let amount = self.with_itself(name, *places.get(&message.id)?, open_recipients(message));
                Some((amount, message.id, message.due))
            };
            let mut amounts: Vec<_> = messages.iter().filter_map(amount).collect();
            amounts.sort_unstable();
            let sums: Vec<Load> = amounts.iter().map(|(amount, ..)| *amount).collect();
            let whens = lane.forecast.when_all(&sums);
            let told = amounts
                .iter()
                .zip(whens)
                .filter_map(|(&(_, id, due), when)| Some((id, lane.eta(when, due)?)));
            all.extend(told);
        }
        Ok(all)
    }

    /// When a message that has just been accepted will go, if it will wait for more than a minute. Costs next to nothing
    /// where nothing waits.
    pub async fn of_accepted(&self, message: Accepted<'_>) -> Option<Moment> {
        if message.lane.kind() == LaneKind::Captured {
            return None;
        }
        let now = self.sources.timeline.now();
        let lane = self.fresh_lane(message.lane, now).await?;
        let worth = |eta: &Moment| eta.since(now) > WORTH_TELLING;
        let load = self.sources.store.lane_load(message.lane);
        let (messages, recipients) = (load.messages.max(1), load.recipients.max(message.recipients));
        let last = Load { messages, recipients, ..load };
        // When even the last of the lane goes soon, nothing need be looked up.
        if lane.eta(lane.forecast.when(last), now).is_some_and(|last| !worth(&last)) {
            return None;
        }
        let ahead = self.place(message, now).await?;
        let amount = self.with_itself(message.lane, ahead, message.recipients);
        lane.eta(lane.forecast.when(amount), now).filter(worth)
    }

    /// What goes before a message that has just been accepted: looked up, or the last place of its submitter and one more. In a
    /// long queue a look-up takes long: others do not wait for it, and none begins another.
    async fn place(&self, message: Accepted<'_>, now: Moment) -> Option<Load> {
        let key = (message.lane.clone(), message.priority, message.submitter.to_owned());
        let look_up = match self.places.begin(&key, message.recipients, now) {
            Begun::Known(ahead) => return Some(ahead),
            Begun::Busy => return None,
            Begun::LookUp(look_up) => look_up,
        };
        let (store, timeline) = (self.sources.store.clone(), self.sources.timeline.clone());
        let queue_id = message.queue_id.clone();
        // A task of its own: it goes on when the client has its 250, and serves whoever comes next.
        let found = tokio::spawn(async move {
            let ahead = store.ahead(queue_id).await.ok()??;
            look_up.found(ahead, now, timeline.now());
            Some(ahead)
        });
        tokio::time::timeout(PATIENCE, found).await.ok()?.ok()?
    }

    /// What has gone when the message has. Of what goes before, messages and recipients are known; their octets are taken to
    /// be as many as those of all mail of the lane.
    fn with_itself(&self, lane: &LaneName, ahead: Load, recipients: u64) -> Load {
        let load = self.sources.store.lane_load(lane);
        let messages = ahead.messages + 1;
        let octets = load.octets.checked_div(load.messages).unwrap_or(0).saturating_mul(messages);
        Load { messages, recipients: ahead.recipients + recipients, octets }
    }

    /// A lane with the limits as they are; `None` when its mail goes by nothing.
    async fn lane(&self, name: &LaneName, now: Moment) -> Option<EstimatedLane> {
        let status = self.sources.statuses.of(name);
        let forecast = Arc::new(self.forecast(name, status.as_ref(), now).await?);
        Some(EstimatedLane { status, forecast })
    }

    /// The same, but with limits that may be two seconds old.
    async fn fresh_lane(&self, name: &LaneName, now: Moment) -> Option<EstimatedLane> {
        let known = lock(&self.forecasts).get(name).filter(|(at, _)| now.since(*at) < FRESH).cloned();
        if let Some((_, forecast)) = known {
            return Some(EstimatedLane { status: self.sources.statuses.of(name), forecast });
        }
        let lane = self.lane(name, now).await?;
        // There are as many entries as lanes.
        lock(&self.forecasts).insert(name.clone(), (now, lane.forecast.clone()));
        Some(lane)
    }

    async fn forecast(&self, name: &LaneName, status: Option<&LaneStatus>, now: Moment) -> Option<Forecast> {
        // Another upstream takes the mail by the accounts that are bound to nobody.
        let by = status.and_then(|status| status.via.as_deref()).map(LaneName::of_upstream);
        let forecast = self.sources.accounts.forecast(by.as_ref().unwrap_or(name), now);
        tokio::time::timeout(PATIENCE, forecast).await.ok()?
    }
}

/// What is to be done for a place.
enum Begun {
    Known(Load),
    /// Others look.
    Busy,
    LookUp(PlaceLookUp),
}

/// A look-up that is under way. Dropped without an answer, it makes way for the next.
struct PlaceLookUp {
    places: Arc<Places>,
    key: SubmitterPlace,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    /// The place of one more message of a submitter, or the right to look it up.
    fn begin(self: &Arc<Self>, key: &SubmitterPlace, recipients: u64, now: Moment) -> Begun {
        let mut known = lock(&self.known);
        match known.get_mut(key) {
            Some(KnownPlace::Found { until, ahead }) if now < *until => {
                ahead.messages += 1;
                ahead.recipients += recipients;
                return Begun::Known(*ahead);
            }
            Some(KnownPlace::Asked) => return Begun::Busy,
            Some(KnownPlace::Found { .. }) | None => {}
        }
        let Ok(permit) = self.look_ups.clone().try_acquire_owned() else { return Begun::Busy };
        if known.len() >= SUBMITTERS {
            known.retain(|_, place| matches!(place, KnownPlace::Asked));
        }
        known.insert(key.clone(), KnownPlace::Asked);
        Begun::LookUp(PlaceLookUp { places: self.clone(), key: key.clone(), _permit: permit })
    }
}

impl PlaceLookUp {
    fn found(self, ahead: Load, begun: Moment, ended: Moment) {
        let until = ended.after(FRESH.max(ended.since(begun).saturating_mul(REST)));
        lock(&self.places.known).insert(self.key.clone(), KnownPlace::Found { until, ahead });
    }
}

impl Drop for PlaceLookUp {
    fn drop(&mut self) {
        let mut known = lock(&self.places.known);
        if matches!(known.get(&self.key), Some(KnownPlace::Asked)) {
            known.remove(&self.key);
        }
    }
}

/// A lane as an estimate sees it.
struct EstimatedLane {
    status: Option<LaneStatus>,
    forecast: Arc<Forecast>,
}

impl EstimatedLane {
    /// When a message goes that is due then and that the limits let through at `when`.
    fn eta(&self, when: Option<Moment>, due: Moment) -> Option<Moment> {
        let when = when?;
        match self.status.as_ref().filter(|status| status.via.is_none()).map(|status| &status.state) {
            Some(LaneState::Disabled { .. } | LaneState::SignIn { until: None, .. }) => None,
            Some(
                LaneState::Down { until: Some(until), .. } | LaneState::SignIn { until: Some(until), .. },
            ) => Some(when.max(*until).max(due)),
            _ => Some(when.max(due)),
        }
    }
}

fn waits(message: &Summary) -> bool {
    matches!(message.state, MessageState::Ready | MessageState::Deferred)
}

fn open_recipients(message: &Summary) -> u64 {
    let open = message.recipients.iter().filter(|r| r.state == RecipientState::Waiting);
    open.count() as u64
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
