//! A message leaves the queue, with all that belongs to it.

use rusqlite::{OptionalExtension, Row};

use super::ends::EndedMessage;
use super::writing::Writing;
use super::{contents, kept_contents, rows};
use crate::config::TestAction;
use crate::mail::QueueId;
use crate::store::{LaneName, MessageId, StoredLabel};

/// Why a message leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaving {
    /// Nobody waits for it any more.
    Settled,
    /// A person has deleted it: nothing of its content is kept.
    Deleted,
}

/// What the history tells of a message in the queue.
#[derive(Debug)]
pub(super) struct MessageFacts {
    queue_id: QueueId,
    label: StoredLabel,
    reverse_path: String,
    test: Option<TestAction>,
    size: u64,
    accepted_wall: i64,
}

/// A message that was removed.
#[derive(Debug)]
pub(super) struct Removed {
    pub(super) facts: MessageFacts,
    /// Where it stood.
    pub(super) lane: LaneName,
    /// The content file that it had, which is to go when this has been committed. It is noted.
    pub(super) file: Option<QueueId>,
}

impl MessageFacts {
    /// Those of a message that stays.
    pub(super) fn of(db: &Writing, id: MessageId) -> rusqlite::Result<Self> {
        let sql = "SELECT queue_id, message_id, subject, reverse_path, decisions, size, accepted_wall FROM message WHERE id = ?1";
        db.prepare_cached(sql)?.query_row([id.0], |row| Self::read(row, 0))
    }

    /// Reads the columns `queue_id, message_id, subject, reverse_path, decisions, size, accepted_wall`, which follow each other.
    fn read(row: &Row<'_>, column: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            queue_id: rows::queue_id(row, column)?,
            label: StoredLabel { message_id: row.get(column + 1)?, subject: row.get(column + 2)? },
            reverse_path: row.get(column + 3)?,
            // What can't be read was held, and never went to anybody.
            test: rows::decisions(row, column + 4).ok().and_then(|all| all.test).map(|test| test.action),
            size: row.get::<_, i64>(column + 5)?.unsigned_abs(),
            accepted_wall: row.get(column + 6)?,
        })
    }

    /// The same of a recipient that has ended there.
    pub(super) fn ended<'a>(&'a self, upstream: &'a str) -> EndedMessage<'a> {
        EndedMessage {
            queue_id: self.queue_id.as_str(),
            message_id: self.label.message_id.as_deref(),
            subject: self.label.subject.as_deref(),
            reverse_path: &self.reverse_path,
            upstream,
            test: self.test,
            size: self.size,
            accepted_wall: self.accepted_wall,
        }
    }
}

/// Removes a message with all that belongs to it; its content is kept where that is wanted. `None` when there is no such message.
pub(super) fn remove(db: &Writing, id: MessageId, leaving: Leaving) -> rusqlite::Result<Option<Removed>> {
    if leaving == Leaving::Settled {
        kept_contents::keep(db, id)?;
    }
    // Read, then deleted: a DELETE with RETURNING would keep a copy of each page that it changes, for it is a trigger to SQLite.
    let mut found = db.prepare_cached(
        "SELECT in_file, route, queue_id, message_id, subject, reverse_path, decisions, size, accepted_wall \
         FROM message WHERE id = ?1",
    )?;
    let read = |row: &Row<'_>| Ok((row.get(0)?, rows::lane(row, 1)?, MessageFacts::read(row, 2)?));
    let removed: Option<(bool, LaneName, MessageFacts)> = found.query_row([id.0], read).optional()?;
    db.prepare_cached("DELETE FROM message WHERE id = ?1")?.execute([id.0])?;
    db.prepare_cached("DELETE FROM recipient WHERE message = ?1")?.execute([id.0])?;
    let Some((in_file, lane, facts)) = removed else { return Ok(None) };
    let mut file = None;
    if !in_file {
        db.prepare_cached("DELETE FROM content WHERE message = ?1")?.execute([id.0])?;
    } else if !kept_contents::has_file(db, &facts.queue_id)? {
        contents::note_gone(db, &facts.queue_id)?;
        file = Some(facts.queue_id.clone());
    }
    Ok(Some(Removed { facts, lane, file }))
}
