//! The test mode switch: is mail that is accepted now meant for its recipients?
//!
//! It is on for all mail, or required for the mail of some users (`[[user]] test`) or rules. What is in force is stored with each message at acceptance and never changes for that message. The switch itself
//! follows the file when `enabled` there has changed since it was last seen, else the last command.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::config::{self, TestAction, User};
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
    /// What it makes of a message. Where there is no address to redirect to, mail is held: a command or a changed file can
    /// leave it so while the switch is off, and then it must not reach anybody.
    #[must_use]
    pub fn treatment(&self) -> TestTreatment {
        let action = match (self.action, &self.address) {
            (TestAction::Redirect, None) => TestAction::Hold,
            (action, _) => action,
        };
        TestTreatment { action, address: self.address.clone() }
    }

    /// Says loudly what becomes of mail from now on.
    pub(crate) fn log(&self) {
        let Self { enabled, action, address, origin } = self;
        let to = address.as_ref().filter(|_| *enabled).map(ToString::to_string);
        tracing::warn!(event = "test_mode", enabled, action = action_name(*action), to, origin);
    }

    /// Says as loudly whose mail is in test mode though the switch is off; nothing when it is nobody's.
    pub(crate) fn log_users(&self, users: &[User]) {
        let names: Vec<&str> = users_in_test(users).collect();
        if names.is_empty() || self.enabled {
            return;
        }
        let TestTreatment { action, address } = self.treatment();
        let (user, to) = (names.join(","), address.as_ref().map(ToString::to_string));
        let (action, origin) = (action_name(action), "configuration");
        tracing::warn!(event = "test_mode", user, enabled = true, action, to, origin);
    }
}

/// What becomes of a message for which two treatments are asked for: what neither would forbid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strictest {
    /// How far it may come at most, whatever a person decides later: capture keeps it on this machine, redirect from its recipients,
    /// hold nothing of that.
    pub treatment: Option<TestTreatment>,
    /// Whether it waits for a person, as hold wants it: also where its treatment is redirect.
    pub held: bool,
}

impl Strictest {
    /// Of what a message was accepted with, and what is in force now. Of two test addresses the one in force counts.
    #[must_use]
    pub fn of(own: Option<&TestTreatment>, in_force: Option<&TestTreatment>) -> Self {
        let strictness = |test: &TestTreatment| match test.action {
            TestAction::Hold => 0,
            TestAction::Redirect => 1,
            TestAction::Capture => 2,
        };
        let both = || own.into_iter().chain(in_force);
        // Of several that are as strict, the last.
        let treatment = both().max_by_key(|test| strictness(test)).cloned();
        let is_captured = treatment.as_ref().is_some_and(|test| test.action == TestAction::Capture);
        Self { treatment, held: !is_captured && both().any(|test| test.action == TestAction::Hold) }
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
    /// What the file said when it was followed last.
    seen: Mutex<Option<TestState>>,
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
        let switch = Self { store, state, seen: Mutex::default(), changing: tokio::sync::Mutex::new(()) };
        switch.follow(file).await?;
        Ok(switch)
    }

