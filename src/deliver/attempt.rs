//! One attempt: a message under a lease is made ready for its upstream and handed over, and what became of it is noted.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::attempted::{self, Attempted, RecipientOutcome};
use super::content::{Budgets, LoadError, Loaded, NotMadeReady, SentContent, Unfit, load, make_ready};
use super::context::Context;
use super::lane_settings::LaneSettings;
use super::other_lane::{lane_now, move_to_lane};
use super::unfit::Misfit;
use super::{other_lane, sent_copy, settle};
use crate::account::{
    Account, AccountSettings, Feedback, MailFacts, PooledConnection, Probe, RefusedWhenUsed, say_goodbye,
};
use crate::config::{BlacklistAction, DoubtPause};
use crate::limits::Amount;
use crate::mail::{Address, RecipientRequest, ReversePath};
use crate::metrics::TimedPhase;
use crate::smtp::Reply;
use crate::store::{Leased, Message, MessageKind};
use crate::transform::{EditedFields, Prepared};
use crate::upstream::{
    ConnectError, DeferralCause, Link, Outcome, RecipientResult, ReplyAction, Requests, SendError, Stage,
    TransactionResult, blacklist_candidate, row_for, stated_wait,
};

/// What is noted of recipients that were held up by others of their envelope.
const WITHOUT_OTHERS: &str = "goes without the recipients that the upstream can't be told";

/// What is noted of recipients whose attempt the end of the relay has cut off.
const STOPPED: &str = "broken off: the relay was stopped";

/// What an attempt works with.
pub(super) struct Job {
    pub(super) lane: Arc<LaneSettings>,
    pub(super) account: Arc<Account>,
    pub(super) settings: Arc<AccountSettings>,
    pub(super) pooled: Option<PooledConnection>,
    /// Held while it finds out whether the upstream answers again.
    pub(super) probes: Vec<Probe>,
    /// Whether the transaction was begun over a used connection, and again over a new one.
    pub(super) repeated: bool,
}

/// Makes one attempt, and settles it.
pub(super) async fn run(mut job: Job, mut leased: Leased) {
    let lane = job.lane.clone();
    if lane.context.is_finishing() {
        return settle::hand_back(&lane, &job.account, leased).await;
    }
    let lane_now = lane_now(&lane.context, &leased.message);
    if lane_now != lane.name {
        return move_to_lane(&lane, &job.account, leased, lane_now).await;
    }
    let mut untried = attempted::set_aside(&mut leased.message);
    untried.extend(take_listed(&lane.context, &mut leased.message));
    let attempted = if leased.message.recipients.is_empty() {
        Some(Attempted::new(leased))
    } else {
        job.attempt(leased).await
    };
    // What it has found out counts now, and others may go.
    let Job { account, pooled, probes, .. } = job;
    drop((pooled, probes));
    if let Some(attempted) = attempted {
        settle::settle(&lane, Some(&account), attempted.with(untried)).await;
    }
}

/// What the dialogue with the upstream came to.
enum AttemptEnd {
    /// The transaction was tried.
    Tried(Tried),
    /// No connection came about.
    NotReady(ConnectError),
    /// The content can't be read; nothing was sent.
    Unread(LoadError),
    /// The content can't be read to its end: the transaction was broken off before the final dot.
    CutOff(LoadError, String),
    /// The message can't be made ready for this upstream, or is too large for it.
    Unfit(Unfit, String),
    /// The relay stops, and no transaction had begun.
    NotBegun,
    /// The relay stops in the middle of a transaction.
    BrokenOff {
        host: String,
        /// Whether the final dot may have arrived.
        possible_duplicate: bool,
    },
}

/// A transaction that was tried.
struct Tried {
    result: TransactionResult,
    link: Link,
    /// The recipients that the upstream was told, one for each result.
    told: Vec<Address>,
    /// The reverse-path that it was told.
    reverse_path: ReversePath,
    /// What it was sent, where a copy of that may be wanted.
    sent: Option<SentContent>,
    /// The fields that others than the recipients were taken out of.
    edited: EditedFields,
}

impl AttemptEnd {
    /// This was sent, if anything was.
    fn with_sent(self, sent: SentContent) -> Self {
        let Self::Tried(tried) = self else { return self };
        Self::Tried(Tried { sent: Some(sent), ..tried })
    }
}

