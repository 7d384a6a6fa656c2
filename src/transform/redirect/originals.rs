//! Whom a test must not reach, and where they stand in a header.

use std::collections::{HashMap, HashSet};

use crate::mail::destinations::{FieldRole, role};
use crate::mail::header::{Field, Header, mailboxes};
use crate::mail::{Address, DomainKey};

/// The addresses that a test must not reach: by their domains, local parts without quotes and white space.
pub(super) struct Originals(HashMap<DomainKey, HashSet<String>>);

impl Originals {
    /// The recipients, and whom the fields name that become the test address.
    pub(super) fn of(header: &Header<'_>, recipients: &[Address], test: &Address) -> Self {
        let is_destination =
            |field: &Field<'_>| matches!(role(field), FieldRole::Destination(_) | FieldRole::Blind);
        let named = header.fields().filter(is_destination).flat_map(|field| mailboxes(field.value()));
        let mut found: HashMap<_, HashSet<_>> = HashMap::new();
        for address in recipients.iter().cloned().chain(named).filter(|address| address.key() != test.key()) {
            let key = address.key();
            let local = key.as_str().rsplit_once('@').map_or("", |(local, _)| local);
            found.entry(key.domain()).or_default().insert(bare(local));
        }
        Self(found)
    }

    /// A Received field that names one of them as the recipient alone, without it: the trace stays whole, so that loops are
    /// found.
    pub(super) fn left_out_of_trace(&self, field: &Field<'_>) -> Option<Vec<u8>> {
        let trace = without_for(field.raw()).filter(|_| field.is("Received"))?;
        (!self.is_in(&Field::of(&trace))).then_some(trace)
    }

    /// Whether one of them stands anywhere in a field, be it in a link.
    pub(super) fn is_in(&self, field: &Field<'_>) -> bool {
        let text = String::from_utf8_lossy(field.raw()).to_lowercase();
        let text = text.replace("%40", "@").replace("=40", "@").replace("\\u0040", "@");
        let text = bare(&text).into_bytes();
        let mut at_signs = memchr::memchr_iter(b'@', &text);
        at_signs.any(|at| {
            let is_of_domain = |&&b: &&u8| b.is_ascii_alphanumeric() || b >= 0x80 || b"-_.".contains(&b);
            let length = match text.get(at + 1) {
                Some(b'[') => text[at + 1..].iter().position(|&b| b == b']').map_or(0, |end| end + 1),
                _ => text[at + 1..].iter().take_while(is_of_domain).count(),
            };
            let domain = &text[at + 1..at + 1 + length];
            let dots = domain.iter().rev().take_while(|&&b| b == b'.').count();
            let domain = &domain[..length - dots];
            let locals = self.0.get(&DomainKey::new(&String::from_utf8_lossy(domain)));
            locals.is_some_and(|locals| locals.iter().any(|local| text[..at].ends_with(local.as_bytes())))
        })
    }
}

/// Without white space, quotes and escapes.
fn bare(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '"' | '\\')).collect()
}

/// A Received field without its `for` clause (RFC 5321 4.4), which may be missing.
fn without_for(received: &[u8]) -> Option<Vec<u8>> {
    let is_white = u8::is_ascii_whitespace;
    let start = received.windows(5).position(|five| {
        is_white(&five[0]) && five[1..4].eq_ignore_ascii_case(b"for") && is_white(&five[4])
    })?;
    let rest = &received[start + 4..];
    let word = rest.iter().position(|b| !is_white(b))?;
    let length = rest[word..].iter().position(|&b| is_white(&b) || b == b';')?;
    let before = received[..start].trim_ascii_end();
    Some([before, &rest[word + length..]].concat())
}
