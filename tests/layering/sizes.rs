//! How long files, functions and rooms may be.

use std::collections::BTreeMap;

use crate::sources::Source;
use crate::tokens::{Token, closing, is};

const FILE_LINES: usize = 450;
const FUNCTION_LINES: usize = 60;
const ROOM_PERCENT: usize = 15;

/// The files, tests included, that are too long: each with its lines.
pub(crate) fn long_files(sources: &[Source]) -> Vec<(String, usize)> {
    sources
        .iter()
        .filter(|source| source.lines > FILE_LINES)
        .map(|source| (source.path.clone(), source.lines))
        .collect()
}

/// The functions outside tests that are too long, as `path::name`: each with its lines.
pub(crate) fn long_functions(sources: &[Source]) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for source in sources {
        let functions = functions(&source.tokens).into_iter();
        found.extend(
            functions
                .filter(|(_, lines)| *lines > FUNCTION_LINES)
                .map(|(name, lines)| (format!("{}::{name}", source.path), lines)),
        );
    }
    found
}

/// The functions with a body, each with its lines from `fn` to the last brace.
fn functions(tokens: &[Token]) -> Vec<(&str, usize)> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if token.text != "fn" || !tokens.get(at + 1).is_some_and(Token::is_name) {
            continue;
        }
        let mut here = at;
        while here < tokens.len() && !is(tokens, here, ";") && !is(tokens, here, "{") {
            let opens = is(tokens, here, "(") || is(tokens, here, "[");
            here = if opens { closing(tokens, here) + 1 } else { here + 1 };
        }
        if is(tokens, here, "{") {
            let end = closing(tokens, here);
            found.push((tokens[at + 1].text.as_str(), tokens[end].line + 1 - token.line));
        }
    }
    found
}

/// The rooms that hold too much of the crate: each with its lines and all lines, test modules not counted.
pub(crate) fn large_rooms(sources: &[Source]) -> Vec<(String, usize, usize)> {
    let mut rooms: BTreeMap<&str, usize> = BTreeMap::new();
    for source in sources.iter().filter(|source| !source.module.is_empty()) {
        *rooms.entry(source.room()).or_default() += source.code_lines;
    }
    let all: usize = sources.iter().map(|source| source.code_lines).sum();
    rooms
        .into_iter()
        .filter(|(_, lines)| lines * 100 > all * ROOM_PERCENT)
        .map(|(room, lines)| (room.to_owned(), lines, all))
        .collect()
}

#[test]
fn what_is_too_long_is_found() {
    let sample = |text: String| crate::sources::from_texts([("a/b.rs", text.as_str())]);
    for (lines, wanted) in [(FILE_LINES, 0), (FILE_LINES + 1, 1)] {
        assert_eq!(long_files(&sample("\n".repeat(lines))).len(), wanted, "{lines}");
        assert_eq!(
            long_files(&sample(format!("#[cfg(test)]\nmod t {{{}}}", "\n".repeat(lines - 2)))).len(),
            wanted,
            "{lines} with tests"
        );
    }
    let body = |lines: usize| "\n".repeat(lines - 1);
    for (name, text, wanted) in [
        ("short", format!("fn a(b: [u8; 3]) {{{}}}", body(FUNCTION_LINES)), 0),
        ("long", format!("fn a(b: [u8; 3]) {{{}}}", body(FUNCTION_LINES + 1)), 1),
        ("long arguments", format!("fn a({}b: u8) {{}}", body(FUNCTION_LINES + 1)), 1),
        ("no body", format!("trait A {{ fn a(); fn b() {{}} {} }}", body(FUNCTION_LINES + 1)), 0),
        ("a pointer", format!("struct A {{ b: fn(u8), {} }}", body(FUNCTION_LINES + 1)), 0),
        ("in tests", format!("#[cfg(test)] mod t {{ fn a() {{{}}} }}", body(FUNCTION_LINES + 1)), 0),
    ] {
        assert_eq!(long_functions(&sample(text)).len(), wanted, "{name}");
    }
    let (small, large) = ("\n".repeat(85), "\n".repeat(ROOM_PERCENT));
    let room = |text: &str| large_rooms(&crate::sources::from_texts([("a/b.rs", text), ("lib.rs", &small)]));
    assert!(room(&large).is_empty());
    assert_eq!(room(&format!("\n\n{large}")), [("a".to_owned(), 17, 102)]);
    assert!(room(&format!("{large}#[cfg(test)]\nmod t {{{large}}}")).is_empty());
}
