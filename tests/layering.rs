//! Imports go down only: each room of `src/` may use rooms of a lower level, never one beside or above it.
//!
//! The sources are read as tokens, so that comments, doc links and texts do not count, while every path that starts at
//! the crate's root does: in `use` groups, in the middle of an expression, and through `super`.

#![allow(clippy::unwrap_used, reason = "a test may stop where its world breaks")]

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms, lowest level first. `smtp` stands above `config`, whose checked values it takes, and below all else.
const LEVELS: &[&[&str]] = &[
    &["mail", "time"],
    &["config"],
    &["smtp"],
    &["store"],
    &["route", "throttle", "queue", "report", "oauth", "upstream"],
    &["policy", "transform"],
    &["session", "deliver"],
    &["listen", "control"],
    &["relay"],
    &["cli", "main"],
];

fn level(room: &str) -> Option<usize> {
    LEVELS.iter().position(|rooms| rooms.contains(&room))
}

#[test]
fn imports_go_down_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 20, "the sources were not found: {} files", files.len());
    let mut faults = Vec::new();
    for file in files {
        let inside: Vec<String> =
            file.strip_prefix(&root).unwrap().iter().map(|p| p.to_string_lossy().into_owned()).collect();
        // The crate's root only names the rooms.
        if inside == ["lib.rs"] {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        faults.extend(
            upward_imports(&module_path(&inside), &text)
                .into_iter()
                .map(|f| format!("src/{}: {f}", inside.join("/"))),
        );
    }
    assert!(faults.is_empty(), "imports that do not go down:\n{}", faults.join("\n"));
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

/// `["store", "sqlite", "mod.rs"]` is the module `store::sqlite`.
fn module_path(inside: &[String]) -> Vec<String> {
    let mut path: Vec<String> = inside.iter().map(|part| part.trim_end_matches(".rs").to_owned()).collect();
    if path.last().is_some_and(|last| last == "mod") {
        path.pop();
    }
    path
}

/// What the file of the module `module` imports from a room that is not below its own.
fn upward_imports(module: &[String], text: &str) -> Vec<String> {
    let room = module[0].as_str();
    let Some(own) = level(room) else { return vec![format!("the room `{room}` has no level: give it one")] };
    rooms_used(module.len(), &tokens(text))
        .into_iter()
        .filter(|used| used != room)
        .filter_map(|used| match level(&used) {
            Some(other) if other < own => None,
            Some(other) => Some(format!("`{room}` (level {own}) uses `{used}` (level {other})")),
            None => Some(format!("`{room}` uses `crate::{used}`, which is no room")),
        })
        .collect()
}

/// The first names of all paths that start at the crate's root, for a file whose module is `depth` below it.
fn rooms_used(depth: usize, tokens: &[String]) -> Vec<String> {
    let mut used = Vec::new();
    // One entry for each open brace: whether it is that of an inline module.
    let mut braces = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at].as_str() {
            "{" => braces.push(at >= 2 && tokens[at - 2] == "mod"),
            "}" => drop(braces.pop()),
            "crate" if next_is(tokens, at, "::") => at = take_path(tokens, at + 2, &mut used),
            "super" => {
                let start = at;
                while tokens[at] == "super" && next_is(tokens, at, "::") {
                    at += 2;
                }
                let inline = braces.iter().filter(|is_module| **is_module).count();
                if (at - start) / 2 >= depth + inline {
                    at = take_path(tokens, at, &mut used);
                }
                // Whatever stands here now belongs to no path from the root, or has been taken.
                at = at.max(start + 1);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    used.sort();
    used.dedup();
    used
}

fn next_is(tokens: &[String], at: usize, wanted: &str) -> bool {
    tokens.get(at + 1).is_some_and(|token| token == wanted)
}

/// Takes the name at `at`, or the names that begin the parts of a `{…}` group there. Returns the last place it read.
fn take_path(tokens: &[String], at: usize, used: &mut Vec<String>) -> usize {
    match tokens.get(at).map(String::as_str) {
        Some("{") => {
            let (mut open, mut here, mut begins) = (1, at, true);
            while open > 0 && here + 1 < tokens.len() {
                here += 1;
                match tokens[here].as_str() {
                    "{" => open += 1,
                    "}" => open -= 1,
                    "," if open == 1 => begins = true,
                    name if begins => {
                        used.push(name.to_owned());
                        begins = false;
                    }
                    _ => {}
                }
            }
            here
        }
        Some(name) if name.starts_with(|c: char| c.is_alphabetic() || c == '_') => {
            used.push(name.to_owned());
            at
        }
        _ => at,
    }
}

/// Names, `::`, and single other characters; comments, texts, characters and lifetimes are left out.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let length = match rest {
            ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => block_comment(rest),
            ['r', '"' | '#', ..] | ['b', 'r', '"' | '#', ..] if raw_text(rest).is_some() => {
                raw_text(rest).unwrap()
            }
            ['"', ..] => quoted(rest),
            ['\'', '\\', ..] => 3 + rest[3..].iter().position(|c| *c == '\'').unwrap_or(rest.len() - 3),
            ['\'', _, '\'', ..] => 3,
            [':', ':', ..] => {
                found.push("::".to_owned());
                2
            }
            [c, ..] if c.is_alphanumeric() || *c == '_' => {
                let end = rest.iter().position(|c| !c.is_alphanumeric() && *c != '_').unwrap_or(rest.len());
                found.push(rest[..end].iter().collect());
                end
            }
            [c, ..] => {
                if !c.is_whitespace() {
                    found.push(c.to_string());
                }
                1
            }
            [] => 1,
        };
        at += length.max(1);
    }
    found
}

