//! Reads the mailboxes out of an address list (RFC 5322 3.4, with the obsolete forms of 4.4).

use crate::mail::Address;
use crate::mail::lexical::{comment, quoted_string};

/// Mailboxes that are read of one field at most; what follows is not looked at.
const MAX_MAILBOXES: usize = 10_000;

/// The mailboxes of a field such as From or To: group members included; display names, comments and routes left out.
///
/// What is no mailbox is passed over.
#[must_use]
pub fn mailboxes(value: &[u8]) -> Vec<Address> {
    let mut reader = Reader::default();
    let mut rest = value;
    while let Some((&b, tail)) = rest.split_first() {
        let text = std::mem::replace(&mut rest, tail);
        match b {
            b'(' => rest = behind(text, comment(text)),
            b'"' => {
                let end = quoted_string(text);
                reader.quoted(&text[1..end.map_or(text.len(), |end| end - 1)]);
                rest = behind(text, end);
            }
            b' ' | b'\t' | b'\r' | b'\n' => reader.space = true,
            b'<' => reader.open(),
            b'>' if reader.in_angle => reader.in_angle = false,
            // The name of a group, or a route inside of angle brackets (RFC 5322 4.4).
            b':' if !reader.in_literal => reader.text.clear(),
            b',' if reader.in_angle => reader.text.clear(),
            b',' | b';' if !reader.in_literal => reader.finish(),
            b if reader.in_angle || !reader.has_angle => reader.push(b),
            _ => {}
        }
        if reader.found.len() >= MAX_MAILBOXES {
            break;
        }
    }
    reader.finish();
    reader.found
}

#[derive(Default)]
struct Reader {
    found: Vec<Address>,
    /// The address, or what may become one or turn out a display name.
    text: Vec<u8>,
    /// White space or a comment has come since the last octet of `text`.
    space: bool,
    /// Two words stand beside each other: a display name, no address.
    words: bool,
    in_angle: bool,
    has_angle: bool,
    in_literal: bool,
}

impl Reader {
    fn open(&mut self) {
        self.text.clear();
        self.words = false;
        self.space = false;
        self.in_angle = true;
        self.has_angle = true;
    }

    fn push(&mut self, b: u8) {
        // White space may stand around the dots and the at-sign (RFC 5322 4.4); elsewhere it parts words.
        let joined = |b: Option<&u8>| matches!(b, None | Some(b'.' | b'@'));
        self.words |= self.space && !self.in_literal && !joined(self.text.last()) && !joined(Some(&b));
        self.space = false;
        match b {
            b'[' => self.in_literal = true,
            b']' => self.in_literal = false,
            _ => {}
        }
        self.text.push(b);
    }

    /// Takes what stands in a quoted string.
    fn quoted(&mut self, inner: &[u8]) {
        if self.in_angle || !self.has_angle {
            self.push(b'"');
            self.text.extend(inner.iter().filter(|b| !b"\r\n".contains(b)));
            self.text.push(b'"');
        }
    }

    fn finish(&mut self) {
        let address = std::str::from_utf8(&self.text).ok().and_then(|text| Address::parse(text).ok());
        if let Some(address) = address.filter(|_| !self.words) {
            self.found.push(address);
        }
        let found = std::mem::take(&mut self.found);
        *self = Self { found, ..Self::default() };
    }
}

/// What follows what ends there; nothing when that has no end.
fn behind(text: &[u8], end: Option<usize>) -> &[u8] {
    end.map_or(&[], |end| &text[end..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(value: &[u8]) -> Vec<String> {
        mailboxes(value).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn reads_mailboxes() {
        let long = "x".repeat(200);
        for (value, want) in [
            ("a@b.example", &["a@b.example"][..]),
            (
                " Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>",
                &["mary@x.test", "jdoe@example.org", "one@y.test"],
            ),
            (
                "<boss@nil.test>, \"Giant; \\\"Big\\\" Box\" <sys@x.example>",
                &["boss@nil.test", "sys@x.example"],
            ),
            (
                "A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;",
                &["c@a.test", "joe@where.test", "jdoe@one.test"],
            ),
            ("Undisclosed recipients:;", &[]),
            ("A: a@x.test;, B: b@x.test;", &["a@x.test", "b@x.test"]),
            ("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", &["pete@silly.test"]),
            ("(x (y) <no@no.test>) a@b.test (c)", &["a@b.test"]),
            ("Joe <@one.test,@two.test:joe@where.test>", &["joe@where.test"]),
            ("joe . doe @ x . test", &["joe.doe@x.test"]),
            ("joe.doe\r\n @x.test", &["joe.doe@x.test"]),
            ("\"joe doe\"@x.test", &["\"joe doe\"@x.test"]),
            ("x@[192.0.2.1], y@[IPv6:2001:db8::1]", &["x@[192.0.2.1]", "y@[IPv6:2001:db8::1]"]),
            ("=?utf-8?Q?M=C3=BCller=2C_a?= <m@x.test>", &["m@x.test"]),
            ("Müller <müller@x.test>", &["müller@x.test"]),
            ("\"a@evil.test\" <b@x.test>", &["b@x.test"]),
            ("a@evil.test <b@x.test>", &["b@x.test"]),
            ("<b@x.test> trailing", &["b@x.test"]),
            ("Forge <a..b.@x.test>, .c@x.test", &["a..b.@x.test", ".c@x.test"]),
            (&format!("Forge <{long}@x.test>"), &[&format!("{long}@x.test")]),
            ("Joe Doe joe@x.test", &[]),
            (",,;,", &[]),
            ("", &[]),
            ("nobody", &[]),
            ("<a@x.test", &["a@x.test"]),
            ("\"open", &[]),
            ("(open a@x.test", &[]),
        ] {
            assert_eq!(read(value.as_bytes()), want, "{value}");
        }
        assert_eq!(read(b"M\xfcller <m@x.test>, \xfc@x.test"), ["m@x.test"]);
    }

    proptest! {
        #[test]
        fn never_panics(value in proptest::collection::vec(any::<u8>(), 0..200), text in "[ab@.,:;<>()\\[\\]\"\\\\ \r\n]{0,60}") {
            let _ = mailboxes(&value);
            let _ = mailboxes(text.as_bytes());
        }
    }
}
