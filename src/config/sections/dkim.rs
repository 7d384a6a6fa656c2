//! `[[dkim]]`

use jiff::civil::Date;
use jiff::tz::TimeZone;
use secrecy::{ExposeSecret, SecretString};

use crate::config::fault::SourcePlace;
use crate::config::names::{dkim_key_name, dns_name, fits_the_dns};
use crate::config::reader::Section;
use crate::config::words::quoted;
use crate::config::{DkimEntry, private_key, secret};
use crate::mail::DomainKey;

/// All keys; no two with the same domain and selector.
pub(in crate::config) fn read_all(root: &mut Section<'_>) -> Vec<DkimEntry> {
    let mut entries: Vec<DkimEntry> = Vec::new();
    let mut days: Vec<SourcePlace> = Vec::new();
    for mut section in root.sections("dkim") {
        let domain = name(&mut section, "domain", r#"write the domain that signs, such as "firm.example""#);
        let selector =
            name(&mut section, "selector", r#"write the name of the key in the DNS, such as "s2026""#)
                .map(|selector| selector.to_string());
        let key = key(&mut section);
        let from = section.parsed("from", "a date", r#"write it in quotes, such as "2027-01-01""#, date);
        if let (Some(domain), Some(selector)) = (domain, selector) {
            let entry = DkimEntry { domain, selector, key: key.unwrap_or_default(), from };
            selector_is_fit(&section, &entry, &entries);
            entries.push(entry);
            days.push(section.place_of("from"));
        }
        section.finish();
    }
    not_in_force(root, &entries, &days);
    entries
}

/// Looks whether no other entry has its name, and whether the DNS can have it.
fn selector_is_fit(section: &Section<'_>, entry: &DkimEntry, others: &[DkimEntry]) {
    let DkimEntry { domain, selector, .. } = entry;
    let (what, instead) = if others.iter().any(|other| other.domain == *domain && other.selector == *selector)
    {
        let what = format!("{} is a selector of {domain} already", quoted(selector));
        (what, "write another selector, or remove one")
    } else if fits_the_dns(&dkim_key_name(domain, selector)) {
        return;
    } else {
        ("makes a name that is too long for the DNS".to_owned(), "write a shorter one")
    };
    section.fault(&section.place_of("selector"), "selector", &what, instead);
}

/// Warns of domains for which nobody signs today, though a key of theirs will: at the first day that comes.
fn not_in_force(root: &Section<'_>, entries: &[DkimEntry], days: &[SourcePlace]) {
    let today = TimeZone::UTC.to_datetime(root.context.machine.now).date();
    let has_come = |entry: &DkimEntry| entry.from.is_none_or(|from| from <= today);
    let signs = |domain: &DomainKey| {
        let serves = |entry: &&DkimEntry| entry.domain == *domain || domain.is_below(&entry.domain);
        entries.iter().filter(serves).any(has_come)
    };
    for (at, (entry, place)) in entries.iter().zip(days).enumerate() {
        let Some(from) = entry.from.filter(|_| !signs(&entry.domain)) else { continue };
        let comes_later = |(place, other): (usize, &DkimEntry)| (other.from, place) >= (Some(from), at);
        let of_it = entries.iter().enumerate().filter(|(_, other)| other.domain == entry.domain);
        if of_it.into_iter().all(comes_later) {
            let what = format!("{from} has not come, and no other key signs for {} until then", entry.domain);
            let instead = "write an earlier day, if its mail is not to go unsigned";
            root.warning(place, "dkim.from", &what, instead);
        }
    }
}

/// A day, as RFC 3339 writes it.
fn date(text: &str) -> Option<Date> {
    text.parse().ok().filter(|date: &Date| date.to_string() == text)
}

/// A name of the DNS, written with A-labels or U-labels.
fn name(section: &mut Section<'_>, key: &'static str, instead: &str) -> Option<DomainKey> {
    if !section.has(key) {
        section.missing(key, instead);
    }
    section.parsed(key, "a domain name", instead, dns_name)
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use base64::Engine as _;
    use mail_auth::common::crypto::Ed25519Key;

    use crate::config::{Config, LoadedConfig, Machine};

    #[expect(clippy::disallowed_methods, reason = "a test's file need not outlive the machine")]
    fn load(folder: &Path, entries: &str, now: &str) -> LoadedConfig {
        let key = base64::engine::general_purpose::STANDARD.encode(Ed25519Key::generate_pkcs8().unwrap());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n");
        let key = format!("key = '''{pem}'''\n[[dkim]]");
        let entries = format!("{entries}\nkey = '''{pem}'''\n").replace("[[dkim]]", &key);
        let entries = entries.replacen(&key, "[[dkim]]", 1);
        let text = format!("[[upstream]]\nname = \"x\"\nkind = \"capture\"\n{entries}");
        std::fs::write(folder.join("m.toml"), text).unwrap();
        let machine = Machine { now: now.parse().unwrap(), ..Machine::bare(folder) };
        Config::load(Some(Path::new("m.toml")), &machine).unwrap()
    }

    /// The days at which a domain begins to sign, as warnings tell them.
    fn days(entries: &str, now: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let loaded = load(folder.path(), entries, now);
        let texts = loaded.warnings.iter().map(ToString::to_string);
        texts.filter_map(|text| Some(text.split_once("dkim.from: ")?.1[..10].to_owned())).collect()
    }

    #[test]
    fn a_domain_that_nobody_signs_for_yet_is_told() {
        let entry = |domain: &str, selector: &str, from: &str| {
            let from = if from.is_empty() { String::new() } else { format!("\nfrom = \"{from}\"") };
            format!("[[dkim]]\ndomain = \"{domain}\"\nselector = \"{selector}\"{from}\n")
        };
        let one = entry("firm.example", "a", "2027-01-01") + &entry("firm.example", "b", "2026-12-01");
        let same = entry("firm.example", "a", "2027-01-01") + &entry("firm.example", "b", "2027-01-01");
        let both = one.clone() + &entry("firm.example", "c", "");
        let below = entry("mail.firm.example", "m", "2027-05-01") + &entry("firm.example", "a", "2027-01-01");
        for (entries, now, want) in [
            (&one, "2026-11-30T23:59:59Z", vec!["2026-12-01"]),
            (&one, "2026-12-01T00:00:00Z", vec![]),
            (&same, "2026-12-31T23:59:59Z", vec!["2027-01-01"]),
            (&both, "2026-11-30T23:59:59Z", vec![]),
            (&below, "2026-12-31T00:00:00Z", vec!["2027-01-01", "2027-05-01"]),
            (&below, "2027-01-01T00:00:00Z", vec![]),
        ] {
            let mut found = days(entries, now);
            found.sort();
            assert_eq!(found, want, "{entries} at {now}");
        }
    }
}
