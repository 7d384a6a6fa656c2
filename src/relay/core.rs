//! The part of a relay that does not depend on sockets and signals: it takes what is in the store and delivers it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::RelayError;
use crate::config::{Account, Capture, Config, Fallback, Limits, SharedLimits, Upstream, UpstreamKind};
use crate::deliver::{Context, Courier, Exchanges, Fleet, Lane, Phase};
use crate::policy::test_mode::Switch;
use crate::queue::{Board, Wake};
use crate::route::{self, CAPTURED, Router};
use crate::store::{Standing, StandingKind, Store, StoreError};
use crate::throttle::Throttle;
use crate::time::{Clock, Moment, Timeline};
use crate::transform::Signer;
use crate::upstream::{Dial, Mailbox};

/// How often the relay looks whether the store has failed, and tries it again if it has.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How often the relay notes its tie to the clocks: only a boot makes its age matter, and a quiet relay should leave the
/// disk asleep.
const ANCHOR: Duration = Duration::from_mins(10);
/// How often counts that have left their windows are removed.
const PRUNE: Duration = Duration::from_hours(1);
/// How often, after a reload, mail is looked for that stands in a lane that is no more.
const REROUTE: Duration = Duration::from_mins(1);
/// How long what was broken off has to be written down.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(1);

/// The lanes of all upstreams, and what they share.
///
/// The dialer, the clock and the store are handed in, so that a test can stand in for the world.
pub struct Core {
    /// What all lanes share.
    pub context: Arc<Context>,
    /// Takes messages through while their clients wait, by the configuration in force.
    pub courier: Arc<Courier>,
    /// The test mode switch.
    pub test_mode: Arc<Switch>,
    /// When it was started.
    pub started: Moment,
    /// One for each configuration whose lanes have not all ended; the last is in force.
    phases: Vec<watch::Sender<Phase>>,
    lanes: JoinSet<()>,
    /// What goes through while clients wait.
    exchanges: Exchanges,
    /// Whether this is not the first configuration of the process.
    reloaded: bool,
}

impl Core {
    /// Recovers what a predecessor left and starts a lane for each upstream.
    ///
    /// # Errors
    /// When the store or a DKIM key can't be used.
    pub async fn start(
        config: Arc<Config>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        dial: Arc<dyn Dial>,
    ) -> Result<Self, RelayError> {
        let timeline = Timeline::resume(clock, store.anchor().await?.as_ref());
        let signer = Arc::new(Signer::new(&config.dkim)?);
        let wake = Arc::new(Wake::default());
        for (route, waited) in store.limit_waits().await? {
            wake.restore_limit_wait(&route, waited);
        }
        recover(&*store, &timeline).await?;
        let router = Arc::new(Router::new(&config));
        reroute(&*store, &router, &wake, &timeline).await?;
        let throttle = Arc::new(Throttle::new(timeline.clone()));
        throttle.restore(&store.usage().await?);
        let fleet = Arc::new(Fleet::new(&config, &own_upstreams(&config), &dial, &throttle));
        stand(&fleet, &throttle, &store.standings().await?);
        let test_mode = Arc::new(Switch::load(store.clone(), &config.test_mode).await?);
        let memory = Arc::new(Semaphore::new(config.session.memory_out() as usize));
        let (phase, watched) = watch::channel(Phase::Running);
        let board = Arc::new(Board::default());
        let context = Context {
            config,
            store,
            timeline,
            router,
            wake,
            board,
            throttle,
            signer,
            fleet,
            dial,
            memory,
            phase: watched,
        };
        let context = Arc::new(context);
        let exchanges = Exchanges::default();
        let mut core = Self {
            started: context.timeline.now(),
            courier: Arc::new(Courier::new(context.clone(), exchanges.clone())),
            context,
            test_mode,
            phases: vec![phase],
            lanes: JoinSet::new(),
            exchanges,
            reloaded: false,
        };
        core.start_lanes();
        Ok(core)
    }

