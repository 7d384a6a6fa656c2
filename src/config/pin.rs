//! `pin`: the public key that an upstream must have.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// The SHA-256 digest of a public key with its algorithm (`SubjectPublicKeyInfo`, RFC 5280 4.1.2.7), as RFC 7469 2.4 has
/// it. Displays in base64.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pin([u8; 32]);

impl Pin {
    /// Reads 44 characters of base64.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        STANDARD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// The pin of a public key, which comes in DER.
    #[must_use]
    pub fn of(public_key_info: &[u8]) -> Self {
        Self(Sha256::digest(public_key_info).into())
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pin({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_shows() {
        // The digest of nothing.
        let text = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        assert_eq!((Pin::of(b""), Pin::of(b"").to_string().as_str()), (Pin::parse(text).unwrap(), text));
        for text in ["", "x", "47DEQpj8HBSa", &text[..43], &format!("sha256//{text}"), &format!("{text} ")] {
            assert_eq!(Pin::parse(text), None, "{text}");
        }
    }
}
