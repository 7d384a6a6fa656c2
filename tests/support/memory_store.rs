//! A store in memory: all that a store does, with faults to order.
//!
//! It keeps to the rules in the simplest way: nothing is indexed, mail goes by priority and time without turns, and what a
//! crash leaves is what is not marked as lost. The limits are counted by the same ledger as everywhere.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use mailsluice::config::{DoubtPause, Window};
use mailsluice::limits::{AccountKey, Amount, Ceilings, Ledger, Scope, ScopeUsage, UsageRow};
use mailsluice::mail::{Address, QueueId};
use mailsluice::metrics::WriteMeter;
use mailsluice::store::*;
use mailsluice::time::{Clock, Moment, SystemClock, Timeline};
use tokio::sync::Notify;

#[path = "memory_store/blacklist.rs"]
mod blacklist;
#[path = "memory_store/history.rs"]
mod history;
#[path = "memory_store/lanes.rs"]
mod lanes;
#[path = "memory_store/mailboxes.rs"]
mod mailboxes;
#[path = "memory_store/people.rs"]
mod people;
#[path = "memory_store/sent_copies.rs"]
mod sent_copies;
#[path = "memory_store/sign_ins.rs"]
mod sign_ins;

/// What was queued, what is blacklisted, and what is to go wrong.
pub(crate) struct MemoryStore {
    /// All that was ever queued, as it came.
    pub(crate) messages: Mutex<Vec<NewMessage>>,
    /// Entries of the blacklist that were there from the start.
    pub(crate) blacklist: Vec<BlacklistEntry>,
    /// The store says that it is not healthy.
    pub(crate) unhealthy: AtomicBool,
    /// Commits fail.
    pub(crate) broken: AtomicBool,
    /// Commits fail so that nobody knows whether they are on the disk.
    pub(crate) in_doubt: AtomicBool,
    /// The queue is said to be full at the commit.
    pub(crate) full: AtomicBool,
    /// Where uploads go.
    pub(crate) content_dir: PathBuf,
    /// Messages at most.
    max_messages: AtomicU64,
    timeline: Timeline,
    state: Mutex<MemoryState>,
    /// Told whenever a message is no longer being sent.
    settled: Notify,
}

/// What lasts, and with it what a crash takes away.
#[derive(Default)]
struct MemoryState {
    queue: BTreeMap<MessageId, Entry>,
    leases: HashMap<MessageId, HeldLease>,
    permits: HashMap<PermitId, HeldPermit>,
    ledger: Ledger,
    /// All that has ended and was counted, and when.
    ended: Vec<(AccountKey, Amount, Moment)>,
    /// The asks that stand.
    standing: HashMap<LaneName, AskOnFile>,
    /// The last number that was given to anything.
    last: i64,
    totals: Totals,
    blacklist: BTreeMap<String, BlacklistEntry>,
    failures: Vec<mailboxes::Failed>,
    /// To whom something was delivered, and when.
    deliveries: Vec<(String, Moment)>,
    /// Domains in trouble.
    troubles: HashMap<String, Moment>,
    suspensions: Vec<Suspension>,
    switches: HashMap<&'static str, String>,
    limit_waits: BTreeMap<LaneName, std::time::Duration>,
    grants: BTreeMap<String, StoredGrant>,
    copies: BTreeMap<SentCopyId, sent_copies::HeldCopy>,
    history: history::Past,
}

/// A message in the queue.
#[derive(Clone)]
struct Entry {
    new: NewMessage,
    lane: LaneName,
    decisions: Decisions,
    state: EntryState,
    accepted: Moment,
    accepted_wall: i64,
    age_base: i64,
    due: Moment,
    warned: bool,
    attempts: u32,
    /// Whether a copy for a Sent folder was made.
    copied: bool,
    recipients: Vec<EntryRecipient>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum EntryState {
    Waiting,
    Sending,
    Held,
}

#[derive(Clone)]
struct EntryRecipient {
    state: RecipientState,
    attempts: u32,
    failures: u32,
    doubts: u32,
    reply: String,
    due: Moment,
}

struct HeldLease {
    token: u64,
    account: AccountKey,
    taken: Amount,
}

struct HeldPermit {
    account: AccountKey,
    taken: Amount,
    recorded: u32,
}

fn fault() -> StoreError {
    StoreError::Broken("the disk is on fire".into())
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(u64::MAX, Arc::new(SystemClock))
    }
}

