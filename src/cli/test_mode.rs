//! `mailsluice test-mode`

use clap::builder::PossibleValuesParser;
use hyper::Method;

use super::client::RequestPath;
use super::context::CliContext;
use super::failure::Failure;
use super::output::count;
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

/// Test mode: `Test mode: ON, all mail goes to test@firm.example (set by …)`, and in a line of its own what is no test.
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
    format!("Test mode: ON, {what} (set by {origin}){}", outside_test_mode(mode.outside_test_mode))
}

/// What test mode does not concern, though it is on.
fn outside_test_mode(messages: u64) -> String {
    if messages == 0 {
        return String::new();
    }
    let (goes, its) = if messages == 1 { ("goes", "its") } else { ("go", "their") };
    let messages = count(messages, "message");
    format!("\n  {messages} accepted before {goes} to {its} recipients: see `mailsluice queue list`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_no_test() {
        let mode = |enabled, outside_test_mode| TestModeJson {
            enabled,
            action: "redirect".to_owned(),
            address: Some("test@firm.example".to_owned()),
            origin: "command".to_owned(),
            outside_test_mode,
        };
        for (enabled, outside_test_mode, want) in [
            (false, 3, "Test mode: off (set by command)"),
            (true, 0, "Test mode: ON, all mail goes to test@firm.example (set by command)"),
            (
                true,
                1,
                "Test mode: ON, all mail goes to test@firm.example (set by command)\n  1 message accepted before goes to \
                 its recipients: see `mailsluice queue list`",
            ),
            (
                true,
                3,
                "Test mode: ON, all mail goes to test@firm.example (set by command)\n  3 messages accepted before go to \
                 their recipients: see `mailsluice queue list`",
            ),
        ] {
            assert_eq!(describe(&mode(enabled, outside_test_mode)), want);
        }
    }
}
