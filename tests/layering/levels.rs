//! Imports go down only: each room may use rooms of a lower level, never one beside or above it.

use crate::paths::{self, Named};
use crate::sources::Source;

/// The rooms, lowest level first. `smtp` stands above `config`, whose checked values it takes, and below all else.
const LEVELS: &[&[&str]] = &[
    &["mail", "time", "memory", "folder", "metrics"],
    &["config", "content", "dns"],
    &["smtp", "dkim", "web"],
    &["limits"],
    &["store"],
    &["route", "report", "lane", "direct", "oauth"],
    &["upstream", "expiry"],
    &["imap", "returned"],
    &["account"],
    &["policy", "transform"],
    &["session", "deliver", "alert"],
    &["listen", "control", "doctor", "explain", "sent_copy"],
    &["relay"],
    &["cli", "main"],
];

fn level(room: &str) -> Option<usize> {
    LEVELS.iter().position(|rooms| rooms.contains(&room))
}

/// What the file imports from a room that is not below its own.
pub(crate) fn upward_imports(source: &Source) -> Vec<String> {
    let room = source.room();
    // The crate's root only names the rooms.
    if room.is_empty() {
        return Vec::new();
    }
    let Some(own) = level(room) else { return vec![format!("the room `{room}` has no level: give it one")] };
    let paths = paths::read(source, &[]);
    let named = paths.imports.iter().map(|import| &import.named).chain(&paths.inline);
    let mut rooms: Vec<(&str, usize)> = named
        .filter_map(|Named { path, line }| Some((path.first()?.as_str(), *line)))
        .filter(|(used, _)| *used != room)
        .collect();
    rooms.sort_unstable();
    rooms.dedup_by_key(|(used, _)| *used);
    rooms
        .into_iter()
        .filter_map(|(used, line)| match level(used) {
            Some(other) if other < own => None,
            Some(other) => Some(format!("{line}: `{room}` (level {own}) uses `{used}` (level {other})")),
            None => Some(format!("{line}: `{room}` uses `crate::{used}`, which is no room")),
        })
        .collect()
}

#[test]
fn the_rooms_are_in_the_document() {
    let text = include_str!("../../ARCHITECTURE.md");
    let mut described: Vec<(usize, &str)> = Vec::new();
    for row in text.lines().filter_map(|line| line.strip_prefix("| ")) {
        let Some((level, rest)) = row.split_once(" | ") else { continue };
        let Ok(level) = level.parse() else { continue };
        let rooms = rest.split(" | ").next().unwrap_or_default();
        described.extend(rooms.split('`').skip(1).step_by(2).map(|room| (level, room)));
    }
    described.sort_unstable();
    let mut rooms: Vec<(usize, &str)> = LEVELS
        .iter()
        .enumerate()
        .flat_map(|(level, rooms)| rooms.iter().map(move |room| (level, *room)))
        .collect();
    rooms.sort_unstable();
    assert_eq!(described, rooms);
}

#[test]
fn a_forbidden_import_is_found() {
    for (name, path, text, wanted) in [
        ("plain", "store.rs", "use crate::lane::Wakeups;", 1),
        ("beside", "route.rs", "use crate::lane::Wakeups;", 1),
        ("downwards", "lane.rs", "use crate::store::Store; use crate::mail::Address;", 0),
        ("own room", "lane.rs", "use crate::lane::Wakeups;", 0),
        ("group", "smtp.rs", "use crate::{mail::Address, store::{Store, self}, relay};", 2),
        ("visible", "smtp.rs", "pub use crate::session::Driver;", 1),
        ("expression", "mail.rs", "fn f() -> usize { crate::cli::run(1) }", 1),
        ("module file, super", "mail.rs", "use super::relay::Relay;", 1),
        ("deeper, super is the room", "mail/header.rs", "use super::relay::Relay;", 0),
        ("deeper, two supers", "mail/header.rs", "use super::super::relay::Relay;", 1),
        ("inline module", "mail.rs", "mod inner { use super::*; use super::relay::X; }", 0),
        ("inline module, two supers", "mail.rs", "mod inner { use super::super::relay::X; }", 1),
        ("after an inline module", "mail.rs", "mod inner { fn f() {} } use super::relay::X;", 1),
        ("line comment", "mail.rs", "// use crate::relay::Relay;\n/// [`crate::relay`]\nfn f() {}", 0),
        ("block comment", "mail.rs", "/* a /* b */ use crate::relay::Relay; */", 0),
        (
            "text",
            "mail.rs",
            r##"const A: &str = "crate::relay::X \" crate::cli"; const B: &str = r#"" crate::cli::Y"#;"##,
            0,
        ),
        ("after a text", "mail.rs", r#"const A: &str = "x"; const C: char = '"'; use crate::relay::X;"#, 1),
        ("lifetime", "mail.rs", "struct A<'a>(&'a str); use crate::relay::X;", 1),
        ("no room", "mail.rs", "use crate::nowhere::X;", 1),
        ("unknown room", "attic.rs", "fn f() {}", 1),
    ] {
        let [source] = &crate::sources::from_texts([(path, text)])[..] else { unreachable!() };
        assert_eq!(upward_imports(source).len(), wanted, "{name}: {:?}", upward_imports(source));
    }
}
