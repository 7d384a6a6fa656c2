//! All accounts, by name: made once, kept over reloads.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::Mutex as AsyncMutex;

use super::candidates::Candidates;
use super::login::{Account, GroupState, UpstreamState};
use super::pool::SharedPool;
use super::refused_login::LoginParts;
use super::settings::{AccountSettings, ConfiguredAccount, SettingsSources};
use super::tasks::{BackgroundTasks, Spawner};
use super::token_watch::watch_token;
use crate::config::{Config, Fallback, Upstream, UpstreamKind};
use crate::lane::Wakeups;
use crate::limits::{AccountKey, SHARED};
use crate::mail::AddressKey;
use crate::oauth::SignIns;
use crate::route::Router;
use crate::smtp::InstanceId;
use crate::store::{LaneKind, LaneName, NewSuspension, Store, StoreError, Suspension, SuspensionKind};
use crate::time::{Moment, Timeline};
use crate::upstream::{Dial, DialogueHub, Mailbox};

/// All accounts of all upstreams.
pub struct Accounts {
    pub(super) store: Arc<dyn Store>,
    pub(super) timeline: Timeline,
    pub(super) wakeups: Arc<Wakeups>,
    dial: Arc<dyn Dial>,
    instance: InstanceId,
    sign_ins: Arc<SignIns>,
    pub(super) router: ArcSwap<Router>,
    registry: Mutex<Registry>,
    tasks: Arc<BackgroundTasks>,
    /// A suspension is stored and put in force as one step: two that cross each other would leave what neither wanted.
    changing: AsyncMutex<()>,
}

#[derive(Default)]
struct Registry {
    /// Every account that was ever configured: one that comes back finds its connections, counts and condition.
    known: HashMap<AccountKey, Arc<Account>>,
    states: HashMap<Arc<str>, Arc<UpstreamState>>,
    /// The connections of each limit group that was ever configured.
    groups: HashMap<String, Arc<SharedPool>>,
    /// What is configured now.
    upstreams: HashMap<Arc<str>, Members>,
    /// Counts configurations.
    epoch: u64,
}

/// The accounts of one upstream, in the order of the configuration.
#[derive(Default)]
struct Members {
    all: Vec<Arc<Account>>,
    /// Those that serve their own address alone, by that address.
    bound: HashMap<AddressKey, Arc<Account>>,
    /// The others.
    free: Vec<Arc<Account>>,
}

/// What accounts work with; handed in.
pub struct AccountServices {
    /// Where suspensions last.
    pub store: Arc<dyn Store>,
    /// The present moment.
    pub timeline: Timeline,
    /// Wakes lanes when their upstream answers again.
    pub wakeups: Arc<Wakeups>,
    /// Reaches upstreams.
    pub dial: Arc<dyn Dial>,
    /// Who we are: an upstream that says that it is this one is ourselves.
    pub instance: InstanceId,
    /// Where tokens come from.
    pub sign_ins: Arc<SignIns>,
}

impl Accounts {
    /// No accounts yet; [`Accounts::configure`] makes them.
    #[must_use]
    pub fn new(services: AccountServices, router: Arc<Router>) -> Self {
        let AccountServices { store, timeline, wakeups, dial, instance, sign_ins } = services;
        Self {
            store,
            timeline,
            wakeups,
            dial,
            instance,
            sign_ins,
            router: ArcSwap::new(router),
            registry: Mutex::default(),
            tasks: Arc::default(),
            changing: AsyncMutex::new(()),
        }
    }

