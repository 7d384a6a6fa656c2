//! The logins of an upstream: its own, and `[[upstream.account]]`.

use std::collections::HashMap;
use std::net::IpAddr;

use super::upstream_limits::limits;
use crate::config::fault::SourcePlace;
use crate::config::reader::Section;
use crate::config::words::quoted;
use crate::config::{Auth, Limits, Login, Security, Smtp, secret};
use crate::mail::{Address, AddressKey};

const WRITE_SECRET: &str = r#"write { file = "…" } or { env = "…" }"#;

/// All logins, the upstream's own first; at least one. `auth` is `None` when it is wrong, so that nothing that depends
/// on it is said. What an account does not say of its limits is as in `known`.
pub(super) fn logins(
    section: &mut Section<'_>,
    smtp: &Smtp,
    auth: Option<Auth>,
    known: &Limits,
) -> Vec<Login> {
    let more = section.sections("account");
    let own = login(section, known.clone());
    let is_alone = more.is_empty();
    let has_own = is_alone || section.has("user") || section.has("password");
    match auth {
        None => {}
        Some(Auth::None) => refuse(section, &more),
        Some(auth) => {
            check_own(section, is_alone && auth != Auth::Auto);
            for account in &more {
                check_account(account);
            }
            let has_password = section.has("password") || more.iter().any(|account| account.has("password"));
            check_shield(section, smtp, has_password);
        }
    }
    check_doubles(section, &more);
    let mut accounts = if has_own { vec![own] } else { Vec::new() };
    accounts.extend(more.into_iter().map(|section| account(section, known)));
    accounts
}

/// Reads one of `[[upstream.account]]`.
fn account(mut section: Section<'_>, known: &Limits) -> Login {
    let limits = limits(section.section("limits"), known);
    let sender_bound = section.flag("sender_bound").unwrap_or(false);
    let account = Login { sender_bound, ..login(&mut section, limits) };
    if let Some(user) = account.user.as_ref().filter(|user| sender_bound && Address::parse(user).is_err()) {
        let what = format!("needs a user that is a mail address, not {}", quoted(user));
        section.fault(
            &section.place_of("sender_bound"),
            "sender_bound",
            &what,
            "remove it, or write another user",
        );
    }
    section.finish();
    account
}

fn login(section: &mut Section<'_>, limits: Limits) -> Login {
    let password = secret::read_password(section, "password");
    Login { user: user(section), password, oauth: None, sender_bound: false, limits }
}

fn user(section: &mut Section<'_>) -> Option<String> {
    let plain = |text: &str| (!text.is_empty() && !text.contains(char::is_control)).then(|| text.to_owned());
    section.parsed("user", "a login name", "write the name that the provider gave you", plain)
}

/// `auth = "none"`: nobody logs in.
fn refuse(section: &Section<'_>, more: &[Section<'_>]) {
    const WHAT: &str = "has no use with auth = \"none\"";
    const INSTEAD: &str = "remove it, or remove auth";
    for key in ["user", "password"].into_iter().filter(|key| section.has(key)) {
        section.fault(&section.place_of(key), key, WHAT, INSTEAD);
    }
    for account in more {
        section.fault(&account.place, "account", WHAT, INSTEAD);
    }
}

fn check_own(section: &Section<'_>, wants_login: bool) {
    let (has_user, has_password) = (section.has("user"), section.has("password"));
    if !has_user && (has_password || wants_login) {
        section.missing("user", "write the login name, or remove password and auth");
    }
    if !has_password && (has_user || wants_login) {
        section.missing("password", &format!("{WRITE_SECRET}, or remove user and auth"));
    }
}

fn check_account(section: &Section<'_>) {
    if !section.has("user") {
        section.missing("user", "write its login name, or remove the account");
    }
    if !section.has("password") {
        section.missing("password", &format!("{WRITE_SECRET}, or remove the account"));
    }
}

fn check_shield(section: &Section<'_>, smtp: &Smtp, has_password: bool) {
    // What is loopback to a proxy is not ours.
    let stays_here = smtp.proxy.is_none() && is_loopback(&smtp.host);
    let in_clear = smtp.security == Security::None && smtp.auth != Auth::CramMd5 && !stays_here;
    if in_clear && has_password && !smtp.allow_plaintext_auth {
        let what = "would send the password in clear text over the network";
        let instead = r#"write "starttls" or "tls", or allow_plaintext_auth = true"#;
        section.fault(&section.place_of("security"), "security", what, instead);
    }
}

/// Counters go by the name, so no two logins have the same one.
fn check_doubles(section: &Section<'_>, more: &[Section<'_>]) {
    let mut seen: HashMap<AddressKey, SourcePlace> = HashMap::new();
    for section in std::iter::once(section).chain(more) {
        // Only a text can be the same; anything else is a fault that its reader tells.
        let Some((place, user)) = section.written("user") else { continue };
        if let Some(first) = seen.insert(AddressKey::of_text(user), place.clone()) {
            let what = format!("{} is the user of another account{}, too", quoted(user), first.in_brackets());
            section.fault(&place, "user", &what, "write another login, or remove one of them");
        }
    }
}

fn is_loopback(host: &str) -> bool {
    host.strip_suffix('.').unwrap_or(host).eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}
