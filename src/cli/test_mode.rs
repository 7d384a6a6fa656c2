//! `mailsluice test-mode`

use clap::builder::PossibleValuesParser;
use hyper::Method;

use super::client::RequestPath;
use super::context::CliContext;
use super::failure::Failure;
use super::output::count;
use crate::control::view::{TestModeChange, TestModeJson};
use crate::report::log::escape::printable;
use crate::store::TestModeCounts;

#[derive(Debug, clap::Subcommand)]
pub(super) enum TestModeCommand {
    /// Whether it is on, and what it does
    #[command(after_help = "Example:\n  mailsluice test-mode status")]
    Status,
    /// Switch it on: no message accepted from now on reaches its recipients
    ///
    /// Written into the configuration file, whose comments and order stay. A file that was edited since the relay has read it is
    /// not touched. Where it can't be written the switch is kept in the store, and `status` says so.
    #[command(
        after_help = "Example:\n  mailsluice test-mode on --action redirect --address test@firm.example"
    )]
    On {
        /// Where redirected mail goes [default: as before]
        #[arg(long, value_name = "ADDRESS")]
        address: Option<String>,
        /// What becomes of mail [default: as before]
        #[arg(long, value_parser = PossibleValuesParser::new(["redirect", "hold", "capture"]))]
        action: Option<String>,
    },
    /// Switch it off; mail accepted while it was on keeps its treatment. Written into the configuration file as with `test-mode on`
    #[command(after_help = "Example:\n  mailsluice test-mode off")]
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
    context.print(&reply, |mode, viewer| viewer.sentences(&describe(mode)))
}

/// Test mode: `Test mode: ON, all mail goes to test@firm.example (set by …)`, and in lines of their own what becomes of the
/// mail that was accepted before.
pub(super) fn describe(mode: &TestModeJson) -> String {
    let origin = printable(&mode.origin);
    let what = match (mode.enabled, mode.action.as_str(), &mode.address) {
        (false, ..) => format!("Test mode: off (set by {origin})"),
        (true, "redirect", Some(address)) => {
            format!("Test mode: ON, all mail goes to {} (set by {origin})", printable(address))
        }
        (true, "hold", _) => format!("Test mode: ON, all mail is held in the queue (set by {origin})"),
        (true, "capture", _) => {
            format!("Test mode: ON, all mail is kept in the local mailbox (set by {origin})")
        }
        (true, other, _) => format!("Test mode: ON, {} (set by {origin})", printable(other)),
    };
    let words = if mode.enabled { what_is_no_test } else { what_stays_a_test };
    let lines = mode.counts.as_ref().map(words).unwrap_or_default();
    let users = users_in_test(mode).filter(|_| !mode.enabled);
    let differs = mode.not_in_file.as_deref().map(printable);
    differs.into_iter().chain(users).chain(lines).fold(what, |text, line| format!("{text}\n  {line}"))
}

/// Whose mail is a test though the switch is off, and what becomes of it.
fn users_in_test(mode: &TestModeJson) -> Option<String> {
    const SHOWN: usize = 5;
    let shown: Vec<&str> = mode.users.iter().take(SHOWN).map(String::as_str).collect();
    let shown = match (shown.as_slice(), mode.users.len().saturating_sub(SHOWN)) {
        ([], _) => return None,
        ([one], _) => (*one).to_owned(),
        ([first @ .., last], 0) => format!("{} and {last}", first.join(", ")),
        (shown, others) => format!("{} and {}", shown.join(", "), count(others as u64, "other user")),
    };
    let what = match (mode.action.as_str(), &mode.address) {
        ("redirect", Some(address)) => format!("goes to {}", printable(address)),
        ("hold", _) => "is held in the queue".to_owned(),
        ("capture", _) => "is kept in the local mailbox".to_owned(),
        (other, _) => printable(other),
    };
    Some(format!("BUT mail of {} is in test mode, and {what}", printable(&shown)))
}

