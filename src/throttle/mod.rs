//! May it go now? Counts what each login has sent in its windows and which connections are open, and says until when to
//! wait.
//!
//! Level 3. The counts here are those of the store, held in memory; a permit is in the store before its transaction
//! starts ([`Store::claim`](crate::store::Store::claim)), so that no crash can lose it. A permit counts while its
//! transaction runs, and leaves each window that window's length after the transaction *ended*: so whenever the
//! provider counted it, it counts here at least as long.
//!
//! ```text
//! reserve ─► (the store records the permits) ─► Reservation::begin ─► the transaction ─► end
//! ```

mod calendar;
mod counter;
mod forecast;
mod learned;
mod reservation;
mod slots;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::tz::TimeZone;

pub use forecast::Forecast;
pub use learned::Slowdown;
pub use reservation::{ConnectionSlot, Reservation};

use crate::config::{Limits, Window};
use crate::store::UsageRow;
use crate::time::{Moment, Timeline};
use counter::{Counter, Paused, Periods, Room};

/// The name under which all logins of an upstream together are shown.
pub const SHARED: &str = "*";

/// The counters of all accounts of all upstreams.
#[derive(Debug)]
pub struct Throttle {
    timeline: Timeline,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    zone: TimeZone,
    upstreams: BTreeMap<String, Group>,
}

/// The accounts of one upstream.
#[derive(Debug, Default)]
struct Group {
    /// All of them together.
    shared: Counter,
    accounts: BTreeMap<String, Counter>,
}

/// The limits of one upstream's accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamLimits {
    /// The upstream.
    pub upstream: String,
    /// All accounts together.
    pub shared: Limits,
    /// Each by itself, with its name.
    pub accounts: Vec<(String, Limits)>,
}

/// Why nothing may go, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// What is in the way.
    pub cause: Cause,
    /// When there is room; `None` when a transaction that is under way must end first.
    pub until: Option<Moment>,
}

/// What is in the way of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// A window of the account is full.
    Window(Window),
    /// A window of all accounts together is full.
    Shared(Window),
    /// The even pace.
    Even,
    /// The pause after a batch.
    Batch,
    /// The pace that the provider's answers have taught.
    Slowed,
    /// The provider has said so, in these words.
    Provider(String),
    /// Somebody else is about to send, or to give the room back.
    Reserved,
}

impl Wait {
    /// Until somebody else has made use of the room that is kept for it.
    const RESERVED: Self = Self { cause: Cause::Reserved, until: None };

    /// The same wait of all accounts together.
    fn of_all(self) -> Self {
        match self.cause {
            Cause::Window(window) => Self { cause: Cause::Shared(window), ..self },
            _ => self,
        }
    }

    /// The one of two waits that lasts longer; one whose end is not known lasts longest.
    fn later(a: Option<Self>, b: Self) -> Self {
        match a {
            Some(a) if a.until.is_none() || b.until.is_some_and(|b| a.until >= Some(b)) => a,
            _ => b,
        }
    }

    /// The one of two waits that ends first.
    #[must_use]
    pub fn sooner(a: Option<Self>, b: Self) -> Self {
        match a {
            Some(a) if b.until.is_none() || a.until.is_some_and(|a| Some(a) <= b.until) => a,
            _ => b,
        }
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Window(window) => write!(f, "limit per {}", window.name()),
            Self::Shared(window) => write!(f, "limit per {} of all accounts", window.name()),
            Self::Even => f.write_str("even pace"),
            Self::Batch => f.write_str("pause between batches"),
            Self::Slowed => f.write_str("slowed down after the provider's complaint"),
            Self::Provider(reason) => f.write_str(reason),
            Self::Reserved => f.write_str("others are about to send"),
        }
    }
}

/// One window of one account, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitLine {
    /// The upstream.
    pub upstream: String,
    /// The account; [`SHARED`] for all together.
    pub account: String,
    /// The window.
    pub window: Window,
    /// Messages counted, with those under way.
    pub messages_used: u64,
    /// `None` is no limit.
    pub messages_limit: Option<u32>,
    /// Recipients counted, with those under way.
    pub recipients_used: u64,
    /// `None` is no limit.
    pub recipients_limit: Option<u32>,
    /// When the next permit leaves the window, if it is full.
    pub next_free: Option<Moment>,
    /// What else holds it back, in words: a pause by the provider's word, or the pace that its answers have taught.
    pub reason: Option<String>,
}

