//! One lane of the queue: it takes what is due and may go, and sees to it that it is tried.
//!
//! A lane sends by the accounts of its upstream. When none of them can send, it waits in the queue of each for the first
//! that can; or, for the causes that the configuration names, it sends by an upstream that stands in. No lane waits for
//! another, and a reload exchanges the settings of a lane that is at work.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::asking::{Prospect, ask, claim, come, connections_of, is_bound_by_connections, max_size};
use super::attempts::Attempts;
use super::in_hand::InHand;
use super::lane_log::LaneLog;
use super::lane_settings::LaneSettings;
use super::sweep::Sweep;
use crate::account::{Account, Choice, Grant, Obstacle, Waiting};
use crate::lane::{LaneState, Served};
use crate::limits::AccountKey;
use crate::store::{Claimed, Leased, StoreError};
use crate::time::Moment;

/// Messages that one claim of a lane takes at most.
const TURN: u32 = 100;
/// Attempts whose outcome is being written, for each connection.
const SETTLING: usize = 4;
/// How long to wait after the store has failed.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// A lane of the queue.
pub(super) struct Lane {
    settings: watch::Receiver<Option<Arc<LaneSettings>>>,
    shared: Arc<LaneSettings>,
    signal: Arc<Notify>,
    served: Served,
    waiting: Waiting,
    log: LaneLog,
    sweep: Sweep,
    attempts: Attempts,
    /// When something is due next, as the store has said; `None` when it is to be asked.
    next_due: Option<Moment>,
    /// Accounts that can take nothing of what is due.
    barren: Vec<AccountKey>,
    /// When something is due next that such an account may take.
    due_for_barren: Option<Moment>,
    /// What waits for the next connections.
    in_hand: InHand,
}

/// What a look for something to send has brought.
enum Filled {
    /// Look again: the next account may have more, or nothing is due.
    GoOn,
    /// That is all.
    Done(Rest),
}

/// How a lane rests.
#[derive(Clone, Copy)]
enum Rest {
    /// Something is in the way of what is due, until then at most; or attempts must end first.
    Stuck(Option<Moment>),
    /// Nothing is due until then.
    NothingDue(Option<Moment>),
}

impl Lane {
    /// A lane with its first settings; `None` in `settings` ends it.
    pub(super) fn new(
        settings: watch::Receiver<Option<Arc<LaneSettings>>>,
        shared: Arc<LaneSettings>,
    ) -> Self {
        let signal = shared.context.wakeups.signal(&shared.name);
        Self {
            served: shared.context.wakeups.serve(&shared.name),
            waiting: Waiting::new(signal.clone()),
            log: LaneLog::default(),
            sweep: Sweep::default(),
            attempts: Attempts::default(),
            next_due: None,
            barren: Vec::new(),
            due_for_barren: None,
            in_hand: InHand::default(),
            settings,
            shared,
            signal,
        }
    }

    /// Sends until the relay stops, or the configuration has no such lane any more; then waits for what is under way.
    pub(super) async fn run(mut self) {
        let mut phase = self.shared.context.phase.clone();
        self.shared.show(LaneState::Up);
        while !self.shared.context.is_finishing() && self.follow_settings() {
            let rest = self.fill().await;
            self.in_hand.rests();
            let prospect = self.prospect(&rest);
            let signal = self.signal.clone();
            tokio::select! {
                () = tokio::time::sleep(self.until(&rest)) => {}
                () = signal.notified() => {}
                () = come(prospect.as_ref()) => {}
                Some(ended) = self.attempts.next_ended() => self.attempts.ended(&self.shared, ended).await,
                Some(ended) = self.sweep.next_ended() => self.sweep.ended(&self.shared, ended).await,
                _ = self.settings.changed() => {}
                _ = phase.changed() => {}
            }
            if let Some(Prospect { account, ask }) = prospect {
                self.begin_taken(&account, ask.end().await);
            }
            while let Some(ended) = self.attempts.try_next_ended() {
                self.attempts.ended(&self.shared, ended).await;
            }
            // Whatever it was, the answers of the store are to be had anew.
            self.next_due = None;
            self.barren.clear();
            self.due_for_barren = None;
            if self.shared.context.wakeups.take_retry(&self.shared.name) {
                self.shared.candidates.probe_now(self.now());
                self.shared.unfit.clear();
            }
        }
        self.finish().await;
    }