    /// Puts a configuration in force: accounts that are there get its settings, others are made, and those that it does
    /// not have end what is under way. `extra` are upstreams beside those of the configuration.
    pub fn configure(
        &self,
        config: &Config,
        extra: &[Arc<Upstream>],
        router: &Arc<Router>,
        mailbox: &Arc<Mailbox>,
    ) {
        let before = self.router.swap(router.clone());
        if !Arc::ptr_eq(&before, router) {
            before.retire();
        }
        let sign_ins = &self.sign_ins;
        let sources =
            SettingsSources { config, dial: &self.dial, instance: self.instance, mailbox, sign_ins };
        let mut registry = self.registry();
        registry.epoch += 1;
        let known: Vec<Arc<Account>> = registry.known.values().cloned().collect();
        registry.upstreams.clear();
        for upstream in config.upstreams.iter().chain(extra) {
            registry.add(&sources, upstream, &self.tasks.spawner());
        }
        registry.join_groups(config);
        let configured: HashSet<&AccountKey> = registry
            .upstreams
            .values()
            .flat_map(|members| &members.all)
            .map(|account| account.key())
            .collect();
        let is_gone = |account: &&Arc<Account>| !configured.contains(account.key());
        known.iter().filter(is_gone).for_each(|account| account.pool.set_epoch(registry.epoch));
        drop(registry);
        for account in self.all() {
            watch_token(&account, &self.timeline, &self.wakeups, &self.tasks.spawner());
            account.wake_all();
        }
    }

    /// Which upstream serves a sender, by the configuration in force.
    #[must_use]
    pub fn router(&self) -> Arc<Router> {
        self.router.load_full()
    }

    /// By what the mail of an upstream goes, or that of the sender to whom one of its accounts is bound.
    #[must_use]
    pub fn candidates(&self, upstream: &Upstream, bound_to: Option<&str>) -> Candidates {
        self.candidates_among(upstream, bound_to, |_| true)
    }

    /// The same without what keeps mail on this machine: for mail whose client waits.
    #[must_use]
    pub fn direct_candidates(&self, upstream: &Upstream, bound_to: Option<&str>) -> Candidates {
        let leaves =
            |account: &Account| !matches!(account.settings().upstream.kind, UpstreamKind::Capture(_));
        self.candidates_among(upstream, bound_to, leaves)
    }

    fn candidates_among(
        &self,
        upstream: &Upstream,
        bound_to: Option<&str>,
        fits: impl Fn(&Account) -> bool,
    ) -> Candidates {
        let registry = self.registry();
        let own = registry.accounts(&upstream.name, bound_to);
        // Another upstream takes mail of any sender that its accounts are not bound against.
        let others = upstream.fallback.upstreams.iter().map(|name| registry.accounts(name, None));
        let others = others.filter(|accounts| accounts.iter().all(|account| fits(account))).collect();
        let fallback: Fallback = upstream.fallback.clone();
        Candidates::new(own, others, fallback)
    }

    /// The accounts of an upstream, in the order of the configuration.
    #[must_use]
    pub fn of(&self, upstream: &str) -> Vec<Arc<Account>> {
        self.registry().upstreams.get(upstream).map(|members| members.all.clone()).unwrap_or_default()
    }

    /// Where the connections of an upstream can be listened to; `None` when none of that name was ever configured.
    #[must_use]
    pub fn dialogue(&self, upstream: &str) -> Option<Arc<DialogueHub>> {
        self.registry().states.get(upstream).map(|state| state.dialogue.clone())
    }

    /// The accounts by which a lane's mail goes: the one that is bound to its sender, else all that are bound to nobody.
    #[must_use]
    pub fn of_lane(&self, lane: &LaneName) -> Vec<Arc<Account>> {
        let name = if lane.kind() == LaneKind::Captured { lane.as_str() } else { lane.upstream() };
        self.registry().accounts(name, lane.sender())
    }

    fn all(&self) -> Vec<Arc<Account>> {
        self.registry().known.values().cloned().collect()
    }

    /// Puts in force what a former process has stored.
    pub fn restore(&self, suspensions: &[Suspension]) {
        let now = self.timeline.now();
        for suspension in suspensions {
            self.put(suspension, now);
        }
    }

    /// Nothing goes by an account, or by an upstream as a whole: for so long, or until it is lifted. In force here in any
    /// case; whether that is news.
    ///
    /// # Errors
    /// When it could not be stored, so that a restart will not know it.
    pub async fn suspend(&self, new: NewSuspension) -> Result<bool, StoreError> {
        let _changing = self.changing.lock().await;
        let now = self.timeline.now();
        let until = new.lasts.map(|lasts| now.after(lasts));
        let suspension = Suspension {
            upstream: new.upstream.clone(),
            account: new.account.clone(),
            kind: new.kind,
            until,
            login: new.login.clone(),
            reason: new.reason.clone(),
        };
        let is_news = self.put(&suspension, now);
        if is_news || new.kind != SuspensionKind::Stopped {
            self.store.suspend(new).await?;
        }
        Ok(is_news)
    }

