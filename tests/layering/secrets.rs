//! What is secret is a `SecretString`, or stands in a type that shows nothing: so no Debug output, and no message that is
//! made of one, has it.

use crate::sources::Source;
use crate::tokens::{Token, closing, is};

/// How the names of what is secret end; a plural counts as well.
const NAMES: [&str; 17] = [
    "assertion",
    "client_key",
    "credential",
    "id_token",
    "initial",
    "passphrase",
    "password",
    "pem",
    "private_key",
    "salted",
    "sealing_key",
    "secret",
    "secret_key",
    "server_key",
    "signing_key",
    "stored_key",
    "token",
];
/// Types that show what they hold.
const BARE: [&str; 7] = ["Bytes", "OsString", "String", "Value", "Zeroizing", "str", "u8"];
/// What shows nothing of what is in it.
const CLOSED: [&str; 2] = ["SecretBox", "SecretSlice"];
/// What derives show it by.
const SHOWING: [&str; 2] = ["Debug", "Serialize"];
/// What gives the text of a secret.
const EXPOSING: [&str; 2] = ["expose", "expose_secret"];
/// What writes a message that somebody may read.
const WRITING: [&str; 20] = [
    "anyhow",
    "assert",
    "assert_eq",
    "assert_ne",
    "bail",
    "dbg",
    "debug",
    "ensure",
    "eprint",
    "eprintln",
    "error",
    "event",
    "info",
    "panic",
    "print",
    "println",
    "span",
    "trace",
    "unreachable",
    "warn",
];

/// A type that a file defines.
struct Defined<'a> {
    name: &'a str,
    line: usize,
    derives: Vec<&'a str>,
    /// Where its fields or variants begin, if it has any.
    body: Option<usize>,
}

impl Defined<'_> {
    /// Whether its derives show what is in it.
    fn shows(&self) -> bool {
        self.derives.iter().any(|derive| SHOWING.contains(derive))
    }
}

/// The secrets that a file's types show, each with its line. `known` are the fields that may be shown, as `Type.field`.
pub(crate) fn shown(source: &Source, known: &[(&str, &str)]) -> Vec<String> {
    let mut found = Vec::new();
    for defined in types(&source.tokens).iter().filter(|defined| defined.shows()) {
        if let Some(open) = defined.body {
            fields(&source.tokens, open, (defined, defined.name), &mut found);
        }
    }
    found.retain(|(_, field)| !known.contains(&(source.path.as_str(), field)));
    found.into_iter().map(|(line, field)| format!("{line}: {field}")).collect()
}

/// What of these types, each with its file, shows itself by a derive, or is not there.
pub(crate) fn unclosed(sources: &[Source], closed: &[(&str, &[&str])]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, names) in closed {
        let tokens = sources.iter().find(|source| source.path == *path).map(|source| &source.tokens);
        let defined = tokens.map_or_else(Vec::new, |tokens| types(tokens));
        for name in *names {
            match defined.iter().find(|defined| defined.name == *name) {
                Some(defined) if defined.shows() => found.push(format!("{path}:{}: {name}", defined.line)),
                Some(_) => {}
                None => found.push(format!("{path}: there is no {name}")),
            }
        }
    }
    found
}

/// The types of a file.
fn types(tokens: &[Token]) -> Vec<Defined<'_>> {
    let (mut found, mut at, mut derives) = (Vec::new(), 0, Vec::new());
    while at < tokens.len() {
        let defines = matches!(tokens[at].text.as_str(), "struct" | "enum" | "union")
            && tokens.get(at + 1).is_some_and(Token::is_name);
        if is(tokens, at, "#") && is(tokens, at + 1, "[") {
            let end = closing(tokens, at + 1);
            if is(tokens, at + 2, "derive") {
                derives.extend(tokens[at + 3..end].iter().map(|token| token.text.as_str()));
            }
            at = end;
        } else if defines {
            let (name, line) = (tokens[at + 1].text.as_str(), tokens[at].line);
            let body = body(tokens, at + 2);
            found.push(Defined { name, line, derives: std::mem::take(&mut derives), body });
            at = body.map_or(at, |open| closing(tokens, open));
        } else if !matches!(tokens[at].text.as_str(), "pub" | "(" | ")" | "crate" | "super" | "in" | "::") {
            derives.clear();
        }
        at += 1;
    }
    found
}

