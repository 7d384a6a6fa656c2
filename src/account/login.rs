//! One login of an upstream: its settings, its condition, its connections, and who waits for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::Notify;

use super::complaints::Complaints;
use super::condition::{Condition, ProbeRight};
use super::obstacle::{Down, Obstacle};
use super::pool::{Pool, PooledConnection, SharedPool};
use super::settings::AccountSettings;
use super::tasks::{SoleTask, Spawner};
use super::throughput::{FinishedRecipients, Throughput};
use super::waiters::{Place, Waiters};
use crate::limits::{AccountKey, Ceilings, Scope, Wait};
use crate::metrics::CountedLogin;
use crate::time::Moment;
use crate::upstream::{DialogueHub, Transport};

/// A login of an upstream. It lives by its name, over reloads: they exchange its settings.
pub struct Account {
    key: AccountKey,
    pub(super) upstream: Arc<UpstreamState>,
    settings: ArcSwap<AccountSettings>,
    pub(super) condition: Condition,
    pub(super) pool: Arc<Pool>,
    pub(super) waiters: Waiters,
    /// Sees when there is a token, or none any more.
    pub(super) token_watch: SoleTask,
    /// Told when a copy for its Sent folder waits.
    copies: Notify,
}

/// What all accounts of an upstream share. It lives by its name, too.
#[derive(Debug)]
pub(super) struct UpstreamState {
    pub(super) condition: Condition,
    pub(super) pool: Arc<SharedPool>,
    /// What is said on its connections.
    pub(super) dialogue: Arc<DialogueHub>,
    pub(super) refused_senders: Complaints,
    /// Replies of which nothing is known.
    pub(super) strange_replies: Complaints,
    /// What it has taken and refused of late.
    pub(super) throughput: Throughput,
    /// Whether a window of all accounts together has a quota.
    pub(super) shares_quotas: AtomicBool,
    /// What it shares with other upstreams.
    pub(super) group: ArcSwapOption<GroupState>,
    /// Who waits for each of the accounts, and what is known of it.
    members: Mutex<Vec<(Waiters, Condition)>>,
}

/// What the upstreams of a limit group share.
#[derive(Debug)]
pub(super) struct GroupState {
    pub(super) pool: Arc<SharedPool>,
    /// Whether a window of all of them together has a quota.
    pub(super) shares_quotas: bool,
    pub(super) members: Vec<Weak<UpstreamState>>,
}

/// Held while an attempt finds out whether the upstream, or an account of it, answers again. When it is dropped, who waits
/// for the outcome looks at what it was.
#[derive(Debug)]
pub(crate) struct Probe {
    right: Option<ProbeRight>,
    upstream: Arc<UpstreamState>,
}

/// The right to send by an account: over its connections, as much as the store lets it.
pub(crate) struct Grant {
    pub(crate) account: Arc<Account>,
    /// The settings in force when it was granted.
    pub(crate) settings: Arc<AccountSettings>,
    pub(crate) connections: Vec<PooledConnection>,
    /// One for each that is down.
    pub(crate) probes: Vec<Probe>,
    /// Whether nobody else waits for the account, and it is well.
    pub(crate) is_alone: bool,
    /// How much had changed at the account by then.
    changes: u64,
}

impl Account {
    pub(super) fn new(
        key: AccountKey,
        upstream: &Arc<UpstreamState>,
        settings: AccountSettings,
        spawner: Spawner,
    ) -> Arc<Self> {
        let (waiters, condition) = (Waiters::default(), Condition::default());
        upstream.lock().push((waiters.clone(), condition.clone()));
        let account = Self {
            key,
            upstream: upstream.clone(),
            condition,
            pool: Pool::new(&upstream.pool, waiters.clone(), spawner),
            waiters,
            token_watch: SoleTask::default(),
            copies: Notify::new(),
            settings: ArcSwap::from_pointee(settings),
        };
        account.follow_pace();
        Arc::new(account)
    }

    /// Notes what became of recipients of a submitted message.
    pub(crate) fn note_finished(&self, finished: FinishedRecipients, now: Moment) {
        self.upstream.throughput.note(finished, now);
    }

    /// Notes that the upstream has taken a message that does not count towards what arrives.
    pub(crate) fn note_sent(&self, now: Moment) {
        self.upstream.throughput.note_sent(now);
    }

    /// The name by which it is counted.
    #[must_use]
    pub fn key(&self) -> &AccountKey {
        &self.key
    }

