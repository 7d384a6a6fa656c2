//! What became of an attempt is written down; what waits is moved.

use rusqlite::{Connection, OptionalExtension};

use super::listing;
use super::rows::{self, HELD, SENDING, WAITING};
use super::writing::{PLACE, Place, Writing};
use super::{blacklist, enqueue, usage};
use crate::mail::QueueId;
use crate::store::{Delivery, MessageId, Route, Settlement, Summary, TestTreatment};
use crate::time::Moment;

/// A message has left the queue.
pub(super) struct Left {
    /// The content file that it had.
    pub(super) file: Option<QueueId>,
}

/// Records an attempt. `Some` when nothing of the message is left to do.
pub(super) fn settle(db: &Writing, settlement: &Settlement) -> rusqlite::Result<Option<Left>> {
    let id = settlement.id;
    let mut settled = 0;
    for delivery in &settlement.deliveries {
        settled += u64::from(deliver(db, id, delivery)?);
    }
    if let Some(permit) = &settlement.permit {
        usage::add(db, permit)?;
    }
    for report in &settlement.reports {
        enqueue::enqueue(db, report)?;
    }
    let leased = db.prepare_cached("DELETE FROM lease WHERE message = ?1")?.execute([id.0])? == 1;
    let mut update = db.prepare_cached(&format!(
        "UPDATE message SET state = {WAITING}, due = coalesce(?2, due), waiting = waiting - ?3, attempts = attempts + ?4, \
         warned = warned OR ?5 WHERE id = ?1 RETURNING {PLACE}, in_file, queue_id"
    ))?;
    let row = update.query_row(
        (
            id.0,
            settlement.next_attempt.map(|due| due.0),
            settled as i64,
            i64::from(settlement.counts),
            settlement.warned,
        ),
        |row| Ok((Place::read(row)?, row.get::<_, bool>(5)?, rows::queue_id(row, 6)?)),
    );
    let (place, in_file, queue_id) = row?;
    if place.recipients > 0 {
        if leased {
            db.enters(&place);
        }
        return Ok(None);
    }
    remove(db, id)?;
    Ok(Some(Left { file: in_file.then_some(queue_id) }))
}

/// Makes messages that were not tried due again, and gives their permits back.
pub(super) fn hand_back(db: &Writing, messages: &[MessageId]) -> rusqlite::Result<()> {
    for id in messages {
        db.prepare_cached("DELETE FROM lease WHERE message = ?1")?.execute([id.0])?;
        let sql = format!(
            "UPDATE message SET state = {WAITING} WHERE id = ?1 AND state = {SENDING} RETURNING {PLACE}"
        );
        let place = db.prepare_cached(&sql)?.query_row([id.0], Place::read).optional()?;
        if let Some(place) = place {
            db.enters(&place);
        }
    }
    Ok(())
}

/// Moves what waits for a sender to another lane.
pub(super) fn reroute(db: &Writing, from: &Route, to: &str, credit: i64) -> rusqlite::Result<()> {
    let moved = format!(
        "SELECT ?3, priority, submitter, min(due), sum(waiting), count(*) FROM message WHERE route = ?1 AND sender = ?2 \
         AND state = {WAITING} GROUP BY priority, submitter"
    );
    let mut moved = db.prepare_cached(&moved)?;
    let rows =
        moved.query_map((&from.route, &from.sender, to), |row| Ok((Place::read(row)?, row.get(5)?)))?;
    for row in rows {
        let (place, messages): (Place, i64) = row?;
        db.turns().waits(to, place.priority, &place.submitter, place.due);
        db.changed(to.to_owned(), messages, place.recipients);
        db.changed(from.route.clone(), -messages, -place.recipients);
    }
    let sql = "UPDATE message SET route = ?3, age_base = age_base + ?4 WHERE route = ?1 AND sender = ?2 \
               AND state <> 1";
    db.prepare_cached(sql)?.execute((&from.route, &from.sender, to, credit)).map(|_| ())
}

/// Makes all that waits in a lane due.
pub(super) fn make_due(db: &Writing, route: &str, now: Moment) -> rusqlite::Result<()> {
    let sql = format!("UPDATE message SET due = ?2 WHERE route = ?1 AND state = {WAITING} AND due > ?2");
    db.turns().wake(route, now);
    db.prepare_cached(&sql)?.execute((route, now.0)).map(|_| ())
}

/// Makes one message due. `None` while it is being sent.
pub(super) fn retry(db: &Writing, queue_id: &QueueId, now: Moment) -> rusqlite::Result<Option<u64>> {
    let Some((id, state, _)) = find(db, queue_id)? else {
        return Ok(Some(0));
    };
    if state == SENDING {
        return Ok(None);
    }
    let sql = format!(
        "UPDATE message SET due = min(due, ?2) WHERE id = ?1 AND state = {WAITING} RETURNING {PLACE}"
    );
    let place = db.prepare_cached(&sql)?.query_row((id.0, now.0), Place::read).optional()?;
    if let Some(place) = &place {
        db.turns().waits(&place.route, place.priority, &place.submitter, place.due);
    }
    Ok(Some(u64::from(place.is_some())))
}

