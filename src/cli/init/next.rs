//! What to do when the configuration is there.

use std::fmt::Write as _;

use super::super::connect;
use super::super::context::CliContext;
use super::super::dialogue::TerminalDialogue;
use super::super::failure::Failure;
use super::super::shell::command;
use super::answers::{Answers, SignInAnswers};
use super::test_mail;
use super::way::Way;
use crate::mail::Address;

/// The commands that follow, with what they do.
pub(super) fn steps(answers: &Answers, context: &CliContext) -> String {
    let mut text = "Next:\n".to_owned();
    let name = answers.provider.name();
    let mut steps = Vec::new();
    if let Some(sign_in) = answers.sign_in() {
        if !sign_in.has_client_id() {
            let why = "how to register the application; write its client id into the file";
            steps.push((format!("connect {name} --script"), why));
        }
        steps.push((format!("connect {name}"), connects(sign_in)));
    }
    steps.push(("run".to_owned(), "starts the relay, in the foreground"));
    steps.push((send(answers), "sends a test mail, while the relay runs"));
    let commands: Vec<String> = steps.iter().map(|(words, _)| command(words, context)).collect();
    let width = commands.iter().map(String::len).max().unwrap_or_default();
    for (command, (_, why)) in commands.iter().zip(&steps) {
        let _ = writeln!(text, "  {command:width$}  {why}");
    }
    text
}

fn connects(sign_in: &SignInAnswers) -> &'static str {
    match sign_in.way {
        Way::ClientCredentials => "tries whether the application gets a token",
        _ => "a person signs in, once",
    }
}

fn send(answers: &Answers) -> String {
    format!("send --to {}", if answers.user.contains('@') { &answers.user } else { "ADDRESS" })
}

/// Offers to sign in and to send a test mail, where that can be done; with nobody to ask, does what was said.
pub(super) fn offer(
    answers: &Answers,
    test_mail: Option<&Address>,
    context: &CliContext,
    mut dialogue: Option<&mut TerminalDialogue<'_>>,
) -> Result<(), Failure> {
    let can_send = match (answers.sign_in(), dialogue.as_deref_mut()) {
        (None, _) => true,
        (Some(sign_in), _) if !sign_in.has_client_id() => false,
        (Some(sign_in), None) => !sign_in.needs_person(),
        (Some(sign_in), Some(dialogue)) => {
            let needs_person = sign_in.needs_person();
            let question =
                if needs_person { "Sign in now?" } else { "Try now whether the application gets a token?" };
            let is_wanted = dialogue.confirm(question, true).map_err(after_writing)?;
            if is_wanted {
                connect::sign_in(&answers.provider.name(), context)?;
            }
            is_wanted || !needs_person
        }
    };
    match (test_mail, dialogue) {
        (Some(_), _) if !can_send => Err(Failure::new("no test mail was sent: nobody has signed in")),
        (Some(to), _) => test_mail::send(to, answers, context),
        (None, Some(dialogue)) if can_send => match recipient(answers, dialogue).map_err(after_writing)? {
            Some(to) => test_mail::send(&to, answers, context),
            None => Ok(()),
        },
        (None, _) => Ok(()),
    }
}

/// To whom a test mail is to go, if one is wanted; the mailbox itself is the usual recipient.
fn recipient(answers: &Answers, dialogue: &mut TerminalDialogue<'_>) -> Result<Option<Address>, Failure> {
    if !dialogue.confirm("Send a test mail now?", true)? {
        return Ok(None);
    }
    let own = Address::parse(&answers.user).ok().map(|_| answers.user.as_str());
    let parse = |text: &str| Address::parse(text).map_err(|error| error.to_string());
    dialogue.ask("To which address", own, parse).map(Some)
}

fn after_writing(failure: Failure) -> Failure {
    failure.and_so("the configuration is written, and stays")
}
