//! Mail addresses as RFC 5321 writes them.

use std::borrow::Cow;
use std::fmt;

use super::domain;
use super::lexical::{inside, quoted_string};

/// The longest domain (RFC 5321 4.5.3.1.2), in octets.
const MAX_DOMAIN: usize = 255;
/// The longest path (RFC 5321 4.5.3.1.3) without its angle brackets, in octets.
const MAX_PATH: usize = 254;

/// A mailbox `local@domain` (RFC 5321 4.1.2, with the UTF-8 of RFC 6531 3.3), kept exactly as it was written.
///
/// The local part keeps its quotes; the domain may be an address literal such as `[192.0.2.1]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    text: String,
    at: usize,
}

/// Why a text is not a mailbox. It is the client's fault: 501 5.1.3 or 553.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// There is no `@` outside of quotes.
    #[error("the address has no domain: write it as local@domain")]
    NoDomain,
    /// The part before the `@` breaks the grammar.
    #[error("the local part (before the @) is not valid")]
    Local,
    /// The part after the `@` is neither a domain name nor an address literal.
    #[error("the domain (after the @) is not valid")]
    Domain,
    /// The address is longer than RFC 5321 4.5.3.1 allows.
    #[error("the address is too long")]
    TooLong,
}

impl Address {
    /// Reads a mailbox: a dot-string or quoted string, `@`, a domain or an address literal (RFC 5321 4.1.2).
    ///
    /// Two rules are not held against a local part, as real mailboxes break them: it may take all the room of the path,
    /// not only 64 octets (forges, tickets, SRS), and its dots may stand anywhere.
    ///
    /// # Errors
    /// Tells which part breaks the grammar or is too long.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let at = local_end(text.as_bytes())?;
        let domain = &text[at + 1..];
        if domain.len() > MAX_DOMAIN || text.len() > MAX_PATH {
            return Err(AddressError::TooLong);
        }
        if !is_domain(domain) && !domain::is_literal(domain) {
            return Err(AddressError::Domain);
        }
        Ok(Self { text: text.to_owned(), at })
    }

    /// The mailbox as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The part before the `@`, with its quotes if it has any.
    #[must_use]
    pub fn local(&self) -> &str {
        &self.text[..self.at]
    }

    /// The part after the `@`.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.text[self.at + 1..]
    }

    /// Whether the local part is quoted and must be: it holds what programs may read in different ways.
    #[must_use]
    pub fn needs_quotes(&self) -> bool {
        !is_plain(unquoted(self.local()).as_bytes())
    }

    /// Whether it can be sent without SMTPUTF8 (RFC 6531).
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.text.is_ascii()
    }

    /// The address as a server without SMTPUTF8 takes it (RFC 6531 3.2): its domain in A-labels. `None` when it has no such
    /// form, above all since its local part is not ASCII.
    #[must_use]
    pub fn without_smtputf8(&self) -> Option<Cow<'_, str>> {
        if self.is_ascii() {
            return Some(Cow::Borrowed(self.as_str()));
        }
        let domain = domain::in_ascii(self.domain()).filter(|_| self.local().is_ascii())?;
        Some(Cow::Owned(format!("{}@{domain}", self.local())))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Where reports about a message go: a mailbox, or nowhere (RFC 5321 4.5.5).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// `<>`: a report; nothing is ever sent back for it.
    Null,
    /// The mailbox that gets reports.
    Address(Address),
}

impl ReversePath {
    /// The mailbox, unless it is the null reverse-path.
    #[must_use]
    pub fn address(&self) -> Option<&Address> {
        match self {
            Self::Null => None,
            Self::Address(address) => Some(address),
        }
    }

    /// The mailbox as text, empty for the null reverse-path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.address().map_or("", Address::as_str)
    }
}

impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where the `@` stands that ends the local part.
pub(super) fn local_end(text: &[u8]) -> Result<usize, AddressError> {
    if text.first() == Some(&b'"') {
        return quoted_end(text);
    }
    let at = text.iter().position(|&b| b == b'@').ok_or(AddressError::NoDomain)?;
    if is_plain(&text[..at]) { Ok(at) } else { Err(AddressError::Local) }
}

/// Whether a local part needs no quotes: atoms, and dots anywhere among them.
pub(super) fn is_plain(local: &[u8]) -> bool {
    !local.is_empty() && local.iter().all(|&b| b == b'.' || is_atext(b))
}

/// A local part without its quotes and what they need inside of them (RFC 5321 4.1.2, `quoted-pairSMTP`).
pub(super) fn unquoted(local: &str) -> Cow<'_, str> {
    let Some(inner) = local.strip_prefix('"').and_then(|local| local.strip_suffix('"')) else {
        return Cow::Borrowed(local);
    };
    let octets = inside(inner.as_bytes()).map(|(b, _)| b).collect();
    Cow::Owned(String::from_utf8(octets).expect("backslashes alone were taken out"))
}

