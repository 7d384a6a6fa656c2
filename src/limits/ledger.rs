//! The counts of all scopes.

use std::collections::HashMap;
use std::sync::Arc;

use super::amount::Amount;
use super::ceilings::Ceilings;
use super::counts::{Counts, ScopeUsage};
use super::room::{ScopeLimits, room, room_for_more};
use super::scope::{AccountKey, GroupKey, Scope};
use super::wait::Wait;
use crate::config::Window;
use crate::time::{Moment, Timeline};

/// The counts of all scopes that somebody has asked about.
///
/// A scope is in the ledger with all that counts for it, or not at all: [`Ledger::load`] brings it in, and from then on
/// every transaction that begins and ends is counted in it. So scopes without limits cost nothing.
#[derive(Debug, Default)]
pub struct Ledger {
    accounts: HashMap<AccountKey, LedgerEntry>,
    upstreams: HashMap<Arc<str>, LedgerEntry>,
    /// Few, and of each name one: that of other upstreams takes the place of the one before.
    groups: Vec<(Arc<GroupKey>, LedgerEntry)>,
}

#[derive(Debug, Default)]
struct LedgerEntry {
    counts: Counts,
    /// Whether it may be other than what was written down.
    doubtful: bool,
}

impl Ledger {
    /// Brings scopes in that are not here, or in doubt; `read` tells what was written down for one.
    ///
    /// # Errors
    /// When `read` fails.
    pub fn load<'a, E>(
        &mut self,
        scopes: impl IntoIterator<Item = &'a Scope>,
        mut read: impl FnMut(&Scope) -> Result<ScopeUsage, E>,
    ) -> Result<(), E> {
        for scope in scopes {
            if !self.knows(scope) {
                let usage = read(scope)?;
                let entry = self.entry_or_new(scope);
                entry.counts.read(&usage);
                entry.doubtful = false;
            }
        }
        Ok(())
    }

    /// Whether a scope is here and beyond doubt.
    #[must_use]
    pub fn knows(&self, scope: &Scope) -> bool {
        self.entry(scope).is_some_and(|entry| !entry.doubtful)
    }

    /// How much may go now, if the next transaction needs so much; see [`room()`]. A scope that is not here has sent nothing.
    ///
    /// # Errors
    /// Nothing may go now: why, and until when.
    pub fn room(
        &mut self,
        ceilings: &[(Scope, Ceilings)],
        needed: &Amount,
        now: Moment,
        timeline: &Timeline,
    ) -> Result<Amount, Wait> {
        self.with_parts(ceilings, |parts| room(parts, needed, now, timeline))
    }

    /// Whether a transaction that is under way may have so much more; see [`room_for_more`].
    ///
    /// # Errors
    /// There is no room for it now: why, and until when.
    pub fn room_for_more(
        &mut self,
        ceilings: &[(Scope, Ceilings)],
        more: &Amount,
        now: Moment,
        timeline: &Timeline,
    ) -> Result<(), Wait> {
        self.with_parts(ceilings, |parts| room_for_more(parts, more, now, timeline))
    }

    /// A transaction of an account begins.
    pub fn begin(&mut self, account: &AccountKey, amount: &Amount, now: Moment) {
        self.each(account, |counts| counts.begin(amount, now));
    }

    /// A transaction that is under way gets so much more, and has so much in all then.
    pub fn join(&mut self, account: &AccountKey, more: &Amount, all: &Amount) {
        self.each(account, |counts| counts.join(more, all));
    }

    /// A transaction that was begun as `taken` ends; the provider has counted so much of it, or nothing.
    pub fn end(&mut self, account: &AccountKey, taken: &Amount, counted: Option<&Amount>, at: Moment) {
        self.each(account, |counts| counts.end(taken, counted, at));
    }

    /// A copy of a scope's counts as they are known; `None` when it is not here.
    #[must_use]
    pub fn snapshot(&self, scope: &Scope) -> Option<Counts> {
        self.entry(scope).map(|entry| entry.counts.clone())
    }

    /// Forgets what was counted for an upstream and its accounts in these windows, or in all when there are none. What is under
    /// way still counts when it ends. What is left of a group must be read again.
    pub fn reset(&mut self, upstream: &str, windows: &[Window]) {
        if let Some(entry) = self.upstreams.get_mut(upstream) {
            entry.counts.reset(windows);
        }
        let its_own = self.accounts.iter_mut().filter(|(key, _)| *key.upstream == *upstream);
        its_own.for_each(|(_, entry)| entry.counts.reset(windows));
        let with_it = self.groups.iter_mut().filter(|(group, _)| group.has(upstream));
        with_it.for_each(|(_, entry)| entry.doubtful = true);
    }

    /// Lets go of scopes of which nothing is left that could matter.
    pub fn expire(&mut self, now: Moment) {
        self.accounts.retain(|_, entry| !entry.counts.is_over(now));
        self.upstreams.retain(|_, entry| !entry.counts.is_over(now));
        self.groups.retain(|(_, entry)| !entry.counts.is_over(now));
    }

    /// What an account's transactions count in may be other than what was written down: a write was undone.
    pub fn doubt(&mut self, account: &AccountKey) {
        self.each_entry(account, |entry| entry.doubtful = true);
    }

    /// All may be other than what was written down.
    pub fn doubt_all(&mut self) {
        let all = self.accounts.values_mut().chain(self.upstreams.values_mut());
        all.chain(self.groups.iter_mut().map(|(_, entry)| entry)).for_each(|entry| entry.doubtful = true);
    }

    fn each(&mut self, account: &AccountKey, mut change: impl FnMut(&mut Counts)) {
        self.each_entry(account, |entry| change(&mut entry.counts));
    }

    /// All that an account's transactions count in.
    fn each_entry(&mut self, account: &AccountKey, mut change: impl FnMut(&mut LedgerEntry)) {
        self.accounts.get_mut(account).into_iter().for_each(&mut change);
        self.upstreams.get_mut(&*account.upstream).into_iter().for_each(&mut change);
        let groups = self.groups.iter_mut().filter(|(group, _)| group.has(&account.upstream));
        groups.for_each(|(_, entry)| change(entry));
    }

    fn entry(&self, scope: &Scope) -> Option<&LedgerEntry> {
        match scope {
            Scope::Account(key) => self.accounts.get(key),
            Scope::Upstream(name) => self.upstreams.get(&**name),
            Scope::Group(group) => {
                self.groups.iter().find(|(known, _)| known == group).map(|(_, entry)| entry)
            }
        }
    }

    fn entry_mut(&mut self, scope: &Scope) -> Option<&mut LedgerEntry> {
        match scope {
            Scope::Account(key) => self.accounts.get_mut(key),
            Scope::Upstream(name) => self.upstreams.get_mut(&**name),
            Scope::Group(group) => {
                self.groups.iter_mut().find(|(known, _)| known == group).map(|(_, entry)| entry)
            }
        }
    }

    fn entry_or_new(&mut self, scope: &Scope) -> &mut LedgerEntry {
        match scope {
            Scope::Account(key) => self.accounts.entry(key.clone()).or_default(),
            Scope::Upstream(name) => self.upstreams.entry(name.clone()).or_default(),
            Scope::Group(group) => {
                self.groups.retain(|(known, _)| known == group || known.name != group.name);
                let place = self.groups.iter().position(|(known, _)| known == group);
                let place = place.unwrap_or_else(|| {
                    self.groups.push((group.clone(), LedgerEntry::default()));
                    self.groups.len() - 1
                });
                &mut self.groups[place].1
            }
        }
    }

    fn with_parts<T>(
        &mut self,
        ceilings: &[(Scope, Ceilings)],
        ask: impl FnOnce(&mut [ScopeLimits<'_>]) -> T,
    ) -> T {
        // They are taken out for the moment, since several can't be borrowed at once.
        let mut taken: Vec<(&Scope, &Ceilings, Counts)> = ceilings
            .iter()
            .map(|(scope, ceilings)| {
                let entry = self.entry_mut(scope);
                (scope, ceilings, entry.map(|entry| std::mem::take(&mut entry.counts)).unwrap_or_default())
            })
            .collect();
        let mut parts: Vec<ScopeLimits<'_>> = taken
            .iter_mut()
            .map(|(scope, ceilings, counts)| ScopeLimits { scope, ceilings, counts })
            .collect();
        let answer = ask(&mut parts);
        for (scope, _, counts) in taken {
            if let Some(entry) = self.entry_mut(scope) {
                entry.counts = counts;
            }
        }
        answer
    }
}
