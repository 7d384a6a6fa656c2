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
    /// When it ends by itself; of a refused login, when that is probed next.
    pub until: Option<Moment>,
    /// What a refused login consisted of, as a text that tells it from others and says nothing else.
    pub login: Option<String>,
    /// Why, in words.
    pub reason: String,
}

/// What keeps an upstream or an account from sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SuspensionKind {
    /// The provider's word, for a while.
    Paused = 0,
    /// A fault that a person must see to: until one says so.
    Stopped = 1,
    /// A person: until a person says so.
    Disabled = 2,
    /// The login was refused: probed now and then, until it is accepted or is another one.
    Login = 3,
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
    /// How long it lasts by itself, `None`: until somebody sees to it; of a refused login, how long until the next probe.
    pub lasts: Option<Duration>,
    /// What a refused login consisted of.
    pub login: Option<String>,
    /// Why, in words.
    pub reason: String,
}
