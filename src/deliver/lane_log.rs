//! What the log and people are told of a lane: that it waits for a limit, that another upstream stands in, each once.

use std::time::Duration;

use super::lane_settings::LaneSettings;
use crate::account::{Grant, Obstacle};
use crate::lane::{LaneState, LimitWait};
use crate::time::Moment;

/// A wait for a limit that is not worth a line.
const BRIEF: Duration = Duration::from_secs(1);

/// What was told of a lane, so that it is told once.
#[derive(Debug, Default)]
pub(super) struct LaneLog {
    /// Whether the last claim failed.
    pub(super) claim_failed: bool,
    /// What is in the way of the lane's own upstream while another one is asked.
    pub(super) chosen: Option<Obstacle>,
    limit: Option<LimitNote>,
    /// The upstream that stands in at present.
    via: Option<String>,
    /// Whether it was told that others use all connections.
    busy: bool,
}

/// A limit that the lane waits for.
#[derive(Debug)]
struct LimitNote {
    /// Mail becomes no older while this lasts.
    wait: LimitWait,
    /// Whether it was told that it is reached.
    reached: bool,
    /// Whether its end is to be told.
    has_an_end: bool,
}

impl LaneLog {
    /// Mail is due and nothing may go now.
    pub(super) fn waits(
        &mut self,
        lane: &LaneSettings,
        obstacle: &Obstacle,
        until: Option<Moment>,
        now: Moment,
    ) {
        if obstacle.is_limit() {
            self.limit_reached(lane, obstacle, until, now);
        } else {
            self.limit_is_over(lane, now);
        }
        self.busy = *obstacle == Obstacle::Busy;
        lane.show(obstacle.state());
    }

    /// From here on it makes no message older. Says so, once.
    fn limit_reached(
        &mut self,
        lane: &LaneSettings,
        obstacle: &Obstacle,
        until: Option<Moment>,
        now: Moment,
    ) {
        let note = self.limit.get_or_insert_with(|| LimitNote {
            wait: lane.context.limit_waits.begin(&lane.name, now),
            reached: false,
            has_an_end: false,
        });
        note.wait.seen(now);
        // A window opens bit by bit, as it was filled: that is one opening, and no line for each bit.
        if until.is_some_and(|until| until.since(now) < BRIEF) {
            return;
        }
        note.has_an_end |= obstacle.has_an_end();
        if obstacle.is_news() && !std::mem::replace(&mut note.reached, true) {
            tracing::info!(
                event = "limit_reached",
                upstream = lane.upstream.name,
                account = lane.candidates.only_account(),
                reason = obstacle.reason(),
                next = until.map(|until| lane.context.wall(until))
            );
        }
    }

    /// Mail goes, by the lane's own upstream or by one that stands in.
    pub(super) fn note_sent_by(&mut self, lane: &LaneSettings, grant: &Grant, now: Moment) {
        match self.chosen.take() {
            Some(obstacle) => self.note_fallback(lane, &obstacle, grant, now),
            None => self.obstacle_is_over(lane, now),
        }
    }

    /// Nothing was due. A probe without mail has found out nothing.
    pub(super) fn was_empty(&mut self, lane: &LaneSettings, grant: &Grant, now: Moment) {
        if self.chosen.take().is_none() && grant.probes.is_empty() {
            self.obstacle_is_over(lane, now);
        }
    }

    /// Nothing can be waiting for a limit.
    pub(super) fn nothing_waits(&mut self, lane: &LaneSettings, now: Moment) {
        if self.limit.is_some() || std::mem::take(&mut self.busy) {
            self.obstacle_is_over(lane, now);
        }
    }

    fn obstacle_is_over(&mut self, lane: &LaneSettings, now: Moment) {
        if self.limit.as_ref().is_some_and(|note| note.has_an_end) {
            let account = lane.candidates.only_account();
            tracing::info!(event = "limit_open", upstream = lane.upstream.name, account);
        }
        self.limit_is_over(lane, now);
        lane.show(LaneState::Up);
        if self.via.take().is_some() {
            let upstream = &lane.upstream.name;
            tracing::info!(event = "fallback", upstream, reason = "it can send itself again");
        }
    }

    /// Mail goes by an upstream that stands in: no message waits for a limit any more. It is said once that it does.
    fn note_fallback(&mut self, lane: &LaneSettings, obstacle: &Obstacle, grant: &Grant, now: Moment) {
        self.limit_is_over(lane, now);
        let via = &*grant.account.key().upstream;
        lane.context.statuses.set_via(&lane.name, obstacle.state(), via);
        if self.via.as_deref() != Some(via) {
            let (upstream, reason) = (&lane.upstream.name, obstacle.reason());
            tracing::warn!(event = "fallback", upstream, reason, via);
            self.via = Some(via.to_owned());
        }
    }

    /// Nothing waits for a limit any more.
    pub(super) fn limit_is_over(&mut self, _lane: &LaneSettings, now: Moment) {
        if let Some(note) = self.limit.take() {
            note.wait.end(now);
        }
    }
}
