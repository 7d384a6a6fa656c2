//! `[[dkim]]`

use secrecy::{ExposeSecret, SecretString};

use crate::config::names::is_domain;
use crate::config::reader::Section;
use crate::config::words::quoted;
use crate::config::{DkimEntry, private_key, secret};
use crate::mail::{DomainKey, to_ascii};

/// All keys; no two with the same domain and selector.
pub(in crate::config) fn read_all(root: &mut Section<'_>) -> Vec<DkimEntry> {
    let mut entries: Vec<DkimEntry> = Vec::new();
    for mut section in root.sections("dkim") {
        let domain = name(&mut section, "domain", r#"write the domain that signs, such as "firm.example""#);
        let selector =
            name(&mut section, "selector", r#"write the name of the key in the DNS, such as "s2026""#)
                .map(|selector| selector.to_string());
        let key = key(&mut section);
        if let (Some(domain), Some(selector)) = (domain, selector) {
            if entries.iter().any(|other| other.domain == domain && other.selector == selector) {
                let what = format!("{} is a selector of {domain} already", quoted(&selector));
                section.fault(
                    &section.place_of("selector"),
                    "selector",
                    &what,
                    "write another selector, or remove one",
                );
            }
            entries.push(DkimEntry { domain, selector, key: key.unwrap_or_default() });
        }
        section.finish();
    }
    entries
}

/// A name of the DNS, written with A-labels or U-labels.
fn name(section: &mut Section<'_>, key: &'static str, instead: &str) -> Option<DomainKey> {
    if !section.has(key) {
        section.missing(key, instead);
    }
    let name = |text: &str| to_ascii(text).filter(|name| is_domain(name)).map(|name| DomainKey::new(&name));
    section.parsed(key, "a domain name", instead, name)
}

fn key(section: &mut Section<'_>) -> Option<SecretString> {
    const INSTEAD: &str =
        "write { file = \"…\" } with a private key in PEM, RSA from 2048 bits or Ed25519 (PKCS#8)";
    if !section.has("key") {
        section.missing("key", r#"write { file = "…" }, a private key in PEM"#);
    }
    let key = secret::read(section, "key")?;
    if let Err(fault) = private_key::signing_key(key.expose_secret()) {
        section.fault(&section.place_of("key"), "key", &fault.to_string(), INSTEAD);
    }
    Some(key)
}
