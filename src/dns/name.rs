//! Names in the DNS.

use std::fmt::{self, Write as _};
use std::net::IpAddr;

use crate::mail::to_ascii;

/// The longest name as text (RFC 1035 2.3.4: 255 octets with their lengths and the root).
const LONGEST: usize = 253;
/// The longest label (RFC 1035 2.3.4).
const LONGEST_LABEL: usize = 63;

/// A name that the DNS can be asked about: ASCII in lower case, with A-labels, without the last dot. Labels may hold more than host
/// names do: `_dmarc.firm.example`, `s1._domainkey.firm.example`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DnsName(String);

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotADnsName {
    /// Nothing, or two dots beside each other.
    #[error("it has an empty label")]
    EmptyLabel,
    /// A label of more than 63 octets.
    #[error("it has a label of more than 63 octets")]
    LongLabel,
    /// More than 253 octets.
    #[error("it has more than 253 octets")]
    Long,
    /// A space, a control character, or letters that have no A-label.
    #[error("it holds a character that no name can hold")]
    Character,
}

impl DnsName {
    /// Reads a name, with or without the dot of the root.
    ///
    /// # Errors
    /// The text is no name, and can't be asked about.
    pub fn parse(text: &str) -> Result<Self, NotADnsName> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let name = if text.is_ascii() {
            text.to_ascii_lowercase()
        } else {
            to_ascii(text).ok_or(NotADnsName::Character)?
        };
        if name.len() > LONGEST {
            return Err(NotADnsName::Long);
        }
        for label in name.split('.') {
            match label.len() {
                0 => return Err(NotADnsName::EmptyLabel),
                1..=LONGEST_LABEL => {}
                _ => return Err(NotADnsName::LongLabel),
            }
        }
        if name.bytes().all(|octet| octet.is_ascii_graphic()) {
            Ok(Self(name))
        } else {
            Err(NotADnsName::Character)
        }
    }

    /// The name below which a PTR record says how an address is called (RFC 1035 3.5, RFC 3596 2.5).
    #[must_use]
    pub fn reverse(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => {
                let [a, b, c, d] = address.octets();
                Self(format!("{d}.{c}.{b}.{a}.in-addr.arpa"))
            }
            IpAddr::V6(address) => {
                let nibbles = address.octets().into_iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
                let mut name = String::new();
                for nibble in nibbles {
                    // Writing to a text cannot fail.
                    let _ = write!(name, "{nibble:x}.");
                }
                Self(name + "ip6.arpa")
            }
        }
    }

    /// The name with a label, or several, before it: `_dmarc` of `firm.example`.
    ///
    /// # Errors
    /// The whole is no name.
    pub fn below(&self, labels: &str) -> Result<Self, NotADnsName> {
        Self::parse(&format!("{labels}.{self}"))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        let long_label = "a".repeat(64);
        let long = [&long_label[..63]; 4].join(".");
        for (text, want) in [
            ("Firm.Example.", Ok("firm.example")),
            ("s1._domainkey.firm.example", Ok("s1._domainkey.firm.example")),
            ("bücher.example", Ok("xn--bcher-kva.example")),
            ("", Err(NotADnsName::EmptyLabel)),
            (".", Err(NotADnsName::EmptyLabel)),
            ("a..b", Err(NotADnsName::EmptyLabel)),
            (long_label.as_str(), Err(NotADnsName::LongLabel)),
            (long.as_str(), Err(NotADnsName::Long)),
            ("a b.example", Err(NotADnsName::Character)),
            ("a\u{7}.example", Err(NotADnsName::Character)),
        ] {
            let read = DnsName::parse(text);
            assert_eq!(read.as_ref().map(DnsName::as_str), want.as_ref().copied(), "{text}");
        }
    }

    #[test]
    fn addresses_have_names() {
        for (address, want) in [
            ("192.0.2.17", "17.2.0.192.in-addr.arpa"),
            ("2001:db8::5", "5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"),
        ] {
            assert_eq!(DnsName::reverse(address.parse().unwrap()).as_str(), want);
        }
    }
}
