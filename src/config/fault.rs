//! What is wrong with a configuration: where, what, and what to write instead.

use std::fmt;

use serde::Serialize;

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
    /// The finding of the file of that name, or of none.
    pub(super) fn of_file(&self, file: Option<&str>) -> Located {
        let (line, column, variable) = match &self.place {
            SourcePlace::Environment(name) => (None, None, Some(name.clone())),
            SourcePlace::File(line, column) => (Some(*line), Some(*column), None),
            SourcePlace::Start => (Some(1), Some(1), None),
        };
        let file = file.filter(|_| variable.is_none()).map(str::to_owned);
        let (line, column) = (line.filter(|_| file.is_some()), column.filter(|_| file.is_some()));
        let (key, what, instead) = (self.key.clone(), self.what.clone(), self.instead.clone());
        Located { file, line, column, variable, key, what, instead }
    }
}

/// A finding and where it is. Displays as one line: `file:line:column: key: what is wrong: what to write instead`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Located {
    /// The file, as it was named; `None` when what is wrong does not stand in one.
    pub file: Option<String>,
    /// From 1.
    pub line: Option<usize>,
    /// In characters, from 1.
    pub column: Option<usize>,
    /// The environment variable, when it stands there.
    pub variable: Option<String>,
    /// The full name of the key: `upstream.limits.connections`.
    pub key: String,
    /// What is wrong with it.
    #[serde(rename = "text")]
    pub what: String,
    /// What to write instead.
    pub instead: String,
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (location, key) = match (&self.variable, &self.file, self.line, self.column) {
            (Some(name), ..) => ("environment".to_owned(), name),
            (None, Some(file), Some(line), Some(column)) => (format!("{file}:{line}:{column}"), &self.key),
            _ => ("configuration".to_owned(), &self.key),
        };
        f.write_str(&one_line(&format!("{location}: {key}: {}: {}", self.what, self.instead)))
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
pub struct Fault(pub(super) Located);

impl Fault {
    /// What it says, part by part.
    #[must_use]
    pub fn located(&self) -> &Located {
        &self.0
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Something that a person should look at, but that the relay starts with. Displays as one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning(pub(super) Located);

impl Warning {
    /// What it says, part by part.
    #[must_use]
    pub fn located(&self) -> &Located {
        &self.0
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// All faults of one configuration, in the order of the file, then of the environment; at least one.
///
/// Displays as one line per fault, `file:line:column: key: what is wrong: what to write instead`. It is the
/// operator's to mend. Values of secrets are never in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", report(.all))]
pub struct Faults {
    pub(super) all: Vec<Fault>,
    pub(super) warnings: Vec<Warning>,
    pub(super) file: Option<String>,
}

impl Faults {
    /// The faults one by one.
    #[must_use]
    pub fn all(&self) -> &[Fault] {
        &self.all
    }

    /// What else a person should look at.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The file that was read, or could not be read, as it was named; `None` when there was none.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }
}

/// A line for each fault, without a final newline.
fn report(faults: &[Fault]) -> String {
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
            assert_eq!(finding(place, "log.level").of_file(file).to_string(), want);
        }
    }

    #[test]
    fn stays_one_line() {
        let line = finding(SourcePlace::File(1, 1), "a\nb\u{1b}[2J").of_file(Some("x\ry")).to_string();
        assert_eq!(line, "x\\ry:1:1: a\\nb\\u{1b}[2J: is wrong: mend it");
    }
}
