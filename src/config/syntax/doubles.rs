//! Keys and sections that stand twice.

use std::ops::Range;

use super::bare::{assignment, heading};
use crate::config::known_keys::KnownKeys;
use crate::config::lines::Lines;

/// What to say of the second one; `span` is its name.
pub(super) fn explain(lines: &Lines<'_>, span: &Range<usize>, known: &KnownKeys) -> (String, String) {
    let number = lines.number(span.start);
    match heading(lines.line(number)) {
        Some(section) => of_section(lines, number, section, known),
        None => of_key(lines, number, lines.text.get(span.clone()).unwrap_or_default()),
    }
}

fn of_section(lines: &Lines<'_>, number: usize, section: &str, known: &KnownKeys) -> (String, String) {
    let is_same = |line: &usize| {
        let line = lines.line(*line);
        let name = heading(line).or_else(|| assignment(line).map(|(name, _)| name));
        name == Some(section)
    };
    let what = format!("the section stands here again{}", first((1..number).rfind(is_same)));
    let instead = match known.heading(section) {
        Some(heading) if heading.starts_with("[[") => format!("write {heading} each time"),
        Some(heading) => format!("write all keys of {heading} below one of them"),
        None => "write all its keys below one of them".to_owned(),
    };
    (what, instead)
}

fn of_key(lines: &Lines<'_>, number: usize, name: &str) -> (String, String) {
    let above = (1..number).rev().take_while(|line| heading(lines.line(*line)).is_none());
    let is_same = |line: &usize| {
        let name_there = assignment(lines.line(*line)).map(|(name, _)| name);
        name_there.is_some_and(|there| there == name || there.split('.').next() == Some(name))
    };
    let what = format!("the key stands here again{}", first(above.filter(is_same).last()));
    (what, "remove one of them".to_owned())
}

fn first(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(", first in line {line}"))
}
