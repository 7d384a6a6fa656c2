//! What lanes ask for.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use mailsluice::config::TestAction;
use mailsluice::limits::{AccountKey, Amount, Counts, Load, Scope, Wait};
use mailsluice::mail::QueueId;
use mailsluice::store::*;
use mailsluice::time::Moment;

use super::{Entry, EntryState, HeldLease, MemoryState, MemoryStore, history};

/// Which recipients of a message go.
struct Take<'a> {
    account: Option<&'a AccountKey>,
    /// At most so many that are not on the blacklist; `None` takes all that wait.
    most: Option<u32>,
}

impl MemoryStore {
    /// Takes a message under a lease.
    fn take(&self, state: &mut MemoryState, id: MessageId, take: &Take<'_>) -> Leased {
        let entry = &state.queue[&id];
        let recipients = self.recipients(state, entry, take.most);
        let taken = recipients.len() as u32;
        let message = Message {
            queue_id: entry.new.queue_id.clone(),
            kind: entry.new.kind,
            lane: entry.lane.clone(),
            accepted: entry.accepted,
            accepted_wall: entry.accepted_wall,
            age_base: entry.age_base,
            reverse_path: entry.new.reverse_path.clone(),
            sender: entry.new.sender.clone(),
            body: entry.new.body,
            smtputf8: entry.new.smtputf8,
            request: entry.new.request.clone(),
            client: entry.new.client.clone(),
            decisions: entry.decisions.clone(),
            recipients,
            size: entry.size(),
            content: entry.new.content.clone(),
        };
        let others_waiting = entry.waiting() as u32 - taken;
        let (warned, attempts, copied) = (entry.warned, entry.attempts, entry.copied);
        let amount = take.account.map_or(Amount::NONE, |_| message.amount());
        if let Some(account) = take.account.filter(|_| !amount.is_none()) {
            state.know(account);
            state.ledger.begin(account, &amount, self.now());
        }
        let lease = Lease { id, token: state.number().unsigned_abs() };
        let account = take.account.cloned().unwrap_or_else(|| AccountKey::new(message.lane.upstream(), ""));
        state.leases.insert(id, HeldLease { token: lease.token, account, taken: amount });
        let entry = state.queue.get_mut(&id).expect("it has just been read");
        entry.state = EntryState::Sending;
        Leased { lease, message, warned, attempts, others_waiting, copied }
    }

    /// How many recipients of a message there is room for; `None` where it goes as a whole.
    fn most(&self, state: &mut MemoryState, ask: &Ask, id: MessageId) -> Result<Option<u32>, Wait> {
        let entry = &state.queue[&id];
        let test = entry.decisions.test.as_ref().map(|test| test.action);
        let (needed, is_split) = match test {
            Some(TestAction::Capture) => (Amount::NONE, false),
            Some(TestAction::Redirect) => (Amount::of_message(1, entry.size()), false),
            Some(TestAction::Hold) | None => (Amount::of_message(1, entry.size()), true),
        };
        let room = state.ledger.room(&ask.ceilings, &needed, self.now(), &self.timeline)?;
        Ok(is_split.then_some(ask.recipients_per_message.min(room.recipients).max(1)))
    }

    /// What has entered is taken by the ask that stands, if it is next, fits and has room.
    pub(super) fn take_as_it_comes(&self, state: &mut MemoryState, id: MessageId) -> Option<TakenAtOnce> {
        let (now, entry) = (self.now(), &state.queue[&id]);
        let on_file = state.standing.get(&entry.lane)?.clone();
        let ask = on_file.ask();
        let waits = entry.state == EntryState::Waiting && entry.due <= now;
        let is_due = |other: &MessageId| *other != id && state.queue[other].due <= now;
        if !waits || waiting(state, &entry.lane).iter().any(is_due) || !is_fit(state, ask, id) {
            return None;
        }
        state.know_scopes(&ask.ceilings);
        let most = self.most(state, ask, id).ok()?;
        let reservation = on_file.reserve()?;
        let leased = self.take(state, id, &Take { account: Some(&ask.account), most });
        let taken = TakenAtOnce::new(reservation, leased);
        taken.committed();
        Some(taken)
    }

