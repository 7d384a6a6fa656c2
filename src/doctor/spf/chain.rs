//! The walk through a record and those that it includes, as a receiver walks for a host that nothing matches: the longest one.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::record::{self, Expanded, Misspelt, Spec, SpfMechanism, SpfQualifier, SpfRecord};
use crate::dns::DnsName;
use crate::doctor::book::Book;

/// How many terms may ask the DNS (RFC 7208 4.6.4).
pub(super) const MOST_LOOKUPS: usize = 10;
/// How many of these may find nothing (RFC 7208 4.6.4).
pub(super) const MOST_VOIDS: usize = 2;
/// The most hosts of an `mx` (RFC 7208 4.6.4).
const MOST_EXCHANGES: usize = 10;
/// Where the walk ends, so that a remedy can still say how far it is to the ceiling.
const GIVE_UP: usize = 40;
/// The deepest nesting of records.
const DEEPEST: usize = 12;

/// What a walk has seen.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// What becomes of the hosts of the records that it includes.
    pub(super) matches: Matches,
    /// The networks that may send.
    pub(super) networks: Vec<IpNet>,
    /// Terms that ask the DNS.
    pub(super) lookups: usize,
    /// The terms that found nothing.
    pub(super) voids: Vec<String>,
    /// Whether hosts may pass by a rule that only the receiver of a message can evaluate.
    pub(super) is_open: bool,
    /// Whether a `ptr` is among the terms.
    pub(super) has_ptr: bool,
    /// The record by which any host at all may send.
    pub(super) world: Option<DnsName>,
    /// What stops receivers.
    pub(super) troubles: Vec<Trouble>,
}

/// The names of records whose hosts match, and what a match means for them: the first one counts (RFC 7208 4.6.2).
pub(super) type Matches = BTreeMap<DnsName, SpfQualifier>;

/// What stops receivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// A record with syntax errors.
    Syntax(DnsName, Vec<Misspelt>),
    /// A record includes or redirects to a name that has none.
    NoRecord { at: DnsName, term: String },
    /// A name has several records.
    Several(DnsName, usize),
    /// A record leads back to itself.
    Loop(Vec<DnsName>),
    /// An `mx` has too many hosts.
    Exchanges(DnsName),
    /// A name that can't be asked about.
    NoName { at: DnsName, term: String },
    /// Records could not be looked up: nothing is known about them.
    Unanswered(DnsName, String),
}

/// Walks from the record of a name.
pub(super) struct Walk<'b> {
    book: &'b Book,
    sender: &'b DnsName,
    /// The names of the records that the walk is in.
    path: Vec<DnsName>,
    chain: Chain,
}

impl<'b> Walk<'b> {
    /// Walks from `record`, which is that of `name`, for mail of `sender`.
    pub(super) fn from(book: &'b Book, sender: &'b DnsName, name: &DnsName, record: &SpfRecord) -> Chain {
        let mut walk = Walk { book, sender, path: vec![name.clone()], chain: Chain::default() };
        walk.chain.matches = walk.record(name, record, true);
        walk.chain
    }

    /// Walks through a record; `passes` tells whether its hosts may send if it lets them.
    fn record(&mut self, at: &DnsName, record: &SpfRecord, passes: bool) -> Matches {
        let mut matches = Matches::new();
        for term in record.effective() {
            if self.chain.lookups > GIVE_UP {
                return matches;
            }
            let passes = passes && term.qualifier == SpfQualifier::Pass;
            match &term.mechanism {
                SpfMechanism::All if passes => self.chain.world = Some(at.clone()),
                SpfMechanism::Network(network) if passes => self.chain.networks.push(*network),
                SpfMechanism::All | SpfMechanism::Network(_) => {}
                SpfMechanism::Ptr => {
                    self.chain.lookups += 1;
                    self.chain.has_ptr = true;
                    self.chain.is_open |= passes;
                }
                SpfMechanism::Include(spec) => {
                    // Hosts match that pass there; of others nothing is said by it (RFC 7208 5.2).
                    let inner = self.follow(at, spec, (&term.text, passes));
                    let passing = inner.into_iter().filter(|(_, inner)| *inner == SpfQualifier::Pass);
                    passing.for_each(|(name, _)| _ = matches.entry(name).or_insert(term.qualifier));
                }
                SpfMechanism::A(spec) => self.hosts(at, spec.as_ref(), &term.text, passes),
                SpfMechanism::Exists(spec) => self.hosts(at, Some(spec), &term.text, passes),
                SpfMechanism::Mx(spec) => self.exchanges(at, spec.as_ref(), &term.text, passes),
            }
        }
        if let (None, Some(spec)) = (record.all(), &record.redirect) {
            for (name, qualifier) in self.follow(at, spec, ("redirect", passes)) {
                matches.entry(name).or_insert(qualifier);
            }
        }
        matches
    }

