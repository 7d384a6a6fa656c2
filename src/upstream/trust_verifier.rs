//! Whom we trust to be an upstream: whom the authorities of the system or of `ca_file` have signed, whoever has one of the
//! very certificates in `ca_file`, and, self-signed, whoever has a key that is pinned.
//!
//! Local servers often make a certificate for themselves that says that it is a CA's (`openssl req -x509`, Proton
//! Bridge). No chain may end in such a one, but a person who names it in `ca_file` means that server.
//!
//! A pin holds beside all that. A self-signed certificate says nothing that its key does not say as well, so that there the
//! pin stands in place of issuer and name; its time still counts.

use std::sync::Arc;

use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use tokio_rustls::rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

use crate::config::{Pin, TrustedCertificates, is_self_issued};

/// By whom an upstream may be vouched for.
#[derive(Debug)]
pub(super) enum Trust {
    /// The certificates of a `ca_file`.
    File(TrustedCertificates),
    /// These authorities.
    System(RootCertStore),
}

/// Verifies upstreams by authorities, certificates and pins.
#[derive(Debug)]
pub(super) struct TrustVerifier {
    trust: Trust,
    /// The keys of which an upstream must have one; empty when any will do.
    pins: Vec<Pin>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// What is wrong with the public key in a certificate; with the pin that it would have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyFault {
    /// It is none of those that are pinned.
    #[error("the key is not pinned: {0}")]
    OtherKey(Pin),
    /// Only the key itself vouches for the certificate.
    #[error("the certificate is self-signed: {0}")]
    SelfSigned(Pin),
}

impl From<KeyFault> for Error {
    fn from(fault: KeyFault) -> Self {
        CertificateError::Other(OtherError(Arc::new(fault))).into()
    }
}

impl Trust {
    fn roots(&self) -> &RootCertStore {
        match self {
            Self::File(trusted) => trusted.roots(),
            Self::System(roots) => roots,
        }
    }

    fn holds(&self, certificate: &CertificateDer<'_>) -> bool {
        matches!(self, Self::File(trusted) if trusted.holds(certificate))
    }
}

impl TrustVerifier {
    /// Trusts whom `trust` names, and of those, where there are pins, who has one of these keys.
    pub(super) fn new(trust: Trust, pins: Vec<Pin>, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { trust, pins, algorithms }
    }
}

