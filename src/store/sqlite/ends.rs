//! A recipient has ended: it is counted, and noted in the history. Whatever ends one says so here, in its own transaction, so that
//! the totals and the history tell the same.

use super::rows;
use super::writing::Writing;
use crate::config::TestAction;
use crate::mail::Address;
use crate::store::{LONGEST_KEPT_REPLY, NewMessage, PassedMessage, RecipientEnd};

/// What is noted of recipients that were dropped when they were accepted.
const LISTED: &str = "on the blacklist";

/// What is known of the message of a recipient that has ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct EndedMessage<'a> {
    pub(super) queue_id: &'a str,
    pub(super) message_id: Option<&'a str>,
    pub(super) subject: Option<&'a str>,
    pub(super) reverse_path: &'a str,
    /// By which it went, or would have gone.
    pub(super) upstream: &'a str,
    pub(super) test: Option<TestAction>,
    pub(super) size: u64,
    pub(super) accepted_wall: i64,
}

/// A recipient that has ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct EndedRecipient<'a> {
    pub(super) address: &'a str,
    pub(super) end: RecipientEnd,
    pub(super) reply: &'a str,
    pub(super) attempts: u32,
}

impl<'a> EndedRecipient<'a> {
    /// One that was accepted and gets nothing.
    pub(super) fn dropped(address: &'a Address) -> Self {
        Self { address: address.as_str(), end: RecipientEnd::Dropped, reply: LISTED, attempts: 0 }
    }
}

impl<'a> EndedMessage<'a> {
    /// One that is being accepted.
    pub(super) fn new(message: &'a NewMessage, accepted_wall: i64) -> Self {
        Self {
            queue_id: message.queue_id.as_str(),
            message_id: message.label.message_id.as_deref(),
            subject: message.label.subject.as_deref(),
            reverse_path: message.reverse_path.as_str(),
            upstream: message.lane.upstream(),
            test: message.decisions.test.as_ref().map(|test| test.action),
            size: message.content.len(),
            accepted_wall,
        }
    }

    /// One that has gone through while its client waited.
    pub(super) fn passed(passed: &'a PassedMessage, upstream: &'a str) -> Self {
        let PassedMessage { message, label, .. } = passed;
        Self {
            queue_id: message.queue_id.as_str(),
            message_id: label.message_id.as_deref(),
            subject: label.subject.as_deref(),
            reverse_path: message.reverse_path.as_str(),
            upstream,
            test: message.decisions.test.as_ref().map(|test| test.action),
            size: message.size,
            accepted_wall: message.accepted_wall,
        }
    }

    /// Counts a recipient as ended, and notes it.
    pub(super) fn note(&self, db: &Writing, recipient: &EndedRecipient<'_>) -> rusqlite::Result<()> {
        let EndedRecipient { address, end, reply, attempts } = *recipient;
        db.count(end.name(), 1);
        let Some(id) = db.history().next_row() else { return Ok(()) };
        let mut insert = db.prepare_cached(
            "INSERT INTO history (id, at, at_wall, queue_id, message_id, subject, reverse_path, address, state, upstream, reply, \
             test, attempts, size, accepted_wall) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        )?;
        insert.execute(rusqlite::params![
            id,
            db.now().0,
            db.wall(),
            self.queue_id,
            self.message_id,
            self.subject,
            self.reverse_path,
            address,
            rows::end_number(end),
            self.upstream,
            beginning(reply),
            self.test.map(rows::test_number),
            attempts,
            self.size as i64,
            self.accepted_wall,
        ])?;
        Ok(())
    }
}

/// As much of a reply as is kept.
fn beginning(reply: &str) -> &str {
    &reply[..reply.floor_char_boundary(LONGEST_KEPT_REPLY)]
}
