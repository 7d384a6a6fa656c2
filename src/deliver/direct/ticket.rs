//! The right to one transaction: its permit, and a connection to use it over.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Shared, refusal};
use crate::config::{Account, Upstream, UpstreamKind};
use crate::deliver::carrier::{Carrier, Obstacle, Turn, Way};
use crate::deliver::context::{Context, Phase};
use crate::deliver::health::Probe;
use crate::deliver::lessons::{Mail, Teacher};
use crate::deliver::pool::Seat;
use crate::deliver::tiers::{Pick, Tiers};
use crate::queue::direct::Refused;
use crate::route::{lane_name, lanes};
use crate::store::{Handover, NewPermit, Permit, PermitId};
use crate::throttle::ConnectionSlot;
use crate::upstream::Connection;
use crate::upstream::RecipientResult;

/// How long a client waits for a connection to be free.
const BUSY: Duration = Duration::from_secs(10);
/// How often is looked for one.
const LOOK: Duration = Duration::from_millis(100);
/// How often an outcome is offered to a store that fails.
const STORE_RETRY: Duration = Duration::from_secs(1);
/// Recipients for which a permit is recorded when it is not known how many there will be (RFC 5321 4.5.3.1.8). The
/// counts in memory go by those that there are; all of these count only when we die in the middle.
const UNKNOWN: u32 = 100;

/// By what the mail of each lane goes.
pub(super) struct Lines(HashMap<String, (String, Tiers)>);

impl Lines {
    /// Upstreams that keep mail on this machine stand in for none here: such mail does not go through.
    pub(super) fn new(context: &Context) -> Self {
        let mut lines = HashMap::new();
        let smtp = |upstream: &&Upstream| matches!(upstream.kind, UpstreamKind::Smtp(_));
        let all = || context.config.upstreams.iter().filter(smtp);
        for upstream in all() {
            let mut upstream = upstream.clone();
            upstream.fallback.upstreams.retain(|name| all().any(|other| other.name == *name));
            for bound in lanes(&upstream) {
                let tiers = Tiers::new(&context.fleet, &upstream, bound.map(Account::name));
                lines.insert(lane_name(&upstream, bound), (upstream.name.clone(), tiers));
            }
        }
        Self(lines)
    }
}

/// The right to one transaction.
pub(super) struct Ticket {
    shared: Arc<Shared>,
    pub(super) carrier: Arc<Carrier>,
    /// `None` when it was given back.
    line: Mutex<Option<Line>>,
    permit: Option<PermitId>,
    /// Recipients that the counts in memory go by.
    taken: u32,
    /// Recipients that the recorded permit holds.
    recorded: u32,
    /// What it has used, once the transaction has ended.
    used: Option<Permit>,
    _probes: Vec<Probe>,
}

/// The right to a connection, with an idle one if there is one.
struct Line {
    idle: Option<Connection>,
    slot: ConnectionSlot,
}

impl Ticket {
    /// Takes a permit for so many recipients, or for one and those that follow when it is `None`.
    pub(super) async fn take(
        shared: &Arc<Shared>,
        lane: &str,
        recipients: Option<u32>,
        until: Instant,
    ) -> Result<Self, Refused> {
        let needed = recipients.unwrap_or(1);
        let mut turn = turn(shared, lane, needed, until).await?;
        let (carrier, context) = (turn.carrier.clone(), &shared.context);
        let most = carrier.recipients_per_message();
        if needed > most {
            drop(turn);
            carrier.station.signals.notify();
            return Err(refusal::too_many(most));
        }
        let upstream = carrier.upstream().name.clone();
        let recorded = recipients.unwrap_or_else(|| UNKNOWN.min(most));
        let new =
            NewPermit { upstream: upstream.clone(), account: carrier.account.clone(), recipients: recorded };
        let permit = context.store.take_permit(new).await.map_err(|error| {
            tracing::error!(event = "store", upstream, reason = %error);
            refusal::store()
        })?;
        turn.reservation.begin(needed, context.timeline.now());
        let seat = turn.seats.pop().map(|Seat { connection: idle, slot }| Line { idle, slot });
        Ok(Self {
            shared: shared.clone(),
            carrier,
            line: Mutex::new(seat),
            permit: Some(permit),
            taken: needed,
            recorded,
            used: None,
            _probes: std::mem::take(&mut turn.probes),
        })
    }

