//! `[[upstream]]`

use std::net::IpAddr;

use secrecy::ExposeSecret;

use super::upstream_limits::{limits, timeouts};
use super::{filters, is_domain, is_ehlo_name};
use crate::config::fault::Place;
use crate::config::presets::{self, PRESETS, Preset};
use crate::config::reader::Section;
use crate::config::words::{nearest, quoted};
use crate::config::{Auth, Capture, Limits, Security, Smtp, Upstream, UpstreamKind, secret};

const WRITE_HOST: &str = r#"write its name or IP address alone, such as "smtp.firm.example""#;
const WRITE_NAME: &str = r#"write a name of letters, digits, "-", "_" and ".", such as "office""#;
/// The keys of a smart host; the local mailbox has none of them.
const SMTP_KEYS: [&str; 13] = [
    "preset",
    "host",
    "port",
    "security",
    "ca_file",
    "tls_name",
    "ehlo",
    "source_address",
    "auth",
    "allow_plaintext_auth",
    "user",
    "password",
    "timeouts",
];

/// An upstream, with the places that the checks between upstreams speak of.
pub(in crate::config) struct Read {
    pub(in crate::config) upstream: Upstream,
    /// Where the section is.
    pub(in crate::config) place: Place,
    /// Where its name is.
    pub(in crate::config) name: Place,
    /// Where it says whether it is the default, if it does.
    pub(in crate::config) default: Option<Place>,
    /// Where each filter is.
    pub(in crate::config) filters: Vec<Place>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Smtp,
    Capture,
}

/// All upstreams, each checked by itself.
pub(in crate::config) fn read_all(root: &mut Section<'_>, capture_max: usize) -> Vec<Read> {
    root.sections("upstream").into_iter().map(|section| read(section, capture_max)).collect()
}

fn read(mut section: Section<'_>, capture_max: usize) -> Read {
    let place = section.place.clone();
    let default = section.has("default").then(|| section.place_of("default"));
    let kind = section.choice("kind", &[("smtp", Kind::Smtp), ("capture", Kind::Capture)]);
    let name = name(&mut section);
    let (filters, filter) = filters(&mut section, "filter").into_iter().unzip();
    let is_default = section.flag("default").unwrap_or(false);
    let enabled = section.flag("enabled").unwrap_or(true);
    let sign = section.flag("sign").unwrap_or(true);
    let (kind, limits) = if kind == Some(Kind::Capture) {
        refuse_smtp_keys(&mut section);
        let limits = limits(section.section("limits"), &Limits::default());
        (UpstreamKind::Capture(Capture { max: capture_max }), limits)
    } else {
        let preset = preset(&mut section);
        let known = preset.map_or_else(Limits::default, Preset::limits);
        let limits = limits(section.section("limits"), &known);
        (UpstreamKind::Smtp(Box::new(smtp(&mut section, preset))), limits)
    };
    let name_place = section.place_of("name");
    section.finish();
    let upstream = Upstream { name, default: is_default, enabled, filter, sign, kind, limits };
    Read { upstream, place, name: name_place, default, filters }
}

