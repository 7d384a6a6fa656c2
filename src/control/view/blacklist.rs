//! The blacklist.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{rfc3339, wall_ms};
use crate::store::{BlacklistEntry, Learned, ListingEnd};
use crate::time::Timeline;

/// An entry of the blacklist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlacklistLine {
    /// An address, `@domain` or `*.domain`.
    pub address: String,
    /// Why.
    pub reason: String,
    /// `manual`, `bounce` or `learned`.
    pub source: String,
    /// When it was added.
    pub added_at: String,
    /// When it ends; null is never.
    pub expires_at: Option<String>,
}

/// A new entry of the blacklist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BlacklistRequest {
    /// An address, `@domain` or `*.domain`.
    pub address: String,
    /// Why; clients are told.
    pub reason: Option<String>,
    /// When it ends: a duration, a date, or never.
    pub expires: Option<String>,
}

/// Whether an address is on the blacklist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlacklistAnswer {
    /// Which address.
    pub address: String,
    /// Whether an entry covers it.
    pub listed: bool,
    /// That entry.
    pub entry: Option<BlacklistLine>,
}

impl BlacklistLine {
    /// An entry as the interface shows it.
    #[must_use]
    pub fn new(entry: BlacklistEntry, timeline: &Timeline) -> Self {
        Self {
            address: entry.pattern,
            reason: entry.reason,
            source: entry.source.name().to_owned(),
            added_at: wall_ms(entry.added),
            expires_at: entry.expires.map(|moment| rfc3339(timeline.wall_at(moment))),
        }
    }
}

/// What became of the entries of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct ImportAnswer {
    /// New ones.
    pub added: u64,
    /// Those that have taken another one's place.
    pub replaced: u64,
    /// Those that were there already, just so.
    pub unchanged: u64,
    /// Those that have expired already, and were passed over.
    pub expired: u64,
    /// Lines that are no entries.
    pub faulty: u64,
    /// The first 1,000 of them.
    pub faults: Vec<ImportFault>,
}

/// A line of a file that is no entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportFault {
    /// The number of the line, from 1.
    pub line: u64,
    /// What is wrong with it, and what to write.
    pub what: String,
}

/// Mailboxes that do not exist, as delivery reports say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LearnRequest {
    /// At most 1,000.
    pub mailboxes: Vec<LearnedAddress>,
}

/// A mailbox that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LearnedAddress {
    /// Its address.
    pub address: String,
    /// What the report says.
    pub reason: String,
}

/// What became of a mailbox that was learned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LearnedLine {
    /// `added`; `renewed`, when reports or bounces had listed it; `kept`, when a person had.
    pub done: String,
    /// The entry that is there now.
    pub entry: BlacklistLine,
}

impl ImportAnswer {
    /// The most faults that are told.
    pub const TOLD: usize = 1_000;

    /// How many lines were entries, whatever became of them.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.added + self.replaced + self.unchanged + self.expired
    }

    /// Counts an entry.
    pub fn count(&mut self, end: ListingEnd) {
        *match end {
            ListingEnd::Added => &mut self.added,
            ListingEnd::Replaced => &mut self.replaced,
            ListingEnd::Unchanged | ListingEnd::Kept => &mut self.unchanged,
            ListingEnd::Expired => &mut self.expired,
        } += 1;
    }

    /// Counts a line that is no entry.
    pub fn fault(&mut self, line: u64, what: String) {
        self.faulty += 1;
        if self.faults.len() < Self::TOLD {
            self.faults.push(ImportFault { line, what });
        }
    }
}

impl LearnedLine {
    /// What became of it as the interface shows it.
    #[must_use]
    pub fn new(learned: Learned, timeline: &Timeline) -> Self {
        let done = match learned.end {
            ListingEnd::Added => "added",
            ListingEnd::Replaced | ListingEnd::Unchanged => "renewed",
            ListingEnd::Kept | ListingEnd::Expired => "kept",
        };
        Self { done: done.to_owned(), entry: BlacklistLine::new(learned.entry, timeline) }
    }
}
