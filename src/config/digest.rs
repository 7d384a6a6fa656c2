//! What tells one configuration file from another.

use sha2::{Digest as _, Sha256};

/// Tells one text of a configuration file from another. The text itself may have secrets in it, and is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextDigest([u8; 32]);

impl TextDigest {
    /// That of a text.
    #[must_use]
    pub fn of(text: &[u8]) -> Self {
        Self(Sha256::digest(text).into())
    }
}