/// Where the `@` stands that follows a quoted string (RFC 5321 4.1.2, `Quoted-string`).
fn quoted_end(text: &[u8]) -> Result<usize, AddressError> {
    let end = quoted_string(text).ok_or(AddressError::Local)?;
    let is_text = |(b, is_escaped)| match b {
        b' '..=b'~' if is_escaped => true,
        b' ' | b'!' | 0x23..=0x5b | 0x5d..=0x7e | 0x80.. => !is_escaped,
        _ => false,
    };
    match text.get(end) {
        _ if !inside(&text[1..end - 1]).all(is_text) => Err(AddressError::Local),
        Some(b'@') => Ok(end),
        Some(_) => Err(AddressError::Local),
        None => Err(AddressError::NoDomain),
    }
}

/// `atext` of RFC 5322 3.2.3, with the UTF-8 of RFC 6532 3.2.
fn is_atext(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b >= 0x80 || b"!#$%&'*+-/=?^_`{|}~".contains(&b)
}

/// A domain name (RFC 5321 4.1.2); an underscore is met kindly, as real host names have it.
fn is_domain(domain: &str) -> bool {
    let label = |label: &[u8]| {
        !label.is_empty()
            && label.len() <= 63
            && label.iter().all(|&b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_' || b >= 0x80)
            && label[0] != b'-'
            && label[label.len() - 1] != b'-'
    };
    domain.as_bytes().split(|&b| b == b'.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_local_part_needs_smtputf8() {
        for (address, want) in [
            ("Info@Firm.test", Some("Info@Firm.test")),
            ("\"a b\"@m\u{fc}ller.test", Some("\"a b\"@xn--mller-kva.test")),
            ("m\u{fc}ller@firm.test", None),
            ("m\u{fc}ller@m\u{fc}ller.test", None),
        ] {
            let address = Address::parse(address).unwrap();
            assert_eq!(address.without_smtputf8().as_deref(), want, "{address}");
        }
    }

    #[test]
    fn reads_mailboxes() {
        let long_local = format!("{}@b.c", "a".repeat(250));
        for (text, local, domain) in [
            ("a@b", "a", "b"),
            ("first.last+tag@mail.firm.example", "first.last+tag", "mail.firm.example"),
            (r#""a@b c"@firm.example"#, r#""a@b c""#, "firm.example"),
            (r#""a\"b"@firm.example"#, r#""a\"b""#, "firm.example"),
            ("x@[192.0.2.1]", "x", "[192.0.2.1]"),
            ("x@[IPv6:2001:db8::1]", "x", "[IPv6:2001:db8::1]"),
            ("müller@firm.example", "müller", "firm.example"),
            ("a@host_name", "a", "host_name"),
            ("a..b@c", "a..b", "c"),
            (".a.@c", ".a.", "c"),
            (&long_local, &long_local[..250], "b.c"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.local(), address.domain(), address.as_str()), (local, domain, text));
        }
    }

    #[test]
    fn refuses_what_is_no_mailbox() {
        let long_local = format!("{}@b.c", "a".repeat(251));
        let long_path = format!("a@{}", "b.".repeat(130));
        for (text, want) in [
            ("", AddressError::NoDomain),
            ("a", AddressError::NoDomain),
            ("\"a\"", AddressError::NoDomain),
            ("@b", AddressError::Local),
            (" b@c", AddressError::Local),
            ("Bob <b@c", AddressError::Local),
            ("a b@c", AddressError::Local),
            ("\"a@b", AddressError::Local),
            ("\"a\"b@c", AddressError::Local),
            ("a@", AddressError::Domain),
            ("a@b@c", AddressError::Domain),
            ("a@-b", AddressError::Domain),
            ("a@b..c", AddressError::Domain),
            ("a@b.", AddressError::Domain),
            ("a@[300.1.1.1]", AddressError::Domain),
            ("a@b\r\nRCPT", AddressError::Domain),
            (&long_local, AddressError::TooLong),
            (&long_path, AddressError::TooLong),
        ] {
            assert_eq!(Address::parse(text), Err(want), "{text:?}");
        }
    }

    #[test]
    fn knows_quotes_that_are_needed() {
        for (text, want) in [
            ("a.b@c", false),
            ("\"a.b\"@c", false),
            ("\"a\\b\"@c", false),
            ("\"a b\"@c", true),
            ("\"a@b\"@c", true),
            ("\"\"@c", true),
        ] {
            assert_eq!(Address::parse(text).unwrap().needs_quotes(), want, "{text}");
        }
    }
}
