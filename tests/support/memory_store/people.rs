//! What people, and transactions without a message in the queue, ask for.

use std::collections::BTreeMap;
use std::ops::Bound;

use async_trait::async_trait;
use mailsluice::config::Window;
use mailsluice::limits::{Amount, Ceilings, Load, Scope, Wait};
use mailsluice::mail::{AddressKey, QueueId};
use mailsluice::store::*;
use mailsluice::time::Moment;

use super::lanes::due_now;
use super::{Entry, EntryState, HeldPermit, MemoryState, MemoryStore, history};

fn summary(id: MessageId, entry: &Entry) -> Summary {
    let recipients = entry.new.recipients.iter().zip(&entry.recipients);
    let recipients = recipients.map(|(new, known)| SummaryRecipient {
        address: new.address.to_string(),
        state: match known.state {
            RecipientState::Waiting if entry.state == EntryState::Sending => RecipientState::Sending,
            settled => settled,
        },
        attempts: known.attempts,
        reply: known.reply.clone(),
        doubts: known.doubts,
        due: known.due,
    });
    Summary {
        id,
        queue_id: entry.new.queue_id.clone(),
        state: match (entry.state, entry.attempts) {
            (EntryState::Sending, _) => MessageState::Sending,
            (EntryState::Held, _) => MessageState::Held,
            (EntryState::Waiting, 0) => MessageState::Ready,
            (EntryState::Waiting, _) => MessageState::Deferred,
        },
        lane: entry.lane.clone(),
        reverse_path: entry.new.reverse_path.as_str().to_owned(),
        sender: entry.new.sender.clone(),
        recipients: recipients.collect(),
        size: entry.size(),
        client: entry.new.client.clone(),
        accepted_wall: entry.accepted_wall,
        due: entry.due,
        attempts: entry.attempts,
        decisions: entry.decisions.clone(),
    }
}

fn fits(summary: &Summary, filter: &ListFilter) -> bool {
    let is = |wanted: &Option<String>, found: &[&str]| {
        let key = |text: &str| AddressKey::of_text(text);
        wanted.as_ref().is_none_or(|wanted| found.iter().any(|found| key(found) == key(wanted)))
    };
    let recipients: Vec<&str> = summary.recipients.iter().map(|r| r.address.as_str()).collect();
    filter.upstream.as_deref().is_none_or(|upstream| summary.lane.upstream() == upstream)
        && filter.state.is_none_or(|state| summary.state == state)
        && is(&filter.sender, &[&summary.sender, &summary.reverse_path])
        && is(&filter.recipient, &recipients)
        && filter.after.is_none_or(|after| summary.id > after)
}

/// Whether a suspension is in force. A refused login stays one beyond its next probe.
pub(super) fn lasts(suspension: &Suspension, now: Moment) -> bool {
    suspension.kind == SuspensionKind::Login || suspension.until.is_none_or(|end| end > now)
}

impl MemoryStore {
    fn find(state: &MemoryState, queue_id: &QueueId) -> Option<MessageId> {
        state.queue.iter().find(|(_, entry)| entry.new.queue_id == *queue_id).map(|(id, _)| *id)
    }

    /// Does something to a message as soon as it is in no attempt; `None` when it is unknown.
    async fn when_settled<T>(
        &self,
        queue_id: &QueueId,
        work: impl Fn(&mut MemoryState, MessageId) -> T,
    ) -> Option<T> {
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            {
                let mut state = self.state();
                let id = Self::find(&state, queue_id)?;
                if state.queue[&id].state != EntryState::Sending {
                    return Some(work(&mut state, id));
                }
            }
            settled.await;
        }
    }
}

#[async_trait]
impl Permits for MemoryStore {
    async fn take_permit(&self, permit: NewPermit) -> Result<Permitted, StoreError> {
        let (mut state, now) = (self.state(), self.now());
        state.know_scopes(&permit.ceilings);
        if let Err(wait) = state.ledger.room(&permit.ceilings, &permit.needed, now, &self.timeline) {
            return Ok(Permitted::Blocked(wait));
        }
        state.know(&permit.account);
        state.ledger.begin(&permit.account, &permit.needed, now);
        let id = PermitId(state.number());
        let recorded = permit.recorded.max(permit.needed.recipients);
        state.permits.insert(id, HeldPermit { account: permit.account, taken: permit.needed, recorded });
        Ok(Permitted::Granted(id))
    }

