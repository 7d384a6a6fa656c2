//! `[upstream.limits]`, `[upstream.shared_limits]` and `[upstream.timeouts]`

use super::{MANY, SOME_TIME};
use crate::config::reader::Section;
use crate::config::{Batch, ByteSize, Limits, Pace, Quota, SharedLimits, Timeouts};

/// The most connections to one upstream; above this it is a mistake.
const MANY_CONNECTIONS: i64 = 1_000;

const WRITE_QUOTA: &str = "write { messages = 30 }, { recipients = 100 } or both";
const WRITE_BATCH: &str = r#"write { messages = 50, pause = "2s" }"#;
const WINDOWS: [&str; 4] = ["per_minute", "per_hour", "per_day", "per_week"];

/// `[upstream.limits]` or `[upstream.account.limits]`, on top of what the preset, the upstream or we ourselves say.
pub(super) fn limits(mut section: Section<'_>, known: &Limits) -> Limits {
    let paces = [("burst", Pace::Burst), ("even", Pace::Even)];
    let quotas = quotas(&mut section, known.quotas);
    let limits = Limits {
        connections: section.number("connections", 1..=MANY_CONNECTIONS).unwrap_or(known.connections),
        quotas,
        messages_per_connection: section
            .number("messages_per_connection", 1..=MANY)
            .unwrap_or(known.messages_per_connection),
        recipients_per_message: section
            .number("recipients_per_message", 1..=MANY)
            .unwrap_or(known.recipients_per_message),
        message_size: section.size("message_size", ByteSize(1)).or(known.message_size),
        pace: section.choice("pace", &paces).unwrap_or(known.pace),
        batch: batch(&mut section, known.batch),
        calendar: section.flag("calendar").unwrap_or(known.calendar),
    };
    section.finish();
    limits
}

/// `[upstream.shared_limits]`
pub(super) fn shared_limits(mut section: Section<'_>) -> SharedLimits {
    let limits = SharedLimits {
        quotas: quotas(&mut section, [Quota::default(); 4]),
        connections: section.number("connections", 1..=MANY_CONNECTIONS),
    };
    section.finish();
    limits
}

fn quotas(section: &mut Section<'_>, known: [Quota; 4]) -> [Quota; 4] {
    [0, 1, 2, 3].map(|window| quota(section.inner(WINDOWS[window], WRITE_QUOTA), known[window]))
}

fn batch(limits: &mut Section<'_>, known: Option<Batch>) -> Option<Batch> {
    let mut section = limits.inner("batch", WRITE_BATCH);
    let messages = section.number("messages", 1..=MANY);
    let pause = section.time("pause", SOME_TIME);
    for (key, other) in [("messages", "pause"), ("pause", "messages")] {
        if known.is_none() && section.has(other) && !section.has(key) {
            section.missing(key, WRITE_BATCH);
        }
    }
    section.finish();
    let (most, rest) = known.map(|batch| (batch.messages, batch.pause)).unzip();
    Some(Batch { messages: messages.or(most)?, pause: pause.or(rest)? })
}

fn quota(mut section: Section<'_>, known: Quota) -> Quota {
    let quota = Quota {
        messages: section.number("messages", 1..=MANY).or(known.messages),
        recipients: section.number("recipients", 1..=MANY).or(known.recipients),
        octets: known.octets,
    };
    section.finish();
    quota
}

/// `[upstream.timeouts]`
pub(super) fn timeouts(mut section: Section<'_>) -> Timeouts {
    let usual = Timeouts::default();
    let timeouts = Timeouts {
        connect: section.time("connect", SOME_TIME).unwrap_or(usual.connect),
        greeting: section.time("greeting", SOME_TIME).unwrap_or(usual.greeting),
        command: section.time("command", SOME_TIME).unwrap_or(usual.command),
        data: section.time("data", SOME_TIME).unwrap_or(usual.data),
        block: section.time("block", SOME_TIME).unwrap_or(usual.block),
        final_dot: section.time("final_dot", SOME_TIME).unwrap_or(usual.final_dot),
    };
    section.finish();
    timeouts
}