    async fn finish(mut self) {
        self.waiting.leave();
        self.hand_back_all();
        while let Some(ended) = self.attempts.next_ended().await {
            self.attempts.ended(&self.shared, ended).await;
        }
        while let Some(ended) = self.sweep.next_ended().await {
            self.sweep.ended(&self.shared, ended).await;
        }
        self.log.limit_is_over(&self.shared, self.now());
        self.sweep.note_limit_wait(&self.shared).await;
        if self.settings.borrow().is_none() {
            let (context, name) = (&self.shared.context, &self.shared.name);
            drop(self.served);
            if !context.wakeups.is_served(name) {
                context.statuses.remove(name);
            }
            // What has come back meanwhile is moved to where it belongs now.
            context.wakeups.wake(name);
        }
    }

    /// Goes on with the settings in force; false when there are none any more.
    fn follow_settings(&mut self) -> bool {
        let settings = self.settings.borrow_and_update().clone();
        if let Some(settings) = &settings
            && !Arc::ptr_eq(settings, &self.shared)
        {
            // Accounts of the old settings are not waited for. What goes back does so by them: whoever sees that they are out of date
            // moves what belongs elsewhere now.
            self.waiting.leave();
            self.hand_back_all();
            self.shared = settings.clone();
        }
        settings.is_some()
    }

    /// Starts what may start. Tells when to look again.
    async fn fill(&mut self) -> Rest {
        self.sweep.run(&self.shared).await;
        loop {
            let now = self.now();
            if self.in_hand.until().is_some_and(|until| until <= now) {
                self.hand_back_all();
            }
            if self.attempts.len() >= SETTLING * self.shared.candidates.connections() {
                // The end of an attempt goes on from here.
                self.waiting.leave();
                return Rest::Stuck(None);
            }
            let waits = self.shared.context.store.lane_load(&self.shared.name).messages;
            let has_due = waits > 0 && self.next_due.is_none_or(|due| due <= now);
            if !has_due && self.in_hand.is_empty() {
                self.waiting.leave();
                self.log.nothing_waits(&self.shared, now);
                return Rest::NothingDue(self.next_due.filter(|_| waits > 0));
            }
            let filled = match self.choose(waits, now) {
                Choice::Go(grant, around) if self.in_hand.is_empty() => {
                    self.log.chosen = around;
                    self.claim(grant, now).await
                }
                Choice::Go(grant, _) => {
                    self.begin_in_hand(grant);
                    Filled::GoOn
                }
                Choice::Wait(Obstacle::Busy, _) if !self.in_hand.is_empty() => {
                    self.take_in_hand(has_due, now).await
                }
                Choice::Wait(obstacle, until) => {
                    self.hand_back_all();
                    self.wait(&obstacle, until, now).await
                }
            };
            if let Filled::Done(rest) = filled {
                return rest;
            }
        }
    }

