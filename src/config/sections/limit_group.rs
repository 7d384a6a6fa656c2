//! `[[limit_group]]`

use super::upstream_limits::shared;
use crate::config::SharedLimits;
use crate::config::fault::SourcePlace;
use crate::config::reader::Section;

/// A limit group, with the place of its name.
pub(in crate::config) struct PlacedLimitGroup {
    pub(in crate::config) name: String,
    pub(in crate::config) place: SourcePlace,
    pub(in crate::config) limits: SharedLimits,
}

/// All limit groups.
pub(in crate::config) fn read_all(root: &mut Section<'_>) -> Vec<PlacedLimitGroup> {
    let mut groups = Vec::new();
    for mut section in root.sections("limit_group") {
        let name =
            super::name(&mut section, "write the name by which upstreams name it, such as \"mailbox\"");
        let (place, limits) = (section.place_of("name"), shared(&mut section));
        if limits == SharedLimits::default() {
            section.missing("per_day", "write a limit, such as per_day = { recipients = 10000 }");
        }
        section.finish();
        groups.push(PlacedLimitGroup { name, place, limits });
    }
    groups
}
