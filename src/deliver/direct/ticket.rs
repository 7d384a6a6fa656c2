//! The right to one transaction: its permit, and a connection to use it over.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Shared, refusal};
use crate::config::{Upstream, UpstreamKind};
use crate::deliver::classify::{Verdict, classify};
use crate::deliver::connection::{Connection, Connector};
use crate::deliver::context::{Context, Phase, account_name};
use crate::deliver::health::Health;
use crate::deliver::pool::{Pool, Slot};
use crate::deliver::transaction::{Answer, RecipientResult};
use crate::queue::direct::Refused;
use crate::store::{Handover, NewPermit, Permit, PermitId};
use crate::throttle::Budget;

/// How long a client waits for a connection to be free.
const BUSY: Duration = Duration::from_secs(10);
/// How often is looked for one.
const LOOK: Duration = Duration::from_millis(50);
/// How often an outcome is offered to a store that fails.
const STORE_RETRY: Duration = Duration::from_secs(1);
/// Recipients for which a permit is recorded when it is not known how many there will be (RFC 5321 4.5.3.1.8). The
/// counts in memory go by those that there are; all of these count only when we die in the middle.
const UNKNOWN: u32 = 100;

/// The accounts of all upstreams.
pub(super) struct Lines(HashMap<String, Arc<Line>>);

/// An account of an upstream.
pub(super) struct Line {
    pub(super) upstream: Upstream,
    pub(super) account: String,
    connector: Connector,
    pool: Pool,
    pub(super) health: Health,
}

impl Lines {
    pub(super) fn new(context: &Context) -> Self {
        let line = |upstream: &Upstream| {
            let UpstreamKind::Smtp(smtp) = &upstream.kind else { return None };
            let connector = Connector::new(context.dial.clone(), (**smtp).clone(), &context.config.hostname);
            let line = Line {
                upstream: upstream.clone(),
                account: account_name(upstream),
                connector,
                pool: Pool::new(upstream.limits.connections),
                health: Health::default(),
            };
            Some((upstream.name.clone(), Arc::new(line)))
        };
        Self(context.config.upstreams.iter().filter_map(line).collect())
    }
}

/// The right to one transaction.
pub(super) struct Ticket {
    shared: Arc<Shared>,
    pub(super) line: Arc<Line>,
    _slot: Slot,
    permit: Option<PermitId>,
    /// Recipients that the counts in memory go by.
    taken: u32,
    /// Recipients that the recorded permit holds.
    recorded: u32,
    /// What it has used, once the transaction has ended.
    used: Option<Permit>,
}

impl Ticket {
    /// Takes a permit for so many recipients, or for one and those that follow when it is `None`.
    pub(super) async fn take(
        shared: &Arc<Shared>,
        upstream: &str,
        recipients: Option<u32>,
        until: Instant,
    ) -> Result<Self, Refused> {
        let Some(line) = shared.lines.0.get(upstream) else {
            return Err(refusal::disabled(upstream, "it is not in the configuration any more"));
        };
        line.usable(&shared.context)?;
        if let Some(wanted) = recipients.filter(|&wanted| wanted > line.most_recipients()) {
            tracing::debug!(event = "direct", upstream, wanted);
            return Err(refusal::too_many(line.most_recipients()));
        }
        let slot = line.slot(&shared.context, until).await?;
        let taken = recipients.unwrap_or(1);
        line.begin(&shared.context, taken)?;
        let recorded = recipients.unwrap_or_else(|| UNKNOWN.min(line.most_recipients()));
        let line = line.clone();
        let mut ticket =
            Self { shared: shared.clone(), line, _slot: slot, permit: None, taken, recorded, used: None };
        let new = NewPermit {
            upstream: upstream.to_owned(),
            account: ticket.line.account.clone(),
            recipients: recorded,
        };
        match shared.context.store.take_permit(new).await {
            Ok(permit) => ticket.permit = Some(permit),
            Err(error) => {
                tracing::error!(event = "store", upstream, reason = %error);
                ticket.uncount(None);
                return Err(refusal::store());
            }
        }
        Ok(ticket)
    }

    /// Makes room for one more recipient.
    pub(super) fn add(&mut self, known: u32) -> Result<(), Refused> {
        if known >= self.recorded {
            return Err(refusal::too_many(self.recorded));
        }
        if known >= self.taken {
            self.line.add(&self.shared.context)?;
            self.taken += 1;
        }
        Ok(())
    }

