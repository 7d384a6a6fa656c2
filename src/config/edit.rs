//! Changes single values of a configuration file. Comments, the order and every other octet stay as they are.

use toml_edit::{Decor, DocumentMut, Item, Table, TableLike, Value};

use super::TestAction;
use crate::mail::Address;

/// What a person switches with a command or in the console, and what the file then says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileChange {
    /// This upstream is the default, and no other one.
    DefaultUpstream(String),
    /// An upstream is used, or not.
    UpstreamEnabled {
        /// Its name.
        name: String,
        /// Whether it is used.
        enabled: bool,
    },
    /// Test mode; what is `None` stays as it is written.
    TestMode {
        /// On or off.
        enabled: bool,
        /// What becomes of mail.
        action: Option<TestAction>,
        /// Where redirected mail goes.
        address: Option<Address>,
    },
}

/// Why a file can't be changed so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The text is no TOML.
    #[error("it is not TOML: {0}")]
    Syntax(String),
    /// The file has no such upstream: the environment makes it.
    #[error("it has no upstream of the name {0}")]
    NoUpstream(String),
    /// A name stands for something else than the section that it is.
    #[error("`{0}` in it is not a section")]
    NotASection(&'static str),
    /// Something in it would look otherwise, beside what is to be changed.
    #[error("its layout could not be kept")]
    Layout,
}

impl FileChange {
    /// The keys that it writes, by their full names.
    #[must_use]
    pub fn keys(&self) -> Vec<&'static str> {
        match self {
            Self::DefaultUpstream(_) => vec!["upstream.default"],
            Self::UpstreamEnabled { .. } => vec!["upstream.enabled"],
            Self::TestMode { action, address, .. } => {
                let action = action.map(|_| "test_mode.action");
                let address = address.as_ref().map(|_| "test_mode.address");
                ["test_mode.enabled"].into_iter().chain(action).chain(address).collect()
            }
        }
    }

    /// The text of a configuration file with this change. It is as valid as what was there; whether the new one is a good
    /// configuration is for [`Config::load`](super::Config::load) to say.
    ///
    /// # Errors
    /// When the text can't be changed so.
    pub fn applied_to(&self, text: &str) -> Result<String, EditError> {
        let (mark, body) =
            text.strip_prefix(BYTE_ORDER_MARK).map_or(("", text), |body| (BYTE_ORDER_MARK, body));
        let has_crlf = body.contains("\r\n");
        let body = if has_crlf { body.replace("\r\n", "\n") } else { body.to_owned() };
        let mut file: DocumentMut = body
            .parse()
            .map_err(|error: toml_edit::TomlError| EditError::Syntax(error.message().to_owned()))?;
        if file.to_string().trim_end_matches('\n') != body.trim_end_matches('\n') {
            return Err(EditError::Layout);
        }
        match self {
            Self::DefaultUpstream(name) => set_default(&mut file, name)?,
            Self::UpstreamEnabled { name, enabled } => {
                let upstream = upstreams(&mut file)?.into_iter().find(|one| is_named(*one, name));
                set(
                    upstream.ok_or_else(|| EditError::NoUpstream(name.clone()))?,
                    "enabled",
                    (*enabled).into(),
                );
            }
            Self::TestMode { enabled, action, address } => {
                let section = section(&mut file, "test_mode")?;
                set(section, "enabled", (*enabled).into());
                if let Some(action) = action {
                    set(section, "action", action.name().into());
                }
                if let Some(address) = address {
                    set(section, "address", address.to_string().into());
                }
            }
        }
        let changed = file.to_string();
        Ok(format!("{mark}{}", if has_crlf { changed.replace('\n', "\r\n") } else { changed }))
    }
}

/// What some editors put before a text.
const BYTE_ORDER_MARK: &str = "\u{feff}";

fn set_default(file: &mut DocumentMut, name: &str) -> Result<(), EditError> {
    let mut all = upstreams(file)?;
    if !all.iter().any(|one| is_named(&**one, name)) {
        return Err(EditError::NoUpstream(name.to_owned()));
    }
    for upstream in &mut all {
        let is_default = upstream.get("default").and_then(Item::as_bool) == Some(true);
        match (is_named(&**upstream, name), is_default) {
            (true, false) => set(&mut **upstream, "default", true.into()),
            (false, true) => set(&mut **upstream, "default", false.into()),
            _ => {}
        }
    }
    Ok(())
}

/// The upstreams in their order, whether they are written as `[[upstream]]` or within a list.
fn upstreams(file: &mut DocumentMut) -> Result<Vec<&mut dyn TableLike>, EditError> {
    match file.get_mut("upstream") {
        None => Ok(Vec::new()),
        Some(Item::ArrayOfTables(tables)) => {
            Ok(tables.iter_mut().map(|one| one as &mut dyn TableLike).collect())
        }
        Some(Item::Value(Value::Array(list))) => Ok(list
            .iter_mut()
            .filter_map(Value::as_inline_table_mut)
            .map(|one| one as &mut dyn TableLike)
            .collect()),
        Some(_) => Err(EditError::NotASection("upstream")),
    }
}

fn is_named(upstream: &dyn TableLike, name: &str) -> bool {
    upstream.get("name").and_then(Item::as_str) == Some(name)
}

