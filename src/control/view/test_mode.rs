//! Test mode.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::policy::test_mode::{TestState, action_name};
use crate::store::{TestModeCounts, TestTreatment};

/// Test mode as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestModeJson {
    /// Whether it is on.
    pub enabled: bool,
    /// `redirect hold capture`
    pub action: String,
    /// Where redirected mail goes.
    pub address: Option<String>,
    /// Who set it.
    pub origin: String,
    /// How it differs by command from what the configuration says, in words; null when it does not.
    #[serde(default)]
    pub not_in_file: Option<String>,
    /// Whose mail is in test mode though the switch is off, by name.
    #[serde(default)]
    pub users: Vec<String>,
    /// What it makes of the messages in the queue; nothing when the store can't be read.
    #[serde(flatten)]
    pub counts: Option<TestModeCounts>,
}

/// Test mode as it shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestModeChange {
    /// On or off.
    pub enabled: bool,
    /// What it does; as before when absent.
    #[serde(default)]
    pub action: Option<String>,
    /// Where redirected mail goes; as before when absent.
    #[serde(default)]
    pub address: Option<String>,
}

impl TestModeJson {
    /// The state, with the users whose mail is in test mode anyway, and what is in the queue.
    #[must_use]
    pub fn new(state: TestState, users: Vec<String>, counts: Option<TestModeCounts>) -> Self {
        let TestTreatment { action, address } = state.treatment();
        Self {
            enabled: state.enabled,
            action: action_name(action).to_owned(),
            address: address.map(|a| a.to_string()),
            origin: state.origin,
            not_in_file: None,
            users,
            counts,
        }
    }
}
