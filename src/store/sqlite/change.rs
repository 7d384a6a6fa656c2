//! What people do to mail that waits. [`Poll::Pending`]: it is being sent.

use std::ops::RangeInclusive;
use std::task::Poll;

use rusqlite::{Connection, OptionalExtension};

use super::rows::{self, HELD, SENDING};
use super::settle::remove;
use super::writing::{QueuePlace, Writing};
use super::{contents, listing};
use crate::mail::QueueId;
use crate::store::{Decisions, LaneName, MOST_DOUBTS, MessageId, MessageRelease, Summary};

/// Makes a message due that waits. Tells where it stands; `None` when no such message waits.
pub(super) fn retry(db: &Writing, queue_id: &QueueId) -> rusqlite::Result<Poll<Option<LaneName>>> {
    let Some((id, state, _)) = find(db, queue_id)? else {
        return Ok(Poll::Ready(None));
    };
    if state == SENDING {
        return Ok(Poll::Pending);
    }
    let sql = "UPDATE message SET due = min(due, ?2) WHERE id = ?1 AND state = 0 \
               RETURNING route, priority, submitter, due, waiting, size";
    let place = db.prepare_cached(sql)?.query_row((id.0, db.now().0), QueuePlace::read).optional()?;
    if let Some(place) = &place {
        wanted(db, id.0..=id.0)?;
        db.turns().waits(&place.lane, place.priority, &place.submitter, place.due);
    }
    Ok(Poll::Ready(place.map(|place| place.lane)))
}

/// Makes all waiting messages due.
pub(super) fn retry_all(db: &Writing) -> rusqlite::Result<u64> {
    let now = db.now();
    db.turns().wake_all(now);
    wanted(db, i64::MIN..=i64::MAX)?;
    let sql = "UPDATE message SET due = min(due, ?1) WHERE state = 0";
    db.prepare_cached(sql)?.execute([now.0]).map(|changed| changed as u64)
}

/// A person wants what waits of these messages to go now: what was in doubt too often, once more.
fn wanted(db: &Writing, messages: RangeInclusive<i64>) -> rusqlite::Result<()> {
    let sql = "UPDATE recipient SET due = min(due, ?3), doubts = min(doubts, ?4) \
               WHERE message BETWEEN ?1 AND ?2 AND state = 0 AND (due > ?3 OR doubts > ?4)";
    let key = (messages.start(), messages.end(), db.now().0, MOST_DOUBTS - 1);
    db.prepare_cached(sql)?.execute(key).map(drop)
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
    match find(db, queue_id)? {
        Some((id, HELD, _)) => let_go(db, id, decisions).map(Some),
        _ => Ok(None),
    }
}

/// Makes held messages due whose decisions are known. Tells where each stands; `None` for one that has changed meanwhile.
pub(super) fn release_known(
    db: &Writing,
    releases: &[MessageRelease],
) -> rusqlite::Result<Vec<Option<LaneName>>> {
    let mut select = db.prepare_cached("SELECT decisions FROM message WHERE id = ?1 AND state = 2")?;
    let mut lanes = Vec::with_capacity(releases.len());
    for MessageRelease { id, known, decisions } in releases {
        let found = select.query_row([id.0], |row| rows::decisions(row, 0)).optional()?;
        let is_known = found.is_some_and(|found| found == *known);
        lanes.push(if is_known { Some(let_go(db, *id, decisions)?) } else { None });
    }
    Ok(lanes)
}

/// Makes a held message due, under these decisions. Tells where it stands.
fn let_go(db: &Writing, id: MessageId, decisions: &Decisions) -> rusqlite::Result<LaneName> {
    let mut update = db.prepare_cached(
        "UPDATE message SET state = 0, due = ?2, decisions = ?3 WHERE id = ?1 \
         RETURNING route, priority, submitter, due, waiting, size",
    )?;
    let place = update.query_row((id.0, db.now().0, decisions.to_text()), QueuePlace::read)?;
    wanted(db, id.0..=id.0)?;
    db.enters(&place);
    Ok(place.lane)
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
    if in_file {
        contents::note_gone(db, queue_id)?;
    }
    remove(db, id)?;
    Ok(Poll::Ready(summary.map(|summary| (summary, in_file))))
}

/// A message that may be waiting is about to be no longer.
fn leaves(db: &Writing, id: MessageId) -> rusqlite::Result<()> {
    let sql =
        "SELECT route, priority, submitter, due, waiting, size FROM message WHERE id = ?1 AND state = 0";
    let place = db.prepare_cached(sql)?.query_row([id.0], QueuePlace::read).optional()?;
    if let Some(place) = place {
        db.leaves(place.lane, place.recipients, place.octets);
    }
    Ok(())
}

fn find(db: &Connection, queue_id: &QueueId) -> rusqlite::Result<Option<(MessageId, i64, bool)>> {
    let mut select = db.prepare_cached("SELECT id, state, in_file FROM message WHERE queue_id = ?1")?;
    let row =
        select.query_row([queue_id.as_str()], |row| Ok((MessageId(row.get(0)?), row.get(1)?, row.get(2)?)));
    row.optional()
}
