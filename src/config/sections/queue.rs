//! `[queue]`

use std::time::Duration;

use super::{SOME_TIME, address, mode};
use crate::config::reader::Section;
use crate::config::units::show;
use crate::config::{BounceFrom, ByteSize, Mode, Queue};
use crate::mail::Address;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// `[queue]`
pub(in crate::config) fn read(mut section: Section<'_>) -> Queue {
    let queue = Queue {
        mode: mode(&mut section).unwrap_or(Mode::Queued),
        retry_min: section.time("retry_min", SOME_TIME).unwrap_or(MINUTE),
        retry_max: section.time("retry_max", SOME_TIME).unwrap_or(HOUR),
        expire_after: section.time("expire_after", SOME_TIME).unwrap_or(5 * DAY),
        warn_after: section.time_or_never("warn_after", SOME_TIME, Some(4 * HOUR)),
        max_messages: section.number("max_messages", 1..=i64::MAX).unwrap_or(1_000_000),
        min_free_disk: section.size("min_free_disk", ByteSize(0)).unwrap_or(ByteSize(256 << 20)),
        bounce_to_sender: section.flag("bounce_to_sender").unwrap_or(true),
        bounce_from: bounce_from(&mut section),
        bounce_copy_to: address(&mut section, "bounce_copy_to"),
    };
    check(&section, &queue);
    section.finish();
    queue
}

fn bounce_from(section: &mut Section<'_>) -> BounceFrom {
    let parse = |text: &str| match text {
        "auto" => Some(BounceFrom::Auto),
        address => Address::parse(address).ok().map(BounceFrom::Address),
    };
    let instead = r#"write "auto" or an address such as "postmaster@firm.example""#;
    section.parsed("bounce_from", "a mail address", instead, parse).unwrap_or(BounceFrom::Auto)
}

fn check(section: &Section<'_>, queue: &Queue) {
    if queue.retry_min > queue.retry_max {
        let key = if section.has("retry_min") { "retry_min" } else { "retry_max" };
        let what = format!(
            "retry_min = \"{}\" is more than retry_max = \"{}\"",
            show(queue.retry_min),
            show(queue.retry_max)
        );
        section.fault(&section.place_of(key), key, &what, "write a retry_max that is not less");
    }
    let warns =
        section.has("warn_after") && queue.warn_after.is_some_and(|after| after >= queue.expire_after);
    if warns {
        let what = "is not before expire_after, so that no delay report is ever sent";
        section.warning(
            &section.place_of("warn_after"),
            "warn_after",
            what,
            r#"write a shorter time, or "never""#,
        );
    }
}
