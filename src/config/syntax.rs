//! Lines that are no TOML, in words for whoever wrote them: what is wrong, and what to write instead.
//!
//! The grammar's own words say what it waited for; what was meant shows in the line. A value may be a secret, and so may a
//! line that is no assignment: nothing of a line is repeated but the name of a key that is known, and a plain word behind
//! the name of a key that is known to be no secret.

mod bare;
mod doubles;

use super::fault::{Finding, SourcePlace};
use super::known_keys::KnownKeys;
use super::lines::Lines;
use super::tree::SyntaxError;
use bare::{assignment, bare, heading, open_bracket};

/// Parts of the names of keys whose values may be secrets.
const SECRETS: [&str; 6] = ["pass", "secret", "token", "key", "hash", "scram"];
/// What looks like a quotation mark and is none.
const TYPOGRAPHIC_QUOTES: [char; 10] = ['“', '”', '„', '«', '»', '‘', '’', '‚', '‹', '›'];
/// What looks like a blank, or like nothing, and is neither.
const ODD_BLANKS: [char; 8] =
    ['\u{a0}', '\u{2007}', '\u{202f}', '\u{200b}', '\u{3000}', '\u{feff}', '\u{2009}', '\u{2003}'];
const WRITE_LINE: &str = "write one key = value or one [section] on a line, texts in quotes";
const WRITE_LIST: &str = r#"write texts in quotes, and commas between them, such as ["one", "two"]"#;
const WRITE_TABLE: &str =
    "write { and }, with commas between what stands in it, such as { messages = 30, recipients = 100 }";

/// What is wrong, and what to write instead.
type Words = (String, String);

/// One finding for each line that is wrong; at least one.
pub(super) fn explain(text: &str, errors: &[SyntaxError], known: &KnownKeys) -> Vec<Finding> {
    let lines = Lines::of(text);
    let reader = Reader { lines: &lines, known };
    let mut errors: Vec<&SyntaxError> = errors.iter().collect();
    errors.sort_by_key(|error| error.span.start);
    let mut findings = Vec::new();
    // Where a list or a text has no end, what follows is read as a part of it, and makes no sense there.
    if let Some((start, words)) = reader.unclosed(&errors) {
        let number = lines.number(start);
        errors.retain(|error| lines.number(error.span.start) < number);
        findings.push(reader.finding(number, lines.place(start), words));
    }
    errors.dedup_by_key(|error| lines.number(error.span.start));
    for error in errors {
        let number = lines.number(error.span.start);
        let (place, words) = reader.explain(error, number);
        findings.push(reader.finding(number, place, words));
    }
    findings.sort();
    findings
}

struct Reader<'r> {
    lines: &'r Lines<'r>,
    known: &'r KnownKeys,
}

impl Reader<'_> {
    fn finding(&self, number: usize, place: SourcePlace, (what, instead): Words) -> Finding {
        Finding { place, key: self.key(number).unwrap_or_else(|| "syntax".to_owned()), what, instead }
    }

    /// The full name of the key that a line sets; `None` when that is not known.
    fn key(&self, number: usize) -> Option<String> {
        if let Some(section) = heading(self.lines.line(number)).filter(|section| self.known.has(section)) {
            return Some(section.to_owned());
        }
        let (name, _) = assignment(self.lines.line(number))?;
        let section = (1..number).rev().find_map(|line| heading(self.lines.line(line)));
        let full = section.map_or_else(|| name.to_owned(), |section| format!("{section}.{name}"));
        self.known.has(&full).then_some(full)
    }

    /// What has no end, and where it begins.
    fn unclosed(&self, errors: &[&SyntaxError]) -> Option<(usize, Words)> {
        let says = |message: &str| errors.iter().any(|error| error.message.starts_with(message));
        let text = self.lines.text;
        for (message, quotes) in
            [("invalid multi-line basic string", "\"\"\""), ("invalid multi-line literal string", "'''")]
        {
            if says(message)
                && errors.iter().any(|error| error.span.start >= text.trim_end().len())
                && let Some(start) = text.rfind(quotes)
            {
                return Some((start, words("the text has no end", &format!("write {quotes} at its end"))));
            }
        }
        if !says("unclosed array,") && !says("unclosed inline table,") {
            return None;
        }
        let (start, bracket) = open_bracket(text)?;
        let words = match bracket {
            '[' => words("the list has no end", "write ] at its end"),
            _ => words("the table has no end", "write } at its end"),
        };
        Some((start, words))
    }

    fn explain(&self, error: &SyntaxError, number: usize) -> (SourcePlace, Words) {
        let place = self.lines.place(error.span.start);
        if error.is_duplicate() {
            return (place, doubles::explain(self.lines, &error.span, self.known));
        }
        let line = self.lines.line(number);
        let seen = bare(line);
        if let Some((column, words)) = odd_letter(&seen) {
            return (SourcePlace::File(number, column), words);
        }
        (place, self.line(line, &seen, error))
    }

    /// `seen` is the line without what is in quotes or a comment.
    fn line(&self, line: &str, seen: &str, error: &SyntaxError) -> Words {
        let start = seen.trim_start();
        if error.is_in_list() {
            return words("the list is not written as one", WRITE_LIST);
        }
        if error.is_in_value() {
            return words("the table is not written as one", WRITE_TABLE);
        }
        if ["//", "/*", ";", "-- "].iter().any(|mark| start.starts_with(mark)) {
            return words("a comment does not begin so", "write # before it");
        }
        if start.starts_with('[') && !seen.contains('=') {
            return self.heading(line);
        }
        if let Some(section) = heading(line) {
            let name = self.known.heading(section).unwrap_or_else(|| "[section]".to_owned());
            return words(
                "something stands behind the section's name",
                &format!("write {name} alone on its line"),
            );
        }
        let Some((name, value)) = assignment(line) else { return self.no_assignment(start) };
        value_words(self.shown(name), value, &error.message)
    }

    /// The heading of a section.
    fn heading(&self, line: &str) -> Words {
        let name: String = line.trim().trim_matches(['[', ']']).trim().to_lowercase();
        let instead = self.known.heading(&name).map_or_else(
            || "write [section], or [[section]] for one of several".to_owned(),
            |heading| format!("write {heading}"),
        );
        words("the name of a section does not stand in its brackets", &instead)
    }

    fn no_assignment(&self, seen: &str) -> Words {
        let name = seen.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
        let key = self.shown(name).unwrap_or("key");
        match seen[name.len()..].trim_start().chars().next() {
            Some(':') => words("a colon stands where = belongs", &format!("write {key} = …")),
            Some('=') => words("the name before = is missing", "write key = …"),
            _ if seen.contains('=') => {
                words("this is not the name of a key", "write letters, digits, - and _ before the =")
            }
            _ => words("no = and no value follow", &format!("write {key} = …, or # before a comment")),
        }
    }

    /// The name of a key that may be shown.
    fn shown<'n>(&self, name: &'n str) -> Option<&'n str> {
        let is_key = |full: String| full.rsplit('.').next() == Some(name);
        (!name.is_empty() && self.known.names().any(is_key)).then_some(name)
    }
}