impl MemoryStore {
    /// An empty store.
    pub(crate) fn new(max_messages: u64, clock: Arc<dyn Clock>) -> Self {
        Self {
            messages: Mutex::default(),
            blacklist: Vec::new(),
            unhealthy: AtomicBool::default(),
            broken: AtomicBool::default(),
            in_doubt: AtomicBool::default(),
            full: AtomicBool::default(),
            content_dir: PathBuf::new(),
            max_messages: AtomicU64::new(max_messages),
            timeline: Timeline::resume(clock, None),
            state: Mutex::default(),
            settled: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, MemoryState> {
        self.state.lock().unwrap()
    }

    fn now(&self) -> Moment {
        self.timeline.now()
    }

    fn wall(&self) -> i64 {
        self.timeline.wall().as_millisecond()
    }

    /// The entry that covers an address now.
    fn listed(&self, state: &MemoryState, address: &Address) -> Option<BlacklistEntry> {
        let find = |pattern: String| {
            let from_start = self.blacklist.iter().find(|entry| entry.pattern == pattern);
            state.blacklist.get(&pattern).or(from_start).cloned()
        };
        let entries = patterns_covering(address.as_str()).into_iter().filter_map(find);
        entries.into_iter().find(|entry| entry.expires.is_none_or(|end| end > self.now()))
    }

    /// Whether none of these would take a name that is taken.
    fn are_new(state: &MemoryState, messages: &[NewMessage]) -> Result<(), StoreError> {
        let taken = |new: &NewMessage| state.queue.values().any(|entry| entry.new.queue_id == new.queue_id);
        match messages.iter().find(|new| taken(new)) {
            Some(new) => Err(StoreError::Database(format!("{} is taken", new.queue_id))),
            None => Ok(()),
        }
    }

    fn put(&self, state: &mut MemoryState, new: NewMessage) -> Option<MessageId> {
        let (kept, all) = (new.recipients.kept() as u64, new.recipients.len() as u64);
        let is_report = new.kind == MessageKind::Report;
        let generated = new.recipients.iter().filter(|to| is_report || to.copy).count() as u64;
        state.totals.generated += generated;
        state.totals.accepted += all - generated;
        for recipient in new.recipients.iter().filter(|recipient| recipient.dropped) {
            let ended = history::Ended::dropped(recipient.address.as_str());
            self.note_end(state, &history::EndedMessage::new(&new, self.wall()), &ended);
        }
        if kept == 0 {
            return None;
        }
        let id = MessageId(state.number());
        let accepted = self.now();
        let due = accepted.after(new.delay);
        let recipients = new.recipients.iter().map(|recipient| EntryRecipient {
            state: if recipient.dropped { RecipientState::Dropped } else { RecipientState::Waiting },
            attempts: 0,
            failures: 0,
            doubts: 0,
            due,
            reply: String::new(),
        });
        let entry = Entry {
            lane: new.lane.clone(),
            decisions: new.decisions.clone(),
            state: if new.held { EntryState::Held } else { EntryState::Waiting },
            accepted,
            accepted_wall: self.timeline.wall().as_millisecond(),
            age_base: due.0 - new.limit_wait.as_millis() as i64,
            due,
            warned: false,
            attempts: 0,
            copied: new.recipients.are_copies(),
            recipients: recipients.collect(),
            new,
        };
        state.queue.insert(id, entry);
        Some(id)
    }
}

impl MemoryState {
    fn number(&mut self) -> i64 {
        self.last += 1;
        self.last
    }

    /// Has the ledger know an account, so that all of its transactions are counted.
    fn know(&mut self, account: &AccountKey) {
        let known = self.ledger.load(&account.scopes(), |_| Ok::<_, ()>(ScopeUsage::default()));
        known.expect("nothing is read");
    }

    /// Has the ledger know all that these limits are about.
    fn know_scopes(&mut self, ceilings: &[(Scope, Ceilings)]) {
        let (ended, leases, permits) = (&self.ended, &self.leases, &self.permits);
        let read = |scope: &Scope| {
            let its_own = ended.iter().filter(|(account, ..)| scope.has(account));
            let mut rows: Vec<UsageRow> = its_own
                .flat_map(|(_, amount, at)| {
                    let row = |window: Window| UsageRow { window, slot: window.slot(*at), amount: *amount };
                    Window::NAMED.map(row)
                })
                .collect();
            rows.sort_by_key(|row| (row.window, row.slot));
            let of_leases = leases.values().map(|held| (&held.account, held.taken));
            let all = of_leases.chain(permits.values().map(|held| (&held.account, held.taken)));
            let under_way = all.filter(|(account, _)| scope.has(account)).map(|(_, taken)| taken).collect();
            Ok::<_, ()>(ScopeUsage { rows, under_way, ..ScopeUsage::default() })
        };
        self.ledger.load(ceilings.iter().map(|(scope, _)| scope), read).expect("nothing is read");
    }

    /// A transaction ends; the provider has counted so much, or nothing.
    fn ended(&mut self, account: &AccountKey, taken: &Amount, counted: Option<&Amount>, at: Moment) {
        self.know(account);
        self.ledger.end(account, taken, counted, at);
        self.ended.extend(counted.map(|counted| (account.clone(), *counted, at)));
    }

    /// A lease ends; the provider has counted so much, or nothing. `None`: it had ended already.
    fn end_lease(&mut self, lease: Lease, used: Option<&Amount>, now: Moment) -> Option<()> {
        self.leases.get(&lease.id).filter(|held| held.token == lease.token)?;
        let held = self.leases.remove(&lease.id)?;
        if !held.taken.is_none() || used.is_some() {
            self.ended(&held.account, &held.taken, used, now);
        }
        Some(())
    }
}

impl Entry {
    fn waiting(&self) -> usize {
        self.recipients.iter().filter(|recipient| recipient.state == RecipientState::Waiting).count()
    }

    /// Recipients that were due rest, as many as were tried; a test copy is for all of them. The shortest rest.
    fn rest(&mut self, pause: DoubtPause, tried: u32, now: Moment) -> Option<Duration> {
        let is_one_copy = self.decisions.disposition() == Disposition::OneCopy;
        let most = if is_one_copy { usize::MAX } else { tried as usize };
        let waits = |each: &&mut EntryRecipient| each.state == RecipientState::Waiting;
        let mut due: Vec<_> = self.recipients.iter_mut().filter(waits).collect();
        due.retain(|each| is_one_copy || each.due <= now);
        due.sort_by_key(|each| each.due);
        let mut shortest = None;
        for each in due.into_iter().take(most) {
            let rest = pause.after(each.doubts);
            (each.doubts, each.attempts) = (each.doubts + 1, each.attempts + 1);
            (each.reply, each.due) = (CutOff::REPLY.to_owned(), now.after(rest));
            shortest = Some(shortest.map_or(rest, |least: Duration| least.min(rest)));
        }
        self.due = self.due.max(self.first_due().unwrap_or(self.due));
        self.attempts += 1;
        shortest
    }

    /// When the first recipient that waits is due.
    fn first_due(&self) -> Option<Moment> {
        let waits = self.recipients.iter().filter(|recipient| recipient.state == RecipientState::Waiting);
        waits.map(|recipient| recipient.due).min()
    }

    fn size(&self) -> u64 {
        self.new.content.len()
    }
}

#[async_trait]
impl Intake for MemoryStore {
    fn healthy(&self) -> Result<(), StoreError> {
        if self.unhealthy.load(Ordering::SeqCst) { Err(fault()) } else { Ok(()) }
    }

    fn queue_length(&self) -> u64 {
        self.state().queue.len() as u64
    }

    fn upload(&self, id: &QueueId) -> Upload {
        Upload::new(&self.content_dir, id)
    }

    async fn enqueue(&self, mut message: NewMessage) -> Result<Option<TakenAtOnce>, EnqueueError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(EnqueueError::Store(fault()));
        }
        if self.in_doubt.load(Ordering::SeqCst) {
            message.content.keep();
            return Err(EnqueueError::Store(StoreError::InDoubt("the disk is on fire".into())));
        }
        if self.full.load(Ordering::SeqCst) {
            return Err(EnqueueError::Full { messages: 7, limit: 7 });
        }
        let mut state = self.state();
        Self::are_new(&state, std::slice::from_ref(&message))?;
        let messages = state.queue.len() as u64;
        let limit = self.max_messages.load(Ordering::Relaxed);
        if messages >= limit && message.recipients.kept() > 0 {
            return Err(EnqueueError::Full { messages, limit });
        }
        if message.recipients.kept() == 0 {
            message.content = Content::memory(Vec::new());
        } else if let Some(octets) = message.content.octets() {
            // What it held of the session's memory is given back.
            message.content = Content::memory(octets.to_vec());
        }
        message.content.keep();
        self.messages.lock().unwrap().push(message.clone());
        let id = self.put(&mut state, message);
        Ok(id.and_then(|id| self.take_as_it_comes(&mut state, id)))
    }

