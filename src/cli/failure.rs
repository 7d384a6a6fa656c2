//! How a command ends when it was not done.

use std::io;
use std::process::ExitCode;

use crate::config::Faults;
use crate::report::log::escape::printable;

/// Why a command was not done.
#[derive(Debug)]
pub(super) enum Failure {
    /// It failed, or there is nothing by that name: exit status 1.
    Failed(anyhow::Error),
    /// It failed, and what there was to say has been said: exit status 1.
    Told,
    /// The configuration is wrong, a fault per line: exit status 2.
    Configuration(String),
    /// Nobody reads our output any more: that is their affair, exit status 0.
    Unread,
}

impl Failure {
    /// A failure in words for a person.
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self::Failed(anyhow::Error::msg(text.into()))
    }

    /// Says on stderr what there is to say.
    pub(super) fn report(self) -> ExitCode {
        match self {
            Self::Failed(error) => {
                complain(&format!("mailsluice: {error:#}"));
                ExitCode::from(1)
            }
            Self::Told => ExitCode::from(1),
            Self::Configuration(faults) => {
                complain(&faults);
                ExitCode::from(2)
            }
            Self::Unread => ExitCode::SUCCESS,
        }
    }
}

/// Writes lines to stderr, harmless for a terminal. When that can't be written either, nothing is left to do.
pub(super) fn complain(text: &str) {
    use std::io::Write as _;
    let mut stderr = io::stderr().lock();
    for line in text.lines() {
        let _ = writeln!(stderr, "{}", printable(line));
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
