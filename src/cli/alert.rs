//! `mailsluice alert`

use hyper::Method;

use super::client::RequestPath;
use super::context::CliContext;
use super::failure::Failure;
use crate::control::view::AlertTrialJson;
use crate::report::log::escape::printable;

#[derive(Debug, clap::Subcommand)]
pub(super) enum AlertCommand {
    /// Send a test alert by each way that [alert] names, and say what became of it
    #[command(after_help = "Example:\n  mailsluice alert test")]
    Test,
}

pub(super) fn execute(command: &AlertCommand, context: &CliContext) -> Result<(), Failure> {
    let AlertCommand::Test = command;
    let client = context.client()?;
    let path = RequestPath::path(&["alerts", "test"]);
    let reply = client.command::<Vec<AlertTrialJson>>(&Method::POST, &path)?;
    context.print(&reply, |trials, viewer| {
        let lines: Vec<String> = trials.iter().map(line).collect();
        viewer.sentences(&lines.join("\n"))
    })?;
    if reply.value.iter().all(|trial| trial.ok) { Ok(()) } else { Err(Failure::Told) }
}

/// `webhook: hooks.firm.example has answered 200 OK`
fn line(trial: &AlertTrialJson) -> String {
    let failed = if trial.ok { "" } else { "FAILED: " };
    printable(&format!("{}: {failed}{}", trial.channel, trial.outcome))
}
