//! What became of an attempt is written down.

use std::collections::BTreeMap;

use rusqlite::OptionalExtension;

use super::queue_place::{QueuePlace, place_columns};
use super::rows::{self, HELD, WAITING};
use super::writing::Writing;
use super::{contents, enqueue, mailboxes, sent_copies, usage};
use crate::limits::{AccountKey, Amount};
use crate::mail::QueueId;
use crate::store::{Delivery, Lease, LeasedMove, MessageId, Settlement};
use crate::time::Moment;

/// What a settlement has come to.
pub(super) enum SettleEnd {
    /// The lease had ended already, and nothing was changed.
    Fenced,
    /// Some recipients are still to be tried.
    Waits,
    /// The message has left the queue; here is the content file that it had.
    Left(Option<QueueId>),
}

/// Records an attempt.
pub(super) fn settle(db: &Writing, settlement: &Settlement) -> rusqlite::Result<SettleEnd> {
    let id = settlement.lease.id;
    let Some((account, taken)) = end_lease(db, settlement.lease)? else { return Ok(SettleEnd::Fenced) };
    if !taken.is_none() || settlement.used.is_some() {
        db.end(&account, &taken, settlement.used.as_ref())?;
    }
    for report in &settlement.reports {
        enqueue::enqueue(db, report)?;
    }
    if ends_message(db, settlement)? {
        return remove(db, id).map(SettleEnd::Left);
    }
    let (now, mut settled) = (db.now(), 0);
    for delivery in &settlement.deliveries {
        let address = deliver(db, id, delivery, now)?;
        settled += u64::from(address.is_some());
        if let Some(address) = address.filter(|_| delivery.reached) {
            mailboxes::reached(db, &address)?;
        }
    }
    if let Some(copy) = &settlement.copy {
        sent_copies::add_first(db, id, copy)?;
    }
    // What was tried goes behind what has been due meanwhile. One of which nothing is left does not go back into the indexes
    // of what waits, only to be removed from them.
    let mut update = db.prepare_cached(concat!(
        "UPDATE message SET state = iif(waiting > ?3, ?6, 1), waiting = waiting - ?3, attempts = attempts + ?4, \
         warned = warned OR ?5, due = max(coalesce(?2, due), \
         coalesce((SELECT min(due) FROM recipient WHERE message = ?1 AND state = 0), due)) \
         WHERE id = ?1 RETURNING ",
        place_columns!()
    ))?;
    let place = update.query_row(
        (
            id.0,
            settlement.deliveries.first().map(|_| now.0),
            settled as i64,
            i64::from(settlement.counts),
            settlement.warned,
            if settlement.hold { HELD } else { WAITING },
        ),
        QueuePlace::read,
    )?;
    if place.recipients == 0 {
        return remove(db, id).map(SettleEnd::Left);
    }
    if !settlement.hold {
        db.enters(&place);
    }
    Ok(SettleEnd::Waits)
}

/// Whether a settlement settles for good all that a message still waits for, as it does for most: then it counts, and there is no
/// need to write down what is removed at once.
fn ends_message(db: &Writing, settlement: &Settlement) -> rusqlite::Result<bool> {
    let deliveries = &settlement.deliveries;
    let is_final = |delivery: &Delivery| rows::settled(delivery.state).1.is_some();
    if settlement.copy.is_some() || deliveries.is_empty() || !deliveries.iter().all(is_final) {
        return Ok(false);
    }
    let by_place: BTreeMap<u32, &Delivery> = deliveries.iter().map(|each| (each.index, each)).collect();
    let mut select = db.prepare_cached(
        "SELECT place, address FROM recipient WHERE message = ?1 AND state = 0 ORDER BY place LIMIT ?2",
    )?;
    let mut rows = select.query((settlement.lease.id.0, by_place.len() as i64 + 1))?;
    let mut reached = Vec::new();
    let mut delivered = by_place.iter();
    while let Some(row) = rows.next()? {
        let waiting: u32 = row.get(0)?;
        match delivered.next() {
            Some((place, delivery)) if *place == waiting => {
                reached.extend(delivery.reached.then(|| row.get::<_, String>(1)).transpose()?);
            }
            _ => return Ok(false),
        }
    }
    if delivered.next().is_some() {
        return Ok(false);
    }
    for delivery in by_place.values() {
        if let Some(total) = rows::settled(delivery.state).1 {
            db.count(total, 1);
        }
    }
    reached.iter().try_for_each(|address| mailboxes::reached(db, address))?;
    Ok(true)
}

