//! `[alert]`

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::fs::{Access, access};
use secrecy::ExposeSecret;

use super::SOME_TIME;
use crate::config::reader::Section;
use crate::config::words::quoted;
use crate::config::{AlertSettings, WebhookUrl, secret};
use crate::mail::Address;

/// Addresses that get alerts by mail.
const MOST_ADDRESSES: usize = 20;
const WRITE_ADDRESSES: &str = r#"write a list such as ["it@firm.example"]"#;
const WRITE_URL: &str = "write a URL with https, without a login in it";
const WRITE_COMMAND: &str =
    r#"write a program's whole path and its arguments, such as ["/usr/local/bin/page"]"#;

/// Who is told what a person must know. `upstreams` are there to send mail by.
pub(in crate::config) fn read(mut section: Section<'_>, upstreams: usize) -> AlertSettings {
    let alert = AlertSettings {
        mail_to: mail_to(&mut section),
        webhook: webhook(&mut section),
        command: command(&mut section),
        nothing_sent_for: section.time("nothing_sent_for", SOME_TIME),
    };
    if alert.nothing_sent_for.is_some() && !alert.tells_somebody() {
        let what = "tells nobody: there is no mail_to, webhook or command";
        let instead = "write one of them in [alert]; else only the log and `mailsluice status` say it";
        section.warning(&section.place_of("nothing_sent_for"), "nothing_sent_for", what, instead);
    }
    let is_mail_alone = alert.webhook.is_none() && alert.command.is_empty() && !alert.mail_to.is_empty();
    if is_mail_alone && upstreams == 1 {
        let what = "goes by the only upstream there is, and so can't tell that it does not send";
        section.warning(&section.place_of("mail_to"), "mail_to", what, "write webhook or command as well");
    }
    section.finish();
    alert
}

fn mail_to(section: &mut Section<'_>) -> Vec<Address> {
    const KEY: &str = "mail_to";
    let mut all: Vec<Address> = Vec::new();
    for (place, text) in section.one_or_more_texts(KEY).unwrap_or_default() {
        match Address::parse(text) {
            Ok(address) if all.iter().any(|known| known.key() == address.key()) => {}
            Ok(address) => all.push(address),
            Err(_) => {
                let what = format!("{} is not a mail address", quoted(text));
                section.fault(&place, KEY, &what, WRITE_ADDRESSES);
            }
        }
    }
    if all.len() > MOST_ADDRESSES {
        let what = format!("has more than {MOST_ADDRESSES} addresses");
        section.fault(&section.place_of(KEY), KEY, &what, "write the address of a group");
    }
    all
}

fn webhook(section: &mut Section<'_>) -> Option<WebhookUrl> {
    const KEY: &str = "webhook";
    let text = secret::read(section, KEY)?;
    let place = section.place_of(KEY);
    // What was written may hold a secret, so it is not shown.
    let Some(url) = WebhookUrl::parse(text.expose_secret()) else {
        section.fault(&place, KEY, "is not a URL with https or http, or has a login in it", WRITE_URL);
        return None;
    };
    let is_near = matches!(url.host().as_str(), "localhost" | "127.0.0.1" | "[::1]");
    if !url.is_encrypted() && !is_near {
        let what = format!("goes to {} without TLS: others can read it on its way", url.host());
        section.warning(&place, KEY, &what, "write https, if it has that");
    }
    Some(url)
}

/// The program, by its whole path, and its arguments.
fn command(section: &mut Section<'_>) -> Vec<String> {
    const KEY: &str = "command";
    let Some(texts) = section.texts(KEY) else { return Vec::new() };
    let mut words: Vec<String> = texts.iter().map(|(_, text)| (*text).to_owned()).collect();
    let Some((place, program)) = texts.first() else { return Vec::new() };
    if words.iter().any(|word| word.contains('\0')) {
        section.fault(place, KEY, "has a NUL in it", WRITE_COMMAND);
        return Vec::new();
    }
    let Some(path) = section.whole_path(place, KEY, program).filter(|_| !program.is_empty()) else {
        if program.is_empty() {
            section.fault(place, KEY, "names no program", WRITE_COMMAND);
        }
        return Vec::new();
    };
    if section.context.machine.is_here
        && let Some(what) = obstacle(&path)
    {
        section.fault(place, KEY, &what, WRITE_COMMAND);
    }
    words[0] = path.to_string_lossy().into_owned();
    words
}

/// Why a program can't be run.
fn obstacle(path: &Path) -> Option<String> {
    let shown = path.display();
    let facts = match std::fs::metadata(path) {
        Ok(facts) => facts,
        Err(error) => return Some(format!("{shown} can't be run: {error}")),
    };
    let can_be_run = facts.permissions().mode() & 0o111 != 0 && access(path, Access::EXEC_OK).is_ok();
    match (facts.is_file(), can_be_run) {
        (false, _) => Some(format!("{shown} is not a file")),
        (true, false) => Some(format!("{shown} is not a program that this user can run")),
        (true, true) => None,
    }
}
