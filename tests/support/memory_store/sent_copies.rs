//! Copies for Sent folders.

use std::time::Duration;

use super::*;

/// A copy that waits.
pub(super) struct HeldCopy {
    new: NewSentCopy,
    copy: SentCopy,
    due: Moment,
    failed: Option<Moment>,
    reason: String,
}

impl MemoryStore {
    pub(super) fn add_copy(&self, state: &mut MemoryState, new: NewSentCopy) {
        let same: Vec<_> = state.copies.values().filter(|held| held.new.account == new.account).collect();
        let octets: u64 = same.iter().map(|held| held.copy.content.len()).sum();
        if same.len() as u64 >= MOST_COPIES || octets + new.content.len() > MOST_COPY_OCTETS {
            return;
        }
        let (id, now) = (SentCopyId(state.number()), self.now());
        let copy = SentCopy {
            id,
            queue_id: new.queue_id.clone(),
            sent_wall: self.timeline.wall().as_millisecond(),
            made: now,
            tries: 0,
            content: new.content.clone(),
        };
        state.copies.insert(id, HeldCopy { new, copy, due: now, failed: None, reason: String::new() });
    }
}

#[async_trait]
impl SentCopies for MemoryStore {
    async fn next_copy(&self, account: AccountKey) -> Result<NextCopy, StoreError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(fault());
        }
        let (state, now) = (self.state(), self.now());
        let own = state.copies.values().filter(|held| held.new.account == account);
        Ok(match own.min_by_key(|held| (held.due, held.copy.id)) {
            None => NextCopy::None,
            Some(held) if held.due > now => NextCopy::Later(held.due),
            Some(held) => NextCopy::Due(Box::new(held.copy.clone())),
        })
    }

    async fn retry_copies(&self, account: AccountKey) -> Result<(), StoreError> {
        let (mut state, now) = (self.state(), self.now());
        for held in state.copies.values_mut().filter(|held| held.new.account == account) {
            held.due = held.due.min(now);
        }
        Ok(())
    }

    async fn end_copy(&self, id: SentCopyId, end: CopyEnd) -> Result<(), StoreError> {
        let (mut state, now) = (self.state(), self.now());
        match end {
            CopyEnd::Over => drop(state.copies.remove(&id)),
            CopyEnd::Again { after, reason } => {
                if let Some(held) = state.copies.get_mut(&id) {
                    held.copy.tries += 1;
                    (held.due, held.failed, held.reason) = (now.after(after), Some(now), reason);
                }
            }
        }
        Ok(())
    }

    async fn expire_copies(&self, older_than: Duration) -> Result<Vec<ExpiredCopy>, StoreError> {
        let (mut state, before) = (self.state(), self.now().0 - older_than.as_millis() as i64);
        let old = state.copies.extract_if(.., |_, held| held.copy.made.0 < before);
        let expired = old.map(|(_, held)| ExpiredCopy {
            queue_id: held.new.queue_id,
            account: held.new.account,
            tries: held.copy.tries,
            reason: held.reason,
        });
        Ok(expired.collect())
    }

    async fn waiting_copies(&self) -> Result<Vec<WaitingCopies>, StoreError> {
        let state = self.state();
        let mut all: BTreeMap<AccountKey, Vec<&HeldCopy>> = BTreeMap::new();
        for held in state.copies.values() {
            all.entry(held.new.account.clone()).or_default().push(held);
        }
        let waiting = all.into_iter().map(|(account, held)| WaitingCopies {
            account,
            copies: held.len() as u64,
            octets: held.iter().map(|held| held.copy.content.len()).sum(),
            oldest: held.iter().map(|held| held.copy.made).min().unwrap(),
            reason: held.iter().max_by_key(|held| held.failed).unwrap().reason.clone(),
        });
        Ok(waiting.collect())
    }
}
