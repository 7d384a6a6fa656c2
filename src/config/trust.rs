//! `ca_file`: the certificates that an upstream is trusted by.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::RootCertStore;

/// Certificates to trust instead of the system's; at least one, each of them sound.
#[derive(Debug, Clone)]
pub struct TrustedCertificates {
    certificates: Vec<CertificateDer<'static>>,
    roots: RootCertStore,
}

/// They are equal when the certificates are.
impl PartialEq for TrustedCertificates {
    fn eq(&self, other: &Self) -> bool {
        self.certificates == other.certificates
    }
}

impl Eq for TrustedCertificates {}

/// Why certificates can't be used. It is the operator's to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustFault {
    /// There is no certificate.
    #[error("there is no certificate in it")]
    None,
    /// The PEM breaks off or is damaged.
    #[error("certificate {number} is not in PEM form, or breaks off ({reason})")]
    Pem {
        /// Which one, from 1.
        number: usize,
        /// What is wrong.
        reason: pem::Error,
    },
    /// What stands in the PEM is no certificate.
    #[error("certificate {number} is damaged, or of an old version")]
    Damaged {
        /// Which one, from 1.
        number: usize,
    },
}

impl TrustedCertificates {
    /// Reads certificates in PEM, to the end of the text.
    ///
    /// # Errors
    /// With the first one that can't be used.
    pub fn from_pem(pem: &[u8]) -> Result<Self, TrustFault> {
        let (mut certificates, mut roots) = (Vec::new(), RootCertStore::empty());
        for (index, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
            let number = index + 1;
            let certificate = certificate.map_err(|reason| TrustFault::Pem { number, reason })?;
            roots.add(certificate.clone()).map_err(|_| TrustFault::Damaged { number })?;
            certificates.push(certificate);
        }
        if certificates.is_empty() { Err(TrustFault::None) } else { Ok(Self { certificates, roots }) }
    }

    /// The same, as authorities that may have signed a server's certificate.
    #[must_use]
    pub fn roots(&self) -> &RootCertStore {
        &self.roots
    }

    /// Whether this very certificate is one of them.
    #[must_use]
    pub fn holds(&self, certificate: &CertificateDer<'_>) -> bool {
        self.certificates.iter().any(|own| own.as_ref() == certificate.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_to_the_end() {
        let made = || {
            let key = rcgen::KeyPair::generate().unwrap();
            rcgen::CertificateParams::new(vec!["x".to_owned()]).unwrap().self_signed(&key).unwrap().pem()
        };
        let (one, two) = (made(), made());
        let both = format!("# mine\n{one}\n{two}");
        let read = |text: &str| TrustedCertificates::from_pem(text.as_bytes());
        assert_eq!(read(&both).unwrap().certificates.len(), 2);
        let no_certificate = one.replacen("\nMI", "\nAA", 1);
        for (text, want) in [
            ("", "there is no certificate in it"),
            ("hello", "there is no certificate in it"),
            (&both[..both.len() - 40], "certificate 2 is not in PEM form, or breaks off"),
            (&both[..one.len() / 2], "certificate 1 is not in PEM form, or breaks off"),
            (&format!("{one}{no_certificate}"), "certificate 2 is damaged"),
        ] {
            let fault = read(text).unwrap_err().to_string();
            assert!(fault.starts_with(want), "{fault}: {want}");
        }
    }
}
