//! What is stored of a password for SCRAM-SHA-256 (RFC 5802 3, RFC 7677).

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The longest salt, in octets.
const MAX_SALT: usize = 64;

/// The name in front, as in AUTH.
const MECHANISM: &str = "SCRAM-SHA-256";

/// A SCRAM-SHA-256 verifier: who has it can check a login, and not log in.
///
/// Its text, which is a secret all the same, is `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey` with the last three
/// in base64, as RFC 5803 has it in principle.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramVerifier {
    /// How often the password is hashed.
    pub iterations: u32,
    /// What it is hashed with.
    pub salt: Vec<u8>,
    /// H(HMAC(`SaltedPassword`, "Client Key")).
    pub stored_key: [u8; 32],
    /// HMAC(`SaltedPassword`, "Server Key").
    pub server_key: [u8; 32],
}

impl ScramVerifier {
    /// How often a password may be hashed: fewer protect it too little (RFC 7677 4), more would let every login cost seconds.
    pub const ITERATIONS: RangeInclusive<u32> = 4096..=1_000_000;

    /// The text for the configuration. It is a secret.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!(
            "{MECHANISM}${}:{}${}:{}",
            self.iterations,
            STANDARD.encode(&self.salt),
            STANDARD.encode(self.stored_key),
            STANDARD.encode(self.server_key),
        )
    }
}

/// Shows no key.
impl fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramVerifier").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// Why a text is no verifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey with at least 4096 iterations")]
pub struct NotAVerifier;

impl FromStr for ScramVerifier {
    type Err = NotAVerifier;

    fn from_str(text: &str) -> Result<Self, NotAVerifier> {
        let (mechanism, rest) = text.split_once('$').ok_or(NotAVerifier)?;
        let (cost, keys) = rest.split_once('$').ok_or(NotAVerifier)?;
        let (iterations, salt) = cost.split_once(':').ok_or(NotAVerifier)?;
        let (stored, server) = keys.split_once(':').ok_or(NotAVerifier)?;
        let octets = |text: &str| STANDARD.decode(text).map_err(|_| NotAVerifier);
        let key = |text: &str| octets(text)?.try_into().map_err(|_| NotAVerifier);
        let iterations: u32 = iterations.parse().map_err(|_| NotAVerifier)?;
        let salt = octets(salt)?;
        let in_range = Self::ITERATIONS.contains(&iterations)
            && (1..=MAX_SALT).contains(&salt.len())
            && mechanism == MECHANISM;
        if !in_range {
            return Err(NotAVerifier);
        }
        Ok(Self { iterations, salt, stored_key: key(stored)?, server_key: key(server)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let verifier =
            ScramVerifier { iterations: 4096, salt: vec![1; 16], stored_key: [2; 32], server_key: [3; 32] };
        let text = verifier.to_text();
        assert_eq!(text.parse(), Ok(verifier.clone()));
        assert!(!format!("{verifier:?}").contains("2, 2"));
        for (from, to) in [
            ("SCRAM-SHA-256$", "SCRAM-SHA-1$"),
            ("4096:", "4095:"),
            ("4096:", "1000001:"),
            ("4096:", ":"),
            ("4096:AQEBAQEBAQEBAQEBAQEBAQ==", "4096:"),
            ("AgIC", "Ag"),
            ("AwMD", "!!!!"),
            ("$Ag", ":Ag"),
        ] {
            assert!(text.contains(from), "{from}");
            assert_eq!(text.replacen(from, to, 1).parse::<ScramVerifier>(), Err(NotAVerifier), "{from} {to}");
        }
    }
}
