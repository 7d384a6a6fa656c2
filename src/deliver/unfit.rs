//! Which mail an account can't take: a fact about one candidate excludes it, and says nothing of the others.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits::AccountKey;
use crate::store::MessageId;

/// Messages that are remembered at most; beyond, they are tried again.
const MOST: usize = 10_000;

/// What of a message an account can't take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Misfit {
    /// All of it.
    Message,
    /// It for these recipients, by their places in the envelope: the others can have it without them.
    Recipients(BTreeSet<u32>),
}

/// The accounts that can't take a message, as attempts have found. A reload forgets it, and so does the message's end.
#[derive(Debug, Default)]
pub(super) struct UnfitMail(Mutex<HashMap<MessageId, HashMap<AccountKey, Misfit>>>);

impl UnfitMail {
    /// An account can't take a message, or not for all of its recipients.
    pub(super) fn note(&self, id: MessageId, account: &AccountKey, misfit: Misfit) {
        let mut mail = self.lock();
        if mail.len() >= MOST {
            mail.clear();
        }
        mail.entry(id).or_default().insert(account.clone(), misfit);
    }

    /// Whether it is known that the account can't take the message for the recipient at this place.
    pub(super) fn has(&self, id: MessageId, account: &AccountKey, place: u32) -> bool {
        let mail = self.lock();
        match mail.get(&id).and_then(|accounts| accounts.get(account)) {
            None => false,
            Some(Misfit::Message) => true,
            Some(Misfit::Recipients(places)) => places.contains(&place),
        }
    }

    /// Recipients have failed: an account that could not take the message for their sake alone can take it now.
    pub(super) fn forget_recipients(&self, id: MessageId, failed: &BTreeSet<u32>) {
        let mut mail = self.lock();
        let Some(accounts) = mail.get_mut(&id) else { return };
        accounts.retain(|_, misfit| match misfit {
            Misfit::Message => true,
            Misfit::Recipients(places) => {
                places.retain(|place| !failed.contains(place));
                !places.is_empty()
            }
        });
        if accounts.is_empty() {
            mail.remove(&id);
        }
    }

    /// What an account can't take.
    pub(super) fn of(&self, account: &AccountKey) -> Arc<HashSet<MessageId>> {
        let mail = self.lock();
        if mail.is_empty() {
            return Arc::default();
        }
        Arc::new(
            mail.iter().filter(|(_, accounts)| accounts.contains_key(account)).map(|(id, _)| *id).collect(),
        )
    }

    /// Whether there is anything that an account can't take.
    pub(super) fn concerns(&self, account: &AccountKey) -> bool {
        self.lock().values().any(|accounts| accounts.contains_key(account))
    }

    /// A person wants all mail tried anew.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// The message has left the queue.
    pub(super) fn forget(&self, id: MessageId) {
        self.lock().remove(&id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<MessageId, HashMap<AccountKey, Misfit>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_that_have_failed_are_in_nobody_s_way() {
        let mail = UnfitMail::default();
        let (id, key) = (MessageId(1), |name: &str| AccountKey::new("main", name));
        let (first, second) = (key("a"), key("b"));
        mail.note(id, &first, Misfit::Recipients([1, 3].into()));
        mail.note(id, &second, Misfit::Message);
        for (account, place, want) in [(&first, 1, true), (&first, 2, false), (&second, 2, true)] {
            assert_eq!(mail.has(id, account, place), want, "{account:?} {place}");
        }
        mail.forget_recipients(id, &[1].into());
        assert!(!mail.has(id, &first, 1) && mail.has(id, &first, 3) && mail.concerns(&first));
        mail.forget_recipients(id, &[3].into());
        assert!(!mail.concerns(&first) && mail.concerns(&second));
        assert_eq!(*mail.of(&second), [id].into());
    }
}
