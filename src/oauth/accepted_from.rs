//! From whom a token was accepted.

use std::sync::{Arc, Mutex, PoisonError, Weak};

/// By this one that logs in with tokens is told from others, for as long as it is there.
pub(super) type UserMark = Arc<()>;

/// The logins that a token was accepted from, and not refused since. Clones are the same ones.
#[derive(Debug, Clone, Default)]
pub(super) struct AcceptedFrom(Arc<Mutex<Vec<Weak<()>>>>);

impl AcceptedFrom {
    /// Whether there is somebody.
    pub(super) fn is_anybody(&self) -> bool {
        self.with(|users| !users.is_empty())
    }

    pub(super) fn add(&self, user: &UserMark) {
        let user = Arc::downgrade(user);
        self.with(|users| {
            if !users.iter().any(|known| known.ptr_eq(&user)) {
                users.push(user);
            }
        });
    }

    pub(super) fn remove(&self, user: &UserMark) {
        let user = Arc::downgrade(user);
        self.with(|users| users.retain(|known| !known.ptr_eq(&user)));
    }

    /// Those that are still there; who has left the configuration counts no more.
    fn with<T>(&self, what: impl FnOnce(&mut Vec<Weak<()>>) -> T) -> T {
        let mut users = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        users.retain(|user| user.strong_count() > 0);
        what(&mut users)
    }
}