    /// Finds out which state would be in force if the relay ran with this file, and keeps nothing.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn look(store: Arc<dyn Switches>, file: &config::TestMode) -> Result<Self, StoreError> {
        let state = Mutex::new(state_of(file));
        let switch = Self { store, state, seen: Mutex::default(), changing: tokio::sync::Mutex::new(()) };
        let state = switch.resolved(state_of(file)).await?;
        *switch.held() = state;
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
        // A file that says what it said before changes nothing, and asks nothing of a store that may be broken.
        if self.seen().as_ref() == Some(&in_file) {
            return Ok(None);
        }
        let state = self.resolved(in_file.clone()).await?;
        // The state first: a crash in between makes the file win again, which is what it would have done.
        self.keep(STATE, &state).await?;
        self.keep(SEEN, &in_file).await?;
        *self.seen() = Some(in_file);
        let before = std::mem::replace(&mut *self.held(), state.clone());
        Ok((before != state).then_some(state))
    }

    /// What is in force by a file that says this, after what it said before and what was set since.
    async fn resolved(&self, in_file: TestState) -> Result<TestState, StoreError> {
        Ok(match (self.stored(SEEN).await?, self.stored(STATE).await?) {
            (Some(seen), Some(stored)) if seen.enabled == in_file.enabled => {
                let (seen, last) = (restored(seen), restored(stored));
                TestState {
                    enabled: last.enabled,
                    action: if seen.action == in_file.action { last.action } else { in_file.action },
                    address: if seen.address == in_file.address { last.address } else { in_file.address },
                    origin: last.origin,
                }
            }
            _ => in_file,
        })
    }

    /// The state in force.
    #[must_use]
    pub fn state(&self) -> TestState {
        self.held().clone()
    }

    /// What is stored with a message that is accepted now: the treatment in force when the switch is on, or when test mode
    /// is `required` for this message, as its user or a rule says.
    #[must_use]
    pub fn for_message(&self, required: bool) -> Option<TestTreatment> {
        let state = self.held();
        (state.enabled || required).then(|| state.treatment())
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
        let state = self.with(enabled, action, address)?;
        self.keep(STATE, &state).await?;
        self.held().clone_from(&state);
        state.log();
        Ok(state)
    }

    /// What [`set`](Self::set) would put in force. Changes nothing.
    ///
    /// # Errors
    /// When redirect would have no address.
    pub fn with(
        &self,
        enabled: bool,
        action: Option<TestAction>,
        address: Option<Address>,
    ) -> Result<TestState, TestModeError> {
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
        Ok(state)
    }

    /// Notes what the file says from now on, because we have written it: that is no edit of a person.
    ///
    /// # Errors
    /// When the store can't be written.
    pub async fn saw(&self, file: &config::TestMode) -> Result<(), StoreError> {
        let _changing = self.changing.lock().await;
        self.keep(SEEN, &state_of(file)).await
    }

    fn held(&self) -> MutexGuard<'_, TestState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, Option<TestState>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
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

/// The users whose mail is in test mode though the switch is off, by name.
pub(crate) fn users_in_test(users: &[User]) -> impl Iterator<Item = &str> {
    users.iter().filter(|user| user.test).map(|user| user.name.as_str())
}

/// The name of an action in configuration, commands and output.
#[must_use]
pub fn action_name(action: TestAction) -> &'static str {
    action.name()
}

/// The action of that name.
#[must_use]
pub fn action_from_name(name: &str) -> Option<TestAction> {
    [TestAction::Redirect, TestAction::Hold, TestAction::Capture]
        .into_iter()
        .find(|&a| action_name(a) == name)
}

/// What a file alone makes of a message of which test mode is `required`, or not.
#[must_use]
pub fn of_file(file: &config::TestMode, required: bool) -> Option<TestTreatment> {
    let state = state_of(file);
    (state.enabled || required).then(|| state.treatment())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_redirected_to_nobody() {
        let own = Address::parse("me@firm.example").ok();
        for (action, address, want) in [
            (TestAction::Redirect, own.clone(), TestAction::Redirect),
            (TestAction::Redirect, None, TestAction::Hold),
            (TestAction::Hold, own.clone(), TestAction::Hold),
            (TestAction::Capture, None, TestAction::Capture),
        ] {
            let state = TestState { enabled: false, action, address: address.clone(), origin: String::new() };
            assert_eq!(state.treatment(), TestTreatment { action: want, address });
        }
    }

    #[test]
    fn of_two_treatments_neither_is_overruled() {
        use TestAction::{Capture, Hold, Redirect};
        let test = |action, to: &str| TestTreatment { action, address: Address::parse(to).ok() };
        for (own, in_force, want, held) in [
            (None, None, None, false),
            (Some((Redirect, "own@x.test")), None, Some((Redirect, "own@x.test")), false),
            (None, Some((Redirect, "now@x.test")), Some((Redirect, "now@x.test")), false),
            (
                Some((Redirect, "own@x.test")),
                Some((Redirect, "now@x.test")),
                Some((Redirect, "now@x.test")),
                false,
            ),
            (Some((Hold, "")), None, Some((Hold, "")), true),
            (Some((Hold, "")), Some((Redirect, "now@x.test")), Some((Redirect, "now@x.test")), true),
            (Some((Redirect, "own@x.test")), Some((Hold, "")), Some((Redirect, "own@x.test")), true),
            (Some((Capture, "")), Some((Hold, "")), Some((Capture, "")), false),
            (Some((Redirect, "own@x.test")), Some((Capture, "")), Some((Capture, "")), false),
        ] {
            let of = |test_of: Option<(TestAction, &str)>| test_of.map(|(action, to)| test(action, to));
            let strictest = Strictest::of(of(own).as_ref(), of(in_force).as_ref());
            assert_eq!(strictest, Strictest { treatment: of(want), held }, "{own:?} {in_force:?}");
        }
    }
}
