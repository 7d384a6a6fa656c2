//! The part of a relay that does not depend on sockets and signals: it takes what is in the store and delivers it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::error::RelayError;
use super::{housekeeping, restored};
use crate::account::{AccountServices, Accounts};
use crate::alert::{AlertServices, Alerts};
use crate::config::Config;
use crate::deliver::{Context, DirectService, Exchanges, Lanes, Phase};
use crate::lane::{LaneStatuses, LimitWaits, Wakeups};
use crate::memory::MemoryBudget;
use crate::oauth::SignIns;
use crate::policy::kept_switches::KeptSwitches;
use crate::policy::test_mode::{Switch, users_in_test};
use crate::policy::users::LoginSecret;
use crate::route::{Router, own_upstreams};
use crate::sent_copy::Copiers;
use crate::smtp::InstanceId;
use crate::store::{CutOff, DoubtPauses, HistoryRules, Orphans, SignInStore, Store, StoreError, Suspension};
use crate::time::Moment;
use crate::transform::Transformer;
use crate::upstream::{Dial, Mailbox};

/// How long what was broken off has to be written down.
pub(super) const STORE_GRACE: Duration = Duration::from_secs(1);

/// The lanes of all upstreams, and what they share.
///
/// The dialler and the store, with its clock, are handed in, so that a test can stand in for the world.
pub struct Core {
    /// What all lanes share, by the configuration in force.
    pub context: Arc<Context>,
    /// Takes messages through while their clients wait, by the configuration in force.
    pub direct: Arc<DirectService>,
    /// The test mode switch.
    pub test_mode: Arc<Switch>,
    /// Switches that the configuration file could not take.
    pub kept_switches: Arc<KeptSwitches>,
    /// What logins are hashed with.
    pub login_secret: LoginSecret,
    /// When it was started.
    pub started: Moment,
    /// Where tokens come from.
    pub sign_ins: Arc<SignIns>,
    /// What a person must know, and who is told.
    pub alerts: Arc<Alerts>,
    /// Who it is: its listeners announce it, and its upstreams must not.
    pub instance: InstanceId,
    phase: watch::Sender<Phase>,
    lanes: Lanes,
    /// What goes through while clients wait.
    exchanges: Exchanges,
    /// Put copies of what was sent into Sent folders.
    copiers: Copiers,
    /// Keeps the house, and moves mail to the lanes where it belongs.
    house: JoinSet<()>,
}

/// A configuration that can be put in force.
pub struct PreparedConfig {
    config: Arc<Config>,
    transformer: Arc<Transformer>,
    router: Arc<Router>,
}

impl Core {
    /// Recovers what a predecessor left and starts a lane for each upstream. `log_written` waits until what was said so far stands
    /// in the log, where that must be before it goes on.
    ///
    /// # Errors
    /// When the store or a DKIM key can't be used.
    pub async fn start(
        config: Arc<Config>,
        store: Arc<dyn Store>,
        dial: Arc<dyn Dial>,
        sign_ins: Arc<SignIns>,
        log_written: impl FnOnce(),
    ) -> Result<Self, RelayError> {
        let limit_waits = restored_waits(&*store).await?;
        recover(&*store, &config, log_written).await?;
        let (phase, watched) = watch::channel(Phase::Running);
        let test_mode = Arc::new(Switch::load(store.clone(), &config.test_mode).await?);
        let suspensions = store.suspensions().await?;
        let instance = InstanceId::random();
        let parts =
            Parts { config, store, dial, sign_ins: sign_ins.clone(), instance, limit_waits, phase: watched };
        let context = Arc::new(parts.context()?);
        let exchanges = Exchanges::default();
        // It knows no accounts yet; `configure` makes another one.
        let direct = Arc::new(DirectService::new(context.clone(), exchanges.clone()));
        let core = Self {
            started: context.timeline.now(),
            direct,
            test_mode,
            kept_switches: Arc::default(),
            login_secret: LoginSecret::load(&*context.store).await?,
            alerts: alerts(&context, &sign_ins),
            context,
            sign_ins,
            instance,
            phase,
            lanes: Lanes::default(),
            exchanges,
            copiers: Copiers::default(),
            house: JoinSet::new(),
        };
        Ok(core.begun(&suspensions))
    }

    /// Sends, from now on, by what a former process has stored.
    fn begun(mut self, suspensions: &[Suspension]) -> Self {
        self.configure_accounts();
        self.context.accounts.restore(suspensions);
        self.begin_sending();
        self.retry_after_reading();
        self.keep_house();
        self
    }

