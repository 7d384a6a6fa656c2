//! What became of mail.

use mailsluice::config::TestAction;
use mailsluice::mail::AddressKey;

use super::*;

/// All that is known of mail that has left.
#[derive(Default)]
pub(super) struct Past {
    rules: Option<HistoryRules>,
    entries: Vec<(Moment, HistoryEntry)>,
    kept: BTreeMap<QueueId, (Moment, KeptMessage)>,
}

/// What is known of the message of a recipient that has ended.
pub(super) struct EndedMessage {
    pub(super) queue_id: QueueId,
    pub(super) label: StoredLabel,
    pub(super) from: String,
    pub(super) upstream: String,
    pub(super) test: Option<TestAction>,
    pub(super) size: u64,
    pub(super) accepted_wall: i64,
}

/// A recipient that has ended.
pub(super) struct Ended<'a> {
    pub(super) address: &'a str,
    pub(super) end: RecipientEnd,
    pub(super) reply: &'a str,
    pub(super) attempts: u32,
}

impl<'a> Ended<'a> {
    pub(super) fn dropped(address: &'a str) -> Self {
        Self { address, end: RecipientEnd::Dropped, reply: "on the blacklist", attempts: 0 }
    }
}

impl EndedMessage {
    pub(super) fn new(new: &NewMessage, accepted_wall: i64) -> Self {
        Self {
            queue_id: new.queue_id.clone(),
            label: new.label.clone(),
            from: new.reverse_path.as_str().to_owned(),
            upstream: new.lane.upstream().to_owned(),
            test: new.decisions.test.as_ref().map(|test| test.action),
            size: new.content.len(),
            accepted_wall,
        }
    }

    pub(super) fn of(entry: &Entry) -> Self {
        Self {
            upstream: entry.lane.upstream().to_owned(),
            test: entry.decisions.test.as_ref().map(|test| test.action),
            ..Self::new(&entry.new, entry.accepted_wall)
        }
    }
}

impl MemoryStore {
    /// Counts a recipient as ended, and notes it.
    pub(super) fn note_end(&self, state: &mut MemoryState, message: &EndedMessage, ended: &Ended<'_>) {
        let total = match ended.end {
            RecipientEnd::Sent => &mut state.totals.sent,
            RecipientEnd::Bounced => &mut state.totals.bounced,
            RecipientEnd::Expired => &mut state.totals.expired,
            RecipientEnd::Dropped => &mut state.totals.dropped,
            RecipientEnd::Captured => &mut state.totals.captured,
            RecipientEnd::Deleted => &mut state.totals.deleted,
        };
        *total += 1;
        if state.history.rules.is_some_and(|rules| rules.entries.is_none()) {
            return;
        }
        let entry = HistoryEntry {
            id: HistoryId(state.number()),
            queue_id: message.queue_id.clone(),
            label: message.label.clone(),
            from: message.from.clone(),
            to: ended.address.to_owned(),
            end: ended.end,
            upstream: message.upstream.clone(),
            reply: ended.reply.to_owned(),
            test: message.test,
            attempts: ended.attempts,
            size: message.size,
            accepted_wall: message.accepted_wall,
            at_wall: self.wall(),
        };
        state.history.entries.push((self.now(), entry));
    }

    /// A message has gone through while its client waited.
    pub(super) fn note_passed(&self, state: &mut MemoryState, upstream: &str, passed: &PassedMessage) {
        let PassedMessage { message, label, dropped, copies, reply, reached } = passed;
        state.totals.accepted += (message.recipients.len() + dropped.len()) as u64 - copies;
        state.totals.generated += copies;
        let known = EndedMessage {
            queue_id: message.queue_id.clone(),
            label: label.clone(),
            from: message.reverse_path.as_str().to_owned(),
            upstream: upstream.to_owned(),
            test: message.decisions.test.as_ref().map(|test| test.action),
            size: message.size,
            accepted_wall: message.accepted_wall,
        };
        for recipient in &message.recipients {
            let address = recipient.address.as_str();
            let ended = Ended { address, end: RecipientEnd::Sent, reply, attempts: 1 };
            self.note_end(state, &known, &ended);
            if *reached {
                self.mailbox_reached(state, address);
            }
        }
        for address in dropped {
            self.note_end(state, &known, &Ended::dropped(address.as_str()));
        }
        if keeps(state) && message.kind == MessageKind::Submitted {
            let kept = KeptMessage {
                queue_id: message.queue_id.clone(),
                reverse_path: message.reverse_path.clone(),
                sender: message.sender.clone(),
                body: message.body,
                smtputf8: message.smtputf8,
                request: message.request.clone(),
                decisions: message.decisions.clone(),
                label: label.clone(),
                content: message.content.clone(),
            };
            state.history.kept.entry(message.queue_id.clone()).or_insert((self.now(), kept));
        }
    }

