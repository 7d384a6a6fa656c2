//! `[[upstream]]`

use std::net::IpAddr;

use super::fallback;
use super::upstream_keys::{self, KindName};
use super::upstream_limits::{limits, shared_limits, timeouts};
pub(in crate::config) use super::upstream_logins::NamedSignIn;
use super::upstream_logins::{ReadLogins, logins};
use super::{
    MANY, WRITE_HOST_NAME, filters, upstream_graph, upstream_sender, upstream_sent_copy, upstream_tls,
};
use crate::config::fault::SourcePlace;
use crate::config::names::{is_ehlo_name, is_host};
use crate::config::presets::{self, PRESETS, Preset, PresetKind};
use crate::config::reader::Section;
use crate::config::words::{nearest, one_of, quoted};
use crate::config::{
    Auth, Capture, Limits, Login, Security, Smtp, TextEncoding, Upstream, UpstreamKind, proxy,
};

const WRITE_HOST: &str = r#"write its name or IP address alone, such as "smtp.firm.example""#;
const WRITE_NAME: &str = r#"write a name of letters, digits, "-", "_" and ".", such as "office""#;
/// Failed connections or logins in a row that disable an upstream.
const DISABLE_AFTER: u32 = 5;
/// An upstream, with the places that the checks between upstreams speak of.
pub(in crate::config) struct Read {
    pub(in crate::config) upstream: Upstream,
    /// Where the section is.
    pub(in crate::config) place: SourcePlace,
    /// Where its host is.
    pub(in crate::config) host: SourcePlace,
    /// Where its name is.
    pub(in crate::config) name: SourcePlace,
    /// Where it says whether it is the default, if it does.
    pub(in crate::config) default: Option<SourcePlace>,
    /// Where each filter is.
    pub(in crate::config) filters: Vec<SourcePlace>,
    /// The limit group that it names, and where.
    pub(in crate::config) limit_group: Option<(String, SourcePlace)>,
    /// Where each fallback is.
    pub(in crate::config) fallbacks: Vec<SourcePlace>,
    /// Where it names another for what it can't carry, if that is to be had.
    pub(in crate::config) large: Option<SourcePlace>,
    /// The sign-ins that its logins name, and where.
    pub(in crate::config) sign_ins: Vec<NamedSignIn>,
}

/// All upstreams, each checked by itself.
pub(in crate::config) fn read_all(root: &mut Section<'_>, capture_max: usize) -> Vec<Read> {
    root.sections("upstream").into_iter().map(|section| read(section, capture_max)).collect()
}

fn read(mut section: Section<'_>, capture_max: usize) -> Read {
    let place = section.place.clone();
    let default = section.has("default").then(|| section.place_of("default"));
    let (kind, preset) = kind(&mut section);
    let name = super::name(&mut section, WRITE_NAME);
    let (filters, filter) = filters(&mut section, "filter").into_iter().unzip();
    let is_default = section.flag("default").unwrap_or(false);
    let enabled = section.flag("enabled").unwrap_or(true);
    // Microsoft Graph changes what is signed, and signs by itself.
    let sign = section.flag("sign").unwrap_or(kind != KindName::Graph);
    let encode = encode(&mut section, kind, preset);
    let signature = super::signature::of_upstream(&mut section);
    upstream_keys::refuse_others(&mut section, kind);
    let (kind, logins, large) = by_kind(&mut section, (kind, preset), capture_max);
    let has_sender = section.has("sender");
    let sender = upstream_sender::read(has_sender, section.section("sender"), &logins.logins);
    let shared_limits = shared_limits(section.section("shared_limits"));
    let limit_group = limit_group(&mut section);
    let (fallback, fallbacks) = fallback::read(&mut section);
    let disable_after = section.number("disable_after", 0..=MANY).unwrap_or(DISABLE_AFTER);
    let (name_place, host) = (section.place_of("name"), section.place_of("host"));
    section.finish();
    let upstream = Upstream {
        name,
        default: is_default,
        enabled,
        filter,
        sender,
        sign,
        encode,
        signature,
        kind,
        accounts: logins.logins,
        shared_limits,
        limit_group: None,
        fallback,
        disable_after,
    };
    let sign_ins = logins.sign_ins;
    Read {
        upstream,
        place,
        host,
        name: name_place,
        default,
        filters,
        limit_group,
        fallbacks,
        large,
        sign_ins,
    }
}

