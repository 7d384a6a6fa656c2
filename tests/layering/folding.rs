//! Addresses and domains are compared by their keys (`mail::AddressKey`, `mail::DomainKey`) and in no other way.

use crate::sources::Source;
use crate::tokens::Token;

/// The one home of the rule.
const HOME: [&str; 3] = ["mail/address.rs", "mail/domain.rs", "mail/key.rs"];
/// Functions that make case, or spelling, not matter.
const FOLDS: [&str; 8] = [
    "to_lowercase",
    "to_uppercase",
    "to_ascii_lowercase",
    "to_ascii_uppercase",
    "make_ascii_lowercase",
    "make_ascii_uppercase",
    "eq_ignore_ascii_case",
    "nfc",
];
/// Words in the names of what holds an address or a domain.
const WORDS: [&str; 13] = [
    "address",
    "addresses",
    "domain",
    "domains",
    "mailbox",
    "mailboxes",
    "pattern",
    "patterns",
    "recipient",
    "recipients",
    "reverse",
    "sender",
    "senders",
];
/// What gives an address, or a part of it, as text.
const PARTS: [&str; 2] = ["domain", "local"];

/// What a file compares otherwise: each statement, or argument, that folds the case of an address or a domain, or compares the text of its
/// parts, with its line. `known` are the functions that may.
pub(crate) fn comparisons(source: &Source, known: &[(&str, &str)]) -> Vec<String> {
    if HOME.contains(&source.path.as_str()) {
        return Vec::new();
    }
    let mut function = String::new();
    let mut found = Vec::new();
    for statement in source.tokens.split(|token| matches!(token.text.as_str(), ";" | "," | "{" | "}")) {
        if let Some(at) = statement.iter().position(|token| token.text == "fn") {
            function = statement.get(at + 1).map_or_else(String::new, |name| name.text.clone());
            continue;
        }
        let is_known = known.contains(&(source.path.as_str(), function.as_str()));
        let says = folds(statement).or_else(|| compares(statement)).filter(|_| !is_known);
        if let Some(token) = says {
            found.push(format!("{}: `{}` in {function}", token.line, token.text));
        }
    }
    found
}

/// The function that folds, where an address or a domain is folded.
fn folds(statement: &[Token]) -> Option<&Token> {
    let fold = statement.iter().find(|token| FOLDS.contains(&token.text.as_str()))?;
    let names_one =
        |token: &Token| token.text.split('_').any(|word| WORDS.contains(&word.to_lowercase().as_str()));
    statement.iter().any(names_one).then_some(fold)
}

/// The comparison of a part as text: `x.domain() == y`.
fn compares(statement: &[Token]) -> Option<&Token> {
    let is = |at: usize, wanted: &str| statement.get(at).is_some_and(|token| token.text == wanted);
    (0..statement.len()).find_map(|at| {
        let is_part =
            is(at, ".") && PARTS.iter().any(|part| is(at + 1, part)) && is(at + 2, "(") && is(at + 3, ")");
        let compared = (is(at + 4, "=") || is(at + 4, "!")) && is(at + 5, "=");
        // `key.domain() == …` and `address.key().domain() == …` compare keys.
        let of_key = (1..=3).any(|back| {
            at.checked_sub(back)
                .is_some_and(|before| matches!(statement[before].text.as_str(), "key" | "known"))
        });
        (is_part && compared && !of_key).then(|| &statement[at + 1])
    })
}

#[test]
fn another_comparison_is_found() {
    for (name, text, wanted) in [
        ("lower case", "fn f() { let a = address.to_lowercase(); }", 1),
        ("ASCII", "fn f() { x.domain.eq_ignore_ascii_case(y) }", 1),
        ("in an argument", "fn f() { seen.insert(the_sender.as_str().to_ascii_lowercase()) }", 1),
        ("a part", "fn f() { if a.domain() == b { c() } }", 1),
        ("a part, not equal", "fn f() { a.local() != b }", 1),
        ("of a key", "fn f() { a.key().domain() == b.key().domain() }", 0),
        ("another word", "fn f() { host.to_ascii_lowercase() }", 0),
        ("another argument", "fn f() { of_recipient(rcpt, key.to_ascii_uppercase()) }", 0),
        ("another statement", "fn f() { host.to_lowercase(); address.key() }", 0),
        ("a comment", "// address.to_lowercase()", 0),
        ("a known one", "fn known() { address.to_lowercase() }", 0),
        ("in tests", "#[cfg(test)] mod tests { fn f() { address.to_lowercase() } }", 0),
    ] {
        let sources = crate::sources::from_texts([("a.rs", text), ("mail/key.rs", text)]);
        let found: Vec<usize> =
            sources.iter().map(|source| comparisons(source, &[("a.rs", "known")]).len()).collect();
        assert_eq!(found, [wanted, 0], "{name}");
    }
}
