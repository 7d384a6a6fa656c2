//! Copies for Sent folders.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{rfc3339, some_text};
use crate::store::WaitingCopies;
use crate::time::Timeline;

/// The copies of an account that wait until they lie in its Sent folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SentCopiesJson {
    /// The upstream.
    pub upstream: String,
    /// The account.
    pub account: String,
    /// How many wait.
    pub copies: u64,
    /// Their octets.
    pub size: u64,
    /// Since when the oldest waits.
    pub since: String,
    /// Why the last try failed, if one has.
    pub reason: Option<String>,
}

impl SentCopiesJson {
    /// As the interface shows them.
    #[must_use]
    pub fn new(waiting: &WaitingCopies, timeline: &Timeline) -> Self {
        let WaitingCopies { account, copies, octets, oldest, reason } = waiting;
        Self {
            upstream: account.upstream.to_string(),
            account: account.account.to_string(),
            copies: *copies,
            size: *octets,
            since: rfc3339(timeline.wall_at(*oldest)),
            reason: some_text(reason),
        }
    }
}
