//! What is used of the limits, for people.

use super::amount::AmountSum;
use super::ceilings::Ceilings;
use super::counts::Counts;
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
    /// Octets of content counted, with those under way.
    pub octets_used: u64,
    /// `None` is no limit.
    pub octets_limit: Option<u64>,
    /// When the next permit leaves the window, if it is full.
    pub next_free: Option<Moment>,
    /// What else holds it back, in words: a pause by the provider's word, or the pace that its answers have taught.
    pub reason: Option<String>,
}

impl LimitLine {
    /// The lines of a scope, the shortest window first: one for each window that has a name, and for each other that is
    /// limited. They tell of the windows alone.
    #[must_use]
    pub fn of_scope(
        scope: &Scope,
        ceilings: &Ceilings,
        counts: &mut Counts,
        now: Moment,
        timeline: &Timeline,
    ) -> Vec<Self> {
        let others = ceilings.in_force().map(|ceiling| ceiling.window);
        let others = others.filter(|window| window.name().is_none());
        let mut windows: Vec<Window> = Window::NAMED.into_iter().chain(others).collect();
        windows.sort_unstable();
        let of_window = |window: Window| {
            let quota = ceilings.of(window).quota;
            let period = ceilings.period(window, now, timeline);
            let used = counts.used(window, now, period);
            let below = |limit: Option<u64>| limit.map_or(u64::MAX, |limit| limit.saturating_sub(1));
            let goal = AmountSum {
                messages: below(quota.messages.map(u64::from)),
                recipients: below(quota.recipients.map(u64::from)),
                octets: below(quota.octets),
            };
            let is_full = used.messages > goal.messages
                || used.recipients > goal.recipients
                || used.octets > goal.octets;
            Self {
                scope: scope.clone(),
                window,
                messages_used: used.messages,
                messages_limit: quota.messages,
                recipients_used: used.recipients,
                recipients_limit: quota.recipients,
                octets_used: used.octets,
                octets_limit: quota.octets,
                next_free: is_full
                    .then(|| counts.slots_at(window, now, period).down_to(goal, period))
                    .flatten(),
                reason: None,
            }
        };
        windows.into_iter().map(of_window).collect()
    }

    /// The same line of a scope that is held back by more than its windows: by a pause until then, or in words.
    #[must_use]
    pub fn held_back(self, paused_until: Option<Moment>, reason: Option<String>) -> Self {
        Self { next_free: self.next_free.max(paused_until), reason, ..self }
    }
}
