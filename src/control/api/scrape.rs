//! What a scraper is told of the relay as it is: gathered from where it is known, and written.
//!
//! It costs the same however long the queue is: nothing here looks at each message.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::reading::Reading;
use super::{health, sign_ins, upstreams};
use crate::alert::StoreFacts;
use crate::control::ApiState;
use crate::control::scrapes::RelayState;
use crate::control::view::{AccountJson, LimitJson, UpstreamJson, Used};
use crate::expiry::expiries;
use crate::lane::LaneState;
use crate::limits::Load;
use crate::metrics::{Exposition, SampleValue, TextFormat, families};
use crate::store::QueueFigures;

/// How long a read of a store is waited for that says nothing: less than scrapers wait.
const PATIENCE: Duration = Duration::from_secs(3);

/// How the relay is. What can't be read is left out.
pub(super) async fn gather(state: &ApiState) -> RelayState {
    let mut reading = Reading::within(PATIENCE);
    let queue = reading.of(state.store.queue_figures()).await;
    let upstreams = upstreams::as_far_as_known(state, &mut reading).await;
    let copies = reading.of(state.store.waiting_copies()).await;
    let restored = reading.of(state.store.restored_mail()).await.flatten();
    let store_fault = state.store.healthy().err().map(|error| error.to_string()).or(reading.fault());
    let sign_ins = sign_ins::all(state);
    let facts = StoreFacts { fault: store_fault, restored };
    let needs_a_person = state.alerts.standing(&facts).troubles.iter().map(ToString::to_string).collect();
    let store_fault = facts.fault;
    let is_ready = health::reasons(state).is_empty();
    RelayState { upstreams, sign_ins, queue, copies, store_fault, needs_a_person, is_ready }
}

/// All metrics as a text.
pub(super) fn text(state: &ApiState, found: &RelayState, format: TextFormat) -> String {
    let mut text = Exposition::new(format);
    state.metrics.write(&mut text);
    let meter = state.store.write_meter();
    text.begin(&families::COMMIT).histogram(&[], &meter.seconds);
    text.begin(&families::COMMIT_WRITES).histogram(&[], &meter.writes);
    if let Some(queue) = &found.queue {
        write_queue(&mut text, state, queue);
    }
    write_states(&mut text, &found.upstreams);
    write_connections(&mut text, &found.upstreams);
    write_limits(&mut text, &found.upstreams);
    let mut copies = text.begin(&families::SENT_COPIES);
    for waiting in found.copies.iter().flatten() {
        copies.put(&[&waiting.account.upstream, &waiting.account.account], waiting.copies);
    }
    write_memory(&mut text, state);
    write_ends(&mut text, state, found);
    write_relay(&mut text, state, found);
    text.end()
}

fn write_queue(text: &mut Exposition, state: &ApiState, queue: &QueueFigures) {
    let QueueFigures { counts, oldest, waiting, totals } = queue;
    let mut messages = text.begin(&families::QUEUE);
    for (name, count) in [
        ("ready", counts.ready),
        ("deferred", counts.deferred),
        ("held", counts.held),
        ("sending", counts.sending),
    ] {
        messages.put(&[name], count);
    }
    let age = oldest.map_or(Duration::ZERO, |accepted| state.timeline.now().since(accepted));
    text.begin(&families::QUEUE_OLDEST).put(&[], age.as_secs_f64());
    // Of what the configuration does not name any more, without a name: it is moved elsewhere.
    let mut loads: BTreeMap<&str, Load> =
        state.config.upstreams.iter().map(|upstream| (&*upstream.name, Load::default())).collect();
    for (lane, load) in waiting {
        let known = loads.get_mut(lane.upstream());
        let sum = match known {
            Some(sum) => sum,
            None => loads.entry("").or_default(),
        };
        sum.messages += load.messages;
        sum.recipients += load.recipients;
    }
    let mut messages = text.begin(&families::WAITING_MESSAGES);
    for (upstream, load) in &loads {
        messages.put(&[upstream], load.messages);
    }
    let mut recipients = text.begin(&families::WAITING_RECIPIENTS);
    for (upstream, load) in &loads {
        recipients.put(&[upstream], load.recipients);
    }
    let mut sums = text.begin(&families::STORE_RECIPIENTS);
    for (outcome, count) in [
        ("accepted", totals.accepted),
        ("generated", totals.generated),
        ("sent", totals.sent),
        ("bounced", totals.bounced),
        ("expired", totals.expired),
        ("dropped", totals.dropped),
        ("captured", totals.captured),
        ("deleted", totals.deleted),
    ] {
        sums.put(&[outcome], count);
    }
}

fn accounts(all: &[UpstreamJson]) -> impl Iterator<Item = (&str, &AccountJson)> {
    all.iter().flat_map(|upstream| upstream.accounts.iter().map(|account| (&*upstream.name, account)))
}

