//! A client id that is still to come.

use super::SignIn;

/// Stands for the client id of an application that is not registered yet.
pub const NO_CLIENT_ID: &str = "00000000-0000-0000-0000-000000000000";

impl SignIn {
    /// Whether the application has yet to be registered, and its client id to be written.
    #[must_use]
    pub fn lacks_client_id(&self) -> bool {
        self.client_id == NO_CLIENT_ID
    }
}
