//! The blacklist as a file is written.

use jiff::Timestamp;

use super::{GUARD, needs_guard};
use crate::control::view::{rfc3339, wall_ms};
use crate::store::{BlacklistEntry, BlacklistSource, ImportedEntry};

/// An entry as a line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileLine<'a> {
    pattern: &'a str,
    reason: &'a str,
    source: BlacklistSource,
    added: Option<i64>,
    expires: Option<String>,
}

impl<'a> FileLine<'a> {
    /// The first line of a file.
    pub const HEADER: &'static str = "address,reason,source,added,expires\r\n";

    /// An entry of the store, and when it ends by the wall clock.
    #[must_use]
    pub fn of_entry(entry: &'a BlacklistEntry, expires: Option<Timestamp>) -> Self {
        let BlacklistEntry { pattern, reason, source, added, .. } = entry;
        Self { pattern, reason, source: *source, added: Some(*added), expires: expires.map(rfc3339) }
    }

    /// An entry of another file.
    #[must_use]
    pub fn of_import(entry: &'a ImportedEntry) -> Self {
        let ImportedEntry { pattern, reason, source, added, expires } = entry;
        Self { pattern, reason, source: *source, added: *added, expires: expires.map(wall_ms) }
    }

    /// Adds the line to a file.
    pub fn write_to(&self, file: &mut String) {
        // `@domain` is what we call a domain, and nothing that a spreadsheet would carry out.
        let is_guarded = needs_guard(self.pattern) && !self.pattern.starts_with('@');
        field(file, self.pattern, is_guarded);
        file.push(',');
        field(file, self.reason, needs_guard(self.reason));
        let (added, expires) = (self.added.map(wall_ms), self.expires.as_deref());
        for text in [self.source.name(), added.as_deref().unwrap_or_default(), expires.unwrap_or_default()] {
            file.push(',');
            file.push_str(text);
        }
        file.push_str("\r\n");
    }
}

fn field(file: &mut String, text: &str, is_guarded: bool) {
    let is_quoted = text.contains(['"', ',', ';', '\t', '\r', '\n']);
    file.extend(is_quoted.then_some('"'));
    file.extend(is_guarded.then_some(GUARD));
    file.push_str(&if is_quoted { text.replace('"', "\"\"") } else { text.to_owned() });
    file.extend(is_quoted.then_some('"'));
}