    /// Keeps the content of a message that has left.
    pub(super) fn keep(&self, state: &mut MemoryState, entry: &Entry) {
        if !keeps(state) || entry.new.kind == MessageKind::Report {
            return;
        }
        let kept = KeptMessage {
            queue_id: entry.new.queue_id.clone(),
            reverse_path: entry.new.reverse_path.clone(),
            sender: entry.new.sender.clone(),
            body: entry.new.body,
            smtputf8: entry.new.smtputf8,
            request: entry.new.request.clone(),
            decisions: entry.decisions.clone(),
            label: entry.new.label.clone(),
            content: entry.new.content.clone(),
        };
        state.history.kept.entry(kept.queue_id.clone()).or_insert((self.now(), kept));
    }
}

fn keeps(state: &MemoryState) -> bool {
    state.history.rules.is_some_and(|rules| rules.contents.is_some())
}

fn is_same(one: &str, other: &str) -> bool {
    AddressKey::of_text(one) == AddressKey::of_text(other)
}

fn fits(at: Moment, entry: &HistoryEntry, search: &HistorySearch) -> bool {
    let bare = |text: &str| text.trim_matches(['<', '>']).to_owned();
    let subject = entry.label.subject.as_deref().unwrap_or_default().to_lowercase();
    let message_id = entry.label.message_id.as_deref().map(bare);
    search.to.as_ref().is_none_or(|to| is_same(to, &entry.to))
        && search.from.as_ref().is_none_or(|from| is_same(from, &entry.from))
        && search.subject.as_ref().is_none_or(|wanted| subject.contains(&wanted.to_lowercase()))
        && search.message_id.as_ref().is_none_or(|wanted| message_id == Some(bare(wanted)))
        && search.queue_id.as_ref().is_none_or(|wanted| *wanted == entry.queue_id)
        && search.since.is_none_or(|since| at >= since)
        && search.before.is_none_or(|before| entry.id < before)
}

#[async_trait]
impl HistoryStore for MemoryStore {
    fn set_history(&self, rules: HistoryRules) {
        self.state().history.rules = Some(rules);
    }

    async fn history(&self, search: HistorySearch) -> Result<HistoryPage, StoreError> {
        let state = self.state();
        let newest = state.history.entries.iter().rev();
        let fit = newest.filter(|(at, entry)| fits(*at, entry, &search)).map(|(_, entry)| entry.clone());
        let entries: Vec<_> = fit.take(search.limit as usize).collect();
        let next = entries.last().filter(|_| entries.len() == search.limit as usize).map(|last| last.id);
        Ok(HistoryPage { entries, next })
    }

    async fn kept(&self, queue_id: QueueId) -> Result<Option<KeptMessage>, StoreError> {
        Ok(self.state().history.kept.get(&queue_id).map(|(_, kept)| kept.clone()))
    }

    async fn forget(&self, address: String) -> Result<Forgotten, StoreError> {
        let mut state = self.state();
        let past = &mut state.history;
        let mut names = Vec::new();
        let (entries, contents) = (past.entries.len(), past.kept.len());
        past.entries.retain(|(_, entry)| {
            let is_it = is_same(&entry.to, &address) || is_same(&entry.from, &address);
            if is_it {
                names.push(entry.queue_id.clone());
            }
            !is_it
        });
        past.kept.retain(|queue_id, (_, kept)| {
            !names.contains(queue_id)
                && !is_same(&kept.sender, &address)
                && !is_same(kept.reverse_path.as_str(), &address)
        });
        Ok(Forgotten {
            entries: (entries - past.entries.len()) as u64,
            contents: (contents - past.kept.len()) as u64,
        })
    }

    async fn tidy_history(&self) -> Result<(), StoreError> {
        let (mut state, now) = (self.state(), self.now());
        let past = &mut state.history;
        let Some(rules) = past.rules else { return Ok(()) };
        let is_young = |at: Moment, age: Option<Duration>| age.is_some_and(|age| at.after(age) >= now);
        past.entries.retain(|(at, _)| is_young(*at, rules.entries));
        let oldest = past.entries.first().map_or(Moment(0), |(at, _)| *at);
        past.kept.retain(|_, (at, _)| is_young(*at, rules.contents) && *at >= oldest);
        Ok(())
    }
}
