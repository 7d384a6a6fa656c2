//! Tasks, each with a note of what it is about: for whoever cleans up after one that failed by a fault of ours.

use std::collections::HashMap;

use tokio::task::{Id, JoinError, JoinSet};

/// Tasks that are under way. They end with the set.
#[derive(Debug)]
pub(super) struct NotedTasks<T> {
    tasks: JoinSet<()>,
    notes: HashMap<Id, T>,
}

/// How one has ended.
pub(super) type EndedTask = Result<(Id, ()), JoinError>;

impl<T> NotedTasks<T> {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Begins one that is about this.
    pub(super) fn spawn(&mut self, about: T, task: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.spawn(task);
        self.notes.insert(task.id(), about);
    }

    /// The next one that ends; `None` when there is none.
    pub(super) async fn next_ended(&mut self) -> Option<EndedTask> {
        self.tasks.join_next_with_id().await
    }

    /// One that has ended.
    pub(super) fn try_next_ended(&mut self) -> Option<EndedTask> {
        self.tasks.try_join_next_with_id()
    }

    /// Notes that one has ended. When it panicked: what it was about, and the panic.
    pub(super) fn ended(&mut self, ended: EndedTask) -> Option<(T, JoinError)> {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        let about = self.notes.remove(&id);
        about.zip(ended.err().filter(JoinError::is_panic))
    }
}

impl<T> Default for NotedTasks<T> {
    fn default() -> Self {
        Self { tasks: JoinSet::new(), notes: HashMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_that_fails_is_told_with_what_it_was_about() {
        let mut tasks = NotedTasks::default();
        tasks.spawn("good", async {});
        tasks.spawn("bad", async { panic!("a fault of ours") });
        assert_eq!(tasks.len(), 2);
        let mut failed = Vec::new();
        while let Some(ended) = tasks.next_ended().await {
            failed.extend(tasks.ended(ended));
        }
        assert!(failed.len() == 1 && failed[0].0 == "bad", "{failed:?}");
        assert!(failed[0].1.to_string().contains("a fault of ours"));
        assert!(tasks.is_empty() && tasks.notes.is_empty());
    }
}
