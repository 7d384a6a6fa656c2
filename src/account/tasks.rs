//! What accounts do in the background: say goodbye to upstreams, close what has been idle.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinSet};

/// Tasks that end with the accounts.
#[derive(Debug, Default)]
pub(super) struct BackgroundTasks(Mutex<JoinSet<()>>);

/// A task of which there is one at a time: the next ends the one before.
#[derive(Debug, Default)]
pub(super) struct SoleTask(Mutex<Option<AbortHandle>>);

/// Begins such tasks, as long as there are accounts.
#[derive(Debug, Clone)]
pub(super) struct Spawner(Weak<BackgroundTasks>);

impl BackgroundTasks {
    pub(super) fn spawner(self: &Arc<Self>) -> Spawner {
        Spawner(Arc::downgrade(self))
    }
}

impl Spawner {
    /// Begins a task. Without accounts, or a runtime, the relay is gone, and what the task holds with it.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let _ = self.begin(task);
    }

    /// The same for a task that may have to end earlier.
    pub(super) fn begin(&self, task: impl Future<Output = ()> + Send + 'static) -> Option<AbortHandle> {
        let tasks = self.0.upgrade().filter(|_| Handle::try_current().is_ok())?;
        let mut tasks = tasks.0.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        Some(tasks.spawn(task))
    }
}

impl SoleTask {
    /// Ends the task that is there, and has this one in its place.
    pub(super) fn replace(&self, next: Option<AbortHandle>) {
        let before = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), next);
        before.iter().for_each(AbortHandle::abort);
    }
}
