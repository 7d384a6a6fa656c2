//! A secret of this relay that lasts over restarts.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::store::{StoreError, Switches};

/// The name under which it is stored.
const KEY: &str = "login_secret";

/// What names, and made-up salts, are hashed with. Whoever knew it could tell existing users from others.
#[derive(Clone, PartialEq, Eq)]
pub struct LoginSecret([u8; 32]);

/// Shows nothing of it.
impl fmt::Debug for LoginSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginSecret")
    }
}

impl LoginSecret {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// The one that is stored, or a new one, which is stored then.
    ///
    /// # Errors
    /// When the store can't be read or written.
    pub async fn load(store: &dyn Switches) -> Result<Self, StoreError> {
        let stored = store.switch(KEY).await?.and_then(|text| STANDARD.decode(text).ok());
        if let Some(octets) = stored.and_then(|octets| octets.try_into().ok()) {
            return Ok(Self(octets));
        }
        let secret = Self::random();
        store.set_switch(KEY, STANDARD.encode(secret.0)).await?;
        Ok(secret)
    }

    pub(super) fn octets(&self) -> &[u8; 32] {
        &self.0
    }
}
