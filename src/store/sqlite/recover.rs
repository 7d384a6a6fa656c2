//! What a start finds, and sets right.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::rows;
use super::usage;
use super::writing::{QueuePlace, Writing};
use crate::limits::Ledger;
use crate::mail::QueueId;
use crate::store::Recovered;

/// Voids all leases: whoever held them is dead, for we hold the lock.
pub(super) fn recover(db: &Writing) -> rusqlite::Result<Recovered> {
    usage::add_unknown(db, db.now())?;
    db.execute("DELETE FROM permit", [])?;
    db.change_books(|books| {
        books.ledger = Ledger::default();
        books.permits.clear();
    });
    let mut sending = db.prepare("SELECT queue_id FROM message WHERE state = 1")?;
    let unknown = sending.query_map([], |row| rows::queue_id(row, 0))?.collect::<rusqlite::Result<_>>()?;
    let sql =
        "UPDATE message SET state = 0 WHERE state = 1 RETURNING route, priority, submitter, due, waiting";
    for place in db.prepare(sql)?.query_map([], QueuePlace::read)? {
        db.enters(&place?);
    }
    db.execute("DELETE FROM lease", [])?;
    let messages: i64 = db.query_row("SELECT count(*) FROM message", [], |row| row.get(0))?;
    Ok(Recovered { messages: messages.unsigned_abs(), unknown, orphans: 0 })
}

/// Removes content files that no message claims: their messages were never acknowledged, or are gone.
pub(super) fn remove_orphans(db: &Connection, folder: &Path) -> rusqlite::Result<u64> {
    let mut select = db.prepare("SELECT 1 FROM message WHERE queue_id = ?1 AND in_file")?;
    let mut removed = 0;
    for file in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = file.file_name();
        let Some(queue_id) = name.to_str().and_then(|name| QueueId::parse(name).ok()) else {
            continue;
        };
        let known = select.query_row([queue_id.as_str()], |_| Ok(())).optional()?.is_some();
        if !known && std::fs::remove_file(file.path()).is_ok() {
            removed += 1;
        }
    }
    Ok(removed)
}
