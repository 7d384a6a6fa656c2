//! What a certificate says of itself (RFC 5280 4.1), for people who look at it. Whether it is to be believed is decided elsewhere.

use std::net::IpAddr;

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use super::der::{self, SEQUENCE};

/// The extensions of a certificate, `[3] EXPLICIT`.
const EXTENSIONS: u8 = 0xa3;
/// OCTET STRING
const OCTET_STRING: u8 = 0x04;
/// `BMPString`
const BMP_STRING: u8 = 0x1e;
/// `dNSName` and `iPAddress` of a `GeneralName`
const NAMES: [u8; 2] = [0x82, 0x87];
/// `rfc822Name` of a `GeneralName`
const MAIL_ADDRESS: u8 = 0x81;
/// The object identifier of emailAddress (RFC 2985 5.2.1).
const EMAIL_ADDRESS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01];
/// The object identifier of subjectAltName (RFC 5280 4.2.1.6).
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// Attributes of a Name that are shown, by the last octet of their object identifier 2.5.4.x.
const SHOWN: [(u8, &str); 3] = [(0x03, "CN"), (0x0a, "O"), (0x0b, "OU")];
/// Names that are kept of a certificate.
const MOST_NAMES: usize = 100;

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Whose it is, as `CN=…, O=…`; empty where its names alone say it.
    pub subject: String,
    /// Who has signed it, in the same form.
    pub issuer: String,
    /// The hosts that it is for (subjectAltName).
    pub names: Vec<String>,
    /// From when it holds.
    pub not_before: Option<Timestamp>,
    /// Until when it holds.
    pub not_after: Option<Timestamp>,
}

impl CertificateFacts {
    /// Of a certificate in DER; `None` when it is none.
    #[must_use]
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let body = der::body(certificate)?;
        let [not_before, not_after] = body.validity.each_ref().map(|text| timestamp(text));
        Some(Self {
            subject: distinguished(body.subject),
            issuer: distinguished(body.issuer),
            names: names(body.rest),
            not_before,
            not_after,
        })
    }

    /// Which of its names stands for a host: the same, or with a wildcard in place of the first label (RFC 9525 6.3).
    #[must_use]
    pub fn name_for(&self, host: &str) -> Option<&str> {
        let bare = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        let fits = |name: &&String| {
            name.eq_ignore_ascii_case(bare)
                || name.strip_prefix('*').is_some_and(|parent| {
                    bare.split_once('.').is_some_and(|(_, rest)| parent[1..].eq_ignore_ascii_case(rest))
                })
        };
        self.names
            .iter()
            .filter(|name| !name.starts_with('*') || name.starts_with("*."))
            .find(fits)
            .map(String::as_str)
    }
}

/// A time of a certificate: `YYYYMMDDHHMMSSZ`.
fn timestamp(text: &str) -> Option<Timestamp> {
    let time = DateTime::strptime("%Y%m%d%H%M%S", text.strip_suffix('Z')?).ok()?;
    Some(TimeZone::UTC.to_timestamp(time).unwrap_or(Timestamp::MAX))
}

/// A Name as `CN=…, O=…` (RFC 4514), without what nobody looks at.
fn distinguished(name: &[u8]) -> String {
    let attributes = der::elements(name).flat_map(|(_, set)| der::elements(set));
    let parts: Vec<(u8, String)> = attributes.filter_map(|(_, attribute)| part(attribute)).collect();
    let shown = |(kind, word): &(u8, &str)| {
        parts.iter().find(|(found, _)| found == kind).map(|(_, value)| format!("{word}={value}"))
    };
    SHOWN.iter().filter_map(shown).collect::<Vec<_>>().join(", ")
}

/// An attribute: the last octet of its object identifier, and its value.
fn part(attribute: &[u8]) -> Option<(u8, String)> {
    let mut elements = der::elements(attribute);
    let (_, oid) = elements.next()?;
    let &[0x55, 0x04, kind] = oid else { return None };
    let (tag, value) = elements.next()?;
    if tag == BMP_STRING {
        let units: Vec<u16> =
            value.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
        return Some((kind, String::from_utf16_lossy(&units)));
    }
    Some((kind, String::from_utf8_lossy(value).into_owned()))
}

/// The mail addresses that a certificate is for (RFC 8550 3): those of subjectAltName, and the one of its subject.
pub(super) fn mail_addresses(certificate: &[u8]) -> Vec<String> {
    let Some(body) = der::body(certificate) else { return Vec::new() };
    let alternative =
        general_names(body.rest).filter(|(tag, _)| *tag == MAIL_ADDRESS).map(|(_, value)| value);
    let attributes = der::elements(body.subject).flat_map(|(_, set)| der::elements(set));
    let of_subject = attributes.filter_map(|(_, attribute)| {
        let mut elements = der::elements(attribute);
        elements.next().filter(|(_, oid)| *oid == EMAIL_ADDRESS)?;
        elements.next().map(|(_, value)| value)
    });
    let all = alternative.chain(of_subject).take(MOST_NAMES);
    all.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}

