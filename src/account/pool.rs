//! The connections of one account: no more than its limits allow, and those that are idle are used again.
//!
//! A connection counts from before it is opened until it is closed, idle or not, as the provider counts it. Whatever makes
//! one free wakes the first who waits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::goodbye::say_goodbye;
use super::session_length::SessionLength;
use super::tasks::Spawner;
use super::waiters::Waiters;
use crate::upstream::Link;

/// How long an idle connection is kept. Long enough for the next mail of a burst, too short to annoy a provider.
const IDLE: Duration = Duration::from_secs(10);

/// The pool of one account. It outlives reloads; connections that were made by older settings are not used again.
#[derive(Debug)]
pub(super) struct Pool {
    state: Mutex<PoolState>,
    shared: Arc<SharedPool>,
    waiters: Waiters,
    spawner: Spawner,
}

#[derive(Default)]
struct PoolState {
    idle: Vec<Idle>,
    /// Connections that are open, or about to be.
    open: u32,
    /// How many may be.
    most: u32,
    /// Which settings connections must have been made by.
    epoch: u64,
    /// Whether a task closes what has been idle for too long.
    reaping: bool,
    /// Recipients in one transaction, as the upstream said last (RFC 9422).
    max_recipients: Option<u32>,
    session: SessionLength,
    /// What it shares with the pools of other upstreams.
    group: Option<Arc<SharedPool>>,
}

/// A connection that counts, without holding the pool that holds it.
struct Idle {
    link: Link,
    epoch: u64,
    since: Instant,
}

/// What the pools of one upstream share, or those of one limit group.
#[derive(Debug, Default)]
pub(super) struct SharedPool(Mutex<SharedPoolState>);

#[derive(Debug, Default)]
struct SharedPoolState {
    open: u32,
    /// Of those that are open, the ones that are there.
    ready: u32,
    /// As configured.
    configured: Option<u32>,
    /// As the upstream's refusals have taught.
    learned: Option<u32>,
    pools: Vec<Weak<Pool>>,
    /// Those that wanted a connection since the last was closed, and had none: they go first then.
    crowded_out: Vec<Weak<Pool>>,
}

/// The right to one connection, with the open one if there is one. Dropped, it goes back to its pool.
pub(crate) struct PooledConnection {
    link: Option<Link>,
    slot: Option<ConnectionSlot>,
}

/// A connection that counts, for as long as this is held.
struct ConnectionSlot {
    /// `None` when it is idle in the pool.
    pool: Option<Arc<Pool>>,
    epoch: u64,
    /// Whether the connection is there, rather than about to be made.
    ready: bool,
}

impl std::fmt::Debug for PoolState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} open of {}, {} idle", self.open, self.most, self.idle.len())
    }
}

impl SharedPoolState {
    fn most(&self) -> u32 {
        [self.configured, self.learned].into_iter().flatten().min().unwrap_or(u32::MAX)
    }

    fn room(&self) -> u32 {
        self.most().saturating_sub(self.open)
    }

    fn is_over(&self) -> bool {
        self.open > self.most()
    }
}

impl Pool {
    pub(super) fn new(shared: &Arc<SharedPool>, waiters: Waiters, spawner: Spawner) -> Arc<Self> {
        let pool = Arc::new(Self { state: Mutex::default(), shared: shared.clone(), waiters, spawner });
        let mut shared = shared.lock();
        shared.pools.retain(|pool| pool.strong_count() > 0);
        shared.pools.push(Arc::downgrade(&pool));
        pool
    }

    /// A connection that is open and idle, the one that was used last; else the right to open one; `None` when as many
    /// are in use as may be.
    pub(super) fn reserve(self: &Arc<Self>) -> Option<PooledConnection> {
        while let Some(idle) = self.pop_idle() {
            let (mut link, slot) = self.in_use(idle);
            if link.is_reusable() {
                return Some(PooledConnection { link: Some(link), slot: Some(slot) });
            }
        }
        let slot = self.open()?;
        Some(PooledConnection { link: None, slot: Some(slot) })
    }

    /// How many connections could be had now.
    pub(super) fn free(&self) -> u32 {
        let state = self.lock();
        let shared = [Some(&self.shared), state.group.as_ref()].into_iter().flatten();
        let room = shared.map(|shared| shared.lock().room()).min().unwrap_or(0);
        state.idle.len() as u32 + state.most.saturating_sub(state.open).min(room)
    }

    fn open(self: &Arc<Self>) -> Option<ConnectionSlot> {
        let mut state = self.lock();
        if state.open >= state.most {
            return None;
        }
        if let Err(full) = self.count_one(&state) {
            drop(state);
            // When that one is closed, who waits is told.
            full.close_one_idle(self);
            return None;
        }
        state.open += 1;
        Some(ConnectionSlot { pool: Some(self.clone()), epoch: state.epoch, ready: false })
    }

