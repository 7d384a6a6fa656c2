//! `history_days` and `[history]`

use std::time::Duration;

use super::SOME_TIME;
use crate::config::HistorySettings;
use crate::config::reader::Section;
use crate::config::units::show;

const DAY: Duration = Duration::from_hours(24);
/// Days that anything is kept for at most: ten years.
const MOST_DAYS: i64 = 3_650;

/// `history_days` of the whole file, and `[history]`.
pub(in crate::config) fn read(root: &mut Section<'_>) -> HistorySettings {
    let days: u32 = root.number("history_days", 0..=MOST_DAYS).unwrap_or(30);
    let entries = Some(DAY * days).filter(|age| !age.is_zero());
    let mut section = root.section("history");
    let settings = HistorySettings {
        entries,
        subject: section.flag("subject").unwrap_or(false),
        contents: section.time("content", SOME_TIME),
    };
    if let Some(age) = settings.contents.filter(|age| entries.is_none_or(|entries| *age > entries)) {
        let what = format!(
            "{} is longer than history_days = {days}, and what tells of a content goes no later",
            show(age)
        );
        section.unfit("content", &what, "write a shorter time, or a larger history_days at the top");
    }
    section.finish();
    settings
}
