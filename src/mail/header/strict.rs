//! Reads an address list so that nothing in it can be taken for an address that was not read.

use mail_parser::HeaderValue;
use mail_parser::parsers::MessageStream;
use unicode_normalization::UnicodeNormalization;

use crate::mail::Address;
use crate::mail::lexical::{comment, outside, quoted_string};

/// Mailboxes in one field at most.
const MAX_MAILBOXES: usize = 100;
/// Words of one mailbox at most.
const MAX_TOKENS: usize = 1000;

/// All mailboxes of a field such as From, or `None` when a reader might see another address in it than this one does.
///
/// That is so for groups, routes, anything that breaks RFC 5322 3.4, octets that are not UTF-8 or encoded words (RFC 2047) or
/// comments inside of an address, and for words with an `@` that stand in a display name without quotes and are no
/// address; those that are one are among the mailboxes. Quoted and encoded display names, and comments, are free text, as long
/// as they do not look like an address in its brackets: programs show that alone, and readers believe it.
#[must_use]
pub fn strict_mailboxes(value: &[u8]) -> Option<Vec<Address>> {
    let text = String::from_utf8_lossy(value);
    let mut found = Vec::new();
    let mut item: Vec<ListToken<'_>> = Vec::new();
    for token in ListTokens::of(&text) {
        match token? {
            ListToken::Comma => mailbox(std::mem::take(&mut item), &mut found)?,
            ListToken::Colon | ListToken::Semicolon => return None,
            token => item.push(token),
        }
        if found.len() > MAX_MAILBOXES || item.len() > MAX_TOKENS {
            return None;
        }
    }
    mailbox(item, &mut found)?;
    Some(found)
}

/// A piece of an address list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mail) enum ListToken<'a> {
    Comma,
    /// The name of a group stood before it.
    Colon,
    /// The end of a group.
    Semicolon,
    /// A run of octets without white space; quoted strings and literals in it are whole.
    Word(&'a str),
    /// What stands between angle brackets.
    Angle(&'a str),
    /// With its parentheses.
    Comment(&'a str),
}

/// An element of the list: an address, or words with an address in angle brackets. Empty ones are met kindly (RFC 5322
/// 4.4).
fn mailbox(tokens: Vec<ListToken<'_>>, found: &mut Vec<Address>) -> Option<()> {
    let shown = tokens.iter().filter_map(|token| match token {
        ListToken::Word(text) | ListToken::Comment(text) => Some(*text),
        ListToken::Angle(_) | ListToken::Comma | ListToken::Colon | ListToken::Semicolon => None,
    });
    if looks_like_mailbox(&shown.collect::<Vec<_>>().join(" ")) {
        return None;
    }
    let mut tokens: Vec<_> =
        tokens.into_iter().filter(|token| !matches!(token, ListToken::Comment(_))).collect();
    match tokens.pop() {
        None => Some(()),
        Some(ListToken::Word(word)) if tokens.is_empty() => {
            found.push(address(word)?);
            Some(())
        }
        Some(ListToken::Angle(inner)) => {
            for token in tokens {
                let ListToken::Word(word) = token else { return None };
                if outside(word.as_bytes()).any(|(_, b)| b == b'@') {
                    found.push(address(word)?);
                }
            }
            found.push(address(inner.trim_matches([' ', '\t', '\r', '\n']))?);
            Some(())
        }
        Some(_) => None,
    }
}

fn address(text: &str) -> Option<Address> {
    Address::parse(text).ok().filter(|_| !text.contains("=?") && !text.contains(char::REPLACEMENT_CHARACTER))
}

/// Whether readers may see an address in its brackets in this text: as it is, with encoded words (RFC 2047) decoded, and with
/// look-alikes of the at-sign and the brackets.
fn looks_like_mailbox(text: &str) -> bool {
    readings(text).iter().any(|text| text.contains('@') && text.contains(['<', '>']))
}

/// A free text as readers may see it, unfolded: as it is, and with encoded words (RFC 2047) decoded; look-alikes of ASCII are what they
/// look like.
pub(in crate::mail) fn readings(text: &str) -> Vec<String> {
    let line: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let mut readings = vec![line.nfkc().collect()];
    if let HeaderValue::Text(decoded) = MessageStream::new((line + "\n").as_bytes()).parse_unstructured() {
        readings.push(decoded.nfkc().collect());
    }
    readings
}

/// The pieces of an address list; what breaks its grammar ends them.
pub(in crate::mail) struct ListTokens<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> ListTokens<'a> {
    pub(in crate::mail) fn of(text: &'a str) -> Self {
        Self { text, rest: text }
    }

    /// How many octets have been read.
    pub(in crate::mail) fn position(&self) -> usize {
        self.text.len() - self.rest.len()
    }
}

/// `None` in `Some` when the text breaks the grammar.
impl<'a> Iterator for ListTokens<'a> {
    type Item = Option<ListToken<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let (token, length) = match self.rest.chars().next()? {
            ',' => (Some(ListToken::Comma), 1),
            ':' => (Some(ListToken::Colon), 1),
            ';' => (Some(ListToken::Semicolon), 1),
            '(' => {
                let length = comment(self.rest.as_bytes());
                (length.map(|n| ListToken::Comment(&self.rest[..n])), length.unwrap_or(1))
            }
            '<' => {
                let length = angle(self.rest);
                (length.map(|n| ListToken::Angle(&self.rest[1..n - 1])), length.unwrap_or(1))
            }
            _ => {
                let length = word(self.rest);
                (length.map(|n| ListToken::Word(&self.rest[..n])), length.unwrap_or(1))
            }
        };
        // A fault ends the reading.
        self.rest = if token.is_some() { &self.rest[length..] } else { "" };
        Some(token)
    }
}

