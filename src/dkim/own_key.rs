//! Our own keys: their names in the DNS, and from when until when each of them signs.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use jiff::civil::Date;
use mail_auth::common::crypto::DkimKey;

use super::public_key::{DkimKeyType, DkimPublicKey};
use super::record::KeyRecord;
use crate::mail::DomainKey;

/// One of our keys, without its secret half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnKey {
    /// The signing domain, as `d=` has it.
    pub domain: DomainKey,
    /// The selector, as `s=` has it.
    pub selector: String,
    /// The public half.
    pub public: DkimPublicKey,
    /// When it signs.
    pub term: KeyTerm,
}

/// The days on which a key signs, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyTerm {
    /// The first; `None` is always.
    pub begins: Option<Date>,
    /// The first on which another key has taken over; `None` is never.
    pub ends: Option<Date>,
}

/// What a key does on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It signs from this day on.
    Waits(Date),
    /// It signs.
    Signs,
    /// Another key has taken over on this day.
    Stopped(Date),
}

impl KeyTerm {
    /// What the key does on a day.
    #[must_use]
    pub fn standing(self, today: Date) -> Standing {
        match (self.begins, self.ends) {
            (Some(begins), _) if begins > today => Standing::Waits(begins),
            (_, Some(ends)) if ends <= today => Standing::Stopped(ends),
            _ => Standing::Signs,
        }
    }
}

impl Standing {
    /// The word for programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waits(_) => "waits",
            Self::Signs => "signs",
            Self::Stopped(_) => "stopped",
        }
    }
}

impl OwnKey {
    /// The key that signs with `private`.
    #[must_use]
    pub fn new(domain: DomainKey, selector: String, private: &DkimKey, term: KeyTerm) -> Self {
        Self { domain, selector, public: DkimPublicKey::of(private), term }
    }

    /// What is to be published.
    #[must_use]
    pub fn record(&self) -> KeyRecord {
        KeyRecord::new(&self.domain, &self.selector, &self.public)
    }
}

/// When each key signs: from its day on, until the day of the next one of its domain and type. So keys of different types sign
/// beside each other, and so do those of the same day.
#[must_use]
pub fn terms(keys: &[(&DomainKey, DkimKeyType, Option<Date>)]) -> Vec<KeyTerm> {
    let mut days: BTreeMap<(&DomainKey, DkimKeyType), BTreeSet<Date>> = BTreeMap::new();
    for (domain, key_type, begins) in keys {
        days.entry((domain, *key_type)).or_default().extend(begins);
    }
    let term = |(domain, key_type, begins): &(&DomainKey, DkimKeyType, Option<Date>)| {
        let behind = begins.map_or(Unbounded, Excluded);
        let ends = days.get(&(*domain, *key_type)).and_then(|days| days.range((behind, Unbounded)).next());
        KeyTerm { begins: *begins, ends: ends.copied() }
    };
    keys.iter().map(term).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_whose_day_came_last_signs() {
        use DkimKeyType::{Ed25519, Rsa};
        let (one, two): (DomainKey, DomainKey) = ("one.example".into(), "two.example".into());
        let day = |text: &str| (!text.is_empty()).then(|| text.parse::<Date>().unwrap());
        let keys = [
            (&one, Rsa, ""),
            (&one, Rsa, ""),
            (&one, Rsa, "2027-01-01"),
            (&one, Rsa, "2027-07-01"),
            (&one, Rsa, "2027-07-01"),
            (&one, Ed25519, ""),
            (&two, Rsa, "2027-03-01"),
        ];
        let keys = keys.map(|(domain, key_type, from)| (domain, key_type, day(from)));
        let terms = terms(&keys);
        for (today, want) in [
            ("2026-12-31", "ss...s."),
            ("2027-01-01", "xxs..s."),
            ("2027-03-01", "xxs..ss"),
            ("2027-06-30", "xxs..ss"),
            ("2027-07-01", "xxxssss"),
            ("2099-01-01", "xxxssss"),
        ] {
            let today = today.parse().unwrap();
            let standings = terms.iter().map(|term| match term.standing(today) {
                Standing::Waits(_) => '.',
                Standing::Signs => 's',
                Standing::Stopped(_) => 'x',
            });
            assert_eq!(standings.collect::<String>(), want, "{today}");
        }
    }
}
