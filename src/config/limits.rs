//! What one account of an upstream may send (`[upstream.limits]`).

use std::sync::Arc;
use std::time::Duration;

use super::{ByteSize, Window};

/// How much fits into one window. `None` is no limit; a limit is at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota {
    /// Transactions.
    pub messages: Option<u32>,
    /// Recipients of them together.
    pub recipients: Option<u32>,
    /// Octets of their contents together.
    pub octets: Option<u64>,
}

impl Quota {
    /// Whether it limits nothing.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// The smaller of each.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self {
            messages: smaller(self.messages, other.messages),
            recipients: smaller(self.recipients, other.recipients),
            octets: smaller(self.octets, other.octets),
        }
    }
}

/// The smaller of two limits; `None` is none.
pub(super) fn smaller<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    a.into_iter().chain(b).min()
}

/// The quotas of several windows, the shortest window first. Cloning is cheap.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Quotas(Arc<[(Window, Quota)]>);

impl Quotas {
    /// The quota of one window.
    #[must_use]
    pub fn of(&self, window: Window) -> Quota {
        let found = self.0.binary_search_by_key(&window, |(window, _)| *window);
        found.map_or_else(|_| Quota::default(), |index| self.0[index].1)
    }

    /// The windows that have a quota, the shortest first.
    pub fn iter(&self) -> impl Iterator<Item = (Window, Quota)> + '_ {
        self.0.iter().copied()
    }

    /// Whether no window has a quota.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The quota of one window from now on.
    pub fn set(&mut self, window: Window, quota: Quota) {
        let others = self.iter().filter(|(other, _)| *other != window);
        *self = others.chain([(window, quota)]).collect();
    }

    /// The smallest of each in any window: what is more in one transaction never has room.
    #[must_use]
    pub fn smallest(&self) -> Quota {
        self.iter().fold(Quota::default(), |all, (_, quota)| all.min(quota))
    }
}

/// In any order; a window stands there once.
impl FromIterator<(Window, Quota)> for Quotas {
    fn from_iter<I: IntoIterator<Item = (Window, Quota)>>(all: I) -> Self {
        let mut quotas: Vec<_> = all.into_iter().filter(|(_, quota)| !quota.is_none()).collect();
        quotas.sort_by_key(|(window, _)| *window);
        Self(quotas.into())
    }
}

/// How permits are spread over a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pace {
    /// As soon as the window has room.
    #[default]
    Burst,
    /// At equal distances.
    Even,
}

/// Messages that go one after the other, and the rest that follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Transactions, at least 1.
    pub messages: u32,
    /// How long nothing is begun after them.
    pub pause: Duration,
}

/// All limits of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at the same time, at least 1.
    pub connections: u32,
    /// How much in each window.
    pub quotas: Quotas,
    /// Messages over one connection, at least 1; then another one is made.
    pub messages_per_connection: u32,
    /// Recipients in one transaction, at least 1; a larger envelope is split.
    pub recipients_per_message: u32,
    /// The largest content in octets.
    pub message_size: Option<ByteSize>,
    /// How permits are spread.
    pub pace: Pace,
    /// A rest after so many messages.
    pub batch: Option<Batch>,
    /// Whether the windows begin anew at the full minute or hour, at midnight and on Monday of
    /// [`Config::timezone`](super::Config::timezone), instead of rolling.
    pub calendar: bool,
}

impl Limits {
    /// The quota of one window.
    #[must_use]
    pub fn quota(&self, window: Window) -> Quota {
        self.quotas.of(window)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 5,
            quotas: Quotas::default(),
            messages_per_connection: 1_000,
            recipients_per_message: 100,
            message_size: None,
            pace: Pace::Burst,
            batch: None,
            calendar: false,
        }
    }
}