    /// Goes into the record that a term names. Its own hosts pass there.
    fn follow(&mut self, at: &DnsName, spec: &Spec, (term, passes): (&str, bool)) -> Matches {
        self.chain.lookups += 1;
        let mut matches = Matches::new();
        let Some(name) = self.expanded(at, spec, term, passes) else { return matches };
        if self.path.contains(&name) || self.path.len() >= DEEPEST {
            let mut ring = self.path.clone();
            ring.push(name);
            self.chain.troubles.push(Trouble::Loop(ring));
            return matches;
        }
        let texts = match self.book.texts(&name) {
            Ok(texts) => texts,
            Err(error) => {
                self.chain.troubles.push(Trouble::Unanswered(name, error.to_string()));
                return matches;
            }
        };
        if self.book.has_no_text(&name) {
            self.chain.voids.push(term.to_owned());
        }
        match record::among(texts).as_slice() {
            [] => self.chain.troubles.push(Trouble::NoRecord { at: at.clone(), term: term.to_owned() }),
            [text] => match SpfRecord::parse(text) {
                Ok(record) => {
                    self.path.push(name.clone());
                    matches = self.record(&name, &record, passes);
                    self.path.pop();
                    matches.insert(name, SpfQualifier::Pass);
                }
                Err(wrong) => self.chain.troubles.push(Trouble::Syntax(name, wrong)),
            },
            several => self.chain.troubles.push(Trouble::Several(name, several.len())),
        }
        matches
    }

    fn hosts(&mut self, at: &DnsName, spec: Option<&Spec>, term: &str, passes: bool) {
        self.chain.lookups += 1;
        let Some(name) = self.named(at, spec, term, passes) else { return };
        match self.book.addresses(&name) {
            Ok(addresses) if addresses.is_empty() => self.chain.voids.push(term.to_owned()),
            Ok(addresses) if passes => self.chain.networks.extend(addresses.into_iter().map(IpNet::from)),
            Ok(_) => {}
            Err(error) => self.chain.troubles.push(Trouble::Unanswered(name, error.to_string())),
        }
    }

    fn exchanges(&mut self, at: &DnsName, spec: Option<&Spec>, term: &str, passes: bool) {
        self.chain.lookups += 1;
        let Some(name) = self.named(at, spec, term, passes) else { return };
        match self.book.exchanges(&name) {
            Ok([]) => self.chain.voids.push(term.to_owned()),
            Ok(exchanges) if exchanges.len() > MOST_EXCHANGES => {
                self.chain.troubles.push(Trouble::Exchanges(name));
            }
            // Whose they are is nobody's concern but the receiver's.
            Ok(_) => self.chain.is_open |= passes,
            Err(error) => self.chain.troubles.push(Trouble::Unanswered(name, error.to_string())),
        }
    }

    fn named(&mut self, at: &DnsName, spec: Option<&Spec>, term: &str, passes: bool) -> Option<DnsName> {
        spec.map_or_else(|| Some(at.clone()), |spec| self.expanded(at, spec, term, passes))
    }

    fn expanded(&mut self, at: &DnsName, spec: &Spec, term: &str, passes: bool) -> Option<DnsName> {
        match spec.expand(at, self.sender) {
            Expanded::Name(name) => return Some(name),
            Expanded::ByMessage => self.chain.is_open |= passes,
            Expanded::NoName => {
                self.chain.troubles.push(Trouble::NoName { at: at.clone(), term: term.to_owned() });
            }
        }
        None
    }
}
