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
    sources: Arc<Sources>,
    /// What a message stands behind that goes after all others of its lane.
    ends: Mutex<HashMap<LaneName, FoundPlace>>,
    places: Arc<Places>,
}

/// Where a message stands. Both are of one moment: a forecast of before mail went, beside what waits since, would promise what
/// has been used.
#[derive(Debug, Clone)]
struct LanePlace {
    /// What goes before it.
    ahead: Load,
    /// What the limits let through.
    forecast: Arc<Forecast>,
}

/// What went before the last message of a submitter.
struct Places {
    known: Mutex<HashMap<SubmitterPlace, KnownPlace>>,
    look_ups: Arc<Semaphore>,
}

#[derive(Debug, Clone)]
enum KnownPlace {
    /// It is being looked up.
    Asked,
    Found(FoundPlace),
}

/// A place that was looked up, and serves until then for what comes behind it.
#[derive(Debug, Clone)]
struct FoundPlace {
    until: Moment,
    place: LanePlace,
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
        Self { sources: Arc::new(sources), ends: Mutex::default(), places: Arc::new(places) }
    }

    /// When a message will probably go. `None` when it is held, being sent, or nobody knows.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn of(&self, message: &Summary) -> Result<Option<Moment>, StoreError> {
        if !waits(message) {
            return Ok(None);
        }
        let place = self.sources.place(&message.lane, message.queue_id.clone()).await?;
        Ok(place.and_then(|place| {
            let amount = self.sources.with_itself(&message.lane, place.ahead, open_recipients(message));
            let status = self.sources.statuses.of(&message.lane);
            eta(status.as_ref(), place.forecast.when(amount), message.due)
        }))
    }

    /// The same for many: a walk through each lane, whatever their number.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn of_all(&self, messages: &[Summary]) -> Result<HashMap<MessageId, Moment>, StoreError> {
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
            let places = self.sources.store.places(name.clone(), MOST).await?;
            let Some(forecast) = self.sources.forecast(name).await else { continue };
            let amount = |message: &&Summary| {
                let amount =
                    self.sources.with_itself(name, *places.get(&message.id)?, open_recipients(message));
                Some((amount, message.id, message.due))
            };
            let mut amounts: Vec<_> = messages.iter().filter_map(amount).collect();
            amounts.sort_unstable();
            let sums: Vec<Load> = amounts.iter().map(|(amount, ..)| *amount).collect();
            let status = self.sources.statuses.of(name);
            let whens = forecast.when_all(&sums);
            let told = amounts
                .iter()
                .zip(whens)
                .filter_map(|(&(_, id, due), when)| Some((id, eta(status.as_ref(), when, due)?)));
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
        let status = self.sources.statuses.of(message.lane);
        let eta = |place: &LanePlace| {
            let amount = self.sources.with_itself(message.lane, place.ahead, message.recipients);
            eta(status.as_ref(), place.forecast.when(amount), now)
        };
        let worth = |eta: &Moment| eta.since(now) > WORTH_TELLING;
        let end = self.end(message, now).await?;
        // When even the last of the lane goes soon, nothing need be looked up.
        if eta(&end).is_some_and(|last| !worth(&last)) {
            return None;
        }
        let place = self.place(message, now).await?;
        eta(&place).filter(worth)
    }

    /// The place of what goes last of all that waits in a lane. It serves for a moment, with what has come since.
    async fn end(&self, message: Accepted<'_>, now: Moment) -> Option<LanePlace> {
        let known =
            lock(&self.ends).get_mut(message.lane).and_then(|end| end.behind(message.recipients, now));
        if known.is_some() {
            return known;
        }
        let forecast = self.sources.forecast(message.lane).await?;
        let load = self.sources.store.lane_load(message.lane);
        let others = load.messages.saturating_sub(1);
        let ahead =
            Load { messages: others, recipients: load.recipients.saturating_sub(message.recipients), ..load };
        let place = LanePlace { ahead, forecast };
        // There are as many entries as lanes.
        lock(&self.ends)
            .insert(message.lane.clone(), FoundPlace { until: now.after(FRESH), place: place.clone() });
        Some(place)
    }

    /// What goes before a message that has just been accepted: looked up, or the last place of its submitter and one more. In a
    /// long queue a look-up takes long: others do not wait for it, and none begins another.
    async fn place(&self, message: Accepted<'_>, now: Moment) -> Option<LanePlace> {
        let key = (message.lane.clone(), message.priority, message.submitter.to_owned());
        let look_up = match self.places.begin(&key, message.recipients, now) {
            Begun::Known(place) => return Some(place),
            Begun::Busy => return None,
            Begun::LookUp(look_up) => look_up,
        };
        let (sources, lane, queue_id) =
            (self.sources.clone(), message.lane.clone(), message.queue_id.clone());
        // A task of its own: it goes on when the client has its 250, and serves whoever comes next.
        let found = tokio::spawn(async move {
            let place = sources.place(&lane, queue_id).await.ok()??;
            look_up.found(place.clone(), now, sources.timeline.now());
            Some(place)
        });
        tokio::time::timeout(PATIENCE, found).await.ok()?.ok()?
    }
}

