//! `mailsluice check`

use serde::Serialize;

use super::context::CliContext;
use super::failure::{Failure, warn};
use crate::config::{Config, LoadedConfig};
use crate::report::log::escape::printable;

/// What there is to say of a configuration.
#[derive(Serialize)]
struct CheckResult {
    ok: bool,
    /// The file, as far as there is one that can be read.
    file: Option<String>,
    faults: Vec<String>,
    warnings: Vec<String>,
    /// What is worth knowing, and nothing to mend.
    notes: Vec<String>,
}

/// Reads the configuration exactly as `run` does.
pub(super) fn execute(context: &CliContext) -> Result<(), Failure> {
    let LoadedConfig { path, warnings, config } = match context.load() {
        Ok(loaded) => loaded,
        Err(faults) if context.json => {
            let faults = faults.all().iter().map(ToString::to_string).collect();
            let result =
                CheckResult { ok: false, file: None, faults, warnings: Vec::new(), notes: Vec::new() };
            context.print_value(&result, "")?;
            return Err(Failure::ConfigurationTold);
        }
        Err(faults) => return Err(faults.into()),
    };
    let file = path.map(|path| path.display().to_string());
    let name = file.clone().unwrap_or_else(|| "environment".to_owned());
    if !context.json {
        warn(&warnings);
    }
    let warnings = warnings.iter().map(ToString::to_string).collect();
    let notes = notes(&config);
    let text =
        notes.iter().fold(format!("{}: ok", printable(&name)), |text, note| format!("{text}\nnote: {note}"));
    let result = CheckResult { ok: true, file, faults: Vec::new(), warnings, notes };
    context.print_value(&result, &text)
}

/// What is worth knowing of a configuration without faults.
fn notes(config: &Config) -> Vec<String> {
    let stores_grants = config.sign_ins.iter().any(|sign_in| sign_in.needs_grant());
    if !stores_grants || config.secrets.key.is_some() {
        return Vec::new();
    }
    let folder = printable(&config.data_dir.display().to_string());
    vec![format!(
        "sign-ins are stored in {folder} without encryption, protected by its mode alone; [secrets] key encrypts them"
    )]
}
