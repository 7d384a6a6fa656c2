//! Certificates for the tests: an authority of their own, that nobody else trusts.

use std::ops::Range;
use std::sync::Arc;

use mailsluice::config::{ClientTls, Identity, Pin, TrustedCertificates};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PublicKeyData as _, date_time_ymd,
};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ServerConfig, SupportedProtocolVersion};

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub fn new() -> Self {
        Self::named("A test authority")
    }

    pub fn named(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Its certificate in a file, for `ca_file`.
    pub fn ca_file(&self) -> tempfile::NamedTempFile {
        use std::io::Write as _;
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(self.pem.as_bytes()).unwrap();
        file
    }

    /// A server with a certificate for this name.
    pub fn server(&self, name: &str) -> Arc<ServerConfig> {
        self.serve(&CertificateParams::new(vec![name.to_owned()]).unwrap())
    }

    /// The same, valid from the beginning of one year to that of another.
    pub fn server_in(&self, name: &str, years: Range<i32>) -> Arc<ServerConfig> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.not_before, params.not_after) =
            (date_time_ymd(years.start, 1, 1), date_time_ymd(years.end, 1, 1));
        self.serve(&params)
    }

    /// What an upstream of it is verified with.
    pub fn tls(&self) -> ClientTls {
        let trusted = TrustedCertificates::from_pem(self.pem.as_bytes()).unwrap();
        ClientTls { trusted: Some(trusted), ..ClientTls::default() }
    }

    /// A client that it vouches for.
    pub fn client(&self, name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity::from_pem(&certificate.pem(), &key.serialize_pem()).unwrap()
    }

    /// A server with a certificate for this name, that takes clients of its own alone, with one version of TLS.
    pub fn server_for_clients(
        &self,
        name: &str,
        version: &'static SupportedProtocolVersion,
    ) -> Arc<ServerConfig> {
        let (certificate, key) = self.issue(&CertificateParams::new(vec![name.to_owned()]).unwrap());
        let roots = TrustedCertificates::from_pem(self.pem.as_bytes()).unwrap().roots().clone();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_client_cert_verifier(clients.build().unwrap())
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Arc::new(config)
    }

    fn issue(&self, params: &CertificateParams) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    fn serve(&self, params: &CertificateParams) -> Arc<ServerConfig> {
        let (certificate, key) = self.issue(params);
        serve(certificate, key)
    }
}

/// A server that nobody but itself vouches for.
pub struct SelfSigned {
    pub server: Arc<ServerConfig>,
    pub pin: Pin,
}

impl SelfSigned {
    /// With a certificate for this name.
    pub fn new(name: &str) -> Self {
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let pin = Pin::of(&key.subject_public_key_info());
        let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Self { server: serve(certificate.der().clone(), private), pin }
    }
}

fn serve(certificate: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> Arc<ServerConfig> {
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    Arc::new(config)
}
