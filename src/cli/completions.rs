//! `mailsluice completions`

use clap::Command;
use clap_complete::{Shell, generate};

use super::failure::Failure;
use super::output;

#[derive(Debug, clap::Args)]
pub(super) struct CompletionOptions {
    /// For which shell
    shell: Shell,
}

/// Prints the script by which a shell completes the command that is defined so.
pub(super) fn execute(options: &CompletionOptions, mut definition: Command) -> Result<(), Failure> {
    let name = definition.get_name().to_owned();
    let mut script = Vec::new();
    generate(options.shell, &mut definition, name, &mut script);
    output::octets(&script)
}
