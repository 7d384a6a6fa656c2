//! A relay without network and without waiting: real store, real lanes, scripted upstreams, and a clock that the test
//! drives (tokio's paused clock, under clocks that can be stepped).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use mailsluice::config::Config;
use mailsluice::lane::LaneStatus;
use mailsluice::mail::{Address, Body, MessageLabel, MessageRequest, QueueId, RecipientRequest, ReversePath};
use mailsluice::oauth::SignIns;
use mailsluice::policy::estimate::{Estimate, Sources};
use mailsluice::relay::Core;
use mailsluice::store::sqlite::{SqliteStore, Threading};
use mailsluice::store::{
    Admin, ClientInfo, Content, Decisions, Intake, LaneName, MessageKind, NewMessage, NewRecipient,
    NewSuspension, Priority, Recipients, Store, StoredLabel, SuspensionKind, Totals,
};
use mailsluice::time::Clock;
use mailsluice::upstream::{Dial, DialError, Dialled, Observer, Target};
use tokio::time::Instant;

use super::office365::Office365;
use super::upstream::Upstream;

/// Clocks that go with tokio's, and can be stepped.
pub struct TestClock {
    origin: Instant,
    hands: Mutex<Hands>,
}

struct Hands {
    wall_offset_ms: i64,
    boot: u32,
    booted: Instant,
}

impl TestClock {
    pub fn new() -> Arc<Self> {
        let now = Instant::now();
        let hands = Hands { wall_offset_ms: 1_795_000_000_000, boot: 1, booted: now };
        Arc::new(Self { origin: now, hands: Mutex::new(hands) })
    }

    /// Somebody sets the wall clock.
    pub fn step(&self, ms: i64) {
        self.hands.lock().unwrap().wall_offset_ms += ms;
    }

    /// The machine is started anew.
    pub fn reboot(&self) {
        let mut hands = self.hands.lock().unwrap();
        hands.boot += 1;
        hands.booted = Instant::now();
    }
}

impl Clock for TestClock {
    fn wall(&self) -> Timestamp {
        let elapsed = self.origin.elapsed().as_millis() as i64;
        Timestamp::from_millisecond(self.hands.lock().unwrap().wall_offset_ms + elapsed).unwrap()
    }

    fn since_boot(&self) -> Duration {
        self.hands.lock().unwrap().booted.elapsed()
    }

    fn boot_id(&self) -> String {
        self.hands.lock().unwrap().boot.to_string()
    }
}

/// A server that can be reached without a network.
pub trait Host {
    fn way(&self) -> Arc<dyn Dial>;
}

impl Host for Upstream {
    fn way(&self) -> Arc<dyn Dial> {
        self.dial()
    }
}

impl Host for Office365 {
    fn way(&self) -> Arc<dyn Dial> {
        self.dial()
    }
}

/// The ways to servers, by host name.
#[derive(Clone, Default)]
pub struct Hosts(pub BTreeMap<String, Arc<dyn Dial>>);

#[async_trait]
impl Dial for Hosts {
    async fn dial(
        &self,
        target: &Target,
        deadline: Instant,
        observer: &Observer,
    ) -> Result<Dialled, DialError> {
        match self.0.get(&target.host) {
            Some(way) => way.dial(target, deadline, observer).await,
            None => Err(DialError::Unresolved { host: target.host.clone(), reason: "no such host".into() }),
        }
    }
}

/// A relay that can be stopped, killed and started again on the same folder.
pub struct Simulation {
    pub dir: tempfile::TempDir,
    pub clock: Arc<TestClock>,
    pub hosts: Hosts,
    /// Where tokens come from.
    pub sign_ins: Arc<SignIns>,
    pub config: Arc<Config>,
    pub core: Option<Core>,
    pub store: Option<Arc<SqliteStore>>,
    /// How the store runs its writes; [`Threading::Writer`] wants a [`Pacer`](super::pacer::Pacer).
    pub threading: Threading,
    next: u32,
}

