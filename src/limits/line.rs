//! What is used of the limits, for people.

use super::amount::AmountSum;
use super::ceilings::Ceilings;
use super::counts::{Counts, period};
use super::scope::Scope;
use crate::config::Window;
use crate::time::{Moment, Timeline};

/// A window of a scope, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitLine {
    /// Whose it is.
    pub scope: Scope,
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

impl LimitLine {
    /// The lines of a scope, one for each window. They tell of the windows alone.
    #[must_use]
    pub fn of_scope(
        scope: &Scope,
        ceilings: &Ceilings,
        counts: &mut Counts,
        now: Moment,
        timeline: &Timeline,
    ) -> [Self; 4] {
        let periods = ceilings.periods(now, timeline);
        Window::ALL.map(|window| {
            let (quota, _) = ceilings.quota(window);
            let used = counts.used(window, now, periods);
            let full = |limit: Option<u32>, used: u64| limit.is_some_and(|limit| used >= u64::from(limit));
            let is_full = full(quota.messages, used.messages) || full(quota.recipients, used.recipients);
            let below =
                |limit: Option<u32>| limit.map_or(u64::MAX, |limit| u64::from(limit).saturating_sub(1));
            let goal = AmountSum {
                messages: below(quota.messages),
                recipients: below(quota.recipients),
                octets: u64::MAX,
            };
            let slots = counts.slots(window);
            Self {
                scope: scope.clone(),
                window,
                messages_used: used.messages,
                messages_limit: quota.messages,
                recipients_used: used.recipients,
                recipients_limit: quota.recipients,
                next_free: is_full.then(|| slots.down_to(goal, period(periods, window))).flatten(),
                reason: None,
            }
        })
    }

    /// The same line of a scope that is held back by more than its windows: by a pause until then, or in words.
    #[must_use]
    pub fn held_back(self, paused_until: Option<Moment>, reason: Option<String>) -> Self {
        Self { next_free: self.next_free.max(paused_until), reason, ..self }
    }
}
