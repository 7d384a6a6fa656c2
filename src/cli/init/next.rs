//! What to do when the configuration is there.

use std::fmt::Write as _;
use std::path::Path;

use super::super::connect;
use super::super::context::CliContext;
use super::super::dialogue::TerminalDialogue;
use super::super::failure::Failure;
use super::answers::{Answers, SignInAnswers, Way};
use crate::report::log::escape::printable;

/// The commands that follow, with what they do.
pub(super) fn steps(answers: &Answers, file: &Path, context: &CliContext) -> String {
    let file = printable(&file.display().to_string());
    let mut text = format!("{file} is written, and `mailsluice check` accepts it. Next:\n");
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

/// A command that reads the same configuration.
fn command(words: &str, context: &CliContext) -> String {
    let file = context.config.as_deref().map(|file| format!(" --config {}", shell_word(file)));
    format!("mailsluice {words}{}", file.unwrap_or_default())
}

/// Offers to sign in at once, where that can be done.
pub(super) fn offer(
    answers: &Answers,
    context: &CliContext,
    dialogue: &mut TerminalDialogue<'_>,
) -> Result<(), Failure> {
    if answers.sign_in().is_none_or(|sign_in| !sign_in.has_client_id()) {
        return Ok(());
    }
    if dialogue.confirm("Sign in now?", true)? {
        connect::sign_in(&answers.provider.name(), context)?;
    }
    Ok(())
}

/// A path as a person types it into a shell.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+@%".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", printable(&text).replace('\'', r"'\''")) }
}
