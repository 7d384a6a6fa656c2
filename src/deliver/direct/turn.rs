//! A client waits for its turn among all who want the same account.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::refusal;
use super::routes::DirectRoute;
use super::shared::DirectContext;
use crate::account::{Choice, Down, Grant, Obstacle, Waiting};
use crate::direct::DirectRefusal;
use crate::limits::{AccountKey, Amount, Wait};
use crate::time::Moment;

/// How long a client waits for a connection to be free, or for a limit when it is the only one who waits for it.
const BUSY: Duration = Duration::from_secs(10);
/// How long a client waits for a limit when others do, too: who came back at the time that it was told would find that they had
/// taken all there was.
const AMONG_OTHERS: Duration = Duration::from_secs(90);

/// A client that waits for its turn.
pub(super) struct DirectTurn<'a> {
    shared: &'a DirectContext,
    route: &'a DirectRoute,
    wake: Arc<Notify>,
    pub(super) waiting: Waiting,
    began: Instant,
    /// When the client loses patience with us.
    until: Instant,
}

impl<'a> DirectTurn<'a> {
    pub(super) fn new(shared: &'a DirectContext, route: &'a DirectRoute, until: Instant) -> Self {
        let wake = Arc::new(Notify::new());
        let waiting = Waiting::new(wake.clone());
        Self { shared, route, wake, waiting, began: Instant::now(), until }
    }

    /// The right to send by what carries the lane's mail and is not unfit for it, when it is this client's turn.
    pub(super) async fn grant(&mut self, unfit: &[AccountKey]) -> Result<Grant, DirectRefusal> {
        let context = &self.shared.context;
        loop {
            let now = context.timeline.now();
            let (obstacle, until) = match self.route.candidates.choose(&mut self.waiting, unfit, 1, now) {
                Choice::Go(grant, _) => return Ok(grant),
                Choice::Wait(obstacle, until) => (obstacle, until),
            };
            let refused = || refusal::obstacle(context, &self.route.upstream.name, &obstacle);
            let most = self.patience(&obstacle, until, now).ok_or_else(refused)?;
            tokio::select! {
                () = self.wake.notified() => {}
                () = sleep(most) => {}
                () = context.stopping() => return Err(refused()),
            }
        }
    }

    /// The store has no room for so much. Whether it has any for one recipient is what everybody waits for; beyond that this
    /// client waits by itself, and lets others go.
    ///
    /// # Errors
    /// When it is not to wait for so long.
    pub(super) async fn wait_for_room(
        &mut self,
        grant: Grant,
        needed: Amount,
        wait: &Wait,
    ) -> Result<(), DirectRefusal> {
        let context = &self.shared.context;
        let now = context.timeline.now();
        let least = Amount::of_message(1, 0);
        let everybodys = if needed == least {
            Some(wait.clone())
        } else {
            context.store.room(grant.account.ceilings(), least).await.ok().and_then(Result::err)
        };
        if let Some(wait) = everybodys {
            grant.note_limited(&wait, now);
            self.waiting.stay_first(&grant.account);
            return Ok(());
        }
        drop(grant);
        let obstacle = Obstacle::Limited(wait.clone());
        let refused = || refusal::obstacle(context, &self.route.upstream.name, &obstacle);
        let most = self.patience(&obstacle, wait.until, now).ok_or_else(refused)?;
        tokio::select! {
            () = sleep(most) => Ok(()),
            () = context.stopping() => Err(refused()),
        }
    }

    /// How long it may wait for this; `None` when it is not to wait any more.
    fn patience(&self, obstacle: &Obstacle, until: Option<Moment>, now: Moment) -> Option<Duration> {
        let crowded = obstacle.is_limit() && self.waiting.is_among_others();
        let patience = if crowded { AMONG_OTHERS } else { BUSY };
        let left = self.until.min(self.began + patience).checked_duration_since(Instant::now())?;
        let ends = until.map(|until| until.since(now));
        let is_worth_it = match obstacle {
            Obstacle::Busy | Obstacle::Down(Down { probe_at: None, .. }) => true,
            Obstacle::Limited(_) | Obstacle::Paused(_) => ends.is_none_or(|ends| ends <= left),
            Obstacle::Down(_) | Obstacle::NoToken(_) | Obstacle::Disabled(_) => false,
        };
        (is_worth_it && !left.is_zero()).then(|| ends.map_or(left, |ends| ends.min(left)))
    }
}
