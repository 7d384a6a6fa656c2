//! What can be told of a line without its texts: where quotes, comments and brackets are.

/// A line without what is in quotes, and without its comment. Of a text that does not end, the quotation mark stays, as
/// the last character. All other characters keep their places.
pub(super) fn bare(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        let is_quote = c == '"' || c == '\'';
        if c == '#' {
            break;
        }
        if let Some(length) = text_length(rest.as_str(), c).filter(|_| is_quote) {
            let (text, behind) = rest.as_str().split_at(length);
            out.extend(std::iter::repeat_n(' ', text.chars().count() + 1));
            rest = behind.chars();
            continue;
        }
        out.push(c);
        if is_quote {
            break;
        }
    }
    out
}

/// How far a text reaches whose quotation mark stands before, with the mark at its end; `None` when the line has none.
fn text_length(rest: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    for (at, c) in rest.char_indices() {
        match c {
            '\n' => return None,
            _ if is_escaped => is_escaped = false,
            '\\' if quote == '"' => is_escaped = true,
            c if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The name before the first `=` and the text behind it; `None` when no name stands there.
pub(super) fn assignment(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (!name.is_empty() && name.chars().all(is_name)).then_some((name, value))
}

/// The section that a line heads: `upstream.limits`.
pub(super) fn heading(line: &str) -> Option<&str> {
    let inner = line.trim_start().strip_prefix('[')?;
    let (name, rest) = inner.strip_prefix('[').unwrap_or(inner).split_once(']')?;
    let name = name.trim();
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (!name.is_empty() && name.chars().all(is_name) && !rest.starts_with(',')).then_some(name)
}

/// The outermost bracket or brace that nothing closes, and where it is. Headings of sections are no brackets, where
/// nothing is open.
pub(super) fn open_bracket(text: &str) -> Option<(usize, char)> {
    let mut open: Vec<(usize, char)> = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let seen = bare_octets(line);
        let is_heading = open.is_empty() && line.trim_start().starts_with('[');
        for (at, c) in seen.into_iter().filter(|_| !is_heading) {
            match c {
                '[' | '{' => open.push((start + at, c)),
                ']' | '}' => {
                    open.pop();
                }
                _ => {}
            }
        }
        start += line.len();
    }
    open.first().copied()
}

/// The brackets of a line that stand neither in quotes nor in a comment, each with its octet.
fn bare_octets(line: &str) -> Vec<(usize, char)> {
    let seen = bare(line);
    let places = line.char_indices().map(|(at, _)| at);
    places.zip(seen.chars()).filter(|(_, c)| "[]{}".contains(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_what_is_in_no_quotes() {
        for (line, want) in [
            ("a = \"ü[#\" # x", "a =       "),
            ("a = 'x\\' b", "a =      b"),
            ("a = \"x\\\" y", "a = \""),
            ("a = 'x", "a = '"),
            ("", ""),
        ] {
            assert_eq!(bare(line), want, "{line}");
        }
    }

    #[test]
    fn finds_names() {
        for (line, want) in [
            (" host =\"x=y\"", Some(("host", "\"x=y\""))),
            ("a.b-c = 1", Some(("a.b-c", " 1"))),
            ("= 1", None),
            ("two words = 1", None),
            ("host: x", None),
        ] {
            assert_eq!(assignment(line), want, "{line}");
        }
        for (line, want) in [
            ("[log]", Some("log")),
            (" [[upstream.account]] # x", Some("upstream.account")),
            ("[log", None),
            ("[\"x\"],", None),
            ("[1],", None),
            ("a = [1]", None),
        ] {
            assert_eq!(heading(line), want, "{line}");
        }
    }

    #[test]
    fn finds_what_is_not_closed() {
        for (text, want) in [
            ("[log]\na = [1,\n2]\n", None),
            ("a = [1,\n[log]\nb = [2]\n", Some((4, '['))),
            ("a = \"ü[\"\nb = { c = [1],\n", Some((14, '{'))),
            ("a = [] # [\n", None),
        ] {
            assert_eq!(open_bracket(text), want, "{text}");
        }
    }
}
