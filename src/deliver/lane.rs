//! One lane of the queue: it takes what is due and may go, and sees to it that it is tried.
//!
//! A lane sends by the logins of its upstream. When none of them can send, it waits for the first that can; or, for the
//! causes that the configuration names, it sends by an upstream that stands in. While an upstream is down one probing
//! attempt is made at growing intervals; when it answers, all its mail is due at once. No lane waits for another.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};

use super::attempt::{self, Job};
use super::carrier::{Carrier, Obstacle, TURN, Turn};
use super::context::{Context, Phase};
use super::outcome::{self, End, Tried};
use super::reports::Office;
use super::tiers::{Pick, Tiers};
use crate::config::{Account, Upstream};
use crate::queue::LaneState;
use crate::route::lane_name;
use crate::store::{Claim, Claimed, Content, OverdueClaim, QueuedMessage, StoreError};
use crate::throttle::Wait;
use crate::time::Moment;
use crate::upstream::Mailbox;

/// A lane looks around at least this often, whatever it waits for.
const LOOK: Duration = Duration::from_secs(30);
/// How long a lease lasts. Longer than any attempt: its end is for a successor that shares the store.
const LEASE: Duration = Duration::from_hours(1);
/// Attempts whose outcome is being written, for each connection.
const SETTLING: usize = 4;
/// Overdue messages that are dealt with in one go.
const OVERDUE: u32 = 50;
/// How long to wait after the store has failed.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// What the attempts of a lane share.
pub(super) struct LaneShared {
    pub(super) context: Arc<Context>,
    /// The lane's name in the store.
    pub(super) name: String,
    /// The upstream whose mail it is.
    pub(super) upstream: Upstream,
    pub(super) tiers: Tiers,
    pub(super) captured: Arc<Mailbox>,
    /// Octets of content that this lane may hold in memory.
    pub(super) memory: Semaphore,
    /// How many octets that are.
    pub(super) memory_share: u64,
    /// Wakes the lane.
    pub(super) signal: Arc<Notify>,
}

/// What the log says of the limit that a lane waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    /// That it is reached.
    reached: bool,
    /// Its end is to be told.
    has_an_end: bool,
}

/// A lane of the queue.
pub struct Lane {
    shared: Arc<LaneShared>,
    attempts: JoinSet<()>,
    /// What the attempts are about, without the content.
    under_way: HashMap<tokio::task::Id, (QueuedMessage, Arc<Carrier>)>,
    /// Messages that have waited too long and are being dealt with.
    overdue: JoinSet<()>,
    /// Whether the last claim failed, so that it is said once.
    claim_failed: bool,
    limited: Option<Told>,
    /// The upstream that stands in at present.
    via: Option<String>,
    swept: Option<Moment>,
}

impl Lane {
    /// The lane of an upstream, or with an account that is bound to its sender, that sender's lane.
    #[must_use]
    pub fn new(
        context: Arc<Context>,
        upstream: &Upstream,
        bound: Option<&Account>,
        captured: Arc<Mailbox>,
    ) -> Self {
        let name = lane_name(upstream, bound);
        let signal = context.wake.signal(&name);
        let tiers = Tiers::new(&context.fleet, upstream, bound.map(Account::name));
        tiers.tell(&signal);
        let memory_share = (context.config.session.memory_budget.0 / 2).clamp(1, u64::from(u32::MAX));
        let memory = Semaphore::new(memory_share as usize);
        let upstream = upstream.clone();
        let shared = LaneShared { context, name, upstream, tiers, captured, memory, memory_share, signal };
        Self {
            shared: Arc::new(shared),
            attempts: JoinSet::new(),
            under_way: HashMap::new(),
            overdue: JoinSet::new(),
            claim_failed: false,
            limited: None,
            via: None,
            swept: None,
        }
    }

