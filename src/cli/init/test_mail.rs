//! A test mail by the configuration that was just written.

use super::super::context::CliContext;
use super::super::failure::{Failure, complain};
use super::super::own_relay::OwnRelay;
use super::super::send::{self, Afterwards, SendOptions};
use super::super::shell::command;
use super::answers::Answers;
use crate::mail::Address;

/// Sends it as `mailsluice send` does, by the relay that runs there, or else by one that runs for this mail alone.
pub(super) fn send(to: &Address, answers: &Answers, context: &CliContext) -> Result<(), Failure> {
    let options = SendOptions::to_one(to.clone(), answers.provider.name());
    let not_sent = |failure: Failure| failure.and_so("no test mail was sent");
    if context.client()?.finds_relay().map_err(not_sent)? {
        return send::send(&options, context, &Afterwards::Running);
    }
    complain("The relay runs for this mail alone, and then stops. Ctrl-C stops it at once.");
    let relay = OwnRelay::start(context).map_err(not_sent)?;
    let run = command("run", context);
    let sent = send::send(&options, context, &Afterwards::Stopped { run });
    sent.and(relay.stop())
}
