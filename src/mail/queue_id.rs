//! The name a message has in the queue, the log and the Received header.

use std::fmt;

/// Crockford's base 32: no I, L, O, U, so that it can be read out on the telephone.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LENGTH: usize = 16;

/// A queue id: 16 characters, of which the first ten grow with time, so that ids sort by age.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(String);

/// A text that is no queue id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a queue id has {LENGTH} characters, digits and letters; `mailsluice queue list` shows them")]
pub struct QueueIdError;

impl QueueId {
    /// Makes one from the wall clock (milliseconds since 1970) and 30 random bits.
    #[must_use]
    pub fn new(unix_ms: i64, random: u32) -> Self {
        let bits = (u128::from(unix_ms as u64 & 0x3_ffff_ffff_ffff) << 30) | u128::from(random & 0x3fff_ffff);
        let text = (0..LENGTH).rev().map(|i| char::from(ALPHABET[(bits >> (5 * i)) as usize & 31])).collect();
        Self(text)
    }

    /// Reads an id that a person typed; lower case is accepted.
    ///
    /// # Errors
    /// When it has another length or other characters; nothing but an id ever names a file.
    pub fn parse(text: &str) -> Result<Self, QueueIdError> {
        let text = text.to_ascii_uppercase();
        let valid = text.len() == LENGTH && text.bytes().all(|b| ALPHABET.contains(&b));
        if valid { Ok(Self(text)) } else { Err(QueueIdError) }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_by_age_and_reads_back() {
        let early = QueueId::new(1_795_329_600_000, u32::MAX);
        let late = QueueId::new(1_795_329_600_001, 0);
        assert!(early < late);
        assert_eq!(early.as_str().len(), LENGTH);
        assert_eq!(QueueId::parse(&early.as_str().to_lowercase()), Ok(early));
        assert_eq!(QueueId::parse("../../etc/passwd"), Err(QueueIdError));
    }
}