fn write_states(text: &mut Exposition, all: &[UpstreamJson]) {
    let mut states = text.begin(&families::UPSTREAM_STATE);
    for upstream in all {
        for state in LaneState::NAMES {
            states.put(&[&upstream.name, state], upstream.state == state);
        }
    }
    let mut states = text.begin(&families::ACCOUNT_STATE);
    for (upstream, account) in accounts(all) {
        for state in LaneState::NAMES {
            states.put(&[upstream, &account.account, state], account.state == state);
        }
    }
    let mut resumes = text.begin(&families::ACCOUNT_RESUMES);
    for (upstream, account) in accounts(all) {
        if let Some(until) = account.until.as_ref().and_then(|until| until.parse::<Timestamp>().ok()) {
            resumes.put(&[upstream, &account.account], seconds(until));
        }
    }
}

fn write_connections(text: &mut Exposition, all: &[UpstreamJson]) {
    let mut connections = text.begin(&families::CONNECTIONS);
    for (upstream, account) in accounts(all) {
        connections.put(&[upstream, &account.account], u64::from(account.connections));
    }
    let mut most = text.begin(&families::CONNECTIONS_MOST);
    for (upstream, account) in accounts(all) {
        most.put(&[upstream, &account.account], u64::from(account.most_connections));
    }
}

/// What is limited of a window, by unit.
fn limited(limit: &LimitJson) -> impl Iterator<Item = (&'static str, u64, u64)> {
    let units = [("messages", limit.messages), ("recipients", limit.recipients), ("octets", limit.octets)];
    units.into_iter().filter_map(|(unit, Used { used, limit })| Some((unit, used, limit?)))
}

fn write_limits(text: &mut Exposition, all: &[UpstreamJson]) {
    let lines = || {
        all.iter().flat_map(|upstream| &upstream.limits).flat_map(|line| {
            limited(line).map(move |(unit, used, limit)| {
                // A group's limits are told with the first of its upstreams, which are not that one's own.
                let upstream = line.limit_group.as_deref().unwrap_or(&line.upstream);
                ([upstream, &line.account, &line.window, unit], used, limit)
            })
        })
    };
    let mut sample = text.begin(&families::LIMIT_USED);
    lines().for_each(|(labels, used, _)| sample.put(&labels, used));
    let mut sample = text.begin(&families::LIMIT_LEFT);
    lines().for_each(|(labels, used, limit)| sample.put(&labels, limit.saturating_sub(used)));
}

fn write_memory(text: &mut Exposition, state: &ApiState) {
    let budgets = [("in", state.memory.in_use()), ("out", state.memory_out.in_use())];
    let mut used = text.begin(&families::MEMORY_USED);
    for (name, budget) in &budgets {
        used.put(&[name], budget.held);
    }
    let mut limit = text.begin(&families::MEMORY_LIMIT);
    for (name, budget) in &budgets {
        limit.put(&[name], budget.capacity);
    }
}

/// Sign-ins, and all that ends at a known time.
fn write_ends(text: &mut Exposition, state: &ApiState, found: &RelayState) {
    let mut healthy = text.begin(&families::SIGN_IN_HEALTHY);
    for sign_in in &found.sign_ins {
        let has_fault = sign_in.reason.is_some() || sign_in.tokens.iter().any(|token| token.reason.is_some());
        healthy.put(&[&sign_in.name], !has_fault);
    }
    let known = |name: &str| found.sign_ins.iter().find(|known| known.name == name);
    let renewed = |name: &str| known(name)?.renewed_at.as_ref()?.parse().ok();
    let mut ends: BTreeMap<(&'static str, String), Timestamp> = BTreeMap::new();
    for end in expiries(&state.config, renewed) {
        let first = ends.entry((end.kind.name(), end.subject)).or_insert(end.validity.until);
        *first = end.validity.until.min(*first);
    }
    let now = state.timeline.wall();
    let mut left = text.begin(&families::EXPIRY);
    for ((kind, name), at) in &ends {
        left.put(&[kind, name], at.duration_since(now).as_secs_f64());
    }
}

fn write_relay(text: &mut Exposition, state: &ApiState, found: &RelayState) {
    let one = |sample: bool| SampleValue::from(sample);
    text.begin(&families::STORE_HEALTHY).put(&[], one(found.store_fault.is_none()));
    text.begin(&families::NEEDS_A_PERSON).put(&[], found.needs_a_person.len() as u64);
    text.begin(&families::READY).put(&[], one(found.is_ready));
    text.begin(&families::TEST_MODE).put(&[], one(state.test_mode.state().enabled));
    text.begin(&families::LOG_LOST).put(&[], state.events.lost_lines());
    text.begin(&families::START_TIME).put(&[], seconds(state.timeline.wall_at(state.started)));
    text.begin(&families::BUILD).put(&[state.version], 1);
}

/// Since 1970.
fn seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1e3
}
