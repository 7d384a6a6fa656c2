//! How much: of one transaction, of what has gone, of what may go.

use std::ops::AddAssign;

/// What a provider counts: of one transaction, or of several together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Amount {
    /// Transactions.
    pub messages: u32,
    /// Recipients of them together.
    pub recipients: u32,
    /// Octets of content.
    pub octets: u64,
}

impl Amount {
    /// Nothing: it is not counted at all.
    pub const NONE: Self = Self { messages: 0, recipients: 0, octets: 0 };
    /// More than any limit.
    pub const UNLIMITED: Self = Self { messages: u32::MAX, recipients: u32::MAX, octets: u64::MAX };

    /// A transaction with so many recipients and so much content.
    #[must_use]
    pub fn of_message(recipients: u32, octets: u64) -> Self {
        Self { messages: 1, recipients, octets }
    }

    /// More recipients for a transaction that is counted already.
    #[must_use]
    pub fn of_recipients(recipients: u32) -> Self {
        Self { messages: 0, recipients, octets: 0 }
    }

    /// Whether it counts nowhere.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// The smaller of each.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self {
            messages: self.messages.min(other.messages),
            recipients: self.recipients.min(other.recipients),
            octets: self.octets.min(other.octets),
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_add(other.messages),
            recipients: self.recipients.saturating_add(other.recipients),
            octets: self.octets.saturating_add(other.octets),
        }
    }

    /// What is larger of each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            messages: self.messages.max(other.messages),
            recipients: self.recipients.max(other.recipients),
            octets: self.octets.max(other.octets),
        }
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.messages = self.messages.saturating_add(other.messages);
        self.recipients = self.recipients.saturating_add(other.recipients);
        self.octets = self.octets.saturating_add(other.octets);
    }
}

/// How much mail: in a lane, or before a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Load {
    /// Messages.
    pub messages: u64,
    /// Their recipients that are not settled.
    pub recipients: u64,
    /// Octets of their contents.
    pub octets: u64,
}

impl AddAssign for Load {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.recipients += other.recipients;
        self.octets = self.octets.saturating_add(other.octets);
    }
}

/// Sums over a window, which may be larger than any one amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct AmountSum {
    pub(super) messages: u64,
    pub(super) recipients: u64,
    pub(super) octets: u64,
}

impl AmountSum {
    pub(super) fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.recipients += other.recipients;
        self.octets += other.octets;
    }

    pub(super) fn subtract(&mut self, other: Self) {
        self.messages = self.messages.saturating_sub(other.messages);
        self.recipients = self.recipients.saturating_sub(other.recipients);
        self.octets = self.octets.saturating_sub(other.octets);
    }

    pub(super) fn plus(mut self, other: Self) -> Self {
        self.add(other);
        self
    }
}

impl From<&Amount> for AmountSum {
    fn from(amount: &Amount) -> Self {
        Self {
            messages: u64::from(amount.messages),
            recipients: u64::from(amount.recipients),
            octets: amount.octets,
        }
    }
}
