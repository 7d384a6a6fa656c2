//! What the answers of an upstream teach about it, whoever has got them: a lane, or a client that waits.

use super::carrier::Carrier;
use super::classify::{Verdict, classify};
use super::context::Context;
use super::error::Stage;
use super::health::Down;
use super::transaction::{Answer, RecipientResult};

/// Answers that came by a carrier.
pub(super) struct Lesson<'a> {
    pub(super) context: &'a Context,
    pub(super) carrier: &'a Carrier,
}

impl Lesson<'_> {
    /// Notes what a transaction teaches about the upstream.
    pub(super) async fn learn(&self, results: &[RecipientResult]) {
        let answers = || results.iter();
        let broken = |result: &&RecipientResult| match &result.answer {
            Answer::Failed(_) | Answer::Unknown(_) => true,
            // It closes the connection: that is no sign of health.
            Answer::Refused(reply) => reply.code == 421,
            Answer::Accepted(_) | Answer::Later(_) => false,
        };
        if let Some(at_fault) = answers().find(|result| classify(result) == Verdict::Upstream) {
            self.unreachable(at_fault.stage, &at_fault.to_string());
        } else if let Some(broken) = answers().find(broken) {
            let now = self.context.timeline.now();
            let queue = &self.context.config.queue;
            if let Some(down) = self.carrier.health.broke(&broken.to_string(), now, queue) {
                self.is_down(&down);
            }
        } else {
            self.is_up().await;
        }
    }

    /// What failed before the login is the upstream's; from there on it may be this login's alone.
    pub(super) fn unreachable(&self, stage: Stage, reason: &str) {
        let now = self.context.timeline.now();
        let carrier = self.carrier;
        let health = if stage < Stage::Auth { &carrier.station.health } else { &carrier.health };
        let down = health.unreachable(reason, now, &self.context.config.queue);
        self.is_down(&down);
    }

    /// Notes that the upstream can't be used, and says so once.
    fn is_down(&self, down: &Down) {
        self.carrier.pool().close_all();
        if down.failures == 1 {
            tracing::warn!(
                event = "upstream_down",
                upstream = self.carrier.upstream().name,
                account = self.carrier.account(),
                reason = down.reason,
                next = format!("{:.3}", self.context.timeline.wall_at(down.probe_at))
            );
        }
    }

    /// Notes that the upstream answers. When it was down, all its mail is due at once.
    async fn is_up(&self) {
        let carrier = self.carrier;
        let was_down = [carrier.station.health.answered(), carrier.health.answered()];
        if was_down.iter().all(Option::is_none) {
            return;
        }
        let upstream = &carrier.upstream().name;
        tracing::info!(event = "upstream_up", upstream, account = carrier.account());
        let now = self.context.timeline.now();
        for lane in self.context.router.lanes_of(upstream) {
            if let Err(error) = self.context.store.make_due(lane, now).await {
                tracing::error!(event = "store", upstream, reason = %error);
            }
        }
    }
}
