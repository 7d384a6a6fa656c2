//! Organizational domains (RFC 7489 3.2), by the public suffix list that is built in.

use crate::dns::DnsName;

/// The organizational domain of a name: one label below its public suffix. A name that is a public suffix itself is its own.
#[must_use]
pub fn organisation(name: &DnsName) -> DnsName {
    let found = psl::domain_str(name.as_str()).and_then(|domain| DnsName::parse(domain).ok());
    found.unwrap_or_else(|| name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_suffixes_are_known() {
        for (name, want) in [
            ("firm.example", "firm.example"),
            ("mail.de.firm.example", "firm.example"),
            ("shop.firm.co.uk", "firm.co.uk"),
            ("co.uk", "co.uk"),
            ("mail.firm.ch", "firm.ch"),
            ("example", "example"),
        ] {
            assert_eq!(organisation(&DnsName::parse(name).unwrap()).as_str(), want);
        }
    }
}