/// A section, made at the end of the file when there is none.
fn section<'f>(file: &'f mut DocumentMut, name: &'static str) -> Result<&'f mut dyn TableLike, EditError> {
    if !file.contains_key(name) {
        let mut made = Table::new();
        // What stands at the end of the file stays before it; then an empty line, as people write.
        let end = file.trailing().as_str().unwrap_or_default().to_owned();
        let is_begun = !file.is_empty() || !end.is_empty();
        *made.decor_mut() = Decor::new(format!("{end}{}", if is_begun { "\n" } else { "" }), "");
        file.set_trailing("");
        file.insert(name, Item::Table(made));
    }
    file.get_mut(name).and_then(Item::as_table_like_mut).ok_or(EditError::NotASection(name))
}

/// Sets a key. The comment beside its old value stays; a new key comes behind the others of its section.
fn set(section: &mut dyn TableLike, key: &str, value: Value) {
    match section.get_mut(key) {
        Some(Item::Value(old)) => {
            let decor = old.decor().clone();
            *old = value;
            *old.decor_mut() = decor;
        }
        _ => drop(section.insert(key, Item::Value(value))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# The relay of the firm.
hostname = \"relay.firm.example\" # as in the DNS

[[upstream]] # the first one
name = \"m365\"
default = true   # for all others
host = \"h\"
# below the host

[upstream.limits]
connections = 3

[[upstream]]
name    = 'backup'
host    = \"g\"
# the end
";

    fn default_of(name: &str) -> FileChange {
        FileChange::DefaultUpstream(name.to_owned())
    }

    fn enabled(name: &str, enabled: bool) -> FileChange {
        FileChange::UpstreamEnabled { name: name.to_owned(), enabled }
    }

    fn test_mode(enabled: bool, action: Option<TestAction>, address: Option<&str>) -> FileChange {
        FileChange::TestMode { enabled, action, address: address.map(|text| Address::parse(text).unwrap()) }
    }

    /// The lines that a change takes away and adds.
    fn difference(text: &str, change: &FileChange) -> (Vec<String>, Vec<String>) {
        let new = change.applied_to(text).unwrap();
        let without = |of: &str, other: &str| -> Vec<String> {
            let mut rest: Vec<&str> = other.lines().collect();
            let is_new = |line: &&str| match rest.iter().position(|known| known == line) {
                Some(at) => {
                    rest.remove(at);
                    false
                }
                None => true,
            };
            of.lines().filter(is_new).map(str::to_owned).collect()
        };
        (without(text, &new), without(&new, text))
    }

    #[test]
    fn nothing_else_changes() {
        for (change, gone, come) in [
            (
                default_of("backup"),
                &["default = true   # for all others"][..],
                &["default = false   # for all others", "default = true"][..],
            ),
            (default_of("m365"), &[], &[]),
            (enabled("m365", false), &[], &["enabled = false"]),
            (enabled("backup", true), &[], &["enabled = true"]),
            (
                test_mode(true, Some(TestAction::Hold), Some("me@firm.example")),
                &[],
                &["", "[test_mode]", "enabled = true", "action = \"hold\"", "address = \"me@firm.example\""],
            ),
        ] {
            let (lost, new) = difference(FILE, &change);
            assert_eq!(
                (lost.as_slice(), new.as_slice()),
                (own(gone).as_slice(), own(come).as_slice()),
                "{change:?}"
            );
        }
    }

    fn own(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn a_new_key_stands_in_its_section() {
        let new = enabled("m365", false).applied_to(FILE).unwrap();
        let (before, behind) = new.split_once("enabled = false\n").unwrap();
        assert!(before.ends_with("host = \"h\"\n") && behind.starts_with("# below the host\n"), "{new}");
        let twice = enabled("m365", true).applied_to(&new).unwrap();
        assert_eq!(twice.matches("enabled").count(), 1, "{twice}");
    }

    #[test]
    fn whatever_way_it_is_written() {
        for (text, change, want) in [
            (
                "upstream = [{ name = \"a\", default = true }, { name = \"b\" }]\n",
                default_of("b"),
                "upstream = [{ name = \"a\", default = false }, { name = \"b\" , default = true }]\n",
            ),
            (
                "test_mode = { enabled = false }\n",
                test_mode(true, None, None),
                "test_mode = { enabled = true }\n",
            ),
            (
                "test_mode.enabled = true # x\n",
                test_mode(false, None, None),
                "test_mode.enabled = false # x\n",
            ),
            ("", test_mode(false, None, None), "[test_mode]\nenabled = false\n"),
            // As an editor of Windows writes it.
            (
                "\u{feff}# x\r\n[test_mode]\r\nenabled = true # y\r\n",
                test_mode(false, None, None),
                "\u{feff}# x\r\n[test_mode]\r\nenabled = false # y\r\n",
            ),
            ("[test_mode]\nenabled = true", test_mode(false, None, None), "[test_mode]\nenabled = false\n"),
        ] {
            assert_eq!(change.applied_to(text).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_it_can_not_change() {
        for (text, change, want) in [
            (FILE, default_of("nobody"), EditError::NoUpstream("nobody".to_owned())),
            ("", enabled("default", true), EditError::NoUpstream("default".to_owned())),
            ("test_mode = 1\n", test_mode(true, None, None), EditError::NotASection("test_mode")),
            ("[upstream]\nname = \"a\"\n", default_of("a"), EditError::NotASection("upstream")),
        ] {
            assert_eq!(change.applied_to(text), Err(want), "{text}");
        }
        assert!(matches!(default_of("a").applied_to("x = ["), Err(EditError::Syntax(_))));
    }

    #[test]
    fn the_example_stays_as_it_is() {
        let text = include_str!("../../config/mailsluice.toml");
        let (lost, new) = difference(text, &test_mode(true, None, Some("me@firm.example")));
        assert!(lost.len() <= 2 && new.len() <= 4, "{lost:?} {new:?}");
    }
}