    /// The recipients that go: of those that are due, the ones that have been for longest.
    fn recipients(&self, state: &MemoryState, entry: &Entry, most: Option<u32>) -> Vec<QueuedRecipient> {
        let now = self.now();
        let goes = |index: &usize| {
            let recipient = &entry.recipients[*index];
            recipient.state == RecipientState::Waiting && (most.is_none() || recipient.due <= now)
        };
        let mut due: Vec<usize> = (0..entry.recipients.len()).filter(goes).collect();
        due.sort_by_key(|&index| entry.recipients[index].due);
        let (mut recipients, mut going) = (Vec::new(), 0);
        for index in due {
            if most.is_some_and(|most| going >= most) {
                break;
            }
            let (new, known) = (&entry.new.recipients[index], &entry.recipients[index]);
            let is_test = entry.decisions.test.is_some();
            let listed = self.listed(state, &new.address).filter(|_| most.is_some() && !is_test);
            going += u32::from(listed.is_none());
            recipients.push(QueuedRecipient {
                index: index as u32,
                address: new.address.clone(),
                attempts: known.attempts,
                failures: known.failures,
                doubts: known.doubts,
                last_reply: known.reply.clone(),
                request: new.request.clone(),
                listed: listed.map(|entry| entry.reason),
            });
        }
        recipients.sort_by_key(|recipient| recipient.index);
        recipients
    }

    fn deliver(&self, state: &mut MemoryState, (id, upstream): (MessageId, &str), delivery: &Delivery) {
        let now = self.now();
        let entry = state.queue.get_mut(&id).expect("it is under a lease");
        let recipient = &mut entry.recipients[delivery.index as usize];
        if recipient.state != RecipientState::Waiting {
            return;
        }
        recipient.state = delivery.state;
        recipient.attempts += u32::from(delivery.counts);
        recipient.failures += u32::from(delivery.failed);
        recipient.doubts += u32::from(delivery.doubtful);
        recipient.due = now.after(delivery.again_in.unwrap_or_default());
        recipient.reply.clone_from(&delivery.reply);
        let attempts = recipient.attempts;
        let message =
            history::EndedMessage { upstream: upstream.to_owned(), ..history::EndedMessage::of(entry) };
        let address = entry.new.recipients[delivery.index as usize].address.to_string();
        if let Some(end) = RecipientEnd::of(delivery.state) {
            let ended = history::Ended { address: &address, end, reply: &delivery.reply, attempts };
            self.note_end(state, &message, &ended);
        }
        if delivery.reached && delivery.state == RecipientState::Sent {
            self.mailbox_reached(state, &address);
        }
    }
}

/// What waits in a lane, the first to go first.
fn waiting(state: &MemoryState, lane: &LaneName) -> Vec<MessageId> {
    let here = |(_, entry): &(&MessageId, &Entry)| entry.lane == *lane && entry.state == EntryState::Waiting;
    let mut waiting: Vec<(&MessageId, &Entry)> = state.queue.iter().filter(here).collect();
    waiting.sort_by_key(|(id, entry)| (entry.new.priority, entry.due, **id));
    waiting.into_iter().map(|(id, _)| *id).collect()
}

#[async_trait]
impl Outlook for MemoryStore {
    fn lane_load(&self, lane: &LaneName) -> Load {
        let state = self.state();
        let ids = waiting(&state, lane);
        let recipients = ids.iter().map(|id| state.queue[id].waiting() as u64).sum();
        let octets = ids.iter().map(|id| state.queue[id].size()).sum();
        Load { messages: ids.len() as u64, recipients, octets }
    }

    async fn ahead(&self, queue_id: QueueId) -> Result<Option<Load>, StoreError> {
        let found = {
            let state = self.state();
            let found = state.queue.iter().find(|(_, entry)| entry.new.queue_id == queue_id);
            found.map(|(id, entry)| (*id, entry.state, entry.lane.clone()))
        };
        match found {
            None | Some((_, EntryState::Held, _)) => Ok(None),
            Some((_, EntryState::Sending, _)) => Ok(Some(Load::default())),
            Some((id, _, lane)) => Ok(self.places(lane, u32::MAX).await?.remove(&id)),
        }
    }

    /// All that is due and goes before; there are no turns here.
    async fn places(&self, lane: LaneName, most: u32) -> Result<HashMap<MessageId, Load>, StoreError> {
        let (state, now) = (self.state(), self.now());
        let ids = waiting(&state, &lane);
        if ids.len() > most as usize {
            return Ok(HashMap::new());
        }
        let mut before = Load::default();
        let mut places = HashMap::new();
        for id in ids {
            places.insert(id, before);
            let entry = &state.queue[&id];
            if entry.due <= now {
                before += Load { messages: 1, recipients: entry.waiting() as u64, octets: 0 };
            }
        }
        Ok(places)
    }