impl Simulation {
    /// A relay with this configuration, not running yet. `hosts` are its upstreams by host name.
    pub fn new(toml: &str, hosts: &[(&str, &dyn Host)]) -> Self {
        let dir = folder();
        let config = read(toml, dir.path());
        let hosts = hosts.iter().map(|(name, host)| ((*name).to_owned(), host.way()));
        Self {
            dir,
            clock: TestClock::new(),
            hosts: Hosts(hosts.collect()),
            sign_ins: Arc::default(),
            config,
            core: None,
            store: None,
            threading: Threading::Caller,
            next: 0,
        }
    }

    /// Another configuration, from the next start on.
    pub fn configure(&mut self, toml: &str) {
        self.config = read(toml, self.dir.path());
    }

    /// The store, while no relay runs.
    pub fn open_store(&self) -> SqliteStore {
        let (folder, clock) = (&self.config.data_dir, self.clock.clone());
        SqliteStore::open(folder, 1_000_000, self.threading, clock).unwrap()
    }

    pub async fn start(&mut self) {
        let store = Arc::new(self.open_store());
        self.store = Some(store.clone());
        let core = Core::start(
            self.config.clone(),
            store,
            Arc::new(self.hosts.clone()),
            self.sign_ins.clone(),
            || {},
        )
        .await;
        self.core = Some(core.unwrap());
    }

    /// SIGHUP with another configuration.
    pub async fn reload(&mut self, toml: &str) {
        self.configure(toml);
        let core = self.core.as_mut().unwrap();
        let prepared = core.prepare(self.config.clone()).unwrap();
        core.reload(prepared).await.unwrap();
    }

    /// SIGTERM.
    pub async fn stop(&mut self) {
        self.core.take().unwrap().stop(Duration::from_secs(7)).await;
        self.gone().await;
    }

    /// kill -9: every task ends where it stands.
    pub async fn kill(&mut self) {
        drop(self.core.take());
        self.gone().await;
    }

    /// So much time passes while no relay runs: what was written down counts, and a month costs nothing.
    pub async fn pass_stopped(&mut self, time: Duration) {
        self.stop().await;
        tokio::time::sleep(time).await;
        self.start().await;
    }

