//! `mailsluice check`

use serde::Serialize;

use super::context::CliContext;
use super::failure::{Failure, warn};
use crate::config::LoadedConfig;
use crate::report::log::escape::printable;

/// What there is to say of a configuration.
#[derive(Serialize)]
struct CheckResult {
    ok: bool,
    /// The file, as far as there is one that can be read.
    file: Option<String>,
    faults: Vec<String>,
    warnings: Vec<String>,
}

/// Reads the configuration exactly as `run` does.
pub(super) fn execute(context: &CliContext) -> Result<(), Failure> {
    let LoadedConfig { path, warnings, .. } = match context.load() {
        Ok(loaded) => loaded,
        Err(faults) if context.json => {
            let faults = faults.all().iter().map(ToString::to_string).collect();
            let result = CheckResult { ok: false, file: None, faults, warnings: Vec::new() };
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
    let result = CheckResult { ok: true, file, faults: Vec::new(), warnings };
    context.print_value(&result, &format!("{}: ok", printable(&name)))
}