    fn put(&self, suspension: &Suspension, now: Moment) -> bool {
        let Suspension { upstream, account, .. } = suspension;
        let mut is_news = false;
        match account {
            None => {
                let state = self.registry().state(upstream);
                is_news = state.condition.suspend(suspension, now);
            }
            Some(name) => {
                for account in self.of(upstream).iter().filter(|account| *account.key().account == **name) {
                    is_news |= account.condition.suspend(suspension, now);
                }
            }
        }
        for closing in self.of(upstream) {
            if account.as_ref().is_none_or(|name| *closing.key().account == **name) {
                closing.pool.close_idle();
            }
            // Who waits may take a fallback now.
            closing.wake_all();
        }
        self.wakeups.call_troubled();
        is_news
    }

    /// Suspensions of these kinds end: of one upstream and all its accounts, or everywhere. What is down is tried at once.
    /// Tells the reasons, by account; `None` is the upstream as a whole.
    ///
    /// # Errors
    /// When the store fails: then nothing changes.
    pub async fn resume(
        &self,
        upstream: Option<&str>,
        kinds: &[SuspensionKind],
    ) -> Result<Vec<(Option<String>, String)>, StoreError> {
        let _changing = self.changing.lock().await;
        self.store.end_suspensions(upstream.map(str::to_owned), None, kinds.to_vec()).await?;
        let now = self.timeline.now();
        let mut ended = Vec::new();
        let states: Vec<_> = {
            let registry = self.registry();
            let fits =
                |(name, _): &(&Arc<str>, &Arc<UpstreamState>)| upstream.is_none_or(|only| only == &***name);
            registry.states.iter().filter(fits).map(|(_, state)| state.clone()).collect()
        };
        for state in &states {
            for &kind in kinds {
                ended.extend(state.condition.resume(kind, now).map(|reason| (None, reason)));
            }
            state.condition.begin_again(now);
        }
        for account in self.all() {
            if upstream.is_none_or(|only| *account.key().upstream == *only) {
                for &kind in kinds {
                    let name = Some(account.key().account.to_string());
                    ended.extend(account.condition.resume(kind, now).map(|reason| (name, reason)));
                }
                account.condition.begin_again(now);
                account.wake_all();
            }
        }
        self.wakeups.call_troubled();
        Ok(ended)
    }

    /// The configuration was read: what is down is tried at once, but of logins that were refused only those that have changed
    /// since. Of the others the next probe comes when it comes.
    pub async fn retry_after_reading(&self) {
        let now = self.timeline.now();
        let states: Vec<_> = self.registry().states.values().cloned().collect();
        for state in &states {
            state.condition.probe_now(now);
        }
        for account in self.all() {
            let is_changed = match account.condition.refused_login() {
                None => true,
                Some(hash) => {
                    let parts = LoginParts::of(&account.settings());
                    // A slow hash, on purpose: the password can't be guessed from the store.
                    tokio::task::spawn_blocking(move || !parts.is(&hash)).await.unwrap_or(true)
                }
            };
            if is_changed {
                account.condition.probe_now(now);
                account.wake_all();
            }
        }
    }

    /// A login that was refused is accepted again.
    pub(super) async fn forget_refused_login(&self, key: &AccountKey) {
        let _changing = self.changing.lock().await;
        let (upstream, account) = (key.upstream.to_string(), key.account.to_string());
        let ended = self.store.end_suspensions(Some(upstream), Some(account), vec![SuspensionKind::Login]);
        if let Err(error) = ended.await {
            tracing::error!(event = "store", upstream = &*key.upstream, reason = %error);
        }
    }

    /// What waited for an upstream, and so is due, may go.
    pub(super) fn wake_lanes(&self, upstream: &str) {
        self.wakeups.call_troubled();
        for lane in self.router.load().lanes_of(upstream) {
            self.wakeups.wake(&lane);
        }
    }