    /// Sends until the relay stops; then waits for what is under way.
    pub async fn run(mut self) {
        let mut phase = self.shared.context.phase.clone();
        self.shared.show(&LaneState::Up);
        while !stopping(&phase) {
            let next = self.fill().await;
            let signal = self.shared.signal.clone();
            tokio::select! {
                () = tokio::time::sleep(self.until(next)) => {}
                () = signal.notified() => {}
                Some(ended) = self.attempts.join_next_with_id() => self.ended(ended).await,
                Some(_) = self.overdue.join_next() => {}
                _ = phase.changed() => {}
            }
            while let Some(ended) = self.attempts.try_join_next_with_id() {
                self.ended(ended).await;
            }
            if self.shared.context.wake.take_retry(&self.shared.name) {
                self.shared.tiers.probe_now(self.now());
            }
        }
        while let Some(ended) = self.attempts.join_next_with_id().await {
            self.ended(ended).await;
        }
        while self.overdue.join_next().await.is_some() {}
        self.shared.tiers.close_idle(true);
        self.shared.context.wake.limit_wait_ends(&self.shared.name, self.now());
        self.note_limit_wait().await;
    }

    /// Starts what may start. Tells when to look again.
    async fn fill(&mut self) -> Option<Moment> {
        self.sweep().await;
        // Recipients of the first message that is due, once it has been looked at.
        let mut needed = 1;
        loop {
            let now = self.now();
            if self.attempts.len() >= SETTLING * self.shared.tiers.connections() {
                return None;
            }
            let (turn, around) = match self.shared.tiers.pick((TURN, needed), now) {
                Pick::Go(turn, around) => (turn, around),
                Pick::Busy => return self.idle_until(now),
                Pick::Wait(obstacle, until) => return self.wait(&obstacle, until, now).await,
            };
            if self.is_empty() {
                // Nothing can be waiting for a limit, and a probe without mail finds out nothing.
                if around.is_none() && turn.probes.is_empty() {
                    self.obstacle_is_over(now);
                }
                return self.idle_until(now);
            }
            let wanted = turn.seats.len() as u32;
            let claim = self.claim(&turn, now);
            let claimed = self.shared.context.store.claim(claim).await;
            let Some(claimed) = self.heed(claimed) else {
                return Some(now.after(STORE_RETRY));
            };
            if let Some(obstacle) = &around {
                self.goes_around(obstacle, &turn, !claimed.messages.is_empty(), now);
            } else if !claimed.messages.is_empty()
                // Mail goes, or none is waiting. A large envelope for which there is no room yet still waits for the
                // limit; a probe without mail has found out nothing.
                || (claimed.next_recipients.is_none() && turn.probes.is_empty())
            {
                self.obstacle_is_over(now);
            }
            let got = claimed.messages.len() as u32;
            self.begin(turn, claimed.messages, now);
            match claimed.next_recipients {
                // Another account may have room for it.
                Some(more) => needed = more,
                None if got < wanted => {
                    return claimed.next_due.filter(|&due| due > now).or(self.idle_until(now));
                }
                None => needed = 1,
            }
        }
    }

    fn claim(&self, turn: &Turn, now: Moment) -> Claim {
        Claim {
            route: self.shared.name.clone(),
            upstream: turn.carrier.upstream().name.clone(),
            account: turn.carrier.account.clone(),
            now,
            lease_until: now.after(LEASE),
            messages: turn.reservation.messages().min(turn.seats.len() as u32),
            recipients: turn.reservation.recipients(),
            recipients_per_message: turn.carrier.recipients_per_message(),
        }
    }

    /// Whether nothing waits in the lane. Lanes are told of much that concerns other lanes; this spares the store.
    fn is_empty(&self) -> bool {
        self.shared.context.store.lane_load(&self.shared.name).messages == 0
    }

    /// When the next message is due; nothing is claimed.
    async fn next_due(&self, now: Moment) -> Option<Moment> {
        if self.is_empty() {
            return None;
        }
        let claim = Claim {
            route: self.shared.name.clone(),
            upstream: String::new(),
            account: String::new(),
            now,
            lease_until: now,
            messages: 0,
            recipients: 0,
            recipients_per_message: 1,
        };
        self.shared.context.store.claim(claim).await.ok()?.next_due
    }

