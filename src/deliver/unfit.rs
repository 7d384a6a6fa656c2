//! Which mail an account can't take: a fact about one candidate excludes it, and says nothing of the others.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits::AccountKey;
use crate::store::MessageId;

/// Messages that are remembered at most; beyond, they are tried again.
const MOST: usize = 10_000;

/// The accounts that can't take a message, as attempts have found. A reload forgets it, and so does the message's end.
#[derive(Debug, Default)]
pub(super) struct UnfitMail(Mutex<HashMap<MessageId, HashSet<AccountKey>>>);

impl UnfitMail {
    /// An account can't take a message.
    pub(super) fn note(&self, id: MessageId, account: &AccountKey) {
        let mut mail = self.lock();
        if mail.len() >= MOST {
            mail.clear();
        }
        mail.entry(id).or_default().insert(account.clone());
    }

    /// Whether it is known that the account can't take the message.
    pub(super) fn has(&self, id: MessageId, account: &AccountKey) -> bool {
        self.lock().get(&id).is_some_and(|accounts| accounts.contains(account))
    }

    /// What an account can't take.
    pub(super) fn of(&self, account: &AccountKey) -> Arc<HashSet<MessageId>> {
        let mail = self.lock();
        if mail.is_empty() {
            return Arc::default();
        }
        Arc::new(mail.iter().filter(|(_, accounts)| accounts.contains(account)).map(|(id, _)| *id).collect())
    }

    /// Whether there is anything that an account can't take.
    pub(super) fn concerns(&self, account: &AccountKey) -> bool {
        self.lock().values().any(|accounts| accounts.contains(account))
    }

    /// A person wants all mail tried anew.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// The message has left the queue.
    pub(super) fn forget(&self, id: MessageId) {
        self.lock().remove(&id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<MessageId, HashSet<AccountKey>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
