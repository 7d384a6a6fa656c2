//! When will it go? What goes before a message, and how fast the limits let it.
//!
//! An estimate, not a promise: nothing else is handed in, each attempt succeeds, and the limits stay as they are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::mail::QueueId;
use crate::queue::{Board, UpstreamStatus};
use crate::route::{CAPTURED, Router, upstream_of};
use crate::store::{Ahead, MessageId, MessageState, Priority, RecipientState, Store, StoreError, Summary};
use crate::throttle::{Forecast, Throttle};
use crate::time::{Moment, Timeline};

/// How long what was looked up serves for mail that comes in: a burst pays once for it.
const FRESH: Duration = Duration::from_secs(2);
/// Submitters whose last place is remembered.
const SUBMITTERS: usize = 1_000;
/// Only a wait that is longer is worth a word when a message is accepted.
const WORTH_TELLING: Duration = Duration::from_mins(1);
/// How long a client may wait for its 250 on this account.
const PATIENCE: Duration = Duration::from_millis(250);
/// Lanes with more mail are not walked through for a list.
const MOST: u32 = 500_000;

/// What an estimate looks at; handed in.
pub struct Sources {
    /// What waits.
    pub store: Arc<dyn Store>,
    /// The present moment.
    pub timeline: Timeline,
    /// Which accounts serve a lane.
    pub router: Arc<Router>,
    /// What the limits let through.
    pub throttle: Arc<Throttle>,
    /// How the lanes are.
    pub board: Arc<Board>,
}

/// Where a submitter's mail stands: the lane, the priority, the submitter.
type Place = (String, Priority, String);

/// Tells when mail will probably go.
pub struct Estimate {
    sources: Sources,
    /// By lane.
    forecasts: Mutex<HashMap<String, (Moment, Arc<Forecast>)>>,
    /// What went before the last message of a submitter, and when that was looked up.
    places: Mutex<HashMap<Place, (Moment, Ahead)>>,
}

