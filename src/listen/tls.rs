//! TLS as a server: versions 1.2 and 1.3, with the listener's certificate.

use std::sync::Arc;

use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::sign::SingleCertAndKey;

use crate::config::Listener;

/// What a listener's sessions need to begin TLS; `None` when its `tls` is `none`.
///
/// The files were read, and the pair was checked, with the configuration.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "the provider is a constant, and knows both versions")]
pub fn load(listener: &Listener) -> Option<Arc<ServerConfig>> {
    let tls = listener.tls.as_ref()?;
    let resolver = Arc::new(SingleCertAndKey::from(tls.identity.certified_key()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider knows TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    Some(Arc::new(config))
}
