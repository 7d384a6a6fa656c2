//! What the commands about keys have in common.

use std::sync::Arc;

use serde::Serialize;

use super::super::failure::Failure;
use crate::config::{Config, dns_name};
use crate::dkim::{DkimPublicKey, KeyRecord, OwnKey};
use crate::mail::DomainKey;
use crate::time::{SystemClock, Timeline};
use crate::transform::Signer;

/// A record as `--json` shows it.
#[derive(Debug, Serialize)]
pub(super) struct RecordJson {
    name: String,
    r#type: &'static str,
    value: String,
    /// The value in pieces of at most 255 octets, where a provider wants them so.
    strings: Vec<String>,
    /// The line of a zone file.
    zone: String,
    /// `rsa ed25519`
    key_type: &'static str,
    /// Null where keys have no length to choose.
    bits: Option<u32>,
}

impl RecordJson {
    pub(super) fn new(record: &KeyRecord, key: &DkimPublicKey) -> Self {
        Self {
            name: record.name.clone(),
            r#type: "TXT",
            value: record.value.clone(),
            strings: record.strings().into_iter().map(str::to_owned).collect(),
            zone: record.zone_line(),
            key_type: key.key_type().as_str(),
            bits: key.bits(),
        }
    }

    /// For people, and for the forms of providers. Nothing is broken into lines: it is there to be copied.
    pub(super) fn text(&self) -> String {
        let Self { name, value, zone, .. } = self;
        format!("Name:  {name}\nType:  TXT\nValue: {value}\nZone:  {zone}\n")
    }
}

/// A domain or selector on the command line.
pub(super) fn name(text: &str) -> Result<DomainKey, String> {
    dns_name(text).ok_or_else(|| "it is no name in the DNS".to_owned())
}

/// Our keys of a domain, with that selector if one is named, and whoever knows which day it is.
pub(super) fn own_keys(
    config: &Config,
    domain: &DomainKey,
    selector: Option<&DomainKey>,
) -> Result<(Signer, Vec<OwnKey>), Failure> {
    let timeline = Timeline::resume(Arc::new(SystemClock), None);
    let signer = Signer::new(&config.dkim, timeline).map_err(|error| Failure::Failed(error.into()))?;
    let is_meant = |key: &&OwnKey| {
        key.domain == *domain && selector.is_none_or(|selector| selector.as_str() == key.selector)
    };
    let keys: Vec<OwnKey> = signer.own_keys().filter(is_meant).cloned().collect();
    if keys.is_empty() {
        return Err(no_key(&signer, domain, selector));
    }
    Ok((signer, keys))
}

fn no_key(signer: &Signer, domain: &DomainKey, selector: Option<&DomainKey>) -> Failure {
    let which = selector.map_or_else(String::new, |selector| format!(" with the selector {selector}"));
    let mut others: Vec<String> = signer.own_keys().map(|key| key.record().name).collect();
    others.sort();
    let others = match others.as_slice() {
        [] => "it has no key at all".to_owned(),
        others => format!("its keys are {}", others.join(", ")),
    };
    Failure::new(format!(
        "the configuration has no [[dkim]] for {domain}{which}, {others}; `mailsluice dkim generate` makes one"
    ))
}
