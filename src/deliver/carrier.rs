//! What carries mail: the logins of an upstream, with their connections, limits and health.
//!
//! Several lanes may send by one carrier: that of its upstream, and lanes that fall back to it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::health::{Down, Health, Probe, Use};
use super::lessons::Told;
use super::pool::{Pool, Seat};
use super::signals::Signals;
use crate::config::{Account, Config, Limits, Upstream, UpstreamKind};
use crate::queue::LaneState;
use crate::throttle::{Cause, Reservation, Throttle, UpstreamLimits, Wait};
use crate::time::Moment;
use crate::upstream::Connector;
use crate::upstream::Dial;

/// Messages that one turn of a lane takes at most.
pub(super) const TURN: u32 = 100;

/// One login of an upstream.
pub struct Carrier {
    pub(super) station: Arc<Station>,
    /// Its name in the counts; empty for an upstream without a login.
    pub(super) account: String,
    pub(super) limits: Limits,
    pub(super) way: Way,
    pub(super) health: Health,
    stopped: Stopped,
    pub(super) throttle: Arc<Throttle>,
}

/// What the logins of an upstream share.
pub(super) struct Station {
    pub(super) upstream: Upstream,
    pub(super) health: Health,
    pub(super) signals: Signals,
    pub(super) told: Told,
    /// Whether somebody was told to wait for what others had reserved.
    turned_away: AtomicBool,
    stopped: Stopped,
    pools: OnceLock<Vec<Arc<Pool>>>,
}

/// Where mail goes.
pub(super) enum Way {
    /// To a smart host.
    Smtp(Box<Connector>, Arc<Pool>),
    /// Into the local mailbox.
    Capture(Arc<Pool>),
}

/// Why nothing may go by it until a person has seen to it, in words.
#[derive(Debug, Default)]
struct Stopped(Mutex<Option<String>>);

impl Stopped {
    fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, reason: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }
}

/// All carriers, by upstream.
pub struct Fleet {
    pub(super) upstreams: HashMap<String, Vec<Arc<Carrier>>>,
}

/// The right to send: by a carrier, over its seats, as much as the reservation says.
pub(super) struct Turn {
    pub(super) carrier: Arc<Carrier>,
    pub(super) seats: Vec<Seat>,
    pub(super) reservation: Reservation,
    /// It is to find out whether the upstream answers again.
    pub(super) probes: Vec<Probe>,
}

/// Why a carrier can't send now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// All its connections are in use, or a probe is under way: when that ends, the lane is told.
    Busy,
    /// A limit is reached.
    Limited(Wait),
    /// It does not answer.
    Down(Down),
    /// It is switched off: why.
    Disabled(String),
}

impl Fleet {
    /// The carriers of a configuration; puts their limits in force.
    #[must_use]
    pub fn new(config: &Config, extra: &[Upstream], dial: &Arc<dyn Dial>, throttle: &Arc<Throttle>) -> Self {
        let all = || config.upstreams.iter().chain(extra);
        let limits: Vec<_> = config.upstreams.iter().map(limits).collect();
        throttle.configure(config.timezone.clone(), &limits);
        let station = |upstream: &Upstream| {
            let carriers = Carrier::all(upstream, &config.hostname, dial, throttle);
            (upstream.name.clone(), carriers)
        };
        Self { upstreams: all().map(station).collect() }
    }

    /// The carriers of an upstream that may take mail from a sender: the login that is bound to it, else all that are
    /// bound to nobody.
    #[must_use]
    pub fn carriers(&self, upstream: &str, bound_to: Option<&str>) -> Vec<Arc<Carrier>> {
        let all = self.upstreams.get(upstream).map(Vec::as_slice).unwrap_or_default();
        let fits = |carrier: &&Arc<Carrier>| match bound_to {
            Some(sender) => carrier.is_bound_to(sender),
            None => !carrier.is_bound(),
        };
        all.iter().filter(fits).cloned().collect()
    }

    /// Nothing goes by an account, or by an upstream as a whole, until it is started again.
    pub fn stop(&self, upstream: &str, account: Option<&str>, reason: &str) {
        for carrier in self.upstreams.get(upstream).into_iter().flatten() {
            if account.is_none_or(|account| carrier.account == account) {
                carrier.stop(account.is_none(), reason);
            }
            carrier.station.signals.notify();
        }
    }

    /// All logins of an upstream may send again; one that is down is tried at once.
    pub fn start(&self, upstream: &str, now: Moment) {
        for carrier in self.upstreams.get(upstream).into_iter().flatten() {
            carrier.start(now);
            carrier.station.signals.notify();
        }
    }
}

fn limits(upstream: &Upstream) -> UpstreamLimits {
    let shared = &upstream.shared_limits;
    UpstreamLimits {
        upstream: upstream.name.clone(),
        shared: Limits {
            connections: shared.connections.unwrap_or(u32::MAX),
            quotas: shared.quotas,
            calendar: upstream.accounts.iter().any(|account| account.limits.calendar),
            ..Limits::default()
        },
        accounts: upstream.accounts.iter().map(|a| (a.name().to_owned(), a.limits.clone())).collect(),
    }
}

