//! An address with the name that people are shown.

use std::fmt;

use super::Address;
use super::lexical::{inside, quoted_string};

/// The longest display name, in octets.
const MAX_NAME: usize = 256;

/// A display name (RFC 5322 3.4) as people read it: without quotes, escapes and encoded words; in one line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DisplayName(String);

impl DisplayName {
    /// Takes a name: some text without control characters. Runs of white space become one space.
    ///
    /// `None` when it is empty, too long, or holds a control character.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let name = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let fits = !name.is_empty() && name.len() <= MAX_NAME && !text.chars().any(char::is_control);
        fits.then_some(Self(name))
    }

    /// The name as people read it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A mailbox as an author's (RFC 5322 3.4): an address, and what people call it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mailbox {
    /// What people are shown.
    pub name: Option<DisplayName>,
    /// Where it is.
    pub address: Address,
}

impl Mailbox {
    /// Reads `address`, `Name <address>` or `"Name" <address>`, as people write it. `None` when it is none of them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let Some(inner) = text.strip_suffix('>') else {
            return Some(Self { name: None, address: Address::parse(text).ok()? });
        };
        let (name, address) = inner.rsplit_once('<')?;
        let address = Address::parse(address.trim()).ok()?;
        let name = name.trim();
        let name = match name {
            "" => None,
            name => Some(DisplayName::parse(&unquoted(name)?)?),
        };
        Some(Self { name, address })
    }
}

/// A name without the quotes around it and what they need inside of them. `None` when they do not end with the name.
fn unquoted(name: &str) -> Option<String> {
    if !name.starts_with('"') {
        return Some(name.to_owned());
    }
    let end = quoted_string(name.as_bytes()).filter(|&end| end == name.len())?;
    String::from_utf8(inside(&name.as_bytes()[1..end - 1]).map(|(b, _)| b).collect()).ok()
}

impl From<Address> for Mailbox {
    fn from(address: Address) -> Self {
        Self { name: None, address }
    }
}

/// As people write it, and as [`Mailbox::parse`] reads it; not what stands in a header field.
impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            None => write!(f, "{}", self.address),
            Some(name) if name.as_str().contains('"') => {
                let escaped = name.as_str().replace('\\', "\\\\").replace('"', "\\\"");
                write!(f, "\"{escaped}\" <{}>", self.address)
            }
            Some(name) => write!(f, "{name} <{}>", self.address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailboxes_are_read_as_people_write_them() {
        for (text, want) in [
            ("a@b.test", Some((None, "a@b.test"))),
            ("<a@b.test>", Some((None, "a@b.test"))),
            (" Firm Ltd <a@b.test> ", Some((Some("Firm Ltd"), "a@b.test"))),
            ("Firm<a@b.test>", Some((Some("Firm"), "a@b.test"))),
            ("\"Firm, \\\"Ltd\\\"\" < a@b.test >", Some((Some("Firm, \"Ltd\""), "a@b.test"))),
            ("M\u{fc}ller  &\u{a0}Co <a@b.test>", Some((Some("M\u{fc}ller & Co"), "a@b.test"))),
            ("A <x> <a@b.test>", Some((Some("A <x>"), "a@b.test"))),
            ("\"a  b\"@c.test", Some((None, "\"a  b\"@c.test"))),
            ("", None),
            ("Firm", None),
            ("Firm <>", None),
            ("Firm <a@b.test", None),
            ("\"Firm <a@b.test>", None),
            ("\"Firm\" Ltd <a@b.test>", None),
            ("a\r\nBcc: x <a@b.test>", None),
            ("a@b.test, c@d.test", None),
        ] {
            let read = Mailbox::parse(text);
            let got = read.as_ref().map(|m| (m.name.as_ref().map(DisplayName::as_str), m.address.as_str()));
            assert_eq!(got, want, "{text:?}");
            if let Some(mailbox) = read {
                assert_eq!(Mailbox::parse(&mailbox.to_string()), Some(mailbox), "{text:?}");
            }
        }
        assert_eq!(DisplayName::parse(&"x".repeat(MAX_NAME + 1)), None);
        assert_eq!(DisplayName::parse(" \u{a0}"), None);
    }
}
