//! What a listener proves itself with, or we to an upstream: a certificate chain and its private key, looked at before anybody relies on them.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::sign::{CertifiedKey, Signer};
use tokio_rustls::rustls::{Error, InconsistentKeys, SignatureScheme};

use super::certificate::CertificateFacts;
use super::files;
use super::reader::Section;
use crate::time::Validity;

/// The longest file of certificates or of a key, in octets.
const LONGEST: u64 = 1024 * 1024;

/// A certificate chain and the private key of its first certificate. They belong together.
#[derive(Clone)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
    validity: Option<Validity>,
}

impl Identity {
    /// Chain and key, in the form that TLS takes them.
    #[must_use]
    pub fn certified_key(&self) -> Arc<CertifiedKey> {
        self.certified.clone()
    }

    /// How long the certificate holds.
    #[must_use]
    pub fn validity(&self) -> Option<Validity> {
        self.validity
    }

    /// What signs mail with its key, as every mail program verifies it (RFC 8551 2.2): RSA or ECDSA with P-256, each with
    /// SHA-256. `None` for keys of other kinds.
    #[must_use]
    pub fn mail_signer(&self) -> Option<Box<dyn Signer>> {
        const SCHEMES: [SignatureScheme; 2] =
            [SignatureScheme::RSA_PKCS1_SHA256, SignatureScheme::ECDSA_NISTP256_SHA256];
        self.certified.key.choose_scheme(&SCHEMES)
    }

    /// Puts certificates and a private key together, both in PEM.
    ///
    /// # Errors
    /// When either can't be used, or the key is not the certificate's.
    pub fn from_pem(certificates: &str, key: &str) -> Result<Self, IdentityFault> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificates.as_bytes()).collect();
        let chain = chain.map_err(IdentityFault::Certificate)?;
        let first = chain.first().ok_or(IdentityFault::NoCertificate)?;
        let validity = CertificateFacts::of(first)
            .and_then(|facts| Some(Validity { from: facts.not_before, until: facts.not_after? }));
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(IdentityFault::NoKey)?;
        let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
        let certified = certified.map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => IdentityFault::Mismatch,
            Error::InvalidCertificate(_) => IdentityFault::Damaged,
            _ => IdentityFault::Key,
        })?;
        Ok(Self { certified: Arc::new(certified), validity })
    }
}

/// Two identities are equal when their certificates are; the same certificate has the same key.
impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.certified.cert == other.certified.cert
    }
}

impl Eq for Identity {}

/// Shows neither key nor certificates.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let certificates = self.certified.cert.len();
        f.debug_struct("Identity")
            .field("certificates", &certificates)
            .field("expires", &self.validity.map(|validity| validity.until))
            .finish_non_exhaustive()
    }
}

/// Why a certificate and a key can't be used. It is the operator's to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityFault {
    /// The PEM of the certificates is broken.
    #[error("is not in PEM form ({0})")]
    Certificate(pem::Error),
    /// There is no certificate.
    #[error("holds no certificate in PEM form")]
    NoCertificate,
    /// The first certificate is damaged, or of an old version.
    #[error("holds a certificate that cannot be used")]
    Damaged,
    /// There is no private key, or it is encrypted.
    #[error("holds no private key in PEM form, or an encrypted one")]
    NoKey(#[source] pem::Error),
    /// The private key is damaged, or of a kind that TLS does not use.
    #[error("holds a private key that cannot be used")]
    Key,
    /// Certificate and key do not belong together.
    #[error("is not the key of the certificate")]
    Mismatch,
}

/// A file that a key of the configuration names.
pub(super) struct NamedFile {
    /// The key.
    pub(super) key: &'static str,
    /// Its value.
    pub(super) path: PathBuf,
}