    async fn blacklisted(&self, addresses: &[Address]) -> Result<Vec<Option<BlacklistEntry>>, StoreError> {
        let state = self.state();
        Ok(addresses.iter().map(|address| self.listed(&state, address)).collect())
    }
}

#[async_trait]
impl Switches for MemoryStore {
    async fn switch(&self, key: &'static str) -> Result<Option<String>, StoreError> {
        Ok(self.state().switches.get(key).cloned())
    }

    async fn set_switch(&self, key: &'static str, value: String) -> Result<(), StoreError> {
        self.state().switches.insert(key, value);
        Ok(())
    }
}

#[async_trait]
impl Upkeep for MemoryStore {
    fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Nothing of it is written to a disk.
    fn write_meter(&self) -> Arc<WriteMeter> {
        Arc::default()
    }

    fn set_max_messages(&self, most: u64) {
        self.max_messages.store(most, Ordering::Relaxed);
    }

    async fn cut_off(&self, pauses: DoubtPauses) -> Result<Vec<CutOff>, StoreError> {
        let (state, now) = (self.state(), self.now());
        let sending = state.queue.iter().filter(|(_, entry)| entry.state == EntryState::Sending);
        let cut_off = sending.map(|(id, entry)| {
            let held = state.leases.get(id);
            let (upstream, recipients) = held
                .map(|held| (held.account.upstream.to_string(), held.taken.recipients))
                .unwrap_or_default();
            let pause = pauses.of(&upstream).filter(|_| recipients > 0);
            let again_in = pause.and_then(|pause| entry.clone().rest(pause, recipients, now));
            CutOff { queue_id: entry.new.queue_id.clone(), upstream, again_in }
        });
        Ok(cut_off.collect())
    }