/// What an account is doing, for people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountLoad {
    /// Connections that are open.
    pub connections: u32,
    /// Connections that may be open, as the configuration and the provider's answers have it.
    pub most_connections: u32,
    /// The pace that the provider's answers have taught, in words; `None` when it is as configured.
    pub pace: Option<String>,
}

impl Throttle {
    /// Counters that know no account yet.
    #[must_use]
    pub fn new(timeline: Timeline) -> Self {
        let state = State { zone: TimeZone::UTC, upstreams: BTreeMap::new() };
        Self { timeline, state: Mutex::new(state) }
    }

    /// Puts limits in force. Accounts that are not among them keep their counts and are not shown.
    pub fn configure(&self, zone: TimeZone, all: &[UpstreamLimits]) {
        self.with(|state| {
            state.zone = zone;
            let known = |counter: &mut Counter| counter.known = false;
            for group in state.upstreams.values_mut() {
                known(&mut group.shared);
                group.accounts.values_mut().for_each(known);
            }
            for limits in all {
                let group = state.upstreams.entry(limits.upstream.clone()).or_default();
                group.shared.set_limits(&limits.shared);
                for (name, limits) in &limits.accounts {
                    group.accounts.entry(name.clone()).or_default().set_limits(limits);
                }
            }
        });
    }

    /// Puts back what a former process counted.
    pub fn restore(&self, rows: &[UsageRow]) {
        // The shared counter wants its slots in order.
        let mut rows: Vec<&UsageRow> = rows.iter().collect();
        rows.sort_by_key(|row| (row.window, row.slot));
        self.with(|state| {
            for row in rows {
                let group = state.upstreams.entry(row.upstream.clone()).or_default();
                group.shared.restore(row);
                group.accounts.entry(row.account.clone()).or_default().restore(row);
            }
        });
    }

    /// Keeps room for up to `messages` transactions with up to `recipients` recipients each, the first of which has
    /// `needed` at least.
    ///
    /// # Errors
    /// Nothing may go now: why, and until when.
    pub fn reserve(
        self: &Arc<Self>,
        (upstream, account): (&str, &str),
        (messages, recipients, needed): (u32, u32, u32),
        now: Moment,
    ) -> Result<Reservation, Wait> {
        let kept = self.with(|state| {
            let room = state.room((upstream, account), needed, now, &self.timeline)?;
            let messages = room.messages.min(messages.max(1));
            let recipients = room.recipients.min(recipients.max(needed).saturating_mul(messages));
            for counter in state.group(upstream).both(account) {
                counter.keep(messages, recipients);
            }
            Ok(Room { messages, recipients })
        })?;
        Ok(Reservation::new(self.clone(), (upstream, account), kept))
    }

    /// Adds recipients to a transaction that is under way with `taken` of them.
    ///
    /// # Errors
    /// There is no room for them now: why, and until when.
    pub fn extend(
        &self,
        (upstream, account): (&str, &str),
        (taken, more): (u32, u32),
        now: Moment,
    ) -> Result<(), Wait> {
        self.with(|state| {
            let zone = state.zone.clone();
            let group = state.group(upstream);
            let [shared, own] = group.both(account).map(|counter| {
                let periods = periods(counter.limits(), now, &self.timeline, &zone);
                counter.room_for_more(more, now, periods)
            });
            shared.map_err(Wait::of_all)?;
            own?;
            for counter in group.both(account) {
                counter.join(more, taken + more, now);
            }
            Ok(())
        })
    }

    /// Why a message with so many recipients can't go now; `None` when it can.
    #[must_use]
    pub fn wait_for(&self, upstream: &str, account: &str, recipients: u32, now: Moment) -> Option<Wait> {
        self.with(|state| state.room((upstream, account), recipients, now, &self.timeline).err())
    }

