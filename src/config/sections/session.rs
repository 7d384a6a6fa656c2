//! `[session]`

use std::time::Duration;

use super::{MANY, SOME_TIME};
use crate::config::reader::Section;
use crate::config::{ByteSize, LongLines, Newlines, Session};

/// A smaller budget would not leave enough for one header section of usual size.
const LEAST_MEMORY: ByteSize = ByteSize(64 << 10);

/// `[session]`
pub(in crate::config) fn read(mut section: Section<'_>) -> Session {
    let newlines = [("normalize", Newlines::Normalize), ("reject", Newlines::Reject)];
    let long_lines = [("wrap", LongLines::Wrap), ("pass", LongLines::Pass), ("reject", LongLines::Reject)];
    let session = Session {
        // SIZE=0 would announce that there is no limit (RFC 1870 4).
        max_message_size: section.size("max_message_size", ByteSize(1)).unwrap_or(ByteSize(35 << 20)),
        max_recipients: section.number("max_recipients", 1..=MANY).unwrap_or(1_000),
        max_connections: section.number("max_connections", 1..=MANY).unwrap_or(1_000),
        max_connections_per_client: section.number("max_connections_per_client", 1..=MANY).unwrap_or(100),
        command_timeout: section.time("command_timeout", SOME_TIME).unwrap_or(Duration::from_mins(5)),
        data_timeout: section.time("data_timeout", SOME_TIME).unwrap_or(Duration::from_mins(10)),
        max_errors: section.number("max_errors", 1..=MANY).unwrap_or(20),
        memory_budget: section.size("memory_budget", LEAST_MEMORY).unwrap_or(ByteSize(256 << 20)),
        bare_newline: section.choice("bare_newline", &newlines).unwrap_or(Newlines::Normalize),
        long_lines: section.choice("long_lines", &long_lines).unwrap_or(LongLines::Wrap),
    };
    section.finish();
    session
}
