//! Who is trusted by `ca_file`: whom its certificates have signed, and whoever has one of these very certificates.
//!
//! Local servers often make a certificate for themselves that says that it is a CA's (`openssl req -x509`, Proton
//! Bridge). No chain may end in such a one, but a person who names it in `ca_file` means that server.

use std::sync::Arc;

use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{WebPkiServerVerifier, verify_server_name};
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use crate::config::TrustedCertificates;

/// Verifies upstreams by the certificates of a `ca_file`.
#[derive(Debug)]
pub(super) struct TrustVerifier {
    chains: Arc<WebPkiServerVerifier>,
    trusted: TrustedCertificates,
}

impl TrustVerifier {
    pub(super) fn new(trusted: TrustedCertificates, provider: Arc<CryptoProvider>) -> Self {
        let roots = Arc::new(trusted.roots().clone());
        let chains = WebPkiServerVerifier::builder_with_provider(roots, provider)
            .build()
            .expect("there is a root at least, and no revocation list");
        Self { chains, trusted }
    }
}

impl ServerCertVerifier for TrustVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // Whether it is a CA's is asked last but for the name: its time has been looked at.
            Err(Error::InvalidCertificate(fault))
                if is_ca_as_end_entity(&fault) && self.trusted.holds(end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

/// Whether a CA's own certificate was shown as a server's. The library has no variant of its own for that.
pub(super) fn is_ca_as_end_entity(fault: &CertificateError) -> bool {
    matches!(fault, CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
    use rustls_pki_types::PrivateKeyDer;
    use tokio::io::duplex;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::aws_lc_rs;

    use super::super::tls::{TlsClient, TlsError};
    use super::*;

    struct Own {
        pem: String,
        server: Arc<ServerConfig>,
    }

    /// A server with a certificate of its own making that says that it is a CA's.
    fn own(names: &[&str], year: i32) -> Own {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = date_time_ymd(year, 1, 1);
        let certificate = params.self_signed(&key).unwrap();
        let server = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        Own { pem: certificate.pem(), server: Arc::new(server) }
    }

    async fn handshake(server: &Own, trusted: &Own, name: &str) -> Result<(), TlsError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(trusted.pem.as_bytes()).unwrap();
        let client = TlsClient::new(Some(file.path())).unwrap();
        let (near, far) = duplex(64 << 10);
        let acceptor = TlsAcceptor::from(server.server.clone());
        let serving = tokio::spawn(async move { drop(acceptor.accept(far).await) });
        let done = client.handshake(name, Box::new(near)).await.map(drop);
        serving.await.unwrap();
        done
    }

    #[tokio::test]
    async fn a_certificate_that_is_named_itself_is_trusted_though_it_is_a_cas() {
        let (bridge, other) = (own(&["localhost", "127.0.0.1"], 2100), own(&["localhost"], 2100));
        assert_eq!(handshake(&bridge, &bridge, "localhost").await, Ok(()));
        assert_eq!(handshake(&bridge, &bridge, "127.0.0.1").await, Ok(()));
        for (name, server, trusted, host, want) in [
            ("another name", &bridge, &bridge, "x.example", TlsError::WrongName("x.example".into())),
            ("another certificate", &bridge, &other, "localhost", TlsError::IsCa),
            ("no name", &own(&[], 2100), &own(&[], 2100), "localhost", TlsError::IsCa),
        ] {
            assert_eq!(handshake(server, trusted, host).await, Err(want), "{name}");
        }
        let nameless = own(&[], 2100);
        let none = Err(TlsError::NoName("localhost".into()));
        assert_eq!(handshake(&nameless, &nameless, "localhost").await, none);
        let old = own(&["localhost"], 2020);
        assert_eq!(handshake(&old, &old, "localhost").await, Err(TlsError::Expired));
    }
}