    async fn extend_permit(&self, extension: PermitExtension) -> Result<Permitted, StoreError> {
        let (mut state, now) = (self.state(), self.now());
        let state = &mut *state;
        let held = state.permits.get_mut(&extension.permit).ok_or(StoreError::Fenced)?;
        let more = Amount { messages: 0, ..extension.more };
        if let Err(wait) = state.ledger.room_for_more(&extension.ceilings, &more, now, &self.timeline) {
            return Ok(Permitted::Blocked(wait));
        }
        held.taken += more;
        held.recorded = held.recorded.max(held.taken.recipients);
        state.ledger.join(&held.account, &more, &held.taken);
        Ok(Permitted::Granted(extension.permit))
    }

    async fn end_permit(&self, end: PermitEnd) -> Result<(), StoreError> {
        let (mut state, now) = (self.state(), self.now());
        if !state.permits.contains_key(&end.permit) {
            return Ok(());
        }
        Self::are_new(&state, &end.reports)?;
        if let Some(held) = state.permits.remove(&end.permit) {
            state.ended(&held.account, &held.taken, end.used.as_ref(), now);
            if let Some(passed) = &end.passed {
                self.note_passed(&mut state, &held.account.upstream, passed);
            }
        }
        for report in end.reports {
            self.put(&mut state, report);
        }
        if let Some(copy) = end.copy {
            self.add_copy(&mut state, copy);
        }
        Ok(())
    }

    async fn room(
        &self,
        ceilings: Vec<(Scope, Ceilings)>,
        needed: Amount,
    ) -> Result<Result<Amount, Wait>, StoreError> {
        let mut state = self.state();
        state.know_scopes(&ceilings);
        Ok(state.ledger.room(&ceilings, &needed, self.now(), &self.timeline))
    }

    async fn reset_usage(&self, upstream: String, windows: Vec<Window>) -> Result<(), StoreError> {
        let mut state = self.state();
        state.ledger.reset(&upstream, &windows);
        state.ended.retain(|(account, ..)| *account.upstream != *upstream);
        Ok(())
    }

    async fn suspensions(&self) -> Result<Vec<Suspension>, StoreError> {
        let now = self.now();
        let state = self.state();
        Ok(state.suspensions.iter().filter(|suspension| lasts(suspension, now)).cloned().collect())
    }

    async fn suspend(&self, new: NewSuspension) -> Result<Suspension, StoreError> {
        let until = new.lasts.map(|lasts| self.now().after(lasts));
        let NewSuspension { upstream, account, kind, reason, login, .. } = new;
        let suspension = Suspension { upstream, account, kind, until, reason, login };
        let mut state = self.state();
        let key = |other: &Suspension| (other.upstream.clone(), other.account.clone(), other.kind);
        let is_longer = |other: &&Suspension| {
            kind == SuspensionKind::Paused
                && key(other) == key(&suspension)
                && until.is_some_and(|until| other.until.is_none_or(|other| other > until))
        };
        if let Some(longer) = state.suspensions.iter().find(is_longer) {
            return Ok(longer.clone());
        }
        state.suspensions.retain(|other| key(other) != key(&suspension));
        state.suspensions.push(suspension.clone());
        Ok(suspension)
    }

    async fn end_suspensions(
        &self,
        upstream: Option<String>,
        account: Option<String>,
        kinds: Vec<SuspensionKind>,
    ) -> Result<(), StoreError> {
        let ends = |suspension: &Suspension| {
            kinds.contains(&suspension.kind)
                && (account.is_none() || suspension.account == account)
                && upstream.as_ref().is_none_or(|name| suspension.upstream == *name)
        };
        self.state().suspensions.retain(|suspension| !ends(suspension));
        Ok(())
    }
}

#[async_trait]
impl Admin for MemoryStore {
    async fn list(&self, filter: ListFilter) -> Result<Vec<Summary>, StoreError> {
        let state = self.state();
        let all = state.queue.iter().map(|(id, entry)| summary(*id, entry));
        Ok(all.filter(|summary| fits(summary, &filter)).take(filter.limit as usize).collect())
    }

