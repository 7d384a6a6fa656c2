//! `[[listener]]`

use std::net::SocketAddr;

use ipnet::IpNet;

use super::networks::{self, WRITE_NETS, is_very_wide, is_whole_internet};
use crate::config::fault::SourcePlace;
use crate::config::identity::{self, NamedFile};
use crate::config::reader::Section;
use crate::config::{Identity, Listener, ServerAuth, ServerTls, TlsMode};

/// A listener, with the place that the checks of upstreams speak of.
pub(in crate::config) struct PlacedListener {
    pub(in crate::config) listener: Listener,
    /// Where its address is, or its section.
    pub(in crate::config) place: SourcePlace,
}

/// All listeners; without any the one at 127.0.0.1:2525.
pub(in crate::config) fn read_all(root: &mut Section<'_>) -> Vec<PlacedListener> {
    let mut listeners: Vec<PlacedListener> = Vec::new();
    let has_users = root.has("user");
    for section in root.sections("listener") {
        let place = section.place_of("address");
        let Some(listener) = read(section, has_users) else { continue };
        let taken = listener.address.port() != 0
            && listeners.iter().any(|other| other.listener.address == listener.address);
        if taken {
            let what = format!("{} is the address of another listener, too", listener.address);
            root.fault(&place, "listener.address", &what, "write another address, or remove one");
        }
        listeners.push(PlacedListener { listener, place });
    }
    if listeners.is_empty() {
        listeners.push(PlacedListener { listener: usual(), place: root.place.clone() });
    }
    listeners
}

fn usual() -> Listener {
    Listener {
        address: usual_address(),
        relay_from: loopback(),
        tls: None,
        auth: ServerAuth::None,
        auth_without_tls: false,
        proxy_protocol_from: Vec::new(),
        mode: None,
    }
}

fn usual_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 2525))
}

/// `127.0.0.0/8` and `::1/128`.
fn loopback() -> Vec<IpNet> {
    vec![
        IpNet::new_assert([127, 0, 0, 0].into(), 8),
        IpNet::new_assert(std::net::Ipv6Addr::LOCALHOST.into(), 128),
    ]
}

fn read(mut section: Section<'_>, has_users: bool) -> Option<Listener> {
    let instead = r#"write an IP address and a port, such as "127.0.0.1:2525" or "[::1]:2525""#;
    let parse = |text: &str| text.parse::<SocketAddr>().ok();
    let given = section.parsed("address", "an IP address with a port", instead, parse);
    let address = given.or_else(|| (!section.has("address")).then(usual_address));
    let is_loopback = address.is_none_or(|address| address.ip().to_canonical().is_loopback());
    let (mode, identity) = tls(&mut section);
    let auth = auth(&mut section, has_users);
    let auth_without_tls = section.flag("auth_without_tls").unwrap_or(false);
    if auth != ServerAuth::None && mode.is_none() && !is_loopback && !auth_without_tls {
        let what = "lets passwords cross the network in clear text";
        let instead =
            r#"write tls = "starttls" or "implicit" with certificate and key, or auth_without_tls = true"#;
        section.fault(&section.place_of("auth"), "auth", what, instead);
    }
    let relay_from = relay_from(&mut section, is_loopback, auth);
    let proxy_protocol_from = proxies(&mut section);
    let answers = super::mode(&mut section);
    section.finish();
    Some(Listener {
        address: address?,
        relay_from,
        tls: mode.zip(identity).map(|(mode, identity)| ServerTls { mode, identity }),
        auth,
        auth_without_tls,
        proxy_protocol_from,
        mode: answers,
    })
}