    /// Makes room for one more recipient behind those that are known.
    pub(super) fn add(&mut self, known: u32) -> Result<(), Refused> {
        if known >= self.recorded {
            return Err(refusal::too_many(self.recorded));
        }
        if known >= self.taken {
            let context = &self.shared.context;
            let names = (self.upstream(), self.carrier.account.as_str());
            let more = context.throttle.extend(names, (self.taken, 1), context.timeline.now());
            more.map_err(|wait| refusal::obstacle(context, names.0, &Obstacle::Limited(wait)))?;
            self.taken += 1;
        }
        Ok(())
    }

    /// The connection that was idle, once.
    pub(super) fn idle(&self) -> Option<Connection> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner).as_mut()?.idle.take()
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> Result<Connection, Refused> {
        let Way::Smtp(connector, _) = &self.carrier.way else {
            return Err(refusal::disabled(self.upstream(), "it keeps mail on this machine"));
        };
        match connector.open().await {
            Ok(connection) => Ok(connection),
            Err(error) => {
                self.teacher().not_ready(&error).await;
                Err(refusal::unreachable(self.upstream(), &error))
            }
        }
    }

    /// A connection that is not needed any more.
    pub(super) fn give_back(&self, connection: Connection) {
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Line { slot, .. }) = line {
            self.carrier.pool().give_back(Seat { connection: Some(connection), slot });
        }
    }

    /// The upstream's name.
    pub(super) fn upstream(&self) -> &str {
        &self.carrier.upstream().name
    }

    /// Notes what an answer teaches about the upstream.
    pub(super) async fn learn(&self, mail: &Mail<'_>, result: &RecipientResult) {
        self.teacher().transaction(mail, std::slice::from_ref(result)).await;
    }

    fn teacher(&self) -> Teacher<'_> {
        let context = &self.shared.context;
        Teacher { context, carrier: &self.carrier, now: context.timeline.now() }
    }

    /// The transaction has ended: it counts from now on as one that has.
    pub(super) fn close(&mut self) {
        let used = Permit {
            upstream: self.upstream().to_owned(),
            account: self.carrier.account.clone(),
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

    /// Ends the permit in the counts in memory, and tells those who wait for it.
    fn uncount(&mut self, used: Option<&Permit>) {
        if self.taken > 0 {
            let counted = used.map(|used| (used.messages, used.recipients, used.ended));
            let throttle = &self.shared.context.throttle;
            throttle.end(self.upstream(), &self.carrier.account, self.taken, counted);
            self.taken = 0;
            self.carrier.station.signals.notify();
        }
    }
}

/// When an exchange is cut off in the middle nobody knows what the provider has counted, so all of it counts. The
/// recorded permit does so at the next start.
impl Drop for Ticket {
    fn drop(&mut self) {
        if self.taken > 0 {
            self.close();
        }
        let line = self.line.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Line { idle, slot }) = line {
            self.carrier.pool().give_back(Seat { connection: idle, slot });
        }
    }
}

/// The right to send by what carries a lane's mail. For a connection to be free the client waits a little.
async fn turn(shared: &Shared, lane: &str, needed: u32, until: Instant) -> Result<Turn, Refused> {
    let context = &shared.context;
    let Some((upstream, tiers)) = shared.lines.0.get(lane) else {
        return Err(refusal::disabled(lane, "it is not in the configuration"));
    };
    let until = until.min(Instant::now() + BUSY);
    loop {
        match tiers.pick((1, needed), context.timeline.now()) {
            Pick::Go(turn, _) => return Ok(turn),
            Pick::Wait(obstacle, _) => return Err(refusal::obstacle(context, upstream, &obstacle)),
            Pick::Busy if Instant::now() >= until || *context.phase.borrow() == Phase::Stopping => {
                return Err(refusal::busy(upstream));
            }
            Pick::Busy => sleep(LOOK).await,
        }
    }
}
