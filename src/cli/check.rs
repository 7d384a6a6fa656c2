//! `mailsluice check`

use serde::Serialize;

use super::context::CliContext;
use super::failure::{Failure, complain};
use crate::report::log::escape::printable;
use crate::transform::dkim::Signer;

#[derive(Serialize)]
struct CheckResult {
    ok: bool,
    file: Option<String>,
    warnings: Vec<String>,
}

pub(super) fn execute(context: &CliContext) -> Result<(), Failure> {
    let loaded = context.load()?;
    let file = loaded.path.as_ref().map(|path| path.display().to_string());
    let name = file.clone().unwrap_or_else(|| "environment".to_owned());
    Signer::new(&loaded.config.dkim).map_err(|error| Failure::Configuration(format!("{name}: {error}")))?;
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    for warning in &warnings {
        complain(warning);
    }
    context.print_value(&CheckResult { ok: true, file, warnings }, &format!("{}: ok", printable(&name)))
}
