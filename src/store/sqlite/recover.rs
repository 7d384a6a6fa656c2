//! What a start finds, and sets right.

use rusqlite::Connection;

use super::queue_place::{QueuePlace, place_columns};
use super::rows;
use super::writing::Writing;
use crate::limits::Ledger;
use crate::mail::QueueId;
use crate::store::{Orphans, Recovered};

/// Messages whose lease was not ended by whoever held it.
pub(super) fn cut_off(db: &Connection) -> rusqlite::Result<Vec<QueueId>> {
    let mut sending = db.prepare("SELECT queue_id FROM message WHERE state = 1")?;
    sending.query_map([], |row| rows::queue_id(row, 0))?.collect()
}

/// Voids all leases: whoever held them is dead, for we hold the lock.
pub(super) fn recover(db: &Writing) -> rusqlite::Result<Recovered> {
    db.count_unknown()?;
    db.execute("DELETE FROM permit", [])?;
    db.change_books(|books| {
        books.ledger = Ledger::default();
        books.permits.clear();
    });
    let sql = concat!("UPDATE message SET state = 0 WHERE state = 1 RETURNING ", place_columns!());
    for place in db.prepare(sql)?.query_map([], QueuePlace::read)? {
        db.enters(&place?);
    }
    db.execute("DELETE FROM lease", [])?;
    let messages: i64 = db.query_row("SELECT count(*) FROM message", [], |row| row.get(0))?;
    Ok(Recovered { messages: messages.unsigned_abs(), orphans: Orphans::default() })
}
