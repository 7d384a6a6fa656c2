//! Keys that the documentation of Mailsluice knows and this version does not do yet.
//!
//! These keys are never ignored in silence: such a key is a fault, unless its value is what is in force anyway. Whoever
//! builds the feature deletes its rows.

use super::tree::{Node, Value};

/// Values that change nothing.
enum Harmless {
    /// This text.
    Text(&'static str),
    /// Only an empty list or table.
    Empty,
}

use Harmless::{Empty, Text};

/// Section, key, and the values that are accepted.
const KEYS: &[(&str, &str, Harmless)] = &[
    ("", "language", Text("en")),
    ("", "alert", Empty),
    ("console", "metrics", Text("signed-in")),
    ("console", "user", Empty),
];

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
    match KEYS.iter().find(|row| row.0 == section && row.1 == key) {
        None => KeyStatus::Unknown,
        Some((_, _, harmless)) if accepts(harmless, &node.value) => KeyStatus::Harmless,
        Some(_) => KeyStatus::NotYet,
    }
}

fn accepts(harmless: &Harmless, value: &Value) -> bool {
    let text = |want: &str, value: &Value| matches!(value, Value::Text(t) | Value::Untyped(t) if t == want);
    match (harmless, value) {
        (Text(want), value) => text(want, value),
        (Empty, value) => value.is_empty(),
    }
}
