//! `mailsluice dkim record`

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::super::context::CliContext;
use super::super::failure::Failure;
use super::keys::{RecordJson, name, own_keys};
use crate::config::signing_key_file;
use crate::dkim::{KeyTerm, OwnKey, Standing};
use crate::mail::DomainKey;

#[derive(Debug, Args)]
pub(in crate::cli) struct RecordOptions {
    /// The domain that signs
    #[arg(value_parser = name)]
    domain: DomainKey,
    /// The key of this selector only
    #[arg(long, value_parser = name)]
    selector: Option<DomainKey>,
    /// Of the private key in this file, whatever the configuration says
    #[arg(long, value_name = "FILE", requires = "selector")]
    key: Option<PathBuf>,
}

/// A key and its record.
#[derive(Debug, Serialize)]
struct RecordLine {
    domain: String,
    selector: String,
    #[serde(flatten)]
    record: RecordJson,
    /// `signs waits stopped`; null for a key that the configuration does not name.
    standing: Option<&'static str>,
    /// The first day on which it signs, in UTC.
    from: Option<String>,
}

/// Shows the records of the keys that the configuration names, or of one file.
pub(super) fn execute(options: &RecordOptions, context: &CliContext) -> Result<(), Failure> {
    let RecordOptions { domain, selector, key } = options;
    if let (Some(file), Some(selector)) = (key, selector) {
        let private = signing_key_file(file).map_err(|error| Failure::Failed(error.into()))?;
        let key = OwnKey::new(domain.clone(), selector.to_string(), &private, KeyTerm::default());
        let lines = [RecordLine::new(&key, None)];
        return context.print_value(&lines, &lines[0].record.text());
    }
    let config = context.load()?.config;
    let (signer, keys) = own_keys(&config, domain, selector.as_ref())?;
    let today = signer.today();
    let line = |key: &OwnKey| {
        let standing = key.term.standing(today);
        (RecordLine::new(key, Some(standing)), standing)
    };
    let (lines, standings): (Vec<_>, Vec<_>) = keys.iter().map(line).unzip();
    let texts: Vec<String> =
        lines.iter().zip(standings).map(|(line, standing)| line.record.text() + &remark(standing)).collect();
    context.print_value(&lines, &texts.join("\n"))
}

impl RecordLine {
    fn new(key: &OwnKey, standing: Option<Standing>) -> Self {
        Self {
            domain: key.domain.to_string(),
            selector: key.selector.clone(),
            record: RecordJson::new(&key.record(), &key.public),
            standing: standing.map(Standing::as_str),
            from: key.term.begins.map(|day| day.to_string()),
        }
    }
}

/// What is worth knowing of a key that does not sign.
fn remark(standing: Standing) -> String {
    match standing {
        Standing::Signs => String::new(),
        Standing::Waits(begins) => format!("The key signs from {begins} on.\n"),
        Standing::Stopped(ends) => {
            format!("The key has not signed since {ends}, when another one took over.\n")
        }
    }
}
