//! Who gets no mail.

use std::time::Duration;

use crate::mail::{AddressKey, DomainKey};
use crate::time::Moment;

/// How a blacklist entry came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlacklistSource {
    /// A person.
    Manual,
    /// A hard bounce.
    Bounce,
}

/// An entry of the blacklist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlacklistEntry {
    /// An address, `@domain` or `*.domain`; as [`pattern_key`] writes it.
    pub pattern: String,
    /// Why.
    pub reason: String,
    /// By whom.
    pub source: BlacklistSource,
    /// When, by the wall clock in milliseconds since 1970.
    pub added: i64,
    /// When it ends, on the time line.
    pub expires: Option<Moment>,
}

/// An entry that a person makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBlacklistEntry {
    /// An address, `@domain` or `*.domain`, in any spelling.
    pub pattern: String,
    /// Why.
    pub reason: String,
    /// How long it lasts; `None` is for ever.
    pub lasts: Option<Duration>,
}

/// An address whose mailbox does not exist, as a permanent reply says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlacklistCandidate {
    /// The address.
    pub address: String,
    /// The address goes on the list after so many of these.
    pub after: u32,
    /// How long the entry lasts; `None` is for ever.
    pub lasts: Option<Duration>,
}

/// An address, `@domain` or `*.domain` in the one spelling in which entries are stored.
#[must_use]
pub fn pattern_key(pattern: &str) -> String {
    if let Some(domain) = pattern.strip_prefix('@') {
        return format!("@{}", DomainKey::new(domain));
    }
    match pattern.strip_prefix("*.").filter(|domain| !domain.contains('@')) {
        Some(domain) => format!("*.{}", DomainKey::new(domain)),
        None => AddressKey::of_text(pattern).into(),
    }
}

/// The patterns that cover an address, as [`pattern_key`] writes them: itself, its `@domain`, and `*.` with each parent of its
/// domain; the closest first.
#[must_use]
pub fn patterns_covering(address: &str) -> Vec<String> {
    let address = AddressKey::of_text(address);
    let domain = address.domain();
    let own = [address.to_string(), format!("@{domain}")];
    own.into_iter().chain(domain.parents().map(|parent| format!("*.{parent}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_pattern_comes_first() {
        let patterns = patterns_covering("Ann@Mail.Firm.Example");
        assert_eq!(patterns, ["ann@mail.firm.example", "@mail.firm.example", "*.firm.example", "*.example"]);
    }

    #[test]
    fn a_pattern_covers_all_spellings() {
        for (pattern, address) in [
            ("\"Ann\"@Müller.test", "ann@xn--mller-kva.test"),
            ("ann@xn--mller-kva.test", "ANN@mu\u{308}ller。test"),
            ("@MÜLLER.test", "x@müller.test"),
            ("*.müller.test", "x@a.xn--mller-kva.test"),
            ("*.Odd@firm.test", "*.odd@firm.test"),
        ] {
            let key = pattern_key(pattern);
            assert!(patterns_covering(address).contains(&key), "{pattern} {address}");
            assert_eq!(pattern_key(&key), key);
        }
    }
}
