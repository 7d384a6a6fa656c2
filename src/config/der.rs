//! As much of DER (X.690) as is needed to look into certificates.

/// SEQUENCE
const SEQUENCE: u8 = 0x30;
/// INTEGER
const INTEGER: u8 = 0x02;
/// `UTCTime`
const UTC_TIME: u8 = 0x17;
/// `GeneralizedTime`
const GENERALIZED_TIME: u8 = 0x18;
/// The version of a certificate, `[0] EXPLICIT`
const VERSION: u8 = 0xa0;

/// Content of the element that `der` begins with, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, length], rest) = der.split_first_chunk::<2>()?;
    if found != tag {
        return None;
    }
    let (length, rest) = if length < 0x80 {
        (usize::from(length), rest)
    } else {
        let count = usize::from(length & 0x7f);
        let (octets, rest) = rest.split_at_checked(count).filter(|_| (1..=4).contains(&count))?;
        (octets.iter().fold(0, |sum, &octet| sum << 8 | usize::from(octet)), rest)
    };
    rest.split_at_checked(length)
}

/// What is looked at in a certificate (RFC 5280 4.1).
struct CertificateParts<'a> {
    issuer: &'a [u8],
    validity: &'a [u8],
    subject: &'a [u8],
}

fn parts(certificate: &[u8]) -> Option<CertificateParts<'_>> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (body, _) = element(certificate, SEQUENCE)?;
    let body = element(body, VERSION).map_or(body, |(_, rest)| rest);
    let (_serial, rest) = element(body, INTEGER)?;
    let (_algorithm, rest) = element(rest, SEQUENCE)?;
    let (issuer, rest) = element(rest, SEQUENCE)?;
    let (validity, rest) = element(rest, SEQUENCE)?;
    let (subject, _) = element(rest, SEQUENCE)?;
    Some(CertificateParts { issuer, validity, subject })
}

/// When a certificate expires (RFC 5280 4.1.2.5): `notAfter` as `YYYYMMDDHHMMSSZ`.
pub(super) fn not_after(certificate: &[u8]) -> Option<String> {
    let (_, rest) = time(parts(certificate)?.validity)?;
    time(rest).map(|(time, _)| time)
}

/// Whether a certificate, in DER, names itself as its issuer (RFC 5280 3.2).
#[must_use]
pub fn is_self_issued(certificate: &[u8]) -> bool {
    parts(certificate).is_some_and(|parts| parts.issuer == parts.subject)
}

/// The time that `der` begins with, its year in four digits, and what follows it.
fn time(der: &[u8]) -> Option<(String, &[u8])> {
    if let Some((text, rest)) = element(der, GENERALIZED_TIME) {
        return Some((std::str::from_utf8(text).ok()?.to_owned(), rest));
    }
    let (text, rest) = element(der, UTC_TIME)?;
    let text = std::str::from_utf8(text).ok()?;
    // Two digits stand for 1950 to 2049 (RFC 5280 4.1.2.5.1).
    let century = if text.get(..2)? >= "50" { "19" } else { "20" };
    Some((format!("{century}{text}"), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dated(year: i32) -> Option<String> {
        let mut params = rcgen::CertificateParams::new(vec!["relay.example".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 3, 7);
        let key = rcgen::KeyPair::generate().unwrap();
        not_after(params.self_signed(&key).unwrap().der())
    }

    #[test]
    fn finds_the_end_of_a_certificate() {
        assert_eq!(dated(2031).as_deref(), Some("20310307000000Z"));
        assert_eq!(dated(1999).as_deref(), Some("19990307000000Z"));
        assert_eq!(dated(2077).as_deref(), Some("20770307000000Z"));
    }

    #[test]
    fn tells_who_signed_itself() {
        let key = rcgen::KeyPair::generate().unwrap();
        let named = |name: &str| {
            let mut params = rcgen::CertificateParams::new(vec!["relay.example".to_owned()]).unwrap();
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            params
        };
        let own = named("one").self_signed(&key).unwrap();
        let issuer = rcgen::Issuer::new(named("two"), rcgen::KeyPair::generate().unwrap());
        let signed = named("one").signed_by(&key, &issuer).unwrap();
        assert!(is_self_issued(own.der()) && !is_self_issued(signed.der()) && !is_self_issued(b"x"));
    }

    #[test]
    fn damage_is_no_time() {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["relay.example".to_owned()]).unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        for length in 0..der.len() {
            assert_eq!(not_after(&der[..length]), None, "{length}");
        }
    }
}
