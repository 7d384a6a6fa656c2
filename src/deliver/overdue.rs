//! A message that has outlived the queue, or whose sender is to be told that it is late.

use std::time::Duration;

use super::attempted::{Attempted, RecipientOutcome};
use super::delivery_log::{self, DeliveryLine};
use super::lane_settings::LaneSettings;
use super::pause::Pauses;
use super::reports::{self, Affected, Reporter};
use super::settle;
use crate::store::{Overdue, QueuedRecipient, Settlement};
use crate::transform::EditedFields;
use crate::upstream::Outcome;

/// Records a message that is late: reports the delay, or that it has expired.
pub(super) async fn settle(lane: &LaneSettings, overdue: Overdue) {
    let Overdue { leased, expired } = overdue;
    let context = &lane.context;
    let reporter = Reporter { context, upstream: &lane.upstream, listed: &[] };
    let mut attempted = Attempted::all(leased, Outcome::DEFERRED, "");
    for each in &mut attempted.outcomes {
        each.reply = last_reply(&each.recipient);
    }
    let Attempted { leased, outcomes, .. } = attempted;
    // What was never tried has no reply that a report could show.
    let recipients: Vec<Affected<'_>> =
        outcomes.iter().map(|each: &RecipientOutcome| Affected::late(&each.recipient, expired)).collect();
    let mut settlement = Settlement {
        lease: leased.lease,
        deliveries: Vec::new(),
        counts: false,
        warned: !expired,
        hold: false,
        used: None,
        reports: Vec::new(),
        copy: None,
    };
    if expired {
        let pauses = Pauses { queue: &context.config.queue, age: Duration::MAX, random: 0 };
        settlement.reports = reports::failed(&reporter, &leased.message, &recipients).await;
        let log_line = DeliveryLine {
            lane,
            account: None,
            message: &leased.message,
            host: "",
            now: context.timeline.now(),
            pauses: &pauses,
            tried: false,
            edited: EditedFields::default(),
        };
        delivery_log::attempt(&log_line, &outcomes);
        settlement.deliveries = settle::deliveries(context, &leased.message, &outcomes, &pauses);
        settlement.deliveries.iter_mut().for_each(|delivery| delivery.counts = false);
    } else {
        settlement.reports = reports::delayed(&reporter, &leased.message, &recipients).await;
    }
    settle::record(context, &leased, settlement).await;
}

fn last_reply(recipient: &QueuedRecipient) -> String {
    match recipient.last_reply.as_str() {
        "" => "450 4.4.7 the upstream could not be reached in time".to_owned(),
        reply => reply.to_owned(),
    }
}
