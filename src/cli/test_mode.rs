//! `mailsluice test-mode`

use clap::builder::PossibleValuesParser;
use hyper::Method;

use super::client::RequestPath;
use super::context::CliContext;
use super::failure::Failure;
use crate::control::view::{TestModeChange, TestModeJson};
use crate::report::log::escape::printable;

#[derive(Debug, clap::Subcommand)]
pub(super) enum TestModeCommand {
    /// Whether it is on, and what it does
    Status,
    /// Switch it on: no message accepted from now on reaches its recipients
    On {
        /// Where redirected mail goes [default: as before]
        #[arg(long, value_name = "ADDRESS")]
        address: Option<String>,
        /// What becomes of mail [default: as before]
        #[arg(long, value_parser = PossibleValuesParser::new(["redirect", "hold", "capture"]))]
        action: Option<String>,
    },
    /// Switch it off; mail accepted while it was on keeps its treatment
    Off,
}

pub(super) fn execute(command: TestModeCommand, context: &CliContext) -> Result<(), Failure> {
    let client = context.client()?;
    let target = RequestPath::path(&["test-mode"]);
    let change = match command {
        TestModeCommand::Status => None,
        TestModeCommand::On { address, action } => Some(TestModeChange { enabled: true, action, address }),
        TestModeCommand::Off => Some(TestModeChange { enabled: false, action: None, address: None }),
    };
    let reply = match change {
        Some(change) => client.submit(&Method::PUT, &target, &change)?,
        None => client.get::<TestModeJson>(&target)?,
    };
    context.print(&reply, |mode, _| describe(mode))
}

/// Test mode in one line: `Test mode: ON, all mail goes to test@firm.example (set by …)`.
pub(super) fn describe(mode: &TestModeJson) -> String {
    let origin = printable(&mode.origin);
    if !mode.enabled {
        return format!("Test mode: off (set by {origin})");
    }
    let what = match (mode.action.as_str(), &mode.address) {
        ("redirect", Some(address)) => format!("all mail goes to {}", printable(address)),
        ("hold", _) => "all mail is held in the queue".to_owned(),
        ("capture", _) => "all mail is kept in the local mailbox".to_owned(),
        (other, _) => printable(other),
    };
    format!("Test mode: ON, {what} (set by {origin})")
}