impl Carrier {
    fn all(
        upstream: &Upstream,
        hostname: &str,
        dial: &Arc<dyn Dial>,
        throttle: &Arc<Throttle>,
    ) -> Vec<Arc<Self>> {
        let signals = Signals::default();
        let station = Arc::new(Station {
            upstream: upstream.clone(),
            health: Health::new(upstream.disable_after),
            signals: signals.clone(),
            told: Told::default(),
            turned_away: AtomicBool::new(false),
            stopped: Stopped::default(),
            pools: OnceLock::new(),
        });
        let carrier = |account: &Account| {
            let pool = Arc::new(Pool::new(throttle.clone(), &upstream.name, account.name(), signals.clone()));
            let way = match &upstream.kind {
                UpstreamKind::Smtp(smtp) => {
                    let connector = Connector::new(dial.clone(), (**smtp).clone(), account, hostname);
                    Way::Smtp(Box::new(connector), pool)
                }
                UpstreamKind::Capture(_) => Way::Capture(pool),
            };
            Arc::new(Self {
                station: station.clone(),
                account: account.name().to_owned(),
                limits: account.limits.clone(),
                way,
                health: Health::new(upstream.disable_after),
                stopped: Stopped::default(),
                throttle: throttle.clone(),
            })
        };
        let carriers: Vec<_> = upstream.accounts.iter().map(carrier).collect();
        let pools = carriers.iter().map(|carrier| carrier.pool().clone()).collect();
        // It has just been made, so nobody has set it.
        let _ = station.pools.set(pools);
        carriers
    }

    pub(super) fn upstream(&self) -> &Upstream {
        &self.station.upstream
    }

    pub(super) fn pool(&self) -> &Arc<Pool> {
        match &self.way {
            Way::Smtp(_, pool) | Way::Capture(pool) => pool,
        }
    }

    /// The account as the log names it.
    pub(super) fn account(&self) -> Option<&str> {
        Some(self.account.as_str()).filter(|account| !account.is_empty())
    }

    pub(super) fn is_bound(&self) -> bool {
        self.station.upstream.accounts.iter().any(|a| a.sender_bound && a.name() == self.account)
    }

    fn is_bound_to(&self, sender: &str) -> bool {
        self.is_bound() && self.account.eq_ignore_ascii_case(sender)
    }

    /// What one transaction may hold: all for the local mailbox, which wants a message whole; else no more than the
    /// smallest limit, or it would never fit.
    pub(super) fn recipients_per_message(&self) -> u32 {
        if matches!(self.way, Way::Capture(_)) {
            return u32::MAX;
        }
        let shared = self.upstream().shared_limits.quotas.iter();
        let smallest = self.limits.quotas.iter().chain(shared).filter_map(|quota| quota.recipients).min();
        let announced = self.pool().most_recipients();
        let smallest = smallest.into_iter().chain(announced).min();
        self.limits.recipients_per_message.min(smallest.unwrap_or(u32::MAX))
    }

    /// The right to send up to `most` messages now, the first of which has `needed` recipients.
    ///
    /// # Errors
    /// Why it can't be had.
    pub(super) fn turn(self: &Arc<Self>, (most, needed): (u32, u32), now: Moment) -> Result<Turn, Obstacle> {
        if let Some(reason) = self.why_stopped() {
            return Err(Obstacle::Disabled(reason));
        }
        let mut probes = Vec::new();
        for health in [&self.station.health, &self.health] {
            match health.usable(now) {
                Use::Freely => {}
                Use::Probe(probe) => probes.push(probe),
                Use::Probing => return Err(Obstacle::Busy),
                Use::Not(down) => return Err(Obstacle::Down(down)),
            }
        }
        // No more than it has connections for: what is kept here, others can't have meanwhile.
        let most = if probes.is_empty() { most.min(self.limits.connections) } else { 1 };
        let per_message = self.recipients_per_message();
        let wanted = (most, per_message, needed.min(per_message));
        let names = (self.upstream().name.as_str(), self.account.as_str());
        let reservation = self.throttle.reserve(names, wanted, now).map_err(|wait| match wait.cause {
            Cause::Reserved => {
                self.station.turned_away.store(true, Ordering::Release);
                Obstacle::Busy
            }
            _ => Obstacle::Limited(wait),
        })?;
        let seats: Vec<Seat> =
            std::iter::from_fn(|| self.pool().seat()).take(reservation.messages() as usize).collect();
        if seats.is_empty() {
            if self.pool().is_crowded_out() {
                // When that one is closed the lane is told.
                self.station.close_one_but(self.pool());
            }
            return Err(Obstacle::Busy);
        }
        Ok(Turn { carrier: self.clone(), seats, reservation, probes })
    }

    /// Why nothing may go by it until a person has seen to it.
    pub(super) fn why_stopped(&self) -> Option<String> {
        let switched_off =
            || (!self.upstream().enabled).then(|| "enabled = false in the configuration".to_owned());
        switched_off().or_else(|| self.station.stopped.get()).or_else(|| self.stopped.get())
    }

