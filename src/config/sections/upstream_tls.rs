//! The keys of `[[upstream]]` that tell how it and we prove who we are.

use super::WRITE_HOST_NAME;
use crate::config::identity::{self, NamedFile};
use crate::config::names::is_domain;
use crate::config::reader::Section;
use crate::config::words::quoted;
use crate::config::{ClientTls, Identity, Pin, Security, TrustedCertificates};

/// The keys that have a meaning in TLS alone.
const KEYS: [&str; 5] = ["ca_file", "client_certificate", "client_key", "tls_name", "pin"];
/// So many of them, from the first on, hold for the server of `[upstream.sent_copy]`, too.
const OF_SENT_COPY: usize = 3;

pub(super) fn read(section: &mut Section<'_>, security: Security) -> ClientTls {
    const NOT_USED: &str = r#"is not used while security is "none""#;
    // The server of the Sent folder is always asked over TLS, where the first of them hold, too.
    let used = if section.has("sent_copy") { OF_SENT_COPY } else { 0 };
    let keys = KEYS.into_iter().skip(used);
    for key in keys.filter(|key| security == Security::None && section.has(key)) {
        section.warning(&section.place_of(key), key, NOT_USED, r#"write security = "starttls" or "tls""#);
    }
    let host_name = |text: &str| is_domain(text).then(|| text.to_owned());
    ClientTls {
        trusted: trusted(section),
        identity: identity(section),
        name: section.parsed("tls_name", "a host name", WRITE_HOST_NAME, host_name),
        pins: pins(section),
    }
}

/// `ca_file`
fn trusted(section: &mut Section<'_>) -> Option<TrustedCertificates> {
    const LONGEST: u64 = 4 << 20;
    let path = section.path("ca_file")?;
    let what = match section.context.read_octets(&path, LONGEST) {
        Ok(octets) => match TrustedCertificates::from_pem(&octets) {
            Ok(trusted) => return Some(trusted),
            Err(fault) => format!("cannot use {} ({fault})", path.display()),
        },
        Err(why) => why,
    };
    let instead = "write the path of a file with certificates in PEM";
    section.fault(&section.place_of("ca_file"), "ca_file", &what, instead);
    None
}

/// `client_certificate` and `client_key`: both or neither.
fn identity(section: &mut Section<'_>) -> Option<Identity> {
    const FILES: [(&str, &str, &str); 2] = [
        ("client_certificate", "client_key", "the certificate of this key, with its chain"),
        ("client_key", "client_certificate", "the private key of the certificate"),
    ];
    for (key, other, what) in FILES {
        if section.has(other) && !section.has(key) {
            section.missing(key, &format!("write the path of {what}, in PEM, or remove {other}"));
        }
    }
    let [certificate, key] = FILES.map(|(key, ..)| section.path(key).map(|path| NamedFile { key, path }));
    let (certificate, key) = certificate.zip(key)?;
    identity::read(section, &certificate, &key)
}

/// `pin`: one or a list.
fn pins(section: &mut Section<'_>) -> Vec<Pin> {
    const INSTEAD: &str =
        "write the base64 of the SHA-256 of its public key, 44 characters, as the log has it";
    let mut pins = Vec::new();
    for (place, text) in section.one_or_more_texts("pin").unwrap_or_default() {
        match Pin::parse(text) {
            Some(pin) => pins.push(pin),
            None => section.fault(&place, "pin", &format!("{} is not a pin", quoted(text)), INSTEAD),
        }
    }
    pins
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::testing::{of_host, write, write_pair};
    use crate::config::{Config, LoadedConfig, Machine, UpstreamKind};

    /// A folder with two certificates and their keys.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            write_pair(folder.path(), name, &of_host(), &rcgen::KeyPair::generate().unwrap());
        }
        folder
    }

    fn load(folder: &Path, keys: &str) -> Result<LoadedConfig, String> {
        let text = format!("[[upstream]]\nname = \"x\"\nhost = \"h\"\n{keys}\n");
        write(&folder.join("m.toml"), &text, 0o600);
        let loaded = Config::load(Some(Path::new("m.toml")), &Machine::bare(folder));
        loaded.map_err(|faults| faults.to_string())
    }

    fn smtp(loaded: &LoadedConfig) -> crate::config::Smtp {
        match &loaded.config.upstreams[0].kind {
            UpstreamKind::Smtp(smtp) => (**smtp).clone(),
            _ => panic!("a smart host"),
        }
    }

    #[test]
    fn reads_what_the_files_hold() {
        let folder = folder();
        let keys = "ca_file = \"a.pem\"\nclient_certificate = \"a.pem\"\nclient_key = \"a.key\"";
        let loaded = load(folder.path(), keys).unwrap();
        assert_eq!(loaded.warnings, []);
        let before = smtp(&loaded);
        assert!(before.tls.trusted.is_some() && before.tls.identity.is_some());
        assert_eq!(before, smtp(&load(folder.path(), keys).unwrap()));
        // The names are the same, and what they lead to is not.
        for name in ["pem", "key"] {
            std::fs::copy(folder.path().join(format!("b.{name}")), folder.path().join(format!("a.{name}")))
                .unwrap();
        }
        assert_ne!(before, smtp(&load(folder.path(), keys).unwrap()));
    }

    #[test]
    fn a_key_of_another_certificate_is_told_with_both_names() {
        let folder = folder();
        let faults =
            load(folder.path(), "client_certificate = \"a.pem\"\nclient_key = \"b.key\"").unwrap_err();
        let path = folder.path().display();
        let want = format!(
            "m.toml:5:14: upstream.client_key: {path}/b.key is not the key of the certificate {path}/a.pem: "
        );
        assert!(faults.starts_with(&want) && faults.lines().count() == 1, "{faults}");
    }

    #[test]
    fn warns_of_what_has_no_use_without_tls() {
        let folder = folder();
        for key in [
            "ca_file = \"a.pem\"",
            "tls_name = \"n\"",
            "pin = \"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"",
        ] {
            for (security, want) in [("none", 1), ("starttls", 0), ("tls", 0)] {
                let keys = format!("port = 26\nsecurity = \"{security}\"\n{key}");
                let warnings = load(folder.path(), &keys).unwrap().warnings;
                assert_eq!(warnings.len(), want, "{key} {security}: {warnings:?}");
            }
        }
    }
}
