//! `mailsluice check`

use serde::Serialize;

use super::context::CliContext;
use super::failure::{Failure, warn};
use super::viewer::Viewer;
use crate::config::{Config, Fault, LoadedConfig, Located, Warning};
use crate::report::log::escape::printable;

/// What there is to say of a configuration.
#[derive(Serialize)]
struct CheckResult {
    ok: bool,
    /// The file; `None` when there is none.
    file: Option<String>,
    faults: Vec<Located>,
    warnings: Vec<Located>,
    /// What is worth knowing, and nothing to mend.
    notes: Vec<String>,
}

impl CheckResult {
    fn new(file: Option<String>, faults: &[Fault], warnings: &[Warning]) -> Self {
        let faults: Vec<_> = faults.iter().map(|fault| fault.located().clone()).collect();
        let warnings = warnings.iter().map(|warning| warning.located().clone()).collect();
        Self { ok: faults.is_empty(), file, faults, warnings, notes: Vec::new() }
    }
}

/// Reads the configuration exactly as `run` does.
pub(super) fn execute(context: &CliContext) -> Result<(), Failure> {
    let LoadedConfig { path, warnings, config, .. } = match context.load() {
        Ok(loaded) => loaded,
        Err(faults) if context.json => {
            let file = faults.file().map(str::to_owned);
            context.print_value(&CheckResult::new(file, faults.all(), faults.warnings()), "")?;
            return Err(Failure::ConfigurationTold);
        }
        Err(faults) => return Err(faults.into()),
    };
    let file = path.map(|path| path.display().to_string());
    let name = file.clone().unwrap_or_else(|| "environment".to_owned());
    if !context.json {
        warn(&warnings);
    }
    let notes = notes(&config);
    let text =
        notes.iter().fold(format!("{}: ok", printable(&name)), |text, note| format!("{text}\nnote: {note}"));
    let result = CheckResult { notes, ..CheckResult::new(file, &[], &warnings) };
    context.print_value(&result, &Viewer::now().sentences(&text))
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
