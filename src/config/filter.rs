//! Which senders an upstream serves, or a user may use.

use crate::mail::Address;

/// An entry of `filter`; lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Filter {
    /// A full sender address.
    Address(String),
    /// That domain alone.
    Domain(String),
    /// `*.domain`: its subdomains, without the `*.`.
    Subdomains(String),
}

impl Filter {
    /// Whether it names this address; case does not matter.
    #[must_use]
    pub fn matches(&self, address: &Address) -> bool {
        let key = address.key();
        let domain = address.domain().to_lowercase();
        match self {
            Self::Address(address) => *address == key,
            Self::Domain(name) => *name == domain,
            Self::Subdomains(parent) => {
                domain.strip_suffix(parent.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
        }
    }
}
