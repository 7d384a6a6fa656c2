//! `[upstream.limits]` and `[upstream.timeouts]`

use super::{MANY, SOME_TIME};
use crate::config::reader::Section;
use crate::config::{ByteSize, Limits, Pace, Quota, Timeouts};

/// The most connections to one upstream; above this it is a mistake.
const MANY_CONNECTIONS: i64 = 1_000;

const WRITE_QUOTA: &str = "write { messages = 30 }, { recipients = 100 } or both";

/// `[upstream.limits]` on top of what the preset or our own defaults say.
pub(super) fn limits(mut section: Section<'_>, known: &Limits) -> Limits {
    let paces = [("burst", Pace::Burst), ("even", Pace::Even)];
    let windows = ["per_minute", "per_hour", "per_day", "per_week"];
    let quotas =
        [0, 1, 2, 3].map(|window| quota(section.inner(windows[window], WRITE_QUOTA), known.quotas[window]));
    let limits = Limits {
        connections: section.number("connections", 1..=MANY_CONNECTIONS).unwrap_or(known.connections),
        quotas,
        recipients_per_message: section
            .number("recipients_per_message", 1..=MANY)
            .unwrap_or(known.recipients_per_message),
        message_size: section.size("message_size", ByteSize(1)).or(known.message_size),
        pace: section.choice("pace", &paces).unwrap_or(known.pace),
    };
    section.finish();
    limits
}

fn quota(mut section: Section<'_>, known: Quota) -> Quota {
    let quota = Quota {
        messages: section.number("messages", 1..=MANY).or(known.messages),
        recipients: section.number("recipients", 1..=MANY).or(known.recipients),
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
