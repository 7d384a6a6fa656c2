//! What the environment changes: `MAILSLUICE__SECTION__KEY=value`.

use std::collections::{BTreeMap, BTreeSet};

use super::fault::{Finding, SourcePlace};
use super::tree::{Node, Table, Value};

/// What all names begin with.
pub(super) const PREFIX: &str = "MAILSLUICE__";
/// The sections that stand in the file as `[[…]]`; the environment reaches the only one of a kind.
pub(super) const REPEATED: [&str; 3] = ["listener", "upstream", "dkim"];

/// The variable of a key, by its full name.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

/// Writes the variables into the tree. They become untyped values; names that are no keys are told by the reader,
/// which finds them where it looks for unknown keys.
pub(super) fn apply(root: &mut Table, environment: &BTreeMap<String, String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, value) in environment {
        if let Some(path) = name.strip_prefix(PREFIX)
            && let Err((what, instead)) = apply_one(root, name, &path.to_lowercase(), value)
        {
            let place = SourcePlace::Environment(name.clone());
            findings.push(Finding {
                place,
                key: String::new(),
                what: what.to_owned(),
                instead: instead.to_owned(),
            });
        }
    }
    findings
}

type Wrong = (&'static str, &'static str);

const BAD_NAME: Wrong = ("is not the name of a key", "write MAILSLUICE__SECTION__KEY, or remove it");
const SEVERAL: Wrong = (
    "is not clear, the file has several of these sections",
    "write it into the file, or leave only one there",
);
const TWICE: Wrong = ("is set, and so is the variable that its name begins with", "remove one of them");

fn apply_one(root: &mut Table, name: &str, path: &str, value: &str) -> Result<(), Wrong> {
    let parts: Vec<&str> = path.split("__").collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Err(BAD_NAME);
    }
    let (table, rest) = match parts.as_slice() {
        [section, rest @ ..] if !rest.is_empty() && REPEATED.contains(section) => {
            (only(root, section, name)?, rest)
        }
        all => (root, all),
    };
    insert(table, name, rest, value)
}

/// The one section of that name; made when there is none.
fn only<'t>(root: &'t mut Table, section: &str, name: &str) -> Result<&'t mut Table, Wrong> {
    let place = SourcePlace::Environment(name.to_owned());
    let (_, node) = root.0.entry(section.to_owned()).or_insert_with(|| {
        let mut made = Table::default();
        if section == "upstream" {
            let name = Node { place: place.clone(), value: Value::Text("default".to_owned()) };
            made.0.insert("name".to_owned(), (place.clone(), name));
        }
        let made = Node { place: place.clone(), value: Value::Table(made) };
        (place.clone(), Node { place: place.clone(), value: Value::List(vec![made]) })
    });
    let Value::List(nodes) = &mut node.value else { return Err(BAD_NAME) };
    match nodes.as_mut_slice() {
        [Node { value: Value::Table(table), .. }] => Ok(table),
        _ => Err(SEVERAL),
    }
}

fn insert(table: &mut Table, name: &str, path: &[&str], value: &str) -> Result<(), Wrong> {
    let (key, rest) = path.split_first().ok_or(BAD_NAME)?;
    let place = SourcePlace::Environment(name.to_owned());
    if rest.is_empty() {
        let node = Node { place: place.clone(), value: Value::Untyped(value.to_owned()) };
        table.0.insert((*key).to_owned(), (place, node));
        return Ok(());
    }
    let made = || (place.clone(), Node { place: place.clone(), value: Value::Table(Table::default()) });
    let (_, node) = table.0.entry((*key).to_owned()).or_insert_with(made);
    if matches!(node.value, Value::Untyped(_)) {
        return Err(TWICE);
    }
    if !matches!(node.value, Value::Table(_)) {
        // The environment goes before the file: `PASSWORD__FILE` replaces a plain password.
        *node = made().1;
    }
    let Value::Table(inner) = &mut node.value else { return Err(BAD_NAME) };
    insert(inner, name, rest, value)
}

