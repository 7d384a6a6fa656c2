//! Addresses without a domain, as programs of one machine write them (`root`, cron's `root (Cron Daemon)`), and the domain
//! that completes them (`complete_addresses`).
//!
//! The one home of it: the envelope is completed when it is given, the header on its way out; and what decides by the header,
//! such as routing, reads it as it will go.

use std::borrow::Cow;
use std::ops::Range;

use super::address::is_plain;
use super::address_list::fold_list;
use super::header::{Field, FieldChange, Header, MAX_LINE};
use super::lexical::{comment, quoted_string};
use super::{Address, AddressError};

/// The fields in which addresses are completed.
const FIELDS: [&str; 10] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Resent-From",
    "Resent-Sender",
    "Resent-Reply-To",
    "Resent-To",
    "Resent-Cc",
];

/// The domain that completes addresses without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion(String);

impl Completion {
    /// Takes a domain name in ASCII, which every server knows. `None` for anything else.
    #[must_use]
    pub fn parse(domain: &str) -> Option<Self> {
        let is_name = domain.is_ascii() && !domain.starts_with('[');
        (is_name && Address::parse(&format!("x@{domain}")).is_ok()).then(|| Self(domain.to_owned()))
    }

    /// The domain.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.0
    }

    /// Reads an address, which may lack its domain.
    ///
    /// # Errors
    /// When it is none, even so.
    pub fn address(&self, text: &str) -> Result<Address, AddressError> {
        match Address::parse(text) {
            Err(AddressError::NoDomain) if !text.is_empty() => Address::parse(&format!("{text}@{}", self.0)),
            read => read,
        }
    }

    /// Completes the addresses in all fields of a header that hold some. Every other octet stays.
    pub fn complete(&self, header: &mut Header<'_>) {
        header.map(|field| match self.field(field) {
            Some(completed) => FieldChange::Replace(completed),
            None => FieldChange::Keep,
        });
    }

    /// The header section with its addresses completed.
    #[must_use]
    pub fn section<'a>(&self, section: &'a [u8]) -> Cow<'a, [u8]> {
        let mut header = Header::parse(section);
        self.complete(&mut header);
        if header.is_changed() { Cow::Owned(header.to_content()) } else { Cow::Borrowed(section) }
    }

    /// The field with its addresses completed; `None` when nothing is missing.
    fn field(&self, field: &Field<'_>) -> Option<Vec<u8>> {
        let name = FIELDS.iter().find(|name| field.is(name))?;
        let value = field.value();
        let places = incomplete(value, |local| self.address(local).is_ok());
        if places.is_empty() {
            return None;
        }
        let mut completed = field.raw()[..field.raw().len() - value.len()].to_vec();
        let mut done = 0;
        for place in places {
            completed.extend_from_slice(&value[done..place]);
            completed.push(b'@');
            completed.extend_from_slice(self.0.as_bytes());
            done = place;
        }
        completed.extend_from_slice(&value[done..]);
        let fits = completed.split(|&b| b == b'\n').all(|line| line.len() <= MAX_LINE + 1);
        Some(if fits { completed } else { fold_list(name, Field::of(&completed).value()) })
    }
}

/// An element of a list, as far as it has been read.
#[derive(Default)]
struct Element {
    /// The words outside of angle brackets; once these have begun, those inside.
    words: u32,
    /// The last of them, unless it is quoted.
    word: Option<Range<usize>>,
    has_angle: bool,
    in_angle: bool,
    /// Nobody knows what it is.
    unclear: bool,
}

impl Element {
    fn add(&mut self, word: Option<Range<usize>>) {
        // What follows behind the brackets is nobody's address.
        if self.in_angle || !self.has_angle {
            self.words += 1;
            self.word = word;
        }
    }

    fn open(&mut self) {
        let unclear = self.unclear || self.has_angle;
        *self = Self { has_angle: true, in_angle: true, unclear, ..Self::default() };
    }

    /// The local part that stands where an address belongs.
    fn local(self) -> Option<Range<usize>> {
        let is_address = !self.unclear && !self.in_angle && self.words == 1;
        self.word.filter(|_| is_address)
    }
}

/// Where the domain is missing in a list of mailboxes (RFC 5322 3.4): behind these places. What can't be understood is left alone,
/// and so is what may be a name without an address: quoted strings, encoded words, several words.
fn incomplete(list: &[u8], can_be: impl Fn(&str) -> bool) -> Vec<usize> {
    let mut places = Vec::new();
    let mut element = Element::default();
    let mut at = 0;
    let mut finish = |element: &mut Element| {
        let Some(local) = std::mem::take(element).local() else { return };
        let text = &list[local.clone()];
        let is_local = text.is_ascii() && is_plain(text) && !text.starts_with(b"=?");
        if is_local && std::str::from_utf8(text).is_ok_and(&can_be) {
            places.push(local.end);
        }
    };
    while let Some(&b) = list.get(at) {
        let length = match b {
            b'(' => comment(&list[at..]),
            b'"' => {
                element.add(None);
                quoted_string(&list[at..])
            }
            _ => Some(1),
        };
        // What has no end hides all that follows.
        let Some(length) = length else {
            element.unclear = true;
            break;
        };
        match b {
            b'(' | b'"' => {}
            b',' | b';' if !element.in_angle => finish(&mut element),
            // The name of a group stood before it.
            b':' if !element.in_angle => element = Element::default(),
            b',' | b';' | b':' => element.unclear = true,
            b'<' => element.open(),
            b'>' => element.in_angle = false,
            b if b.is_ascii_whitespace() => {}
            _ => {
                let end = at + word_length(&list[at..]);
                element.add(Some(at..end));
                at = end;
                continue;
            }
        }
        at += length;
    }
    finish(&mut element);
    places
}

