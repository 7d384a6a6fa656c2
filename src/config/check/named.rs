//! Upstreams that are named by others.

use crate::config::words::{nearest, one_of, quoted};

/// The place of the upstream that has a name, in upper or lower case; `own` names it.
///
/// # Errors
/// There is none: what is wrong, and what to write instead.
pub(super) fn find(name: &str, own: &str, names: &[String]) -> Result<usize, (String, String)> {
    let found = names.iter().position(|known| known.to_lowercase() == name.to_lowercase());
    found.ok_or_else(|| {
        (format!("{} is not the name of an upstream", quoted(name)), instead(name, own, names))
    })
}

fn instead(name: &str, own: &str, names: &[String]) -> String {
    let known: Vec<&str> = names.iter().map(String::as_str).filter(|name| *name != own).collect();
    match nearest(name, &known) {
        Some(name) => format!("write {}", quoted(name)),
        None if known.is_empty() => "remove it: there is no other upstream".to_owned(),
        None => format!("write {}, or remove it", one_of(known)),
    }
}