    /// The counts of an upstream were forgotten, and so is the pace that its answers have taught. Tells of the paces, by
    /// account, in words.
    pub fn forget_limits(&self, upstream: &str) -> Vec<(String, String)> {
        let mut forgotten = Vec::new();
        for account in self.of(upstream) {
            let pace = account.condition.forget_pace();
            let name = account.key().account.to_string();
            forgotten.extend(pace.map(|pace| (name, format!("slowed down to {pace}"))));
            account.condition.forget_limited();
            account.follow_pace();
            account.wake();
        }
        let state = self.registry().states.get(upstream).cloned();
        let of_all = state.as_ref().and_then(|state| state.forget_pace());
        forgotten.extend(of_all.map(|pace| (SHARED.to_owned(), format!("slowed down to {pace}"))));
        let group = state.and_then(|state| state.group.load_full());
        group.iter().flat_map(|group| group.members()).for_each(|member| member.forget_limited());
        forgotten
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    fn add(&mut self, sources: &SettingsSources<'_>, upstream: &Arc<Upstream>, spawner: &Spawner) {
        let state = self.state(&upstream.name);
        state.pool.set_most(upstream.shared_limits.connections.unwrap_or(u32::MAX));
        state.shares_quotas.store(upstream.shared_limits.has_quotas(), Ordering::Relaxed);
        let name: Arc<str> = upstream.name.as_str().into();
        let mut members = Members::default();
        for (place, configured) in upstream.accounts.iter().enumerate() {
            let key = AccountKey { upstream: name.clone(), account: configured.name().into() };
            let known = self.known.get(&key);
            let before = known.map(|account| account.settings());
            let configured_account = ConfiguredAccount {
                upstream,
                place,
                key: &key,
                dialogue: &state.dialogue,
                before: before.as_deref(),
            };
            let settings = AccountSettings::new(sources, &configured_account);
            if before.is_some_and(|before| !settings.has_same_limits(&before)) {
                state.forget_pace();
            }
            let account = match known {
                Some(account) => {
                    account.follow(settings, self.epoch);
                    account.clone()
                }
                None => Account::new(key.clone(), &state, settings, spawner.clone()),
            };
            self.known.insert(key, account.clone());
            if configured.sender_bound {
                members.bound.insert(configured.key(), account.clone());
            } else {
                members.free.push(account.clone());
            }
            members.all.push(account);
        }
        self.upstreams.insert(name, members);
    }

    /// Has upstreams share what their limit groups say, and nothing else.
    fn join_groups(&mut self, config: &Config) {
        for upstream in &config.upstreams {
            let group = upstream.limit_group.as_deref().map(|group| {
                let pool = self.groups.entry(group.name.clone()).or_default().clone();
                pool.set_most(group.limits.connections.unwrap_or(u32::MAX));
                let members = group.upstreams.iter().map(|name| Arc::downgrade(&self.state(name))).collect();
                Arc::new(GroupState { pool, shares_quotas: group.limits.has_quotas(), members })
            });
            let pool = group.as_ref().map(|group| group.pool.clone());
            self.state(&upstream.name).group.store(group);
            for account in self.upstreams.get(&*upstream.name).into_iter().flat_map(|members| &members.all) {
                account.pool.join_group(pool.clone());
            }
        }
    }

    /// The account that is bound to a sender, or all that are bound to nobody.
    fn accounts(&self, upstream: &str, bound_to: Option<&str>) -> Vec<Arc<Account>> {
        let Some(members) = self.upstreams.get(upstream) else { return Vec::new() };
        match bound_to {
            Some(sender) => members.bound.get(&AddressKey::of_text(sender)).cloned().into_iter().collect(),
            None => members.free.clone(),
        }
    }

    fn state(&mut self, upstream: &str) -> Arc<UpstreamState> {
        if let Some(state) = self.states.get(upstream) {
            return state.clone();
        }
        self.states.entry(upstream.into()).or_insert_with(|| UpstreamState::new(upstream).into()).clone()
    }
}
