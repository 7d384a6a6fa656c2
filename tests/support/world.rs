//! A relay without network and disk store: what a session needs, for tests.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use mailsluice::account::{AccountServices, Accounts};
use mailsluice::config::*;
use mailsluice::direct::{Direct, ExchangeRequest, Opening};
use mailsluice::lane::{LimitWaits, Wakeups};
use mailsluice::listen::tls;
use mailsluice::memory::MemoryBudget;
use mailsluice::policy::admission::Admission;
use mailsluice::policy::estimate::{Estimate, Sources};
use mailsluice::policy::pacing::Pacing;
use mailsluice::policy::test_mode::Switch;
use mailsluice::policy::users::{LoginSecret, Users};
use mailsluice::route::Router;
use mailsluice::session::{self, Door, Services};
use mailsluice::smtp::InstanceId;
use mailsluice::store::NewMessage;
use mailsluice::time::{SystemClock, Timeline};
use mailsluice::transform::Transformer;
use mailsluice::upstream::{Mailbox, TcpDial};
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::memory_store::MemoryStore;

/// Everything around a session. Change what the test is about, then [`connect`](World::connect).
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) store: MemoryStore,
    pub(crate) client: IpAddr,
    pub(crate) memory: u64,
    folder: tempfile::TempDir,
}

/// A session that runs.
pub(crate) struct Running {
    pub(crate) client: DuplexStream,
    pub(crate) session: JoinHandle<()>,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) memory: MemoryBudget,
    /// What is in force.
    #[allow(dead_code, reason = "not every test reloads")]
    pub(crate) door: Arc<ArcSwap<Door>>,
    pub(crate) folder: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let client = "127.0.0.1".parse().unwrap();
        let mut store = MemoryStore::default();
        store.content_dir = folder.path().join("content");
        Self { config, store, client, memory: 1 << 20, folder }
    }

    /// Starts a session on a pipe.
    pub(crate) async fn connect(self) -> Running {
        self.connect_with(None).await
    }

    /// The same, with other figures of what clients have done so far.
    pub(crate) async fn connect_with(self, pacing: Option<Arc<Pacing>>) -> Running {
        let (client, server) = tokio::io::duplex(64 * 1024);
        let ip = self.client;
        let (mut services, store, folder) = self.services().await;
        services.pacing = pacing.unwrap_or(services.pacing);
        let listener = Arc::new(services.config.listeners[0].clone());
        let tls = tls::load(&listener);
        let (stop, stopping) = watch::channel(false);
        let memory = services.memory.clone();
        let door = Arc::new(ArcSwap::from_pointee(Door { listener, tls, services: Arc::new(services) }));
        let session = tokio::spawn(session::run(server, ip, "test".into(), door.clone(), stopping));
        Running { client, session, stop, store, memory, door, folder }
    }

    /// What sessions share, the store behind it, and the folder that must outlive them.
    pub(crate) async fn services(self) -> (Services, Arc<MemoryStore>, tempfile::TempDir) {
        let config = Arc::new(self.config);
        let store = Arc::new(self.store);
        let timeline = Timeline::resume(Arc::new(SystemClock), None);
        let router = Arc::new(Router::new(&config));
        let wakeups = Arc::new(Wakeups::default());
        let services = AccountServices {
            store: store.clone(),
            timeline: timeline.clone(),
            wakeups: wakeups.clone(),
            dial: Arc::new(TcpDial::default()),
            instance: InstanceId::random(),
            sign_ins: Arc::default(),
        };
        let accounts = Accounts::new(services, router.clone());
        let mailbox = Arc::new(Mailbox::new(config.data_dir.join("captured"), 10));
        accounts.configure(&config, &[], &router, &mailbox);
        let sources = Sources {
            store: store.clone(),
            timeline: timeline.clone(),
            accounts: Arc::new(accounts),
            statuses: Arc::default(),
        };
        let services = Services {
            config: config.clone(),
            instance: InstanceId::random(),
            store: store.clone(),
            router,
            transformer: Arc::new(Transformer::new(&config, timeline.clone()).unwrap()),
            wakeups,
            limit_waits: LimitWaits::default(),
            test_mode: Arc::new(Switch::load(store.clone(), &config.test_mode).await.unwrap()),
            memory: MemoryBudget::new(self.memory),
            admission: Arc::new(Admission::new(&config)),
            users: Arc::new(Users::new(&config, LoginSecret::random(), timeline.clone())),
            estimate: Arc::new(Estimate::new(sources)),
            pacing: Arc::new(Pacing::new(timeline.clone())),
            timeline,
            metrics: Arc::default(),
            direct: Arc::new(Nowhere),
        };
        (services, store, self.folder)
    }
}

