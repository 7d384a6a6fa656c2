//! `[log]`, `[test_mode]` and `[blacklist]`.

use std::time::Duration;

use super::{MANY, SOME_TIME, address};
use crate::config::reader::Section;
use crate::config::{Blacklist, BlacklistAction, Log, LogFormat, LogLevel, TestAction, TestMode};

/// How long an entry lasts that failures have made.
const EXPIRE_AFTER: Duration = Duration::from_hours(30 * 24);

/// `[log]`
pub(in crate::config) fn log(mut section: Section<'_>) -> Log {
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let levels = [
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ];
    let log = Log {
        format: section.choice("format", &formats).unwrap_or(LogFormat::Text),
        level: section.choice("level", &levels).unwrap_or(LogLevel::Info),
        subject: section.flag("subject").unwrap_or(false),
    };
    section.finish();
    log
}

/// `[test_mode]`
pub(in crate::config) fn test_mode(mut section: Section<'_>) -> TestMode {
    let actions =
        [("redirect", TestAction::Redirect), ("hold", TestAction::Hold), ("capture", TestAction::Capture)];
    let mode = TestMode {
        enabled: section.flag("enabled").unwrap_or(false),
        action: section.choice("action", &actions).unwrap_or(TestAction::Redirect),
        address: address(&mut section, "address"),
        capture_max: section.number("capture_max", 1..=MANY).unwrap_or(10_000),
    };
    if mode.enabled && mode.lacks_address() && !section.has("address") {
        section
            .missing("address", r#"write the address that gets all mail, or action = "hold" or "capture""#);
    }
    section.finish();
    mode
}

/// `test` of a section whose mail can be in test mode though the switch is off; with the treatment that `[test_mode]` gives it.
pub(super) fn test(section: &mut Section<'_>, test_mode: &TestMode) -> Option<bool> {
    const KEY: &str = "test";
    let test = section.flag(KEY);
    if test == Some(true) && test_mode.lacks_address() {
        let what = r#"is true, but [test_mode] has no address for action = "redirect""#;
        let instead = r#"write address in [test_mode], or action = "hold" or "capture" there"#;
        section.unfit(KEY, what, instead);
    }
    test
}

/// `[blacklist]`
pub(in crate::config) fn blacklist(mut section: Section<'_>) -> Blacklist {
    let actions = [("reject", BlacklistAction::Reject), ("drop", BlacklistAction::Drop)];
    let blacklist = Blacklist {
        action: section.choice("action", &actions).unwrap_or(BlacklistAction::Reject),
        auto_add: section.flag("auto_add").unwrap_or(true),
        auto_add_after: section.number("auto_add_after", 1..=MANY).unwrap_or(2),
        expire_after: section.time_or_never("expire_after", SOME_TIME, Some(EXPIRE_AFTER)),
    };
    section.finish();
    blacklist
}
