//! What accounts do in the background: say goodbye to upstreams, close what has been idle.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::runtime::Handle;
use tokio::task::JoinSet;

/// Tasks that end with the accounts.
#[derive(Debug, Default)]
pub(super) struct BackgroundTasks(Mutex<JoinSet<()>>);

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
        let Some(tasks) = self.0.upgrade().filter(|_| Handle::try_current().is_ok()) else { return };
        let mut tasks = tasks.0.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}
