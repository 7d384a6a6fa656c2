//! What is in the way, and until when.

use std::fmt;

use super::scope::Scope;
use crate::config::Window;
use crate::time::Moment;

/// Why nothing may go, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// What is in the way.
    pub cause: Cause,
    /// When there is room; `None` when a transaction that is under way must end first.
    pub until: Option<Moment>,
}

/// What is in the way of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A window of the account is full.
    Window(Window),
    /// A window of several accounts together is full.
    Shared(Window),
    /// A window of several upstreams together is full.
    Group(Window),
    /// The even pace.
    Even,
    /// The pause after a batch.
    Batch,
    /// The pace that the provider's answers have taught.
    Slowed,
}

impl Wait {
    /// The same wait of a scope.
    pub(super) fn of(self, scope: &Scope) -> Self {
        let cause = match (self.cause, scope) {
            (Cause::Window(window), Scope::Upstream(_)) => Cause::Shared(window),
            (Cause::Window(window), Scope::Group(_)) => Cause::Group(window),
            (cause, _) => cause,
        };
        Self { cause, ..self }
    }

    /// The one of two waits that lasts longer; one whose end is not known lasts longest.
    #[must_use]
    pub fn later(a: Option<Self>, b: Self) -> Self {
        match a {
            Some(a) if a.until.is_none() || b.until.is_some_and(|b| a.until >= Some(b)) => a,
            _ => b,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Window(window) => write!(f, "limit per {window}"),
            Self::Shared(window) => write!(f, "limit per {window} of all accounts"),
            Self::Group(window) => write!(f, "limit per {window} of its limit group"),
            Self::Even => f.write_str("even pace"),
            Self::Batch => f.write_str("pause between batches"),
            Self::Slowed => f.write_str("slowed down after the provider's complaint"),
        }
    }
}