/// Reads both files, notes what is wrong with them.
pub(super) fn read(section: &Section<'_>, certificate: &NamedFile, key: &NamedFile) -> Option<Identity> {
    let (certificates, secret) = (text(section, certificate), text(section, key));
    let (certificates, secret) = certificates.zip(secret)?;
    if secret.open_to_others {
        let instead = format!("chmod 600 {}", key.path.display());
        section.warning(&section.place_of(key.key), key.key, "can be read by others", &instead);
    }
    match Identity::from_pem(&certificates.text, &secret.text) {
        Ok(identity) => {
            warn_of_expiry(section, certificate.key, &identity);
            Some(identity)
        }
        Err(fault) => {
            explain(section, &fault, certificate, key);
            None
        }
    }
}

/// Reads one of the files.
pub(super) fn text(section: &Section<'_>, file: &NamedFile) -> Option<files::FileText> {
    let read = section.context.read_file(&file.path, LONGEST);
    read.map_err(|why| {
        let instead = "write the path of a PEM file that the relay can read";
        section.fault(&section.place_of(file.key), file.key, &why, instead);
    })
    .ok()
}

fn explain(section: &Section<'_>, fault: &IdentityFault, certificate: &NamedFile, key: &NamedFile) {
    let (of_certificate, of_key) = (certificate.path.display(), key.path.display());
    let (name, what, instead) = match fault {
        IdentityFault::Mismatch => (
            key.key,
            format!("{of_key} is not the key of the certificate {of_certificate}"),
            "write the two files that belong together, the relay's own certificate first in its file",
        ),
        IdentityFault::NoKey(_) | IdentityFault::Key => (
            key.key,
            format!("{of_key} {fault}"),
            "write a private key in PEM: RSA, ECDSA (P-256, P-384) or Ed25519, without a passphrase",
        ),
        _ => (
            certificate.key,
            format!("{of_certificate} {fault}"),
            "write the certificate with its chain, in PEM",
        ),
    };
    section.fault(&section.place_of(name), name, &what, instead);
}

/// Warns of a certificate that has expired, or soon will.
pub(super) fn warn_of_expiry(section: &Section<'_>, key: &str, identity: &Identity) {
    let Some(validity) = identity.validity else { return };
    let until = validity.until;
    let what = match validity.step(section.context.machine.now) {
        None => return,
        Some(0) => format!("expired at {until}"),
        Some(_) => format!("expires at {until}"),
    };
    section.warning(&section.place_of(key), key, &what, "renew it");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(year: i32) -> (String, String) {
        let mut params = crate::config::testing::of_host();
        params.not_after = rcgen::date_time_ymd(year, 1, 2);
        let key = rcgen::KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn a_pair_must_belong_together() {
        let ((certificate, key), (_, other)) = (pair(2040), pair(2040));
        let identity = Identity::from_pem(&certificate, &key).unwrap();
        assert_eq!(identity.validity().unwrap().until.to_string(), "2040-01-02T00:00:00Z");
        assert_eq!(identity.certified_key().cert.len(), 1);
        let another = pair(2040).0;
        let chain = format!("{certificate}{another}");
        assert_eq!(Identity::from_pem(&chain, &key).unwrap().certified_key().cert.len(), 2);
        for (certificate, key, want) in [
            (certificate.as_str(), other.as_str(), "is not the key of the certificate"),
            (another.as_str(), &key, "is not the key of the certificate"),
            ("", &key, "holds no certificate in PEM form"),
            (&key, &key, "holds no certificate in PEM form"),
            (&certificate, "", "holds no private key in PEM form, or an encrypted one"),
            (&certificate, &certificate, "holds no private key in PEM form, or an encrypted one"),
            (&certificate[..certificate.len() - 40], &key, "is not in PEM form"),
        ] {
            let fault = Identity::from_pem(certificate, key).unwrap_err().to_string();
            assert!(fault.starts_with(want), "{fault:?} {want:?}");
        }
    }

    #[test]
    fn shows_no_key() {
        let (certificate, key) = pair(2040);
        let text = format!("{:?}", Identity::from_pem(&certificate, &key).unwrap());
        assert_eq!(text, "Identity { certificates: 1, expires: Some(2040-01-02T00:00:00Z), .. }");
    }
}
