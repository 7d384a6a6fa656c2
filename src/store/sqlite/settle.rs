//! What became of an attempt is written down; what waits is moved.

use rusqlite::{Connection, OptionalExtension};

use super::listing;
use super::rows::{self, HELD, SENDING, WAITING};
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
pub(super) fn settle(db: &Connection, settlement: &Settlement) -> rusqlite::Result<Option<Left>> {
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
    db.prepare_cached("DELETE FROM lease WHERE message = ?1")?.execute([id.0])?;
    let mut update = db.prepare_cached(&format!(
        "UPDATE message SET state = {WAITING}, due = coalesce(?2, due), waiting = waiting - ?3, attempts = attempts + ?4, \
         warned = warned OR ?5 WHERE id = ?1 RETURNING waiting, in_file, queue_id"
    ))?;
    let row = update.query_row(
        (
            id.0,
            settlement.next_attempt.map(|due| due.0),
            settled as i64,
            i64::from(settlement.counts),
            settlement.warned,
        ),
        |row| Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?, rows::queue_id(row, 2)?)),
    );
    let (waiting, in_file, queue_id) = row?;
    if waiting > 0 {
        return Ok(None);
    }
    remove(db, id)?;
    Ok(Some(Left { file: in_file.then_some(queue_id) }))
}

/// Makes messages that were not tried due again, and gives their permits back.
pub(super) fn hand_back(db: &Connection, messages: &[MessageId]) -> rusqlite::Result<()> {
    for id in messages {
        db.prepare_cached("DELETE FROM lease WHERE message = ?1")?.execute([id.0])?;
        let sql = format!("UPDATE message SET state = {WAITING} WHERE id = ?1 AND state = {SENDING}");
        db.prepare_cached(&sql)?.execute([id.0])?;
    }
    Ok(())
}

/// Moves what waits for a sender to another lane.
pub(super) fn reroute(db: &Connection, from: &Route, to: &str, credit: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE message SET route = ?3, age_base = age_base + ?4 WHERE route = ?1 AND sender = ?2 \
               AND state <> 1";
    db.prepare_cached(sql)?.execute((&from.route, &from.sender, to, credit)).map(|_| ())
}

/// Makes all that waits in a lane due.
pub(super) fn make_due(db: &Connection, route: &str, now: Moment) -> rusqlite::Result<()> {
    let sql = format!("UPDATE message SET due = ?2 WHERE route = ?1 AND state = {WAITING} AND due > ?2");
    db.prepare_cached(&sql)?.execute((route, now.0)).map(|_| ())
}

/// Makes one message due. `None` while it is being sent.
pub(super) fn retry(db: &Connection, queue_id: &QueueId, now: Moment) -> rusqlite::Result<Option<u64>> {
    let Some((id, state, _)) = find(db, queue_id)? else {
        return Ok(Some(0));
    };
    if state == SENDING {
        return Ok(None);
    }
    let sql = format!("UPDATE message SET due = min(due, ?2) WHERE id = ?1 AND state = {WAITING}");
    db.prepare_cached(&sql)?.execute((id.0, now.0)).map(|changed| Some(changed as u64))
}

/// Makes all waiting messages due.
pub(super) fn retry_all(db: &Connection, now: Moment) -> rusqlite::Result<u64> {
    let sql = format!("UPDATE message SET due = min(due, ?1) WHERE state = {WAITING}");
    db.prepare_cached(&sql)?.execute([now.0]).map(|changed| changed as u64)
}

/// Keeps a message until it is released. `None` while it is being sent.
pub(super) fn hold(db: &Connection, queue_id: &QueueId) -> rusqlite::Result<Option<bool>> {
    let Some((id, state, _)) = find(db, queue_id)? else {
        return Ok(Some(false));
    };
    if state == SENDING {
        return Ok(None);
    }
    db.prepare_cached(&format!("UPDATE message SET state = {HELD} WHERE id = ?1"))?.execute([id.0])?;
    Ok(Some(true))
}

/// Lets a held message go, and says how it is to be treated from now on.
pub(super) fn release(
    db: &Connection,
    queue_id: &QueueId,
    test: Option<&TestTreatment>,
    now: Moment,
) -> rusqlite::Result<bool> {
    let sql = format!(
        "UPDATE message SET state = {WAITING}, due = ?2, test_action = ?3, test_address = ?4 \
         WHERE queue_id = ?1 AND state = {HELD}"
    );
    let action = test.map(|test| rows::test_action(test.action));
    let address = test.and_then(|test| test.address.as_ref()).map(ToString::to_string);
    db.prepare_cached(&sql)?.execute((queue_id.as_str(), now.0, action, address)).map(|changed| changed == 1)
}

/// What was deleted, and whether its content was in a file; the inner `None`: there is no such message.
type Deleted = Option<(Summary, bool)>;

/// Deletes a message. The outer `None`: it is being sent.
pub(super) fn delete(db: &Connection, queue_id: &QueueId) -> rusqlite::Result<Option<Deleted>> {
    let Some((id, state, in_file)) = find(db, queue_id)? else {
        return Ok(Some(None));
    };
    if state == SENDING {
        return Ok(None);
    }
    let summary = listing::show(db, queue_id)?;
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
