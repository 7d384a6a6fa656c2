//! Something is done to all messages that fit.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is done to each message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BulkAction {
    /// Tried again now, when it waits.
    Retry,
    /// Kept until it is released.
    Hold,
    /// Deleted for good, without a report.
    Delete,
}

/// Which messages are meant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkFilter {
    /// Of this upstream.
    #[serde(default)]
    pub upstream: Option<String>,
    /// In this state: `ready deferred held sending`
    #[serde(default)]
    pub state: Option<String>,
    /// From this sender.
    #[serde(default)]
    pub sender: Option<String>,
    /// For this recipient.
    #[serde(default)]
    pub recipient: Option<String>,
}

/// What is to be done to all messages that fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkRequest {
    /// What.
    pub action: BulkAction,
    /// To which messages; what is accepted later is not meant.
    #[serde(default)]
    pub filter: BulkFilter,
    /// That all messages are meant, where the filter says nothing.
    #[serde(default)]
    pub all: bool,
}

/// How far that has come.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct BulkProgress {
    /// Messages to which it was done.
    pub messages: u64,
    /// Messages to which it could not be done: gone meanwhile, in another state, or sent for too long.
    pub others: u64,
    /// Whether this is all.
    pub done: bool,
    /// Why the rest stays as it is.
    #[serde(default)]
    pub error: Option<String>,
}
