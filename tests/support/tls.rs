//! A certificate for tests, and a client that trusts it.

use std::io;
use std::sync::{Arc, LazyLock};

use mailsluice::config::{Identity, ServerTls, TlsMode};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// A stream, whatever carries it.
pub(crate) trait Pipe: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Pipe for S {}

/// The certificate for `localhost`, and its key, in PEM.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
    der: CertificateDer<'static>,
}

/// Made once for all tests of a process.
pub(crate) static PAIR: LazyLock<Pair> = LazyLock::new(Pair::new);

impl Pair {
    /// A new certificate with a new key.
    pub(crate) fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate: certificate.pem(), key: key.serialize_pem(), der: certificate.der().clone() }
    }

    /// What a listener proves itself with.
    pub(crate) fn identity(&self) -> Identity {
        Identity::from_pem(&self.certificate, &self.key).unwrap()
    }

    /// The part of a client in a handshake that trusts this certificate alone.
    pub(crate) async fn handshake(&self, stream: Box<dyn Pipe>) -> io::Result<Box<dyn Pipe>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        Ok(Box::new(TlsConnector::from(Arc::new(config)).connect(name, stream).await?))
    }
}

/// TLS of a listener: `starttls` or `implicit`.
pub(crate) fn server(mode: &str) -> ServerTls {
    let mode = match mode {
        "starttls" => TlsMode::StartTls,
        "implicit" => TlsMode::Implicit,
        _ => panic!("what is {mode:?}?"),
    };
    ServerTls { mode, identity: PAIR.identity() }
}

/// The client's part of a handshake with [`server`].
pub(crate) async fn handshake(stream: Box<dyn Pipe>) -> io::Result<Box<dyn Pipe>> {
    PAIR.handshake(stream).await
}