impl Job {
    /// `None` when nothing was tried, and the message was handed back.
    async fn attempt(&mut self, leased: Leased) -> Option<Attempted> {
        if leased.attempts == 0 {
            self.took(TimedPhase::Queue, self.lane.context.timeline.now().since(leased.message.accepted));
        }
        let idle = self.pooled.as_mut().and_then(PooledConnection::take);
        let budgets = Budgets { share: self.lane.memory.clone(), all: self.lane.context.memory.clone() };
        let way = (&*self.lane.context.transformer, &*self.settings);
        let loading = load(budgets, &leased.message, Some(way));
        let loaded = tokio::select! {
            loaded = loading => loaded.map_err(AttemptEnd::Unread),
            () = self.lane.context.stopping() => Err(AttemptEnd::NotBegun),
        };
        let dialogue = match loaded {
            Ok(loaded) => self.dialogue(&leased.message, loaded, idle).await,
            Err(dialogue) => {
                if let Some(link) = idle {
                    self.give_back(link);
                }
                dialogue
            }
        };
        let before = self.begun_before(&leased.message);
        let attempted = self.judge(leased, dialogue).await?;
        Some(attempted.counted_again(before))
    }

    /// What the provider may have counted of a transaction that was begun over a used connection, and refused there.
    fn begun_before(&self, message: &Message) -> Option<Amount> {
        self.repeated.then(|| Amount { octets: 0, ..message.amount() })
    }

    /// Speaks with the upstream. What a connection that was used before refuses is tried once more over a new one, before
    /// anything is concluded from it.
    async fn dialogue(
        &mut self,
        message: &Message,
        mut loaded: Loaded,
        mut idle: Option<Link>,
    ) -> AttemptEnd {
        let mut before: Option<RefusedWhenUsed> = None;
        loop {
            let reused = idle.is_some();
            let link = match idle.take() {
                Some(link) => link,
                None => match self.open().await {
                    Ok(link) => link,
                    Err(dialogue) => return dialogue,
                },
            };
            let (prepared, link) = match self.make_ready(message, &mut loaded, link).await {
                Ok(ready) => ready,
                Err(dialogue) => return dialogue,
            };
            // The original is needed again only if this connection may turn out to be gone.
            loaded.goes(&prepared.content, &self.settings.transport, reused);
            let (is_used, carried) = (link.is_used(), link.messages());
            match self.transaction(message, &prepared, link).await {
                AttemptEnd::Tried(Tried { result, link, .. })
                    if reused && self.feedback().is_in_doubt(&result, is_used) =>
                {
                    self.close(link).await;
                    self.repeated |= result.recipients.iter().any(|result| result.stage > Stage::Mail);
                    before = Some(RefusedWhenUsed { result, carried });
                }
                dialogue => {
                    if let (Some(before), AttemptEnd::Tried(tried)) = (before, &dialogue) {
                        self.feedback().tried_again(&before, &tried.result);
                    }
                    return dialogue.with_sent(loaded.sent(prepared.content));
                }
            }
        }
    }

    /// Makes the message ready for what a link leads to; where that fails, the link is free for others.
    async fn make_ready(
        &mut self,
        message: &Message,
        loaded: &mut Loaded,
        link: Link,
    ) -> Result<(Prepared, Link), AttemptEnd> {
        let transformer = &self.lane.context.transformer;
        let (offer, host) = (link.offer(), link.host().to_owned());
        let made = tokio::select! {
            made = make_ready(transformer, &self.settings, (offer, &host), (message, loaded)) => made,
            () = self.lane.context.stopping() => return Err(AttemptEnd::NotBegun),
        };
        let not_ready = match made {
            Ok(prepared) => return Ok((prepared, link)),
            Err(not_ready) => not_ready,
        };
        self.give_back(link);
        Err(match not_ready {
            NotMadeReady::Unfit(unfit) => AttemptEnd::Unfit(unfit, host),
            NotMadeReady::Unread(error) => AttemptEnd::Unread(error),
        })
    }

    /// Ends a connection that is followed by another in its place.
    async fn close(&mut self, link: Link) {
        say_goodbye(link).await;
        if let Some(pooled) = &mut self.pooled {
            pooled.note_gone();
        }
    }

    /// The connection is free for the next message while this one's outcome is written.
    fn give_back(&mut self, link: Link) {
        if let Some(mut pooled) = self.pooled.take() {
            pooled.put(link);
        }
    }

    async fn open(&mut self) -> Result<Link, AttemptEnd> {
        let begun = Instant::now();
        let link = tokio::select! {
            opened = self.settings.transport.open() => opened.map_err(AttemptEnd::NotReady)?,
            () = self.lane.context.stopping() => return Err(AttemptEnd::NotBegun),
        };
        self.took(TimedPhase::Connect, begun.elapsed());
        if let Some(pooled) = &mut self.pooled {
            pooled.note_ready();
        }
        Ok(link)
    }

    fn took(&self, phase: TimedPhase, time: Duration) {
        self.lane.context.metrics.took(phase, self.account.counted().upstream, time);
    }

