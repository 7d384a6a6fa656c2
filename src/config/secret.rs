//! Secrets: a plain text, `{ file = "…" }` or `{ env = "…" }`. No finding ever shows one.

use secrecy::{ExposeSecret, SecretString};

use super::fault::SourcePlace;
use super::reader::Section;
use super::tree::{Node, Table, Value};

/// The longest secret, in octets; private keys are far below.
const LONGEST: u64 = 64 * 1024;
const WRITE_SECRET: &str = r#"write { file = "…" }, { env = "…" } or a text in quotes"#;

/// Reads a password: a secret that stands on one line.
pub(super) fn read_password(section: &mut Section<'_>, key: &'static str) -> Option<SecretString> {
    const ALONE: &str = "write the password alone, on one line";
    let password = read(section, key)?;
    let what = match password.expose_secret() {
        text if text.contains(['\n', '\r']) => "has a line end in it",
        text if text.starts_with('\u{feff}') => "begins with a byte-order mark",
        // PLAIN separates its parts with it (RFC 4616 2).
        text if text.contains('\0') => "has a NUL in it",
        text => {
            if text.starts_with([' ', '\t']) || text.ends_with([' ', '\t']) {
                let what = "begins or ends with a blank, which is sent with it";
                section.warning(&section.place_of(key), key, what, "remove it, if it is not meant");
            }
            return Some(password);
        }
    };
    section.fault(&section.place_of(key), key, what, ALONE);
    None
}

/// Reads a secret, without the one line end that editors leave at the end of files.
pub(super) fn read(section: &mut Section<'_>, key: &'static str) -> Option<SecretString> {
    let node = section.node(key)?;
    let secret = match &node.value {
        Value::Text(text) => {
            if section.context.file_is_open {
                section.warning(
                    &node.place,
                    key,
                    "is in a file that others can read",
                    r#"write { file = "…" }, or chmod 600"#,
                );
            }
            Some(SecretString::from(text.as_str()))
        }
        Value::Untyped(text) => Some(SecretString::from(text.as_str())),
        Value::Table(table) => source(section, key, node, table),
        other => {
            section.fault(&node.place, key, &format!("is {}, not a secret", other.kind()), WRITE_SECRET);
            None
        }
    }?;
    if secret.expose_secret().is_empty() {
        section.fault(&node.place, key, "is empty", "write the secret, or remove it");
        return None;
    }
    Some(secret)
}

fn source(section: &Section<'_>, key: &str, node: &Node, table: &Table) -> Option<SecretString> {
    // A source that the environment names replaces the file's.
    let from_environment = |node: &Node| matches!(node.place, SourcePlace::Environment(_));
    let any = table.0.values().any(|(_, node)| from_environment(node));
    let mut sources = table.0.iter().filter(|(_, (_, node))| !any || from_environment(node));
    let (Some((kind, (place, source))), None) = (sources.next(), sources.next()) else {
        section.fault(&node.place, key, "does not have exactly one source", WRITE_SECRET);
        return None;
    };
    let full = format!("{key}.{kind}");
    let (Value::Text(name) | Value::Untyped(name)) = &source.value else {
        section.fault(&source.place, &full, "is not a text", WRITE_SECRET);
        return None;
    };
    match kind.as_str() {
        "file" => from_file(section, &full, source, name),
        "env" => from_variable(section, &full, source, name),
        _ => {
            section.fault(place, &full, "is not a source of secrets here", WRITE_SECRET);
            None
        }
    }
}

fn from_file(section: &Section<'_>, key: &str, source: &Node, name: &str) -> Option<SecretString> {
    let path = section.whole_path(&source.place, key, name)?;
    match section.context.read_file(&path, LONGEST) {
        Ok(file) => {
            if file.open_to_others {
                let instead = format!("chmod 600 {}", path.display());
                section.warning(&source.place, key, "can be read by others", &instead);
            }
            let text = &file.text;
            let line = text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).unwrap_or(text);
            Some(SecretString::from(line))
        }
        Err(why) => {
            section.fault(&source.place, key, &why, "write the path of a file that the relay can read");
            None
        }
    }
}

fn from_variable(section: &Section<'_>, key: &str, source: &Node, name: &str) -> Option<SecretString> {
    let value = section.context.machine.environment.get(name);
    if value.is_none() {
        section.fault(
            &source.place,
            key,
            "names a variable that is not set",
            "set it, or write another name",
        );
    }
    value.map(|value| SecretString::from(value.as_str()))
}

#[cfg(test)]
mod tests;
