//! Asks a person at the terminal.

use std::io::{self, IsTerminal as _, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use secrecy::{ExposeSecret as _, SecretString};

use super::client::runtime;
use super::failure::{Failure, complain};
use super::interrupt::{Typed, typed_line, unless_interrupted};
use crate::report::log::escape::printable;

/// How often a question is asked again when its answer is no good.
const MOST_TRIES: usize = 10;
/// A person has pressed Ctrl-C.
const GIVEN_UP: &str = "given up";
/// A person has pressed Ctrl-D.
const NO_ANSWER: &str = "given up: there was no answer";

/// Shows a prompt, and takes the line that is typed behind it.
type AskOnce<'a> = dyn FnMut(&mut dyn Write, &str) -> Result<String, Failure> + 'a;

/// A person who can be asked: questions go to stderr, so that stdout has results alone.
///
/// Who presses Ctrl-C or Ctrl-D gives up, which is a failure of the command.
pub(super) struct TerminalDialogue<'a> {
    output: Box<dyn Write + 'a>,
    ask_once: Box<AskOnce<'a>>,
    /// Asks for what nobody is to see.
    hidden: fn(&str) -> Result<SecretString, Failure>,
}

impl TerminalDialogue<'static> {
    /// The terminal of this process; `None` when nobody sits there.
    pub(super) fn here() -> Option<Self> {
        let is_here = io::stdin().is_terminal() && io::stderr().is_terminal();
        is_here.then(|| Self {
            output: Box::new(io::stderr()),
            ask_once: Box::new(|output, prompt| runtime()?.block_on(answer(output, prompt))),
            hidden,
        })
    }
}

#[cfg(test)]
impl<'a> TerminalDialogue<'a> {
    /// Over anything that gives lines and takes questions; it has no secrets.
    pub(super) fn over(mut input: impl std::io::BufRead + 'a, output: impl Write + 'a) -> Self {
        let ask_once = move |output: &mut dyn Write, prompt: &str| {
            write!(output, "{prompt}")?;
            super::interrupt::read_line(&mut input)?.ok_or_else(|| Failure::new(NO_ANSWER))
        };
        let hidden = |_: &str| Err(Failure::new("nothing is hidden here"));
        Self { output: Box::new(output), ask_once: Box::new(ask_once), hidden }
    }
}

impl TerminalDialogue<'_> {
    /// Says something, in lines.
    pub(super) fn say(&mut self, text: &str) -> Result<(), Failure> {
        for line in text.lines() {
            writeln!(self.output, "{}", printable(line))?;
        }
        Ok(self.output.flush()?)
    }

    /// Asks until `parse` makes something of the answer, or says what is wrong with it. An empty answer is `usual`.
    pub(super) fn ask<T>(
        &mut self,
        question: &str,
        usual: Option<&str>,
        mut parse: impl FnMut(&str) -> Result<T, String>,
    ) -> Result<T, Failure> {
        let usual_words = usual.map_or_else(String::new, |usual| format!(" [{usual}]"));
        let prompt = printable(&format!("{question}{usual_words}: "));
        for _ in 0..MOST_TRIES {
            let line = (self.ask_once)(&mut self.output, &prompt)?;
            let answer = if line.is_empty() { usual.unwrap_or_default() } else { &line };
            match parse(answer) {
                Ok(value) => return Ok(value),
                Err(why) => self.say(&why)?,
            }
        }
        Err(Failure::new("given up: no answer was of use"))
    }

    /// Asks a question that is answered by yes or no.
    pub(super) fn confirm(&mut self, question: &str, usual: bool) -> Result<bool, Failure> {
        let usual = if usual { "yes" } else { "no" };
        self.ask(question, Some(usual), |answer| match answer.to_lowercase().as_str() {
            "y" | "yes" => Ok(true),
            "n" | "no" => Ok(false),
            _ => Err("Answer yes or no.".to_owned()),
        })
    }

    /// Asks for a secret, without echo.
    pub(super) fn secret(&mut self, what: &str) -> Result<SecretString, Failure> {
        for _ in 0..MOST_TRIES {
            let typed = (self.hidden)(&format!("{what} (is not shown): "))?;
            if !typed.expose_secret().is_empty() && !typed.expose_secret().contains('\0') {
                return Ok(typed);
            }
            self.say("It can't be empty.")?;
        }
        Err(Failure::new("given up: no answer was of use"))
    }
}

/// Shows a prompt, and waits for the line that is typed behind it.
async fn answer(output: &mut dyn Write, prompt: &str) -> Result<String, Failure> {
    let asked = async {
        write!(output, "{prompt}")?;
        output.flush()?;
        match typed_line(None).await? {
            Typed::Line(line) => Ok(line),
            Typed::Nothing | Typed::TooLate => {
                // What comes next is not to stand behind the question.
                writeln!(output)?;
                Err(Failure::new(NO_ANSWER))
            }
        }
    };
    unless_interrupted(asked).await.unwrap_or_else(|| Err(Failure::new(GIVEN_UP)))
}

/// Asks at the terminal for what nobody is to see.
pub(super) fn hidden(prompt: &str) -> Result<SecretString, Failure> {
    let typed = {
        // A key that is pressed as soon as the prompt is there must not be seen, either, nor act otherwise.
        let _hiding = HiddenKeys::begin();
        // Ctrl-C comes as a signal, too, which must not end the process before the terminal is as it was.
        let asked = unless_interrupted(async { rpassword::prompt_password(prompt) });
        runtime()?.block_on(asked).unwrap_or_else(|| Err(io::ErrorKind::Interrupted.into()))
    };
    typed.map(SecretString::from).map_err(|error| match error.kind() {
        io::ErrorKind::Interrupted => Failure::new(GIVEN_UP),
        io::ErrorKind::UnexpectedEof => {
            complain("\n");
            Failure::new(NO_ANSWER)
        }
        _ => Failure::Failed(anyhow::Error::new(error).context("cannot read a secret from the terminal")),
    })
}

/// The terminal shows no key, and hands each over as it is pressed, for as long as this lives.
struct HiddenKeys(Option<Termios>);

impl HiddenKeys {
    fn begin() -> Self {
        let before = tcgetattr(io::stdin()).ok();
        if let Some(mut modes) = before.clone() {
            let shown = LocalModes::ECHO | LocalModes::ECHONL;
            modes.local_modes.remove(shown | LocalModes::ICANON | LocalModes::ISIG);
            // Whoever reads the secret tries this again, and tells when it can't be done.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &modes);
        }
        Self(before)
    }
}

impl Drop for HiddenKeys {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_until_the_answer_is_good() {
        let mut said = Vec::new();
        let number = |text: &str| text.parse::<u8>().map_err(|_| "Write a number.".to_owned());
        for (typed, want) in [("x\n7\n", Some(7)), ("\n", Some(5)), ("x\n", None), ("", None)] {
            said.clear();
            let mut dialogue = TerminalDialogue::over(typed.as_bytes(), &mut said);
            assert_eq!(dialogue.ask("How many", Some("5"), number).ok(), want, "{typed:?}");
        }
        let wrong = "x\n".repeat(100);
        let mut dialogue = TerminalDialogue::over(wrong.as_bytes(), &mut said);
        assert!(dialogue.ask("How many", None, number).is_err());
        drop(dialogue);
        assert_eq!(String::from_utf8(said).unwrap().matches("Write a number.").count(), MOST_TRIES);
    }
}
