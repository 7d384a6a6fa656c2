//! A file for each section of the configuration.

pub(super) mod alert;
mod argon2id;
pub(super) mod console;
pub(super) mod dkim;
pub(super) mod dns;
mod fallback;
pub(super) mod history;
pub(super) mod limit_group;
pub(super) mod listener;
mod networks;
pub(super) mod oauth;
mod oauth_proof;
mod oauth_urls;
pub(super) mod queue;
pub(super) mod rule;
mod rule_condition;
mod rule_header;
mod rule_names;
pub(super) mod secrets;
pub(super) mod session;
pub(super) mod signature;
pub(super) mod smime;
pub(super) mod switches;
pub(super) mod top;
pub(super) mod upstream;
mod upstream_graph;
mod upstream_keys;
mod upstream_limits;
mod upstream_logins;
mod upstream_sender;
mod upstream_sent_copy;
mod upstream_tls;
mod url;
pub(super) mod user;

use std::time::Duration;

use super::fault::SourcePlace;
use super::reader::Section;
use super::words::quoted;
use super::{Filter, Mode};
use crate::mail::Address;

/// The least time where nothing at all makes no sense.
const SOME_TIME: Duration = Duration::from_millis(1);
/// What to write where a host name is wanted.
const WRITE_HOST_NAME: &str = r#"write a host name, such as "smtp.firm.example""#;
/// The most of anything that is counted.
const MANY: i64 = u32::MAX as i64;

/// `name`: what commands and the log call it. Empty where it is wrong.
fn name(section: &mut Section<'_>, instead: &str) -> String {
    const LONGEST: usize = 64;
    if !section.has("name") {
        section.missing("name", instead);
    }
    let is_name = |text: &str| {
        (1..=LONGEST).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let read = |text: &str| is_name(text).then(|| text.to_owned());
    section.parsed("name", "a name", instead, read).unwrap_or_default()
}

/// Reads a mail address.
fn address(section: &mut Section<'_>, key: &'static str) -> Option<Address> {
    let parse = |text: &str| Address::parse(text).ok();
    section.parsed(key, "a mail address", r#"write one such as "it@firm.example""#, parse)
}

/// `mode`: when clients are answered.
fn mode(section: &mut Section<'_>) -> Option<Mode> {
    section.choice("mode", &[("queued", Mode::Queued), ("direct", Mode::Direct)])
}

/// Addresses and domains, each with its place.
fn filters(section: &mut Section<'_>, key: &'static str) -> Vec<(SourcePlace, Filter)> {
    let texts = section.texts(key).unwrap_or_default();
    filters_of(section, key, texts)
}

/// Addresses and domains of texts that a key has.
fn filters_of(
    section: &Section<'_>,
    key: &str,
    texts: Vec<(SourcePlace, &str)>,
) -> Vec<(SourcePlace, Filter)> {
    const INSTEAD: &str = r#"write "chief@firm.example", "firm.example" or "*.firm.example""#;
    let mut filters = Vec::new();
    for (place, text) in texts {
        if let Some(filter) = Filter::parse(text) {
            filters.push((place, filter));
        } else {
            let what = format!("{} is neither an address nor a domain", quoted(text));
            section.fault(&place, key, &what, INSTEAD);
        }
    }
    filters
}
