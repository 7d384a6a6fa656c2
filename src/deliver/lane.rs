//! One upstream's lane: it takes what is due and may go, and sees to it that it is tried.
//!
//! A lane knows three reasons not to send: no connection is free, a limit is reached, the upstream is down. While it is
//! down one probing attempt is made at growing intervals; when it answers, all its mail is due at once. No lane waits
//! for another.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};

use super::attempt;
use super::capture::Mailbox;
use super::connection::Connector;
use super::context::{Context, Phase, account_name};
use super::health::{Down, Health};
use super::outcome::{self, End, Tried};
use super::pool::{Pool, Slot};
use super::reports::Office;
use crate::config::{Upstream, UpstreamKind};
use crate::queue::LaneState;
use crate::store::{Claim, Claimed, Content, OverdueClaim, QueuedMessage, StoreError};
use crate::throttle::{Budget, Wait};
use crate::time::Moment;

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
    pub(super) upstream: Upstream,
    pub(super) account: String,
    pub(super) way: Way,
    pub(super) health: Health,
    /// Octets of content that this lane may hold in memory.
    pub(super) memory: Semaphore,
    /// How many octets that are.
    pub(super) memory_share: u64,
    /// Wakes the lane.
    pub(super) signal: Arc<Notify>,
}

/// Where mail goes.
pub(super) enum Way {
    /// To a smart host.
    Smtp(Box<Connector>, Pool),
    /// Into the local mailbox.
    Capture(Pool),
}

/// The lane of one upstream.
pub struct Lane {
    shared: Arc<LaneShared>,
    captured: Arc<Mailbox>,
    attempts: JoinSet<()>,
    /// What the attempts are about, without the content.
    under_way: HashMap<tokio::task::Id, QueuedMessage>,
    /// Messages that have waited too long and are being dealt with.
    overdue: JoinSet<()>,
    /// Whether the last claim failed, so that it is said once.
    claim_failed: bool,
    limited: bool,
    swept: Option<Moment>,
}

impl Lane {
    /// The lane of an upstream.
    #[must_use]
    pub fn new(context: Arc<Context>, upstream: &Upstream, captured: Arc<Mailbox>) -> Self {
        let pool = Pool::new(upstream.limits.connections);
        let way = match &upstream.kind {
            UpstreamKind::Smtp(smtp) => {
                let hostname = &context.config.hostname;
                Way::Smtp(Box::new(Connector::new(context.dial.clone(), (**smtp).clone(), hostname)), pool)
            }
            UpstreamKind::Capture(_) => Way::Capture(pool),
        };
        let account = account_name(upstream);
        if upstream.enabled {
            context.throttle.set_limits(&upstream.name, &account, upstream.limits.clone());
        }
        let signal = context.wake.signal(&upstream.name);
        let memory_share = (context.config.session.memory_budget.0 / 2).clamp(1, u64::from(u32::MAX));
        let memory = Semaphore::new(memory_share as usize);
        let shared = LaneShared {
            context,
            upstream: upstream.clone(),
            account,
            way,
            health: Health::default(),
            memory,
            memory_share,
            signal,
        };
        Self {
            shared: Arc::new(shared),
            captured,
            attempts: JoinSet::new(),
            under_way: HashMap::new(),
            overdue: JoinSet::new(),
            claim_failed: false,
            limited: false,
            swept: None,
        }
    }

