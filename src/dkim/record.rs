//! The DNS record of a key (RFC 6376 3.6.1).

use super::public_key::DkimPublicKey;
use crate::config::dkim_key_name;
use crate::mail::DomainKey;

/// The longest string of a TXT record, in octets (RFC 1035 3.3.14).
const LONGEST_STRING: usize = 255;

/// A TXT record that is to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its name, without the dot of the root.
    pub name: String,
    /// Its text: what its strings make together.
    pub value: String,
}

impl KeyRecord {
    /// The record of a key.
    #[must_use]
    pub fn new(domain: &DomainKey, selector: &str, key: &DkimPublicKey) -> Self {
        let value = format!("v=DKIM1; k={}; p={}", key.key_type().as_str(), key.to_base64());
        Self { name: dkim_key_name(domain, selector), value }
    }

    /// The text in pieces that one string each can hold.
    #[must_use]
    pub fn strings(&self) -> Vec<&str> {
        let mut strings = Vec::new();
        let mut rest = self.value.as_str();
        while !rest.is_empty() {
            // All of it is ASCII.
            let (string, behind) = rest.split_at(LONGEST_STRING.min(rest.len()));
            strings.push(string);
            rest = behind;
        }
        strings
    }

    /// The line of a zone file (RFC 1035 5.1), as BIND, nsd, knot and the providers that import zones read it.
    #[must_use]
    pub fn zone_line(&self) -> String {
        let strings: Vec<String> = self.strings().iter().map(|string| format!("\"{string}\"")).collect();
        format!("{}. IN TXT {}", self.name, strings.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::config::signing_key;
    use crate::dkim::{NewKey, RsaLength, generate};

    #[test]
    fn a_record_comes_in_strings_that_fit() {
        for (key, count) in [
            (NewKey::Rsa(RsaLength::Bits2048), 2),
            (NewKey::Rsa(RsaLength::Bits4096), 3),
            (NewKey::Ed25519, 1),
        ] {
            let public = signing_key(generate(key).unwrap().expose_secret()).unwrap();
            let record = KeyRecord::new(&"firm.example".into(), "s1", &DkimPublicKey::of(&public));
            let strings = record.strings();
            assert_eq!((strings.len(), strings.concat()), (count, record.value.clone()), "{key:?}");
            assert!(strings.iter().all(|string| string.len() <= 255), "{key:?}");
            let line = record.zone_line();
            assert!(line.starts_with("s1._domainkey.firm.example. IN TXT \"v=DKIM1; k="), "{line}");
            assert_eq!(line.matches('"').count(), 2 * count);
        }
    }
}
