//! By what a lane's mail goes: the accounts of its upstream first, then the upstreams that stand in for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::login::{Account, Grant};
use super::obstacle::Obstacle;
use super::waiters::Place;
use crate::config::Fallback;
use crate::limits::AccountKey;
use crate::time::Moment;

/// What may carry a lane's mail, in the order in which it is asked.
pub struct Candidates {
    tiers: Vec<Tier>,
    fallback: Fallback,
    /// Connections that may be in use at the same time, as the configuration has it.
    connections: usize,
}

struct Tier {
    accounts: Vec<Arc<Account>>,
    /// The account that is asked first the next time, so that all are used alike.
    next: AtomicUsize,
}

/// Somebody who waits: for one of several accounts, in the queue of each.
pub struct Waiting {
    wake: Arc<Notify>,
    places: Vec<(Arc<Account>, Place)>,
}

/// What a lane, or a client, may do now.
pub(crate) enum Choice {
    /// Send. With what is in the way of the lane's own upstream, when another one stands in.
    Go(Grant, Option<Obstacle>),
    /// Wait for this, and until then as far as is known: another account may be free earlier than the nearest obstacle.
    Wait(Obstacle, Option<Moment>),
}

impl Waiting {
    /// Nobody is waited for yet; `wake` is told when it is worth a look.
    #[must_use]
    pub fn new(wake: Arc<Notify>) -> Self {
        Self { wake, places: Vec::new() }
    }

    /// Nothing is wanted at present: the places go to others.
    pub fn leave(&mut self) {
        self.places.clear();
    }

    /// Whether others wait for one of the accounts, too.
    pub(crate) fn is_among_others(&self) -> bool {
        self.places.iter().any(|(account, place)| account.waiters.has_others(Some(place)))
    }

    /// Who had its turn at an account and could make no use of it keeps it.
    pub(crate) fn stay_first(&mut self, account: &Arc<Account>) {
        self.places.push((account.clone(), account.waiters.join_first(&self.wake)));
    }

    /// The place at an account: the one that is there, or a new one at the end.
    fn place(&mut self, account: &Arc<Account>) -> Place {
        let known = self.places.iter().position(|(known, _)| Arc::ptr_eq(known, account));
        match known {
            Some(index) => self.places.swap_remove(index).1,
            None => account.waiters.join(&self.wake),
        }
    }
}

impl Candidates {
    pub(super) fn new(own: Vec<Arc<Account>>, others: Vec<Vec<Arc<Account>>>, fallback: Fallback) -> Self {
        let tier = |accounts| Tier { accounts, next: AtomicUsize::new(0) };
        let tiers: Vec<Tier> = [own].into_iter().chain(others).map(tier).collect();
        let all = tiers.iter().flat_map(|tier| &tier.accounts);
        let connections = all.map(|account| account.settings().limits().connections as usize).sum();
        Self { tiers, fallback, connections: usize::max(connections, 1) }
    }

    /// The first account that can send now, up to `wanted` messages; or what is in the way. Until there is one, `waiting`
    /// stands in the queue of each account that would do.
    pub(crate) fn choose(
        &self,
        waiting: &mut Waiting,
        barren: &[AccountKey],
        wanted: u32,
        now: Moment,
    ) -> Choice {
        let mut first: Option<Obstacle> = None;
        let mut until: Option<Moment> = None;
        // Places at accounts that are not asked any more are left at the end.
        let mut kept = Vec::new();
        for tier in &self.tiers {
            let mut round = GrantRound { waiting, kept: &mut kept, barren, wanted, now };
            match tier.grant(&mut round) {
                Ok(grant) => {
                    waiting.leave();
                    return Choice::Go(grant, first);
                }
                Err((obstacle, ends)) => {
                    until = [until, ends].into_iter().flatten().min();
                    first = first.or(obstacle);
                }
            }
            // None of its own accounts is in the way of mail that they can't take.
            if !first.as_ref().is_some_and(|obstacle| self.stands_in(obstacle, now)) {
                break;
            }
        }
        waiting.places = kept;
        let nobody = || Obstacle::Disabled("none of its accounts may send for this sender".to_owned());
        Choice::Wait(first.unwrap_or_else(nobody), until)
    }

    /// The account of the lane's own upstream that would take what comes next, and how many messages it could take.
    pub(crate) fn prospect(&self, now: Moment) -> Option<(Arc<Account>, u32)> {
        let could = |(_, account): (usize, &Arc<Account>)| (account.clone(), account.could_take(now));
        self.tiers[0].in_turn().map(could).find(|(_, messages)| *messages > 0)
    }