    async fn show(&self, queue_id: QueueId) -> Result<Option<Summary>, StoreError> {
        let state = self.state();
        Ok(Self::find(&state, &queue_id).map(|id| summary(id, &state.queue[&id])))
    }

    async fn content(&self, queue_id: QueueId) -> Result<Option<Vec<u8>>, StoreError> {
        let found = {
            let state = self.state();
            Self::find(&state, &queue_id).map(|id| state.queue[&id].new.content.clone())
        };
        match found {
            Some(content) => Ok(Some(content.read().await?)),
            None => Ok(None),
        }
    }

    async fn beginning(&self, queue_id: QueueId, most: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let content = self.content(queue_id).await?;
        Ok(content.map(|octets| octets.into_iter().take(most as usize).collect()))
    }

    async fn retry(&self, queue_id: QueueId) -> Result<Option<LaneName>, StoreError> {
        let now = self.now();
        let retry = |state: &mut MemoryState, id| {
            state.queue.get_mut(&id).and_then(|entry| due_now(entry, now).then(|| entry.lane.clone()))
        };
        Ok(self.when_settled(&queue_id, retry).await.flatten())
    }

    async fn retry_all(&self) -> Result<u64, StoreError> {
        let now = self.now();
        Ok(self.state().queue.values_mut().map(|entry| u64::from(due_now(entry, now))).sum())
    }

    async fn hold(&self, queue_id: QueueId) -> Result<bool, StoreError> {
        let hold = |state: &mut MemoryState, id| {
            state.queue.get_mut(&id).expect("it is there").state = EntryState::Held;
        };
        Ok(self.when_settled(&queue_id, hold).await.is_some())
    }

    async fn release(&self, queue_id: QueueId, decisions: Decisions) -> Result<Option<LaneName>, StoreError> {
        let now = self.now();
        let mut state = self.state();
        let Some(id) = Self::find(&state, &queue_id) else { return Ok(None) };
        let entry = state.queue.get_mut(&id).filter(|entry| entry.state == EntryState::Held);
        let Some(entry) = entry else { return Ok(None) };
        (entry.state, entry.due, entry.decisions) = (EntryState::Waiting, now, decisions);
        due_now(entry, now);
        Ok(Some(entry.lane.clone()))
    }

    async fn held(&self, walk: HeldWalk) -> Result<HeldPortion, StoreError> {
        let state = self.state();
        let is_held = |(_, entry): &(&MessageId, &Entry)| entry.state == EntryState::Held;
        let behind = state.queue.range((Bound::Excluded(walk.after), Bound::Included(walk.up_to)));
        let looked_at: Vec<_> = behind.filter(is_held).take(walk.most as usize).collect();
        let next = looked_at.last().filter(|_| looked_at.len() == walk.most as usize).map(|(id, _)| **id);
        let fitting = looked_at.into_iter().filter(|(id, entry)| fits(&summary(**id, entry), &walk.filter));
        let message = |(id, entry): (&MessageId, &Entry)| HeldMessage {
            id: *id,
            queue_id: entry.new.queue_id.clone(),
            recipients: entry.waiting() as u64,
            decisions: entry.decisions.clone(),
        };
        Ok(HeldPortion { messages: fitting.map(message).collect(), next })
    }

    async fn release_known(
        &self,
        releases: Vec<MessageRelease>,
    ) -> Result<Vec<Option<LaneName>>, StoreError> {
        let now = self.now();
        let mut state = self.state();
        let let_go = |MessageRelease { id, known, decisions }: MessageRelease| {
            let entry = state.queue.get_mut(&id);
            let entry = entry.filter(|entry| entry.state == EntryState::Held && entry.decisions == known)?;
            (entry.state, entry.due, entry.decisions) = (EntryState::Waiting, now, decisions);
            due_now(entry, now);
            Some(entry.lane.clone())
        };
        Ok(releases.into_iter().map(let_go).collect())
    }