    async fn usage(&self, scopes: Vec<Scope>) -> Result<Vec<Counts>, StoreError> {
        let state = self.state();
        Ok(scopes.iter().map(|scope| state.ledger.snapshot(scope).unwrap_or_default()).collect())
    }
}

/// Whether the account that asks can take a message.
fn is_fit(state: &MemoryState, ask: &Ask, id: MessageId) -> bool {
    !ask.unfit.contains(&id) && ask.max_size.is_none_or(|most| state.queue[&id].size() <= most)
}

#[async_trait]
impl Claims for MemoryStore {
    async fn claim(&self, ask: Ask) -> Result<Claimed, StoreError> {
        let (mut state, now) = (self.state(), self.now());
        state.know_scopes(&ask.ceilings);
        let mut fit = waiting(&state, &ask.lane);
        fit.retain(|id| is_fit(&state, &ask, *id));
        let mut leased = Vec::new();
        for id in fit.iter().filter(|id| state.queue[id].due <= now).copied().collect::<Vec<_>>() {
            if leased.len() >= ask.messages as usize {
                break;
            }
            let most = match self.most(&mut state, &ask, id) {
                Ok(most) => most,
                Err(wait) if leased.is_empty() => return Ok(Claimed::Blocked(wait)),
                Err(_) => break,
            };
            let take = Take { account: Some(&ask.account), most };
            leased.push(self.take(&mut state, id, &take));
        }
        fit.retain(|id| state.queue[id].state == EntryState::Waiting);
        let more = fit.iter().map(|id| state.queue[id].due).min();
        if leased.is_empty() {
            Ok(Claimed::Empty { next_due: more })
        } else {
            Ok(Claimed::Messages { leased, more })
        }
    }

    fn stand(&self, ask: Ask) -> StandingAsk {
        let lane = ask.lane.clone();
        let standing = StandingAsk::new(ask);
        self.state().standing.insert(lane, standing.on_file());
        standing
    }

    async fn claim_overdue(&self, claim: OverdueClaim) -> Result<Vec<Overdue>, StoreError> {
        let (mut state, now) = (self.state(), self.now());
        let age_zero = now.0 - claim.limit_wait.as_millis() as i64;
        let is_older = |entry: &Entry, age: Option<Duration>| {
            age.is_some_and(|age| entry.age_base < age_zero - age.as_millis() as i64)
        };
        let mut overdue: Vec<(bool, i64, MessageId)> = Vec::new();
        for id in waiting(&state, &claim.lane) {
            let entry = &state.queue[&id];
            let expired = is_older(entry, claim.expired_after);
            if expired || (!entry.warned && is_older(entry, claim.warn_after)) {
                overdue.push((!expired, entry.age_base, id));
            }
        }
        overdue.sort_unstable();
        overdue.truncate(claim.messages as usize);
        let take = Take { account: None, most: None };
        let taken = overdue
            .into_iter()
            .map(|(is_late, _, id)| Overdue { leased: self.take(&mut state, id, &take), expired: !is_late });
        Ok(taken.collect())
    }

    async fn settle(&self, settlement: Settlement) -> Result<(), StoreError> {
        let now = self.now();
        {
            let mut state = self.state();
            let id = settlement.lease.id;
            if state.leases.get(&id).is_none_or(|held| held.token != settlement.lease.token) {
                return Err(StoreError::Fenced);
            }
            Self::are_new(&state, &settlement.reports)?;
            let upstream = state.leases[&id].account.upstream.clone();
            state.end_lease(settlement.lease, settlement.used.as_ref(), now).ok_or(StoreError::Fenced)?;
            for delivery in &settlement.deliveries {
                self.deliver(&mut state, (id, &upstream), delivery);
            }
            for report in settlement.reports {
                if let Some(id) = self.put(&mut state, report) {
                    drop(self.take_as_it_comes(&mut state, id));
                }
            }
            if let Some(copy) = settlement.copy.filter(|_| !state.queue[&id].copied) {
                self.add_copy(&mut state, copy);
                state.queue.get_mut(&id).expect("it was under a lease").copied = true;
            }
            let entry = state.queue.get_mut(&id).expect("it was under a lease");
            entry.state = if settlement.hold { EntryState::Held } else { EntryState::Waiting };
            if !settlement.deliveries.is_empty() {
                entry.due = now;
            }
            entry.due = entry.due.max(entry.first_due().unwrap_or(entry.due));
            entry.attempts += u32::from(settlement.counts);
            entry.warned |= settlement.warned;
            if entry.waiting() == 0
                && let Some(entry) = state.queue.remove(&id)
            {
                self.keep(&mut state, &entry);
            }
        }
        self.settled.notify_waiters();
        Ok(())
    }