/// Makes all waiting messages due.
pub(super) fn retry_all(db: &Writing, now: Moment) -> rusqlite::Result<u64> {
    let sql = format!("UPDATE message SET due = min(due, ?1) WHERE state = {WAITING}");
    db.turns().wake_all(now);
    db.prepare_cached(&sql)?.execute([now.0]).map(|changed| changed as u64)
}

/// Keeps a message until it is released. `None` while it is being sent.
pub(super) fn hold(db: &Writing, queue_id: &QueueId) -> rusqlite::Result<Option<bool>> {
    let Some((id, state, _)) = find(db, queue_id)? else {
        return Ok(Some(false));
    };
    if state == SENDING {
        return Ok(None);
    }
    leaves(db, id)?;
    db.prepare_cached(&format!("UPDATE message SET state = {HELD} WHERE id = ?1"))?.execute([id.0])?;
    Ok(Some(true))
}

/// Lets a held message go, and says how it is to be treated from now on.
pub(super) fn release(
    db: &Writing,
    queue_id: &QueueId,
    test: Option<&TestTreatment>,
    now: Moment,
) -> rusqlite::Result<bool> {
    let sql = format!(
        "UPDATE message SET state = {WAITING}, due = ?2, test_action = ?3, test_address = ?4 \
         WHERE queue_id = ?1 AND state = {HELD} RETURNING {PLACE}"
    );
    let action = test.map(|test| rows::test_action(test.action));
    let address = test.and_then(|test| test.address.as_ref()).map(ToString::to_string);
    let mut update = db.prepare_cached(&sql)?;
    let place = update.query_row((queue_id.as_str(), now.0, action, address), Place::read).optional()?;
    if let Some(place) = &place {
        db.enters(place);
    }
    Ok(place.is_some())
}

/// What was deleted, and whether its content was in a file; the inner `None`: there is no such message.
type Deleted = Option<(Summary, bool)>;

/// Deletes a message. The outer `None`: it is being sent.
pub(super) fn delete(db: &Writing, queue_id: &QueueId) -> rusqlite::Result<Option<Deleted>> {
    let Some((id, state, in_file)) = find(db, queue_id)? else {
        return Ok(Some(None));
    };
    if state == SENDING {
        return Ok(None);
    }
    let summary = listing::show(db, queue_id)?;
    leaves(db, id)?;
    let sql = "SELECT count(*) FROM recipient WHERE message = ?1 AND state = 0";
    let waiting: i64 = db.prepare_cached(sql)?.query_row([id.0], |row| row.get(0))?;
    rows::count(db, "deleted", waiting.unsigned_abs())?;
    remove(db, id)?;
    Ok(Some(summary.map(|summary| (summary, in_file))))
}

/// Writes one recipient's outcome; true when it is settled for good.
fn deliver(db: &Connection, id: MessageId, delivery: &Delivery) -> rusqlite::Result<bool> {
    let (state, total) = rows::settled(delivery.state);
    let mut update = db.prepare_cached(
        "UPDATE recipient SET state = ?3, attempts = attempts + ?4, reply = ?5, failures = failures + ?6 \
         WHERE message = ?1 AND place = ?2 AND state = 0",
    )?;
    let changed =
        update.execute((id.0, delivery.index, state, delivery.counts, &delivery.reply, delivery.failed))?;
    if let Some(total) = total {
        rows::count(db, total, changed as u64)?;
    }
    if let Some(listing) = &delivery.blacklist {
        blacklist::count_bounce(db, listing, &delivery.reply)?;
    }
    Ok(total.is_some() && changed == 1)
}

/// A message that may be waiting is about to be no longer.
fn leaves(db: &Writing, id: MessageId) -> rusqlite::Result<()> {
    let sql = format!("SELECT {PLACE} FROM message WHERE id = ?1 AND state = {WAITING}");
    let place = db.prepare_cached(&sql)?.query_row([id.0], Place::read).optional()?;
    if let Some(place) = place {
        db.leaves(&place.route, place.recipients);
    }
    Ok(())
}

fn find(db: &Connection, queue_id: &QueueId) -> rusqlite::Result<Option<(MessageId, i64, bool)>> {
    let mut select = db.prepare_cached("SELECT id, state, in_file FROM message WHERE queue_id = ?1")?;
    let row =
        select.query_row([queue_id.as_str()], |row| Ok((MessageId(row.get(0)?), row.get(1)?, row.get(2)?)));
    row.optional()
}

fn remove(db: &Connection, id: MessageId) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM message WHERE id = ?1")?.execute([id.0])?;
    db.prepare_cached("DELETE FROM recipient WHERE message = ?1")?.execute([id.0])?;
    db.prepare_cached("DELETE FROM content WHERE message = ?1")?.execute([id.0])?;
    Ok(())
}