    /// Whether it can't be tried now: it is switched off, or down and its next probe is not due.
    pub(super) fn is_broken(&self) -> bool {
        self.why_stopped().is_some() || self.down().is_some()
    }

    /// When it can send again, if it can't now and that is known.
    pub(super) fn resumes_at(&self, now: Moment) -> Option<Moment> {
        let probe = self.down().map(|down| down.probe_at);
        let wait = self.throttle.wait_for(&self.upstream().name, &self.account, 1, now);
        probe.max(wait.and_then(|wait| wait.until)).filter(|&at| at > now)
    }

    /// That it is down, and how.
    pub(super) fn down(&self) -> Option<Down> {
        let downs = [self.station.health.down(), self.health.down()];
        downs.into_iter().flatten().max_by_key(|down| down.probe_at)
    }

    /// Nothing goes by it, or with `whole` by none of its upstream, until a person has seen to it. Whether that is news.
    pub(super) fn stop(&self, whole: bool, reason: &str) -> bool {
        let stopped = if whole { &self.station.stopped } else { &self.stopped };
        let is_news = stopped.get().is_none();
        stopped.set(Some(reason.to_owned()));
        let account = (!whole).then_some(self.account.as_str());
        self.throttle.set_stopped(&self.upstream().name, account, true);
        if whole {
            self.station.close_all();
        } else {
            self.pool().close_all();
        }
        is_news
    }

    /// It may send again.
    fn start(&self, now: Moment) {
        self.stopped.set(None);
        self.station.stopped.set(None);
        for account in [None, Some(self.account.as_str())] {
            self.throttle.set_stopped(&self.upstream().name, account, false);
        }
        self.health.probe_now(now);
        self.station.health.probe_now(now);
    }
}

impl Station {
    fn close_one_but(&self, but: &Arc<Pool>) {
        let pools = self.pools.get().map(Vec::as_slice).unwrap_or_default();
        let _ = pools.iter().filter(|pool| !Arc::ptr_eq(pool, but)).any(|pool| pool.close_one());
    }

    pub(super) fn close_all(&self) {
        self.pools.get().into_iter().flatten().for_each(|pool| pool.close_all());
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.seats.drain(..).for_each(|seat| self.carrier.pool().not_used(seat));
        self.reservation.release();
        if self.carrier.station.turned_away.swap(false, Ordering::AcqRel) {
            self.carrier.station.signals.notify();
        }
    }
}

impl Obstacle {
    /// The one of two obstacles of carriers that serve the same mail that says more about when it goes on.
    pub(super) fn nearer(a: Option<Self>, b: Self) -> Self {
        match (a, b) {
            (None, b) => b,
            (Some(Self::Busy), _) | (_, Self::Busy) => Self::Busy,
            (Some(Self::Limited(a)), Self::Limited(b)) => Self::Limited(Wait::sooner(Some(a), b)),
            (Some(limited @ Self::Limited(_)), _) | (Some(_), limited @ Self::Limited(_)) => limited,
            (Some(Self::Down(a)), Self::Down(b)) => Self::Down(if b.probe_at < a.probe_at { b } else { a }),
            (Some(down @ Self::Down(_)), _) | (Some(_), down @ Self::Down(_)) => down,
            (Some(disabled), Self::Disabled(_)) => disabled,
        }
    }

    /// When it may be over; `None` when somebody will tell, or nobody knows.
    pub(super) fn until(&self) -> Option<Moment> {
        match self {
            Self::Limited(wait) => wait.until,
            Self::Down(down) => Some(down.probe_at),
            Self::Busy | Self::Disabled(_) => None,
        }
    }

    /// What it is, in words.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Busy => "all connections are in use".to_owned(),
            Self::Limited(wait) => wait.cause.to_string(),
            Self::Down(down) => down.reason.clone(),
            Self::Disabled(reason) => reason.clone(),
        }
    }

    /// As the board shows it; `None` for what is no obstacle to people.
    pub(super) fn state(&self) -> Option<LaneState> {
        match self {
            Self::Busy => None,
            Self::Limited(wait) => {
                Some(LaneState::Limited { reason: wait.cause.to_string(), until: wait.until })
            }
            Self::Down(Down { reason, probe_at, disabled: true, .. }) => {
                Some(LaneState::Disabled { reason: reason.clone(), until: Some(*probe_at) })
            }
            Self::Down(down) => Some(LaneState::Down { reason: down.reason.clone(), until: down.probe_at }),
            Self::Disabled(reason) => Some(LaneState::Disabled { reason: reason.clone(), until: None }),
        }
    }

    /// Whether it is worth a line in the log: the even pace and batches wait between any two messages, and what the
    /// provider said was logged when it said so.
    pub(super) fn is_news(&self) -> bool {
        matches!(self, Self::Limited(wait) if !matches!(wait.cause, Cause::Even | Cause::Batch | Cause::Provider(_)))
    }

    /// Whether the log has, or is to have, a line for its end.
    pub(super) fn has_an_end(&self) -> bool {
        matches!(self, Self::Limited(wait) if !matches!(wait.cause, Cause::Even | Cause::Batch))
    }
}
