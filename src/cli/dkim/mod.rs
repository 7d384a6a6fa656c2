//! `mailsluice dkim`

mod check;
mod generate;
mod keys;
mod record;

use super::context::CliContext;
use super::failure::Failure;

#[derive(Debug, clap::Subcommand)]
pub(super) enum DkimCommand {
    /// Make a key, and say what to write into the configuration and what to publish; never over a file that is there
    #[command(after_help = "Example:\n  mailsluice dkim generate --domain firm.example --selector s2026")]
    Generate(generate::GenerateOptions),
    /// Show the DNS records of a domain's keys: name and text, and the line of a zone file
    #[command(after_help = "Example:\n  mailsluice dkim record firm.example")]
    Record(record::RecordOptions),
    /// Compare the records in the DNS with our keys; exit status 1 when one is wrong or can't be looked up
    #[command(after_help = "Example:\n  mailsluice dkim check firm.example")]
    Check(check::CheckOptions),
}

pub(super) fn execute(command: &DkimCommand, context: &CliContext) -> Result<(), Failure> {
    match command {
        DkimCommand::Generate(options) => generate::execute(options, context),
        DkimCommand::Record(options) => record::execute(options, context),
        DkimCommand::Check(options) => check::execute(options, context),
    }
}