    /// Puts another configuration in force: queued mail follows it, attempts that are under way end by the old one.
    /// Their permits and connections count against the new limits.
    ///
    /// # Errors
    /// When a DKIM key or the store can't be used: then the old configuration stays in force.
    pub async fn reload(&mut self, config: Arc<Config>) -> Result<(), RelayError> {
        let old = self.context.clone();
        let signer = Arc::new(Signer::new(&config.dkim)?);
        let router = Arc::new(Router::new(&config));
        // Whoever reads the configuration again has seen to what was at fault.
        old.store.clear_standings(None, vec![StandingKind::Stopped]).await?;
        let standings = old.store.standings().await?;
        self.test_mode.follow(&config.test_mode).await?;
        resize(&old.memory, old.config.session.memory_out(), config.session.memory_out());
        self.phases.retain(|phase| !phase.is_closed());
        self.tell(Phase::Finishing);
        if let Err(error) = reroute(&*old.store, &router, &old.wake, &old.timeline).await {
            // The house is kept in order later on, see there.
            tracing::error!(event = "store", reason = %error);
        }
        let (phase, watched) = watch::channel(Phase::Running);
        let fleet = Arc::new(Fleet::new(&config, &own_upstreams(&config), &old.dial, &old.throttle));
        stand(&fleet, &old.throttle, &standings);
        self.context = Arc::new(Context {
            config,
            store: old.store.clone(),
            timeline: old.timeline.clone(),
            router,
            wake: old.wake.clone(),
            board: old.board.clone(),
            throttle: old.throttle.clone(),
            signer,
            fleet,
            dial: old.dial.clone(),
            memory: old.memory.clone(),
            phase: watched,
        });
        self.courier = Arc::new(Courier::new(self.context.clone(), self.exchanges.clone()));
        self.phases.push(phase);
        self.reloaded = true;
        self.context.board.clear();
        self.start_lanes();
        Ok(())
    }

    fn start_lanes(&mut self) {
        while self.lanes.try_join_next().is_some() {}
        let config = self.context.config.clone();
        let folder = config.data_dir.join("captured");
        let captured = Arc::new(Mailbox::new(folder, config.test_mode.capture_max));
        for upstream in config.upstreams.iter().chain(&own_upstreams(&config)) {
            for bound in route::lanes(upstream) {
                let lane = Lane::new(self.context.clone(), upstream, bound, captured.clone());
                self.lanes.spawn(lane.run());
            }
        }
        self.lanes.spawn(keep_house(self.context.clone(), self.reloaded));
    }

    /// Stops sending: what is under way may end within `grace`, then it is broken off and handed back.
    pub async fn stop(mut self, grace: Duration) {
        self.tell(Phase::Finishing);
        if tokio::time::timeout(grace, self.all_ended()).await.is_err() {
            self.tell(Phase::Stopping);
            let _ = tokio::time::timeout(LAST_WORDS, self.all_ended()).await;
        }
        let anchor = self.context.store.set_anchor(self.context.timeline.anchor());
        if let Ok(Err(error)) = tokio::time::timeout(LAST_WORDS, anchor).await {
            tracing::error!(event = "store", reason = %error);
        }
    }

