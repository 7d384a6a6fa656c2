//! Rust sources as tokens: names, `::`, and single other characters, each with its line. Comments, texts, characters
//! and lifetimes are left out.

use std::fmt;

/// A name, `::`, or one other character.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) text: String,
    /// Counted from one.
    pub(crate) line: usize,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Token {
    pub(crate) fn is_name(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

pub(crate) fn is(tokens: &[Token], at: usize, wanted: &str) -> bool {
    tokens.get(at).is_some_and(|token| token.text == wanted)
}

pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let (mut found, mut at, mut line) = (Vec::new(), 0, 1);
    while at < chars.len() {
        let rest = &chars[at..];
        let length = length(rest).max(1).min(rest.len());
        if rest[0] == ':' && length == 2 || is_word(rest[0]) && !is_text(rest) || length == 1 {
            let text: String = rest[..length].iter().collect();
            if !text.trim().is_empty() {
                found.push(Token { text, line });
            }
        }
        line += rest[..length].iter().filter(|c| **c == '\n').count();
        at += length;
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_text(rest: &[char]) -> bool {
    matches!(rest, ['r', '"' | '#', ..] | ['b', 'r', '"' | '#', ..]) && raw_text(rest).is_some()
}

/// The length of the token, the comment or the text at the start.
fn length(rest: &[char]) -> usize {
    match rest {
        ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
        ['/', '*', ..] => block_comment(rest),
        ['r', '"' | '#', ..] | ['b', 'r', '"' | '#', ..] if is_text(rest) => raw_text(rest).unwrap(),
        ['"', ..] => quoted(rest),
        ['\'', '\\', ..] => 4 + rest[3..].iter().position(|c| *c == '\'').unwrap_or(rest.len() - 4),
        ['\'', _, '\'', ..] => 3,
        [':', ':', ..] => 2,
        [c, ..] if is_word(*c) => rest.iter().position(|c| !is_word(*c)).unwrap_or(rest.len()),
        _ => 1,
    }
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

/// The place of the bracket that closes the one at `open`, or the last token's.
pub(crate) fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len() - 1
}

#[test]
fn only_code_becomes_tokens() {
    for (name, text, wanted) in [
        ("path", "a::b_1(c)", "[a, ::, b_1, (, c, )]"),
        ("line comment", "a // b\nc", "[a, c]"),
        ("nested comment", "a /* b /* c */ d */ e", "[a, e]"),
        ("text", r#"a("b \" c") d"#, "[a, (, ), d]"),
        ("raw text", r##"a(r#"b " c"#, br"d") e"##, "[a, (, ,, ), e]"),
        ("character", r"a '}' '\'' '\u{1f}' b '\\' c", "[a, b, c]"),
        ("lifetime", "&'a b", "[&, ', a, b]"),
        ("raw name", "r#type", "[r, #, type]"),
    ] {
        assert_eq!(format!("{:?}", tokens(text)), wanted, "{name}");
    }
    let lines: Vec<usize> = tokens("a\n/* \n */ b \"\n\" c\n// d\ne").iter().map(|t| t.line).collect();
    assert_eq!(lines, [1, 3, 4, 6]);
}