    /// Sends until the relay stops; then waits for what is under way.
    pub async fn run(mut self) {
        let mut phase = self.shared.context.phase.clone();
        self.shared.show();
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
            if self.shared.context.wake.take_retry(&self.shared.upstream.name) {
                self.shared.health.probe_now(self.now());
            }
        }
        while let Some(ended) = self.attempts.join_next_with_id().await {
            self.ended(ended).await;
        }
        while self.overdue.join_next().await.is_some() {}
        self.shared.pool().close_all();
        self.shared.context.wake.limit_wait_ends(&self.shared.upstream.name, self.now());
        self.note_limit_wait().await;
    }

    /// Starts what may start. Tells when to look again.
    async fn fill(&mut self) -> Option<Moment> {
        self.sweep().await;
        if !self.shared.upstream.enabled {
            return None;
        }
        loop {
            let now = self.now();
            let Some(slots) = self.slots(now) else {
                // An attempt that ends wakes us; a probe has its time.
                let down = self.shared.health.down().filter(|_| self.attempts.is_empty());
                return down.map(|down| down.probe_at);
            };
            let budget = self.shared.budget(1, now);
            let Budget::Open { messages, recipients } = budget else {
                return self.wait_for_limit(budget, now).await;
            };
            self.limit_opens(now);
            let wanted = messages.min(slots as u32);
            let claimed = self.claim(wanted, recipients, now).await;
            let Some(claimed) = self.heed(claimed) else {
                return Some(now.after(STORE_RETRY));
            };
            let got = claimed.messages.len();
            self.begin(claimed.messages, now);
            if let Some(needed) = claimed.next_recipients
                && let budget @ Budget::Wait(_) = self.shared.budget(needed, now)
            {
                return self.wait_for_limit(budget, now).await;
            }
            if got < wanted as usize {
                // What is due but did not fit goes when a connection or a permit is free again.
                return claimed.next_due.filter(|&due| due > now).or(self.idle_until(now));
            }
        }
    }

    /// Connections that may be used now; `None` when the lane has to wait for something else than a limit.
    fn slots(&self, now: Moment) -> Option<usize> {
        let pool = self.shared.pool();
        let settling = self.attempts.len() >= SETTLING * self.shared.upstream.limits.connections as usize;
        match self.shared.health.down() {
            Some(down) if now < down.probe_at || !self.attempts.is_empty() => None,
            Some(_) => Some(1),
            None if settling => None,
            None => Some(pool.free()).filter(|&free| free > 0),
        }
    }

    async fn claim(&self, messages: u32, recipients: u32, now: Moment) -> Result<Claimed, StoreError> {
        let shared = &self.shared;
        let claim = Claim {
            route: shared.upstream.name.clone(),
            account: shared.account.clone(),
            now,
            lease_until: now.after(LEASE),
            messages,
            recipients,
            recipients_per_message: shared.recipients_per_message(),
        };
        shared.context.store.claim(claim).await
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

    fn begin(&mut self, messages: Vec<QueuedMessage>, now: Moment) {
        for message in messages {
            let shared = self.shared.clone();
            if message.permit() > 0 {
                shared.context.throttle.begin(&shared.upstream.name, &shared.account, message.permit(), now);
            }
            let slot: Option<Slot> = shared.pool().slot();
            let captured = self.captured.clone();
            let outline = outline(&message);
            let task = self.attempts.spawn(attempt::run(shared, captured, message, slot));
            self.under_way.insert(task.id(), outline);
        }
    }

    /// Nothing may go now. If mail is waiting, that is said once, and from here on it makes no message older.
    async fn wait_for_limit(&mut self, budget: Budget, now: Moment) -> Option<Moment> {
        let Budget::Wait(wait) = budget else {
            return None;
        };
        if !self.limited {
            let next_due = self.claim(0, 0, now).await.ok()?.next_due;
            if next_due.is_none_or(|due| due > now) {
                return next_due.map(|due| wait.until.map_or(due, |until| due.max(until)));
            }
            self.limited = true;
            self.limit_reached(wait, now);
        }
        let state = LaneState::Limited { reason: describe(wait), until: wait.until };
        self.shared.context.board.set(&self.shared.upstream.name, state);
        wait.until
    }

    fn limit_reached(&self, wait: Wait, now: Moment) {
        let shared = &self.shared;
        shared.context.wake.limit_wait_begins(&shared.upstream.name, now);
        // The even pace waits between any two messages; that is no news.
        if wait.window.is_some() {
            tracing::info!(
                event = "limit_reached",
                upstream = shared.upstream.name,
                account = shared.account(),
                reason = describe(wait),
                next = wait.until.map(|until| shared.wall(until))
            );
        }
    }

    fn limit_opens(&mut self, now: Moment) {
        if std::mem::take(&mut self.limited) {
            let shared = &self.shared;
            shared.context.wake.limit_wait_ends(&shared.upstream.name, now);
            if shared.upstream.limits.pace == crate::config::Pace::Burst {
                tracing::info!(
                    event = "limit_open",
                    upstream = shared.upstream.name,
                    account = shared.account
                );
            }
            shared.show();
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
        let age_zero = now.0 - shared.context.wake.limit_wait(&shared.upstream.name, now);
        let before =
            |age: Duration| age_zero.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        // While the upstream can be used, nothing ends without another attempt: that decides.
        let hopeless = !shared.upstream.enabled || shared.health.down().is_some();
        let claim = OverdueClaim {
            route: shared.upstream.name.clone(),
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
        let waited = shared.context.wake.limit_wait(&shared.upstream.name, self.now());
        if waited > 0
            && let Err(error) =
                shared.context.store.set_limit_wait(shared.upstream.name.clone(), waited).await
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
        if let (Err(error), Some(message)) = (ended, outline)
            && error.is_panic()
        {
            tracing::error!(event = "fault", queue_id = %message.queue_id, reason = %error);
            let reply = "451 4.3.0 a fault in the program; please report it with the log";
            let tried = Tried::all(message, &End::DEFERRED, reply);
            outcome::settle(&self.shared, Tried { transacted: true, ..tried }).await;
        }
    }

    /// When idle connections are to be closed.
    fn idle_until(&self, now: Moment) -> Option<Moment> {
        self.shared.pool().close_idle().then(|| now.after(Duration::from_secs(5)))
    }

    fn now(&self) -> Moment {
        self.shared.context.timeline.now()
    }
}

impl LaneShared {
    pub(super) fn pool(&self) -> &Pool {
        match &self.way {
            Way::Smtp(_, pool) | Way::Capture(pool) => pool,
        }
    }

    /// The memory that it may use for content, and how many octets that are.
    pub(super) fn memory(&self) -> (&Semaphore, u64) {
        (&self.memory, self.memory_share)
    }

    /// Who reports about its mail.
    pub(super) fn office(&self) -> Office<'_> {
        Office { context: &self.context, upstream: &self.upstream }
    }

    /// Notes that the upstream answers. When it was down, all its mail is due at once.
    pub(super) async fn is_up(&self) {
        if !self.health.answered() {
            return;
        }
        tracing::info!(event = "upstream_up", upstream = self.upstream.name, account = self.account());
        let now = self.context.timeline.now();
        if let Err(error) = self.context.store.make_due(self.upstream.name.clone(), now).await {
            tracing::error!(event = "store", upstream = self.upstream.name, reason = %error);
        }
        self.show();
    }

    /// Notes that the upstream can't be used, and says so once.
    pub(super) fn is_down(&self, down: &Down) {
        self.pool().close_all();
        if down.failures == 1 {
            tracing::warn!(
                event = "upstream_down",
                upstream = self.upstream.name,
                account = self.account(),
                reason = down.reason,
                next = self.wall(down.probe_at)
            );
        }
        let state = LaneState::Down { reason: down.reason.clone(), until: down.probe_at };
        self.context.board.set(&self.upstream.name, state);
    }

    /// Writes on the board that nothing is in the way.
    pub(super) fn show(&self) {
        let state = if self.upstream.enabled {
            LaneState::Up
        } else {
            LaneState::Disabled { reason: "enabled = false in the configuration".into() }
        };
        self.context.board.set(&self.upstream.name, state);
    }

    /// The account as the log names it.
    pub(super) fn account(&self) -> Option<&str> {
        Some(self.account.as_str()).filter(|account| !account.is_empty())
    }

    /// A moment as the log writes it.
    pub(super) fn wall(&self, moment: Moment) -> String {
        format!("{:.3}", self.context.timeline.wall_at(moment))
    }

    fn budget(&self, recipients: u32, now: Moment) -> Budget {
        self.context.throttle.budget_for(&self.upstream.name, &self.account, recipients, now)
    }

    /// What one transaction may hold: all for the local mailbox, which wants a message whole; else no more than the smallest limit, or it would never fit.
    fn recipients_per_message(&self) -> u32 {
        let limits = &self.upstream.limits;
        if matches!(self.way, Way::Capture(_)) {
            return u32::MAX;
        }
        let smallest = limits.quotas.iter().filter_map(|quota| quota.recipients).min();
        let announced = self.pool().most_recipients();
        let smallest = smallest.into_iter().chain(announced).min();
        limits.recipients_per_message.min(smallest.unwrap_or(u32::MAX))
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

fn describe(wait: Wait) -> String {
    wait.window.map_or_else(|| "even pace".to_owned(), |window| format!("limit per {}", window.name()))
}