    /// Waits for a lane that ends although nobody has told it to: a fault of ours that must not go unseen.
    pub async fn failed(&mut self) -> String {
        loop {
            match self.lanes.join_next().await {
                Some(Err(error)) if error.is_panic() => return error.to_string(),
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }

    async fn all_ended(&mut self) {
        while self.lanes.join_next().await.is_some() {}
        self.exchanges.ended().await;
    }

    fn tell(&self, phase: Phase) {
        for sender in &self.phases {
            sender.send_if_modified(|now| {
                let later = phase > *now;
                *now = phase.max(*now);
                later
            });
        }
    }
}

/// Puts in force what keeps upstreams and accounts from sending.
fn stand(fleet: &Fleet, throttle: &Throttle, standings: &[Standing]) {
    for Standing { upstream, account, kind, until, reason } in standings {
        match (kind, until) {
            (StandingKind::Paused, Some(until)) => {
                throttle.pause(upstream, account.as_deref(), *until, reason);
            }
            _ => fleet.stop(upstream, account.as_deref(), reason),
        }
    }
}

/// Makes a memory budget larger at once, or smaller as soon as so much of it is given back.
pub(super) fn resize(memory: &Arc<Semaphore>, old: u64, new: u64) {
    if new >= old {
        memory.add_permits((new - old) as usize);
    } else {
        let surplus = memory.clone().acquire_many_owned((old - new).try_into().unwrap_or(u32::MAX));
        tokio::spawn(async move { surplus.await.map(OwnedSemaphorePermit::forget) });
    }
}

/// Voids the leases of a dead predecessor, and says what may come twice.
async fn recover(store: &dyn Store, timeline: &Timeline) -> Result<(), StoreError> {
    let recovered = store.recover(timeline.now()).await?;
    for queue_id in &recovered.unknown {
        tracing::warn!(event = "recovered", %queue_id, reason = "its last attempt was cut off: possible duplicate");
    }
    if recovered.orphans > 0 {
        tracing::info!(
            event = "recovered",
            files = recovered.orphans,
            reason = "content that was never acknowledged, removed"
        );
    }
    store.set_anchor(timeline.anchor()).await
}

/// Moves queued mail to the upstreams that serve its senders now.
async fn reroute(
    store: &dyn Store,
    router: &Router,
    wake: &Wake,
    timeline: &Timeline,
) -> Result<(), StoreError> {
    let now = timeline.now();
    for from in store.routes().await? {
        let to = router.lane(&from.sender).unwrap_or_default();
        if to != from.route && from.route != CAPTURED {
            let credit = wake.limit_wait(&from.route, now) - wake.limit_wait(&to, now);
            tracing::info!(event = "rerouted", from = from.sender, reason = from.route, upstream = to);
            store.reroute(from, to.clone(), credit).await?;
            wake.wake(&to);
        }
    }
    Ok(())
}

/// Writes down the tie to the clocks, which also tries a store that has failed; removes old counts.
///
/// After a reload mail may still have come to stand in a lane that is no more: what was under way by the old
/// configuration, or came by a session that had not heard of the new one. It is looked for every minute.
async fn keep_house(context: Arc<Context>, reloaded: bool) {
    let mut phase = context.phase.clone();
    let mut anchored = context.timeline.now();
    let mut routed = anchored;
    let mut pruned = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(HEARTBEAT) => {}
            _ = phase.wait_for(|phase| *phase >= Phase::Finishing) => return,
        }
        let now = context.timeline.now();
        if reloaded && now.since(routed) >= REROUTE {
            routed = now;
            let moved = reroute(&*context.store, &context.router, &context.wake, &context.timeline).await;
            if let Err(error) = moved {
                tracing::error!(event = "store", reason = %error);
            }
        }
        if now.since(anchored) >= ANCHOR || context.store.healthy().is_err() {
            // A failure has been logged by the store; the next beat tries again.
            let _ = context.store.set_anchor(context.timeline.anchor()).await;
            anchored = now;
        }
        if pruned.is_none_or(|pruned| now.since(pruned) >= PRUNE)
            && context.store.prune_usage(now).await.is_ok()
        {
            pruned = Some(now);
        }
    }
}

/// Upstreams that no configuration names: the local mailbox of test mode, and where mail stands whose senders no
/// upstream serves any more: it waits, and expires in the end.
fn own_upstreams(config: &Config) -> [Upstream; 2] {
    let own = |name: &str, enabled| Upstream {
        name: name.to_owned(),
        default: false,
        enabled,
        filter: Vec::new(),
        sign: false,
        kind: UpstreamKind::Capture(Capture { max: config.test_mode.capture_max }),
        accounts: vec![Account::anonymous(Limits::default())],
        shared_limits: SharedLimits::default(),
        fallback: Fallback::default(),
        disable_after: 0,
    };
    [own(CAPTURED, true), own("", false)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_budget_changes_while_it_is_in_use() {
        let memory = Arc::new(Semaphore::new(10));
        let held = memory.clone().try_acquire_many_owned(8).unwrap();
        resize(&memory, 10, 12);
        assert_eq!(memory.available_permits(), 4);
        resize(&memory, 12, 5);
        tokio::task::yield_now().await;
        assert_eq!(memory.available_permits(), 0, "what is there goes first");
        drop(held);
        tokio::task::yield_now().await;
        assert_eq!(memory.available_permits(), 5);
        resize(&memory, 5, 5);
        assert_eq!(memory.available_permits(), 5);
    }
}
