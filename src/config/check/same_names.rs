//! Whether things of a kind have names of their own.

use std::collections::HashMap;

use crate::config::fault::SourcePlace;
use crate::config::reader::Section;
use crate::config::words::quoted;

/// Commands take names as they are typed, so names that differ in case alone are the same.
pub(super) fn same_names<'r>(
    root: &Section<'_>,
    key: &str,
    kind: &str,
    named: impl Iterator<Item = (&'r str, &'r SourcePlace)>,
) {
    let mut seen: HashMap<String, &SourcePlace> = HashMap::new();
    for (name, place) in named.filter(|(name, _)| !name.is_empty()) {
        if let Some(first) = seen.insert(name.to_lowercase(), place) {
            let what = format!("{} is the name of another {kind}{}, too", quoted(name), first.in_brackets());
            root.fault(place, key, &what, "write another name");
        }
    }
}