/// The length of the word at the beginning, address literals in it whole. It is never empty.
fn word_length(text: &[u8]) -> usize {
    let mut literal = false;
    let ends = |b: u8| b.is_ascii_whitespace() || b"(),;:<>\"".contains(&b);
    let end = text.iter().position(|&b| {
        literal = (literal || b == b'[') && b != b']';
        !literal && ends(b)
    });
    end.unwrap_or(text.len()).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mail::header::mailboxes;

    fn completion() -> Completion {
        Completion::parse("firm.test").unwrap()
    }

    fn completed(field: &str) -> String {
        String::from_utf8(completion().section(field.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn domains_are_names() {
        for (domain, want) in [
            ("firm.test", true),
            ("firm", true),
            ("xn--mller-kva.test", true),
            ("m\u{fc}ller.test", false),
            ("[192.0.2.1]", false),
            ("@firm.test", false),
            ("a@firm.test", false),
            ("firm.test.", false),
            ("", false),
        ] {
            assert_eq!(Completion::parse(domain).is_some(), want, "{domain}");
        }
    }

    #[test]
    fn paths_are_completed() {
        for (path, want) in [
            ("root", Some("root@firm.test")),
            ("\"a b\"", Some("\"a b\"@firm.test")),
            ("root@box", Some("root@box")),
            ("", None),
            ("a b", None),
            ("root@", None),
            ("@firm.test", None),
        ] {
            let read = completion().address(path).ok();
            assert_eq!(read.as_ref().map(Address::as_str), want, "{path:?}");
        }
    }

    #[test]
    fn addresses_without_a_domain_get_one_in_their_place() {
        for (field, want) in [
            ("From: root\r\n", "From: root@firm.test\r\n"),
            ("From: root (Cron Daemon)\r\n", "From: root@firm.test (Cron Daemon)\r\n"),
            ("From: (Cron Daemon) root\r\n", "From: (Cron Daemon) root@firm.test\r\n"),
            ("From: \"Cron, x\" <root>\r\n", "From: \"Cron, x\" <root@firm.test>\r\n"),
            ("From: Cron Daemon <root>\r\n", "From: Cron Daemon <root@firm.test>\r\n"),
            ("from :\r\n  root\r\n", "from :\r\n  root@firm.test\r\n"),
            (
                "To: root,a@b.test,\r\n\tsupport\r\n",
                "To: root@firm.test,a@b.test,\r\n\tsupport@firm.test\r\n",
            ),
            ("Cc: Admins: root, < ops >;\r\n", "Cc: Admins: root@firm.test, < ops@firm.test >;\r\n"),
            ("Resent-To: a.b+c\r\n", "Resent-To: a.b+c@firm.test\r\n"),
            ("Sender: root", "Sender: root@firm.test"),
        ] {
            assert_eq!(completed(field), want, "{field:?}");
            assert_eq!(completed(want), want, "once is enough");
        }
    }

    #[test]
    fn what_may_be_no_local_part_stays() {
        for field in [
            "From: a@b.test\r\n",
            "From:\r\n",
            "From: Firm Ltd\r\n",
            "From: \"Firm\"\r\n",
            "From: =?utf-8?Q?Firm?=\r\n",
            "From: M\u{fc}ller\r\n",
            "From: root at box\r\n",
            "From: <>\r\n",
            "From: <root\r\n",
            "From: <a> <b>\r\n",
            "From: <@a,@b:root@c.test>\r\n",
            "From: \"open root\r\n",
            "From: (open root\r\n",
            "From: root (open\r\n",
            "From: x@[IPv6:2001:db8::1]\r\n",
            "From: \"joe doe\"@x.test\r\n",
            "From: a . b @ x.test\r\n",
            "From: undisclosed-recipients:;\r\n",
            "Subject: root\r\n",
            "X-From: root\r\n",
            "To: root\u{1}x\r\n",
        ] {
            assert_eq!(completed(field), field);
        }
    }

    #[test]
    fn lines_stay_short_enough() {
        let many = format!("To: {}z\r\n", "root,".repeat(195));
        let field = completed(&many);
        assert!(field.lines().all(|line| line.len() <= MAX_LINE), "{field}");
        assert_eq!(mailboxes(Field::of(field.as_bytes()).value()).len(), 196);
    }

    proptest! {
        /// Only the domain is put in, and every mailbox that could be read before still can.
        #[test]
        fn nothing_else_changes(value in "[ab@.,:;<>()\\[\\]\"\\\\ =?]{0,60}") {
            let field = format!("To: {value}\r\n");
            let got = completed(&field);
            prop_assert_eq!(got.replace("@firm.test", ""), field.replace("@firm.test", ""));
            let read = |field: &str| mailboxes(Field::of(field.as_bytes()).value());
            let (before, after) = (read(&field), read(&got));
            for address in before {
                prop_assert!(after.contains(&address), "{address}");
            }
            prop_assert_eq!(completed(&got), got);
        }
    }
}