    /// Ends a permit that was taken for `taken` recipients; `counted` is what the provider counted of it: messages,
    /// recipients, when it ended.
    pub fn end(&self, upstream: &str, account: &str, taken: u32, counted: Option<(u32, u32, Moment)>) {
        self.with(|state| {
            for counter in state.group(upstream).both(account) {
                counter.end(taken, counted);
            }
        });
    }

    /// Takes the right to one more connection; `None` when as many are open as may be.
    #[must_use]
    pub fn connect(self: &Arc<Self>, upstream: &str, account: &str) -> Option<ConnectionSlot> {
        let free = self.with(|state| {
            let both = state.group(upstream).both(account);
            let free = both.iter().all(|counter| counter.free_connections() > 0);
            for counter in both.into_iter().filter(|_| free) {
                counter.connect();
            }
            free
        });
        free.then(|| ConnectionSlot::new(self.clone(), upstream, account))
    }

    /// Connections that may still be opened: of the account, and of the upstream as a whole.
    #[must_use]
    pub fn free_connections(&self, upstream: &str, account: &str) -> (u32, u32) {
        self.with(|state| {
            let [shared, own] = state.group(upstream).both(account);
            (own.free_connections(), shared.free_connections())
        })
    }

    /// Whether more connections are open than may be, since the limit was lowered.
    #[must_use]
    pub fn is_over_connections(&self, upstream: &str, account: &str) -> bool {
        self.with(|state| {
            state.group(upstream).both(account).iter().any(|counter| counter.is_over_connections())
        })
    }

    /// The provider wants an account to be slower. Tells the new pace in words when it has changed.
    pub fn slow_down(
        &self,
        upstream: &str,
        account: &str,
        slowdown: Slowdown,
        now: Moment,
    ) -> Option<String> {
        self.with(|state| state.group(upstream).account(account).slow_down(slowdown, now))
    }

    /// The provider has taken a message. Tells the new pace in words when it has changed.
    pub fn delivered(&self, upstream: &str, account: &str, now: Moment) -> Option<String> {
        self.with(|state| state.group(upstream).account(account).delivered(now))
    }

    /// Nothing goes by an account until then; by none of the upstream's when `account` is `None`. Whether it would have
    /// gone before.
    pub fn pause(&self, upstream: &str, account: Option<&str>, until: Moment, reason: &str) -> bool {
        let paused = Paused { until, reason: reason.to_owned() };
        let now = self.timeline.now();
        self.with(|state| state.group(upstream).counter(account).pause(paused, now))
    }

    /// When the first of what is counted leaves a window; `None` when nothing is.
    #[must_use]
    pub fn first_departure(
        &self,
        upstream: &str,
        account: Option<&str>,
        window: Window,
        now: Moment,
    ) -> Option<Moment> {
        self.with(|state| state.group(upstream).counter(account).first_departure(window, now))
    }

    /// All windows of all known accounts; of an upstream with shared limits also those of all together.
    #[must_use]
    pub fn show(&self, now: Moment) -> Vec<LimitLine> {
        self.with(|state| {
            let zone = state.zone.clone();
            let mut lines = Vec::new();
            for (upstream, group) in &mut state.upstreams {
                let shared = &mut group.shared;
                let has_shared = shared.known
                    && (shared.paused(now).is_some()
                        || shared
                            .limits()
                            .quotas
                            .iter()
                            .any(|q| q.messages.is_some() || q.recipients.is_some()));
                let accounts = group.accounts.iter_mut().filter(|(_, account)| account.known);
                let accounts = accounts.map(|(name, account)| (name.as_str(), account));
                for (name, counter) in accounts.chain(has_shared.then_some((SHARED, shared))) {
                    let periods = periods(counter.limits(), now, &self.timeline, &zone);
                    lines.extend(
                        Window::ALL.map(|window| counter.line((upstream, name), window, now, periods)),
                    );
                }
            }
            lines
        })
    }

