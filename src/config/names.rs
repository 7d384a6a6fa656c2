//! Names of hosts, as they stand in the configuration.

use crate::mail::Address;

/// Whether a text is a host name or domain in ASCII.
pub(super) fn is_domain(name: &str) -> bool {
    name.is_ascii() && !name.starts_with('[') && Address::parse(&format!("a@{name}")).is_ok()
}

/// Whether a text may follow EHLO (RFC 5321 4.1.1.1): a host name or an address literal.
pub(super) fn is_ehlo_name(name: &str) -> bool {
    name.is_ascii() && Address::parse(&format!("a@{name}")).is_ok()
}
