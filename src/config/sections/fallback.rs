//! `fallback`, `fallback_on` and `fallback_after` of an upstream.

use std::time::Duration;

use crate::config::fault::SourcePlace;
use crate::config::reader::Section;
use crate::config::words::quoted;
use crate::config::{CausesSet, Fallback};

/// Reads it, with the place of each name. Whether these are names of upstreams is seen when all are known.
pub(super) fn read(section: &mut Section<'_>) -> (Fallback, Vec<SourcePlace>) {
    let names = section.texts("fallback").unwrap_or_default();
    let (places, upstreams) = names.into_iter().map(|(place, name)| (place, name.to_owned())).unzip();
    let usual = Fallback::default();
    let fallback = Fallback {
        upstreams,
        on: causes(section).unwrap_or(usual.on),
        after: section.time("fallback_after", Duration::ZERO).unwrap_or(usual.after),
    };
    if fallback.upstreams.is_empty() && !section.has("fallback") {
        for key in ["fallback_on", "fallback_after"].into_iter().filter(|key| section.has(key)) {
            let what = "has no effect, since no upstream serves in place of this one";
            section.warning(
                &section.place_of(key),
                key,
                what,
                "write fallback with the name of one, or remove it",
            );
        }
    }
    (fallback, places)
}

fn causes(section: &mut Section<'_>) -> Option<CausesSet> {
    let mut causes = CausesSet::NONE;
    for (place, text) in section.texts("fallback_on")? {
        match text {
            "unreachable" => causes.unreachable = true,
            "disabled" => causes.disabled = true,
            "quota" => causes.quota = true,
            _ => {
                let what = format!("{} is not a cause", quoted(text));
                section.fault(&place, "fallback_on", &what, r#"write "unreachable", "disabled" or "quota""#);
            }
        }
    }
    Some(causes)
}