impl ServerCertVerifier for TrustVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let pin = Pin::of(&certificate.subject_public_key_info());
        if !self.pins.is_empty() && !self.pins.contains(&pin) {
            return Err(KeyFault::OtherKey(pin).into());
        }
        let algorithms = self.algorithms.all;
        match verify_server_cert_signed_by_trust_anchor(
            &certificate,
            self.trust.roots(),
            intermediates,
            now,
            algorithms,
        ) {
            Ok(()) => {}
            // Whether it is a CA's is asked after its time.
            Err(Error::InvalidCertificate(fault))
                if is_ca_as_end_entity(&fault) && self.trust.holds(end_entity) => {}
            Err(Error::InvalidCertificate(fault))
                if is_of_unknown_issuer(&fault) && is_self_issued(end_entity) =>
            {
                // That it has a pinned key has been seen above.
                let is_pinned = !self.pins.is_empty();
                return if is_pinned {
                    Ok(ServerCertVerified::assertion())
                } else {
                    Err(KeyFault::SelfSigned(pin).into())
                };
            }
            Err(error) => return Err(error),
        }
        verify_server_name(&certificate, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Whether nobody whom we trust vouches for a certificate whose time is right: its issuer is not known, another of the same
/// name is, or it is a CA's own, of which that is not asked.
fn is_of_unknown_issuer(fault: &CertificateError) -> bool {
    matches!(fault, CertificateError::UnknownIssuer | CertificateError::BadSignature)
        || is_ca_as_end_entity(fault)
}

/// Whether a CA's own certificate was shown as a server's. The library has no variant of its own for that.
pub(super) fn is_ca_as_end_entity(fault: &CertificateError) -> bool {
    matches!(fault, CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity"))
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, PublicKeyData as _, date_time_ymd};
    use rustls_pki_types::PrivateKeyDer;
    use tokio::io::duplex;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::aws_lc_rs;

    use super::super::tls::TlsClient;
    use super::super::tls_error::TlsError;
    use super::*;
    use crate::config::ClientTls;

    struct Own {
        pem: String,
        pin: Pin,
        server: Arc<ServerConfig>,
    }

    /// A server with a certificate of its own making, which may say that it is a CA's.
    fn own(names: &[&str], year: i32, is_ca: bool) -> Own {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        if is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
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
        let pin = Pin::of(&key.subject_public_key_info());
        Own { pem: certificate.pem(), pin, server: Arc::new(server) }
    }

    /// Trusts this certificate, and asks for these keys.
    fn tls(trusted: &Own, pins: &[Pin]) -> ClientTls {
        let trusted = TrustedCertificates::from_pem(trusted.pem.as_bytes()).unwrap();
        ClientTls { trusted: Some(trusted), pins: pins.to_vec(), ..ClientTls::default() }
    }

    async fn handshake(server: &Own, tls: &ClientTls, name: &str) -> Result<(), TlsError> {
        let client = TlsClient::new(tls).unwrap();
        let (near, far) = duplex(64 << 10);
        let acceptor = TlsAcceptor::from(server.server.clone());
        let serving = tokio::spawn(async move { drop(acceptor.accept(far).await) });
        let done = client.handshake(name, Box::new(near)).await.map(drop);
        serving.await.unwrap();
        done
    }

    fn expired(year: i32) -> TlsError {
        TlsError::Expired(format!("{year}-01-01T00:00:00Z").parse().unwrap())
    }

    fn wrong_name(presented: &[&str]) -> TlsError {
        let presented = presented.iter().map(ToString::to_string).collect();
        TlsError::WrongName { wanted: "x.example".into(), presented }
    }

    #[tokio::test]
    async fn a_certificate_that_is_named_itself_is_trusted_though_it_is_a_cas() {
        let bridge = own(&["localhost", "127.0.0.1"], 2100, true);
        let named = tls(&bridge, &[]);
        assert_eq!(handshake(&bridge, &named, "localhost").await, Ok(()));
        assert_eq!(handshake(&bridge, &named, "127.0.0.1").await, Ok(()));
        let want = wrong_name(&["localhost", "127.0.0.1"]);
        assert_eq!(handshake(&bridge, &named, "x.example").await, Err(want));
        let nameless = own(&[], 2100, true);
        let none = Err(TlsError::NoName("localhost".into()));
        assert_eq!(handshake(&nameless, &tls(&nameless, &[]), "localhost").await, none);
        let old = own(&["localhost"], 2020, true);
        assert_eq!(handshake(&old, &tls(&old, &[]), "localhost").await, Err(expired(2020)));
    }

    #[tokio::test]
    async fn who_signed_itself_is_told_so_with_the_pin_that_would_trust_it() {
        let stranger = own(&["elsewhere"], 2100, false);
        for is_ca in [false, true] {
            for (names, year, want) in [
                (&["localhost"][..], 2100, None),
                (&["x.example"], 2100, None),
                (&[], 2100, None),
                (&["localhost"], 2020, Some(expired(2020))),
            ] {
                let server = own(names, year, is_ca);
                let want = want.unwrap_or(TlsError::SelfSigned(server.pin));
                assert_eq!(
                    handshake(&server, &tls(&stranger, &[]), "localhost").await,
                    Err(want),
                    "{names:?} {is_ca}"
                );
            }
        }
    }

    #[tokio::test]
    async fn a_pin_stands_in_place_of_issuer_and_name_but_not_of_time() {
        let stranger = own(&["elsewhere"], 2100, false);
        for is_ca in [false, true] {
            for (names, year, want) in [
                (&["localhost"][..], 2100, Ok(())),
                (&["x.example"], 2100, Ok(())),
                (&[], 2100, Ok(())),
                (&["localhost"], 2020, Err(expired(2020))),
            ] {
                let server = own(names, year, is_ca);
                let pinned = tls(&stranger, &[stranger.pin, server.pin]);
                assert_eq!(handshake(&server, &pinned, "localhost").await, want, "{names:?} {is_ca}");
                let other = tls(&stranger, &[stranger.pin]);
                let want = Err(TlsError::OtherKey(server.pin));
                assert_eq!(handshake(&server, &other, "localhost").await, want, "{names:?} {is_ca}");
            }
        }
    }

    #[tokio::test]
    async fn a_pin_holds_beside_what_is_trusted() {
        for is_ca in [false, true] {
            let server = own(&["localhost"], 2100, is_ca);
            let other = own(&["localhost"], 2100, is_ca).pin;
            let of = |pins: &[Pin]| tls(&server, pins);
            assert_eq!(handshake(&server, &of(&[server.pin]), "localhost").await, Ok(()));
            let want = Err(TlsError::OtherKey(server.pin));
            assert_eq!(handshake(&server, &of(&[other]), "localhost").await, want);
            let want = Err(wrong_name(&["localhost"]));
            assert_eq!(handshake(&server, &of(&[server.pin]), "x.example").await, want);
        }
    }
}