    /// The right to send by this account what was taken for it.
    ///
    /// # Errors
    /// Why it can't be had any more.
    pub(crate) fn grant_of(
        &self,
        account: &Arc<Account>,
        taken: u32,
        now: Moment,
    ) -> Result<Grant, Obstacle> {
        let place = account.waiters.join(&Arc::default());
        let grant = account.grant(taken, &place, now)?;
        if let Some(index) = self.own().iter().position(|own| Arc::ptr_eq(own, account)) {
            self.tiers[0].next.store(index + 1, Ordering::Relaxed);
        }
        Ok(grant)
    }

    /// Whether another upstream is to take the mail because of this.
    fn stands_in(&self, obstacle: &Obstacle, now: Moment) -> bool {
        let on = &self.fallback.on;
        match obstacle {
            Obstacle::Busy => false,
            Obstacle::Down(down) if down.is_login => on.disabled,
            Obstacle::Down(down) => on.unreachable || (on.disabled && down.disabled),
            // Only a person can help, or it is mended by itself.
            Obstacle::NoToken(why) if why.needs_a_person() => on.disabled,
            Obstacle::NoToken(_) => on.unreachable,
            Obstacle::Disabled(_) => on.disabled,
            Obstacle::Limited(_) | Obstacle::Paused(_) => {
                on.quota && obstacle.until().is_some_and(|until| until.since(now) > self.fallback.after)
            }
        }
    }

    /// Connections that may be in use at the same time.
    pub(crate) fn connections(&self) -> usize {
        self.connections
    }

    /// Whether nothing that could carry the mail answers.
    pub(crate) fn all_broken(&self) -> bool {
        self.all().all(|account| account.is_broken())
    }

    /// Whether an account is one of the lane's own upstream.
    pub(crate) fn is_own(&self, account: &Account) -> bool {
        self.own().iter().any(|own| std::ptr::eq(Arc::as_ptr(own), account))
    }

    /// The accounts of the lane's own upstream.
    pub(crate) fn own(&self) -> &[Arc<Account>] {
        &self.tiers[0].accounts
    }

    /// The account, where there is but one.
    pub(crate) fn only_account(&self) -> Option<&str> {
        match self.own() {
            [only] => only.name(),
            _ => None,
        }
    }

    /// When one of the upstream's own accounts can send again; `None` when one can now, or nobody knows.
    pub(crate) fn resumes_at(&self, now: Moment) -> Option<Moment> {
        let at = |account: &Arc<Account>| {
            account.obstacle(now).and_then(|obstacle| obstacle.until()).filter(|&at| at > now)
        };
        self.own().iter().map(at).min().flatten()
    }

    /// Whether nothing goes by any of them until a person has seen to it.
    pub(crate) fn are_stopped(&self) -> bool {
        self.all().all(|account| account.is_stopped())
    }

    /// Lets the next attempt be a probe, whoever makes it.
    pub(crate) fn probe_now(&self, now: Moment) {
        for account in self.all() {
            account.upstream.condition.probe_now(now);
            account.condition.probe_now(now);
            account.upstream.wake_all();
        }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.tiers.iter().flat_map(|tier| &tier.accounts)
    }
}

/// A round of questions.
struct GrantRound<'a> {
    waiting: &'a mut Waiting,
    /// The places at the accounts that were asked.
    kept: &'a mut Vec<(Arc<Account>, Place)>,
    /// Accounts that can take nothing of what is due.
    barren: &'a [AccountKey],
    wanted: u32,
    now: Moment,
}

impl Tier {
    /// Its accounts with their places, the one that is asked first now at the beginning.
    fn in_turn(&self) -> impl Iterator<Item = (usize, &Arc<Account>)> {
        let first = self.next.load(Ordering::Relaxed);
        let places = (0..self.accounts.len()).map(move |offset| (first + offset) % self.accounts.len());
        places.map(|place| (place, &self.accounts[place]))
    }

    /// The first account that can send; or what is in the way, and when the first of all obstacles ends.
    fn grant(&self, round: &mut GrantRound<'_>) -> Result<Grant, (Option<Obstacle>, Option<Moment>)> {
        let (mut nearest, mut until) = (None, None);
        for (index, account) in self.in_turn() {
            if round.barren.contains(account.key()) {
                continue;
            }
            // Who stands in the queue before it looks misses nothing that becomes free while it looks.
            let place = round.waiting.place(account);
            match account.grant(round.wanted, &place, round.now) {
                Ok(grant) => {
                    self.next.store(index + 1, Ordering::Relaxed);
                    return Ok(grant);
                }
                Err(obstacle) => {
                    round.kept.push((account.clone(), place));
                    // A try at a token that is due already is under way: its end wakes who waits.
                    let is_under_way =
                        |at: &Moment| matches!(obstacle, Obstacle::NoToken(_)) && *at <= round.now;
                    let ends = obstacle.until().filter(|at| !is_under_way(at));
                    until = [until, ends].into_iter().flatten().min();
                    nearest = Some(Obstacle::nearer(nearest, obstacle));
                }
            }
        }
        Err((nearest, until))
    }
}