    /// Forgets what was counted in these windows, pauses and what was learned. What is under way still counts when it
    /// ends. Tells of the pauses and the paces, by account ([`SHARED`] for all together), in words.
    pub fn reset(&self, upstream: &str, windows: &[Window]) -> Vec<(String, String)> {
        let now = self.timeline.now();
        self.with(|state| {
            let Some(group) = state.upstreams.get_mut(upstream) else { return Vec::new() };
            let accounts = group.accounts.iter_mut().map(|(name, counter)| (name.as_str(), counter));
            let all = accounts.chain([(SHARED, &mut group.shared)]);
            let forget = |(name, counter): (&str, &mut Counter)| {
                let known = counter.known;
                let forgotten = counter.reset(windows, now);
                forgotten
                    .into_iter()
                    .filter(move |_| known)
                    .map(|what| (name.to_owned(), what))
                    .collect::<Vec<_>>()
            };
            all.flat_map(forget).collect()
        })
    }

    /// Whether a forecast is to count on an account, or on an upstream as a whole: on nothing while it is stopped.
    pub fn set_stopped(&self, upstream: &str, account: Option<&str>, stopped: bool) {
        self.with(|state| state.group(upstream).counter(account).stopped = stopped);
    }

    /// What an account is doing.
    #[must_use]
    pub fn load(&self, upstream: &str, account: &str) -> AccountLoad {
        self.with(|state| {
            let account = state.upstreams.get(upstream).and_then(|group| group.accounts.get(account));
            account.map(Counter::load).unwrap_or_default()
        })
    }

    /// When mail will probably go by these accounts of an upstream, all being as it is now.
    #[must_use]
    pub fn forecast(&self, upstream: &str, accounts: &[&str], now: Moment) -> Forecast {
        self.with(|state| {
            let zone = state.zone.clone();
            let group = state.group(upstream);
            let view = |counter: &Counter| {
                forecast::Capacity::new(counter, now, periods(counter.limits(), now, &self.timeline, &zone))
            };
            let shared = view(&group.shared);
            let accounts = accounts.iter().map(|name| view(group.account(name))).collect();
            Forecast::new(now, shared, accounts)
        })
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    /// The look-ups borrow the name; it is copied only for an account that is new.
    fn group(&mut self, upstream: &str) -> &mut Group {
        if !self.upstreams.contains_key(upstream) {
            self.upstreams.insert(upstream.to_owned(), Group::default());
        }
        self.upstreams.get_mut(upstream).expect("it was put there")
    }

    fn room(
        &mut self,
        (upstream, account): (&str, &str),
        needed: u32,
        now: Moment,
        timeline: &Timeline,
    ) -> Result<Room, Wait> {
        let zone = self.zone.clone();
        let rooms = self.group(upstream).both(account).map(|counter| {
            let periods = periods(counter.limits(), now, timeline, &zone);
            counter.room(needed, now, periods)
        });
        let [shared, own] = rooms;
        match (shared.map_err(Wait::of_all), own) {
            (Ok(shared), Ok(own)) => Ok(shared.min(own)),
            (Err(shared), Err(own)) => Err(Wait::later(Some(shared), own)),
            (Err(wait), Ok(_)) | (Ok(_), Err(wait)) => Err(wait),
        }
    }
}

impl Group {
    /// An account's, or that of all together.
    fn counter(&mut self, account: Option<&str>) -> &mut Counter {
        match account {
            Some(name) => self.account(name),
            None => &mut self.shared,
        }
    }

    fn account(&mut self, name: &str) -> &mut Counter {
        let [_, own] = self.both(name);
        own
    }

    /// What an account's transactions and connections count in: that of all together, and its own.
    fn both(&mut self, account: &str) -> [&mut Counter; 2] {
        if !self.accounts.contains_key(account) {
            self.accounts.insert(account.to_owned(), Counter::default());
        }
        [&mut self.shared, self.accounts.get_mut(account).expect("it was put there")]
    }
}

/// The periods that a counter's windows follow, if they follow the calendar.
fn periods(limits: &Limits, now: Moment, timeline: &Timeline, zone: &TimeZone) -> Periods {
    limits.calendar.then(|| Window::ALL.map(|window| calendar::period(window, now, timeline, zone)))
}

#[cfg(test)]
mod tests;
