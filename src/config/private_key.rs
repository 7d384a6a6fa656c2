//! The private keys of DKIM: read, tried, and measured before anybody relies on them.

use std::path::Path;

use mail_auth::common::crypto::{DkimKey, Ed25519Key, RsaKey, Sha256, SigningKey as _};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

use super::files;

/// The shortest RSA key that receivers still trust well (RFC 8301 3.2 wants signers to have 2048).
const LEAST_RSA_BITS: usize = 2048;
/// The longest file with a key, in octets.
const LONGEST: u64 = 64 * 1024;

/// Why a text is no key to sign with. It is the operator's to mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SigningKeyFault {
    /// A passphrase would be needed.
    #[error("is encrypted")]
    Encrypted,
    /// There is no private key in it.
    #[error("is not a private key in PEM")]
    NoKey,
    /// The key is of another kind, or damaged.
    #[error("is neither an RSA key of 2048 to 8192 bits nor an Ed25519 key, or it is damaged")]
    Unsupported,
    /// The RSA key is too short to be trusted.
    #[error("is an RSA key of {bits} bits, too short to be trusted")]
    Weak {
        /// Its length.
        bits: usize,
    },
}

/// Why a file has no key to sign with. It is the operator's to mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SigningKeyFileFault {
    /// The file can't be read.
    #[error("{0}")]
    Unreadable(String),
    /// What is in it can't be used.
    #[error("{path} {fault}")]
    Unfit {
        /// The file.
        path: String,
        /// What is wrong with it.
        fault: SigningKeyFault,
    },
}

/// Reads the key in a file.
///
/// # Errors
/// When it can't be read, or used.
pub fn signing_key_file(path: &Path) -> Result<DkimKey, SigningKeyFileFault> {
    let text = files::read(path, LONGEST).map_err(SigningKeyFileFault::Unreadable)?.text;
    let unfit = |fault| SigningKeyFileFault::Unfit { path: path.display().to_string(), fault };
    signing_key(&text).map_err(unfit)
}

/// Reads a key in PEM, and signs something to see whether it works.
///
/// # Errors
/// When it can't be used.
pub fn signing_key(pem: &str) -> Result<DkimKey, SigningKeyFault> {
    if pem.contains("ENCRYPTED") {
        return Err(SigningKeyFault::Encrypted);
    }
    let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| SigningKeyFault::NoKey)?;
    let ed25519 = match &der {
        PrivateKeyDer::Pkcs8(der) => Ed25519Key::from_pkcs8_maybe_unchecked_der(der.secret_pkcs8_der()).ok(),
        _ => None,
    };
    let key = match ed25519 {
        Some(key) => DkimKey::from(key),
        None => RsaKey::<Sha256>::from_key_der(der).map_err(|_| SigningKeyFault::Unsupported)?.into(),
    };
    // A signature tells that the key works, and how long it is.
    let probe = key.sign(&b""[..]).map_err(|_| SigningKeyFault::Unsupported)?;
    let bits = probe.len() * 8;
    if matches!(key, DkimKey::Rsa(_)) && bits < LEAST_RSA_BITS {
        return Err(SigningKeyFault::Weak { bits });
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use base64::Engine;

    use super::SigningKeyFault::{Encrypted, NoKey, Unsupported};
    use super::*;

    fn pem(label: &str, der: &[u8]) -> String {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
    }

    #[test]
    fn tells_good_keys_from_bad_ones() {
        let rsa = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let rsa: Pkcs8V1Der<'_> = rsa.as_der().unwrap();
        let ed25519 = Ed25519Key::generate_pkcs8().unwrap();
        let ec = rcgen::KeyPair::generate().unwrap().serialize_der();
        let mut damaged = rsa.as_ref().to_vec();
        damaged[60] ^= 1;
        for (name, pem, want) in [
            ("rsa", pem("PRIVATE KEY", rsa.as_ref()), None),
            ("pkcs1", pem("RSA PRIVATE KEY", &rsa.as_ref()[26..]), None),
            ("ed25519", pem("PRIVATE KEY", &ed25519), None),
            ("ec", pem("PRIVATE KEY", &ec), Some(Unsupported)),
            ("damaged", pem("PRIVATE KEY", &damaged), Some(Unsupported)),
            ("cut off", pem("PRIVATE KEY", &rsa.as_ref()[..600]), Some(Unsupported)),
            ("ed25519 cut off", pem("PRIVATE KEY", &ed25519[..20]), Some(Unsupported)),
            ("public", pem("PUBLIC KEY", &[]), Some(NoKey)),
            ("encrypted", pem("ENCRYPTED PRIVATE KEY", &[]), Some(Encrypted)),
            ("no pem", "hush".to_owned(), Some(NoKey)),
        ] {
            assert_eq!(signing_key(&pem).err(), want, "{name}");
        }
    }
}