/// Makes messages that were not tried due again, and gives their permits back. How many.
pub(super) fn hand_back(db: &Writing, leases: &[Lease]) -> rusqlite::Result<u64> {
    let mut handed_back = 0;
    for lease in leases {
        let Some((account, taken)) = end_lease(db, *lease)? else { continue };
        handed_back += 1;
        if !taken.is_none() {
            db.end(&account, &taken, None)?;
        }
        let sql =
            concat!("UPDATE message SET state = 0 WHERE id = ?1 AND state = 1 RETURNING ", place_columns!());
        let place = db.prepare_cached(sql)?.query_row([lease.id.0], QueuePlace::read).optional()?;
        if let Some(place) = place {
            db.enters(&place);
        }
    }
    Ok(handed_back)
}

/// Moves a message to another lane, under these decisions. False when the lease has ended already.
pub(super) fn move_leased(db: &Writing, moved: &LeasedMove) -> rusqlite::Result<bool> {
    let Some((account, taken)) = end_lease(db, moved.lease)? else { return Ok(false) };
    if !taken.is_none() || moved.used.is_some() {
        db.end(&account, &taken, moved.used.as_ref())?;
    }
    let sql = concat!(
        "UPDATE message SET state = 0, route = ?2, age_base = age_base + ?3, decisions = ?4 \
         WHERE id = ?1 AND state = 1 RETURNING ",
        place_columns!()
    );
    let row = (moved.lease.id.0, moved.to.as_str(), moved.credit, moved.decisions.to_text());
    let place = db.prepare_cached(sql)?.query_row(row, QueuePlace::read).optional()?;
    if let Some(place) = place {
        db.enters(&place);
    }
    Ok(true)
}

/// Ends a lease. Whose permit it was, and for what; `None` when the lease is not ours any more.
fn end_lease(db: &Writing, lease: Lease) -> rusqlite::Result<Option<(AccountKey, Amount)>> {
    let sql = "DELETE FROM lease WHERE message = ?1 AND owner = ?2 AND token = ?3 \
               RETURNING upstream, account, messages, recipients, octets";
    let mut delete = db.prepare_cached(sql)?;
    let key = (lease.id.0, db.owner(), lease.token as i64);
    delete.query_row(key, |row| Ok((usage::account(row, 0)?, usage::amount(row, 2)?))).optional()
}

/// Writes one recipient's outcome; its address when it is settled for good by this.
fn deliver(
    db: &Writing,
    id: MessageId,
    delivery: &Delivery,
    now: Moment,
) -> rusqlite::Result<Option<String>> {
    let (state, total) = rows::settled(delivery.state);
    let mut update = db.prepare_cached(
        "UPDATE recipient SET state = ?3, attempts = attempts + ?4, reply = ?5, failures = failures + ?6, \
         doubts = doubts + ?7, due = ?8 WHERE message = ?1 AND place = ?2 AND state = 0 RETURNING address",
    )?;
    let row = (
        id.0,
        delivery.index,
        state,
        delivery.counts,
        &delivery.reply,
        delivery.failed,
        delivery.doubtful,
        now.after(delivery.again_in.unwrap_or_default()).0,
    );
    let changed = update.query_row(row, |row| row.get(0)).optional()?;
    match total {
        Some(total) => {
            db.count(total, u64::from(changed.is_some()));
            Ok(changed)
        }
        None => Ok(None),
    }
}

/// Removes a message with all that belongs to it. The content file that it had is noted, and returned: it is to go when this has
/// been committed.
pub(super) fn remove(db: &Writing, id: MessageId) -> rusqlite::Result<Option<QueueId>> {
    let mut delete = db.prepare_cached("DELETE FROM message WHERE id = ?1 RETURNING in_file, queue_id")?;
    let removed = delete.query_row([id.0], |row| Ok((row.get::<_, bool>(0)?, rows::queue_id(row, 1)?)));
    let removed = removed.optional()?;
    db.prepare_cached("DELETE FROM recipient WHERE message = ?1")?.execute([id.0])?;
    if let Some((true, queue_id)) = removed {
        contents::note_gone(db, &queue_id)?;
        return Ok(Some(queue_id));
    }
    db.prepare_cached("DELETE FROM content WHERE message = ?1")?.execute([id.0])?;
    Ok(None)
}
