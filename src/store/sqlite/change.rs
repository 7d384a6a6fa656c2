//! What people, and lanes that are up again, do to mail that waits. [`Poll::Pending`]: it is being sent.

use std::task::Poll;

use rusqlite::{Connection, OptionalExtension};

use super::listing;
use super::rows::{self, SENDING};
use super::settle::remove;
use super::writing::{QueuePlace, Writing};
use crate::mail::QueueId;
use crate::store::{Decisions, LaneName, MessageId, Summary};

/// Makes all that waits in a lane due.
pub(super) fn make_due(db: &Writing, lane: &LaneName) -> rusqlite::Result<()> {
    let now = db.now();
    db.turns().wake(lane, now);
    let sql = "UPDATE message SET due = ?2 WHERE route = ?1 AND state = 0 AND due > ?2";
    db.prepare_cached(sql)?.execute((lane.as_str(), now.0)).map(|_| ())
}

/// Makes a message due that waits. Tells where it stands; `None` when no such message waits.
pub(super) fn retry(db: &Writing, queue_id: &QueueId) -> rusqlite::Result<Poll<Option<LaneName>>> {
    let Some((id, state, _)) = find(db, queue_id)? else {
        return Ok(Poll::Ready(None));
    };
    if state == SENDING {
        return Ok(Poll::Pending);
    }
    let sql = "UPDATE message SET due = min(due, ?2) WHERE id = ?1 AND state = 0 \
               RETURNING route, priority, submitter, due, waiting";
    let place = db.prepare_cached(sql)?.query_row((id.0, db.now().0), QueuePlace::read).optional()?;
    if let Some(place) = &place {
        db.turns().waits(&place.lane, place.priority, &place.submitter, place.due);
    }
    Ok(Poll::Ready(place.map(|place| place.lane)))
}

/// Makes all waiting messages due.
pub(super) fn retry_all(db: &Writing) -> rusqlite::Result<u64> {
    let now = db.now();
    db.turns().wake_all(now);
    let sql = "UPDATE message SET due = min(due, ?1) WHERE state = 0";
    db.prepare_cached(sql)?.execute([now.0]).map(|changed| changed as u64)
}

/// Keeps a message until it is released; false when there is no such message.
pub(super) fn hold(db: &Writing, queue_id: &QueueId) -> rusqlite::Result<Poll<bool>> {
    let Some((id, state, _)) = find(db, queue_id)? else {
        return Ok(Poll::Ready(false));
    };
    if state == SENDING {
        return Ok(Poll::Pending);
    }
    leaves(db, id)?;
    db.prepare_cached("UPDATE message SET state = 2 WHERE id = ?1")?.execute([id.0])?;
    Ok(Poll::Ready(true))
}

/// Lets a held message go, under these decisions from now on.
pub(super) fn release(
    db: &Writing,
    queue_id: &QueueId,
    decisions: &Decisions,
) -> rusqlite::Result<Option<LaneName>> {
    let mut update = db.prepare_cached(
        "UPDATE message SET state = 0, due = ?2, decisions = ?3 WHERE queue_id = ?1 AND state = 2 \
         RETURNING route, priority, submitter, due, waiting",
    )?;
    let row = (queue_id.as_str(), db.now().0, decisions.to_text());
    let place = update.query_row(row, QueuePlace::read).optional()?;
    if let Some(place) = &place {
        db.enters(place);
    }
    Ok(place.map(|place| place.lane))
}

/// Deletes a message. Tells what it was, and whether its content is in a file; `None` when there is no such message.
pub(super) fn delete(db: &Writing, queue_id: &QueueId) -> rusqlite::Result<Poll<Option<(Summary, bool)>>> {
    let Some((id, state, in_file)) = find(db, queue_id)? else {
        return Ok(Poll::Ready(None));
    };
    if state == SENDING {
        return Ok(Poll::Pending);
    }
    let summary = listing::show(db, queue_id)?;
    leaves(db, id)?;
    let sql = "SELECT count(*) FROM recipient WHERE message = ?1 AND state = 0";
    let waiting: i64 = db.prepare_cached(sql)?.query_row([id.0], |row| row.get(0))?;
    rows::count(db, "deleted", waiting.unsigned_abs())?;
    remove(db, id)?;
    Ok(Poll::Ready(summary.map(|summary| (summary, in_file))))
}

/// A message that may be waiting is about to be no longer.
fn leaves(db: &Writing, id: MessageId) -> rusqlite::Result<()> {
    let sql = "SELECT route, priority, submitter, due, waiting FROM message WHERE id = ?1 AND state = 0";
    let place = db.prepare_cached(sql)?.query_row([id.0], QueuePlace::read).optional()?;
    if let Some(place) = place {
        db.leaves(place.lane, place.recipients);
    }
    Ok(())
}

fn find(db: &Connection, queue_id: &QueueId) -> rusqlite::Result<Option<(MessageId, i64, bool)>> {
    let mut select = db.prepare_cached("SELECT id, state, in_file FROM message WHERE queue_id = ?1")?;
    let row =
        select.query_row([queue_id.as_str()], |row| Ok((MessageId(row.get(0)?), row.get(1)?, row.get(2)?)));
    row.optional()
}
