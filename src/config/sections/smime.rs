//! `[[smime]]`

use secrecy::ExposeSecret;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use crate::config::identity::{self, IdentityFault, NamedFile};
use crate::config::reader::Section;
use crate::config::words::quoted;
use crate::config::{Identity, SmimeEntry, certificate, secret};
use crate::mail::Address;

const WRITE_KEY: &str = "write { file = \"…\" } with its private key in PEM, RSA from 2048 bits or ECDSA (P-256), without a passphrase";
const WRITE_CERTIFICATE: &str = "write the certificate of the address, with its chain, in PEM";

/// All certificates; no two for one address.
pub(in crate::config) fn read_all(root: &mut Section<'_>) -> Vec<SmimeEntry> {
    let mut entries: Vec<SmimeEntry> = Vec::new();
    for mut section in root.sections("smime") {
        for (key, instead) in [
            ("address", r#"write the address in From, such as "invoices@firm.example""#),
            ("certificate", "write the path of its certificate with its chain, in PEM"),
            ("key", r#"write { file = "…" }, its private key in PEM"#),
        ] {
            if !section.has(key) {
                section.missing(key, instead);
            }
        }
        let address = super::address(&mut section, "address");
        let identity = identity(&mut section);
        if let Some((address, identity)) = address.zip(identity) {
            let same = |entry: &SmimeEntry| entry.address.key() == address.key();
            if entries.iter().any(same) {
                let what = format!("{} has a certificate already", quoted(address.as_str()));
                section.fault(&section.place_of("address"), "address", &what, "remove one of them");
            }
            warn_of_other_addresses(&section, &address, &identity);
            entries.push(SmimeEntry { address, identity });
        }
        section.finish();
    }
    entries
}

/// `certificate` and `key`, which belong together.
fn identity(section: &mut Section<'_>) -> Option<Identity> {
    let path = section.path("certificate");
    let key = secret::read(section, "key");
    let file = NamedFile { key: "certificate", path: path? };
    let certificates = identity::text(section, &file)?;
    let key = key?;
    match Identity::from_pem(&certificates.text, key.expose_secret()) {
        Ok(identity) if identity.mail_signer().is_some() => match unreadable(&identity) {
            None => {
                identity::warn_of_expiry(section, file.key, &identity);
                return Some(identity);
            }
            Some(number) => {
                let what = format!(
                    "certificate {number} of {} is not written as X.509 demands",
                    file.path.display()
                );
                section.fault(&section.place_of(file.key), file.key, &what, WRITE_CERTIFICATE);
            }
        },
        Ok(_) => {
            section.fault(&section.place_of("key"), "key", "is neither RSA nor ECDSA with P-256", WRITE_KEY);
        }
        Err(fault @ IdentityFault::Mismatch) => {
            let what = format!("{fault} {}", file.path.display());
            let instead =
                "write the two that belong together, the address's own certificate first in its file";
            section.fault(&section.place_of("key"), "key", &what, instead);
        }
        Err(fault @ (IdentityFault::NoKey(_) | IdentityFault::Key)) => {
            section.fault(&section.place_of("key"), "key", &fault.to_string(), WRITE_KEY);
        }
        Err(fault) => {
            let what = format!("{} {fault}", file.path.display());
            section.fault(&section.place_of(file.key), file.key, &what, WRITE_CERTIFICATE);
        }
    }
    None
}

/// Which certificate of the chain can't be sent along.
fn unreadable(identity: &Identity) -> Option<usize> {
    let chain = identity.certified_key();
    let place = chain.cert.iter().position(|der| Certificate::from_der(der).is_err());
    place.map(|place| place + 1)
}

/// Mail programs warn their users when the certificate is not that of the address in From (RFC 8550 3).
fn warn_of_other_addresses(section: &Section<'_>, address: &Address, identity: &Identity) {
    let chain = identity.certified_key();
    let named = chain.cert.first().map(|own| certificate::mail_addresses(own)).unwrap_or_default();
    let is_it = |name: &String| Address::parse(name).is_ok_and(|name| name.key() == address.key());
    if named.iter().any(is_it) {
        return;
    }
    let what = match named.first() {
        Some(other) => {
            format!("is the certificate of {}, not of {}", quoted(other), quoted(address.as_str()))
        }
        None => {
            format!("names no mail address, so that nobody will believe it for {}", quoted(address.as_str()))
        }
    };
    section.warning(&section.place_of("certificate"), "certificate", &what, WRITE_CERTIFICATE);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rcgen::{CertificateParams, KeyPair, SanType};

    use crate::config::Config;
    use crate::config::testing::{rsa, write_pair};

    /// Writes `NAME.pem` and `NAME.key`, for an address.
    fn make(folder: &Path, name: &str, address: &str, key: &KeyPair) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        if !address.is_empty() {
            params.subject_alt_names = vec![SanType::Rfc822Name(address.try_into().unwrap())];
        }
        write_pair(folder, name, &params, key);
    }

    /// What is said of these `[[smime]]`: address, certificate, key.
    fn said(folder: &Path, entries: &[(&str, &str, &str)]) -> Vec<String> {
        let mut text = "[[upstream]]\nname = \"a\"\nhost = \"smtp.firm.example\"\n".to_owned();
        for (address, certificate, key) in entries {
            let entry = format!(
                "[[smime]]\naddress = \"{address}\"\ncertificate = \"{certificate}.pem\"\nkey = {{ file = \"{key}.key\" }}\n"
            );
            text.push_str(&entry);
        }
        let folder_name = format!("{}/", folder.display());
        let lines: Vec<String> = match Config::from_toml(&text, folder) {
            Ok(loaded) => loaded.warnings.iter().map(ToString::to_string).collect(),
            Err(faults) => faults.to_string().lines().map(str::to_owned).collect(),
        };
        lines.iter().map(|line| line.replace(&folder_name, "").replace("mailsluice.toml:", "")).collect()
    }

    #[test]
    fn certificate_key_and_address_must_belong_together() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        make(folder, "good", "A@firm.example", &KeyPair::generate().unwrap());
        make(folder, "other", "b@firm.example", &KeyPair::generate().unwrap());
        make(folder, "none", "", &KeyPair::generate().unwrap());
        make(folder, "ed", "a@firm.example", &KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap());
        make(folder, "rsa", "a@firm.example", &rsa());
        let good = "a@FIRM.example";
        for (entries, want) in [
            (&[(good, "good", "good")][..], None),
            (&[(good, "rsa", "rsa")], None),
            (
                &[(good, "good", "other")],
                Some("7:7: smime.key: is not the key of the certificate good.pem: "),
            ),
            (&[(good, "ed", "ed")], Some("7:7: smime.key: is neither RSA nor ECDSA with P-256: ")),
            (
                &[(good, "other", "other")],
                Some(
                    "6:15: smime.certificate: is the certificate of \"b@firm.example\", not of \"a@FIRM.example\": ",
                ),
            ),
            (&[(good, "none", "none")], Some("6:15: smime.certificate: names no mail address, ")),
            (
                &[(good, "good", "good"), ("A@firm.example", "good", "good")],
                Some("9:11: smime.address: \"A@firm.example\" has a certificate already: "),
            ),
        ] {
            let said = said(folder, entries);
            let fits = match (said.as_slice(), want) {
                ([], None) => true,
                ([line], Some(want)) => line.starts_with(want),
                _ => false,
            };
            assert!(fits, "{entries:?}: {said:?}, wanted {want:?}");
        }
    }
}