    /// Counts one more wherever it counts, if all of these have room; else who has none.
    fn count_one(self: &Arc<Self>, state: &PoolState) -> Result<(), Arc<SharedPool>> {
        // Always in this order, so that no two wait for each other.
        let all = || [Some(&self.shared), state.group.as_ref()].into_iter().flatten();
        let mut locked: Vec<_> = all().map(|shared| shared.lock()).collect();
        if let Some((full, locked)) = all().zip(&mut locked).find(|(_, one)| one.room() == 0) {
            if !locked.crowded_out.iter().any(|pool| pool.as_ptr() == Arc::as_ptr(self)) {
                locked.crowded_out.push(Arc::downgrade(self));
            }
            return Err(full.clone());
        }
        for shared in &mut locked {
            shared.open += 1;
        }
        Ok(())
    }

    /// Its connections count in this group from now on, and in no other.
    pub(super) fn join_group(self: &Arc<Self>, group: Option<Arc<SharedPool>>) {
        let mut state = self.lock();
        if state.group.as_ref().map(Arc::as_ptr) == group.as_ref().map(Arc::as_ptr) {
            return;
        }
        if let Some(before) = state.group.take() {
            before.leave(self, state.open);
        }
        if let Some(group) = &group {
            let mut group = group.lock();
            group.open += state.open;
            group.pools.push(Arc::downgrade(self));
        }
        state.group = group;
    }

    /// How many connections may be open.
    pub(super) fn set_most(&self, most: u32) {
        let before = std::mem::replace(&mut self.lock().most, most);
        if most > before {
            self.waiters.wake_first();
        }
    }

    /// How many messages a connection may carry.
    pub(super) fn set_session(&self, most: u32) {
        self.lock().session.configure(most);
    }

    /// A connection that had carried so many messages was refused what a new one was not. What has been learned, if that is
    /// news.
    pub(super) fn session_ended_after(&self, messages: u32) -> Option<u32> {
        let mut state = self.lock();
        let before = state.session.most();
        state.session.ended_after(messages.max(1));
        let now = state.session.most();
        (now < before).then_some(now)
    }

    /// Connections that were made before this are not used any more.
    pub(super) fn set_epoch(self: &Arc<Self>, epoch: u64) {
        self.lock().epoch = epoch;
        self.close_idle();
    }

    /// Connections that are open, and that may be.
    pub(super) fn connections(&self) -> (u32, u32) {
        let state = self.lock();
        (state.open, state.most)
    }

    /// Recipients that the upstream takes in one transaction, if it has said so.
    pub(super) fn max_recipients(&self) -> Option<u32> {
        self.lock().max_recipients
    }

    /// Closes all that are idle.
    pub(super) fn close_idle(self: &Arc<Self>) {
        let all = std::mem::take(&mut self.lock().idle);
        for idle in all {
            quit(self.in_use(idle));
        }
    }

    fn close_one_idle(self: &Arc<Self>) -> bool {
        self.pop_idle().map(|idle| quit(self.in_use(idle))).is_some()
    }

    /// A connection that is idle no longer.
    fn in_use(self: &Arc<Self>, idle: Idle) -> (Link, ConnectionSlot) {
        (idle.link, ConnectionSlot { pool: Some(self.clone()), epoch: idle.epoch, ready: true })
    }

    fn pop_idle(&self) -> Option<Idle> {
        self.lock().idle.pop()
    }

    /// Keeps a connection for the next message, or closes it.
    fn take_back(self: &Arc<Self>, mut link: Link, mut slot: ConnectionSlot) {
        let mut state = self.lock();
        let reusable = link.is_reusable() && link.messages() < state.session.most();
        state.max_recipients = link.offer().max_recipients;
        // While others have none they take turns, a message each.
        let all = [Some(&self.shared), state.group.as_ref()];
        let is_free =
            !all.into_iter().flatten().any(|shared| shared.lock().is_over() || shared.others_wait(self));
        let fits = state.open <= state.most && slot.epoch == state.epoch && is_free;
        if !reusable || !fits {
            drop(state);
            return quit((link, slot));
        }
        state.idle.push(Idle { link, epoch: slot.epoch, since: Instant::now() });
        // It goes on counting.
        let ours = slot.pool.take();
        let reap = !std::mem::replace(&mut state.reaping, true);
        drop((state, ours));
        if reap {
            self.spawner.spawn(reap_idle(Arc::downgrade(self)));
        }
        self.waiters.wake_first();
    }

