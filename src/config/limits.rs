//! What one account of an upstream may send (`[upstream.limits]`).

use std::time::Duration;

use super::ByteSize;
use crate::time::Moment;

/// A rolling window in which messages and recipients are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Window {
    /// 60 seconds.
    Minute,
    /// 60 minutes.
    Hour,
    /// 24 hours.
    Day,
    /// 7 days.
    Week,
}

impl Window {
    /// All windows, the shortest first.
    pub const ALL: [Self; 4] = [Self::Minute, Self::Hour, Self::Day, Self::Week];

    /// How long it is.
    #[must_use]
    pub fn length(self) -> Duration {
        Duration::from_secs(match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
            Self::Week => 604_800,
        })
    }

    /// The width of the slots in which it is counted, in milliseconds: a 600th of its length, so that a permit leaves
    /// at most 0.17 % late and never early.
    #[must_use]
    pub fn slot_width(self) -> i64 {
        self.length().as_millis() as i64 / 600
    }

    /// The number of the slot that a moment falls into.
    #[must_use]
    pub fn slot(self, at: Moment) -> i64 {
        at.0.div_euclid(self.slot_width())
    }

    /// When what was counted in a slot has left the window: its length after the end of the slot.
    #[must_use]
    pub fn leaves(self, slot: i64) -> Moment {
        Moment((slot + 1) * self.slot_width()).after(self.length())
    }

    /// Its name in commands and output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
        }
    }

    /// The window of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|w| w.name() == name)
    }
}

/// How much fits into one window. `None` is no limit; a limit is at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota {
    /// Transactions.
    pub messages: Option<u32>,
    /// Recipients of them together.
    pub recipients: Option<u32>,
    /// Octets of content. No key in the file sets it yet.
    pub octets: Option<u64>,
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
    /// The quotas by window, in the order of [`Window::ALL`].
    pub quotas: [Quota; 4],
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
        self.quotas[window as usize]
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 5,
            quotas: [Quota::default(); 4],
            messages_per_connection: 1_000,
            recipients_per_message: 100,
            message_size: None,
            pace: Pace::Burst,
            batch: None,
            calendar: false,
        }
    }
}
