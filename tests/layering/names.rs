//! A public type name stands once in the crate, so that a word means one thing.

use std::collections::BTreeMap;

use crate::sources::Source;
use crate::tokens::Token;

/// The names of public types that another type has as well, be it public or not, each with the files of both.
pub(crate) fn shared_names(sources: &[Source]) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, (bool, Vec<String>)> = BTreeMap::new();
    for source in sources {
        for (public, name) in types(&source.tokens) {
            let entry = all.entry(name).or_default();
            entry.0 |= public;
            entry.1.push(source.path.clone());
        }
    }
    all.into_iter()
        .filter(|(_, (public, files))| *public && files.len() > 1)
        .map(|(name, (_, files))| (name, files))
        .collect()
}

/// The types that the tokens define, and whether each has some `pub`. A type that an `impl` or a trait names for
/// itself is none of the crate's.
fn types(tokens: &[Token]) -> Vec<(bool, String)> {
    const KINDS: [&str; 5] = ["struct", "enum", "trait", "type", "union"];
    let mut found = Vec::new();
    // One entry for each open brace: whether it is that of an `impl` or a trait.
    let (mut braces, mut associated) = (Vec::new(), false);
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).map_or("", |before| tokens[before].text.as_str());
        match token.text.as_str() {
            "impl" | "trait" if !matches!(before, "(" | "," | "->" | ">" | "<" | "&" | ":" | "=") => {
                associated = true;
            }
            "fn" | ";" => associated = false,
            "{" => braces.push(std::mem::take(&mut associated)),
            "}" => drop(braces.pop()),
            _ => {}
        }
        let defines = KINDS.contains(&token.text.as_str())
            && !matches!(before, "::" | "." | "#")
            && tokens.get(at + 1).is_some_and(Token::is_name)
            && braces.last() != Some(&true);
        if defines {
            found.push((matches!(before, "pub" | ")"), tokens[at + 1].text.clone()));
        }
    }
    found
}

#[test]
fn a_shared_name_is_found() {
    for (name, one, other, wanted) in [
        ("two public ones", "pub struct A;", "pub enum A {}", "A"),
        ("two that the crate sees", "pub(crate) struct A;", "pub(in crate::x) trait A {}", "A"),
        ("a public and a private one", "pub type A = u8;", "struct A;", "A"),
        ("two private ones", "struct A;", "enum A {}", ""),
        ("two names", "pub struct A;", "pub struct B;", ""),
        ("an associated type", "pub struct Err;", "impl T for X { type Err = u8; }", ""),
        ("a type beside a function", "pub struct A;", "impl X { fn f() {} } struct A;", "A"),
        ("after a function's impl", "pub struct A;", "fn f(x: impl X) -> impl Y {} struct A;", "A"),
        ("a trait's own type", "pub struct Item;", "pub trait T { type Item; }", ""),
        ("in a text", "pub struct A;", r#"const X: &str = "pub struct A;";"#, ""),
        ("in tests", "pub struct A;", "#[cfg(test)] mod tests { struct A; }", ""),
    ] {
        let found = shared_names(&crate::sources::from_texts([("a.rs", one), ("b.rs", other)]));
        assert_eq!(found.into_keys().collect::<Vec<_>>().join(" "), wanted, "{name}");
    }
}
