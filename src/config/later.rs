//! Keys that the documentation of Mailsluice knows and this version does not do yet.
//!
//! These keys are never ignored in silence: such a key is a fault, unless its value is what is in force anyway. Whoever
//! builds the feature deletes its rows.

use super::tree::Node;

/// Section and key. An empty list or table changes nothing.
const KEYS: &[(&str, &str)] = &[("console", "user")];

/// What a key that no section of this version reads is.
pub(super) enum KeyStatus {
    /// No key at all.
    Unknown,
    /// The key comes later, and says what is in force anyway.
    Harmless,
    /// The key comes later, and asks for something.
    NotYet,
}

/// Looks a key up.
pub(super) fn key_status(section: &str, key: &str, node: &Node) -> KeyStatus {
    match KEYS.contains(&(section, key)) {
        false => KeyStatus::Unknown,
        true if node.value.is_empty() => KeyStatus::Harmless,
        true => KeyStatus::NotYet,
    }
}
