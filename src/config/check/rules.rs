//! Whether what rules name is there.

use super::same_names::same_names;
use super::shadowed;
use crate::config::fault::SourcePlace;
use crate::config::reader::Section;
use crate::config::sections::rule::ReadRule;
use crate::config::words::{nearest, one_of, quoted};
use crate::config::{Config, Rule};

/// The listener of mail that `mailsluice send` hands in.
const CONTROL: &str = "control";

/// Looks whether users, listeners, upstreams and signatures of rules exist, and gives the last two their names as they write
/// them.
pub(in crate::config) fn check(root: &Section<'_>, reads: Vec<ReadRule>, config: &Config) -> Vec<Rule> {
    same_names(root, "rule.name", "rule", reads.iter().map(|read| (read.rule.name.as_str(), &read.place)));
    let users: Vec<&str> = config.users.iter().map(|user| user.name.as_str()).collect();
    let upstreams: Vec<&str> = config.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
    let mut listeners: Vec<String> =
        config.listeners.iter().map(|listener| listener.address.to_string()).collect();
    listeners.push(CONTROL.to_owned());
    let listeners: Vec<&str> = listeners.iter().map(String::as_str).collect();
    let signatures: Vec<&str> = config.signatures.iter().map(|signature| signature.name.as_str()).collect();
    shadowed::check(root, &reads);
    let mut rules = Vec::with_capacity(reads.len());
    for ReadRule { mut rule, names, .. } in reads {
        for name in &names.users {
            known(root, ("rule.when.user", "the name of a user"), name, &users);
        }
        for name in &names.listeners {
            known(root, ("rule.when.listener", "the address of a listener"), name, &listeners);
        }
        if let Some(name) = &names.upstream {
            let found = known(root, ("rule.set_upstream", "the name of an upstream"), name, &upstreams);
            rule.actions.set_upstream = found.map(str::to_owned);
        }
        if let Some(name) = &names.signature {
            let found = known(root, ("rule.signature", "the name of a [[signature]]"), name, &signatures);
            rule.actions.signature = found.map(str::to_owned);
        }
        rules.push(rule);
    }
    rules
}

/// The name as it is written where it belongs.
fn known<'n>(
    root: &Section<'_>,
    (key, kind): (&str, &str),
    (place, name): &(SourcePlace, String),
    all: &[&'n str],
) -> Option<&'n str> {
    let found = all.iter().find(|known| known.to_lowercase() == name.to_lowercase()).copied();
    if found.is_none() {
        let instead = match nearest(name, all) {
            Some(name) => format!("write {}", quoted(name)),
            None if all.is_empty() => "remove it: there is none".to_owned(),
            None => format!("write {}", one_of(all.iter().copied())),
        };
        root.fault(place, key, &format!("{} is not {kind}", quoted(name)), &instead);
    }
    found
}
