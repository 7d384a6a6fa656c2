//! An ask that stands: what enters its lane is taken by the transaction that accepts it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{Ask, Leased};

/// What a lane could send whose queue holds nothing that is due. What enters meanwhile comes under a lease at once, without a claim.
///
/// The messages that were taken belong to whoever holds this: [`StandingAsk::end`] gives them out.
#[derive(Debug)]
pub struct StandingAsk(Arc<SharedAsk>);

/// A standing ask as the store keeps it.
#[derive(Debug, Clone)]
pub struct AskOnFile(Arc<SharedAsk>);

/// The right to take one message for a standing ask. Dropped, it is as if it had not been there.
#[derive(Debug)]
pub struct Reservation {
    ask: Arc<SharedAsk>,
    leased: Option<Leased>,
}

/// A message that was taken as it entered. Whoever holds it last gives it out: to the lane when its transaction was committed, and
/// else to nobody, for then it is not in the queue.
///
/// Its session holds it until the acceptance stands in the log, so that no attempt is told of before.
#[derive(Debug, Clone)]
pub struct TakenAtOnce(Arc<TakenMessage>);

#[derive(Debug)]
struct TakenMessage {
    reservation: Reservation,
    leased: Option<Leased>,
    is_committed: AtomicBool,
}

impl Drop for TakenMessage {
    fn drop(&mut self) {
        if *self.is_committed.get_mut() {
            self.reservation.leased = self.leased.take();
        }
    }
}

#[derive(Debug)]
struct SharedAsk {
    ask: Ask,
    state: Mutex<State>,
    /// Told when something was taken, and when nothing is reserved any more.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    is_over: bool,
    /// Messages that it could still take.
    left: u32,
    /// Messages that are being taken: their transaction has not ended.
    reserved: u32,
    taken: Vec<Leased>,
}

impl StandingAsk {
    /// An ask that stands until it is ended.
    #[must_use]
    pub fn new(ask: Ask) -> Self {
        let state = State { is_over: false, left: ask.messages, reserved: 0, taken: Vec::new() };
        Self(Arc::new(SharedAsk { ask, state: Mutex::new(state), changed: Notify::new() }))
    }

    /// What the store keeps.
    #[must_use]
    pub fn on_file(&self) -> AskOnFile {
        AskOnFile(self.0.clone())
    }

    /// Waits until something was taken. May be cancelled.
    pub async fn taken(&self) {
        self.0.when(|state| !state.taken.is_empty()).await;
    }

    /// It stands no longer. What was taken by it, which is committed.
    pub async fn end(self) -> Vec<Leased> {
        self.0.lock().is_over = true;
        // What a transaction is taking at this moment comes with it, or does not come.
        self.0.when(|state| state.reserved == 0).await;
        std::mem::take(&mut self.0.lock().taken)
    }
}

impl Drop for StandingAsk {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
    }
}

impl AskOnFile {
    /// What is asked for.
    #[must_use]
    pub fn ask(&self) -> &Ask {
        &self.0.ask
    }

    /// Whether it stands no longer.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.lock().is_over
    }

    /// The right to take one message for it, if it can take one more.
    #[must_use]
    pub fn reserve(&self) -> Option<Reservation> {
        let mut state = self.0.lock();
        if state.is_over || state.left == 0 {
            return None;
        }
        state.left -= 1;
        state.reserved += 1;
        Some(Reservation { ask: self.0.clone(), leased: None })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut state = self.ask.lock();
        state.reserved -= 1;
        match self.leased.take() {
            Some(leased) => state.taken.push(leased),
            None => state.left += 1,
        }
        drop(state);
        self.ask.changed.notify_one();
    }
}

impl TakenAtOnce {
    /// A message under a lease that was taken for an ask.
    #[must_use]
    pub fn new(reservation: Reservation, leased: Leased) -> Self {
        let is_committed = AtomicBool::new(false);
        Self(Arc::new(TakenMessage { reservation, leased: Some(leased), is_committed }))
    }

    /// Its transaction has been committed. For stores.
    pub fn committed(&self) {
        self.0.is_committed.store(true, Ordering::Release);
    }
}

impl SharedAsk {
    /// One waits at a time: whoever holds the ask.
    async fn when(&self, is_so: impl Fn(&State) -> bool) {
        while !is_so(&self.lock()) {
            self.changed.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