    fn keep_house(&mut self) {
        self.house.spawn(housekeeping::run(self.context.clone()));
        self.house.spawn(housekeeping::move_unserved(self.context.clone()));
        self.house.spawn(housekeeping::examine(self.context.clone()));
        self.house.spawn(housekeeping::tell_alerts(self.context.phase.clone(), self.alerts.clone()));
    }

    /// Makes of another configuration what is not in force yet, and changes nothing.
    ///
    /// # Errors
    /// When a key to sign with can't be used.
    pub fn prepare(&self, config: Arc<Config>) -> Result<PreparedConfig, RelayError> {
        let transformer = Arc::new(Transformer::new(&config, self.context.timeline.clone())?);
        let router = Arc::new(Router::new(&config));
        Ok(PreparedConfig { config, transformer, router })
    }

    /// Puts another configuration in force: queued mail follows it, attempts that are under way end by the old one.
    /// Accounts keep their connections, counts and condition.
    ///
    /// # Errors
    /// When the store can't be used: then the old configuration stays in force.
    pub async fn reload(&mut self, prepared: PreparedConfig) -> Result<(), RelayError> {
        let PreparedConfig { config, transformer, router } = prepared;
        if let Some(switched) = self.test_mode.follow(&config.test_mode).await? {
            switched.log();
        }
        if !users_in_test(&config.users).eq(users_in_test(&self.context.config.users)) {
            self.test_mode.state().log_users(&config.users);
        }
        self.context.memory.resize(config.session.memory_out());
        let before = (*self.context).clone();
        self.context = Arc::new(Context { config, router, transformer, ..before });
        self.configure_accounts();
        self.alerts.follow(self.context.config.clone(), self.context.router.clone());
        self.begin_sending();
        self.retry_after_reading();
        Ok(())
    }

    /// Nobody waits for it: it takes a moment for each login that was refused.
    fn retry_after_reading(&mut self) {
        let accounts = self.context.accounts.clone();
        self.house.spawn(async move { accounts.retry_after_reading().await });
    }

    fn configure_accounts(&self) {
        let Context { config, store, timeline, .. } = &*self.context;
        store.set_history(HistoryRules::new(&config.history, config.queue.min_free_disk));
        // They come first: accounts ask for their tokens.
        let grants: Arc<dyn SignInStore> = store.clone();
        self.sign_ins.configure(config, &grants, timeline);
        configure_accounts(&self.context);
    }

    fn begin_sending(&mut self) {
        self.direct = Arc::new(DirectService::new(self.context.clone(), self.exchanges.clone()));
        let config = self.context.config.clone();
        let all: Vec<_> = config.upstreams.iter().cloned().chain(own_upstreams(&config)).collect();
        self.lanes.configure(&self.context, &all);
        self.copiers.configure(&self.context);
        // Nobody waits for it: mail of lanes that are no more is moved in the background.
        self.context.wakeups.call_unserved();
    }

    /// Stops sending: what is under way may end within `grace`, then it is broken off and handed back.
    pub async fn stop(mut self, grace: Duration) {
        self.phase.send_replace(Phase::Finishing);
        if tokio::time::timeout(grace, self.all_ended()).await.is_err() {
            self.phase.send_replace(Phase::Stopping);
            let _ = tokio::time::timeout(STORE_GRACE, self.all_ended()).await;
        }
        self.house.shutdown().await;
        self.sign_ins.stop(STORE_GRACE).await;
        let noted = self.context.store.note_clock();
        if let Ok(Err(error)) = tokio::time::timeout(STORE_GRACE, noted).await {
            tracing::error!(event = "store", reason = %error);
        }
    }

    /// Waits for a lane, or somebody who keeps the house, to end by a fault of ours: it must not go unseen.
    pub async fn failed(&mut self) -> String {
        loop {
            let ended = tokio::select! {
                Some(ended) = self.lanes.ended() => ended,
                Some(ended) = self.house.join_next() => ended,
                else => std::future::pending().await,
            };
            if let Err(error) = ended
                && error.is_panic()
            {
                return error.to_string();
            }
        }
    }

    async fn all_ended(&mut self) {
        while self.lanes.ended().await.is_some() {}
        self.exchanges.ended().await;
    }
}

