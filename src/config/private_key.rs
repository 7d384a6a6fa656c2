//! Looks at a DKIM private key before anybody relies on it.

use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

use super::der::{INTEGER, OBJECT_ID, OCTETS, SEQUENCE, element};

/// The shortest RSA key that receivers still trust well (RFC 8301 3.2 wants signers to have 2048).
const LEAST_RSA_BITS: usize = 2048;
/// The object identifiers 1.2.840.113549.1.1.1 and 1.3.101.112.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

/// Says what is wrong with a key in PEM, if anything is.
pub(super) fn fault_of(pem: &str) -> Option<String> {
    if pem.contains("ENCRYPTED") {
        return Some("is encrypted".to_owned());
    }
    let rsa = match PrivateKeyDer::from_pem_slice(pem.as_bytes()) {
        Ok(PrivateKeyDer::Pkcs1(key)) => rsa_bits(key.secret_pkcs1_der()),
        Ok(PrivateKeyDer::Pkcs8(key)) => match pkcs8(key.secret_pkcs8_der()) {
            Some((ED25519, _)) => return None,
            Some((RSA, key)) => rsa_bits(key),
            Some(_) => return Some("is neither an RSA nor an Ed25519 key".to_owned()),
            None => None,
        },
        Ok(_) => return Some("is neither an RSA nor an Ed25519 key".to_owned()),
        Err(_) => return Some("is not a private key in PEM".to_owned()),
    };
    match rsa {
        Some(bits) if bits < LEAST_RSA_BITS => {
            Some(format!("is an RSA key of {bits} bits, too short to be trusted"))
        }
        Some(_) => None,
        None => Some("is a damaged private key".to_owned()),
    }
}

/// Algorithm and inner key of `PrivateKeyInfo` (RFC 5958 2).
fn pkcs8(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (body, _) = element(der, SEQUENCE)?;
    let (_, rest) = element(body, INTEGER)?;
    let (algorithm, rest) = element(rest, SEQUENCE)?;
    let (object_id, _) = element(algorithm, OBJECT_ID)?;
    let (key, _) = element(rest, OCTETS)?;
    Some((object_id, key))
}

/// The length of the modulus of `RSAPrivateKey` (RFC 8017 A.1.2).
fn rsa_bits(der: &[u8]) -> Option<usize> {
    let (body, _) = element(der, SEQUENCE)?;
    let (_, rest) = element(body, INTEGER)?;
    let (modulus, _) = element(rest, INTEGER)?;
    let first = modulus.iter().position(|&octet| octet != 0)?;
    let modulus = &modulus[first..];
    Some(modulus.len() * 8 - modulus[0].leading_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use base64::Engine;

    use super::*;

    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let body = parts.concat();
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&[tag, 0x82, length[0], length[1]], body.as_slice()].concat()
    }

    fn pem(label: &str, der: &[u8]) -> String {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
    }

    fn pkcs1(bits: usize) -> Vec<u8> {
        let modulus = der(INTEGER, &[&[0], &vec![0xc5; bits / 8]]);
        der(SEQUENCE, &[&der(INTEGER, &[&[0]]), &modulus, &der(INTEGER, &[&[1, 0, 1]])])
    }

    fn pkcs8(object_id: &[u8], key: &[u8]) -> Vec<u8> {
        let algorithm = der(SEQUENCE, &[&der(OBJECT_ID, &[object_id])]);
        der(SEQUENCE, &[&der(INTEGER, &[&[0]]), &algorithm, &der(OCTETS, &[key])])
    }

    #[test]
    fn tells_good_keys_from_bad_ones() {
        let too_short = "is an RSA key of 1024 bits, too short to be trusted";
        let other = "is neither an RSA nor an Ed25519 key";
        let damaged = "is a damaged private key";
        for (name, pem, want) in [
            ("rsa 2048", pem("RSA PRIVATE KEY", &pkcs1(2048)), None),
            ("rsa 1024", pem("RSA PRIVATE KEY", &pkcs1(1024)), Some(too_short)),
            ("pkcs8 rsa 4096", pem("PRIVATE KEY", &pkcs8(RSA, &pkcs1(4096))), None),
            ("pkcs8 rsa 1024", pem("PRIVATE KEY", &pkcs8(RSA, &pkcs1(1024))), Some(too_short)),
            ("ed25519", pem("PRIVATE KEY", &pkcs8(ED25519, &[4, 1, 7])), None),
            ("ec", pem("PRIVATE KEY", &pkcs8(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1], &[])), Some(other)),
            ("sec1", pem("EC PRIVATE KEY", &[]), Some(other)),
            ("public", pem("PUBLIC KEY", &[]), Some("is not a private key in PEM")),
            ("encrypted", pem("ENCRYPTED PRIVATE KEY", &[]), Some("is encrypted")),
            ("cut off", pem("PRIVATE KEY", &pkcs8(RSA, &pkcs1(2048))[..100]), Some(damaged)),
            ("long length", pem("PRIVATE KEY", &[SEQUENCE, 0xff, 1]), Some(damaged)),
            ("no pem", "hush".to_owned(), Some("is not a private key in PEM")),
        ] {
            assert_eq!(fault_of(&pem).as_deref(), want, "{name}");
        }
    }
}
