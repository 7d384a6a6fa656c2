//! `[upstream.limits]`, `[upstream.shared_limits]` and `[upstream.timeouts]`

use super::{MANY, SOME_TIME};
use crate::config::reader::Section;
use crate::config::words::quoted;
use crate::config::{Batch, ByteSize, Limits, Pace, Quota, Quotas, SharedLimits, Timeouts, Window, units};

/// The most connections to one upstream; above this it is a mistake.
const MANY_CONNECTIONS: i64 = 1_000;

const WRITE_QUOTA: &str =
    r#"write { messages = 30 }, { recipients = 100 }, { octets = "150MB" } or several of them"#;
const WRITE_PER: &str = r#"write per = { "5m" = { messages = 30 } }"#;
const WRITE_WINDOW: &str = r#"write whole seconds, from "1s" to "31d", such as "10s", "5m", "2h" or "30d""#;
const WRITE_BATCH: &str = r#"write { messages = 50, pause = "2s" }"#;
const WINDOWS: [&str; 4] = ["per_minute", "per_hour", "per_day", "per_week"];

/// `[upstream.limits]` or `[upstream.account.limits]`, on top of what the preset, the upstream or we ourselves say.
pub(super) fn limits(mut section: Section<'_>, known: &Limits) -> Limits {
    let paces = [("burst", Pace::Burst), ("even", Pace::Even)];
    let quotas = quotas(&mut section, &known.quotas);
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
    let largest = limits.quotas.smallest().octets.map(ByteSize);
    if let Some(largest) =
        largest.filter(|largest| section.has("message_size") && limits.message_size > Some(*largest))
    {
        let what =
            format!("is more than a window ever has room for: no message may have more than {largest}");
        section.warning(
            &section.place_of("message_size"),
            "message_size",
            &what,
            "write less, or more octets",
        );
    }
    section.finish();
    limits
}

/// `[upstream.shared_limits]`
pub(super) fn shared_limits(mut section: Section<'_>) -> SharedLimits {
    let limits = shared(&mut section);
    section.finish();
    limits
}

/// What several accounts may send together, in a section that may have other keys.
pub(super) fn shared(section: &mut Section<'_>) -> SharedLimits {
    SharedLimits {
        quotas: quotas(section, &Quotas::default()),
        connections: section.number("connections", 1..=MANY_CONNECTIONS),
    }
}

/// `per_minute` to `per_week`, and `per` with any windows. What is not said is as in `known`.
fn quotas(section: &mut Section<'_>, known: &Quotas) -> Quotas {
    let mut said: Vec<(Window, String)> = Vec::new();
    let mut quotas = known.clone();
    for (key, window) in WINDOWS.into_iter().zip(Window::NAMED) {
        if section.has(key) {
            said.push((window, key.to_owned()));
        }
        quotas.set(window, quota(section.inner(key, WRITE_QUOTA), known.of(window)));
    }
    for (length, inner) in section.chosen("per", WRITE_PER) {
        let window = units::duration(length).and_then(Window::of);
        let before = said.iter().find(|(other, _)| Some(*other) == window);
        match (window, before) {
            (None, _) => {
                let what = format!("{} is no window", quoted(length));
                section.fault(&inner.place, "per", &what, WRITE_WINDOW);
            }
            (Some(_), Some((_, other))) => {
                let what = format!("{} is the same window as {other}", quoted(length));
                section.fault(&inner.place, "per", &what, "write one of them");
            }
            (Some(window), None) => {
                said.push((window, format!("\"{length}\"")));
                quotas.set(window, quota(inner, known.of(window)));
            }
        }
    }
    quotas
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
        octets: section.size("octets", ByteSize(1)).map(|size| size.0).or(known.octets),
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
