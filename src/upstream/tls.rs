//! TLS towards upstreams (RFC 3207, RFC 8314). What is configured is required: there is no way from here to clear text.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_pki_types::ServerName;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, ClientConnection, Error, ProtocolVersion, RootCertStore,
};

use super::stream::Stream;
use super::trust_verifier::{TrustVerifier, is_ca_as_end_entity};
use crate::config::TrustedCertificates;
use crate::smtp::sasl::ChannelBinding;

/// What a login is bound to (RFC 9266 2).
const BINDING_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// Why there is no TLS that we can trust, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// `ca_file` can't be used.
    #[error("ca_file {path}: {reason}; it must hold certificates in PEM form")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The system has no certificates to trust.
    #[error("the system has no trusted certificates: {0}; install ca-certificates, or set ca_file")]
    NoRoots(String),
    /// The name to verify is no name.
    #[error("{0:?} can't be a name in a certificate; set tls_name")]
    Name(String),
    /// Nobody whom we trust vouches for the certificate.
    #[error(
        "the upstream's certificate is not signed by an authority that is trusted here; if it has its own, set ca_file"
    )]
    UnknownIssuer,
    /// The certificate is for other names.
    #[error("the upstream's certificate is not for {0}; set host or tls_name to a name in the certificate")]
    WrongName(String),
    /// The certificate has run out.
    #[error(
        "the upstream's certificate has expired; its operator must renew it (or this machine's clock is wrong)"
    )]
    Expired,
    /// The certificate is for later.
    #[error("the upstream's certificate is not valid yet; check this machine's clock")]
    NotYetValid,
    /// The certificate is not meant for a server.
    #[error(
        "its certificate is a CA's own (CA:TRUE): name this very certificate in ca_file, or have it use one that the CA \
        has signed"
    )]
    IsCa,
    /// The signature of an authority of the right name does not fit.
    #[error(
        "the signature of the upstream's certificate does not verify: it is of another authority with the same name, \
        which belongs into ca_file, or a key is too short (RSA from 2048 bits), and its operator must renew it"
    )]
    BadSignature,
    /// The certificate has no name that counts (RFC 9525 6.3).
    #[error(
        "the upstream's certificate has no subjectAltName, so that nobody can tell whose it is: have it made again with \
        `subjectAltName = DNS:{0}`"
    )]
    NoName(String),
    /// The certificate is bad in another way.
    #[error("the upstream's certificate is not valid: {0}")]
    Certificate(String),
    /// What came is not TLS.
    #[error(
        "the upstream does not speak TLS here; check port and security (465 is \"tls\", 587 is \"starttls\")"
    )]
    NotTls,
    /// The handshake failed.
    #[error("the TLS handshake failed: {0}")]
    Handshake(String),
}

impl TlsError {
    /// Whether it stays like this until a person changes something.
    #[must_use]
    pub fn needs_a_person(&self) -> bool {
        !matches!(self, Self::Handshake(_))
    }
}

/// A stream that is encrypted from here on.
pub struct Secured {
    /// The stream.
    pub stream: Box<dyn Stream>,
    /// What a login over it can be bound to; TLS 1.3 alone has it without conditions.
    pub binding: Option<ChannelBinding>,
}

/// What is needed to open TLS connections to one upstream. Keeps sessions for resumption.
#[derive(Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
}

impl TlsClient {
    /// Trusts the certificates in `ca_file`, or else those of the system. Reads files: not for a busy thread.
    ///
    /// # Errors
    /// When there is nothing to trust.
    #[expect(clippy::missing_panics_doc, reason = "the provider is a constant, and knows both versions")]
    pub fn new(ca_file: Option<&Path>) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.2 and 1.3");
        let builder = match ca_file {
            Some(path) => {
                let verifier = TrustVerifier::new(trusted(path)?, provider);
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
            }
            None => builder.with_root_certificates(system_roots()?),
        };
        Ok(Self { config: Arc::new(builder.with_no_client_auth()) })
    }

    /// Does the handshake and verifies that the upstream is `name`.
    ///
    /// # Errors
    /// Says what is wrong with the certificate or the handshake.
    pub async fn handshake(&self, name: &str, stream: Box<dyn Stream>) -> Result<Secured, TlsError> {
        let bare = name.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        let server = ServerName::try_from(bare.to_owned()).map_err(|_| TlsError::Name(name.to_owned()))?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let stream = connector.connect(server, stream).await.map_err(|error| explain(&error, name))?;
        let binding = binding(stream.get_ref().1);
        Ok(Secured { stream: Box::new(stream), binding })
    }
}

fn binding(connection: &ClientConnection) -> Option<ChannelBinding> {
    let has_it = connection.protocol_version() == Some(ProtocolVersion::TLSv1_3);
    let exported = has_it.then(|| connection.export_keying_material([0; 32], BINDING_LABEL, Some(b"")).ok());
    exported.flatten().map(ChannelBinding)
}

fn trusted(path: &Path) -> Result<TrustedCertificates, TlsError> {
    let fault = |reason: String| TlsError::CaFile { path: path.to_owned(), reason };
    let pem = std::fs::read(path).map_err(|error| fault(error.to_string()))?;
    TrustedCertificates::from_pem(&pem).map_err(|error| fault(error.to_string()))
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Old systems carry a few roots that no longer parse; they vouch for nobody, so they are passed over.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let reasons: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        return Err(TlsError::NoRoots(if reasons.is_empty() {
            "none found".to_owned()
        } else {
            reasons.join("; ")
        }));
    }
    Ok(roots)
}

/// Turns what the library reports into what a person can act upon.
fn explain(error: &io::Error, name: &str) -> TlsError {
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return TlsError::Handshake(error.to_string());
    };
    match error {
        Error::InvalidCertificate(fault) => match fault {
            CertificateError::UnknownIssuer => TlsError::UnknownIssuer,
            CertificateError::BadSignature => TlsError::BadSignature,
            CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
                TlsError::NoName(name.to_owned())
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsError::WrongName(name.to_owned())
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsError::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                TlsError::NotYetValid
            }
            other if is_ca_as_end_entity(other) => TlsError::IsCa,
            other => otherwise(&other.to_string()),
        },
        Error::InvalidMessage(_) => TlsError::NotTls,
        other => TlsError::Handshake(other.to_string()),
    }
}

/// A fault that the library has no variant of its own for: it gives the verifier's name for it.
fn otherwise(text: &str) -> TlsError {
    let bare = text.trim_start_matches("Other(").trim_start_matches("OtherError(").trim_end_matches(')');
    TlsError::Certificate(bare.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_words_of_the_library_without_their_wrapping() {
        let other = TlsError::Certificate("MaximumSignatureChecksExceeded".into());
        assert_eq!(otherwise("Other(OtherError(MaximumSignatureChecksExceeded))"), other);
    }
}
