//! TLS towards upstreams (RFC 3207, RFC 8314): 1.2 and up. What is configured is required: there is no way from here to
//! clear text.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls_pki_types::ServerName;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::ResolvesClientCert;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, SignatureScheme};

use super::stream::{FirstOctets, Stream};
use super::tls_error::{HandshakeFacts, TlsError};
use super::trust_verifier::{Trust, TrustVerifier};
use crate::config::ClientTls;
use crate::smtp::sasl::ChannelBinding;

/// What a login is bound to (RFC 9266 2).
const BINDING_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// What is needed to open TLS connections to one upstream. Keeps sessions for resumption.
pub(crate) struct TlsClient {
    config: Arc<ClientConfig>,
    identity: Arc<OwnIdentity>,
}

impl TlsClient {
    /// Trusts whom `tls` says, or else the authorities of the system. May read files: not for a busy thread.
    ///
    /// # Errors
    /// When there is nobody to trust.
    pub(crate) fn new(tls: &ClientTls) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let trust = match &tls.trusted {
            Some(trusted) => Trust::File(trusted.clone()),
            None => Trust::System(system_roots(tls.pins.is_empty())?),
        };
        let algorithms = provider.signature_verification_algorithms;
        let verifier = TrustVerifier::new(trust, tls.pins.clone(), algorithms);
        let identity = Arc::new(OwnIdentity {
            certified: tls.identity.as_ref().map(crate::config::Identity::certified_key),
            asked: AtomicBool::new(false),
        });
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(identity.clone());
        Ok(Self { config: Arc::new(config), identity })
    }

    /// Does the handshake and verifies that the upstream is `name`.
    ///
    /// # Errors
    /// Says what is wrong with the certificate or the handshake.
    pub(crate) async fn handshake(
        &self,
        name: &str,
        stream: Box<dyn Stream>,
    ) -> Result<TlsStream<FirstOctets>, TlsError> {
        let bare = name.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        let server = ServerName::try_from(bare.to_owned()).map_err(|_| TlsError::Name(name.to_owned()))?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let shaken = connector.connect(server, FirstOctets::new(stream)).into_fallible().await;
        let stream = shaken.map_err(|(error, stream)| {
            let facts = HandshakeFacts {
                name,
                first: stream.first(),
                asked: self.identity.asked.load(Ordering::Relaxed),
                has_identity: self.identity.certified.is_some(),
            };
            TlsError::of_handshake(&error, &facts)
        })?;
        Ok(stream)
    }
}

/// What a login over a connection can be bound to; TLS 1.3 alone has it without conditions.
pub(crate) fn binding(connection: &ClientConnection) -> Option<ChannelBinding> {
    let has_it = connection.protocol_version() == Some(ProtocolVersion::TLSv1_3);
    let exported = has_it.then(|| connection.export_keying_material([0; 32], BINDING_LABEL, Some(b"")).ok());
    exported.flatten().map(ChannelBinding)
}

/// The authorities of the system. Without any, there must be something else to go by.
fn system_roots(required: bool) -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Old systems carry a few roots that no longer parse; they vouch for nobody, so they are passed over.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() && required {
        let reasons: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        return Err(TlsError::NoRoots(if reasons.is_empty() {
            "none found".to_owned()
        } else {
            reasons.join("; ")
        }));
    }
    Ok(roots)
}

/// What we show to an upstream that asks who we are, and whether one has asked.
#[derive(Debug)]
struct OwnIdentity {
    certified: Option<Arc<CertifiedKey>>,
    asked: AtomicBool,
}

impl ResolvesClientCert for OwnIdentity {
    fn resolve(&self, _issuers: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        self.certified.clone()
    }

    fn has_certs(&self) -> bool {
        self.certified.is_some()
    }
}
