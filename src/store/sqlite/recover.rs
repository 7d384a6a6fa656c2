//! What a start finds, and sets right.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::blacklist::ListedAt;
use super::lease::{self, Terms};
use super::queue_place::{QueuePlace, place_columns};
use super::rows;
use super::writing::Writing;
use crate::limits::Ledger;
use crate::mail::QueueId;
use crate::store::{CutOff, Decisions, Disposition, DoubtPauses, MessageId, Orphans, Recovered};
use crate::time::Moment;

/// An attempt of whose end nobody knows.
struct UnknownEnd {
    id: MessageId,
    queue_id: QueueId,
    decisions: Decisions,
    /// By whose account it was made.
    upstream: String,
    /// Recipients that the permit was for; 0: none was taken.
    recipients: u32,
}

/// A recipient that rests.
struct Rest {
    place: u32,
    lasts: Duration,
}

/// Messages whose lease was not ended by whoever held it.
pub(super) fn cut_off(
    db: &Connection,
    pauses: &DoubtPauses,
    listed: ListedAt<'_>,
) -> rusqlite::Result<Vec<CutOff>> {
    let cut_off = |attempt: UnknownEnd| {
        let again_in = rests(db, &attempt, pauses, listed).iter().map(|rest| rest.lasts).min();
        CutOff { queue_id: attempt.queue_id, upstream: attempt.upstream, again_in }
    };
    Ok(unknown_ends(db)?.into_iter().map(cut_off).collect())
}

/// Voids all leases: whoever held them is dead, for we hold the lock.
pub(super) fn recover(db: &Writing, pauses: &DoubtPauses) -> rusqlite::Result<Recovered> {
    db.count_unknown()?;
    db.execute("DELETE FROM permit", [])?;
    db.change_books(|books| {
        books.ledger = Ledger::default();
        books.permits.clear();
    });
    for attempt in unknown_ends(db)? {
        let rests = rests(db, &attempt, pauses, ListedAt { listed: db.knowledge.listed(), now: db.now() });
        set_aside(db, attempt.id, &rests)?;
    }
    let sql = concat!("UPDATE message SET state = 0 WHERE state = 1 RETURNING ", place_columns!());
    for place in db.prepare(sql)?.query_map([], QueuePlace::read)? {
        db.enters(&place?);
    }
    db.execute("DELETE FROM lease", [])?;
    let messages: i64 = db.query_row("SELECT count(*) FROM message", [], |row| row.get(0))?;
    Ok(Recovered { messages: messages.unsigned_abs(), orphans: Orphans::default() })
}

fn unknown_ends(db: &Connection) -> rusqlite::Result<Vec<UnknownEnd>> {
    let mut sending = db.prepare(
        "SELECT id, queue_id, decisions, coalesce(upstream, ''), coalesce(recipients, 0) \
         FROM message LEFT JOIN lease ON lease.message = message.id WHERE state = 1",
    )?;
    let read = |row: &rusqlite::Row<'_>| {
        Ok(UnknownEnd {
            id: MessageId(row.get(0)?),
            queue_id: rows::queue_id(row, 1)?,
            // What can't be read is held when it is next taken.
            decisions: rows::decisions(row, 2).unwrap_or_default(),
            upstream: row.get(3)?,
            recipients: row.get(4)?,
        })
    };
    sending.query_map([], read)?.collect()
}

/// The recipients of an attempt rest that may have the message, where its upstream may go on with it.
fn rests(db: &Connection, attempt: &UnknownEnd, pauses: &DoubtPauses, listed: ListedAt<'_>) -> Vec<Rest> {
    let Some(pause) = pauses.of(&attempt.upstream).filter(|_| attempt.recipients > 0) else {
        return Vec::new();
    };
    // As the lease took them: what has become due since comes behind them.
    let (due, most) = match attempt.decisions.disposition() {
        Disposition::Sent => (listed.now, attempt.recipients),
        Disposition::OneCopy | Disposition::Captured => (Moment(i64::MAX), u32::MAX),
    };
    let is_sent = most < u32::MAX;
    let terms = Terms {
        account: None,
        recipients: most,
        blacklist: is_sent.then_some(listed),
        folder: Path::new(""),
    };
    // One that can't be read is held when it is next taken.
    let recipients = lease::recipients(db, attempt.id, due, &terms).unwrap_or_default();
    let going = recipients.into_iter().filter(|recipient| recipient.listed.is_none());
    going.map(|to| Rest { place: to.index, lasts: pause.after(to.doubts) }).collect()
}

/// Recipients rest from now on, and are in doubt once more.
fn set_aside(db: &Writing, id: MessageId, rests: &[Rest]) -> rusqlite::Result<()> {
    if rests.is_empty() {
        return Ok(());
    }
    let mut update = db.prepare_cached(
        "UPDATE recipient SET doubts = doubts + 1, attempts = attempts + 1, reply = ?3, due = ?4 \
         WHERE message = ?1 AND place = ?2 AND state = 0",
    )?;
    for rest in rests {
        update.execute((id.0, rest.place, CutOff::REPLY, db.now().after(rest.lasts).0))?;
    }
    db.prepare_cached(
        "UPDATE message SET attempts = attempts + 1, due = max(due, \
         coalesce((SELECT min(due) FROM recipient WHERE message = ?1 AND state = 0), due)) WHERE id = ?1",
    )?
    .execute([id.0])
    .map(drop)
}