    /// Says once that the store does not let us claim, and once that it does again.
    fn heed(&mut self, claimed: Result<Claimed, StoreError>) -> Option<Claimed> {
        let failed = claimed.as_ref().err().map(ToString::to_string);
        if failed.is_some() != std::mem::replace(&mut self.claim_failed, failed.is_some()) {
            let upstream = &self.shared.upstream.name;
            if let Some(reason) = failed {
                tracing::error!(event = "store", upstream, reason);
            } else {
                tracing::info!(event = "store", upstream, reason = "mail can be claimed again");
            }
        }
        claimed.ok()
    }

    fn begin(&mut self, mut turn: Turn, messages: Vec<QueuedMessage>, now: Moment) {
        let mut probes = std::mem::take(&mut turn.probes);
        for message in messages {
            if message.permit() > 0 {
                turn.reservation.begin(message.permit(), now);
            }
            let job = Job {
                lane: self.shared.clone(),
                carrier: turn.carrier.clone(),
                seat: turn.seats.pop(),
                probes: std::mem::take(&mut probes),
            };
            let outline = outline(&message);
            let task = self.attempts.spawn(attempt::run(job, message));
            self.under_way.insert(task.id(), (outline, turn.carrier.clone()));
        }
    }

    /// Nothing may go now. If mail is waiting for a limit, that is said once, and from here on it makes no message older.
    async fn wait(&mut self, obstacle: &Obstacle, until: Option<Moment>, now: Moment) -> Option<Moment> {
        if let Obstacle::Limited(wait) = obstacle {
            if self.limited.is_none() {
                let next_due = self.next_due(now).await;
                if next_due.is_none_or(|due| due > now) {
                    return next_due.map(|due| until.map_or(due, |until| due.max(until)));
                }
                self.shared.context.wake.limit_wait_begins(&self.shared.name, now);
            }
            self.limit_reached(obstacle, wait, until);
        } else {
            self.limit_is_over(now);
        }
        if let Some(state) = obstacle.state() {
            self.shared.show(&state);
        }
        until
    }

    /// Says so, once.
    fn limit_reached(&mut self, obstacle: &Obstacle, wait: &Wait, until: Option<Moment>) {
        let told = self.limited.get_or_insert(Told { reached: false, has_an_end: false });
        told.has_an_end |= obstacle.has_an_end();
        if obstacle.is_news() && !std::mem::replace(&mut told.reached, true) {
            let shared = &self.shared;
            tracing::info!(
                event = "limit_reached",
                upstream = shared.upstream.name,
                account = shared.tiers.only_account(),
                reason = %wait.cause,
                next = until.map(|until| shared.wall(until))
            );
        }
    }

    /// Mail can go again.
    fn obstacle_is_over(&mut self, now: Moment) {
        if self.limited.is_some_and(|told| told.has_an_end) {
            let account = self.shared.tiers.only_account();
            tracing::info!(event = "limit_open", upstream = self.shared.upstream.name, account);
        }
        self.limit_is_over(now);
        self.goes();
    }

    /// Mail goes by an upstream that stands in: no message waits for a limit any more. It is said once that it does.
    fn goes_around(&mut self, obstacle: &Obstacle, turn: &Turn, has_mail: bool, now: Moment) {
        self.limit_is_over(now);
        let Some(state) = obstacle.state() else { return };
        let shared = &self.shared;
        let via = &turn.carrier.upstream().name;
        shared.context.board.set_via(&shared.name, state, via);
        if has_mail && self.via.as_ref() != Some(via) {
            let (upstream, reason) = (&shared.upstream.name, obstacle.reason());
            tracing::warn!(event = "fallback", upstream, reason, next = format!("by {via}"));
            self.via = Some(via.clone());
        }
    }

    /// Mail goes by the lane's own upstream.
    fn goes(&mut self) {
        self.shared.show(&LaneState::Up);
        if self.via.take().is_some() {
            let upstream = &self.shared.upstream.name;
            tracing::info!(event = "fallback", upstream, reason = "it can send itself again");
        }
    }

    fn limit_is_over(&mut self, now: Moment) {
        if self.limited.take().is_some() {
            self.shared.context.wake.limit_wait_ends(&self.shared.name, now);
        }
    }

