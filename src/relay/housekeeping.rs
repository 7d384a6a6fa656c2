//! What is done now and then, beside the mail: the clock is noted, old counts go, mail is moved to where it belongs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::alert::Alerts;
use crate::deliver::{Context, Phase};
use crate::sent_copy;
use crate::store::{LaneKind, LaneMove, LaneName, StoreError};

/// How often the relay looks whether the store has failed, and tries it again if it has.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How often the relay notes its tie to the clocks: only a boot makes its age matter, and a quiet relay should leave the
/// disk asleep.
const NOTE_CLOCK: Duration = Duration::from_mins(10);
/// By how many milliseconds the wall clock must have been set, for the tie to be noted at once: what is set is none of the
/// time that a later boot finds to have passed.
const CLOCK_SET: u64 = 500;
/// How often counts that have left their windows are removed.
const PRUNE: Duration = Duration::from_hours(1);

/// Writes down the tie to the clocks, which also tries a store that has failed; removes old counts; gives back room on the disk.
pub(super) async fn run(context: Arc<Context>) {
    let mut phase = context.phase.clone();
    let (mut noted, mut ahead) = (context.timeline.now(), context.timeline.wall_ahead());
    let mut pruned = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(HEARTBEAT) => {}
            _ = phase.wait_for(|phase| *phase >= Phase::Finishing) => return,
        }
        let now = context.timeline.now();
        let is_set = context.timeline.wall_ahead().abs_diff(ahead) >= CLOCK_SET;
        if is_set || now.since(noted) >= NOTE_CLOCK || context.store.healthy().is_err() {
            ahead = context.timeline.wall_ahead();
            // A failure has been logged by the store; the next beat tries again.
            let _ = context.store.note_clock().await;
            noted = now;
        }
        // A failure has been logged by the store; the next beat tries again.
        let _ = context.store.tidy_history().await;
        // It costs a look while there is nothing to give.
        let _ = context.store.release_space().await;
        if pruned.is_none_or(|pruned| now.since(pruned) >= PRUNE) && context.store.prune().await.is_ok() {
            pruned = Some(now);
            // A failure has been logged by the store; the next time is early enough.
            let _ = sent_copy::expire(&context).await;
        }
    }
}

/// Looks at a queue for damage that was too large to be looked at before the start.
pub(super) async fn examine(context: Arc<Context>) {
    let mut phase = context.phase.clone();
    let found = tokio::select! {
        found = context.store.damage() => found,
        _ = phase.wait_for(|phase| *phase >= Phase::Finishing) => return,
    };
    let reason = match found {
        Ok(None) => return,
        Ok(Some(reason)) => reason,
        Err(error) => error.to_string(),
    };
    tracing::error!(
        event = "store_damaged",
        reason,
        effect = "mail goes on as far as the damage lets it",
        action = "stop the relay, keep a copy of data_dir, and run `mailsluice store check`"
    );
}

/// Tells administrators what they must know, until the relay stops.
pub(super) async fn tell_alerts(mut phase: watch::Receiver<Phase>, alerts: Arc<Alerts>) {
    tokio::select! {
        () = alerts.run() => {}
        _ = phase.wait_for(|phase| *phase >= Phase::Finishing) => {}
    }
}

/// Moves mail whenever somebody has put it where nobody takes it: an attempt by an older configuration, or a session that
/// had not heard of the new one.
pub(super) async fn move_unserved(context: Arc<Context>) {
    let mut phase = context.phase.clone();
    loop {
        tokio::select! {
            () = context.wakeups.unserved() => {}
            _ = phase.wait_for(|phase| *phase >= Phase::Finishing) => return,
        }
        if let Err(error) = reroute(&context).await {
            tracing::error!(event = "store", reason = %error);
            // While the store fails there is no hurry.
            tokio::time::sleep(HEARTBEAT).await;
            context.wakeups.call_unserved();
        }
    }
}

/// Moves queued mail to the lanes that serve its senders by the configuration in force.
pub(super) async fn reroute(context: &Context) -> Result<(), StoreError> {
    let now = context.timeline.now();
    let waited = |lane: &LaneName| context.limit_waits.of(lane, now).as_millis() as i64;
    let router = context.accounts.router();
    let mut moves: HashMap<LaneName, Vec<LaneMove>> = HashMap::new();
    for place in context.store.lanes_in_use().await? {
        if place.lane.kind() == LaneKind::Captured {
            continue;
        }
        let to = router.lane(&place.sender).unwrap_or_else(LaneName::unrouted);
        if to != place.lane {
            let credit = waited(&place.lane) - waited(&to);
            let with_decided = !router.serves(&place.lane);
            let one = LaneMove { sender: place.sender, to, credit, with_decided };
            moves.entry(place.lane).or_default().push(one);
        }
    }
    for (from, moves) in moves {
        let mut targets: Vec<LaneName> = moves.iter().map(|one| one.to.clone()).collect();
        targets.sort_unstable();
        targets.dedup();
        let senders = moves.len();
        let messages = context.store.reroute(from.clone(), moves).await?;
        if messages == 0 {
            // Whatever stands there is to stay.
            continue;
        }
        let to = targets.iter().map(LaneName::as_str).collect::<Vec<_>>().join(",");
        tracing::info!(event = "rerouted", messages, senders, reason = from.as_str(), upstream = to);
        for target in &targets {
            context.wakeups.wake(target);
        }
    }
    Ok(())
}