    /// Closes what has been idle for too long. Tells when to look again; `None` when nothing is left.
    fn close_expired(self: &Arc<Self>) -> Option<Instant> {
        let now = Instant::now();
        let mut state = self.lock();
        let old: Vec<Idle> = state.idle.extract_if(.., |idle| now >= idle.since + IDLE).collect();
        let next = state.idle.iter().map(|idle| idle.since + IDLE).min();
        state.reaping = next.is_some();
        drop(state);
        for idle in old {
            quit(self.in_use(idle));
        }
        next
    }

    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn reap_idle(pool: Weak<Pool>) {
    let mut next = Instant::now() + IDLE;
    loop {
        sleep_until(next).await;
        let Some(pool) = pool.upgrade() else { return };
        match pool.close_expired() {
            Some(at) => next = at,
            None => return,
        }
    }
}

/// Says goodbye in the background: nobody waits for it. Until it is said the provider counts the connection.
fn quit((link, slot): (Link, ConnectionSlot)) {
    let Some(spawner) = slot.pool.as_ref().map(|pool| pool.spawner.clone()) else { return };
    spawner.spawn(async move {
        say_goodbye(link).await;
        drop(slot);
    });
}

impl SharedPool {
    /// How many connections all accounts together may have, by the configuration.
    pub(super) fn set_most(&self, most: u32) {
        self.change(|state| state.configured = Some(most));
    }

    /// How many the upstream takes from us, as it has taught.
    pub(super) fn set_learned(&self, most: Option<u32>) {
        self.change(|state| state.learned = most);
    }

    fn change(&self, change: impl FnOnce(&mut SharedPoolState)) {
        let mut state = self.lock();
        let before = state.most();
        change(&mut state);
        let more = state.most() > before;
        drop(state);
        if more {
            self.wake();
        }
    }

    /// How many there may be.
    pub(super) fn most(&self) -> u32 {
        self.lock().most()
    }

    /// Connections that are open or about to be, and those of them that are there.
    pub(super) fn counts(&self) -> (u32, u32) {
        let state = self.lock();
        (state.open, state.ready)
    }

    fn close_one_idle(&self, but: &Arc<Pool>) {
        let _ = self.pools().iter().filter(|pool| !Arc::ptr_eq(pool, but)).any(Pool::close_one_idle);
    }

    /// One of a pool's was closed: the others go first.
    fn close(&self, of: &Arc<Pool>, was_ready: bool) {
        let mut state = self.lock();
        let was_full = state.open >= state.most();
        state.open = state.open.saturating_sub(1);
        state.ready = state.ready.saturating_sub(u32::from(was_ready));
        let first = std::mem::take(&mut state.crowded_out);
        drop(state);
        let others = first.iter().filter_map(Weak::upgrade).filter(|pool| !Arc::ptr_eq(pool, of));
        others.for_each(|pool| pool.waiters.wake_first());
        if was_full {
            self.wake();
        }
    }

    /// A pool with so many connections counts here no longer.
    fn leave(&self, pool: &Arc<Pool>, open: u32) {
        let mut state = self.lock();
        state.open = state.open.saturating_sub(open);
        state.pools.retain(|other| other.as_ptr() != Arc::as_ptr(pool));
        drop(state);
        self.wake();
    }

    /// Whether somebody waits for another pool, and has no connection since all are taken.
    fn others_wait(&self, but: &Arc<Pool>) -> bool {
        let state = self.lock();
        let mut others = state.crowded_out.iter().filter_map(Weak::upgrade);
        others.any(|pool| !Arc::ptr_eq(&pool, but) && pool.waiters.has_others(None))
    }

    fn wake(&self) {
        self.pools().iter().for_each(|pool| pool.waiters.wake_first());
    }

    fn pools(&self) -> Vec<Arc<Pool>> {
        self.lock().pools.iter().filter_map(Weak::upgrade).collect()
    }

    fn lock(&self) -> MutexGuard<'_, SharedPoolState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PooledConnection {
    /// The open connection, if there is one.
    pub(crate) fn take(&mut self) -> Option<Link> {
        self.link.take()
    }

    /// The connection is there: it was made.
    pub(crate) fn note_ready(&mut self) {
        let Some(slot) = self.slot.as_mut().filter(|slot| !slot.ready) else { return };
        slot.ready = true;
        if let Some(pool) = &slot.pool {
            pool.shared.lock().ready += 1;
        }
    }

    /// The connection is gone, and another one is to be made in its place.
    pub(crate) fn note_gone(&mut self) {
        let Some(slot) = self.slot.as_mut().filter(|slot| slot.ready) else { return };
        slot.ready = false;
        if let Some(pool) = &slot.pool {
            let mut shared = pool.shared.lock();
            shared.ready = shared.ready.saturating_sub(1);
        }
    }

    /// A connection that may be used again goes with it.
    pub(crate) fn put(&mut self, link: Link) {
        self.link = Some(link);
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        let Some(slot) = self.slot.take() else { return };
        if let (Some(link), Some(pool)) = (self.link.take(), slot.pool.clone()) {
            pool.take_back(link, slot);
        }
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let Some(pool) = self.pool.take() else { return };
        let mut state = pool.lock();
        state.open = state.open.saturating_sub(1);
        let group = state.group.clone();
        drop(state);
        pool.shared.close(&pool, self.ready);
        if let Some(group) = group {
            group.close(&pool, false);
        }
        pool.waiters.wake_first();
    }
}
