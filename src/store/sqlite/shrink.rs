//! Room in the data base that nothing needs any more goes back to the file system, while mail goes on.

use rusqlite::Connection;

use super::schema::CAN_SHRINK;
use super::writing::Writing;

/// Free pages that stay for what comes next.
const KEPT: i64 = 4_096;
/// Pages that one write gives back at most: others wait for no longer.
const PORTION: i64 = 1_000;

/// Free pages beyond those that stay.
pub(super) fn surplus(db: &Connection) -> rusqlite::Result<i64> {
    let number = |name| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    if number("auto_vacuum")? != CAN_SHRINK {
        return Ok(0);
    }
    Ok((number("freelist_count")? - KEPT).max(0))
}

/// Gives some pages back; whether there are more. At the end the log goes into the data base, which is cut by that.
pub(super) fn release(db: &Writing) -> rusqlite::Result<bool> {
    let surplus = surplus(db)?;
    if surplus == 0 {
        // Mail has come since somebody looked. To SQLite no number of pages means all.
        return Ok(false);
    }
    let mut vacuum = db.prepare(&format!("PRAGMA incremental_vacuum({})", surplus.min(PORTION)))?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    let has_more = surplus > PORTION;
    if !has_more {
        db.truncate_log();
    }
    Ok(has_more)
}
