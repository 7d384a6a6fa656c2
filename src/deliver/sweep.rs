//! Mail that has waited too long: it is ended, or its sender is warned. By age alone, so a look now and then will do.

use std::sync::Arc;
use std::time::Duration;

use super::lane_settings::LaneSettings;
use super::noted_tasks::{EndedTask, NotedTasks};
use super::{overdue, settle};
use crate::mail::QueueId;
use crate::store::{Lease, OverdueClaim};
use crate::time::Moment;

/// How often a lane looks for mail that has waited too long. Nothing that could go waits for this.
const EVERY: Duration = Duration::from_secs(30);
/// Overdue messages that are dealt with in one go.
const BATCH: u32 = 50;

/// The looks for overdue mail of one lane.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// When the last look was.
    last: Option<Moment>,
    /// Messages that are being dealt with.
    tasks: NotedTasks<LateMessage>,
}

/// A message that is being dealt with.
#[derive(Debug)]
struct LateMessage {
    queue_id: QueueId,
    lease: Lease,
}

impl Sweep {
    /// How long until the next look.
    pub(super) fn next(&self, now: Moment) -> Duration {
        if !self.tasks.is_empty() {
            // Their end goes on from here.
            return Duration::MAX;
        }
        self.last.map_or(Duration::ZERO, |last| EVERY.saturating_sub(now.since(last)))
    }

    /// Ends what is too old, warns of what is late, keeps the books. One batch at a time, beside the attempts.
    pub(super) async fn run(&mut self, lane: &Arc<LaneSettings>) {
        let now = lane.context.timeline.now();
        if self.last.is_some_and(|last| now.since(last) < EVERY) || !self.tasks.is_empty() {
            return;
        }
        self.last = Some(now);
        if lane.context.store.lane_load(&lane.name).messages == 0 {
            return;
        }
        self.note_limit_wait(lane).await;
        let queue = &lane.context.config.queue;
        // While the upstream can be used, nothing ends without another attempt: that decides.
        let hopeless = lane.candidates.all_broken();
        let claim = OverdueClaim {
            lane: lane.name.clone(),
            expired_after: hopeless.then_some(queue.expire_after),
            warn_after: queue.warn_after,
            limit_wait: lane.context.limit_waits.of(&lane.name, now),
            messages: BATCH,
        };
        let Ok(overdue) = lane.context.store.claim_overdue(claim).await else { return };
        if overdue.len() >= BATCH as usize {
            // There may be more: look again as soon as these are done.
            self.last = None;
        }
        for late in overdue {
            let about =
                LateMessage { queue_id: late.leased.message.queue_id.clone(), lease: late.leased.lease };
            let lane = lane.clone();
            self.tasks.spawn(about, async move { overdue::settle(&lane, late).await });
        }
    }

    /// The next message that has been dealt with; `None` when there is none.
    pub(super) async fn next_ended(&mut self) -> Option<EndedTask> {
        self.tasks.next_ended().await
    }

    /// Notes that a message has been dealt with. One at which we failed by a fault of ours goes back into the queue.
    pub(super) async fn ended(&mut self, lane: &LaneSettings, ended: EndedTask) {
        if let Some((LateMessage { queue_id, lease }, error)) = self.tasks.ended(ended) {
            tracing::error!(event = "fault", %queue_id, reason = %error);
            settle::give_up_lease(&lane.context, &queue_id, lease).await;
        }
    }

    /// Stores how long the lane has waited for limits.
    pub(super) async fn note_limit_wait(&self, lane: &LaneSettings) {
        let waited = lane.context.limit_waits.of(&lane.name, lane.context.timeline.now());
        if !waited.is_zero()
            && let Err(error) = lane.context.store.set_limit_wait(lane.name.clone(), waited).await
        {
            tracing::error!(event = "store", upstream = lane.upstream.name, reason = %error);
        }
    }
}