    /// The account as the log names it.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        Some(&*self.key.account).filter(|account| !account.is_empty())
    }

    /// The account as metrics name it.
    #[must_use]
    pub fn counted(&self) -> CountedLogin<'_> {
        CountedLogin { upstream: &self.key.upstream, account: &self.key.account }
    }

    /// What the configuration says of it.
    #[must_use]
    pub fn settings(&self) -> Arc<AccountSettings> {
        self.settings.load_full()
    }

    /// Other settings are in force from now on. Connections that were made by another login are not used again, and what
    /// was learned under other limits is forgotten.
    pub(super) fn follow(&self, settings: AccountSettings, epoch: u64) {
        let settings = Arc::new(settings);
        let before = self.settings.swap(settings.clone());
        // Behind the settings: whoever has a connection of this epoch, and then looks for them, finds these.
        if !settings.has_same_login(&before) {
            self.pool.set_epoch(epoch);
        }
        if !settings.has_same_limits(&before) {
            self.condition.forget_pace();
        }
        self.condition.forget_limited();
        self.follow_pace();
    }

    /// What is in force for all that its transactions count in, itself first, then the upstream: as configured, and as answers
    /// have taught.
    #[must_use]
    pub fn ceilings(&self) -> Vec<(Scope, Ceilings)> {
        let mut ceilings = self.settings.load().ceilings().to_vec();
        ceilings[0].1.learned_per_minute = self.condition.with_pace(|pace| pace.per_minute());
        ceilings
    }

    /// The connections that it may have follow what answers have taught.
    pub(super) fn follow_pace(&self) {
        let configured = self.settings.load().limits().connections;
        let learned = self.condition.with_pace(|pace| pace.connections());
        self.pool.set_most(configured.min(learned.unwrap_or(u32::MAX)));
        self.pool.set_session(self.settings.load().limits().messages_per_connection);
    }

    /// What one transaction may hold: all for the local mailbox, which wants a message whole; else no more than the
    /// smallest limit, or it would never fit.
    #[must_use]
    pub fn recipients_per_message(&self) -> u32 {
        let settings = self.settings.load();
        if matches!(settings.transport, Transport::Capture(_)) {
            return u32::MAX;
        }
        let limits = settings.limits();
        let smallest = settings.upstream.smallest_quota(settings.account()).recipients;
        let announced = self.pool.max_recipients();
        let smallest = smallest.into_iter().chain(announced).min();
        limits.recipients_per_message.min(smallest.unwrap_or(u32::MAX)).max(1)
    }

    /// What is in the way of sending by it at `now`, as far as is known without asking the store.
    #[must_use]
    pub fn obstacle(&self, now: Moment) -> Option<Obstacle> {
        let both = || Obstacle::graver(self.upstream.condition.obstacle(now), self.condition.obstacle(now));
        self.switched_off().or_else(|| Obstacle::graver(self.no_token(), both()))
    }

    /// The same for a person who looks: also that it is down when a probe is due.
    #[must_use]
    pub fn shown_obstacle(&self, now: Moment) -> Option<Obstacle> {
        let both = || Obstacle::graver(self.upstream.condition.shown(now), self.condition.shown(now));
        let is_limit = |obstacle: &Obstacle| matches!(obstacle, Obstacle::Limited(_));
        let all = || Obstacle::graver(self.no_token(), both());
        self.switched_off().or_else(all).filter(|obstacle| !is_limit(obstacle))
    }

    /// What of [`Account::obstacle`] is its own affair, and not that of its upstream.
    pub(super) fn own_obstacle(&self, now: Moment) -> Option<Obstacle> {
        Obstacle::graver(self.no_token(), self.condition.obstacle(now))
    }

    fn no_token(&self) -> Option<Obstacle> {
        self.settings.load().no_token().map(Obstacle::NoToken)
    }

    fn switched_off(&self) -> Option<Obstacle> {
        let off = !self.settings.load().upstream.enabled;
        off.then(|| Obstacle::Disabled("enabled = false in the configuration".to_owned()))
    }

    /// Whether a person has switched it off, here or in the configuration.
    #[must_use]
    pub fn is_switched_off(&self) -> bool {
        self.switched_off().is_some() || self.upstream.condition.is_disabled() || self.condition.is_disabled()
    }

    /// Whether it can't be used until somebody, or a probe, has mended it.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.switched_off().is_some()
            || self.no_token().is_some()
            || self.upstream.condition.is_broken()
            || self.condition.is_broken()
    }

    /// Whether nothing goes by it until a person has seen to it.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        let needs_sign_in = || self.settings.load().no_token().is_some_and(|why| why.needs_a_person());
        self.switched_off().is_some()
            || needs_sign_in()
            || self.upstream.condition.is_stopped()
            || self.condition.is_stopped()
    }

    /// How many connections it may have, and all accounts of its upstream or of its limit group together, by the configuration and by what answers
    /// have taught.
    #[must_use]
    pub fn most_connections(&self) -> (u32, u32) {
        let group = self.upstream.group.load();
        let of_group = group.as_ref().map_or(u32::MAX, |group| group.pool.most());
        (self.pool.connections().1, self.upstream.pool.most().min(of_group))
    }

    /// How its upstream is down, and how it is itself.
    pub fn downs(&self) -> impl Iterator<Item = Down> {
        [self.upstream.condition.down(), self.condition.down()].into_iter().flatten()
    }

    /// The right to send up to `wanted` messages now, for who waits at `place`.
    ///
    /// # Errors
    /// Why it can't be had; who waits is told when that may have changed.
    pub(super) fn grant(
        self: &Arc<Self>,
        wanted: u32,
        place: &Place,
        now: Moment,
    ) -> Result<Grant, Obstacle> {
        if let Some(obstacle) = self.obstacle(now) {
            return Err(obstacle);
        }
        if !self.waiters.may_try(Some(place)) {
            return Err(Obstacle::Busy);
        }
        let changes = self.condition.changes();
        let first = self.pool.reserve().ok_or(Obstacle::Busy)?;
        // Behind the connection, which is not used again when it is older than they are.
        let settings = self.settings();
        let probes = [self.probe(&self.upstream.condition)?, self.probe(&self.condition)?];
        let probes: Vec<Probe> = probes.into_iter().flatten().collect();
        // While others wait, each takes a message in turn.
        let is_alone = probes.is_empty() && !self.waiters.has_others(Some(place));
        let most = if is_alone { wanted.min(settings.limits().connections) } else { 1 };
        let mut connections = vec![first];
        connections.extend(std::iter::from_fn(|| self.pool.reserve()).take(most.saturating_sub(1) as usize));
        Ok(Grant { account: self.clone(), settings, connections, probes, is_alone, changes })
    }

    /// How many messages it could take at `now` if they came, as far as is known without asking the store: none while something
    /// is in the way, or others wait for it. Nothing is kept for them.
    pub(super) fn could_take(&self, now: Moment) -> u32 {
        let is_well = self.obstacle(now).is_none() && self.downs().next().is_none();
        if is_well && !self.waiters.has_others(None) { self.pool.free() } else { 0 }
    }

    fn probe(&self, condition: &Condition) -> Result<Option<Probe>, Obstacle> {
        let right = condition.probe()?;
        Ok(right.map(|right| Probe { right: Some(right), upstream: self.upstream.clone() }))
    }

    /// A copy for its Sent folder may wait.
    pub fn note_copy(&self) {
        self.copies.notify_one();
    }

    /// Waits until one may have come since the last look. For one who looks.
    pub async fn copy_noted(&self) {
        self.copies.notified().await;
    }

    /// A permit of its has ended in the store. `freed`: not all of it counts.
    pub fn permit_ended(&self, freed: bool) {
        let group = self.upstream.group.load();
        if let Some(group) = group.as_ref().filter(|group| group.shares_quotas) {
            group.members().for_each(|upstream| upstream.permit_ended(freed));
        } else if self.upstream.shares_quotas.load(Ordering::Relaxed) {
            self.upstream.permit_ended(freed);
        } else {
            self.condition.permit_ended(freed);
            self.wake();
        }
    }

    /// Something is in the way from now on: all who wait look at what that means for them.
    pub(super) fn wake_all(&self) {
        self.waiters.wake_all();
    }

    /// Something that is in the way may be over: who waits looks again.
    pub(super) fn wake(&self) {
        self.waiters.wake_first();
    }
}

