//! What is wrong with a configuration: where, what, and what to write instead.

use std::fmt;

/// Where a value comes from. Findings are told in this order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SourcePlace {
    /// The file as a whole.
    Start,
    /// The file: line and column, both from 1.
    File(usize, usize),
    /// An environment variable.
    Environment(String),
}

impl SourcePlace {
    /// Where something was said first, in brackets behind it; nothing when that is no line.
    pub(super) fn in_brackets(&self) -> String {
        match self {
            Self::File(line, _) => format!(" (line {line})"),
            Self::Start | Self::Environment(_) => String::new(),
        }
    }
}

/// A finding, before it knows the name of its file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    pub(super) place: SourcePlace,
    pub(super) key: String,
    pub(super) what: String,
    pub(super) instead: String,
}

impl Finding {
    /// The finding as one line: `file:line:column: key: what is wrong: what to write instead`.
    pub(super) fn line(&self, file: Option<&str>) -> String {
        let (location, key) = match (&self.place, file) {
            (SourcePlace::Environment(name), _) => ("environment".to_owned(), name),
            (SourcePlace::File(line, column), Some(file)) => (format!("{file}:{line}:{column}"), &self.key),
            (SourcePlace::Start, Some(file)) => (format!("{file}:1:1"), &self.key),
            (_, None) => ("configuration".to_owned(), &self.key),
        };
        one_line(&format!("{location}: {key}: {}: {}", self.what, self.instead))
    }
}

/// Keys and names may hold anything in TOML; on a terminal they stay one harmless line.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

/// Something that the relay can't start with. Displays as one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault(pub(super) String);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something that a person should look at, but that the relay starts with. Displays as one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning(pub(super) String);

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All faults of one configuration, in the order of the file, then of the environment. Never empty.
///
/// Displays as one line per fault, `file:line:column: key: what is wrong: what to write instead`. It is the
/// operator's to mend. Values of secrets are never in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", report(.0))]
pub struct Faults(pub(super) Vec<Fault>);

impl Faults {
    /// The faults one by one.
    #[must_use]
    pub fn all(&self) -> &[Fault] {
        &self.0
    }
}

/// A line for each fault, without a final newline.
#[must_use]
pub fn report(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(place: SourcePlace, key: &str) -> Finding {
        Finding { place, key: key.to_owned(), what: "is wrong".to_owned(), instead: "mend it".to_owned() }
    }

    #[test]
    fn names_the_place() {
        for (place, file, want) in [
            (SourcePlace::File(3, 7), Some("a.toml"), "a.toml:3:7: log.level: is wrong: mend it"),
            (SourcePlace::Start, Some("a.toml"), "a.toml:1:1: log.level: is wrong: mend it"),
            (SourcePlace::Start, None, "configuration: log.level: is wrong: mend it"),
            (
                SourcePlace::Environment("MAILSLUICE__X".to_owned()),
                None,
                "environment: MAILSLUICE__X: is wrong: mend it",
            ),
        ] {
            assert_eq!(finding(place, "log.level").line(file), want);
        }
    }

    #[test]
    fn stays_one_line() {
        let line = finding(SourcePlace::File(1, 1), "a\nb\u{1b}[2J").line(Some("x\ry"));
        assert_eq!(line, "x\\ry:1:1: a\\nb\\u{1b}[2J: is wrong: mend it");
    }
}
