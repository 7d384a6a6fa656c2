//! What a start finds, and sets right.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::rows::{self, SENDING, WAITING};
use super::writing::{PLACE, Place, Writing};
use super::{direct, usage};
use crate::mail::QueueId;
use crate::store::Recovered;
use crate::time::Moment;

/// Voids all leases: whoever held them is dead, for we hold the lock.
pub(super) fn recover(db: &Writing, now: Moment) -> rusqlite::Result<Recovered> {
    usage::add_unknown(db, "SELECT upstream, account, recipients FROM lease WHERE recipients > 0", now)?;
    direct::recover(db, now)?;
    let mut sending = db.prepare(&format!("SELECT queue_id FROM message WHERE state = {SENDING}"))?;
    let unknown = sending.query_map([], |row| rows::queue_id(row, 0))?.collect::<rusqlite::Result<_>>()?;
    let sql = format!("UPDATE message SET state = {WAITING} WHERE state = {SENDING} RETURNING {PLACE}");
    for place in db.prepare(&sql)?.query_map([], Place::read)? {
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