/// What only upstreams of this kind have, and where one names another for what it can't carry.
fn by_kind(
    section: &mut Section<'_>,
    (kind, preset): (KindName, Option<&'static Preset>),
    capture_max: usize,
) -> (UpstreamKind, ReadLogins, Option<SourcePlace>) {
    match kind {
        KindName::Smtp => {
            let (smtp, logins) = smart_host(section, preset);
            (UpstreamKind::Smtp(Box::new(smtp)), logins, None)
        }
        KindName::Graph => {
            let (graph, logins, place) = upstream_graph::read(section, preset);
            (UpstreamKind::Graph(Box::new(graph)), logins, Some(place))
        }
        KindName::Capture => {
            let limits = limits(section.section("limits"), &Limits::default());
            let logins = ReadLogins { logins: vec![Login::anonymous(limits)], sign_ins: Vec::new() };
            (UpstreamKind::Capture(Capture { max: capture_max }), logins, None)
        }
    }
}

fn limit_group(section: &mut Section<'_>) -> Option<(String, SourcePlace)> {
    let name = section.text("limit_group", "a name", "write the name of a [[limit_group]]")?;
    Some((name.to_owned(), section.place_of("limit_group")))
}

/// How text goes: as the file says, or as the provider needs it.
fn encode(section: &mut Section<'_>, kind: KindName, preset: Option<&Preset>) -> TextEncoding {
    let own = match kind {
        KindName::Graph => TextEncoding::Base64,
        _ => preset.map_or(TextEncoding::Unchanged, Preset::text_encoding),
    };
    let words = [("base64", TextEncoding::Base64), ("none", TextEncoding::Unchanged)];
    section.choice("encode", &words).filter(|_| kind == KindName::Smtp).unwrap_or(own)
}

/// What the upstream is, and the preset, if there is one for that. A preset says what it is for, where `kind` does not.
fn kind(section: &mut Section<'_>) -> (KindName, Option<&'static Preset>) {
    let kinds = [KindName::Smtp, KindName::Graph, KindName::Capture].map(|kind| (kind.word(), kind));
    let written = section.choice("kind", &kinds);
    if written == Some(KindName::Capture) {
        return (KindName::Capture, None);
    }
    let preset = preset(section);
    let own = preset.map(|preset| match preset.kind {
        PresetKind::Smtp => KindName::Smtp,
        PresetKind::Graph => KindName::Graph,
    });
    let kind = written.or(own).unwrap_or(KindName::Smtp);
    if let (Some(preset), Some(own)) = (preset, own.filter(|own| *own != kind)) {
        let what = format!("{} is for kind = {:?}", quoted(preset.name), own.word());
        let instead = format!("write kind = {:?}, or another preset", own.word());
        section.fault(&section.place_of("preset"), "preset", &what, &instead);
        return (kind, None);
    }
    (kind, preset)
}

fn smart_host(section: &mut Section<'_>, preset: Option<&'static Preset>) -> (Smtp, ReadLogins) {
    let known = preset.map_or_else(Limits::default, Preset::limits);
    let limits = limits(section.section("limits"), &known);
    let auth = auth(section);
    let mut smtp = smtp(section, preset, auth.unwrap_or(Auth::Auto));
    let accounts = logins(section, &smtp, auth, &limits);
    let has_copies = section.has("sent_copy");
    smtp.sent_copy = upstream_sent_copy::read(has_copies, section.section("sent_copy"), preset, &accounts);
    warn_without_login(section, preset);
    (smtp, accounts)
}

/// Warns where nobody logs in at a provider that takes no mail without.
fn warn_without_login(section: &Section<'_>, preset: Option<&Preset>) {
    const LOGIN_KEYS: [&str; 6] = ["host", "auth", "user", "password", "account", "oauth"];
    if let Some(preset) = preset.filter(|preset| preset.needs_login())
        && !LOGIN_KEYS.iter().any(|key| section.has(key))
    {
        let what =
            format!("{} takes mail of those alone who log in, and there is no user", quoted(preset.name));
        section.warning(&section.place_of("preset"), "preset", &what, "write user and password");
    }
}

/// `auth`; `None` when it is wrong.
fn auth(section: &mut Section<'_>) -> Option<Auth> {
    let auths = [
        ("auto", Auth::Auto),
        ("none", Auth::None),
        ("plain", Auth::Plain),
        ("login", Auth::Login),
        ("cram-md5", Auth::CramMd5),
        ("scram-sha-256", Auth::ScramSha256),
        ("xoauth2", Auth::XOAuth2),
        ("oauthbearer", Auth::OAuthBearer),
    ];
    let auth = section.choice("auth", &auths);
    if section.has("auth") { auth } else { Some(Auth::Auto) }
}

fn preset(section: &mut Section<'_>) -> Option<&'static Preset> {
    let text = section.text("preset", "the name of a preset", "write host, port and security instead")?;
    let found = presets::find(text);
    if found.is_none() {
        let names: Vec<_> = PRESETS.iter().map(|preset| preset.name).collect();
        let instead = match nearest(text, &names) {
            Some(name) => format!("write {name:?}, or host, port and security"),
            None => format!("write {}, or host, port and security", one_of(names)),
        };
        section.unfit("preset", &format!("{} is not known", quoted(text)), &instead);
    }
    found
}

fn smtp(section: &mut Section<'_>, preset: Option<&Preset>, auth: Auth) -> Smtp {
    let host = host(section, preset);
    let (port, security) = connection(section, preset);
    let ehlo = |text: &str| is_ehlo_name(text).then(|| text.to_owned());
    Smtp {
        preset: preset.map(|preset| preset.name),
        host,
        port,
        security,
        tls: upstream_tls::read(section, security),
        ehlo: section.parsed("ehlo", "a host name", WRITE_HOST_NAME, ehlo),
        source_address: source_address(section),
        proxy: proxy::read(section, "proxy"),
        auth,
        allow_plaintext_auth: section.flag("allow_plaintext_auth").unwrap_or(false),
        timeouts: timeouts(section.section("timeouts")),
        // It is read when the logins are known.
        sent_copy: None,
    }
}

/// The address to connect from. One that the machine does not have now may come with a network that is not up yet.
fn source_address(section: &mut Section<'_>) -> Option<IpAddr> {
    const INSTEAD: &str = "write one of this machine's addresses";
    let parse = |text: &str| text.parse::<IpAddr>().ok();
    let ip = section.parsed("source_address", "an IP address", INSTEAD, parse)?;
    if section.context.machine.lacks((ip, 0).into()) {
        let what = format!("{ip} is not an address of this machine now, so that nothing can be sent");
        section.warning(&section.place_of("source_address"), "source_address", &what, INSTEAD);
    }
    Some(ip)
}

fn host(section: &mut Section<'_>, preset: Option<&Preset>) -> String {
    if let Some(text) = section.text("host", "a host name or IP address", WRITE_HOST) {
        // With a dot at its end no search list is tried, so the dot stays.
        if is_host(text) {
            return text.to_owned();
        }
        // What was written may hold a login (`user:password@host`), so it is not shown.
        section.unfit("host", "is not a host name or IP address", WRITE_HOST);
    } else if !section.has("host") {
        match preset {
            Some(Preset { host: Some(host), .. }) => return (*host).to_owned(),
            Some(preset) => section.missing("host", &format!("write {}", preset.hosts)),
            // A preset that is not known is a fault of its own; the right one will bring a host.
            None if section.has("preset") => {}
            None => section.missing("host", WRITE_HOST),
        }
    }
    String::new()
}

/// Port and security. What is written goes before the preset, and what is not written follows what is.
fn connection(section: &mut Section<'_>, preset: Option<&Preset>) -> (u16, Security) {
    let securities = [("none", Security::None), ("starttls", Security::StartTls), ("tls", Security::Tls)];
    let port: Option<u16> = section.number("port", 1..=i64::from(u16::MAX));
    let security = section.choice("security", &securities);
    let own = preset.map_or(587, |preset| preset.port);
    match (port, security) {
        (Some(port), Some(security)) => {
            warn_of_mismatch(section, port, security);
            (port, security)
        }
        (Some(port), None) => (port, presets::security_of(port)),
        (None, Some(security)) if preset.is_some() && security == presets::security_of(own) => {
            (own, security)
        }
        (None, Some(Security::Tls)) => (465, Security::Tls),
        (None, Some(security)) => (587, security),
        (None, None) => (own, presets::security_of(own)),
    }
}

/// The two usual ports speak TLS in one way each (RFC 8314 3.3).
fn warn_of_mismatch(section: &Section<'_>, port: u16, security: Security) {
    let (what, instead) = match (port, security) {
        (465, Security::StartTls) => (
            r#"is "starttls", and port 465 speaks TLS from the first octet"#,
            r#"write security = "tls", or port = 587"#,
        ),
        (465, Security::None) => (
            r#"is "none", and port 465 speaks TLS from the first octet"#,
            r#"write security = "tls", or another port"#,
        ),
        (587, Security::Tls) => (
            r#"is "tls", and port 587 begins in clear text"#,
            r#"write security = "starttls", or port = 465"#,
        ),
        _ => return,
    };
    section.warning(&section.place_of("security"), "security", what, instead);
}