    async fn transaction(&mut self, message: &Message, prepared: &Prepared, mut link: Link) -> AttemptEnd {
        let envelope: Vec<Address> = message.recipients.iter().map(|r| r.address.clone()).collect();
        let asked: Vec<RecipientRequest> = message.recipients.iter().map(|r| r.request.clone()).collect();
        // A test copy goes to somebody whom nothing of this concerns.
        let requests = match message.decisions.test {
            Some(_) => Requests::default(),
            None => Requests { message: Some(&message.request), recipients: &asked },
        };
        let outgoing = prepared.outgoing(&message.queue_id, &envelope, requests);
        let begun = Instant::now();
        tokio::select! {
            result = link.send(&outgoing) => match result {
                Ok(result) => {
                    self.took(TimedPhase::Transaction, begun.elapsed());
                    let (told, reverse_path) = (prepared.recipients.clone(), prepared.reverse_path.clone());
                    AttemptEnd::Tried(Tried { result, link, told, reverse_path, sent: None, edited: prepared.edited })
                }
                Err(SendError::Unreachable(error)) => AttemptEnd::NotReady(error),
                Err(SendError::Unread(error)) => {
                    let host = link.host().to_owned();
                    self.give_back(link);
                    AttemptEnd::CutOff(LoadError::of(&error, &message.queue_id), host)
                }
            },
            () = self.lane.context.stopping() => AttemptEnd::BrokenOff {
                host: link.host().to_owned(),
                possible_duplicate: link.is_dot_under_way(),
            },
        }
    }

    /// What the dialogue means for each recipient, and for the account.
    async fn judge(&mut self, leased: Leased, dialogue: AttemptEnd) -> Option<Attempted> {
        Some(match dialogue {
            AttemptEnd::Tried(tried) => return self.tried(leased, tried).await,
            // There was nothing to log in with: it waits until there is, and was not tried.
            AttemptEnd::NotReady(error) if error.no_token().is_some() && !self.repeated => {
                settle::hand_back(&self.lane, &self.account, leased).await;
                return None;
            }
            AttemptEnd::NotReady(error) => {
                self.feedback().connection_failed(&error).await;
                let attempted = Attempted::all(leased, Outcome::UPSTREAM, &error.words());
                Attempted { host: error.host, ..attempted }
            }
            AttemptEnd::Unread(error) => unread(leased, error),
            AttemptEnd::CutOff(error, host) => Attempted { host, ..unread(leased, error).counted() },
            AttemptEnd::Unfit(unfit, host) => {
                let by = (&*self.lane, &*self.account, &*self.settings);
                let used = self.begun_before(&leased.message);
                let leased = other_lane::by_large(by, leased, (&unfit, used)).await?;
                self.unfit(leased, &unfit, host)
            }
            AttemptEnd::NotBegun if self.repeated => Attempted::all(leased, Outcome::UPSTREAM, STOPPED),
            AttemptEnd::NotBegun => {
                settle::hand_back(&self.lane, &self.account, leased).await;
                return None;
            }
            AttemptEnd::BrokenOff { host, possible_duplicate } => {
                let outcome = Outcome::Deferred { cause: DeferralCause::Upstream, possible_duplicate };
                let mut attempted = Attempted::all(leased, outcome, STOPPED);
                for each in &mut attempted.outcomes {
                    each.doubt_pause = self.settings.upstream.doubt_pause();
                }
                Attempted { host, ..attempted.counted() }
            }
        })
    }

    /// What the answers mean for each recipient, and for the account.
    async fn tried(&mut self, leased: Leased, tried: Tried) -> Option<Attempted> {
        let Tried { result, link, told, reverse_path, sent, edited } = tried;
        let sent = sent.filter(|_| sent_copy::is_wanted(&self.settings, &leased.message) && !leased.copied);
        let (host, offer) = (link.host().to_owned(), link.offer());
        self.give_back(link);
        let id = leased.lease.id;
        let facts = MailFacts::of(&leased.message, Some(id)).told_as(&reverse_path);
        let answers: Vec<_> = told.iter().map(Some).zip(&result.recipients).collect();
        let judgement = self.feedback().transaction(&facts, &answers).await;
        self.lane.suspects.note(id, judgement.is_suspect);
        if let Some(reply) = result.too_large() {
            let unfit = Unfit { reply: reply.clone(), misfit: Some(Misfit::Message) };
            let before = self.begun_before(&leased.message).unwrap_or(Amount::NONE);
            let used = Some(leased.message.amount().plus(before));
            let by = (&*self.lane, &*self.account, &*self.settings);
            let leased = other_lane::by_large(by, leased, (&unfit, used)).await?;
            return Some(self.unfit(leased, &unfit, host).counted());
        }
        let doubt_pause = self.settings.upstream.doubt_pause();
        let outcomes = outcomes(&leased, (&result, &judgement.outcomes), doubt_pause);
        let attempted =
            Attempted { host, outcomes, sends_reports: offer.dsn, sent, edited, ..Attempted::new(leased) };
        Some(if offer.local { attempted } else { attempted.counted() })
    }

