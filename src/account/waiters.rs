//! The fair queue of those who wait for an account: lanes and direct clients alike.
//!
//! Whoever stands first may try; the others stay behind it, also when something is free by chance. Whatever becomes free
//! wakes the first; who leaves wakes the next. So nothing is handed to somebody who is gone, and nobody is overtaken.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Those who wait, the first to go first.
#[derive(Debug, Clone, Default)]
pub(super) struct Waiters(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<LineEntry>,
    next: u64,
}

#[derive(Debug)]
struct LineEntry {
    number: u64,
    wake: Arc<Notify>,
}

/// A place in the queue. Who drops it leaves, and the next is woken.
#[derive(Debug)]
pub(crate) struct Place {
    waiters: Waiters,
    number: u64,
}

impl Waiters {
    /// Joins at the end.
    pub(super) fn join(&self, wake: &Arc<Notify>) -> Place {
        let mut state = self.lock();
        let number = state.number();
        state.queue.push_back(LineEntry { number, wake: wake.clone() });
        Place { waiters: self.clone(), number }
    }

    /// Joins at the front: who had its turn and could make no use of it keeps it.
    pub(super) fn join_first(&self, wake: &Arc<Notify>) -> Place {
        let mut state = self.lock();
        let number = state.number();
        state.queue.push_front(LineEntry { number, wake: wake.clone() });
        Place { waiters: self.clone(), number }
    }

    /// Whether somebody may try: who stands first, or anybody when nobody waits.
    pub(super) fn may_try(&self, place: Option<&Place>) -> bool {
        let state = self.lock();
        state.queue.front().is_none_or(|first| place.is_some_and(|place| place.number == first.number))
    }

    /// Whether others wait beside the one with this place.
    pub(super) fn has_others(&self, place: Option<&Place>) -> bool {
        self.lock().queue.len() > usize::from(place.is_some())
    }

    /// Something has become free.
    pub(super) fn wake_first(&self) {
        if let Some(first) = self.lock().queue.front() {
            first.wake.notify_one();
        }
    }

    /// Something is in the way from now on, or is in the way for another reason: all look at what that means for them, since
    /// who stands first may well go on waiting.
    pub(super) fn wake_all(&self) {
        self.lock().queue.iter().for_each(|waiter| waiter.wake.notify_one());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.waiters.lock();
        state.queue.retain(|waiter| waiter.number != self.number);
        if let Some(first) = state.queue.front() {
            first.wake.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Duration, timeout};

    use super::*;

    async fn is_woken(wake: &Notify) -> bool {
        timeout(Duration::from_millis(1), wake.notified()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_goes_first_and_its_leaving_wakes_the_next() {
        let (waiters, [a, b]) = (Waiters::default(), [(); 2].map(|()| Arc::new(Notify::new())));
        assert!(waiters.may_try(None), "nobody waits");
        let first = waiters.join(&a);
        let second = waiters.join(&b);
        assert!(waiters.may_try(Some(&first)) && !waiters.may_try(Some(&second)) && !waiters.may_try(None));
        waiters.wake_first();
        assert!(is_woken(&a).await && !is_woken(&b).await);
        drop(first);
        assert!(is_woken(&b).await && waiters.may_try(Some(&second)));
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_from_the_middle_is_not_waited_for() {
        let (waiters, [a, b, c]) = (Waiters::default(), [(); 3].map(|()| Arc::new(Notify::new())));
        let (first, second, third) = (waiters.join(&a), waiters.join(&b), waiters.join(&c));
        drop(second);
        drop(first);
        assert!(is_woken(&c).await && waiters.may_try(Some(&third)));
        let back = waiters.join_first(&a);
        assert!(waiters.may_try(Some(&back)) && waiters.has_others(Some(&back)));
        drop((back, third));
        assert!(waiters.may_try(None) && !waiters.has_others(None));
    }
}