/// What test mode does not concern, though it is on.
fn what_is_no_test(counts: &TestModeCounts) -> Vec<String> {
    let mut lines = Vec::new();
    let TestModeCounts { outside_test_mode: waiting, outside_test_mode_held: held, .. } = *counts;
    if waiting > 0 {
        let (goes, its) = if waiting == 1 { ("goes", "its") } else { ("go", "their") };
        let messages = count(waiting, "message");
        lines.push(format!(
            "{messages} accepted before {goes} to {its} recipients: see `mailsluice queue list`"
        ));
    }
    if held > 0 {
        let waits = if held == 1 { "waits" } else { "wait" };
        let messages = count(held, "message");
        lines.push(format!(
            "{messages} accepted before {waits} for release: see `mailsluice queue list --state held`"
        ));
    }
    lines
}

/// What keeps its treatment, though test mode is off.
fn what_stays_a_test(counts: &TestModeCounts) -> Vec<String> {
    let mut lines = Vec::new();
    if counts.tests > 0 {
        let (is, they, tests, reaches, its) = if counts.tests == 1 {
            ("is", "it", "a test", "reaches", "its")
        } else {
            ("are", "they", "tests", "reach", "their")
        };
        let messages = count(counts.tests, "message");
        lines.push(format!(
            "{messages} in the queue {is} still {tests}: accepted while it was on, {they} never {reaches} {its} recipients"
        ));
    }
    if counts.tests_held > 0 {
        let waits = if counts.tests_held == 1 { "waits" } else { "wait" };
        let tests = count(counts.tests_held, "test");
        lines.push(format!("{tests} {waits} for release: see `mailsluice queue list --state held`"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_becomes_of_mail_that_was_accepted_before() {
        let mode = |enabled, counts: [u64; 4]| TestModeJson {
            not_in_file: None,
            users: Vec::new(),
            enabled,
            action: "redirect".to_owned(),
            address: Some("test@firm.example".to_owned()),
            origin: "command".to_owned(),
            counts: Some(TestModeCounts {
                outside_test_mode: counts[0],
                outside_test_mode_held: counts[1],
                tests: counts[2],
                tests_held: counts[3],
            }),
        };
        let on = "Test mode: ON, all mail goes to test@firm.example (set by command)";
        for (enabled, counts, want) in [
            (false, [3, 3, 0, 0], "Test mode: off (set by command)".to_owned()),
            (
                false,
                [0, 0, 1, 2],
                "Test mode: off (set by command)\n  1 message in the queue is still a test: accepted while it was on, it \
                 never reaches its recipients\n  2 tests wait for release: see `mailsluice queue list --state held`"
                    .to_owned(),
            ),
            (true, [0, 0, 3, 3], on.to_owned()),
            (
                true,
                [1, 1, 0, 0],
                format!(
                    "{on}\n  1 message accepted before goes to its recipients: see `mailsluice queue list`\n  1 message \
                     accepted before waits for release: see `mailsluice queue list --state held`"
                ),
            ),
            (
                true,
                [3, 0, 0, 0],
                format!("{on}\n  3 messages accepted before go to their recipients: see `mailsluice queue list`"),
            ),
        ] {
            assert_eq!(describe(&mode(enabled, counts)), want);
        }
        for (users, action, want) in [
            (1, "redirect", "BUT mail of u0 is in test mode, and goes to test@firm.example"),
            (3, "hold", "BUT mail of u0, u1 and u2 is in test mode, and is held in the queue"),
            (
                7,
                "capture",
                "BUT mail of u0, u1, u2, u3, u4 and 2 other users is in test mode, and is kept in the local mailbox",
            ),
        ] {
            let users = (0..users).map(|at| format!("u{at}")).collect();
            let off = TestModeJson { users, action: action.to_owned(), ..mode(false, [0; 4]) };
            assert_eq!(describe(&off), format!("Test mode: off (set by command)\n  {want}"));
            assert_eq!(describe(&TestModeJson { action: "redirect".to_owned(), enabled: true, ..off }), on);
        }
    }
}
