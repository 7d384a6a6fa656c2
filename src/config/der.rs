//! As much of DER (X.690) as is needed to look into certificates.

/// SEQUENCE
pub(super) const SEQUENCE: u8 = 0x30;
/// INTEGER
const INTEGER: u8 = 0x02;
/// `UTCTime`
const UTC_TIME: u8 = 0x17;
/// `GeneralizedTime`
const GENERALIZED_TIME: u8 = 0x18;
/// The version of a certificate, `[0] EXPLICIT`
const VERSION: u8 = 0xa0;

/// What stands in a certificate (RFC 5280 4.1), as far as it is looked at.
pub(super) struct CertificateBody<'a> {
    /// Whose signature it bears: the content of a Name.
    pub(super) issuer: &'a [u8],
    /// From when, and until when it holds: `YYYYMMDDHHMMSSZ`.
    pub(super) validity: [String; 2],
    /// Whose it is: the content of a Name.
    pub(super) subject: &'a [u8],
    /// What follows: the key, and the extensions.
    pub(super) rest: &'a [u8],
}

/// The element that `der` begins with: its tag, its content, and what follows it.
fn any(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, length], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = if length < 0x80 {
        (usize::from(length), rest)
    } else {
        let count = usize::from(length & 0x7f);
        let (octets, rest) = rest.split_at_checked(count).filter(|_| (1..=4).contains(&count))?;
        (octets.iter().fold(0, |sum, &octet| sum << 8 | usize::from(octet)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// Content of the element that `der` begins with, when it has this tag, and what follows it.
pub(super) fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    any(der).filter(|(found, ..)| *found == tag).map(|(_, content, rest)| (content, rest))
}

/// The elements that follow each other in `der`, as far as they can be read.
pub(super) fn elements(mut der: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (tag, content, rest) = any(der)?;
        der = rest;
        Some((tag, content))
    })
}

/// What stands in a certificate.
pub(super) fn body(certificate: &[u8]) -> Option<CertificateBody<'_>> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (body, _) = element(certificate, SEQUENCE)?;
    let body = element(body, VERSION).map_or(body, |(_, rest)| rest);
    let (_serial, rest) = element(body, INTEGER)?;
    let (_algorithm, rest) = element(rest, SEQUENCE)?;
    let (issuer, rest) = element(rest, SEQUENCE)?;
    let (validity, rest) = element(rest, SEQUENCE)?;
    let (subject, rest) = element(rest, SEQUENCE)?;
    let (not_before, times) = time(validity)?;
    let (not_after, _) = time(times)?;
    Some(CertificateBody { issuer, validity: [not_before, not_after], subject, rest })
}

/// Whether a certificate, in DER, names itself as its issuer (RFC 5280 3.2).
#[must_use]
pub fn is_self_issued(certificate: &[u8]) -> bool {
    body(certificate).is_some_and(|body| body.issuer == body.subject)
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

    fn dated(year: i32) -> Option<[String; 2]> {
        let mut params = rcgen::CertificateParams::new(vec!["relay.example".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(year - 1, 3, 7);
        params.not_after = rcgen::date_time_ymd(year, 3, 7);
        let key = rcgen::KeyPair::generate().unwrap();
        body(params.self_signed(&key).unwrap().der()).map(|body| body.validity)
    }

    #[test]
    fn finds_how_long_a_certificate_holds() {
        // Either form of a time, and one of each.
        for year in [1999, 2031, 2050, 2077] {
            let want = [year - 1, year].map(|year| format!("{year}0307000000Z"));
            assert_eq!(dated(year), Some(want));
        }
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
            assert!(body(&der[..length]).is_none(), "{length}");
        }
    }
}
