//! What waits for the writer, and when it is worth a commit.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::store::StoreError;

/// Writes that wait for the writer at most; further callers wait for room.
const WAITING: usize = 1024;
/// For how long a write that nobody waits for may wait for others to share its commit.
const LINGER: Duration = Duration::from_millis(4);

/// With so many writes in a commit others are likely to follow at once.
const MANY: usize = 4;
/// For how long the writer waits for these at most. Meanwhile who writes has the processor for itself.
const GATHER: Duration = Duration::from_micros(300);

/// Whether somebody waits for a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Somebody does: it is committed as soon as the writer is free.
    AtOnce,
    /// Nobody does: it goes with the next commit, which comes within [`LINGER`].
    WithNext,
}

/// Writes in the order in which they were handed in.
pub(super) struct JobQueue<J> {
    state: Mutex<State<J>>,
    arrived: Condvar,
    room: Semaphore,
}

struct State<J> {
    jobs: VecDeque<(Urgency, J)>,
    /// How many of them somebody waits for.
    urgent: usize,
    /// When the first of those must go that nobody waits for.
    linger: Option<Instant>,
    /// What the writer does.
    writer: WriterState,
    is_closed: bool,
}

/// What the writer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WriterState {
    /// It works, and looks again before it sleeps.
    Awake,
    /// It sleeps until a write that nobody waits for must go, or somebody waits for another.
    Lingering,
    /// It sleeps until so many writes are there, or for [`GATHER`].
    Gathering(usize),
    /// It sleeps until something comes.
    Idle,
}

impl<J> JobQueue<J> {
    pub(super) fn new() -> Self {
        let state = State {
            jobs: VecDeque::new(),
            urgent: 0,
            linger: None,
            writer: WriterState::Awake,
            is_closed: false,
        };
        Self { state: Mutex::new(state), arrived: Condvar::new(), room: Semaphore::new(WAITING) }
    }

    /// Hands a write in, once there is room.
    ///
    /// # Errors
    /// When the writer has ended.
    pub(super) async fn push(&self, urgency: Urgency, job: J) -> Result<(), StoreError> {
        self.room.acquire().await.map_err(|_| StoreError::Closed)?.forget();
        let mut state = self.lock();
        if state.is_closed {
            return Err(StoreError::Closed);
        }
        match urgency {
            Urgency::AtOnce => state.urgent += 1,
            Urgency::WithNext if state.linger.is_none() => state.linger = Some(Instant::now() + LINGER),
            Urgency::WithNext => {}
        }
        state.jobs.push_back((urgency, job));
        // It wakes by itself for what it knows of.
        let is_news = match state.writer {
            WriterState::Awake => false,
            WriterState::Lingering => urgency == Urgency::AtOnce,
            WriterState::Gathering(enough) => state.jobs.len() >= enough,
            WriterState::Idle => true,
        };
        if is_news {
            state.writer = WriterState::Awake;
            drop(state);
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Waits until a commit is worth its while; false when the queue has been closed and is empty. `before` is how many writes
    /// shared the last commit: where they were many, this one waits a moment for half as many.
    pub(super) fn wait(&self, before: usize) -> bool {
        let enough = if before >= MANY { before / 2 } else { 1 };
        let mut gathering: Option<Instant> = None;
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let sleep = if state.is_closed || state.linger.is_some_and(|until| until <= now) {
                break;
            } else if state.urgent > 0 {
                let until = *gathering.get_or_insert(now + GATHER);
                if state.jobs.len() >= enough || until <= now {
                    break;
                }
                Some((WriterState::Gathering(enough), until))
            } else {
                state.linger.map(|until| (WriterState::Lingering, until))
            };
            state = if let Some((writer, until)) = sleep {
                state.writer = writer;
                let waited = self.arrived.wait_timeout(state, until.saturating_duration_since(now));
                waited.unwrap_or_else(PoisonError::into_inner).0
            } else {
                state.writer = WriterState::Idle;
                self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner)
            };
            state.writer = WriterState::Awake;
        }
        !state.jobs.is_empty()
    }

    /// The next write, if there is one now.
    pub(super) fn pop(&self) -> Option<J> {
        let mut state = self.lock();
        let (urgency, job) = state.jobs.pop_front()?;
        if urgency == Urgency::AtOnce {
            state.urgent -= 1;
        }
        if state.jobs.is_empty() {
            state.linger = None;
        }
        drop(state);
        self.room.add_permits(1);
        Some(job)
    }

    /// Nothing is taken any more; what is there is still done.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.room.close();
        self.arrived.notify_one();
    }

    /// Whether nothing is taken any more.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_nobody_waits_for_goes_with_what_somebody_does() {
        let queue = JobQueue::new();
        queue.push(Urgency::WithNext, 1).await.unwrap();
        queue.push(Urgency::AtOnce, 2).await.unwrap();
        assert!(queue.wait(0));
        assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some(1), Some(2), None));
        // Alone it goes as well, without anybody's help.
        queue.push(Urgency::WithNext, 3).await.unwrap();
        assert!(queue.wait(0));
        assert_eq!((queue.pop(), queue.pop()), (Some(3), None));
    }

    #[tokio::test]
    async fn a_writer_that_sleeps_is_woken() {
        let queue = std::sync::Arc::new(JobQueue::new());
        let theirs = queue.clone();
        let writer = std::thread::spawn(move || {
            let mut done = Vec::new();
            let mut before = 0;
            while theirs.wait(before) {
                let batch: Vec<_> = std::iter::from_fn(|| theirs.pop()).collect();
                before = batch.len();
                done.extend(batch);
            }
            done
        });
        for n in 0..200 {
            let urgency = if n % 3 == 0 { Urgency::AtOnce } else { Urgency::WithNext };
            queue.push(urgency, n).await.unwrap();
            if n % 50 == 0 {
                std::thread::yield_now();
            }
        }
        queue.close();
        assert!(matches!(queue.push(Urgency::AtOnce, 0).await, Err(StoreError::Closed)));
        assert_eq!(writer.join().unwrap(), (0..200).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn who_finds_it_full_waits_for_room() {
        let queue = std::sync::Arc::new(JobQueue::new());
        for n in 0..WAITING {
            queue.push(Urgency::AtOnce, n).await.unwrap();
        }
        let next = tokio::spawn({
            let queue = queue.clone();
            async move { queue.push(Urgency::AtOnce, WAITING).await }
        });
        while queue.room.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        tokio::task::yield_now().await;
        assert!(!next.is_finished());
        assert_eq!(queue.pop(), Some(0));
        next.await.unwrap().unwrap();
    }
}