    async fn hand_back(&self, leases: Vec<Lease>) -> Result<u64, StoreError> {
        let mut handed_back = 0;
        {
            let (mut state, now) = (self.state(), self.now());
            for lease in leases {
                if state.end_lease(lease, None, now).is_some() {
                    handed_back += 1;
                    state.queue.get_mut(&lease.id).expect("it was under a lease").state = EntryState::Waiting;
                }
            }
        }
        self.settled.notify_waiters();
        Ok(handed_back)
    }

    async fn move_leased(&self, moved: LeasedMove) -> Result<(), StoreError> {
        {
            let (mut state, now) = (self.state(), self.now());
            state.end_lease(moved.lease, moved.used.as_ref(), now).ok_or(StoreError::Fenced)?;
            let entry = state.queue.get_mut(&moved.lease.id).expect("it was under a lease");
            entry.state = EntryState::Waiting;
            entry.lane = moved.to;
            entry.age_base += moved.credit;
            entry.new.decisions = moved.decisions.clone();
            entry.decisions = moved.decisions;
        }
        self.settled.notify_waiters();
        Ok(())
    }

    async fn mailboxes_failed(&self, failures: Vec<MailboxFailure>) -> Result<MailboxFindings, StoreError> {
        let (mut state, mut findings) = (self.state(), MailboxFindings::default());
        for failure in &failures {
            self.mailbox_failed(&mut state, failure, &mut findings);
        }
        Ok(findings)
    }

    async fn next_due(&self, lane: &LaneName) -> Result<Option<Moment>, StoreError> {
        let state = self.state();
        Ok(waiting(&state, lane).iter().map(|id| state.queue[id].due).min())
    }

    async fn lanes_in_use(&self) -> Result<Vec<LaneSender>, StoreError> {
        let state = self.state();
        let mut all: Vec<LaneSender> = Vec::new();
        for entry in state.queue.values() {
            let here = LaneSender { lane: entry.lane.clone(), sender: entry.new.sender.clone() };
            if !all.contains(&here) {
                all.push(here);
            }
        }
        Ok(all)
    }

    async fn reroute(&self, from: LaneName, moves: Vec<LaneMove>) -> Result<u64, StoreError> {
        let mut state = self.state();
        let mut count = 0;
        for entry in state.queue.values_mut() {
            let fits = entry.lane == from && entry.state != EntryState::Sending;
            let decided = entry.new.decisions.upstream.is_some();
            let goes = |to: &&LaneMove| {
                fits && to.sender == entry.new.sender && to.to != from && (to.with_decided || !decided)
            };
            let to = moves.iter().find(goes);
            if let Some(to) = to {
                entry.lane = to.to.clone();
                entry.age_base += to.credit;
                count += 1;
            }
        }
        Ok(count)
    }

    async fn limit_waits(&self) -> Result<Vec<(LaneName, Duration)>, StoreError> {
        let state = self.state();
        Ok(state.limit_waits.iter().map(|(lane, waited)| (lane.clone(), *waited)).collect())
    }

    async fn set_limit_wait(&self, lane: LaneName, waited: Duration) -> Result<(), StoreError> {
        self.state().limit_waits.insert(lane, waited);
        Ok(())
    }
}

/// What a person wants of a message that may be in an attempt.
pub(super) fn due_now(entry: &mut Entry, now: Moment) -> bool {
    if entry.state == EntryState::Waiting {
        entry.due = entry.due.min(now);
    }
    for recipient in &mut entry.recipients {
        recipient.due = recipient.due.min(now);
        recipient.doubts = recipient.doubts.min(MOST_DOUBTS - 1);
    }
    entry.state == EntryState::Waiting
}
