//! What people do to mail that waits. [`Poll::Pending`]: it is being sent.

use std::ops::RangeInclusive;
use std::task::Poll;

use rusqlite::{Connection, OptionalExtension};

use super::ends::EndedRecipient;
use super::listing;
use super::queue_place::{QueuePlace, WaitingMessage, place_columns};
use super::remove::{self, Leaving};
use super::rows::{self, HELD, SENDING};
use super::writing::Writing;
use crate::mail::QueueId;
use crate::store::{
    Decisions, LaneName, MOST_DOUBTS, MessageId, MessageRelease, RecipientEnd, RecipientState, Summary,
    SummaryRecipient,
};

/// Makes a message due that waits. Tells where it stands; `None` when no such message waits.
pub(super) fn retry(db: &Writing, queue_id: &QueueId) -> rusqlite::Result<Poll<Option<LaneName>>> {
    let Some((id, state)) = find(db, queue_id)? else {
        return Ok(Poll::Ready(None));
    };
    if state == SENDING {
        return Ok(Poll::Pending);
    }
    let sql = concat!(
        "UPDATE message SET due = min(due, ?2) WHERE id = ?1 AND state = 0 RETURNING ",
        place_columns!()
    );
    let place = db.prepare_cached(sql)?.query_row((id.0, db.now().0), QueuePlace::read).optional()?;
    if let Some(place) = &place {
        wanted(db, id.0..=id.0)?;
        db.turns().waits(&place.lane, place.priority, &place.submitter, place.due);
    }
    Ok(Poll::Ready(place.map(|place| place.lane)))
}

/// What a walk through the queue has done with some messages.
pub(super) struct RetriedPortion {
    /// Messages that wait, and are due now.
    pub(super) due: u64,
    /// Behind which one the next portion begins; `None` at the end.
    pub(super) next: Option<MessageId>,
}

/// The newest message.
pub(super) fn newest(db: &Connection) -> rusqlite::Result<MessageId> {
    db.query_row("SELECT coalesce(max(id), 0) FROM message", [], |row| row.get(0)).map(MessageId)
}

/// Makes those due that wait of the next `most` messages, behind `after` and up to `up_to`. All at once would keep everybody
/// else from writing for as long as that takes.
pub(super) fn retry_portion(
    db: &Writing,
    (after, up_to): (MessageId, MessageId),
    most: u32,
) -> rusqlite::Result<RetriedPortion> {
    let sql = "SELECT id FROM message WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT 1 OFFSET ?3";
    let key = (after.0, up_to.0, i64::from(most) - 1);
    let next = db.prepare_cached(sql)?.query_row(key, |row| row.get(0).map(MessageId)).optional()?;
    let (first, last) = (after.0.saturating_add(1), next.unwrap_or(up_to).0);
    wanted(db, first..=last)?;
    let sql = concat!(
        "UPDATE message NOT INDEXED SET due = ?3 WHERE id BETWEEN ?1 AND ?2 AND state = 0 AND due > ?3 RETURNING ",
        place_columns!()
    );
    let mut update = db.prepare_cached(sql)?;
    for place in update.query_map((first, last, db.now().0), QueuePlace::read)? {
        let QueuePlace { lane, priority, submitter, due, .. } = place?;
        db.turns().waits(&lane, priority, &submitter, due);
    }
    let sql = "SELECT count(*) FROM message NOT INDEXED WHERE id BETWEEN ?1 AND ?2 AND state = 0";
    let due = db.prepare_cached(sql)?.query_row((first, last), |row| row.get::<_, i64>(0))?;
    Ok(RetriedPortion { due: due.unsigned_abs(), next })
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
    let Some((id, state)) = find(db, queue_id)? else {
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
        Some((id, HELD)) => let_go(db, id, decisions).map(Some),
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
    let mut update = db.prepare_cached(concat!(
        "UPDATE message SET state = 0, due = ?2, decisions = ?3 WHERE id = ?1 RETURNING ",
        place_columns!()
    ))?;
    let place = update.query_row((id.0, db.now().0, decisions.to_text()), QueuePlace::read)?;
    wanted(db, id.0..=id.0)?;
    db.enters(&place);
    Ok(place.lane)
}

/// A message that was deleted.
pub(super) struct Deleted {
    pub(super) summary: Summary,
    /// The content file that it had.
    pub(super) file: Option<QueueId>,
}

/// Deletes a message; `None` when there is no such message.
pub(super) fn delete(db: &Writing, queue_id: &QueueId) -> rusqlite::Result<Poll<Option<Deleted>>> {
    let Some((id, state)) = find(db, queue_id)? else {
        return Ok(Poll::Ready(None));
    };
    if state == SENDING {
        return Ok(Poll::Pending);
    }
    let summary = listing::show(db, queue_id)?;
    leaves(db, id)?;
    let Some(removed) = remove::remove(db, id, Leaving::Deleted)? else { return Ok(Poll::Ready(None)) };
    let recipients = summary.iter().flat_map(|summary| &summary.recipients);
    let waiting = recipients.filter(|recipient| recipient.state == RecipientState::Waiting);
    let ended = removed.facts.ended(removed.lane.upstream());
    for SummaryRecipient { address, reply, attempts, .. } in waiting {
        let (end, attempts) = (RecipientEnd::Deleted, *attempts);
        ended.note(db, &EndedRecipient { address, end, reply, attempts })?;
    }
    Ok(Poll::Ready(summary.map(|summary| Deleted { summary, file: removed.file })))
}

/// A message that may be waiting is about to be no longer.
fn leaves(db: &Writing, id: MessageId) -> rusqlite::Result<()> {
    let sql = concat!("SELECT ", place_columns!(), " FROM message WHERE id = ?1 AND state = 0");
    let place = db.prepare_cached(sql)?.query_row([id.0], QueuePlace::read).optional()?;
    if let Some(place) = place {
        let left = WaitingMessage::from(&place);
        db.leaves(place.lane, left);
    }
    Ok(())
}

fn find(db: &Connection, queue_id: &QueueId) -> rusqlite::Result<Option<(MessageId, i64)>> {
    let mut select = db.prepare_cached("SELECT id, state FROM message WHERE queue_id = ?1")?;
    select.query_row([queue_id.as_str()], |row| Ok((MessageId(row.get(0)?), row.get(1)?))).optional()
}
