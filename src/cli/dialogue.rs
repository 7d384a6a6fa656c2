//! Asks a person at the terminal.

use std::io::{self, BufRead, IsTerminal as _, Write};

use secrecy::SecretString;

use super::failure::Failure;
use crate::report::log::escape::printable;

/// How often a question is asked again when its answer is no good.
const MOST_TRIES: usize = 10;
/// The longest answer, in octets; a redirected address with its code may be long.
const LONGEST: u64 = 64 * 1024;

/// A person who can be asked: questions go to stderr, so that stdout has results alone.
pub(super) struct TerminalDialogue<'a> {
    input: Box<dyn BufRead + 'a>,
    output: Box<dyn Write + 'a>,
    /// Asks for what nobody is to see.
    hidden: fn(&str) -> io::Result<String>,
}

impl TerminalDialogue<'static> {
    /// The terminal of this process; `None` when nobody sits there.
    pub(super) fn here() -> Option<Self> {
        let is_here = io::stdin().is_terminal() && io::stderr().is_terminal();
        is_here.then(|| {
            Self::over(io::stdin().lock(), io::stderr(), |prompt| rpassword::prompt_password(prompt))
        })
    }
}

impl<'a> TerminalDialogue<'a> {
    /// Over anything that gives lines and takes questions.
    pub(super) fn over(
        input: impl BufRead + 'a,
        output: impl Write + 'a,
        hidden: fn(&str) -> io::Result<String>,
    ) -> Self {
        Self { input: Box::new(input), output: Box::new(output), hidden }
    }

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
            write!(self.output, "{prompt}")?;
            self.output.flush()?;
            let line = self.line()?;
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
            let typed = (self.hidden)(&format!("{what} (is not shown): "));
            let typed = typed.map_err(|error| {
                Failure::Failed(anyhow::Error::new(error).context("cannot read a secret from the terminal"))
            })?;
            if !typed.is_empty() && !typed.contains('\0') {
                return Ok(typed.into());
            }
            self.say("It can't be empty.")?;
        }
        Err(Failure::new("given up: no answer was of use"))
    }

    /// The next line, without the white space around it.
    fn line(&mut self) -> Result<String, Failure> {
        let line = read_line(&mut self.input)
            .map_err(|error| Failure::Failed(anyhow::Error::new(error).context("cannot read the answer")))?;
        line.ok_or_else(|| Failure::new("given up: there was no answer"))
    }
}

/// The next line of an input, without the white space around it; `None` at its end.
pub(super) fn read_line(input: impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let read = input.take(LONGEST).read_until(b'\n', &mut line)?;
    Ok((read > 0).then(|| String::from_utf8_lossy(&line).trim().to_owned()))
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
            let mut dialogue = TerminalDialogue::over(typed.as_bytes(), &mut said, |_| unreachable!());
            assert_eq!(dialogue.ask("How many", Some("5"), number).ok(), want, "{typed:?}");
        }
        let wrong = "x\n".repeat(100);
        let mut dialogue = TerminalDialogue::over(wrong.as_bytes(), &mut said, |_| unreachable!());
        assert!(dialogue.ask("How many", None, number).is_err());
        drop(dialogue);
        assert_eq!(String::from_utf8(said).unwrap().matches("Write a number.").count(), MOST_TRIES);
    }
}
