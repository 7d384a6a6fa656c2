//! Makes keys.

use std::fmt::Write as _;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;

/// The length of a line in PEM (RFC 7468 2).
const LINE: usize = 64;

/// A key to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewKey {
    /// RSA of this length.
    Rsa(RsaLength),
    /// Ed25519.
    Ed25519,
}

/// How long an RSA key is. Shorter ones are not to be trusted (RFC 8301 3.2), longer ones not read by every receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RsaLength {
    /// 2048 bits.
    Bits2048,
    /// 3072 bits.
    Bits3072,
    /// 4096 bits.
    Bits4096,
}

/// The library could not make the key. That is nobody's fault but the machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cryptographic library could not make a key")]
pub struct GenerationError;

impl From<Unspecified> for GenerationError {
    fn from(_: Unspecified) -> Self {
        Self
    }
}

/// Makes a key: PKCS#8 (RFC 5958) in PEM, in its first version, which every library reads.
///
/// # Errors
/// When the library can't.
pub fn generate(key: NewKey) -> Result<SecretString, GenerationError> {
    match key {
        NewKey::Rsa(length) => {
            let pair = KeyPair::generate(match length {
                RsaLength::Bits2048 => KeySize::Rsa2048,
                RsaLength::Bits3072 => KeySize::Rsa3072,
                RsaLength::Bits4096 => KeySize::Rsa4096,
            })?;
            let der: Pkcs8V1Der<'_> = pair.as_der()?;
            Ok(pem(der.as_ref()))
        }
        NewKey::Ed25519 => Ok(pem(Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new())?.as_ref())),
    }
}

fn pem(der: &[u8]) -> SecretString {
    let text = STANDARD.encode(der);
    let mut pem = "-----BEGIN PRIVATE KEY-----\n".to_owned();
    let (mut line, mut rest) = text.split_at(LINE.min(text.len()));
    while !line.is_empty() {
        let _ = writeln!(pem, "{line}");
        (line, rest) = rest.split_at(LINE.min(rest.len()));
    }
    pem += "-----END PRIVATE KEY-----\n";
    SecretString::from(pem)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::config::signing_key;
    use crate::dkim::{DkimKeyType, DkimPublicKey};

    #[test]
    fn what_is_made_signs() {
        for (key, key_type, bits) in [
            (NewKey::Rsa(RsaLength::Bits2048), DkimKeyType::Rsa, Some(2048)),
            (NewKey::Rsa(RsaLength::Bits3072), DkimKeyType::Rsa, Some(3072)),
            (NewKey::Ed25519, DkimKeyType::Ed25519, None),
        ] {
            let pem = generate(key).unwrap();
            let text = pem.expose_secret();
            assert!(text.lines().all(|line| line.len() <= LINE) && text.ends_with("-----\n"), "{key:?}");
            let public = DkimPublicKey::of(&signing_key(text).unwrap());
            assert_eq!((public.key_type(), public.bits()), (key_type, bits));
            assert_ne!(text, generate(key).unwrap().expose_secret(), "{key:?}");
        }
    }
}
