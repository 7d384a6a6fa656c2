//! test mode (scaffold)
#![allow(missing_docs)]
use crate::config::TestAction;
use crate::mail::Address;

#[derive(Debug, Clone)]
pub struct TestState {
    pub enabled: bool,
    pub action: TestAction,
    pub address: Option<Address>,
    pub origin: String,
}

#[derive(Debug, thiserror::Error)]
pub enum TestModeError {
    #[error("redirect needs an address: give one with --address")]
    NoAddress,
}

#[derive(Debug)]
pub struct Switch(pub std::sync::Mutex<TestState>);

impl Switch {
    pub fn state(&self) -> TestState {
        self.0.lock().expect("no panic").clone()
    }
    pub async fn set(
        &self,
        enabled: bool,
        action: Option<TestAction>,
        address: Option<Address>,
    ) -> Result<TestState, TestModeError> {
        let mut state = self.0.lock().expect("no panic");
        let address = address.or(state.address.clone());
        if enabled && address.is_none() {
            return Err(TestModeError::NoAddress);
        }
        let action = action.unwrap_or(state.action);
        *state = TestState { enabled, action, address, origin: "command".to_owned() };
        Ok(state.clone())
    }
}
