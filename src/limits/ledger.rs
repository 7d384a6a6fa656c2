//! The counts of all scopes.

use std::collections::HashMap;

use super::amount::Amount;
use super::ceilings::Ceilings;
use super::counts::{Counts, ScopeUsage};
use super::room::{ScopeLimits, room, room_for_more};
use super::scope::{AccountKey, Scope};
use super::wait::Wait;
use crate::config::Window;
use crate::time::{Moment, Timeline};

/// The counts of all scopes that somebody has asked about.
///
/// A scope is in the ledger with all that counts for it, or not at all: [`Ledger::load`] brings it in, and from then on
/// every transaction that begins and ends is counted in it. So scopes without limits cost nothing.
#[derive(Debug, Default)]
pub struct Ledger {
    scopes: HashMap<Scope, LedgerEntry>,
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
                let entry = self.scopes.entry(scope.clone()).or_default();
                entry.counts.read(&usage);
                entry.doubtful = false;
            }
        }
        Ok(())
    }

    /// Whether a scope is here and beyond doubt.
    #[must_use]
    pub fn knows(&self, scope: &Scope) -> bool {
        self.scopes.get(scope).is_some_and(|entry| !entry.doubtful)
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
        self.scopes.get(scope).map(|entry| entry.counts.clone())
    }

    /// Forgets what was counted for an upstream and its accounts. What is under way still counts when it ends.
    pub fn reset(&mut self, upstream: &str, windows: &[Window]) {
        let its_own = self.scopes.iter_mut().filter(|(scope, _)| scope.upstream() == upstream);
        its_own.for_each(|(_, entry)| entry.counts.reset(windows));
    }

    /// Lets go of scopes of which nothing is left that could matter.
    pub fn expire(&mut self, now: Moment) {
        self.scopes.retain(|_, entry| !entry.counts.is_over(now));
    }

    /// What an account's transactions count in may be other than what was written down: a write was undone.
    pub fn doubt(&mut self, account: &AccountKey) {
        for scope in account.scopes() {
            if let Some(entry) = self.scopes.get_mut(&scope) {
                entry.doubtful = true;
            }
        }
    }

    /// All may be other than what was written down.
    pub fn doubt_all(&mut self) {
        self.scopes.values_mut().for_each(|entry| entry.doubtful = true);
    }

    fn each(&mut self, account: &AccountKey, mut change: impl FnMut(&mut Counts)) {
        for scope in account.scopes() {
            if let Some(entry) = self.scopes.get_mut(&scope) {
                change(&mut entry.counts);
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
                let entry = self.scopes.get_mut(scope);
                (scope, ceilings, entry.map(|entry| std::mem::take(&mut entry.counts)).unwrap_or_default())
            })
            .collect();
        let mut parts: Vec<ScopeLimits<'_>> = taken
            .iter_mut()
            .map(|(scope, ceilings, counts)| ScopeLimits { scope, ceilings, counts })
            .collect();
        let answer = ask(&mut parts);
        for (scope, _, counts) in taken {
            if let Some(entry) = self.scopes.get_mut(scope) {
                entry.counts = counts;
            }
        }
        answer
    }
}