impl UpstreamState {
    /// Of an upstream that nothing is known of yet.
    pub(super) fn new(upstream: &str) -> Self {
        Self {
            condition: Condition::default(),
            pool: Arc::default(),
            dialogue: Arc::new(DialogueHub::new(upstream)),
            refused_senders: Complaints::default(),
            strange_replies: Complaints::default(),
            throughput: Throughput::default(),
            shares_quotas: AtomicBool::default(),
            group: ArcSwapOption::empty(),
            members: Mutex::default(),
        }
    }

    /// The connections of all accounts together follow what answers have taught.
    pub(super) fn follow_pace(&self) {
        self.pool.set_learned(self.condition.with_pace(|pace| pace.connections()));
    }

    /// What answers have taught is forgotten. What that was, in words.
    pub(super) fn forget_pace(&self) -> Option<String> {
        let pace = self.condition.forget_pace();
        self.follow_pace();
        pace
    }

    /// The same for all accounts.
    pub(super) fn wake(&self) {
        self.lock().iter().for_each(|(waiters, _)| waiters.wake_first());
    }

    /// The same for all accounts.
    pub(super) fn wake_all(&self) {
        self.lock().iter().for_each(|(waiters, _)| waiters.wake_all());
    }

    /// A permit has ended that counted for all accounts: each may wait for that, and has noted so for itself.
    fn permit_ended(&self, freed: bool) {
        for (waiters, condition) in &*self.lock() {
            condition.permit_ended(freed);
            waiters.wake_first();
        }
    }

    /// Counts in which its accounts share were forgotten: there may be room.
    pub(super) fn forget_limited(&self) {
        for (waiters, condition) in &*self.lock() {
            condition.forget_limited();
            waiters.wake_first();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Waiters, Condition)>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GroupState {
    /// Its upstreams.
    pub(super) fn members(&self) -> impl Iterator<Item = Arc<UpstreamState>> + '_ {
        self.members.iter().filter_map(Weak::upgrade)
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        drop(self.right.take());
        self.upstream.wake_all();
    }
}

impl Grant {
    /// The store has said that there is no room.
    pub(crate) fn note_limited(&self, wait: &Wait, now: Moment) {
        // The store's clock may be a little ahead: what is over at once would be asked for again and again.
        let soonest = now.after(Duration::from_millis(1));
        let wait = &Wait { until: wait.until.map(|until| until.max(soonest)), ..wait.clone() };
        self.account.condition.note_limited(wait, self.changes);
        // Who waits behind took it for busy.
        self.account.wake_all();
    }
}
