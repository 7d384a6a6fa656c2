//! `[[user]]`

use std::collections::HashMap;

use secrecy::{ExposeSecret, SecretString};

use super::switches::test;
use super::{address, argon2id, filters};
use crate::config::fault::SourcePlace;
use crate::config::reader::Section;
use crate::config::tree::Value;
use crate::config::words::quoted;
use crate::config::{ByteSize, TestMode, User, UserPassword, UserPriority, secret};

/// The longest login name, in octets.
const LONGEST_NAME: usize = 255;
const WRITE_PASSWORD: &str =
    r#"write { hash = "…" } with what `mailsluice hash-password` prints, { file = "…" } or { env = "…" }"#;
const WRITE_HASH: &str = "write what `mailsluice hash-password` prints";
const WRITE_SCRAM: &str = "write what `mailsluice hash-password --scram` prints";

/// All users; no two with the same name. No session takes more than `most`.
pub(in crate::config) fn read_all(root: &mut Section<'_>, test_mode: &TestMode, most: ByteSize) -> Vec<User> {
    let mut users: Vec<User> = Vec::new();
    let mut names: HashMap<String, SourcePlace> = HashMap::new();
    for mut section in root.sections("user") {
        let name = name(&mut section);
        let place = section.place_of("name");
        if let Some(name) = &name
            && names.insert(name.to_lowercase(), place.clone()).is_some()
        {
            let what = format!("{} is the name of another user, too", quoted(name));
            section.fault(&place, "name", &what, "write another name");
        }
        let user = user(&mut section, name.unwrap_or_default(), test_mode);
        without_effect(&section, &user, most);
        users.push(user);
        section.finish();
    }
    if users.iter().any(|user| matches!(user.password, UserPassword::Scram(_))) {
        for user in users.iter().filter(|user| matches!(user.password, UserPassword::Argon2id(_))) {
            let what = format!(
                "of {} cannot be used with SCRAM-SHA-256, which is offered for other users and chosen by some \
                 programs on their own",
                quoted(&user.name)
            );
            let place = names.get(&user.name.to_lowercase()).unwrap_or(&root.place);
            root.warning(place, "user.password", &what, "write { scram = \"…\" } for this user, too");
        }
    }
    users
}

fn user(section: &mut Section<'_>, name: String, test_mode: &TestMode) -> User {
    let priorities =
        [("low", UserPriority::Low), ("normal", UserPriority::Normal), ("high", UserPriority::High)];
    let user = User {
        name,
        password: password(section).unwrap_or_else(|| UserPassword::Plain(SecretString::default())),
        senders: filters(section, "senders").into_iter().map(|(_, filter)| filter).collect(),
        default_sender: address(section, "default_sender"),
        replace_foreign_sender: section.flag("replace_foreign_sender").unwrap_or(false),
        priority: section.choice("priority", &priorities).unwrap_or(UserPriority::Normal),
        recipients: filters(section, "recipients").into_iter().map(|(_, filter)| filter).collect(),
        max_message_size: section.size("max_message_size", ByteSize(1)),
        test: test(section, test_mode).unwrap_or(false),
    };
    if user.replace_foreign_sender && !section.has("default_sender") {
        section.missing(
            "default_sender",
            "write the address that replaces others, or remove replace_foreign_sender",
        );
    }
    if let Some(sender) = user.default_sender.as_ref().filter(|sender| !sender.is_ascii()) {
        let what =
            format!("{} is not ASCII, and could not be put into every message", quoted(sender.as_str()));
        section.fault(&section.place_of("default_sender"), "default_sender", &what, "write another address");
    }
    if let Some(sender) = user.default_sender.as_ref().filter(|sender| !user.grants(sender)) {
        let what = format!("{} is not among senders", quoted(sender.as_str()));
        let place = section.place_of("default_sender");
        section.fault(&place, "default_sender", &what, "add it to senders, or write another address");
    }
    user
}

/// Warns of what can never take effect.
fn without_effect(section: &Section<'_>, user: &User, most: ByteSize) {
    if let Some(size) = user.max_message_size.filter(|size| *size > most) {
        let what =
            format!("{size} is more than max_message_size of [session], {most}, which holds for everybody");
        let instead = "write less, or remove it; or write more in [session]";
        section.warning(&section.place_of("max_message_size"), "max_message_size", &what, instead);
    }
    if user.replace_foreign_sender && user.senders.is_empty() {
        let what = "replaces no sender, since without senders every one is granted";
        let instead = "write senders, or remove replace_foreign_sender";
        section.warning(&section.place_of("replace_foreign_sender"), "replace_foreign_sender", what, instead);
    }
}

fn name(section: &mut Section<'_>) -> Option<String> {
    const INSTEAD: &str = r#"write the login name, such as "erp" or "anna@firm.example""#;
    if !section.has("name") {
        section.missing("name", INSTEAD);
    }
    section.parsed("name", "a login name", INSTEAD, |text| {
        let fits = !text.is_empty() && text.len() <= LONGEST_NAME && !text.chars().any(char::is_control);
        fits.then(|| text.to_owned())
    })
}

/// A password as such, or what was made of it. What comes from a file or a variable is known by its form.
fn password(section: &mut Section<'_>) -> Option<UserPassword> {
    const KEY: &str = "password";
    let Some(node) = section.node(KEY) else {
        section.missing(KEY, WRITE_PASSWORD);
        return None;
    };
    if let Value::Table(table) = &node.value
        && let [(kind, (place, value))] = Vec::from_iter(&table.0)[..]
        && matches!(kind.as_str(), "hash" | "scram")
    {
        let (Value::Text(text) | Value::Untyped(text)) = &value.value else {
            section.fault(&value.place, &format!("{KEY}.{kind}"), "is not a text", WRITE_PASSWORD);
            return None;
        };
        return if kind == "hash" { hash(section, place, text) } else { scram(section, place, text) };
    }
    let secret = secret::read_password(section, KEY)?;
    let place = section.place_of(KEY);
    match secret.expose_secret() {
        text if text.starts_with("$argon2") => hash(section, &place, text),
        text if text.starts_with("SCRAM-SHA-256$") => scram(section, &place, text),
        _ => Some(UserPassword::Plain(secret)),
    }
}

fn hash(section: &Section<'_>, place: &SourcePlace, text: &str) -> Option<UserPassword> {
    if let Some(what) = argon2id::fault(text) {
        section.fault(place, "password", what, WRITE_HASH);
        return None;
    }
    Some(UserPassword::Argon2id(text.into()))
}

fn scram(section: &Section<'_>, place: &SourcePlace, text: &str) -> Option<UserPassword> {
    match text.parse() {
        Ok(verifier) => Some(UserPassword::Scram(verifier)),
        Err(why) => {
            section.fault(place, "password", &format!("is {why}"), WRITE_SCRAM);
            None
        }
    }
}