/// The hosts in the extension subjectAltName. `rest` is what follows the subject.
fn names(rest: &[u8]) -> Vec<String> {
    general_names(rest).filter(|(tag, _)| NAMES.contains(tag)).take(MOST_NAMES).filter_map(host).collect()
}

/// The names in the extension subjectAltName, of all kinds.
fn general_names(rest: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let extensions = der::elements(rest).find(|(tag, _)| *tag == EXTENSIONS);
    let all = extensions.and_then(|(_, all)| der::element(all, SEQUENCE)).map_or(&[][..], |(all, _)| all);
    let is_names =
        |extension: &&[u8]| der::elements(extension).next().is_some_and(|(_, oid)| oid == SUBJECT_ALT_NAME);
    let value = der::elements(all).map(|(_, extension)| extension).find(is_names).and_then(|extension| {
        let (_, value) = der::elements(extension).find(|(tag, _)| *tag == OCTET_STRING)?;
        der::element(value, SEQUENCE).map(|(names, _)| names)
    });
    der::elements(value.unwrap_or_default())
}

fn host((tag, value): (u8, &[u8])) -> Option<String> {
    if tag == NAMES[0] {
        return Some(String::from_utf8_lossy(value).into_owned());
    }
    let four = <[u8; 4]>::try_from(value).map(IpAddr::from);
    let address = four.or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from)).ok()?;
    Some(address.to_string())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, Issuer, KeyPair, date_time_ymd};

    use super::*;

    fn made() -> (Vec<u8>, CertificateFacts) {
        let key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.distinguished_name.push(DnType::CommonName, "Prüf-CA");
        authority.distinguished_name.push(DnType::OrganizationName, "Firm");
        let issuer = Issuer::new(authority, key);
        let names = ["smtp.firm.example", "*.mail.example", "192.0.2.25", "2001:db8::25"].map(str::to_owned);
        let mut params = CertificateParams::new(names.to_vec()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "smtp.firm.example");
        params.not_before = date_time_ymd(2026, 1, 2);
        params.not_after = date_time_ymd(2031, 3, 7);
        let der = params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().der().to_vec();
        let facts = CertificateFacts {
            subject: "CN=smtp.firm.example".to_owned(),
            issuer: "CN=Prüf-CA, O=Firm".to_owned(),
            names: names.to_vec(),
            not_before: Some("2026-01-02T00:00:00Z".parse().unwrap()),
            not_after: Some("2031-03-07T00:00:00Z".parse().unwrap()),
        };
        (der, facts)
    }

    #[test]
    fn reads_what_a_certificate_says() {
        let (der, facts) = made();
        assert_eq!(CertificateFacts::of(&der), Some(facts.clone()));
        for (host, want) in [
            ("smtp.firm.example", Some("smtp.firm.example")),
            ("SMTP.firm.example.", Some("smtp.firm.example")),
            ("a.mail.example", Some("*.mail.example")),
            ("a.b.mail.example", None),
            ("mail.example", None),
            ("192.0.2.25", Some("192.0.2.25")),
            ("[2001:db8::25]", Some("2001:db8::25")),
            ("other.example", None),
        ] {
            assert_eq!(facts.name_for(host), want, "{host}");
        }
    }

    #[test]
    fn reads_whose_mail_it_signs() {
        use rcgen::SanType::{DnsName, Rfc822Name};
        assert_eq!(mail_addresses(&made().0), Vec::<String>::new());
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let email = DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]);
        params.distinguished_name.push(email, "a@firm.example");
        params.subject_alt_names = vec![
            DnsName("firm.example".try_into().unwrap()),
            Rfc822Name("b@firm.example".try_into().unwrap()),
            Rfc822Name("c@firm.example".try_into().unwrap()),
        ];
        let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
        assert_eq!(mail_addresses(&der), ["b@firm.example", "c@firm.example", "a@firm.example"]);
    }

    #[test]
    fn damage_is_met() {
        let (der, _) = made();
        for length in 0..der.len() {
            assert_eq!(CertificateFacts::of(&der[..length]), None, "{length}");
        }
        for at in 0..der.len() {
            let mut damaged = der.clone();
            damaged[at] ^= 0x81;
            let _ = (CertificateFacts::of(&damaged), mail_addresses(&damaged));
        }
    }
}
