//! The logins of an upstream: its own, and `[[upstream.account]]`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::upstream_limits::limits;
use crate::config::fault::SourcePlace;
use crate::config::reader::Section;
use crate::config::words::quoted;
use crate::config::{Auth, Limits, Login, Security, Smtp, secret};
use crate::mail::{Address, AddressKey};

const WRITE_SECRET: &str = r#"write { file = "…" } or { env = "…" }"#;
pub(super) const WRITE_SIGN_IN: &str = "write the name of an [[oauth]]";

/// The name of a sign-in, as an upstream or account writes it.
pub(in crate::config) struct NamedSignIn {
    pub(in crate::config) name: Arc<str>,
    /// The key, in whose section it stands.
    pub(in crate::config) key: &'static str,
    pub(in crate::config) place: SourcePlace,
    /// Whether its tokens are for Microsoft Graph, not for SMTP.
    pub(in crate::config) for_graph: bool,
}

/// The logins of an upstream, and the sign-ins that they name.
pub(super) struct ReadLogins {
    pub(super) logins: Vec<Login>,
    pub(super) sign_ins: Vec<NamedSignIn>,
}

/// All logins, the upstream's own first; at least one. `auth` is `None` when it is wrong, so that nothing that depends
/// on it is said. What an account does not say of its limits is as in `known`.
pub(super) fn logins(
    section: &mut Section<'_>,
    smtp: &Smtp,
    auth: Option<Auth>,
    known: &Limits,
) -> ReadLogins {
    let more = section.sections("account");
    let own = login(section, known.clone());
    let is_alone = more.is_empty();
    let has_own = is_alone || ["user", "password", "oauth"].iter().any(|key| section.has(key));
    match auth {
        None => {}
        Some(Auth::None) => refuse(section, &more),
        Some(auth) => {
            check_own(section, auth, is_alone);
            check_kind(section, section, auth);
            for account in &more {
                check_account(account, auth);
                check_kind(account, section, auth);
            }
            check_shield(section, smtp, &more);
        }
    }
    check_doubles(section, &more);
    let named = |login: &Login, key, place| {
        login.oauth.clone().map(|name| NamedSignIn { name, key, place, for_graph: false })
    };
    let mut sign_ins = Vec::from_iter(named(&own, "upstream.oauth", section.place_of("oauth")));
    let mut logins = if has_own { vec![own] } else { Vec::new() };
    for section in more {
        let place = section.place_of("oauth");
        let account = account(section, known);
        sign_ins.extend(named(&account, "upstream.account.oauth", place));
        logins.push(account);
    }
    ReadLogins { logins, sign_ins }
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
    let oauth = section.parsed("oauth", "the name of an [[oauth]]", WRITE_SIGN_IN, |text| {
        (!text.is_empty()).then(|| Arc::from(text))
    });
    Login { user: user(section), password, oauth, sender_bound: false, limits }
}

fn user(section: &mut Section<'_>) -> Option<String> {
    let plain = |text: &str| (!text.is_empty() && !text.contains(char::is_control)).then(|| text.to_owned());
    section.parsed("user", "a login name", "write the name that the provider gave you", plain)
}

/// `auth = "none"`: nobody logs in.
fn refuse(section: &Section<'_>, more: &[Section<'_>]) {
    const WHAT: &str = "has no use with auth = \"none\"";
    const INSTEAD: &str = "remove it, or remove auth";
    for key in ["user", "password", "oauth"].into_iter().filter(|key| section.has(key)) {
        section.fault(&section.place_of(key), key, WHAT, INSTEAD);
    }
    for account in more {
        section.fault(&account.place, "account", WHAT, INSTEAD);
    }
}

fn check_own(section: &Section<'_>, auth: Auth, is_alone: bool) {
    let wants_login = is_alone && auth != Auth::Auto;
    let has_user = section.has("user");
    if !has_user && section.has("oauth") {
        section.missing("user", "write the address of the mailbox that sends: it goes with the token");
    } else if !has_user && (section.has("password") || wants_login) {
        section.missing("user", "write the login name, or remove password and auth");
    }
    if !has_secret(section) && (has_user || wants_login) {
        missing_secret(section, auth, "user and auth");
    }
}

fn check_account(section: &Section<'_>, auth: Auth) {
    if !section.has("user") {
        section.missing("user", "write its login name, or remove the account");
    }
    if !has_secret(section) {
        missing_secret(section, auth, "the account");
    }
}

fn has_secret(section: &Section<'_>) -> bool {
    section.has("password") || section.has("oauth")
}

fn missing_secret(section: &Section<'_>, auth: Auth, or_remove: &str) {
    let (key, write) = if auth.takes_token() { ("oauth", WRITE_SIGN_IN) } else { ("password", WRITE_SECRET) };
    section.missing(key, &format!("{write}, or remove {or_remove}"));
}

/// A login is made with a password or with tokens, never with one in place of the other; `upstream` is where `auth` stands.
fn check_kind(section: &Section<'_>, upstream: &Section<'_>, auth: Auth) {
    let (has_password, has_oauth) = (section.has("password"), section.has("oauth"));
    if has_password && has_oauth {
        let what = "stands beside password, which is never used in its place";
        return section.fault(&section.place_of("oauth"), "oauth", what, "remove one of them");
    }
    let written = upstream.written("auth").map_or("", |(_, auth)| auth);
    if has_oauth && auth.takes_password() {
        let what = format!("has no use with auth = {}, which takes a password", quoted(written));
        section.fault(&section.place_of("oauth"), "oauth", &what, r#"remove auth, or write "xoauth2""#);
    }
    if has_password && auth.takes_token() {
        let what = format!("has no use with auth = {}, which takes a token", quoted(written));
        section.fault(
            &section.place_of("password"),
            "password",
            &what,
            "write oauth in its place, or remove auth",
        );
    }
}

fn check_shield(section: &Section<'_>, smtp: &Smtp, more: &[Section<'_>]) {
    // What is loopback to a proxy is not ours.
    let stays_here = smtp.proxy.is_none() && is_loopback(&smtp.host);
    let is_open = smtp.security == Security::None && !stays_here;
    if !is_open || !smtp.auth.is_clear_text() || smtp.allow_plaintext_auth {
        return;
    }
    let has = |key: &str| std::iter::once(section).chain(more).any(|section| section.has(key));
    if let Some(secret) = [("password", "password"), ("oauth", "token")].iter().find(|(key, _)| has(key)) {
        let what = format!("would send the {} in clear text over the network", secret.1);
        let instead = r#"write "starttls" or "tls", or allow_plaintext_auth = true"#;
        section.fault(&section.place_of("security"), "security", &what, instead);
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
