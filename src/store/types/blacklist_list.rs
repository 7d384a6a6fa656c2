//! How people look at the blacklist, and what they put on it by many.

use std::time::Duration;

use super::{BlacklistEntry, BlacklistSource};
use crate::mail::{AddressKey, DomainKey};

/// Which entries a page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlacklistFilter {
    /// Those that a person looks for; all when `None`.
    pub search: Option<BlacklistSearch>,
    /// Behind this one, as the page before has told it.
    pub after: Option<String>,
    /// Entries at most.
    pub limit: u32,
}

/// A page of all of them, as long as pages may be.
impl Default for BlacklistFilter {
    fn default() -> Self {
        Self { search: None, after: None, limit: Self::MOST }
    }
}

impl BlacklistFilter {
    /// The longest page.
    pub const MOST: u32 = 1_000;
}

/// What a person looks for in the blacklist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlacklistSearch {
    /// Entries whose pattern begins so: a whole local part, the `@`, and how the domain begins. Found at once, however long the
    /// list is.
    Address(String),
    /// Entries whose domain begins so. Found at once, too.
    Domain(String),
    /// Entries that have one of these texts in their pattern or reason, in lower case. All entries are looked at, some for each page.
    Text(Vec<String>),
}

impl BlacklistSearch {
    /// A text with an `@` is looked up as an address: before it the whole local part, or nothing, and behind it how the domain
    /// begins. Any other is looked for everywhere. `None` for a text of white space.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        let Some((local, domain)) = text.rsplit_once('@') else {
            // A domain may be listed by its A-labels.
            let mut texts = vec![folded(text), DomainKey::new(text).as_str().to_owned()];
            texts.dedup();
            return Some(Self::Text(texts));
        };
        let domain = DomainKey::new(domain);
        if local.is_empty() {
            return Some(Self::Domain(domain.as_str().to_owned()));
        }
        let whole = AddressKey::of_text(&format!("{local}@x"));
        let local = whole.as_str().strip_suffix('x').unwrap_or(whole.as_str());
        Some(Self::Address(format!("{local}{domain}")))
    }

    /// Whether a search for texts finds an entry.
    #[must_use]
    pub fn has(texts: &[String], pattern: &str, reason: &str) -> bool {
        let reason = folded(reason);
        texts.iter().any(|text| pattern.contains(text.as_str()) || reason.contains(text.as_str()))
    }
}

/// A text as others are found by.
fn folded(text: &str) -> String {
    // What is no address has a key that differs in case and composition alone.
    AddressKey::of_text(&text.replace('@', " ")).into()
}

/// A page of the blacklist.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlacklistPage {
    /// Ordered by pattern; in a search for a domain by that first.
    pub entries: Vec<BlacklistEntry>,
    /// Behind which one the next page begins; `None` at the end. A page of a search may be empty and have a next.
    pub next: Option<String>,
}

/// An entry of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedEntry {
    /// An address, `@domain` or `*.domain`, in any spelling.
    pub pattern: String,
    /// Why.
    pub reason: String,
    /// How it came to be.
    pub source: BlacklistSource,
    /// When, by the wall clock in milliseconds since 1970; `None` is now.
    pub added: Option<i64>,
    /// When it ends, likewise; `None` is never.
    pub expires: Option<i64>,
}

/// A mailbox that does not exist, as a delivery report says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LearnedMailbox {
    /// Its address, in any spelling.
    pub address: String,
    /// What the report says.
    pub reason: String,
    /// How long the entry lasts; `None` is for ever.
    pub lasts: Option<Duration>,
}

/// What became of an entry that was put on the list with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListingEnd {
    /// It is new.
    Added,
    /// It has taken another one's place.
    Replaced,
    /// It was there already, just so.
    Unchanged,
    /// It has expired already, and was passed over.
    Expired,
    /// A person had made one, which stays.
    Kept,
}

/// What became of a mailbox that was learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Learned {
    /// What was done.
    pub end: ListingEnd,
    /// The entry that is there now.
    pub entry: BlacklistEntry,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_looked_for() {
        let text =
            |texts: &[&str]| BlacklistSearch::Text(texts.iter().map(|&text| text.to_owned()).collect());
        for (search, want) in [
            ("", None),
            ("  ", None),
            (" Anna ", Some(text(&["anna"]))),
            ("Müller", Some(text(&["müller", "xn--mller-kva"]))),
            ("Full Mailbox", Some(text(&["full mailbox"]))),
            ("Anna@", Some(BlacklistSearch::Address("anna@".to_owned()))),
            ("\"Anna\"@Firm", Some(BlacklistSearch::Address("anna@firm".to_owned()))),
            ("@Firm.Example", Some(BlacklistSearch::Domain("firm.example".to_owned()))),
            ("@müller.test", Some(BlacklistSearch::Domain("xn--mller-kva.test".to_owned()))),
        ] {
            assert_eq!(BlacklistSearch::parse(search), want, "{search:?}");
        }
    }

    #[test]
    fn finds_in_pattern_and_reason() {
        let BlacklistSearch::Text(texts) = BlacklistSearch::parse("MÜLL").unwrap() else { panic!() };
        for (pattern, reason, want) in [
            ("müller@firm.example", "x", true),
            ("a@firm.example", "Herr Müller ist weg", true),
            ("a@firm.example", "gone", false),
        ] {
            assert_eq!(BlacklistSearch::has(&texts, pattern, reason), want, "{pattern} {reason}");
        }
    }
}
