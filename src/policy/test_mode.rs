//! The test mode switch: is mail that is accepted now meant for its recipients?
//!
//! What is in force is stored with each message at acceptance and never changes for that message. The switch itself
//! follows the file when `enabled` there has changed since it was last seen, else the last command.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::config::{self, TestAction};
use crate::mail::Address;
use crate::store::{StoreError, Switches, TestTreatment};

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

impl TestState {
    /// Says loudly what becomes of mail from now on.
    pub(crate) fn log(&self) {
        let Self { enabled, action, address, origin } = self;
        let to = address.as_ref().filter(|_| *enabled).map(ToString::to_string);
        tracing::warn!(event = "test_mode", enabled, action = action_name(*action), to, origin);
    }
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
///
/// Made once for the life of the process: everybody asks the same one, so that all see a change at once.
pub struct Switch {
    store: Arc<dyn Switches>,
    state: Mutex<TestState>,
    /// Held while a change is stored and then shown, so that store and memory can't end up different.
    changing: tokio::sync::Mutex<()>,
}

/// The switch, or what the file said of it, as it is stored.
#[derive(Serialize, Deserialize, PartialEq, Eq)]
struct StoredSwitch {
    enabled: bool,
    action: String,
    address: Option<String>,
    origin: String,
}

impl Switch {
    /// Finds out which state is in force, and notes what the file says.
    ///
    /// # Errors
    /// When the store can't be read or written.
    pub async fn load(store: Arc<dyn Switches>, file: &config::TestMode) -> Result<Self, StoreError> {
        let state = Mutex::new(state_of(file));
        let switch = Self { store, state, changing: tokio::sync::Mutex::new(()) };
        switch.follow(file).await?;
        Ok(switch)
    }

    /// Goes by a file that was read (again): what has changed there since it was last seen is set; what has not stays as
    /// it was set last. Tells what is in force when that is other than before.
    ///
    /// # Errors
    /// When the store can't be read or written: then nothing changes.
    pub async fn follow(&self, file: &config::TestMode) -> Result<Option<TestState>, StoreError> {
        let _changing = self.changing.lock().await;
        let in_file = state_of(file);
        let state = match (self.stored(SEEN).await?, self.stored(STATE).await?) {
            (Some(seen), Some(stored)) if seen.enabled == in_file.enabled => {
                let (seen, last) = (restored(seen), restored(stored));
                TestState {
                    enabled: last.enabled,
                    action: if seen.action == in_file.action { last.action } else { in_file.action },
                    address: if seen.address == in_file.address {
                        last.address
                    } else {
                        in_file.address.clone()
                    },
                    origin: last.origin,
                }
            }
            _ => in_file.clone(),
        };
        // The state first: a crash in between makes the file win again, which is what it would have done.
        self.keep(STATE, &state).await?;
        self.keep(SEEN, &in_file).await?;
        let before = std::mem::replace(&mut *self.held(), state.clone());
        Ok((before != state).then_some(state))
    }

    /// The state in force.
    #[must_use]
    pub fn state(&self) -> TestState {
        self.held().clone()
    }

    /// What is stored with a message that is accepted now.
    #[must_use]
    pub fn current(&self) -> Option<TestTreatment> {
        let state = self.held();
        state.enabled.then(|| TestTreatment { action: state.action, address: state.address.clone() })
    }

    /// Sets the switch; it lasts over restarts. Without `action` or `address` they stay as they are.
    ///
    /// # Errors
    /// When redirect would have no address, or the state can't be kept: then nothing changes.
    pub async fn set(
        &self,
        enabled: bool,
        action: Option<TestAction>,
        address: Option<Address>,
    ) -> Result<TestState, TestModeError> {
        let _changing = self.changing.lock().await;
        let before = self.state();
        let state = TestState {
            enabled,
            action: action.unwrap_or(before.action),
            address: address.or(before.address),
            origin: "command".into(),
        };
        if state.enabled && state.action == TestAction::Redirect && state.address.is_none() {
            return Err(TestModeError::NoAddress);
        }
        self.keep(STATE, &state).await?;
        self.held().clone_from(&state);
        state.log();
        Ok(state)
    }

    fn held(&self) -> MutexGuard<'_, TestState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn stored(&self, key: &'static str) -> Result<Option<StoredSwitch>, StoreError> {
        Ok(self.store.switch(key).await?.and_then(|text| serde_json::from_str(&text).ok()))
    }

    async fn keep(&self, key: &'static str, state: &TestState) -> Result<(), StoreError> {
        let stored = StoredSwitch {
            enabled: state.enabled,
            action: action_name(state.action).to_owned(),
            address: state.address.as_ref().map(ToString::to_string),
            origin: state.origin.clone(),
        };
        let text = serde_json::to_string(&stored).expect("plain fields always serialise");
        self.store.set_switch(key, text).await
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

/// The state that a file asks for.
fn state_of(file: &config::TestMode) -> TestState {
    TestState {
        enabled: file.enabled,
        action: file.action,
        address: file.address.clone(),
        origin: "configuration".into(),
    }
}

fn restored(stored: StoredSwitch) -> TestState {
    TestState {
        enabled: stored.enabled,
        // Of what an unknown version has stored, the strictest reading.
        action: action_from_name(&stored.action).unwrap_or(TestAction::Hold),
        address: stored.address.and_then(|address| Address::parse(&address).ok()),
        origin: stored.origin,
    }
}