/// Quotation marks of a word processor, and blanks that are none, with their column.
fn odd_letter(seen: &str) -> Option<(usize, Words)> {
    let (at, c) =
        seen.chars().enumerate().find(|(_, c)| TYPOGRAPHIC_QUOTES.contains(c) || ODD_BLANKS.contains(c))?;
    let words = if TYPOGRAPHIC_QUOTES.contains(&c) {
        words(&format!("{c} is a quotation mark of a word processor"), "write \" around a text")
    } else {
        words(&format!("U+{:04X} looks like a blank, and is none", u32::from(c)), "write a blank, or nothing")
    };
    Some((at + 1, words))
}

/// What is wrong with the value of a key; `name` is that of the key, where it may be shown.
fn value_words(name: Option<&str>, value: &str, message: &str) -> Words {
    let seen = bare(value);
    let (value, key) = (value.trim(), name.unwrap_or("key"));
    match value.chars().next() {
        None | Some('#') => words("the value is missing", "write one behind the ="),
        Some('=') => words("two = stand behind the name", "write one"),
        Some(quote @ ('"' | '\'')) => quoted_words(quote, &seen, message),
        Some('[') => words("the list is not written as one", WRITE_LIST),
        Some('{') => words("the table is not written as one", WRITE_TABLE),
        Some(_) => bare_words(name, key, seen.trim()),
    }
}

/// What is wrong with a value that begins with a quotation mark.
fn quoted_words(quote: char, seen: &str, message: &str) -> Words {
    let is_open = seen.ends_with(quote);
    if message.contains("escape") || message.contains("unicode") {
        let instead = if is_open && quote == '"' {
            "write \\\\ for it, and \" at the end"
        } else {
            "write \\\\ for it, or the text in '…'"
        };
        return words("a backslash in the text means something else", instead);
    }
    if is_open {
        return words("the text has no end", &format!("write {quote} at its end"));
    }
    if message.contains("visible characters") {
        return words("the text has a control character in it", "remove it");
    }
    match seen.trim().chars().next() {
        _ if seen.contains('=') => words("more stands behind the value", WRITE_LINE),
        Some(c @ (',' | ';')) => words(&format!("{c} stands behind the value"), "remove it"),
        _ => words(
            "something stands behind the value",
            r#"write one value, or a list, such as ["one", "two"]"#,
        ),
    }
}

/// What is wrong with a value without quotes.
fn bare_words(name: Option<&str>, key: &str, value: &str) -> Words {
    if value.contains('=') {
        return words("two = stand in one line", WRITE_LINE);
    }
    match value.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => {
            return words("yes and no are true and false here", &format!("write {key} = true"));
        }
        "false" | "no" | "off" => {
            return words("yes and no are true and false here", &format!("write {key} = false"));
        }
        _ => {}
    }
    let is_shown = name.is_some_and(|name| !SECRETS.iter().any(|part| name.contains(part)));
    let number = value.trim_start_matches('0');
    if !number.is_empty() && number.len() < value.len() && number.bytes().all(|b| b.is_ascii_digit()) {
        let number = if is_shown { number } else { "…" };
        return words("a number begins with 0", &format!("write {key} = {number}, or a text in quotes"));
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".:/_-*[]".contains(c);
    let instead = match value {
        value if is_shown && value.len() <= 80 && value.chars().all(is_plain) => {
            format!("write {key} = \"{value}\"")
        }
        _ => format!("write {key} = \"…\""),
    };
    words("a text stands without quotes", &instead)
}

fn words(what: &str, instead: &str) -> Words {
    (what.to_owned(), instead.to_owned())
}

#[cfg(test)]
mod tests;
