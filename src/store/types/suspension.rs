//! Why an upstream or an account sends nothing, beyond a restart.

use std::time::Duration;

use crate::time::Moment;

/// Why an upstream or an account sends nothing, beyond a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspension {
    /// The upstream.
    pub upstream: String,
    /// The account; `None` is all of them.
    pub account: Option<String>,
    /// What it is.
    pub kind: SuspensionKind,
    /// When it ends by itself.
    pub until: Option<Moment>,
    /// Why, in words.
    pub reason: String,
}

/// What keeps an upstream or an account from sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SuspensionKind {
    /// The provider's word, for a while.
    Paused = 0,
    /// A fault of the configuration: until a reload, or a person says so.
    Stopped = 1,
    /// A person: until a person says so.
    Disabled = 2,
}

/// A suspension that begins now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSuspension {
    /// The upstream.
    pub upstream: String,
    /// The account; `None` is all of them.
    pub account: Option<String>,
    /// What it is.
    pub kind: SuspensionKind,
    /// How long it lasts by itself; `None`: until somebody sees to it.
    pub lasts: Option<Duration>,
    /// Why, in words.
    pub reason: String,
}
