//! A relay's sign-ins, the store in which they last, and all that they say.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use super::provider::{Rotation, TokenProvider};
use crate::config::Config;
use crate::oauth::grant::{SignInGrant, client_fingerprint};
use crate::oauth::sign_ins::SignIns;
use crate::oauth::token::{Resource, TokenHandle};
use crate::store::sqlite::{SqliteStore, Threading};
use crate::store::{NewGrant, SignInStore, StoreError, StoredGrant, StoredToken, Upkeep as _};
use crate::time::{Clock, Timeline};

/// The clock that tests drive.
struct PausedClock(Instant);

impl Clock for PausedClock {
    fn wall(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap() + self.0.elapsed()
    }

    fn since_boot(&self) -> Duration {
        self.0.elapsed()
    }

    fn boot_id(&self) -> String {
        "test".to_owned()
    }
}

/// The store in a folder, which may fail to save.
pub(super) struct FailingStore {
    store: Mutex<Option<Arc<SqliteStore>>>,
    fails: AtomicBool,
}

impl FailingStore {
    fn store(&self) -> Arc<SqliteStore> {
        self.store.lock().unwrap().clone().unwrap()
    }

    fn is_in_use(&self) -> bool {
        self.store.lock().unwrap().as_ref().is_some_and(|store| Arc::strong_count(store) > 1)
    }

    pub(super) fn break_saves(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }
}

#[async_trait]
impl SignInStore for FailingStore {
    async fn grants(&self) -> Result<Vec<StoredGrant>, StoreError> {
        self.store().grants().await
    }

    async fn save_grant(&self, grant: NewGrant) -> Result<StoredGrant, StoreError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(StoreError::Broken("the disk is on fire".to_owned()));
        }
        self.store().save_grant(grant).await
    }
}

/// All that was logged.
#[derive(Clone, Default)]
pub(super) struct HeardLog(Arc<Mutex<String>>);

impl HeardLog {
    pub(super) fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    pub(super) fn holds_no(&self, canary: &str) {
        let text = self.text();
        assert!(text.contains("token_renewed"), "it listens: {text}");
        assert!(!text.contains(canary), "{text}");
    }
}

impl<S: tracing::Subscriber> Layer<S> for HeardLog {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        struct EventLine<'a>(&'a mut String);
        impl Visit for EventLine<'_> {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                let _ = write!(self.0, "{field}={value:?} ");
            }
        }
        let mut text = self.0.lock().unwrap();
        event.record(&mut EventLine(&mut text));
        text.push('\n');
    }
}

pub(super) struct World {
    folder: tempfile::TempDir,
    clock: Arc<PausedClock>,
    pub(super) provider: Arc<TokenProvider>,
    pub(super) store: Arc<FailingStore>,
    pub(super) sign_ins: SignIns,
    pub(super) key: Option<u8>,
    pub(super) client: &'static str,
    pub(super) log: HeardLog,
    _listening: DefaultGuard,
}

impl World {
    pub(super) async fn new(rotation: Rotation) -> Self {
        let log = HeardLog::default();
        let listening = tracing::subscriber::set_default(tracing_subscriber::registry().with(log.clone()));
        let provider = Arc::new(TokenProvider::new(rotation));
        let mut world = Self {
            folder: tempfile::tempdir().unwrap(),
            clock: Arc::new(PausedClock(Instant::now())),
            sign_ins: SignIns::new(provider.clone()),
            provider,
            store: Arc::new(FailingStore { store: Mutex::default(), fails: AtomicBool::new(false) }),
            key: None,
            client: "id",
            log,
            _listening: listening,
        };
        world.die().await;
        world
    }

    /// Everything ends at once, and another process begins.
    pub(super) async fn die(&mut self) {
        self.sign_ins = SignIns::new(self.provider.clone());
        // Tasks that were aborted let go of the store at their next turn.
        while self.store.is_in_use() {
            tokio::task::yield_now().await;
        }
        *self.store.store.lock().unwrap() = None;
        let clock: Arc<dyn Clock> = self.clock.clone();
        let store = SqliteStore::open(self.folder.path(), 10, Threading::Caller, clock).unwrap();
        store.note_clock().await.unwrap();
        *self.store.store.lock().unwrap() = Some(Arc::new(store));
        self.configure();
    }

    fn config(&self, sign_ins: &str) -> Config {
        let key = |key: u8| format!("[secrets]\nkey = \"{}\"\n", STANDARD.encode([key; 32]));
        let key = self.key.map_or_else(String::new, key);
        let text = format!("{key}[[upstream]]\nname = \"x\"\nkind = \"capture\"\n{sign_ins}");
        Config::from_toml(&text, Path::new("/")).unwrap().config
    }

    /// Puts the configuration in force.
    pub(super) fn configure(&self) {
        self.follow(&self.configured());
    }

    fn configured(&self) -> Config {
        let client = self.client;
        self.config(&format!(
            "[[oauth]]\nname = \"m365\"\nprovider = \"microsoft\"\ntenant = \"t\"\nclient_id = \"{client}\"\n\
             flow = \"device_code\"\n"
        ))
    }

    /// Puts a configuration without sign-ins in force.
    pub(super) fn configure_nothing(&self) {
        self.follow(&self.config(""));
    }

    fn follow(&self, config: &Config) {
        let timeline: Timeline = self.store.store().timeline().clone();
        let store: Arc<dyn SignInStore> = self.store.clone();
        self.sign_ins.configure(config, &store, &timeline);
    }

    /// A person signs in.
    pub(super) async fn sign_in(&self) {
        let account = Some("a@firm.example".to_owned());
        let grant = SignInGrant { token: self.provider.grant().into(), account };
        let client = client_fingerprint(&self.configured().sign_ins[0]);
        self.sign_ins.accept("m365", &client, grant).await.unwrap();
    }

    pub(super) fn handle(&self) -> TokenHandle {
        self.sign_ins.handle("m365", Resource::Smtp)
    }

    pub(super) async fn stored(&self) -> StoredToken {
        self.store.grants().await.unwrap().remove(0).token
    }
}
