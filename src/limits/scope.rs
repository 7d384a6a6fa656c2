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

    /// What the account's transactions count in, whatever the configuration says: itself, and the upstream as a whole. A limit
    /// group is a matter of the configuration.
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

/// Upstreams that share limits (`[[limit_group]]`). One of other upstreams is another one, whatever its name.
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupKey {
    /// Its name.
    pub name: Arc<str>,
    /// The names of its upstreams, in alphabetical order.
    pub upstreams: Box<[Arc<str>]>,
}

impl GroupKey {
    /// The group of these upstreams.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, upstreams: impl IntoIterator<Item = Arc<str>>) -> Arc<Self> {
        let mut upstreams: Vec<Arc<str>> = upstreams.into_iter().collect();
        upstreams.sort_unstable();
        Arc::new(Self { name: name.into(), upstreams: upstreams.into() })
    }

    /// Whether an upstream's transactions count in it.
    #[must_use]
    pub fn has(&self, upstream: &str) -> bool {
        self.upstreams.iter().any(|name| **name == *upstream)
    }
}

/// Whose transactions are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// An account.
    Account(AccountKey),
    /// All accounts of an upstream.
    Upstream(Arc<str>),
    /// All accounts of several upstreams.
    Group(Arc<GroupKey>),
}

impl Scope {
    /// Whether an account's transactions count in it.
    #[must_use]
    pub fn has(&self, account: &AccountKey) -> bool {
        match self {
            Self::Account(key) => key == account,
            Self::Upstream(upstream) => *upstream == account.upstream,
            Self::Group(group) => group.has(&account.upstream),
        }
    }

    /// The account as people read it: `*` for all accounts together.
    #[must_use]
    pub fn account(&self) -> &str {
        match self {
            Self::Account(key) => &key.account,
            Self::Upstream(_) | Self::Group(_) => SHARED,
        }
    }
}

/// `upstream/account`, with `*` for all accounts.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(key) => key.fmt(f),
            Self::Upstream(upstream) => write!(f, "{upstream}/*"),
            Self::Group(group) => write!(f, "limit group {}", group.name),
        }
    }
}