    /// A connection that is idle.
    pub(super) fn idle(&self) -> Option<Connection> {
        self.line.pool.take()
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> Result<Connection, Refused> {
        let name = &self.line.upstream.name;
        self.line.connector.open().await.map_err(|error| {
            self.line.unreachable(&self.shared.context, &error.to_string());
            refusal::unreachable(name, &error)
        })
    }

    /// A connection that is not needed any more.
    pub(super) fn give_back(&self, connection: Connection) {
        self.line.pool.give_back(connection, None);
    }

    /// The upstream's name.
    pub(super) fn upstream(&self) -> &str {
        &self.line.upstream.name
    }

    /// The account as the log names it.
    pub(super) fn account(&self) -> Option<&str> {
        Some(self.line.account.as_str()).filter(|account| !account.is_empty())
    }

    /// Notes what an answer teaches about the upstream.
    pub(super) async fn learn(&self, result: &RecipientResult) {
        let context = &self.shared.context;
        let (now, queue) = (context.timeline.now(), &context.config.queue);
        if classify(result) == Verdict::Upstream {
            self.line.health.unreachable(&result.to_string(), now, queue);
        } else if matches!(result.answer, Answer::Failed(_) | Answer::Unknown(_)) {
            self.line.health.broke(&result.to_string(), now, queue);
        } else {
            self.line.health.answered();
        }
    }

    /// The transaction has ended: it counts from now on as one that has.
    pub(super) fn close(&mut self) {
        let used = Permit {
            upstream: self.line.upstream.name.clone(),
            account: self.line.account.clone(),
            ended: self.shared.context.timeline.now(),
            messages: 1,
            recipients: self.taken,
        };
        self.uncount(Some(&used));
        self.used = Some(used);
    }

    /// Records what became of the transaction. One that was not closed never began, and its permit is returned.
    pub(super) async fn end(mut self, outcome: impl FnOnce(Handover) -> Handover) {
        let used = self.used.take();
        self.uncount(None);
        let Some(permit) = self.permit.take() else { return };
        let handover = outcome(Handover::none(permit, used));
        let context = &self.shared.context;
        while let Err(error) = context.store.hand_over(handover.clone()).await {
            tracing::error!(event = "store", reason = %error, next = "offered again");
            if *context.phase.borrow() == Phase::Stopping {
                return;
            }
            sleep(STORE_RETRY).await;
        }
        for report in &handover.reports {
            tracing::info!(
                event = "report",
                queue_id = %report.queue_id,
                to = report.recipients.first().map(|to| to.address.as_str()),
                upstream = report.route
            );
            context.wake.wake(&report.route);
        }
    }

    /// Ends the permit in the counts in memory.
    fn uncount(&mut self, used: Option<&Permit>) {
        let counted = used.map(|used| (used.messages, used.recipients, used.ended));
        let (upstream, account) = (&self.line.upstream.name, &self.line.account);
        if self.taken > 0 {
            self.shared.context.throttle.end(upstream, account, self.taken, counted);
            self.taken = 0;
        }
    }
}

/// When an exchange is cut off in the middle nobody knows what the provider has counted, so all of it counts. The
/// recorded permit does so at the next start.
impl Drop for Ticket {
    fn drop(&mut self) {
        let used = Permit {
            upstream: String::new(),
            account: String::new(),
            ended: self.shared.context.timeline.now(),
            messages: 1,
            recipients: self.taken,
        };
        self.uncount(Some(&used));
    }
}

impl Line {
    /// Whether it can be used at all now.
    fn usable(&self, context: &Context) -> Result<(), Refused> {
        let name = &self.upstream.name;
        if !self.upstream.enabled {
            return Err(refusal::disabled(name, "enabled = false in the configuration"));
        }
        match self.health.down() {
            Some(down) if context.timeline.now() < down.probe_at => Err(refusal::down(name, &down.reason)),
            _ => Ok(()),
        }
    }

    /// Recipients of one transaction.
    pub(super) fn most_recipients(&self) -> u32 {
        let announced = self.pool.most_recipients().unwrap_or(u32::MAX);
        self.upstream.limits.recipients_per_message.min(announced)
    }

    async fn slot(&self, context: &Context, until: Instant) -> Result<Slot, Refused> {
        let until = until.min(Instant::now() + BUSY);
        loop {
            if let Some(slot) = self.pool.slot() {
                return Ok(slot);
            }
            if Instant::now() >= until || *context.phase.borrow() == Phase::Stopping {
                return Err(refusal::busy(&self.upstream.name));
            }
            sleep(LOOK).await;
        }
    }

    fn begin(&self, context: &Context, recipients: u32) -> Result<(), Refused> {
        let (name, account, now) = (&self.upstream.name, &self.account, context.timeline.now());
        match context.throttle.budget_for(name, account, recipients, now) {
            Budget::Open { .. } => {
                context.throttle.begin(name, account, recipients, now);
                Ok(())
            }
            Budget::Wait(wait) => {
                let cause = wait.window.map_or("even pace".to_owned(), |w| format!("limit per {}", w.name()));
                Err(refusal::limited(name, &cause, wait.until.map(|until| context.timeline.wall_at(until))))
            }
        }
    }

    fn add(&self, _context: &Context) -> Result<(), Refused> {
        Ok(())
    }

    /// Notes that it can't be used.
    pub(super) fn unreachable(&self, context: &Context, reason: &str) {
        self.health.unreachable(reason, context.timeline.now(), &context.config.queue);
    }
}
