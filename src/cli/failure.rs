//! How a command ends when it was not done.

use std::io;
use std::process::ExitCode;

use super::viewer::terminal_width;
use super::wrapping::wrapped;
use crate::config::Faults;
use crate::report::log::escape::printable;

/// Why a command was not done.
#[derive(Debug)]
pub(super) enum Failure {
    /// The command failed, or there is nothing by that name: exit status 1.
    Failed(anyhow::Error),
    /// The command was wrong, and nothing was done: exit status 2.
    Wrong(String),
    /// The command failed, and what there was to say has been said: exit status 1.
    Told,
    /// The configuration is wrong, a fault per line: exit status 2.
    Configuration(String),
    /// The configuration is wrong, and that has been said: exit status 2.
    ConfigurationTold,
    /// Nobody reads our output any more: that is their affair, exit status 0.
    Unread,
}

impl Failure {
    /// A failure in words for a person.
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self::Failed(anyhow::Error::msg(text.into()))
    }

    /// The same, and what it means for what was to be done.
    pub(super) fn and_so(self, effect: &str) -> Self {
        match self {
            Self::Failed(error) => Self::new(format!("{}; {effect}", told(&error))),
            other => other,
        }
    }

    /// What there is to say, for who tells it elsewhere.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Failed(error) => told(error),
            Self::Wrong(what) | Self::Configuration(what) => what.clone(),
            Self::Told | Self::ConfigurationTold | Self::Unread => "the reason was told above".to_owned(),
        }
    }

    /// Says on stderr what there is to say.
    pub(super) fn report(self) -> ExitCode {
        match self {
            Self::Failed(error) => {
                complain(&format!("mailsluice: {}", told(&error)));
                ExitCode::from(1)
            }
            Self::Told => ExitCode::from(1),
            Self::Wrong(what) => {
                complain(&format!("mailsluice: {what}"));
                ExitCode::from(2)
            }
            Self::ConfigurationTold => ExitCode::from(2),
            Self::Configuration(faults) => {
                complain(&faults);
                ExitCode::from(2)
            }
            Self::Unread => ExitCode::SUCCESS,
        }
    }
}

/// What happened and why, each once: many an error says its cause itself.
fn told(error: &anyhow::Error) -> String {
    error.chain().skip(1).fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}

/// Says on stderr what a person should look at.
pub(super) fn warn(warnings: &[impl std::fmt::Display]) {
    for warning in warnings {
        complain(&format!("warning: {warning}"));
    }
}

/// Writes lines to stderr, harmless for a terminal. When that can't be written either, nothing is left to do.
pub(super) fn complain(text: &str) {
    use std::io::Write as _;
    let width = terminal_width(&io::stderr());
    let mut stderr = io::stderr().lock();
    for line in text.lines().map(printable) {
        let lines = width.map_or_else(|| vec![line.clone()], |width| wrapped(&line, width));
        let _ = writeln!(stderr, "{}", lines.join("\n"));
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::Unread
        } else {
            Self::Failed(anyhow::Error::new(error).context("cannot write the output"))
        }
    }
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        Self::Configuration(faults.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listen::ListenError;
    use crate::relay::RelayError;
    use crate::store::StoreError;

    #[test]
    fn says_each_cause_once() {
        let taken = || io::Error::other("the port is taken");
        let listen =
            RelayError::Listen(ListenError { address: "127.0.0.1:25".parse().unwrap(), reason: taken() });
        let file = StoreError::File { path: "/x/lock".into(), source: taken() };
        for error in [anyhow::Error::new(listen), anyhow::Error::new(RelayError::Store(file))] {
            assert_eq!(told(&error).matches("the port is taken").count(), 1, "{}", told(&error));
        }
        assert_eq!(
            told(&anyhow::Error::new(taken()).context("cannot write")),
            "cannot write: the port is taken"
        );
    }
}
