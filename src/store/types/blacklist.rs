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
    /// A delivery report that came by mail.
    Learned,
}

impl BlacklistSource {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Manual, Self::Bounce, Self::Learned];

    /// The name in files and output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Bounce => "bounce",
            Self::Learned => "learned",
        }
    }
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

/// Failures of a mailbox count when there is so much time between them,
pub const FAILURES_APART: Duration = Duration::from_hours(24);
/// and for so long.
pub const FAILURES_WITHIN: Duration = Duration::from_hours(90 * 24);
/// Failures of a domain's recipients within so much time tell whether it is in trouble.
pub const TROUBLE_WITHIN: Duration = Duration::from_hours(24);

/// When failures put a mailbox on the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListingRule {
    /// After so many that count.
    pub after: u32,
    /// How long the entry lasts; `None` is for ever.
    pub lasts: Option<Duration>,
}

/// A mailbox does not exist, as a permanent reply says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxFailure {
    /// Its address.
    pub address: String,
    /// The reply.
    pub reply: String,
    /// When it is listed.
    pub rule: ListingRule,
}

/// What the store makes of such failures.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MailboxFindings {
    /// Entries that they have made.
    pub listed: Vec<BlacklistEntry>,
    /// Domains that are in trouble, which nobody was told yet.
    pub troubled: Vec<TroubledDomain>,
}

/// A domain of which so many recipients fail that its server must be at fault, and not they.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TroubledDomain {
    /// Its key.
    pub domain: String,
    /// Recipients that have failed.
    pub failed: u64,
    /// Of so many that failed or were delivered to.
    pub recipients: u64,
    /// Entries that such failures had made, and that were taken back.
    pub withdrawn: u64,
}

/// Whether so many of a domain's recipients fail within a day that its server must be at fault.
#[must_use]
pub fn is_in_trouble(failed: u64, recipients: u64) -> bool {
    failed >= 10 && failed * 5 > recipients
}

/// The domain of an address's key.
#[must_use]
pub fn domain_key(address_key: &str) -> &str {
    address_key.rsplit_once('@').map_or("", |(_, domain)| domain)
}

/// What an entry covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatternKind {
    /// One address.
    Address,
    /// All addresses of a domain.
    Domain,
    /// All addresses of the domains below one.
    Subdomains,
}

impl PatternKind {
    /// The entry that covers so much of this address or domain.
    #[must_use]
    pub fn pattern(self, text: &str) -> String {
        match self {
            Self::Address => text.to_owned(),
            Self::Domain => format!("@{text}"),
            Self::Subdomains => format!("*.{text}"),
        }
    }
}

/// What an entry covers, and the address or domain that it names.
#[must_use]
pub fn pattern_kind(pattern: &str) -> (PatternKind, &str) {
    if let Some(domain) = pattern.strip_prefix('@') {
        return (PatternKind::Domain, domain);
    }
    match pattern.strip_prefix("*.").filter(|domain| !domain.contains('@')) {
        Some(domain) => (PatternKind::Subdomains, domain),
        None => (PatternKind::Address, pattern),
    }
}

/// The domain of an entry, whatever it covers there.
#[must_use]
pub fn pattern_domain(pattern_key: &str) -> &str {
    match pattern_kind(pattern_key) {
        (PatternKind::Address, address) => domain_key(address),
        (_, domain) => domain,
    }
}

/// An address, `@domain` or `*.domain` in the one spelling in which entries are stored.
#[must_use]
pub fn pattern_key(pattern: &str) -> String {
    match pattern_kind(pattern) {
        (PatternKind::Address, address) => AddressKey::of_text(address).into(),
        (kind, domain) => kind.pattern(DomainKey::new(domain).as_str()),
    }
}

/// What somebody makes of each that covers an address, in any spelling: itself, its domain, and each parent of its domain; the closest
/// first.
pub fn covering<T>(address: &str, make: impl Fn(PatternKind, &str) -> Option<T>) -> Vec<T> {
    let address = AddressKey::of_text(address);
    let domain = address.domain();
    let own = [(PatternKind::Address, address.as_str()), (PatternKind::Domain, domain.as_str())];
    let above = domain.parents().map(|parent| (PatternKind::Subdomains, parent));
    own.into_iter().chain(above).filter_map(|(kind, text)| make(kind, text)).collect()
}

/// The patterns that cover an address, as [`pattern_key`] writes them; the closest first.
#[must_use]
pub fn patterns_covering(address: &str) -> Vec<String> {
    covering(address, |kind, text| Some(kind.pattern(text)))
}

/// The patterns that cover all that a pattern covers, itself among them; the closest first.
#[must_use]
pub fn patterns_containing(pattern: &str) -> Vec<String> {
    let key = pattern_key(pattern);
    let parents = |domain: &str| -> Vec<String> {
        DomainKey::new(domain).parents().map(|parent| format!("*.{parent}")).collect()
    };
    let above = match pattern_kind(&key) {
        (PatternKind::Address, address) => return patterns_covering(address),
        (_, domain) => parents(domain),
    };
    [key].into_iter().chain(above).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_contains_a_pattern() {
        for (pattern, want) in [
            ("A@Firm.Example", &["a@firm.example", "@firm.example", "*.example"][..]),
            ("@Firm.Example", &["@firm.example", "*.example"]),
            ("*.A.Firm.Example", &["*.a.firm.example", "*.firm.example", "*.example"]),
        ] {
            assert_eq!(patterns_containing(pattern), want, "{pattern}");
        }
    }

    #[test]
    fn an_entry_has_a_domain() {
        for (pattern, want) in [
            ("a@firm.example", "firm.example"),
            ("\"a@b\"@firm.example", "firm.example"),
            ("@firm.example", "firm.example"),
            ("*.firm.example", "firm.example"),
            ("*.odd@firm.example", "firm.example"),
        ] {
            assert_eq!(pattern_domain(pattern), want, "{pattern}");
        }
    }

    #[test]
    fn a_fifth_of_at_least_ten_is_trouble() {
        for (failed, recipients, want) in [
            (9, 9, false),
            (10, 10, true),
            (10, 49, true),
            (10, 50, false),
            (200, 1_000, false),
            (201, 1_000, true),
        ] {
            assert_eq!(is_in_trouble(failed, recipients), want, "{failed} of {recipients}");
        }
    }

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
