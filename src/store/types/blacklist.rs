//! Who gets no mail.

use std::time::Duration;

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
    /// An address, `@domain` or `*.domain`; lower case.
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
    /// An address, `@domain` or `*.domain`, in any case.
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

/// What covers an address: itself, its `@domain`, and `*.` with each parent of its domain; lower case, the closest first.
#[must_use]
pub fn patterns_covering(address: &str) -> Vec<String> {
    let address = address.to_lowercase();
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
    let parents = domain.match_indices('.').map(|(dot, _)| format!("*{}", &domain[dot..]));
    let own = [address.clone(), format!("@{domain}")];
    own.into_iter().chain(parents).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_pattern_comes_first() {
        let patterns = patterns_covering("Ann@Mail.Firm.Example");
        assert_eq!(patterns, ["ann@mail.firm.example", "@mail.firm.example", "*.firm.example", "*.example"]);
    }
}