/// The length of the word at the beginning, which is not empty.
fn word(text: &str) -> Option<usize> {
    let mut end = 0;
    while let Some(c) = text[end..].chars().next() {
        end += match c {
            ' ' | '\t' | '\r' | '\n' | ',' | '<' | ':' | ';' => break,
            // A comment beside a word parts it from what follows for some readers, and not for others.
            '(' | ')' | '>' | '\\' | ']' => return None,
            '"' => quoted_string(&text.as_bytes()[end..])?,
            '[' => literal(&text[end..])?,
            c if c.is_control() => return None,
            c => c.len_utf8(),
        };
    }
    // `word<address>` is two tokens; `word(comment)` is refused above, so nothing is glued together.
    (end > 0).then_some(end)
}

/// The length of the address literal at the beginning.
fn literal(text: &str) -> Option<usize> {
    let end = text.find(']')?;
    text[1..end].bytes().all(|b| b.is_ascii_alphanumeric() || b".:-".contains(&b)).then_some(end + 1)
}

/// The length of what stands in angle brackets at the beginning, with them.
fn angle(text: &str) -> Option<usize> {
    let mut end = 1;
    loop {
        end += match text[end..].chars().next()? {
            '>' => return Some(end + 1),
            '<' | '(' | ')' | ',' | ';' => return None,
            '"' => quoted_string(&text.as_bytes()[end..])?,
            '[' => literal(&text[end..])?,
            c => c.len_utf8(),
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::mailboxes;
    use super::*;

    fn read(value: &[u8]) -> Option<Vec<String>> {
        strict_mailboxes(value).map(|found| found.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn reads_what_is_beyond_doubt() {
        for (value, want) in [
            ("a@x.test", &["a@x.test"][..]),
            (" Mary Smith <a@x.test>\r\n", &["a@x.test"]),
            ("Mary Smith\r\n <a@x.test>,\r\n\tb@x.test", &["a@x.test", "b@x.test"]),
            ("\"evil@y.test\" <a@x.test>", &["a@x.test"]),
            ("\"Smith, \\\"Mary\\\"\" <a@x.test>", &["a@x.test"]),
            ("=?utf-8?Q?M=C3=BCller=2C_a?= =?utf-8?B?eA==?= <a@x.test>", &["a@x.test"]),
            ("Müller <müller@x.test>", &["müller@x.test"]),
            ("Mary<a@x.test>", &["a@x.test"]),
            ("a@x.test (Mary (home) \\) x)", &["a@x.test"]),
            ("(Mary) a@x.test", &["a@x.test"]),
            ("b@y.test <a@x.test>", &["b@y.test", "a@x.test"]),
            ("\"joe doe\"@x.test", &["\"joe doe\"@x.test"]),
            ("a@[192.0.2.1], b@[IPv6:2001:db8::1]", &["a@[192.0.2.1]", "b@[IPv6:2001:db8::1]"]),
            ("J. R. Smith <a@x.test>", &["a@x.test"]),
            (",a@x.test,,", &["a@x.test"]),
            ("a..b.@x.test", &["a..b.@x.test"]),
            ("\"Mary @ home\" <a@x.test> (at 5)", &["a@x.test"]),
            ("=?utf-8?Q?Mary_=40_home?= <a@x.test>", &["a@x.test"]),
            ("\"<Mary>\" <a@x.test>, \"@home\" <b@x.test>", &["a@x.test", "b@x.test"]),
            ("", &[]),
        ] {
            assert_eq!(read(value.as_bytes()).as_deref(), Some(&want.map_to_owned()[..]), "{value}");
        }
    }

    #[test]
    fn refuses_what_others_may_read_differently() {
        for value in [
            "A Group: a@x.test, b@x.test;",
            "Undisclosed:;",
            "<@y.test:a@x.test>",
            "<a@x.test",
            "a@x.test>",
            "<a@x.test> <b@y.test>",
            "<a@x.test> b@y.test",
            "<a@x.test> trailing",
            "b@y.test a@x.test",
            "Mary Smith",
            "Mary",
            "\"open <a@x.test>",
            "(open <a@x.test>",
            "a@x.test)",
            "evil@ <a@x.test>",
            "evil@y.test! <a@x.test>",
            "\"x\"evil@@y.test <a@x.test>",
            "evil @ y.test <a@x.test>",
            "a . b @ x.test",
            "a(b@y.test)@x.test",
            "a@x.test(b)",
            "=?utf-8?Q?evil=40y.test?=",
            "=?utf-8?Q?evil=40y.test?=@x.test",
            "<a@x.test, b@y.test>",
            "<<a@x.test>>",
            "<>",
            "a@x.test\0",
            "a@x.test;b@y.test",
            "a@x.test\\, b@y.test",
            "[x] <a@x.test>\u{1}",
            "<a@x.test\r\n b@y.test>",
            "a@x.test (<b@y.test>)",
            "(b@y.test>) a@x.test",
            "a@x.test (<b) (b@y.test)",
            "\"b@y.test <b@y.test>\" <a@x.test>",
            "\"b@y.test\" (<) <a@x.test>",
            "\"<b\\@y.test\" <a@x.test>",
            "=?utf-8?Q?b=40y.test_=3Cb=40y.test=3E?= <a@x.test>",
            "=?utf-8?B?PGJAeS50ZXN0Pg==?= <a@x.test>",
            "=?utf-8?Q?b=40y.test?=\r\n =?iso-8859-1?q?=3e?= <a@x.test>",
            "\"=?utf-8?Q?=3Cb=40y.test=3E?=\" <a@x.test>",
            "\"b\u{ff20}y.test \u{ff1c}b\u{ff20}y.test\u{ff1e}\" <a@x.test>",
        ] {
            assert_eq!(read(value.as_bytes()), None, "{value:?}");
        }
        assert_eq!(read(b"<m\xfcller@x.test>"), None);
        assert_eq!(read("a ".repeat(MAX_TOKENS + 1).as_bytes()), None);
        assert_eq!(read(b"M\xfcller <a@x.test>").unwrap(), ["a@x.test"], "an old program's display name");
        assert_eq!(read("a@x.test,".repeat(MAX_MAILBOXES + 1).as_bytes()), None);
    }

    trait MapToOwned {
        fn map_to_owned(&self) -> Vec<String>;
    }

    impl MapToOwned for [&str] {
        fn map_to_owned(&self) -> Vec<String> {
            self.iter().map(|s| (*s).to_owned()).collect()
        }
    }

    proptest! {
        /// What the lenient reader finds, the strict one has found too, or it has refused the field.
        #[test]
        fn misses_nothing(value in "[ab@.,:;<>()\\[\\]\"\\\\ \r\n=?]{0,60}", octets in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = strict_mailboxes(&octets);
            if let Some(strict) = strict_mailboxes(value.as_bytes()) {
                for address in mailboxes(value.as_bytes()) {
                    prop_assert!(strict.contains(&address), "{address}");
                }
            }
        }
    }
}