    /// By what the next messages may go, of those in hand and of so many that wait.
    fn choose(&mut self, waits: u64, now: Moment) -> Choice {
        let wanted = waits.saturating_add(self.in_hand.len() as u64);
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX).min(TURN);
        self.shared.candidates.choose(&mut self.waiting, &self.barren, wanted, now)
    }

    /// Nothing may go now. Who has nothing to send must not stand in a queue: others that have none would wake it, and it them,
    /// in turn. With attempts under way there is an end to that.
    async fn wait(&mut self, obstacle: &Obstacle, until: Option<Moment>, now: Moment) -> Filled {
        let may_be_idle = obstacle.is_limit() || self.attempts.is_empty();
        let is_idle = may_be_idle && !self.is_due(now).await;
        if is_idle {
            self.waiting.leave();
            if obstacle.is_limit() || *obstacle == Obstacle::Busy {
                return Filled::GoOn;
            }
        }
        self.log.waits(&self.shared, obstacle, until, now);
        let due = self.next_due.filter(|_| is_idle);
        Filled::Done(Rest::Stuck([until, self.due_for_barren, due].into_iter().flatten().min()))
    }

    /// Whether something is due now that waits. Where the store does not say, it is.
    async fn is_due(&mut self, now: Moment) -> bool {
        match self.shared.context.store.next_due(&self.shared.name).await {
            Ok(Some(due)) if due > now => {
                self.next_due = Some(due);
                false
            }
            _ => true,
        }
    }

    /// Takes what is due and may go by an account.
    async fn claim(&mut self, grant: Grant, now: Moment) -> Filled {
        let shared = self.shared.clone();
        let connections = grant.connections.len();
        self.in_hand.used();
        let mut ask = ask(&shared, &grant.account, &grant.settings, connections as u32);
        let beforehand = self.in_hand.claim_begins(connections_of(&grant.account));
        if grant.is_alone && is_bound_by_connections(&shared, &grant.account, &ask) {
            ask.messages = ask.messages.saturating_add(beforehand as u32).min(TURN);
        }
        let claimed = claim(&shared, ask, !grant.probes.is_empty()).await;
        let Some(claimed) = self.note_claim_error(claimed) else {
            self.waiting.leave();
            return Filled::Done(Rest::Stuck(Some(now.after(STORE_RETRY))));
        };
        match claimed {
            Claimed::Messages { mut leased, more } => {
                self.log.note_sent_by(&shared, &grant, now);
                self.next_due = more;
                let rest = leased.split_off(leased.len().min(connections));
                self.in_hand.put(&grant.account, rest, self.now());
                self.attempts.begin(&shared, grant, leased);
                if more.is_none() && self.in_hand.is_empty() {
                    Filled::Done(Rest::NothingDue(None))
                } else {
                    Filled::GoOn
                }
            }
            Claimed::Blocked(wait) => {
                grant.note_limited(&wait, now);
                self.waiting.stay_first(&grant.account);
                Filled::GoOn
            }
            Claimed::Empty { next_due } => {
                self.log.was_empty(&shared, &grant, now);
                let passed_over = shared.unfit.concerns(grant.account.key())
                    || max_size(&shared, &grant.account, &grant.settings).is_some();
                if passed_over {
                    // Another account may take what this one can't.
                    self.barren.push(grant.account.key().clone());
                    self.due_for_barren = [self.due_for_barren, next_due].into_iter().flatten().min();
                    return Filled::GoOn;
                }
                self.next_due = next_due;
                if next_due.is_none() { Filled::Done(Rest::NothingDue(None)) } else { Filled::GoOn }
            }
        }
    }

    /// All connections are in use: sees that there is enough in hand for those that become free next. What is in hand goes
    /// while more of it is taken.
    async fn take_in_hand(&mut self, has_due: bool, now: Moment) -> Filled {
        let shared = self.shared.clone();
        let done = Filled::Done(Rest::Stuck(None));
        let [account] = shared.candidates.own() else { return done };
        let settings = account.settings();
        let connections = connections_of(account);
        if !has_due || !self.in_hand.is_low(connections) || self.waiting.is_among_others() {
            return done;
        }
        let mut ask = ask(&shared, account, &settings, 0);
        if !is_bound_by_connections(&shared, account, &ask) {
            return done;
        }
        ask.messages = (self.in_hand.claim_begins(connections) as u32).min(TURN);
        let claimed = self.go_on_during(claim(&shared, ask, false)).await;
        match self.note_claim_error(claimed) {
            Some(Claimed::Messages { leased, more }) => {
                self.next_due = more;
                self.in_hand.put(account, leased, self.now());
                Filled::GoOn
            }
            Some(Claimed::Empty { next_due }) => {
                self.next_due = next_due;
                done
            }
            Some(Claimed::Blocked(_)) => done,
            None => Filled::Done(Rest::Stuck(Some(now.after(STORE_RETRY)))),
        }
    }

    /// Waits for a claim; what is in hand goes meanwhile.
    async fn go_on_during(
        &mut self,
        claim: impl Future<Output = Result<Claimed, StoreError>>,
    ) -> Result<Claimed, StoreError> {
        let signal = self.signal.clone();
        let mut was_woken = false;
        let mut claim = std::pin::pin!(claim);
        let claimed = loop {
            tokio::select! {
                claimed = &mut claim => break claimed,
                () = signal.notified(), if !self.in_hand.is_empty() => {
                    was_woken = true;
                    self.begin_what_can();
                }
            }
        };
        if was_woken {
            // It may have been about something else.
            signal.notify_one();
        }
        claimed
    }

    /// Sends what is in hand, as far as there are connections.
    fn begin_what_can(&mut self) {
        while !self.in_hand.is_empty() {
            let now = self.now();
            let Choice::Go(grant, _) = self.choose(0, now) else { return };
            self.begin_in_hand(grant);
        }
    }

    /// Sends what is in hand over these connections; where they are another's, it goes back.
    fn begin_in_hand(&mut self, grant: Grant) {
        let messages = self.in_hand.take(&grant.account, grant.connections.len());
        if messages.is_empty() {
            return self.hand_back_all();
        }
        self.in_hand.used();
        self.attempts.begin(&self.shared, grant, messages);
    }

    /// What is in hand goes back into the queue.
    fn hand_back_all(&mut self) {
        if let Some((account, messages)) = self.in_hand.give_up() {
            self.attempts.hand_back(&self.shared, &account, messages);
        }
    }

    /// Says once that the store does not let us claim, and once that it does again.
    fn note_claim_error(&mut self, claimed: Result<Claimed, StoreError>) -> Option<Claimed> {
        let failed = claimed.as_ref().err().map(ToString::to_string);
        if failed.is_some() != std::mem::replace(&mut self.log.claim_failed, failed.is_some()) {
            let upstream = &self.shared.upstream.name;
            if let Some(reason) = failed {
                tracing::error!(event = "store", upstream, reason);
            } else {
                tracing::info!(event = "store", upstream, reason = "mail can be claimed again");
            }
        }
        claimed.ok()
    }

    /// While nothing is due, what comes is taken with the commit that accepts it, as much as an account could send at once.
    fn prospect(&self, rest: &Rest) -> Option<Prospect> {
        let is_full = self.attempts.len() >= SETTLING * self.shared.candidates.connections();
        if is_full || matches!(rest, Rest::Stuck(_)) {
            return None;
        }
        let (account, messages) = self.shared.candidates.prospect(self.now())?;
        let ask = ask(&self.shared, &account, &account.settings(), messages.min(TURN));
        let ask = self.shared.context.store.stand(ask);
        Some(Prospect { account, ask })
    }

    /// Sends what was taken as it came. What has no connection after all goes back into the queue.
    fn begin_taken(&mut self, account: &Arc<Account>, mut taken: Vec<Leased>) {
        if taken.is_empty() {
            return;
        }
        let now = self.now();
        if let Ok(grant) = self.shared.candidates.grant_of(account, taken.len() as u32, now) {
            self.log.note_sent_by(&self.shared, &grant, now);
            let rest = taken.split_off(taken.len().min(grant.connections.len()));
            self.attempts.begin(&self.shared, grant, std::mem::replace(&mut taken, rest));
        }
        self.attempts.hand_back(&self.shared, account, taken);
    }

    /// How long to sleep at most.
    fn until(&self, rest: &Rest) -> Duration {
        let now = self.now();
        let (Rest::Stuck(next) | Rest::NothingDue(next)) = *rest;
        let next = [next, self.in_hand.until()].into_iter().flatten().min();
        let next = next.map_or(Duration::MAX, |next| next.since(now));
        let waits = self.shared.context.store.lane_load(&self.shared.name).messages;
        // Mail that comes wakes the lane.
        if waits == 0 { next } else { next.min(self.sweep.next(now)) }
    }

    fn now(&self) -> Moment {
        self.shared.context.timeline.now()
    }
}
