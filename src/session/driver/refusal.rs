//! What the log says of refusals: no MAIL, RCPT or content is refused without a line. (BDAT out of order: `chunks`.)

use super::session::{Flow, RefusalCause, SessionDriver};
use crate::session::channel::Gone;
use crate::session::state::Dialogue;
use crate::smtp::Reply;
use crate::smtp::command::{About, Command, CommandError, Forward, IgnoredParameter};
use crate::smtp::line::LineError;

/// A line that is not obeyed.
pub(super) struct FaultyLine {
    /// What the client is told.
    pub(super) reply: Reply,
    reason: &'static str,
    /// Whom it was about.
    pub(super) about: Option<About>,
}

impl FaultyLine {
    /// A line that is no command.
    pub(super) fn command(error: &CommandError, line: &[u8]) -> Self {
        Self { reply: error.reply(), reason: error.reason(), about: About::read(line) }
    }

    /// A line that is none.
    pub(super) fn line(error: LineError, line: &[u8]) -> Self {
        Self { reply: error.reply(), reason: "syntax", about: About::read(line) }
    }
}

/// Whom a command is about, for the case that it is refused.
pub(super) fn about(command: &Command) -> Option<About> {
    match command {
        Command::Mail(mail) => Some(About::Sender(mail.reverse_path.to_string())),
        Command::Rcpt(rcpt) => Some(About::Recipient(match &rcpt.forward {
            Forward::Address(address) => address.to_string(),
            Forward::Postmaster => "postmaster".to_owned(),
        })),
        _ => None,
    }
}

/// The word in the log for a MAIL or RCPT that the dialogue itself refuses.
fn word(reply: &Reply) -> &'static str {
    match reply.code {
        452 => "too_many_recipients",
        530 => "auth",
        552 => "size",
        553 => "smtputf8",
        _ => "syntax",
    }
}

impl<S> SessionDriver<'_, S> {
    /// Logs a line that is no command, where it was about a message or came from a browser.
    pub(super) fn log_faulty_line(&self, dialogue: &Dialogue, line: &FaultyLine) {
        let (from, to) = match &line.about {
            Some(About::Sender(path)) => (path.as_str(), ""),
            Some(About::Recipient(path)) => (self.reverse_path(dialogue), path.as_str()),
            None if line.reply.code == 421 => (self.reverse_path(dialogue), ""),
            None => return,
        };
        self.reject(from, to, &line.reply, line.reason);
    }

    /// Logs a parameter that the mail goes on without.
    pub(super) fn log_ignored(&self, command: &Command) {
        let ignored = match command {
            Command::Mail(mail) => &mail.ignored,
            Command::Rcpt(rcpt) => &rcpt.ignored,
            _ => return,
        };
        let Some(IgnoredParameter { name, value }) = ignored else { return };
        tracing::info!(
            event = "parameter_ignored",
            session = self.peer.session_id,
            client = %self.peer.ip,
            listener = %self.peer.listener.address,
            parameter = name,
            value,
        );
    }

    /// Logs a MAIL or RCPT that the dialogue itself refuses; not when it was merely out of order.
    pub(super) fn log_refused(&self, dialogue: &Dialogue, about: &About, reply: &Reply) {
        if reply.code == 503 {
            return;
        }
        let (from, to) = match about {
            About::Sender(path) => (path.as_str(), ""),
            About::Recipient(path) => (self.reverse_path(dialogue), path.as_str()),
        };
        self.reject(from, to, reply, word(reply));
    }

    /// Logs that a message was under way when the session was broken off.
    pub(super) fn log_aborted(&self, end: &Result<Flow, Gone>, last: Option<&Reply>) {
        let Some(from) = &self.under_way else { return };
        let reason = match end {
            Ok(Flow::Hang) => "errors",
            Err(Gone::Timeout | Gone::NoContent | Gone::Stuck) => "timeout",
            Err(Gone::Closed | Gone::Io(_)) => "disconnected",
            // Where TLS begins no message is under way, a stop waits for messages, and QUIT is no accident.
            Ok(Flow::On | Flow::Quit) | Err(Gone::Tls(_) | Gone::Stopping) => return,
        };
        self.log_rejected(from, "", last, RefusalCause::new(reason));
    }
}
