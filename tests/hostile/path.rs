//! The whole way in memory: session, store on disk, lane, and a lax upstream that takes anything for an end of data.

use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::Engine as _;
use mailsluice::deliver::Stream;
use mailsluice::policy::admission::Admission;
use mailsluice::policy::users::Users;
use mailsluice::session::{self, Door, Services};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::DuplexStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::client::Client;
use crate::support::simulation::{Simulation, secs};
use crate::support::upstream::{Authority, Script, Seen, Upstream};
use crate::world::World;

const CONFIG: &str = r#"
hostname = "relay.example"
[[listener]]
address = "127.0.0.1:2525"
auth = "optional"
[[user]]
name = "anna"
password = "secret"
[[upstream]]
name = "main"
host = "up"
security = "none"
"#;

/// How a client comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) tls: bool,
    pub(crate) login: bool,
}

impl Way {
    pub(crate) const ALL: [Self; 4] = [
        Self { tls: false, login: false },
        Self { tls: false, login: true },
        Self { tls: true, login: false },
        Self { tls: true, login: true },
    ];
}

/// A relay with one upstream.
pub(crate) struct Path {
    simulation: Simulation,
    services: Arc<Services>,
    stop: watch::Sender<bool>,
    pub(crate) upstream: Upstream,
    server: Arc<ServerConfig>,
    trust: TlsConnector,
    _folder: tempfile::TempDir,
}

impl Path {
    /// A relay whose upstream takes any mixture of CR and LF for a line end.
    pub(crate) async fn lax() -> Self {
        Self::to(Script { lax: true, ..Script::default() }).await
    }

    /// A relay whose upstream does what the script says.
    pub(crate) async fn to(script: Script) -> Self {
        let upstream = Upstream::new(script);
        let mut simulation = Simulation::new(CONFIG, &[("up", &upstream)]);
        simulation.start().await;
        let (mut services, _, folder) = World::new().services().await;
        let core = simulation.core.as_ref().unwrap();
        let context = &core.context;
        services.config = context.config.clone();
        services.store = context.store.clone();
        services.timeline = context.timeline.clone();
        services.router = context.router.clone();
        services.wake = context.wake.clone();
        services.test_mode = core.test_mode.clone();
        services.memory = context.memory.clone();
        services.content_dir = context.config.data_dir.join("content");
        services.admission = Arc::new(Admission::new(&context.config));
        services.users = Arc::new(Users::new(&context.config, context.timeline.clone()));
        let (stop, _) = watch::channel(false);
        let authority = Authority::new();
        let (server, trust) = (authority.server("relay.example"), connector(&authority));
        Self { simulation, services: Arc::new(services), stop, upstream, server, trust, _folder: folder }
    }

    /// A new session from this machine, which may relay; STARTTLS and AUTH are offered.
    pub(crate) fn connect(&self) -> Client<DuplexStream> {
        let (client, server) = tokio::io::duplex(64 * 1024);
        let listener = Arc::new(self.services.config.listeners[0].clone());
        let ip = "127.0.0.1".parse().unwrap();
        let door = Door { listener, tls: Some(self.server.clone()), services: self.services.clone() };
        let door = Arc::new(ArcSwap::from_pointee(door));
        tokio::spawn(session::run(server, ip, "test".into(), door, self.stop.subscribe()));
        Client::new(client)
    }

    /// The same, with TLS begun and logged in as it is said.
    pub(crate) async fn connect_by(&self, way: Way) -> Client<Box<dyn Stream>> {
        let mut client = self.connect();
        let mut client = if way.tls {
            client.ask(b"EHLO x\r\nSTARTTLS\r\n", 220).await;
            client.ask(b"", 220).await;
            self.secure(client).await
        } else {
            client.boxed()
        };
        client.ask(b"EHLO x\r\n", 250).await;
        if way.login {
            let secret = base64::engine::general_purpose::STANDARD.encode("\0anna\0secret");
            client.ask(format!("AUTH PLAIN {secret}\r\n").as_bytes(), 235).await;
        }
        client
    }

    /// Begins TLS as a client; the server has said 220 already.
    pub(crate) async fn secure(&self, client: Client<DuplexStream>) -> Client<Box<dyn Stream>> {
        let name = ServerName::try_from("relay.example").unwrap();
        let stream = self.trust.connect(name, client.into_stream()).await.unwrap();
        Client::new(Box::new(stream))
    }

    /// What the upstream has got when everything is sent.
    pub(crate) async fn sent(&self) -> Vec<Seen> {
        self.simulation.until_empty(secs(600)).await;
        self.upstream.messages()
    }
}

/// A client that trusts this authority alone.
fn connector(authority: &Authority) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.ca_file().path()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}
