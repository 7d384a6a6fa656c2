//! What is said in a session, line by line, for the log at level `trace`: without logins and contents.

use tokio::io::{AsyncRead, AsyncWrite};
use tracing::Level;

use super::session::SessionDriver;
use crate::smtp::{Reply, shown};

/// A line of the client, if anybody wants to see it.
pub(super) fn heard(line: &[u8]) -> Option<String> {
    tracing::event_enabled!(Level::TRACE).then(|| shown::command_line(line))
}

impl<S: AsyncRead + AsyncWrite + Unpin> SessionDriver<'_, S> {
    /// Queues a reply.
    pub(super) fn say(&mut self, reply: &Reply) {
        if tracing::event_enabled!(Level::TRACE) {
            shown::reply_lines(reply, false).for_each(|line| self.log_line("server", &line));
        }
        self.channel.say(reply);
    }

    /// Logs what the client has said.
    pub(super) fn log_heard(&self, line: Option<String>) {
        if let Some(line) = line {
            self.log_line("client", &line);
        }
    }

    fn log_line(&self, speaker: &str, text: &str) {
        let session = &self.peer.session_id;
        tracing::trace!(event = "session_line", session, speaker, text);
    }
}