/// Where the fields or variants begin; `None` where there are none.
fn body(tokens: &[Token], start: usize) -> Option<usize> {
    (start..tokens.len())
        .find(|at| matches!(tokens[*at].text.as_str(), "{" | "(" | ";"))
        .filter(|at| tokens[*at].text != ";")
}

/// Finds the fields that hold a secret in the open. What has no name is called after the variant, or the type.
fn fields(
    tokens: &[Token],
    open: usize,
    (owner, name): (&Defined<'_>, &str),
    found: &mut Vec<(usize, String)>,
) {
    let end = closing(tokens, open);
    let mut at = open + 1;
    while at < end {
        while is(tokens, at, "#") {
            at = closing(tokens, at + 1) + 1;
        }
        let stop = part_end(tokens, at, end);
        let part = &tokens[at..stop];
        // `pub(crate) name: Type`, or `Variant(Type)`, or `Type`.
        let colon = part.iter().position(|token| token.text == ":");
        let nested = part.iter().position(|token| token.text == "{");
        match (colon, nested) {
            (_, Some(inner)) if is(tokens, open, "{") => {
                fields(tokens, at + inner, (owner, &part[0].text), found);
            }
            (Some(colon), _) => note(owner, &part[colon - 1].text, &part[colon..], found),
            (None, _) if is(tokens, open, "(") => note(owner, name, part, found),
            (None, _) => {
                if let Some(inner) = part.iter().position(|token| token.text == "(") {
                    fields(tokens, at + inner, (owner, &part[0].text), found);
                }
            }
        }
        at = stop + 1;
    }
}

/// The comma behind a field or a variant.
fn part_end(tokens: &[Token], start: usize, end: usize) -> usize {
    let (mut at, mut angles) = (start, 0_i32);
    while at < end {
        match tokens[at].text.as_str() {
            "(" | "[" | "{" => at = closing(tokens, at),
            "<" => angles += 1,
            ">" if !is(tokens, at - 1, "-") => angles -= 1,
            "," if angles == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    end
}

fn note(owner: &Defined<'_>, name: &str, of: &[Token], found: &mut Vec<(usize, String)>) {
    let has = |words: &[&str]| of.iter().any(|token| words.contains(&token.text.as_str()));
    // A text of the program itself is nobody's secret.
    let is_bare = has(&BARE) && !has(&CLOSED) && !has(&["static"]);
    if is_secret(name) && is_bare {
        found.push((of[0].line, format!("{}.{name}", owner.name)));
    }
}

fn is_secret(name: &str) -> bool {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
    }
    let single = snake.strip_suffix('s').unwrap_or(&snake);
    NAMES
        .iter()
        .any(|end| single.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with('_')))
}

/// Where a message is made of the text of a secret: each line with the macro that makes it.
pub(crate) fn written(source: &Source) -> Vec<String> {
    let tokens = &source.tokens;
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let is_macro = WRITING.contains(&tokens[at].text.as_str())
            && is(tokens, at + 1, "!")
            && tokens.get(at + 2).is_some_and(|token| matches!(token.text.as_str(), "(" | "[" | "{"));
        let is_expect =
            is(tokens, at, "expect") && is(tokens, at + 1, "(") && at > 0 && is(tokens, at - 1, ".");
        let open = if is_macro { at + 2 } else { at + 1 };
        if (is_macro || is_expect)
            && tokens[open..closing(tokens, open)].iter().any(|token| EXPOSING.contains(&token.text.as_str()))
        {
            found.push(format!("{}: {}", tokens[at].line, tokens[at].text));
        }
    }
    found
}