/// Variables that were meant for a key and are not read: `MAILSLUICE_UPSTREAM_HOST`, with single underscores. Those that
/// are named elsewhere, as the source of a secret, are meant as they are.
pub(super) fn single_underscores(
    environment: &BTreeMap<String, String>,
    is_named: impl Fn(&str) -> bool,
    keys: impl Fn() -> BTreeSet<String>,
) -> Vec<Finding> {
    let single = |name: &&String| {
        name.starts_with("MAILSLUICE_") && !name.starts_with(PREFIX) && !is_named(name.as_str())
    };
    let names: Vec<&String> = environment.keys().filter(single).collect();
    if names.is_empty() {
        return Vec::new();
    }
    let keys = keys();
    let finding = |name: &String| {
        let meant = keys.iter().map(|key| variable(key)).find(|key| key.replace("__", "_") == *name)?;
        let (what, instead) = ("is not read".to_owned(), format!("write {meant}"));
        Some(Finding { place: SourcePlace::Environment(name.clone()), key: String::new(), what, instead })
    };
    names.into_iter().filter_map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree;

    fn applied(file: &str, variables: &[(&str, &str)]) -> (Table, Vec<String>) {
        let mut root = tree::parse(file).unwrap_or_default();
        let environment =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let findings =
            apply(&mut root, &environment).iter().map(|finding| finding.of_file(None).to_string()).collect();
        (root, findings)
    }

    fn at<'t>(table: &'t Table, path: &[&str]) -> Option<&'t Value> {
        let (key, rest) = path.split_first()?;
        let mut value = &table.0.get(*key)?.1.value;
        if let Value::List(nodes) = value {
            value = &nodes.first()?.value;
        }
        match value {
            Value::Table(inner) if !rest.is_empty() => at(inner, rest),
            _ => Some(value),
        }
    }

    fn text(table: &Table, path: &[&str]) -> Option<String> {
        match at(table, path)? {
            Value::Untyped(text) | Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    #[test]
    fn makes_and_changes_sections() {
        let file = "[log]\nlevel = \"warn\"\n[[listener]]\naddress = \"127.0.0.1:1\"\n";
        let (root, findings) = applied(
            file,
            &[
                ("HOME", "/root"),
                ("MAILSLUICE_CONFIG", "x"),
                ("MAILSLUICE__LOG__LEVEL", "debug"),
                ("MAILSLUICE__HOSTNAME", "relay.firm.example"),
                ("MAILSLUICE__LISTENER__ADDRESS", "127.0.0.1:2"),
                ("MAILSLUICE__UPSTREAM__HOST", "smtp.firm.example"),
                ("MAILSLUICE__UPSTREAM__PASSWORD__FILE", "/run/secrets/p"),
                ("MAILSLUICE__UPSTREAM__LIMITS__PER_MINUTE__MESSAGES", "30"),
            ],
        );
        assert_eq!(findings, Vec::<String>::new());
        for (path, want) in [
            (&["log", "level"][..], "debug"),
            (&["hostname"], "relay.firm.example"),
            (&["listener", "address"], "127.0.0.1:2"),
            (&["upstream", "name"], "default"),
            (&["upstream", "host"], "smtp.firm.example"),
            (&["upstream", "password", "file"], "/run/secrets/p"),
            (&["upstream", "limits", "per_minute", "messages"], "30"),
        ] {
            assert_eq!(text(&root, path).as_deref(), Some(want), "{path:?}");
        }
        assert_eq!(root.0.len(), 4);
    }

    #[test]
    fn tells_what_is_not_clear() {
        let two = "[[upstream]]\nname = \"a\"\n[[upstream]]\nname = \"b\"\n";
        for (file, name, want) in [
            (two, "MAILSLUICE__UPSTREAM__HOST", "several of these sections"),
            ("", "MAILSLUICE__", "is not the name of a key"),
            ("", "MAILSLUICE__LOG____LEVEL", "is not the name of a key"),
        ] {
            let (_, findings) = applied(file, &[(name, "x")]);
            assert!(
                findings.len() == 1 && findings[0].contains(want) && findings[0].contains(name),
                "{findings:?}"
            );
        }
        let (_, findings) = applied(
            "",
            &[("MAILSLUICE__UPSTREAM__PASSWORD", "hush"), ("MAILSLUICE__UPSTREAM__PASSWORD__FILE", "x")],
        );
        assert!(findings.len() == 1 && !findings[0].contains("hush"), "{findings:?}");
    }
}
