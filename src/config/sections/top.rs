//! The keys that stand before all sections.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use jiff::tz::{self, TimeZone};

use crate::config::names::is_ehlo_name;
use crate::config::reader::Section;
use crate::config::words::{nearest, quoted};
use crate::config::{ControlGroup, Language};
use crate::mail::Completion;

/// `hostname`: the machine's full name unless the file has another.
pub(in crate::config) fn hostname(root: &mut Section<'_>) -> String {
    const WANTED: &str = "a host name";
    const INSTEAD: &str = r#"write the full name of this machine, such as "relay.firm.example""#;
    let parse = |text: &str| is_ehlo_name(text).then(|| text.to_owned());
    if root.node("hostname").is_some() {
        return root.parsed("hostname", WANTED, INSTEAD, parse).unwrap_or_default();
    }
    let own = root.context.machine.full_name();
    if !is_ehlo_name(&own) {
        let what = format!("this machine's own name {} is not {WANTED}", quoted(&own));
        root.fault(&root.place, "hostname", &what, INSTEAD);
    }
    own
}

/// `data_dir`; `--data-dir` goes before it.
pub(in crate::config) fn data_dir(root: &mut Section<'_>) -> PathBuf {
    let written = root.path("data_dir");
    let machine = root.context.machine;
    let named = machine.data_dir.as_ref().map(|folder| machine.working_folder.join(folder));
    tidy(&named.or(written).unwrap_or_else(|| root.context.folder.join("data")))
}

/// `control_group`: a group of this machine, by name or number.
pub(in crate::config) fn control_group(root: &mut Section<'_>) -> Option<ControlGroup> {
    const INSTEAD: &str = "write one that is in /etc/group, or the number of another";
    let machine = root.context.machine;
    let group = |name: &str| Some(ControlGroup { id: machine.group_id(name)?, name: name.to_owned() });
    root.parsed("control_group", "a group of this machine", INSTEAD, group)
}

/// `language`: of reports to senders.
pub(in crate::config) fn language(root: &mut Section<'_>) -> Language {
    root.choice("language", &[("en", Language::English), ("de", Language::German)]).unwrap_or_default()
}

/// `complete_addresses`: the domain of addresses that have none.
pub(in crate::config) fn complete_addresses(root: &mut Section<'_>) -> Option<Completion> {
    const INSTEAD: &str =
        r#"write the domain that addresses without one belong to, in ASCII, such as "firm.example""#;
    root.parsed("complete_addresses", "a domain name in ASCII", INSTEAD, Completion::parse)
}

/// The path without `.` and `x/..`, for people who read it. Behind a link that would be another place, so such a path
/// stays as it is.
fn tidy(path: &Path) -> PathBuf {
    let mut tidied = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir if tidied.is_symlink() || !tidied.pop() => return path.to_owned(),
            Component::CurDir | Component::ParentDir => {}
            part => tidied.push(part),
        }
    }
    tidied
}

/// `shutdown_grace`; no time at all is allowed.
pub(in crate::config) fn shutdown_grace(root: &mut Section<'_>) -> Duration {
    root.time("shutdown_grace", Duration::ZERO).unwrap_or(Duration::from_secs(8))
}

/// `timezone`: the machine's unless the file names another (IANA time zone database).
pub(in crate::config) fn timezone(root: &mut Section<'_>) -> TimeZone {
    const WRITE_ZONE: &str = r#"write the name of one, such as "Europe/Zurich" or "UTC""#;
    let own = root.context.machine.timezone.clone();
    let Some(name) = root.text("timezone", "the name of a time zone", WRITE_ZONE) else { return own };
    TimeZone::get(name).unwrap_or_else(|_| {
        let zones: Vec<String> = tz::db().available().map(|zone| zone.to_string()).collect();
        let lower: Vec<String> = zones.iter().map(|zone| zone.to_lowercase()).collect();
        let near = nearest(name, &lower.iter().map(String::as_str).collect::<Vec<_>>());
        let meant = near.and_then(|near| zones.iter().find(|zone| zone.to_lowercase() == near));
        let instead = meant.map_or_else(|| WRITE_ZONE.to_owned(), |zone| format!("write {zone:?}"));
        let what = format!("{} is not the name of a time zone", quoted(name));
        root.unfit("timezone", &what, &instead);
        own
    })
}
