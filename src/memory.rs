//! Memory that many share: so many octets, given out in the order in which they are asked for.
//!
//! Nobody ever waits for more than there is: who asks for more gets all there is, also when the budget is made smaller
//! while somebody waits, or while others hold more than is left of it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// A number of octets that many share. Clones are the same budget.
#[derive(Debug, Clone)]
pub struct MemoryBudget(Arc<Mutex<Shares>>);

/// How much of a budget is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryUse {
    /// Octets that somebody holds; more than there are where the budget was made smaller meanwhile.
    pub held: u64,
    /// Octets that there are.
    pub capacity: u64,
}

/// The right to hold octets in memory; given back when this is dropped.
#[derive(Debug)]
pub struct MemoryGrant {
    budget: MemoryBudget,
    octets: u64,
}

#[derive(Debug)]
struct Shares {
    capacity: u64,
    /// More than the capacity where that was lowered meanwhile.
    taken: u64,
    waiting: VecDeque<PendingShare>,
}

#[derive(Debug)]
struct PendingShare {
    asked: u64,
    granted: oneshot::Sender<u64>,
}

/// A place in the line of a budget. Dropped in the middle, it is left, and what has come is given back.
struct PlaceInLine<'a> {
    budget: &'a MemoryBudget,
    granted: oneshot::Receiver<u64>,
}

impl MemoryBudget {
    /// A budget of so many octets.
    #[must_use]
    pub fn new(octets: u64) -> Self {
        Self(Arc::new(Mutex::new(Shares { capacity: octets, taken: 0, waiting: VecDeque::new() })))
    }

    /// Waits for so many octets, or where that is more than the budget has, for all of them.
    #[expect(clippy::missing_panics_doc, reason = "a waiter leaves the queue with its answer")]
    pub async fn acquire(&self, octets: u64) -> MemoryGrant {
        let mut place = self.queue(octets);
        let octets = (&mut place.granted).await.expect("nobody else takes a waiter out of the queue");
        MemoryGrant { budget: self.clone(), octets }
    }

    /// A grant of nothing, to [grow](MemoryGrant::try_grow).
    #[must_use]
    pub fn nothing(&self) -> MemoryGrant {
        MemoryGrant { budget: self.clone(), octets: 0 }
    }

    /// Makes it larger at once, or smaller: what is held beyond stays with its holders until they give it back.
    pub fn resize(&self, octets: u64) {
        let mut state = self.state();
        state.capacity = octets;
        state.serve();
    }

    /// Octets that nobody holds.
    #[must_use]
    pub fn available(&self) -> u64 {
        let state = self.state();
        state.capacity.saturating_sub(state.taken)
    }

    /// How much is held, and how much there is.
    #[must_use]
    pub fn in_use(&self) -> MemoryUse {
        let state = self.state();
        MemoryUse { held: state.taken, capacity: state.capacity }
    }

    fn queue(&self, asked: u64) -> PlaceInLine<'_> {
        let (granted, answer) = oneshot::channel();
        let mut state = self.state();
        state.waiting.push_back(PendingShare { asked, granted });
        state.serve();
        PlaceInLine { budget: self, granted: answer }
    }

    fn state(&self) -> MutexGuard<'_, Shares> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self, octets: u64) {
        let mut state = self.state();
        state.taken -= octets;
        state.serve();
    }
}

impl Shares {
    /// Serves who waits, in order, up to the first for whom there is not enough.
    fn serve(&mut self) {
        while let Some(first) = self.waiting.front() {
            let octets = first.asked.min(self.capacity);
            if !first.granted.is_closed() && octets > self.capacity.saturating_sub(self.taken) {
                return;
            }
            let first = self.waiting.pop_front();
            if first.is_some_and(|first| first.granted.send(octets).is_ok()) {
                self.taken += octets;
            }
        }
    }
}

impl Drop for PlaceInLine<'_> {
    fn drop(&mut self) {
        let mut state = self.budget.state();
        self.granted.close();
        if let Ok(octets) = self.granted.try_recv() {
            state.taken -= octets;
        }
        state.serve();
    }
}

impl MemoryGrant {
    /// How many octets it is for.
    #[must_use]
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// Gives back all but so many.
    pub fn keep(&mut self, octets: u64) {
        let surplus = self.octets.saturating_sub(octets);
        self.octets -= surplus;
        self.budget.give_back(surplus);
    }

    /// Takes so many more, if they are there and nobody waits for them; else none. Never waits, so that those who hold
    /// some can't wait for each other.
    #[must_use]
    pub fn try_grow(&mut self, more: u64) -> bool {
        let mut state = self.budget.state();
        let left = if state.waiting.is_empty() { state.capacity.saturating_sub(state.taken) } else { 0 };
        let is_there = more <= left;
        if is_there {
            state.taken += more;
            self.octets += more;
        }
        is_there
    }
}

impl Drop for MemoryGrant {
    fn drop(&mut self) {
        self.budget.give_back(self.octets);
    }
}

#[cfg(test)]
mod tests;
