//! What is said of a name that is none of an upstream.

use crate::config::words::{nearest, one_of, quoted};

/// What to write in place of a name that is none of an upstream.
pub(super) fn unknown(name: &str, own: &str, names: &[String]) -> String {
    let known: Vec<&str> = names.iter().map(String::as_str).filter(|name| *name != own).collect();
    match nearest(name, &known) {
        Some(name) => format!("write {}", quoted(name)),
        None if known.is_empty() => "remove it: there is no other upstream".to_owned(),
        None => format!("write {}, or remove it", one_of(known)),
    }
}