impl Sources {
    /// Where a message of this lane stands. `None` when it is held or unknown, or its lane's mail goes by nothing.
    async fn place(&self, lane: &LaneName, queue_id: QueueId) -> Result<Option<LanePlace>, StoreError> {
        let Some(ahead) = self.store.ahead(queue_id).await? else { return Ok(None) };
        // What goes between the two counts in both: it is told a little late, not a window early.
        Ok(self.forecast(lane).await.map(|forecast| LanePlace { ahead, forecast }))
    }

    /// What has gone when the message has. Of what goes before, messages and recipients are known; their octets are taken to
    /// be as many as those of all mail of the lane.
    fn with_itself(&self, lane: &LaneName, ahead: Load, recipients: u64) -> Load {
        let load = self.store.lane_load(lane);
        let messages = ahead.messages + 1;
        let octets = load.octets.checked_div(load.messages).unwrap_or(0).saturating_mul(messages);
        Load { messages, recipients: ahead.recipients + recipients, octets }
    }

    /// What the limits of a lane let through from now on; `None` when its mail goes by nothing.
    async fn forecast(&self, name: &LaneName) -> Option<Arc<Forecast>> {
        // Another upstream takes the mail by the accounts that are bound to nobody.
        let status = self.statuses.of(name);
        let by = status.and_then(|status| status.via).map(|via| LaneName::of_upstream(&via));
        let forecast = self.accounts.forecast(by.as_ref().unwrap_or(name), self.timeline.now());
        tokio::time::timeout(PATIENCE, forecast).await.ok()?.map(Arc::new)
    }
}

impl FoundPlace {
    /// One more message comes and stands behind it: its place, while this one serves.
    fn behind(&mut self, recipients: u64, now: Moment) -> Option<LanePlace> {
        if now >= self.until {
            return None;
        }
        self.place.ahead.messages += 1;
        self.place.ahead.recipients += recipients;
        Some(self.place.clone())
    }
}

/// What is to be done for a place.
enum Begun {
    Known(LanePlace),
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
            Some(KnownPlace::Found(found)) => {
                if let Some(place) = found.behind(recipients, now) {
                    return Begun::Known(place);
                }
            }
            Some(KnownPlace::Asked) => return Begun::Busy,
            None => {}
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
    fn found(self, place: LanePlace, begun: Moment, ended: Moment) {
        let until = ended.after(FRESH.max(ended.since(begun).saturating_mul(REST)));
        lock(&self.places.known).insert(self.key.clone(), KnownPlace::Found(FoundPlace { until, place }));
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

/// When a message goes that is due then and that the limits let through at `when`, given how its lane is.
fn eta(lane: Option<&LaneStatus>, when: Option<Moment>, due: Moment) -> Option<Moment> {
    let when = when?;
    match lane.filter(|lane| lane.via.is_none()).map(|lane| &lane.state) {
        Some(LaneState::Disabled { .. } | LaneState::SignIn { until: None, .. }) => None,
        Some(LaneState::Down { until: Some(until), .. } | LaneState::SignIn { until: Some(until), .. }) => {
            Some(when.max(*until).max(due))
        }
        _ => Some(when.max(due)),
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