    async fn gone(&mut self) {
        let store = Arc::downgrade(&self.store.take().unwrap());
        // Tasks that were told to end are dropped when they are next polled.
        for _ in 0..10_000 {
            if store.strong_count() == 0 {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("something still holds the store");
    }

    pub fn store(&self) -> &dyn Store {
        self.store.as_deref().unwrap()
    }

    pub async fn totals(&self) -> Totals {
        self.store().totals().await.unwrap()
    }

    /// What tells when mail will go. It holds the store: to be dropped before the relay ends.
    pub fn estimate(&self) -> Estimate {
        let context = &self.core.as_ref().unwrap().context;
        Estimate::new(Sources {
            store: context.store.clone(),
            timeline: context.timeline.clone(),
            accounts: context.accounts.clone(),
            statuses: context.statuses.clone(),
        })
    }

    /// A person switches an upstream off.
    pub async fn switch_off(&self, upstream: &str) {
        let suspension = NewSuspension {
            upstream: upstream.into(),
            account: None,
            kind: SuspensionKind::Disabled,
            login: None,
            lasts: None,
            reason: "disabled by hand".into(),
        };
        self.core.as_ref().unwrap().context.accounts.suspend(suspension).await.unwrap();
    }

    /// A person switches it on again.
    pub async fn switch_on(&self, upstream: &str) {
        let accounts = &self.core.as_ref().unwrap().context.accounts;
        accounts.resume(Some(upstream), &[SuspensionKind::Disabled]).await.unwrap();
    }

    /// How a lane is.
    pub fn lane(&self, upstream: &str) -> LaneStatus {
        self.core.as_ref().unwrap().context.statuses.of(&LaneName::of_upstream(upstream)).unwrap()
    }

    /// Hands a message in as a session of another client would: each address has its turn.
    pub async fn submit_by(&mut self, client: &str, from: &str, to: &[&str]) -> QueueId {
        let mut message = self.message(from, to);
        client.clone_into(&mut message.client.address);
        self.enqueue(message).await
    }

    /// Hands a message in as a session would.
    pub async fn submit(&mut self, from: &str, to: &[&str]) -> QueueId {
        let message = self.message(from, to);
        self.enqueue(message).await
    }

    /// Hands in a message that a test has made.
    pub async fn enqueue(&self, message: NewMessage) -> QueueId {
        let id = message.queue_id.clone();
        let lane = message.lane.clone();
        self.store().enqueue(message).await.unwrap();
        self.core.as_ref().unwrap().context.wakeups.wake(&lane);
        id
    }

    /// A message as a session makes it.
    pub fn message(&mut self, from: &str, to: &[&str]) -> NewMessage {
        self.next += 1;
        let core = self.core.as_ref().unwrap();
        let context = &core.context;
        let (now, wall) = (context.timeline.now(), context.timeline.wall().as_millisecond());
        let lane = context.router.lane(from).unwrap_or_else(LaneName::unrouted);
        let text = format!(
            "From: {from}\r\nTo: {}\r\nSubject: number {}\r\nMessage-ID: <{}@test>\r\n\r\nHello.\r\n",
            to.join(", "),
            self.next,
            self.next
        );
        let reverse_path = if from.is_empty() {
            ReversePath::Null
        } else {
            ReversePath::Address(Address::parse(from).unwrap())
        };
        NewMessage {
            queue_id: QueueId::new(wall, self.next),
            kind: MessageKind::Submitted,
            priority: Priority::Normal,
            limit_wait: context.limit_waits.of(&lane, now),
            delay: Duration::ZERO,
            lane,
            reverse_path,
            sender: from.to_lowercase(),
            body: Body::SevenBit,
            smtputf8: false,
            request: MessageRequest::default(),
            client: ClientInfo { address: "127.0.0.1".into(), ..ClientInfo::default() },
            decisions: Decisions { test: core.test_mode.for_message(false), ..Decisions::default() },
            held: false,
            label: StoredLabel::new(&MessageLabel::of(text.as_bytes()), context.config.history.subject),
            recipients: recipients(to),
            content: Content::memory(text.into_bytes()),
        }
    }

    /// Lets the simulated time pass until `done`, looking every `step`; fails after `most`.
    pub async fn until(&self, most: Duration, step: Duration, mut done: impl AsyncFnMut(&Self) -> bool) {
        let start = Instant::now();
        while !done(self).await {
            assert!(
                start.elapsed() < most,
                "not done after {:?}: {:?}",
                start.elapsed(),
                self.totals().await
            );
            tokio::time::sleep(step).await;
        }
    }

    /// Lets the simulated time pass until the queue is empty.
    pub async fn until_empty(&self, most: Duration) {
        self.until(most, Duration::from_millis(500), async |sim| sim.store().queue_length() == 0).await;
    }
}

/// Recipients of whom nothing else is asked.
pub fn recipients(to: &[&str]) -> Recipients {
    let recipient = |to: &&str| NewRecipient {
        address: Address::parse(to).unwrap(),
        dropped: false,
        copy: false,
        request: RecipientRequest::default(),
    };
    Recipients::new(to.iter().map(recipient).collect()).unwrap()
}

/// In memory where there is room: here the relay is killed, never the machine, and a disk only takes time.
fn folder() -> tempfile::TempDir {
    const MEMORY: &str = "/dev/shm";
    const ROOM: u64 = 2 << 30;
    let has_room =
        rustix::fs::statvfs(MEMORY).is_ok_and(|facts| facts.f_bavail.saturating_mul(facts.f_frsize) >= ROOM);
    let in_memory = if has_room { tempfile::tempdir_in(MEMORY).ok() } else { None };
    in_memory.unwrap_or_else(|| tempfile::tempdir().unwrap())
}

fn read(toml: &str, dir: &Path) -> Arc<Config> {
    Arc::new(Config::from_toml(toml, dir).unwrap().config)
}

/// `seconds` as a duration.
pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
