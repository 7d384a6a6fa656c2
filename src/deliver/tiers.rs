//! By what a lane's mail goes: the logins of its upstream first, then the upstreams that stand in for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::carrier::{Carrier, Fleet, Obstacle, Turn};
use crate::config::{Fallback, Upstream};
use crate::time::Moment;

/// What may carry a lane's mail, in the order in which it is asked.
pub(super) struct Tiers {
    tiers: Vec<Tier>,
    fallback: Fallback,
}

struct Tier {
    carriers: Vec<Arc<Carrier>>,
    /// The carrier that is asked first the next time, so that all are used alike.
    next: AtomicUsize,
}

/// What a lane may do now.
pub(super) enum Pick {
    /// Send. With what is in the way of the lane's own upstream, when another one stands in.
    Go(Turn, Option<Obstacle>),
    /// Wait until something ends that is under way; the lane will be told.
    Busy,
    /// Wait, for this and until then as far as is known.
    Wait(Obstacle, Option<Moment>),
}

impl Tiers {
    pub(super) fn new(fleet: &Fleet, upstream: &Upstream, bound_to: Option<&str>) -> Self {
        let own = fleet.carriers(&upstream.name, bound_to);
        // Another upstream takes mail of any sender that its logins are not bound against.
        let others = upstream.fallback.upstreams.iter().map(|name| fleet.carriers(name, None));
        let tier = |carriers| Tier { carriers, next: AtomicUsize::new(0) };
        let tiers = [own].into_iter().chain(others).map(tier).collect();
        Self { tiers, fallback: upstream.fallback.clone() }
    }

    /// Has a lane told whenever something becomes free.
    pub(super) fn tell(&self, signal: &Arc<Notify>) {
        for carrier in self.tiers.iter().filter_map(|tier| tier.carriers.first()) {
            carrier.station.signals.add(signal.clone());
        }
    }

    /// The first carrier that can send now, up to `most` messages of which the first has `needed` recipients; or what is
    /// in the way.
    pub(super) fn pick(&self, (most, needed): (u32, u32), now: Moment) -> Pick {
        let mut first: Option<Obstacle> = None;
        let mut until: Option<Moment> = None;
        for tier in &self.tiers {
            let obstacle = match tier.turn((most, needed), now) {
                Ok(turn) => return Pick::Go(turn, first),
                Err(obstacle) => obstacle,
            };
            until = [until, obstacle.until()].into_iter().flatten().min();
            if obstacle == Obstacle::Busy && first.is_none() {
                return Pick::Busy;
            }
            let obstacle = first.get_or_insert(obstacle);
            if !self.stands_in(obstacle, now) {
                break;
            }
        }
        match first {
            Some(obstacle) => Pick::Wait(obstacle, until),
            None => Pick::Busy,
        }
    }

    /// Whether another upstream is to take the mail because of this.
    fn stands_in(&self, obstacle: &Obstacle, now: Moment) -> bool {
        let on = &self.fallback.on;
        match obstacle {
            Obstacle::Busy => false,
            Obstacle::Down(down) => on.unreachable || (on.disabled && down.disabled),
            Obstacle::Disabled(_) => on.disabled,
            Obstacle::Limited(wait) => {
                on.quota && wait.until.is_some_and(|until| until.since(now) > self.fallback.after)
            }
        }
    }

    /// Connections that may be in use at the same time.
    pub(super) fn connections(&self) -> usize {
        self.all().map(|carrier| carrier.limits.connections as usize).sum::<usize>().max(1)
    }

    /// Whether nothing that could carry the mail answers.
    pub(super) fn is_hopeless(&self) -> bool {
        self.tiers.iter().all(|tier| tier.carriers.iter().all(|carrier| carrier.is_broken()))
    }

    /// The account, where there is but one.
    pub(super) fn only_account(&self) -> Option<&str> {
        match self.tiers[0].carriers.as_slice() {
            [only] => only.account(),
            _ => None,
        }
    }

    /// When one of the upstream's own logins can send again; `None` when one can now, or nobody knows.
    pub(super) fn resumes_at(&self, now: Moment) -> Option<Moment> {
        let own = self.tiers[0].carriers.iter().map(|carrier| carrier.resumes_at(now));
        own.min().flatten()
    }

    /// Lets the next attempt be a probe.
    pub(super) fn probe_now(&self, now: Moment) {
        for carrier in self.all() {
            carrier.station.health.probe_now(now);
            carrier.health.probe_now(now);
        }
    }

    /// Closes connections that have been idle too long, or all that are idle; tells whether any are left.
    pub(super) fn close_idle(&self, all: bool) -> bool {
        let mut left = false;
        for carrier in &self.tiers[0].carriers {
            if all {
                carrier.pool().close_all();
            } else {
                left |= carrier.pool().close_idle();
            }
        }
        left
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Carrier>> {
        self.tiers.iter().flat_map(|tier| &tier.carriers)
    }
}

impl Tier {
    fn turn(&self, size: (u32, u32), now: Moment) -> Result<Turn, Obstacle> {
        let first = self.next.load(Ordering::Relaxed);
        let mut obstacle = None;
        for offset in 0..self.carriers.len() {
            let place = (first + offset) % self.carriers.len();
            match self.carriers[place].turn(size, now) {
                Ok(turn) => {
                    self.next.store(place + 1, Ordering::Relaxed);
                    return Ok(turn);
                }
                Err(other) => obstacle = Some(Obstacle::nearer(obstacle, other)),
            }
        }
        Err(obstacle.unwrap_or_else(|| {
            Obstacle::Disabled("none of its accounts may send for this sender".to_owned())
        }))
    }
}