    /// What this account can't take, another may. It has failed only when none of the upstream's own can ever take it.
    fn unfit(&self, leased: Leased, unfit: &Unfit, host: String) -> Attempted {
        let (id, size) = (leased.lease.id, leased.message.size);
        let reply = unfit.reply.to_string();
        let Some(misfit) = unfit.misfit.clone() else {
            return Attempted::all(leased, Outcome::DEFERRED, &reply);
        };
        self.lane.unfit.note(id, self.account.key(), misfit);
        let can_not = |own: &Arc<Account>, place: u32| {
            let too_large = own.settings().message_size().is_some_and(|most| size > most);
            too_large || self.lane.unfit.has(id, own.key(), place)
        };
        let own = self.lane.candidates.own();
        let places = leased.message.recipients.iter().map(|recipient| recipient.index);
        let hopeless: BTreeSet<u32> =
            places.filter(|&place| own.iter().all(|own| can_not(own, place))).collect();
        if hopeless.is_empty() {
            return Attempted { host, ..Attempted::all(leased, Outcome::UPSTREAM, &reply) };
        }
        self.lane.unfit.forget_recipients(id, &hopeless);
        let mut attempted = Attempted::all(leased, Outcome::Bounced, &reply);
        let others = |each: &&mut RecipientOutcome| !hopeless.contains(&each.recipient.index);
        for other in attempted.outcomes.iter_mut().filter(others) {
            (other.outcome, other.reply) = (Outcome::Later, WITHOUT_OTHERS.to_owned());
        }
        Attempted { host, ..attempted }
    }

    fn feedback(&self) -> Feedback<'_> {
        Feedback { accounts: &self.lane.context.accounts, account: &self.account }
    }
}

/// The content can't be read: it is tried again, unless it is damaged.
fn unread(leased: Leased, error: LoadError) -> Attempted {
    match error {
        LoadError::Unreadable(reason) => {
            let reply = Reply::new(451, (4, 3, 0), reason);
            Attempted::all(leased, Outcome::DEFERRED, &reply.to_string())
        }
        LoadError::Damaged(reason) => Attempted::damaged(leased, reason),
    }
}

/// What a transaction means for each recipient of the message. In test redirect one answer stands for all.
fn outcomes(
    leased: &Leased,
    (result, judged): (&TransactionResult, &[Outcome]),
    doubt_pause: Option<DoubtPause>,
) -> Vec<RecipientOutcome> {
    let message = &leased.message;
    let alone = message.recipients.len() == 1 && leased.others_waiting == 0;
    // A report of ours that the upstream takes from nobody stops nothing, and can't wait for a person.
    let hopeless = |answer: &RecipientResult| {
        message.kind == MessageKind::Report
            && answer.stage >= Stage::Mail
            && answer.reply().is_some_and(|reply| {
                matches!(
                    row_for(answer.stage, reply).action,
                    ReplyAction::Stop { .. } | ReplyAction::StopSender(_)
                )
            })
    };
    let judged: Vec<(&RecipientResult, Outcome)> =
        result.recipients.iter().zip(judged.iter().copied()).collect();
    let answers = (0..message.recipients.len()).filter_map(|place| {
        judged.get(place).or(judged.last()).map(|&(result, outcome)| (place, result, outcome))
    });
    answers
        .map(|(place, answer, outcome)| {
            let outcome = if hopeless(answer) { Outcome::Bounced } else { outcome };
            let names_it = answer.stage == Stage::Rcpt || (answer.stage == Stage::FinalDot && alone);
            let no_such_mailbox = outcome == Outcome::Bounced
                && names_it
                && message.decisions.test.is_none()
                && answer.reply().is_some_and(blacklist_candidate);
            let recipient = message.recipients[place].clone();
            let stated = answer.reply().and_then(stated_wait);
            RecipientOutcome {
                recipient,
                outcome,
                reply: answer.to_string(),
                is_said: answer.reply().is_some(),
                stated,
                doubt_pause,
                no_such_mailbox,
            }
        })
        .collect()
}

/// Takes out who is on the blacklist by now, with what becomes of them.
fn take_listed(context: &Context, message: &mut Message) -> Vec<RecipientOutcome> {
    let outcome = match context.config.blacklist.action {
        BlacklistAction::Reject => Outcome::Bounced,
        BlacklistAction::Drop => Outcome::Dropped,
    };
    let listed = message.recipients.extract_if(.., |recipient| recipient.listed.is_some());
    listed
        .map(|recipient| {
            let reason = recipient.listed.clone().unwrap_or_default();
            let reply = format!("550 5.7.1 <{}> is on the blacklist ({reason})", recipient.address);
            RecipientOutcome::new(recipient, outcome, reply)
        })
        .collect()
}
