//! May it go now? Counts what each account has sent in its rolling windows, and says until when to wait.
//!
//! Level 3. The counts here are those of the store, held in memory; a permit is in the store before its transaction
//! starts ([`Store::claim`](crate::store::Store::claim)), so that no crash can lose it. A permit counts while its
//! transaction runs, and leaves each window that window's length after the transaction *ended*: so whenever the
//! provider counted it, it counts here at least as long.

mod account;
mod slots;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

pub use account::{Budget, Wait};

use crate::config::{Limits, Window};
use crate::store::UsageRow;
use crate::time::Moment;
use account::Account;

/// The counters of all accounts.
#[derive(Debug, Default)]
pub struct Throttle {
    accounts: Mutex<BTreeMap<(String, String), Account>>,
}

/// One window of one account, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitLine {
    /// The upstream.
    pub upstream: String,
    /// The account.
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
}

impl Throttle {
    /// Makes an account known, or gives it other limits; its counts stay.
    pub fn set_limits(&self, upstream: &str, account: &str, limits: Limits) {
        self.with(upstream, account, |a| a.set_limits(limits));
    }

    /// Lets every account be unknown until its limits are set again; its counts stay.
    pub fn forget_limits(&self) {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.values_mut().for_each(Account::forget_limits);
    }

    /// Puts back what a former process counted.
    pub fn restore(&self, rows: &[UsageRow]) {
        for row in rows {
            self.with(&row.upstream, &row.account, |a| a.restore(row));
        }
    }

    /// What may go now.
    #[must_use]
    pub fn budget(&self, upstream: &str, account: &str, now: Moment) -> Budget {
        self.with(upstream, account, |a| a.budget(1, now))
    }

    /// What may go now, when the next message has this many recipients.
    #[must_use]
    pub fn budget_for(&self, upstream: &str, account: &str, recipients: u32, now: Moment) -> Budget {
        self.with(upstream, account, |a| a.budget(recipients, now))
    }

    /// Takes a permit for one transaction. The store has recorded it.
    pub fn begin(&self, upstream: &str, account: &str, recipients: u32, now: Moment) {
        self.with(upstream, account, |a| a.begin(recipients, now));
    }

    /// Ends a permit that was taken for `taken` recipients; `counted` is what the provider counted of it.
    pub fn end(&self, upstream: &str, account: &str, taken: u32, counted: Option<(u32, u32, Moment)>) {
        self.with(upstream, account, |a| a.end(taken, counted));
    }

    /// All windows of all known accounts.
    #[must_use]
    pub fn show(&self, now: Moment) -> Vec<LimitLine> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts
            .iter_mut()
            .filter(|(_, account)| account.is_known())
            .flat_map(|((upstream, name), account)| {
                Window::ALL.map(|window| account.line(upstream.clone(), name.clone(), window, now))
            })
            .collect()
    }

    /// Forgets what was counted in these windows. What is under way still counts when it ends.
    pub fn reset(&self, upstream: &str, windows: &[Window]) {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts
            .iter_mut()
            .filter(|((u, _), _)| u == upstream)
            .for_each(|(_, account)| account.reset(windows));
    }

    fn with<T>(&self, upstream: &str, account: &str, f: impl FnOnce(&mut Account) -> T) -> T {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        f(accounts.entry((upstream.to_owned(), account.to_owned())).or_default())
    }
}

#[cfg(test)]
mod tests;