fn block_comment(rest: &[char]) -> usize {
    let (mut open, mut at) = (1, 2);
    while open > 0 && at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (open, at) = (open + 1, at + 2),
            ['*', '/', ..] => (open, at) = (open - 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

fn quoted(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != '"' {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// The length of `r"…"`, `r#"…"#` or `br"…"` at the start, if there is one (`r#name` is none).
fn raw_text(rest: &[char]) -> Option<usize> {
    let start = if rest[0] == 'b' { 2 } else { 1 };
    let hashes = rest[start..].iter().take_while(|c| **c == '#').count();
    if rest.get(start + hashes) != Some(&'"') {
        return None;
    }
    let body = start + hashes + 1;
    let ends = |at: usize| {
        rest[at] == '"' && rest[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    (body..rest.len()).find(|at| ends(*at)).map(|at| at + 1 + hashes)
}

#[test]
fn a_forbidden_import_is_found() {
    for (name, module, text, wanted) in [
        ("plain", "store", "use crate::queue::Wake;", 1),
        ("beside", "route", "use crate::throttle::Throttle;", 1),
        ("downwards", "queue", "use crate::store::Store; use crate::mail::Address;", 0),
        ("own room", "queue", "use crate::queue::Wake;", 0),
        ("group", "smtp", "use crate::{mail::Address, store::{Store, self}, relay};", 2),
        ("visible", "smtp", "pub use crate::session::Driver;", 1),
        ("expression", "mail", "fn f() -> usize { crate::cli::run(1) }", 1),
        ("module file, super", "mail", "use super::relay::Relay;", 1),
        ("deeper, super is the room", "mail::header", "use super::relay::Relay;", 0),
        ("deeper, two supers", "mail::header", "use super::super::relay::Relay;", 1),
        ("inline module", "mail", "mod tests { use super::*; use super::relay::X; }", 0),
        ("inline module, two supers", "mail", "mod tests { use super::super::relay::X; }", 1),
        ("after an inline module", "mail", "mod tests { fn f() {} } use super::relay::X;", 1),
        ("line comment", "mail", "// use crate::relay::Relay;\n/// [`crate::relay`]\nfn f() {}", 0),
        ("block comment", "mail", "/* a /* b */ use crate::relay::Relay; */", 0),
        (
            "text",
            "mail",
            r##"const A: &str = "crate::relay::X \" crate::cli"; const B: &str = r#"" crate::cli::Y"#;"##,
            0,
        ),
        ("after a text", "mail", r#"const A: &str = "x"; const C: char = '"'; use crate::relay::X;"#, 1),
        ("lifetime", "mail", "struct A<'a>(&'a str); use crate::relay::X;", 1),
        ("no room", "mail", "use crate::nowhere::X;", 1),
        ("unknown room", "attic", "fn f() {}", 1),
    ] {
        let module: Vec<String> = module.split("::").map(str::to_owned).collect();
        assert_eq!(
            upward_imports(&module, text).len(),
            wanted,
            "{name}: {:?}",
            upward_imports(&module, text)
        );
    }
}