/// What a context is made of.
pub(super) struct Parts {
    pub(super) config: Arc<Config>,
    pub(super) store: Arc<dyn Store>,
    pub(super) dial: Arc<dyn Dial>,
    pub(super) sign_ins: Arc<SignIns>,
    pub(super) instance: InstanceId,
    pub(super) limit_waits: LimitWaits,
    pub(super) phase: watch::Receiver<Phase>,
}

impl Parts {
    /// What all lanes share. Nothing is begun yet, and no accounts are known.
    pub(super) fn context(self) -> Result<Context, RelayError> {
        let Self { config, store, dial, sign_ins, instance, limit_waits, phase } = self;
        let timeline = store.timeline().clone();
        let transformer = Arc::new(Transformer::new(&config, timeline.clone())?);
        let router = Arc::new(Router::new(&config));
        let wakeups = Arc::new(Wakeups::default());
        let services = AccountServices {
            store: store.clone(),
            timeline: timeline.clone(),
            wakeups: wakeups.clone(),
            dial,
            instance,
            sign_ins,
        };
        let accounts = Arc::new(Accounts::new(services, router.clone()));
        Ok(Context {
            memory: MemoryBudget::new(config.session.memory_out()),
            config,
            router,
            transformer,
            store,
            timeline,
            wakeups,
            statuses: Arc::new(LaneStatuses::default()),
            limit_waits,
            outcomes: Arc::default(),
            accounts,
            metrics: Arc::default(),
            phase,
        })
    }
}

/// Tells the accounts of a context its configuration.
pub(super) fn configure_accounts(context: &Context) {
    let Context { config, router, accounts, metrics, .. } = context;
    let folder = config.data_dir.join("captured");
    let mailbox = Arc::new(Mailbox::new(folder, config.test_mode.capture_max));
    accounts.configure(config, &own_upstreams(config), router, &mailbox);
    let names = config.upstreams.iter().map(|upstream| &*upstream.name);
    let all: Vec<_> = names.flat_map(|name| accounts.of(name)).collect();
    metrics.configure(all.iter().map(|account| account.counted()));
}

/// Who tells what a person must know.
pub(super) fn alerts(context: &Context, sign_ins: &Arc<SignIns>) -> Arc<Alerts> {
    let services = AlertServices {
        store: context.store.clone(),
        timeline: context.timeline.clone(),
        accounts: context.accounts.clone(),
        sign_ins: sign_ins.clone(),
        statuses: context.statuses.clone(),
        limit_waits: context.limit_waits.clone(),
        wakeups: context.wakeups.clone(),
        http: sign_ins.http(),
    };
    Arc::new(Alerts::new(services, context.config.clone(), context.router.clone()))
}

/// How long lanes have waited for limits, as a predecessor has noted it.
pub(super) async fn restored_waits(store: &dyn Store) -> Result<LimitWaits, StoreError> {
    let limit_waits = LimitWaits::default();
    for (lane, waited) in store.limit_waits().await? {
        limit_waits.restore(lane, waited);
    }
    Ok(limit_waits)
}

/// Says what may come twice, and voids the leases of a dead predecessor. `log_written` waits until what was said stands in the
/// log: should we die in between, the next start says it again.
async fn recover(store: &dyn Store, config: &Config, log_written: impl FnOnce()) -> Result<(), StoreError> {
    let pauses = DoubtPauses::new(&config.upstreams);
    let cut_off = store.cut_off(pauses.clone()).await?;
    for CutOff { queue_id, upstream, again_in } in &cut_off {
        let timeline = store.timeline();
        let next = again_in.map(|rest| timeline.wall_at(timeline.now().after(rest)));
        let next = next.map(tracing::field::display);
        let reason = "its last attempt was cut off, or about to begin: possible duplicate";
        tracing::warn!(event = "recovered", %queue_id, upstream, next, reason);
    }
    if !cut_off.is_empty() {
        log_written();
    }
    let recovered = store.recover(pauses).await?;
    let Orphans { removed, aside, folder } = &recovered.orphans;
    if *removed > 0 {
        let reason = "contents that were never acknowledged, or whose messages had left the queue: removed";
        tracing::info!(event = "recovered", files = removed, reason);
    }
    if !aside.is_empty() {
        tracing::warn!(
            event = "orphaned",
            files = aside.len(),
            path = %folder.display(),
            reason = "contents that no message in the queue claims: a commit was cut off, or the queue is older than they are",
            effect = "they were moved there, and stay",
            action = "if queue.db was restored from a backup, send by hand what is missing; else remove them"
        );
    }
    restored::begin(store, config).await?;
    store.note_clock().await
}
