//! The logins of an upstream, what they may send together, and who serves in its place.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::{Limits, Quota, Quotas, Window};
use crate::mail::AddressKey;

/// A login at an upstream: the upstream's own, or one of `[[upstream.account]]`.
#[derive(Debug, Clone)]
pub struct Login {
    /// The login name; `None` where nobody logs in. Of one upstream no two are the same, in whatever spelling.
    pub user: Option<String>,
    /// The password.
    pub password: Option<SecretString>,
    /// The name of the sign-in (`[[oauth]]`) whose tokens it logs in with; there is no password then.
    pub oauth: Option<Arc<str>>,
    /// Whether it serves only messages from its own address; `user` is an address then.
    pub sender_bound: bool,
    /// What it may send by itself.
    pub limits: Limits,
}

impl Login {
    /// An account without login.
    #[must_use]
    pub fn anonymous(limits: Limits) -> Self {
        Self { user: None, password: None, oauth: None, sender_bound: false, limits }
    }

    /// The name under which it is counted and shown; empty where nobody logs in.
    #[must_use]
    pub fn name(&self) -> &str {
        self.user.as_deref().unwrap_or_default()
    }

    /// What its name is compared by. A bound account's is that of its sender.
    #[must_use]
    pub fn key(&self) -> AddressKey {
        AddressKey::of_text(self.name())
    }
}

/// What all accounts of an upstream may send together (`[upstream.shared_limits]`). `None` is no limit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SharedLimits {
    /// How much in each window.
    pub quotas: Quotas,
    /// Connections at the same time, at least 1.
    pub connections: Option<u32>,
}

impl SharedLimits {
    /// Whether some window has a quota.
    #[must_use]
    pub fn has_quotas(&self) -> bool {
        !self.quotas.is_empty()
    }

    /// The quota of one window.
    #[must_use]
    pub fn quota(&self, window: Window) -> Quota {
        self.quotas.of(window)
    }
}

/// Upstreams that share limits (`[[limit_group]]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitGroup {
    /// Its name.
    pub name: String,
    /// The names of its upstreams, in the order of the configuration.
    pub upstreams: Vec<String>,
    /// What these may send together.
    pub limits: SharedLimits,
    /// Whether its windows follow the calendar: those of one account in it do.
    pub calendar: bool,
}

/// Who serves in place of an upstream, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fallback {
    /// The names of other upstreams, as these write them, in order; they never lead back here.
    pub upstreams: Vec<String>,
    /// What makes mail take one of them.
    pub on: CausesSet,
    /// For how long mail would at least have to wait before it takes one for `quota`.
    pub after: Duration,
}

impl Default for Fallback {
    fn default() -> Self {
        Self { upstreams: Vec::new(), on: CausesSet::default(), after: Duration::from_mins(15) }
    }
}

/// The causes for which mail takes a fallback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CausesSet {
    /// The upstream does not answer.
    pub unreachable: bool,
    /// The upstream is disabled, by hand or by itself.
    pub disabled: bool,
    /// Its limits are used up.
    pub quota: bool,
}

impl CausesSet {
    /// No cause at all.
    pub const NONE: Self = Self { unreachable: false, disabled: false, quota: false };
}

impl Default for CausesSet {
    fn default() -> Self {
        Self { unreachable: true, disabled: true, quota: false }
    }
}
