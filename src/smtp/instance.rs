//! Who a relay is, so that it knows itself when it meets itself.

use std::fmt;

/// The keyword that announces it in the reply to EHLO, a private extension (RFC 5321 2.2.2).
pub const INSTANCE_KEYWORD: &str = "XMAILSLUICE";

/// A number that each running relay draws anew. Displays as 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstanceId(u128);

impl InstanceId {
    /// A number that no other relay has.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// What another one has announced; `None` when it is no such number.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_one = text.len() == 32 && text.bytes().all(|octet| octet.is_ascii_hexdigit());
        is_one.then(|| u128::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_nothing_else() {
        for id in [InstanceId(0), InstanceId(0xABC), InstanceId(u128::MAX), InstanceId::random()] {
            assert_eq!(InstanceId::parse(&id.to_string()), Some(id));
        }
        for text in ["", "1", "+123456789012345678901234567890ab", &"g".repeat(32), &"0".repeat(33)] {
            assert_eq!(InstanceId::parse(text), None, "{text}");
        }
    }
}
