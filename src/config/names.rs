//! Names of hosts, as they stand in the configuration.

use std::net::IpAddr;

use crate::mail::{Address, DomainKey, to_ascii};

/// The longest name in the DNS, as text (RFC 1035 2.3.4).
const LONGEST: usize = 253;

/// Whether a text is a host name or domain in ASCII.
pub(super) fn is_domain(name: &str) -> bool {
    !name.starts_with('[') && is_ehlo_name(name)
}

/// Whether a text is the name of a header field (RFC 5322 3.6.8) that is not absurdly long.
pub(super) fn is_field_name(name: &str) -> bool {
    (1..=76).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic() && b != b':')
}

/// Whether a text is an IP address, or a host name, which may end in a dot.
pub(super) fn is_host(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || is_domain(text.strip_suffix('.').unwrap_or(text))
}

/// Host and port, as they stand in a URL; the host has no brackets.
#[must_use]
pub fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Whether a text may follow EHLO (RFC 5321 4.1.1.1): a host name or an address literal.
pub(super) fn is_ehlo_name(name: &str) -> bool {
    name.is_ascii() && Address::parse(&format!("a@{name}")).is_ok()
}

/// A name of the DNS, written with A-labels or U-labels.
#[must_use]
pub fn dns_name(text: &str) -> Option<DomainKey> {
    to_ascii(text).filter(|name| is_domain(name)).map(|name| DomainKey::new(&name))
}

/// The name of a DKIM key in the DNS (RFC 6376 3.6.2.1).
#[must_use]
pub fn dkim_key_name(domain: &DomainKey, selector: &str) -> String {
    format!("{selector}._domainkey.{domain}")
}

/// Whether a name is short enough for the DNS.
#[must_use]
pub fn fits_the_dns(name: &str) -> bool {
    name.len() <= LONGEST
}