fn auth(section: &mut Section<'_>, has_users: bool) -> ServerAuth {
    const INSTEAD: &str = "write [[user]] with name and password";
    let words =
        [("none", ServerAuth::None), ("optional", ServerAuth::Optional), ("required", ServerAuth::Required)];
    let auth = section.choice("auth", &words).unwrap_or(ServerAuth::None);
    let place = section.place_of("auth");
    match auth {
        ServerAuth::Required if !has_users => {
            section.fault(&place, "auth", r#"is "required", and there is no user"#, INSTEAD);
        }
        ServerAuth::Optional if !has_users => {
            section.warning(&place, "auth", r#"is "optional", and there is no user"#, INSTEAD);
        }
        _ => {}
    }
    auth
}

/// `tls`, `certificate` and `key`. The identity is not there when it is not needed, or faulty.
fn tls(section: &mut Section<'_>) -> (Option<TlsMode>, Option<Identity>) {
    const KEYS: [(&str, &str); 2] =
        [("certificate", "the certificate with its chain"), ("key", "the private key of the certificate")];
    let words =
        [("none", None), ("starttls", Some(TlsMode::StartTls)), ("implicit", Some(TlsMode::Implicit))];
    let mode = section.choice("tls", &words).flatten();
    let (certificate, key) = (section.path("certificate"), section.path("key"));
    for (name, what) in KEYS {
        if mode.is_some() && !section.has(name) {
            section.missing(name, &format!("write the path of {what}, in PEM"));
        } else if mode.is_none() && section.has(name) && !section.has("tls") {
            let what = r#"is not used while tls is "none""#;
            section.warning(&section.place_of(name), name, what, r#"write tls = "starttls" or "implicit""#);
        }
    }
    let certificate = certificate.map(|path| NamedFile { key: "certificate", path });
    let key = key.map(|path| NamedFile { key: "key", path });
    let files = certificate.zip(key).filter(|_| mode.is_some());
    (mode, files.and_then(|(certificate, key)| identity::read(section, &certificate, &key)))
}

fn relay_from(section: &mut Section<'_>, is_loopback: bool, auth: ServerAuth) -> Vec<IpNet> {
    let place = section.place_of("relay_from");
    let nets = networks::read(section, "relay_from");
    match &nets {
        None if is_loopback || auth == ServerAuth::Required || section.has("relay_from") => {}
        None => {
            let instead = format!(r#"{WRITE_NETS}, or auth = "required", or listen on 127.0.0.1"#);
            section.missing("relay_from", &instead);
        }
        Some(nets) if nets.is_empty() && auth != ServerAuth::None => {}
        Some(nets) if nets.is_empty() && is_loopback => {
            section.warning(&place, "relay_from", "is empty, so that nobody may relay", WRITE_NETS);
        }
        Some(nets) if nets.is_empty() => {
            let what = "is empty, and auth is \"none\", so that nobody could relay";
            section.fault(&place, "relay_from", what, WRITE_NETS);
        }
        Some(nets) if is_whole_internet(nets) => {
            let what = "lets the whole internet relay";
            section.fault(&place, "relay_from", what, "write the networks of your own clients");
        }
        Some(nets) if nets.iter().any(is_very_wide) => {
            let what = "has a very wide network";
            section.warning(&place, "relay_from", what, "write the networks of your own clients");
        }
        Some(_) => {}
    }
    nets.unwrap_or_else(|| if is_loopback { loopback() } else { Vec::new() })
}

/// `proxy_protocol_from`: who is believed about where its clients are.
fn proxies(section: &mut Section<'_>) -> Vec<IpNet> {
    let nets = networks::read(section, "proxy_protocol_from").unwrap_or_default();
    if is_whole_internet(&nets) {
        let what = "believes the whole internet";
        let place = section.place_of("proxy_protocol_from");
        section.fault(&place, "proxy_protocol_from", what, "write the addresses of your own proxies");
    }
    nets
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::testing::{of_host, write, write_pair};
    use crate::config::{Config, LoadedConfig, Machine};

    /// A folder with two certificates and their keys, of which one can be read by others.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "open"] {
            let mut params = of_host();
            params.not_after = rcgen::date_time_ymd(2030, 6, 30);
            write_pair(folder.path(), name, &params, &rcgen::KeyPair::generate().unwrap());
        }
        let open = folder.path().join("open.key");
        write(&open, &std::fs::read_to_string(&open).unwrap(), 0o644);
        folder
    }

    fn load(folder: &Path, keys: &str, now: &str) -> Result<LoadedConfig, String> {
        let text = format!("[[upstream]]\nname = \"x\"\nkind = \"capture\"\n[[listener]]\n{keys}\n");
        write(&folder.join("m.toml"), &text, 0o600);
        let machine = Machine { now: now.parse().unwrap(), ..Machine::bare(folder) };
        Config::load(Some(Path::new("m.toml")), &machine).map_err(|faults| faults.to_string())
    }

    const TODAY: &str = "2026-11-22T08:00:00Z";

    #[test]
    fn takes_a_certificate_with_its_key() {
        let folder = folder();
        let pair = "certificate = \"a.pem\"\nkey = \"a.key\"";
        for (word, mode) in [("starttls", TlsMode::StartTls), ("implicit", TlsMode::Implicit)] {
            let loaded = load(folder.path(), &format!("tls = \"{word}\"\n{pair}"), TODAY).unwrap();
            assert_eq!(loaded.warnings, []);
            let tls = loaded.config.listeners[0].tls.clone().unwrap();
            assert_eq!((tls.mode, tls.identity.certified_key().cert.len()), (mode, 1));
        }
        let loaded = load(folder.path(), pair, TODAY).unwrap();
        assert_eq!((loaded.config.listeners[0].tls.clone(), loaded.warnings.len()), (None, 2));
    }

    #[test]
    fn a_key_of_another_certificate_is_told_with_both_names() {
        let folder = folder();
        let keys = "tls = \"starttls\"\ncertificate = \"a.pem\"\nkey = \"open.key\"";
        let faults = load(folder.path(), keys, TODAY).unwrap_err();
        let path = folder.path().display();
        assert!(
            faults.starts_with(&format!(
                "m.toml:7:7: listener.key: {path}/open.key is not the key of the certificate {path}/a.pem: "
            )),
            "{faults}"
        );
        assert_eq!(faults.lines().count(), 1);
        for (certificate, key, want) in [
            ("m.toml", "a.key", "m.toml:6:15: listener.certificate: "),
            ("a.pem", "m.toml", "m.toml:7:7: listener.key: "),
        ] {
            let keys = format!("tls = \"starttls\"\ncertificate = \"{certificate}\"\nkey = \"{key}\"");
            let faults = load(folder.path(), &keys, TODAY).unwrap_err();
            assert!(faults.starts_with(want) && faults.contains(" holds no "), "{faults}");
        }
    }

    #[test]
    fn warns_of_an_open_key_and_an_old_certificate() {
        let folder = folder();
        let open = "tls = \"starttls\"\ncertificate = \"open.pem\"\nkey = \"open.key\"";
        let closed = "tls = \"starttls\"\ncertificate = \"a.pem\"\nkey = \"a.key\"";
        for (keys, now, want) in [
            (open, TODAY, "m.toml:7:7: listener.key: can be read by others: chmod 600 "),
            (
                closed,
                "2030-06-20T00:00:00Z",
                "m.toml:6:15: listener.certificate: expires at 2030-06-30T00:00:00Z: renew it",
            ),
            (
                closed,
                "2030-07-20T00:00:00Z",
                "m.toml:6:15: listener.certificate: expired at 2030-06-30T00:00:00Z: renew it",
            ),
        ] {
            let warnings = load(folder.path(), keys, now).unwrap().warnings;
            assert!(warnings.len() == 1 && warnings[0].to_string().starts_with(want), "{warnings:?}");
        }
    }
}
