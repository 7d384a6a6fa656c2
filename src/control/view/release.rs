//! Held mail that is let go.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Where a held message goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// `test` or `recipients`.
    pub to: String,
    /// To the test address also when the message is no test, so that its recipients never get it.
    #[serde(default)]
    pub confirmed: bool,
}

/// Where all held messages go that fit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ReleaseQuery {
    /// `test` or `recipients`.
    pub to: String,
    /// Of this upstream.
    #[serde(default)]
    pub upstream: Option<String>,
    /// In this state; none is released that is not held.
    #[serde(default)]
    pub state: Option<String>,
    /// From this sender.
    #[serde(default)]
    pub sender: Option<String>,
    /// For this recipient.
    #[serde(default)]
    pub recipient: Option<String>,
}

/// What a release of all that fit would do now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleasePlan {
    /// Messages that would go.
    pub messages: u64,
    /// Real recipients that would get mail.
    pub recipients: u64,
    /// Recipients that would never get theirs: of messages that are no tests, and would go to the test address.
    pub never_reached: u64,
    /// Messages that stay held: accepted in test mode, they never go to their recipients.
    pub kept: u64,
    /// The test address, when they would go there.
    #[serde(default)]
    pub test_address: Option<String>,
    /// The last message of these; what is accepted later is not meant.
    pub up_to: i64,
}

/// That all of a plan is to be done, and no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseAll {
    /// Which messages, and where to.
    pub query: ReleaseQuery,
    /// What a person has agreed to.
    pub plan: ReleasePlan,
}

/// How far such a release has come.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct ReleaseProgress {
    /// Messages that were released.
    pub messages: u64,
    /// Real recipients that get mail by that.
    pub recipients: u64,
    /// Messages that have changed meanwhile, and stay as they are.
    pub changed: u64,
    /// Whether this is all.
    pub done: bool,
    /// Why the rest stays held.
    #[serde(default)]
    pub error: Option<String>,
}
