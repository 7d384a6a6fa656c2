//! Until when we wait for the client: for a command, for the beginning of a content, for all of it.

use std::time::Duration;

use tokio::time::Instant;

use super::session::SessionDriver;
use crate::session::channel::Gone;
use crate::session::state::Dialogue;

/// What a client may take from MAIL to DATA or the first BDAT, beside what we and the upstream need to answer: twice the
/// time of one command (RFC 5321 4.5.3.2.7). An envelope holds memory that others need, and a session that is to end goes on
/// as long as there is one.
const ENVELOPE: Duration = Duration::from_mins(10);

impl<S> SessionDriver<'_, S> {
    /// Begins the client's time for an envelope where there is a new one, and ends it with the envelope: a content that
    /// comes has a time of its own.
    pub(super) fn note_envelope(&mut self, dialogue: &Dialogue) {
        let is_open = dialogue.in_transaction() && !dialogue.in_chunks();
        // No less than one command may take.
        let most = ENVELOPE.max(self.services.config.session.command_timeout);
        self.content_due = is_open.then(|| self.content_due.unwrap_or_else(|| Instant::now() + most));
    }

    /// Gives the client time for its envelope that others have taken.
    pub(super) fn put_content_off(&mut self, by: Duration) {
        self.content_due = self.content_due.map(|due| due + by);
    }

    /// When a wait for the client ends that by itself may last so long.
    pub(super) fn deadline(&self, most: Duration) -> Instant {
        let whole = self.chunks.as_ref().map(|incoming| incoming.deadline).or(self.content_due);
        whole.into_iter().fold(Instant::now() + most, Instant::min)
    }

    /// Whether the time is over in which the content had to begin.
    pub(super) fn content_is_late(&self) -> bool {
        self.content_due.is_some_and(|due| due <= Instant::now())
    }

    /// Why a client must go that was waited for until the [deadline](Self::deadline).
    pub(super) fn too_slow(&self) -> Gone {
        if self.content_is_late() { Gone::NoContent } else { Gone::Timeout }
    }
}
