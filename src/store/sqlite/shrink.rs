//! Room in the data base that nothing needs any more goes back to the file system, while mail goes on.

use rusqlite::Connection;

use super::writing::Writing;

/// Free pages that stay for what comes next.
const KEPT: i64 = 4_096;
/// Pages that one write gives back at most: others wait for no longer.
const PORTION: i64 = 1_000;
/// Pages in use up to which a store of an older version is rewritten at its start, so that it can shrink from then on.
const REWRITTEN: i64 = 16_384;
/// `PRAGMA auto_vacuum`: pages are given back when they are asked for.
const INCREMENTAL: i64 = 2;

/// Makes a data base that has no tables yet one that can shrink.
pub(super) fn prepare_new(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "auto_vacuum", INCREMENTAL)
}

/// Rewrites a data base of an older version that can't shrink, if that is done at once. It goes on as it is where that fails.
pub(super) fn rewrite_old(connection: &Connection) -> rusqlite::Result<()> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    if number("auto_vacuum")? == INCREMENTAL || number("page_count")? - number("freelist_count")? > REWRITTEN
    {
        return Ok(());
    }
    prepare_new(connection)?;
    if let Err(error) = connection.execute_batch("VACUUM") {
        tracing::warn!(event = "store", reason = %error, effect = "queue.db keeps its size for now");
    }
    Ok(())
}

/// Free pages beyond those that stay.
pub(super) fn surplus(db: &Connection) -> rusqlite::Result<i64> {
    let number = |name| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    if number("auto_vacuum")? != INCREMENTAL {
        return Ok(0);
    }
    Ok((number("freelist_count")? - KEPT).max(0))
}

/// Gives some pages back; whether there are more. At the end the log goes into the data base, which is cut by that.
pub(super) fn release(db: &Writing) -> rusqlite::Result<bool> {
    let pages = surplus(db)?.min(PORTION);
    let mut vacuum = db.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    let has_more = pages == PORTION;
    if !has_more {
        db.truncate_log();
    }
    Ok(has_more)
}
