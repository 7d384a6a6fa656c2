//! Whose transactions are counted together.

use std::fmt;
use std::sync::Arc;

/// An account: a login at an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountKey {
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// The login; empty where nobody logs in.
    pub account: Arc<str>,
}

impl AccountKey {
    /// The key of a login at an upstream.
    #[must_use]
    pub fn new(upstream: impl Into<Arc<str>>, account: impl Into<Arc<str>>) -> Self {
        Self { upstream: upstream.into(), account: account.into() }
    }

    /// All that the account's transactions count in: itself, and the upstream as a whole.
    #[must_use]
    pub fn scopes(&self) -> [Scope; 2] {
        [Scope::Account(self.clone()), Scope::Upstream(self.upstream.clone())]
    }
}

/// `upstream/account`; the upstream alone where nobody logs in.
impl fmt::Display for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.account {
            "" => f.write_str(&self.upstream),
            account => write!(f, "{}/{account}", self.upstream),
        }
    }
}

/// The name under which all accounts of an upstream together are shown.
pub const SHARED: &str = "*";

/// Whose transactions are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// An account.
    Account(AccountKey),
    /// All accounts of an upstream.
    Upstream(Arc<str>),
}

impl Scope {
    /// The upstream that it belongs to.
    #[must_use]
    pub fn upstream(&self) -> &str {
        match self {
            Self::Account(key) => &key.upstream,
            Self::Upstream(upstream) => upstream,
        }
    }

    /// The account as people read it: `*` for all accounts of an upstream.
    #[must_use]
    pub fn account(&self) -> &str {
        match self {
            Self::Account(key) => &key.account,
            Self::Upstream(_) => SHARED,
        }
    }
}

/// `upstream/account`, with `*` for all accounts.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(key) => key.fmt(f),
            Self::Upstream(upstream) => write!(f, "{upstream}/*"),
        }
    }
}