/// No session of such a world asks an upstream.
struct Nowhere;

impl Direct for Nowhere {
    fn attend(&self, opening: Opening, _asks: mpsc::Receiver<ExchangeRequest>) {
        unreachable!("the mode is queued: {opening:?}")
    }
}

impl Running {
    /// The content of a queued message, wherever it is.
    pub(crate) fn content(&self, message: &NewMessage) -> Vec<u8> {
        if let Some(octets) = message.content.octets() {
            return octets.to_vec();
        }
        let path = self.folder.path().join("content").join(message.queue_id.as_str());
        let octets = std::fs::read(path).unwrap();
        assert_eq!(octets.len() as u64, message.content.len());
        octets
    }

    /// The names of the files in the content folder.
    pub(crate) fn files(&self) -> Vec<String> {
        let Ok(folder) = std::fs::read_dir(self.folder.path().join("content")) else {
            return Vec::new();
        };
        folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn config(folder: &std::path::Path) -> Config {
    Config {
        hostname: "relay.example".into(),
        data_dir: folder.to_owned(),
        control_group: None,
        shutdown_grace: Duration::from_secs(8),
        timezone: jiff::tz::TimeZone::UTC,
        language: Language::English,
        watch: false,
        alert: AlertSettings::default(),
        dns: Dns::default(),
        complete_addresses: None,
        secrets: Secrets::default(),
        console: Console { address: None, is_named: true, hosts: vec![], metrics: MetricsAccess::default() },
        api_tokens: vec![],
        sign_ins: vec![],
        log: Log { format: LogFormat::Text, level: LogLevel::Info, subject: false },
        listeners: vec![Listener {
            address: "127.0.0.1:2525".parse().unwrap(),
            relay_from: vec!["127.0.0.0/8".parse().unwrap()],
            tls: None,
            auth: ServerAuth::None,
            auth_without_tls: false,
            proxy_protocol_from: vec![],
            mode: None,
        }],
        session: Session {
            max_message_size: ByteSize(2 << 20),
            max_recipients: 100,
            max_connections: 10,
            max_connections_per_client: 10,
            command_timeout: Duration::from_mins(5),
            data_timeout: Duration::from_mins(10),
            max_errors: 20,
            memory_budget: ByteSize(1 << 20),
            bare_newline: Newlines::Normalize,
            long_lines: LongLines::Wrap,
        },
        queue: Queue {
            mode: Mode::Queued,
            retry_min: Duration::from_mins(1),
            retry_max: Duration::from_hours(1),
            expire_after: Duration::from_hours(120),
            warn_after: None,
            max_messages: 1000,
            min_free_disk: ByteSize(0),
            bounce_to_sender: true,
            bounce_from: BounceFrom::Auto,
            bounce_copy_to: None,
        },
        test_mode: TestMode { enabled: false, action: TestAction::Redirect, address: None, capture_max: 10 },
        blacklist: Blacklist {
            action: BlacklistAction::Reject,
            auto_add: true,
            auto_add_after: 1,
            expire_after: None,
        },
        history: HistorySettings { entries: None, subject: false, contents: None },
        upstreams: vec![Arc::new(Upstream {
            name: "main".into(),
            default: true,
            enabled: true,
            filter: vec![],
            sender: None,
            sign: false,
            encode: TextEncoding::Unchanged,
            signature: None,
            kind: UpstreamKind::Capture(Capture { max: 10 }),
            accounts: vec![Login::anonymous(Limits::default())],
            shared_limits: SharedLimits::default(),
            limit_group: None,
            fallback: Fallback::default(),
            disable_after: 5,
        })],
        dkim: vec![],
        smime: vec![],
        signatures: vec![],
        users: vec![],
        rules: vec![],
    }
}
