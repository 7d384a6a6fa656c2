//! Permits of transactions that have no message in the queue.

use rusqlite::Connection;

use super::rows;
use super::writing::Writing;
use super::{blacklist, enqueue, usage};
use crate::store::{Handover, NewPermit, PermitId};
use crate::time::Moment;

/// Records a permit.
pub(super) fn take_permit(db: &Connection, permit: &NewPermit) -> rusqlite::Result<PermitId> {
    let sql = "INSERT INTO permit (upstream, account, recipients) VALUES (?1, ?2, ?3)";
    let row = (&permit.upstream, &permit.account, permit.recipients);
    db.prepare_cached(sql)?.insert(row).map(PermitId)
}

/// Ends it. One that is gone was ended already, and counts nothing.
pub(super) fn hand_over(db: &Writing, handover: &Handover) -> rusqlite::Result<bool> {
    if db.prepare_cached("DELETE FROM permit WHERE id = ?1")?.execute([handover.permit.0])? == 0 {
        return Ok(false);
    }
    if let Some(used) = &handover.used {
        usage::add(db, used)?;
    }
    rows::count(db, "accepted", handover.sent + handover.dropped)?;
    rows::count(db, "sent", handover.sent)?;
    rows::count(db, "dropped", handover.dropped)?;
    for (candidate, reply) in &handover.unknown {
        blacklist::count_bounce(db, candidate, reply)?;
    }
    for report in &handover.reports {
        enqueue::enqueue(db, report)?;
    }
    Ok(true)
}

/// Ends the permits of a dead predecessor.
pub(super) fn recover(db: &Connection, now: Moment) -> rusqlite::Result<()> {
    usage::add_unknown(db, "SELECT upstream, account, recipients FROM permit", now)?;
    db.execute("DELETE FROM permit", []).map(|_| ())
}