#[test]
fn a_secret_in_the_open_is_found() {
    for (name, text, wanted) in [
        (
            "a text",
            "#[derive(Clone, Debug)] pub struct A { user: String, pub password: String }",
            "1: A.password",
        ),
        ("octets", "#[derive(Debug)] struct A { server_key: [u8; 32] }", "1: A.server_key"),
        ("an answer", "#[derive(Serialize)] struct A { access_token: Option<String> }", "1: A.access_token"),
        (
            "several",
            "#[derive(Debug)] struct A { b: Map<String, u64>, old_passwords: Vec<String> }",
            "1: A.old_passwords",
        ),
        (
            "a name of its own",
            "#[derive(Debug)] pub struct RefreshToken(Vec<u8>);",
            "1: RefreshToken.RefreshToken",
        ),
        ("in a variant", "#[derive(Debug)] enum A { B { secret: &'a str } }", "1: A.secret"),
        ("a variant", "#[derive(Debug)] enum A { Nothing, Secret(String), Other }", "1: A.Secret"),
        (
            "behind attributes",
            "#[derive(Debug)] #[serde(x)] struct A { #[serde(y)] token: String }",
            "1: A.token",
        ),
        ("with a bound", "#[derive(Debug)] struct A<T: B> where T: C { secret: String }", "1: A.secret"),
        ("the secret type", "#[derive(Debug)] struct A { password: SecretString }", ""),
        ("the same for octets", "#[derive(Debug)] struct SealingKey(Arc<SecretBox<[u8; 32]>>);", ""),
        ("where it lies", "#[derive(Debug)] struct A { secret: PathBuf }", ""),
        ("shows nothing", "#[derive(Clone)] struct A { password: String } impl Debug for A {}", ""),
        ("the next one derives", "struct A { password: String } #[derive(Debug)] struct B { c: String }", ""),
        ("about a secret", "#[derive(Debug)] struct A { token_url: String, password_of: String }", ""),
        ("a number", "#[derive(Debug)] struct A { token: u64, awaits_token: bool }", ""),
        ("the program's words", "#[derive(Debug)] struct A { password: &'static str }", ""),
        ("known", "#[derive(Debug)] struct K { token: String }", ""),
    ] {
        let sources = crate::sources::from_texts([("a.rs", text)]);
        assert_eq!(shown(&sources[0], &[("a.rs", "K.token")]).join(" "), wanted, "{name}");
    }
}

#[test]
fn a_type_that_is_to_be_closed_is_looked_at() {
    let text =
        "struct A; #[derive(Debug)] pub struct B(String); #[derive(Clone)] enum C { D } impl Debug for C {}";
    let sources = crate::sources::from_texts([("a.rs", text)]);
    for (name, wanted) in [
        ("A", ""),
        ("B", "a.rs:1: B"),
        ("C", ""),
        ("D", "a.rs: there is no D"),
        ("Debug", "a.rs: there is no Debug"),
    ] {
        assert_eq!(unclosed(&sources, &[("a.rs", &[name])]).join(" "), wanted);
    }
    assert_eq!(unclosed(&sources, &[("b.rs", &["A"])]), ["b.rs: there is no A"]);
}

#[test]
fn a_message_made_of_a_secret_is_found() {
    for (text, wanted) in [
        ("fn f() { panic!(\"{}\", a.expose_secret()) }", "1: panic"),
        ("fn f() { tracing::info!(event = \"x\", token = b.expose()) }", "1: info"),
        ("fn f() { g().expect(a.expose_secret()) }", "1: expect"),
        ("fn f() { assert!(a.b(c.expose_secret()), \"no\") }", "1: assert"),
        ("fn f() { h(a.expose_secret()).expect(\"it is good\") }", ""),
        ("fn f() { format!(\"{}\", a.expose_secret()) }", ""),
        ("fn f() { panic!(\"{a:?}\") }", ""),
    ] {
        assert_eq!(written(&crate::sources::from_texts([("a.rs", text)])[0]).join(" "), wanted, "{text}");
    }
}
