//! A message that has outlived the queue, or whose sender is to be told that it is late.

use super::attempted::{Attempted, RecipientOutcome};
use super::delivery_log::{self, DeliveryLine};
use super::lane_settings::LaneSettings;
use super::reports::{self, Reporter};
use super::settle;
use crate::store::{Overdue, QueuedRecipient, Settlement};
use crate::upstream::Outcome;

/// Records a message that is late: reports the delay, or that it has expired.
pub(super) async fn settle(lane: &LaneSettings, overdue: Overdue) {
    let Overdue { leased, expired } = overdue;
    let context = &lane.context;
    let reporter = Reporter { context, upstream: &lane.upstream };
    let mut attempted = Attempted::all(leased, Outcome::DEFERRED, "");
    for each in &mut attempted.outcomes {
        each.reply = last_reply(&each.recipient);
    }
    let Attempted { leased, outcomes, .. } = attempted;
    let recipients: Vec<(&QueuedRecipient, &str)> =
        outcomes.iter().map(|each: &RecipientOutcome| (&each.recipient, each.reply.as_str())).collect();
    let mut settlement = Settlement {
        lease: leased.lease,
        deliveries: Vec::new(),
        again_in: None,
        counts: false,
        warned: !expired,
        used: None,
        reports: Vec::new(),
    };
    if expired {
        settlement.reports = reports::failed(&reporter, &leased.message, &recipients, "", true).await;
        let now = context.timeline.now();
        let log_line = DeliveryLine {
            lane,
            account: None,
            message: &leased.message,
            host: "",
            next: now,
            now,
            expired,
            tried: false,
        };
        delivery_log::attempt(&log_line, &outcomes);
        settlement.deliveries = settle::deliveries(context, &outcomes, expired);
        settlement.deliveries.iter_mut().for_each(|delivery| delivery.counts = false);
    } else {
        settlement.reports.extend(reports::delayed(&reporter, &leased.message, &recipients).await);
    }
    settle::record(context, &leased, settlement).await;
}

fn last_reply(recipient: &QueuedRecipient) -> String {
    match recipient.last_reply.as_str() {
        "" => "450 4.4.7 the upstream could not be reached in time".to_owned(),
        reply => reply.to_owned(),
    }
}
