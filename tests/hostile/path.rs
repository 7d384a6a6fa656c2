//! The whole way in memory: session, store on disk, lane, and a lax upstream that takes anything for an end of data.

use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::Engine as _;
use mailsluice::config::{ServerTls, TlsMode};
use mailsluice::listen::tls::load;
use mailsluice::policy::admission::Admission;
use mailsluice::policy::users::{LoginSecret, Users};
use mailsluice::session::{self, Door, Services};
use mailsluice::upstream::Stream;
use tokio::io::DuplexStream;
use tokio::sync::watch;

use crate::client::Client;
use crate::support::simulation::{Simulation, secs};
use crate::support::upstream::{Script, Seen, Upstream};
use crate::tls;
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
    /// When TLS begins; never, where it does not.
    pub(crate) tls: Option<TlsMode>,
    pub(crate) login: bool,
}

impl Way {
    pub(crate) const ALL: [Self; 6] = [
        Self { tls: None, login: false },
        Self { tls: None, login: true },
        Self { tls: Some(TlsMode::StartTls), login: false },
        Self { tls: Some(TlsMode::StartTls), login: true },
        Self { tls: Some(TlsMode::Implicit), login: false },
        Self { tls: Some(TlsMode::Implicit), login: true },
    ];
}

/// A relay with one upstream.
pub(crate) struct Path {
    simulation: Simulation,
    services: Arc<Services>,
    stop: watch::Sender<bool>,
    pub(crate) upstream: Upstream,
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
        services.wakeups = context.wakeups.clone();
        services.limit_waits = context.limit_waits.clone();
        services.test_mode = core.test_mode.clone();
        services.memory = context.memory.clone();
        services.admission = Arc::new(Admission::new(&context.config));
        services.users =
            Arc::new(Users::new(&context.config, LoginSecret::random(), context.timeline.clone()));
        let (stop, _) = watch::channel(false);
        Self { simulation, services: Arc::new(services), stop, upstream, _folder: folder }
    }

    /// A new session from this machine, which may relay; STARTTLS and AUTH are offered.
    pub(crate) fn connect(&self) -> Client<DuplexStream> {
        self.open(TlsMode::StartTls)
    }

    fn open(&self, mode: TlsMode) -> Client<DuplexStream> {
        let (client, server) = tokio::io::duplex(64 * 1024);
        let mut listener = self.services.config.listeners[0].clone();
        listener.tls = Some(ServerTls { mode, identity: tls::PAIR.identity() });
        let listener = Arc::new(listener);
        let ip = "127.0.0.1".parse().unwrap();
        let door = Door { tls: load(&listener), listener, services: self.services.clone() };
        let door = Arc::new(ArcSwap::from_pointee(door));
        tokio::spawn(session::run(server, ip, "test".into(), door, self.stop.subscribe()));
        Client::new(client)
    }

    /// The same, with TLS begun and logged in as it is said.
    pub(crate) async fn connect_by(&self, way: Way) -> Client<Box<dyn Stream>> {
        let mut client = match way.tls {
            None => self.connect().boxed(),
            Some(TlsMode::StartTls) => {
                let mut client = self.connect();
                client.ask(b"EHLO x\r\nSTARTTLS\r\n", 220).await;
                client.ask(b"", 220).await;
                Self::secure(client).await
            }
            Some(TlsMode::Implicit) => Self::secure(self.open(TlsMode::Implicit)).await,
        };
        client.ask(b"EHLO x\r\n", 250).await;
        if way.login {
            let secret = base64::engine::general_purpose::STANDARD.encode("\0anna\0secret");
            client.ask(format!("AUTH PLAIN {secret}\r\n").as_bytes(), 235).await;
        }
        client
    }

    /// Begins TLS as a client, which the server expects now.
    pub(crate) async fn secure(client: Client<DuplexStream>) -> Client<Box<dyn Stream>> {
        let stream = tls::handshake(Box::new(client.into_stream())).await.unwrap();
        Client::new(Box::new(stream))
    }

    /// What the upstream has got when everything is sent.
    pub(crate) async fn sent(&self) -> Vec<Seen> {
        self.simulation.until_empty(secs(600)).await;
        self.upstream.messages()
    }
}