fn name(section: &mut Section<'_>) -> String {
    const LONGEST: usize = 64;
    if !section.has("name") {
        section.missing("name", WRITE_NAME);
    }
    let is_name = |text: &str| {
        (1..=LONGEST).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    section
        .parsed("name", "a name", WRITE_NAME, |text| is_name(text).then(|| text.to_owned()))
        .unwrap_or_default()
}

fn refuse_smtp_keys(section: &mut Section<'_>) {
    for key in SMTP_KEYS {
        if section.node(key).is_some() {
            section.fault(&section.place_of(key), key, "has no meaning for kind = \"capture\"", "remove it");
        }
    }
}

fn preset(section: &mut Section<'_>) -> Option<&'static Preset> {
    let text = section.text("preset", "the name of a preset", "write host, port and security instead")?;
    let found = presets::find(text);
    if found.is_none() {
        let names: Vec<_> = PRESETS.iter().map(|preset| preset.name).collect();
        let instead = match nearest(text, &names) {
            Some(name) => format!("write {name:?}, or host, port and security"),
            None => "write host, port and security instead".to_owned(),
        };
        section.fault(
            &section.place_of("preset"),
            "preset",
            &format!("{} is not known", quoted(text)),
            &instead,
        );
    }
    found
}

fn smtp(section: &mut Section<'_>, preset: Option<&Preset>) -> Smtp {
    let host = host(section, preset);
    let (port, security) = connection(section, preset);
    let name = r#"write a host name, such as "smtp.firm.example""#;
    let host_name = |text: &str| is_domain(text).then(|| text.to_owned());
    let auths = [
        ("auto", Auth::Auto),
        ("none", Auth::None),
        ("plain", Auth::Plain),
        ("login", Auth::Login),
        ("cram-md5", Auth::CramMd5),
    ];
    let auth = section.choice("auth", &auths);
    let smtp = Smtp {
        host,
        port,
        security,
        ca_file: ca_file(section),
        tls_name: section.parsed("tls_name", "a host name", name, host_name),
        ehlo: section.parsed("ehlo", "a host name", name, |text| is_ehlo_name(text).then(|| text.to_owned())),
        source_address: section.parsed(
            "source_address",
            "an IP address",
            "write one of this machine's addresses",
            |text| text.parse::<IpAddr>().ok(),
        ),
        auth: auth.unwrap_or(Auth::Auto),
        allow_plaintext_auth: section.flag("allow_plaintext_auth").unwrap_or(false),
        user: user(section),
        password: secret::read(section, "password"),
        timeouts: timeouts(section.section("timeouts")),
    };
    if auth.is_some() || !section.has("auth") {
        check_login(section, &smtp);
    }
    smtp
}

fn host(section: &mut Section<'_>, preset: Option<&Preset>) -> String {
    if let Some(text) = section.text("host", "a host name or IP address", WRITE_HOST) {
        let host = text.strip_suffix('.').unwrap_or(text);
        if host.parse::<IpAddr>().is_ok() || is_domain(host) {
            return host.to_owned();
        }
        // What was written may hold a login (`user:password@host`), so it is not shown.
        section.fault(&section.place_of("host"), "host", "is not a host name or IP address", WRITE_HOST);
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
        (Some(port), Some(security)) => (port, security),
        (Some(port), None) => (port, presets::security_of(port)),
        (None, Some(security)) if preset.is_some() && security == presets::security_of(own) => {
            (own, security)
        }
        (None, Some(Security::Tls)) => (465, Security::Tls),
        (None, Some(security)) => (587, security),
        (None, None) => (own, presets::security_of(own)),
    }
}

fn ca_file(section: &mut Section<'_>) -> Option<std::path::PathBuf> {
    const LONGEST: u64 = 4 << 20;
    let path = section.path("ca_file")?;
    let what = match crate::config::files::read(&path, LONGEST) {
        Ok(file) if file.text.contains("-----BEGIN CERTIFICATE-----") => return Some(path),
        Ok(_) => format!("there is no certificate in {}", path.display()),
        Err(why) => why,
    };
    section.fault(
        &section.place_of("ca_file"),
        "ca_file",
        &what,
        "write the path of a file with certificates in PEM",
    );
    None
}

fn user(section: &mut Section<'_>) -> Option<String> {
    let plain = |text: &str| (!text.is_empty() && !text.contains(char::is_control)).then(|| text.to_owned());
    section.parsed("user", "a login name", "write the name that the provider gave you", plain)
}

fn check_login(section: &Section<'_>, smtp: &Smtp) {
    let (has_user, has_password) = (section.has("user"), section.has("password"));
    let wants_login = !matches!(smtp.auth, Auth::Auto | Auth::None);
    if smtp.auth == Auth::None {
        for key in ["user", "password"].into_iter().filter(|key| section.has(key)) {
            section.fault(
                &section.place_of(key),
                key,
                "has no use with auth = \"none\"",
                "remove it, or remove auth",
            );
        }
        return;
    }
    if !has_user && (has_password || wants_login) {
        section.missing("user", "write the login name, or remove password and auth");
    }
    if !has_password && (has_user || wants_login) {
        section.missing("password", r#"write { file = "…" } or { env = "…" }, or remove user and auth"#);
    }
    if smtp.password.as_ref().is_some_and(|password| password.expose_secret().contains('\0')) {
        // PLAIN separates its parts with it (RFC 4616 2).
        section.fault(
            &section.place_of("password"),
            "password",
            "has a NUL in it",
            "write the password alone",
        );
    }
    let in_clear = smtp.security == Security::None && smtp.auth != Auth::CramMd5 && !is_loopback(&smtp.host);
    if in_clear && has_password && !smtp.allow_plaintext_auth {
        let what = "would send the password in clear text over the network";
        let instead = r#"write "starttls" or "tls", or allow_plaintext_auth = true"#;
        section.fault(&section.place_of("security"), "security", what, instead);
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}