    async fn delete(&self, queue_id: QueueId) -> Result<Option<Summary>, StoreError> {
        let delete = |state: &mut MemoryState, id| {
            let entry = state.queue.remove(&id).expect("it is there");
            let message = history::EndedMessage::of(&entry);
            let recipients = entry.new.recipients.iter().zip(&entry.recipients);
            for (new, known) in recipients.filter(|(_, known)| known.state == RecipientState::Waiting) {
                let (reply, attempts) = (&*known.reply, known.attempts);
                let end = RecipientEnd::Deleted;
                let ended = history::Ended { address: new.address.as_str(), end, reply, attempts };
                self.note_end(state, &message, &ended);
            }
            summary(id, &entry)
        };
        let deleted = self.when_settled(&queue_id, delete).await;
        self.settled.notify_waiters();
        Ok(deleted)
    }

    async fn queue_figures(&self) -> Result<QueueFigures, StoreError> {
        let state = self.state();
        let mut counts = QueueCounts::default();
        for (id, entry) in &state.queue {
            *match summary(*id, entry).state {
                MessageState::Ready => &mut counts.ready,
                MessageState::Deferred => &mut counts.deferred,
                MessageState::Held => &mut counts.held,
                MessageState::Sending => &mut counts.sending,
            } += 1;
        }
        let mut waiting: BTreeMap<LaneName, Load> = BTreeMap::new();
        for entry in state.queue.values().filter(|entry| entry.state == EntryState::Waiting) {
            let load = waiting.entry(entry.lane.clone()).or_default();
            load.messages += 1;
            load.recipients += entry.waiting() as u64;
            load.octets += entry.size();
        }
        let oldest = state.queue.first_key_value().map(|(_, entry)| entry.accepted);
        Ok(QueueFigures { counts, oldest, waiting: waiting.into_iter().collect(), totals: state.totals })
    }

    async fn test_mode_counts(&self) -> Result<TestModeCounts, StoreError> {
        let state = self.state();
        let mut counts = TestModeCounts::default();
        for (id, entry) in &state.queue {
            if entry.new.kind != MessageKind::Submitted {
                continue;
            }
            let is_held = summary(*id, entry).state == MessageState::Held;
            *match (entry.new.decisions.test.is_none(), is_held) {
                (true, false) => &mut counts.outside_test_mode,
                (true, true) => &mut counts.outside_test_mode_held,
                (false, false) => &mut counts.tests,
                (false, true) => &mut counts.tests_held,
            } += 1;
        }
        Ok(counts)
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        let state = self.state();
        let queued = state.queue.values().map(|entry| entry.waiting() as u64).sum();
        Ok(Totals { queued, ..state.totals })
    }

    async fn blacklist_page(&self, filter: BlacklistFilter) -> Result<BlacklistPage, StoreError> {
        Ok(self.listed_page(&filter))
    }

    async fn blacklist_first(&self, patterns: Vec<String>) -> Result<Option<BlacklistEntry>, StoreError> {
        let all = self.all_listed();
        Ok(patterns.iter().find_map(|pattern| all.iter().find(|entry| entry.pattern == *pattern).cloned()))
    }

    async fn blacklist_add(&self, new: NewBlacklistEntry) -> Result<BlacklistEntry, StoreError> {
        let entry = BlacklistEntry {
            pattern: pattern_key(&new.pattern),
            reason: new.reason,
            source: BlacklistSource::Manual,
            added: self.timeline.wall().as_millisecond(),
            expires: new.lasts.map(|lasts| self.now().after(lasts)),
        };
        self.state().blacklist.insert(entry.pattern.clone(), entry.clone());
        Ok(entry)
    }

    async fn blacklist_import(&self, entries: Vec<ImportedEntry>) -> Result<Vec<ListingEnd>, StoreError> {
        Ok(entries.into_iter().map(|entry| self.import(entry)).collect())
    }

    async fn blacklist_learn(&self, mailboxes: Vec<LearnedMailbox>) -> Result<Vec<Learned>, StoreError> {
        Ok(mailboxes.into_iter().map(|mailbox| self.learn(mailbox)).collect())
    }

    async fn blacklist_remove(&self, pattern: String) -> Result<bool, StoreError> {
        let pattern = pattern_key(&pattern);
        let mut state = self.state();
        state.failures.retain(|failed| failed.address != pattern);
        Ok(state.blacklist.remove(&pattern).is_some())
    }
}