    /// Ends what is too old, warns of what is late, keeps the books. One batch at a time, beside the attempts.
    async fn sweep(&mut self) {
        let now = self.now();
        if self.swept.is_some_and(|swept| now.since(swept) < LOOK) || !self.overdue.is_empty() {
            return;
        }
        self.swept = Some(now);
        self.note_limit_wait().await;
        let shared = &self.shared;
        let queue = &shared.context.config.queue;
        let age_zero = now.0 - shared.context.wake.limit_wait(&shared.name, now);
        let before =
            |age: Duration| age_zero.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        // While the upstream can be used, nothing ends without another attempt: that decides.
        let hopeless = shared.tiers.is_hopeless();
        let claim = OverdueClaim {
            route: shared.name.clone(),
            now,
            lease_until: now.after(LEASE),
            expired_before: hopeless.then(|| before(queue.expire_after)),
            warn_before: queue.warn_after.map(before),
            messages: OVERDUE,
        };
        let expired_before = claim.expired_before;
        let Ok(overdue) = shared.context.store.claim_overdue(claim).await else {
            return;
        };
        if overdue.len() >= OVERDUE as usize {
            // There may be more: look again as soon as these are done.
            self.swept = None;
        }
        for message in overdue {
            let shared = self.shared.clone();
            self.overdue.spawn(async move { outcome::overdue(&shared, message, expired_before).await });
        }
    }

    async fn note_limit_wait(&self) {
        let shared = &self.shared;
        let waited = shared.context.wake.limit_wait(&shared.name, self.now());
        if waited > 0
            && let Err(error) = shared.context.store.set_limit_wait(shared.name.clone(), waited).await
        {
            tracing::error!(event = "store", upstream = shared.upstream.name, reason = %error);
        }
    }

    fn until(&self, next: Option<Moment>) -> Duration {
        next.map_or(LOOK, |next| next.since(self.now()).min(LOOK))
    }

    /// Notes that an attempt has ended. One that failed by a fault of ours must not keep its message for ever.
    async fn ended(&mut self, ended: Result<(tokio::task::Id, ()), JoinError>) {
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        let outline = self.under_way.remove(&id);
        if let (Err(error), Some((message, carrier))) = (ended, outline)
            && error.is_panic()
        {
            tracing::error!(event = "fault", queue_id = %message.queue_id, reason = %error);
            let reply = "451 4.3.0 a fault in the program; please report it with the log";
            let tried = Tried::all(message, &End::DEFERRED, reply);
            outcome::settle(&self.shared, Some(&carrier), Tried { transacted: true, ..tried }).await;
        }
    }

    /// When idle connections are to be closed.
    fn idle_until(&self, now: Moment) -> Option<Moment> {
        self.shared.tiers.close_idle(false).then(|| now.after(Duration::from_secs(5)))
    }

    fn now(&self) -> Moment {
        self.shared.context.timeline.now()
    }
}

impl LaneShared {
    /// The memory that it may use for content, and how many octets that are.
    pub(super) fn memory(&self) -> (&Semaphore, u64) {
        (&self.memory, self.memory_share)
    }

    /// Who reports about its mail.
    pub(super) fn office(&self) -> Office<'_> {
        Office { context: &self.context, upstream: &self.upstream }
    }

    /// Writes on the board how the lane is.
    pub(super) fn show(&self, state: &LaneState) {
        self.context.board.set(&self.name, state.clone());
    }

    /// A moment as the log writes it.
    pub(super) fn wall(&self, moment: Moment) -> String {
        format!("{:.3}", self.context.timeline.wall_at(moment))
    }
}

/// A message without its content.
fn outline(message: &QueuedMessage) -> QueuedMessage {
    let content = match &message.content {
        Content::Inline(_) => Content::Inline(Vec::new()),
        Content::File(path) => Content::File(path.clone()),
    };
    QueuedMessage {
        content,
        queue_id: message.queue_id.clone(),
        route: message.route.clone(),
        request: message.request.clone(),
        reverse_path: message.reverse_path.clone(),
        sender: message.sender.clone(),
        client: message.client.clone(),
        test: message.test.clone(),
        recipients: message.recipients.clone(),
        ..*message
    }
}

fn stopping(phase: &watch::Receiver<Phase>) -> bool {
    *phase.borrow() >= Phase::Finishing
}
