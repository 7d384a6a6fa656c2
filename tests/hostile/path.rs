//! The whole way in memory: session, store on disk, lane, and a lax upstream that takes anything for an end of data.

use std::sync::Arc;

use mailsluice::policy::admission::Admission;
use mailsluice::session::{self, Peer, Services};
use tokio::io::DuplexStream;
use tokio::sync::watch;

use crate::client::Client;
use crate::support::simulation::{Simulation, secs};
use crate::support::upstream::{Script, Seen, Upstream};
use crate::world::World;

const CONFIG: &str = r#"
hostname = "relay.example"
[[listener]]
address = "127.0.0.1:2525"
[[upstream]]
name = "main"
host = "up"
security = "none"
"#;

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
        let upstream = Upstream::new(Script { lax: true, ..Script::default() });
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
        let (stop, _) = watch::channel(false);
        Self { simulation, services: Arc::new(services), stop, upstream, _folder: folder }
    }

    /// A new session from this machine, which may relay.
    pub(crate) fn connect(&self) -> Client<DuplexStream> {
        let (client, server) = tokio::io::duplex(64 * 1024);
        let listener = Arc::new(self.services.config.listeners[0].clone());
        let peer = Peer { ip: "127.0.0.1".parse().unwrap(), session_id: "test".into(), listener };
        tokio::spawn(session::run(server, peer, self.services.clone(), self.stop.subscribe()));
        Client::new(client)
    }

    /// What the upstream has got when everything is sent.
    pub(crate) async fn sent(&self) -> Vec<Seen> {
        self.simulation.until_empty(secs(600)).await;
        self.upstream.messages()
    }
}
