//! What became of an attempt is written down.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, Row};

use super::ends::{EndedMessage, EndedRecipient};
use super::queue_place::{QueuePlace, place_columns};
use super::remove::{self, Leaving, MessageFacts};
use super::rows::{self, HELD, WAITING};
use super::writing::Writing;
use super::{enqueue, mailboxes, sent_copies, usage};
use crate::limits::{AccountKey, Amount};
use crate::mail::QueueId;
use crate::store::{Delivery, Lease, LeasedMove, MessageId, RecipientEnd, Settlement};
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

/// A recipient that an attempt has settled for good.
struct SettledRecipient<'s> {
    address: String,
    /// This one included.
    attempts: u32,
    delivery: &'s Delivery,
}

impl SettledRecipient<'_> {
    /// Counts it, and notes it.
    fn note(&self, db: &Writing, message: &EndedMessage<'_>) -> rusqlite::Result<()> {
        let Self { address, attempts, delivery } = self;
        if let Some(end) = RecipientEnd::of(delivery.state) {
            let ended = EndedRecipient { address, end, reply: &delivery.reply, attempts: *attempts };
            message.note(db, &ended)?;
        }
        if delivery.reached { mailboxes::reached(db, address) } else { Ok(()) }
    }
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
    if let Some(settled) = all_settled(db, settlement)? {
        return end_message(db, settlement, &settled, &account.upstream);
    }
    let settled = deliver_each(db, settlement, &account.upstream)?;
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
            settlement.deliveries.first().map(|_| db.now().0),
            settled,
            i64::from(settlement.counts),
            settlement.warned,
            if settlement.hold { HELD } else { WAITING },
        ),
        QueuePlace::read,
    )?;
    if place.recipients == 0 {
        let removed = remove::remove(db, id, Leaving::Settled)?;
        return Ok(SettleEnd::Left(removed.and_then(|removed| removed.file)));
    }
    if !settlement.hold {
        db.enters(&place);
    }
    Ok(SettleEnd::Waits)
}

/// The recipients that a message still waits for, with the outcome of each, where a settlement settles all of them for good, as
/// it does for most: then there is no need to write down what is removed at once.
fn all_settled<'s>(
    db: &Writing,
    settlement: &'s Settlement,
) -> rusqlite::Result<Option<Vec<SettledRecipient<'s>>>> {
    let deliveries = &settlement.deliveries;
    let is_final = |delivery: &Delivery| RecipientEnd::of(delivery.state).is_some();
    if settlement.copy.is_some() || deliveries.is_empty() || !deliveries.iter().all(is_final) {
        return Ok(None);
    }
    let by_place: BTreeMap<u32, &Delivery> = deliveries.iter().map(|each| (each.index, each)).collect();
    let mut select = db.prepare_cached(
        "SELECT place, address, attempts FROM recipient WHERE message = ?1 AND state = 0 ORDER BY place LIMIT ?2",
    )?;
    let mut rows = select.query((settlement.lease.id.0, by_place.len() as i64 + 1))?;
    let mut settled = Vec::with_capacity(by_place.len());
    let mut delivered = by_place.iter();
    while let Some(row) = rows.next()? {
        let waiting: u32 = row.get(0)?;
        match delivered.next() {
            Some((place, delivery)) if *place == waiting => {
                let attempts = row.get::<_, u32>(2)? + u32::from(delivery.counts);
                settled.push(SettledRecipient { address: row.get(1)?, attempts, delivery });
            }
            _ => return Ok(None),
        }
    }
    Ok(if delivered.next().is_none() { Some(settled) } else { None })
}

/// A message leaves with the recipients that it still waited for.
fn end_message(
    db: &Writing,
    settlement: &Settlement,
    settled: &[SettledRecipient<'_>],
    upstream: &str,
) -> rusqlite::Result<SettleEnd> {
    let Some(removed) = remove::remove(db, settlement.lease.id, Leaving::Settled)? else {
        return Ok(SettleEnd::Left(None));
    };
    let message = removed.facts.ended(upstream);
    settled.iter().try_for_each(|recipient| recipient.note(db, &message))?;
    Ok(SettleEnd::Left(removed.file))
}

/// Writes the outcomes of an attempt down. How many recipients are settled for good by it.
fn deliver_each(db: &Writing, settlement: &Settlement, upstream: &str) -> rusqlite::Result<i64> {
    let (id, now) = (settlement.lease.id, db.now());
    let mut settled = Vec::new();
    for delivery in &settlement.deliveries {
        settled.extend(deliver(db, id, delivery, now)?);
    }
    if !settled.is_empty() {
        let facts = MessageFacts::of(db, id)?;
        let message = facts.ended(upstream);
        settled.iter().try_for_each(|recipient| recipient.note(db, &message))?;
    }
    Ok(settled.len() as i64)
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

/// Writes one recipient's outcome; `Some` when it is settled for good by this.
fn deliver<'s>(
    db: &Writing,
    id: MessageId,
    delivery: &'s Delivery,
    now: Moment,
) -> rusqlite::Result<Option<SettledRecipient<'s>>> {
    let mut update = db.prepare_cached(
        "UPDATE recipient SET state = ?3, attempts = attempts + ?4, reply = ?5, failures = failures + ?6, \
         doubts = doubts + ?7, due = ?8 WHERE message = ?1 AND place = ?2 AND state = 0 RETURNING address, attempts",
    )?;
    let row = (
        id.0,
        delivery.index,
        rows::state_number(delivery.state),
        delivery.counts,
        &delivery.reply,
        delivery.failed,
        delivery.doubtful,
        now.after(delivery.again_in.unwrap_or_default()).0,
    );
    let read = |row: &Row<'_>| Ok(SettledRecipient { address: row.get(0)?, attempts: row.get(1)?, delivery });
    let changed = update.query_row(row, read).optional()?;
    Ok(changed.filter(|_| RecipientEnd::of(delivery.state).is_some()))
}
