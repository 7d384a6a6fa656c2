//! A mailbox with the name that people see: `Firm Ltd <office@firm.example>`.

use std::fmt;

use super::Address;

/// The longest name, in characters.
const LONGEST_NAME: usize = 200;

/// An address, and the name before it where there is one (RFC 5322 3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// The name, decoded and without quotes; never empty.
    pub name: Option<String>,
    /// The address.
    pub address: Address,
}

impl Mailbox {
    /// Reads `address` or `Name <address>`, as people write it: the name may stand in quotes. `None` when it is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let Some(before) = text.trim().strip_suffix('>').and_then(|text| text.rsplit_once('<')) else {
            return Some(Self { name: None, address: Address::parse(text.trim()).ok()? });
        };
        let name = before.0.trim();
        let name = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name);
        let name = name.replace("\\\"", "\"").replace("\\\\", "\\");
        if name.chars().any(char::is_control) || name.chars().count() > LONGEST_NAME {
            return None;
        }
        let name = Some(name).filter(|name| !name.is_empty());
        Some(Self { name, address: Address::parse(before.1.trim()).ok()? })
    }
}

impl From<Address> for Mailbox {
    fn from(address: Address) -> Self {
        Self { name: None, address }
    }
}

/// As people write it; for a header field see the writer of From.
impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} <{}>", self.address),
            None => write!(f, "{}", self.address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, want) in [
            ("a@b.test", Some((None, "a@b.test"))),
            (" <a@b.test> ", Some((None, "a@b.test"))),
            ("Firm Ltd <a@b.test>", Some((Some("Firm Ltd"), "a@b.test"))),
            ("\"Firm, \\\"Ltd\\\"\" <a@b.test>", Some((Some("Firm, \"Ltd\""), "a@b.test"))),
            ("Größe <a@b.test>", Some((Some("Größe"), "a@b.test"))),
            ("Firm a@b.test", None),
            ("Firm <a@b.test", None),
            ("Firm <>", None),
            ("Fi\rrm <a@b.test>", None),
            ("", None),
        ] {
            let read = Mailbox::parse(text);
            let got = read.as_ref().map(|read| (read.name.as_deref(), read.address.as_str()));
            assert_eq!(got, want, "{text}");
            if let Some(read) = read {
                assert_eq!(Mailbox::parse(&read.to_string()), Some(read), "{text}");
            }
        }
    }
}