    async fn recover(&self, pauses: DoubtPauses) -> Result<Recovered, StoreError> {
        let (mut state, now) = (self.state(), self.now());
        let state = &mut *state;
        let mut ends = Vec::new();
        let mut tried = HashMap::new();
        for (id, held) in state.leases.drain() {
            tried.insert(id, (held.account.upstream.to_string(), held.taken.recipients));
            ends.push((held.account, held.taken, held.taken));
        }
        for (_, held) in state.permits.drain() {
            let all = Amount { recipients: held.recorded, ..held.taken };
            ends.push((held.account, held.taken, all));
        }
        for (account, taken, counted) in ends {
            state.ended(&account, &taken, Some(&counted), now);
        }
        for (id, entry) in state.queue.iter_mut().filter(|(_, entry)| entry.state == EntryState::Sending) {
            entry.state = EntryState::Waiting;
            let (upstream, recipients) = tried.remove(id).unwrap_or_default();
            if let Some(pause) = pauses.of(&upstream).filter(|_| recipients > 0) {
                entry.rest(pause, recipients, now);
            }
        }
        Ok(Recovered { messages: state.queue.len() as u64, orphans: Orphans::default() })
    }

    async fn restored(&self, _quotas: Vec<UsedQuota>) -> Result<Option<Restored>, StoreError> {
        Ok(None)
    }

    async fn restored_mail(&self) -> Result<Option<Restored>, StoreError> {
        Ok(None)
    }

    async fn answers(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn note_clock(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn release_space(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn damage(&self) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    async fn prune(&self) -> Result<(), StoreError> {
        let (mut state, now) = (self.state(), self.now());
        state.ledger.expire(now);
        state.suspensions.retain(|suspension| people::lasts(suspension, now));
        Ok(())
    }
}
