//! docs/configuration.md has every key, and no other.

use std::collections::BTreeSet;

use super::super::*;

/// The keys that the sections ask for, as `[section] key`.
fn known() -> BTreeSet<String> {
    // A limit, and what a rule looks for in a text, is a key with a table for a value; those of one account are the same as those of all.
    let is_table = |part: &&str| {
        part.starts_with("per_") || ["per", "batch", "subject", "attachment", "size"].contains(part)
    };
    let as_written = |name: &String| {
        let parts: Vec<&str> = name.split('.').collect();
        let length = parts.iter().position(is_table).map_or(parts.len(), |table| table + 1);
        parts[..length].join(".")
    };
    let names: BTreeSet<String> = known_keys().names().map(|name| as_written(&name)).collect();
    let is_section = |name: &str| names.iter().any(|other| other.starts_with(&format!("{name}.")));
    let own = names.iter().filter(|name| !is_section(name) && !name.starts_with("upstream.account.limits"));
    own.cloned().collect()
}

/// The keys of the document: rows of tables under headings that name their section.
fn documented() -> BTreeSet<String> {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md")).unwrap();
    let (mut section, mut keys) = (String::new(), BTreeSet::new());
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## `") {
            section = heading.split('`').next().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        }
        if let Some((key, _)) = line.strip_prefix("| `").and_then(|row| row.split_once('`')) {
            keys.insert(if section == "top" { key.to_owned() } else { format!("{section}.{key}") });
        }
    }
    keys
}

#[test]
fn every_key_is_documented() {
    let (known, documented) = (known(), documented());
    let missing: Vec<_> = known.difference(&documented).collect();
    let unknown: Vec<_> = documented.difference(&known).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "docs/configuration.md lacks {missing:?}, and has {unknown:?}"
    );
}
