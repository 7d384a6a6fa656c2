//! The blacklist.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{rfc3339, wall_ms};
use crate::store::{BlacklistEntry, BlacklistSource};
use crate::time::Timeline;

/// An entry of the blacklist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlacklistLine {
    /// An address, `@domain` or `*.domain`.
    pub address: String,
    /// Why.
    pub reason: String,
    /// `manual` or `bounce`.
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
        let source = match entry.source {
            BlacklistSource::Manual => "manual",
            BlacklistSource::Bounce => "bounce",
        };
        Self {
            address: entry.pattern,
            reason: entry.reason,
            source: source.to_owned(),
            added_at: wall_ms(entry.added),
            expires_at: entry.expires.map(|moment| rfc3339(timeline.wall_at(moment))),
        }
    }
}
