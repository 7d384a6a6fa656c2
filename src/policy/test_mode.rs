//! The test mode switch: is mail that is accepted now meant for its recipients?
//!
//! What is in force is stored with each message at acceptance and never changes for that message. The switch itself
//! follows the file when `enabled` there has changed since it was last seen, else the last command.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::config::{self, TestAction};
use crate::mail::Address;
use crate::store::{Store, StoreError, TestTreatment};

const STATE: &str = "test_mode";
const SEEN: &str = "test_mode_in_file";

/// The test mode in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestState {
    /// Whether it is on.
    pub enabled: bool,
    /// What happens to mail.
    pub action: TestAction,
    /// Where redirected mail goes.
    pub address: Option<Address>,
    /// Where the state came from: the file, or a command.
    pub origin: String,
}

/// Why the switch was not set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestModeError {
    /// Redirect needs an address.
    #[error(
        "there is no test address: say `test-mode on --address YOU@EXAMPLE`, or set `address` in [test_mode]"
    )]
    NoAddress,
    /// The state could not be kept.
    #[error("the switch could not be stored")]
    Store(#[from] StoreError),
}

/// The switch.
pub struct Switch {
    store: Arc<dyn Store>,
    file: config::TestMode,
    state: Mutex<TestState>,
}

/// The switch as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    enabled: bool,
    action: Option<String>,
    address: Option<String>,
    origin: String,
}

impl Switch {
    /// Finds out which state is in force, and notes what the file says.
    ///
    /// # Errors
    /// When the store can't be read or written.
    pub async fn load(store: Arc<dyn Store>, file: &config::TestMode) -> Result<Self, StoreError> {
        let in_file = file.enabled.to_string();
        let seen = store.switch(SEEN).await?;
        let stored = store.switch(STATE).await?.and_then(|text| serde_json::from_str::<Stored>(&text).ok());
        let state = match stored {
            Some(stored) if seen.as_deref() == Some(&in_file) => restored(stored, file),
            _ => TestState {
                enabled: file.enabled,
                action: file.action,
                address: file.address.clone(),
                origin: "configuration".into(),
            },
        };
        let switch = Self { store, file: file.clone(), state: Mutex::new(state.clone()) };
        // The state first: a crash in between makes the file win again, which is what it would have done.
        switch.keep(&state).await?;
        switch.store.set_switch(SEEN, in_file).await?;
        Ok(switch)
    }

    /// The state in force.
    #[must_use]
    pub fn state(&self) -> TestState {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is stored with a message that is accepted now.
    #[must_use]
    pub fn current(&self) -> Option<TestTreatment> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.enabled.then(|| TestTreatment { action: state.action, address: state.address.clone() })
    }

    /// Sets the switch; it lasts over restarts. Without `action` and `address` the file's are used.
    ///
    /// # Errors
    /// When redirect would have no address, or the state can't be kept: then nothing changes.
    pub async fn set(
        &self,
        enabled: bool,
        action: Option<TestAction>,
        address: Option<Address>,
    ) -> Result<TestState, TestModeError> {
        let state = TestState {
            enabled,
            action: action.unwrap_or(self.file.action),
            address: address.or_else(|| self.file.address.clone()),
            origin: "command".into(),
        };
        if state.enabled && state.action == TestAction::Redirect && state.address.is_none() {
            return Err(TestModeError::NoAddress);
        }
        self.keep(&state).await?;
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state.clone();
        tracing::info!(
            event = "test_mode",
            enabled,
            action = action_name(state.action),
            origin = state.origin
        );
        Ok(state)
    }

    async fn keep(&self, state: &TestState) -> Result<(), StoreError> {
        let stored = Stored {
            enabled: state.enabled,
            action: Some(action_name(state.action).to_owned()),
            address: state.address.as_ref().map(ToString::to_string),
            origin: state.origin.clone(),
        };
        let text = serde_json::to_string(&stored).expect("plain fields always serialise");
        self.store.set_switch(STATE, text).await
    }
}

/// The name of an action in configuration, commands and output.
#[must_use]
pub fn action_name(action: TestAction) -> &'static str {
    match action {
        TestAction::Redirect => "redirect",
        TestAction::Hold => "hold",
        TestAction::Capture => "capture",
    }
}

/// The action of that name.
#[must_use]
pub fn action_from_name(name: &str) -> Option<TestAction> {
    [TestAction::Redirect, TestAction::Hold, TestAction::Capture]
        .into_iter()
        .find(|&a| action_name(a) == name)
}

fn restored(stored: Stored, file: &config::TestMode) -> TestState {
    TestState {
        enabled: stored.enabled,
        action: stored.action.as_deref().and_then(action_from_name).unwrap_or(file.action),
        address: stored.address.and_then(|a| Address::parse(&a).ok()).or_else(|| file.address.clone()),
        origin: stored.origin,
    }
}