/// A message that has just been accepted.
#[derive(Debug, Clone, Copy)]
pub struct Accepted<'a> {
    /// Its name.
    pub queue_id: &'a QueueId,
    /// Where it stands.
    pub lane: &'a str,
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
        Self { sources, forecasts: Mutex::default(), places: Mutex::default() }
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
        let lane = self.lane(&message.route, now);
        let Some(ahead) = self.sources.store.ahead(message.queue_id.clone(), now).await? else {
            return Ok(None);
        };
        let amount = with_itself(ahead, open_recipients(message));
        Ok(lane.and_then(|lane| lane.eta(lane.forecast.when(amount.0, amount.1), message.due)))
    }

    /// The same for many: a walk through each lane, whatever their number.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn of_all(&self, messages: &[Summary]) -> Result<HashMap<MessageId, Moment>, StoreError> {
        let now = self.sources.timeline.now();
        let mut lanes: HashMap<&str, Vec<&Summary>> = HashMap::new();
        for message in messages.iter().filter(|message| waits(message)) {
            lanes.entry(&message.route).or_default().push(message);
        }
        let mut all = HashMap::new();
        for (route, messages) in lanes {
            let Some(lane) = self.lane(route, now) else { continue };
            let places = self.sources.store.places(route.to_owned(), now, MOST).await?;
            let amount = |message: &&Summary| {
                let amount = with_itself(*places.get(&message.id)?, open_recipients(message));
                Some((amount, message.id, message.due))
            };
            let mut amounts: Vec<_> = messages.iter().filter_map(amount).collect();
            amounts.sort_unstable();
            let sums: Vec<(u64, u64)> = amounts.iter().map(|(amount, ..)| *amount).collect();
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
        if message.lane == CAPTURED {
            return None;
        }
        let now = self.sources.timeline.now();
        let lane = self.fresh_lane(message.lane, now)?;
        let worth = |eta: &Moment| eta.since(now) > WORTH_TELLING;
        let load = self.sources.store.lane_load(message.lane);
        let (messages, recipients) = (load.messages.max(1), load.recipients.max(message.recipients));
        // When even the last of the lane goes soon, nothing need be looked up.
        if lane.eta(lane.forecast.when(messages, recipients), now).is_some_and(|last| !worth(&last)) {
            return None;
        }
        let ahead = self.place(message, now).await?;
        let amount = with_itself(ahead, message.recipients);
        lane.eta(lane.forecast.when(amount.0, amount.1), now).filter(worth)
    }

    /// What goes before a message that has just been accepted: looked up, or the last place of its submitter and one more.
    async fn place(&self, message: Accepted<'_>, now: Moment) -> Option<Ahead> {
        let key = (message.lane.to_owned(), message.priority, message.submitter.to_owned());
        if let Some((_, last)) = lock(&self.places).get_mut(&key).filter(|(at, _)| now.since(*at) < FRESH) {
            last.messages += 1;
            last.recipients += message.recipients;
            return Some(*last);
        }
        let ahead = self.sources.store.ahead(message.queue_id.clone(), now);
        let ahead = tokio::time::timeout(PATIENCE, ahead).await.ok()?.ok()??;
        let mut places = lock(&self.places);
        if places.len() >= SUBMITTERS {
            places.clear();
        }
        places.insert(key, (now, ahead));
        Some(ahead)
    }

    /// A lane with the limits as they are; `None` when its mail goes by nothing.
    fn lane(&self, route: &str, now: Moment) -> Option<Lane> {
        let status = self.sources.board.lane(route);
        let forecast = Arc::new(self.forecast(route, status.as_ref(), now)?);
        Some(Lane { status, forecast })
    }

    /// The same, but with limits that may be two seconds old.
    fn fresh_lane(&self, route: &str, now: Moment) -> Option<Lane> {
        let status = self.sources.board.lane(route);
        if let Some((_, forecast)) = lock(&self.forecasts).get(route).filter(|(at, _)| now.since(*at) < FRESH)
        {
            return Some(Lane { status, forecast: forecast.clone() });
        }
        let lane = self.lane(route, now)?;
        // There are as many entries as lanes.
        lock(&self.forecasts).insert(route.to_owned(), (now, lane.forecast.clone()));
        Some(lane)
    }

    fn forecast(&self, route: &str, status: Option<&UpstreamStatus>, now: Moment) -> Option<Forecast> {
        // Another upstream takes the mail by the logins that are bound to nobody.
        let by = status.and_then(|status| status.via.as_deref()).unwrap_or(route);
        let accounts = self.sources.router.accounts_of(by);
        (!accounts.is_empty()).then(|| self.sources.throttle.forecast(upstream_of(by), &accounts, now))
    }
}

/// A lane as an estimate sees it.
struct Lane {
    status: Option<UpstreamStatus>,
    forecast: Arc<Forecast>,
}

impl Lane {
    /// When a message goes that is due then and that the limits let through at `when`.
    fn eta(&self, when: Option<Moment>, due: Moment) -> Option<Moment> {
        let when = when?;
        match &self.status {
            Some(UpstreamStatus { via: None, state: "disabled", .. }) => None,
            // When the upstream answers again, all of its mail is due at once.
            Some(UpstreamStatus { via: None, state: "down", until, .. }) => Some(when.max((*until)?)),
            _ => Some(when.max(due)),
        }
    }
}

fn waits(message: &Summary) -> bool {
    matches!(message.state, MessageState::Ready | MessageState::Deferred)
}

/// What has gone when the message has.
fn with_itself(ahead: Ahead, recipients: u64) -> (u64, u64) {
    (ahead.messages + 1, ahead.recipients + recipients)
}

fn open_recipients(message: &Summary) -> u64 {
    let open = message.recipients.iter().filter(|r| r.state == RecipientState::Waiting);
    open.count() as u64
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
