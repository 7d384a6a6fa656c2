//! The tables, how an older store becomes this version's, and whether all of it can be read.

use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension};

use super::fault::at_start;
use super::files::StoreFolder;
use super::keys;
use crate::store::StoreError;

/// How long a connection waits for another's lock.
pub(super) const BUSY: Duration = Duration::from_secs(10);

/// Statements that the writer keeps ready: all that it has.
const STATEMENTS: usize = 160;

/// Pages up to which all of a data base is looked at before anything is done with it: a quarter of a second. What is larger is
/// looked at while mail goes on ([`damage`]).
const LOOKED_AT_FIRST: i64 = 65_536;
/// Pages in use up to which a store of an older version is rewritten at its start, so that it can shrink from then on.
const REWRITTEN: i64 = 16_384;
/// `PRAGMA auto_vacuum`: pages are given back when they are asked for.
pub(super) const CAN_SHRINK: i64 = 2;

/// A step for each version; the first makes the tables. A step that has been released is never changed.
const STEPS: [&str; 13] = [
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_standing.sql"),
    include_str!("schema_fair.sql"),
    include_str!("schema_permit.sql"),
    include_str!("schema_6.sql"),
    include_str!("schema_7.sql"),
    include_str!("schema_8.sql"),
    include_str!("schema_9.sql"),
    include_str!("schema_10.sql"),
    include_str!("schema_11.sql"),
    include_str!("schema_12.sql"),
    include_str!("schema_13.sql"),
];

/// Sets the connection up and migrates the store. What is refused is not touched. Whether all of it was looked at.
pub(super) fn prepare(connection: &mut Connection, folder: &StoreFolder) -> Result<bool, StoreError> {
    let path = folder.database();
    let fault = at_start(&path);
    // Else SQLite would move its log into the data base when a refused one is closed.
    let keep_log = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    connection.set_db_config(keep_log, true).map_err(&fault)?;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(&fault)?;
    let known = STEPS.len() as i64;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    if found <= 0 {
        folder.refuse_to_begin_anew("has no queue in it", false)?;
        if let Some(table) = first_table(connection).map_err(&fault)? {
            let reason = format!("it has a table `{table}`, and is of no version of a queue");
            return Err(StoreError::Damaged { path, reason });
        }
    }
    let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).map_err(&fault)?;
    let is_looked_at = pages <= LOOKED_AT_FIRST;
    if is_looked_at && let Some(reason) = damage(connection).map_err(&fault)? {
        return Err(StoreError::Damaged { path, reason });
    }
    connection.set_db_config(keep_log, false).map_err(&fault)?;
    if found <= 0 {
        let_shrink(connection).map_err(&fault)?;
    }
    configure(connection).map_err(&fault)?;
    for (version, step) in (1..).zip(STEPS).skip(found.max(0).unsigned_abs() as usize) {
        migrate(connection, version, step).map_err(&fault)?;
    }
    rewrite_old(connection).map_err(&fault)?;
    Ok(is_looked_at)
}

/// Makes a data base that has no tables yet one that can shrink.
fn let_shrink(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "auto_vacuum", CAN_SHRINK)
}

/// Rewrites a data base of an older version that can't shrink, if that is done at once. It goes on as it is where that fails.
fn rewrite_old(connection: &Connection) -> rusqlite::Result<()> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    if number("auto_vacuum")? == CAN_SHRINK || number("page_count")? - number("freelist_count")? > REWRITTEN {
        return Ok(());
    }
    let_shrink(connection)?;
    if let Err(error) = connection.execute_batch("VACUUM") {
        tracing::warn!(event = "store", reason = %error, effect = "queue.db keeps its size for now");
    }
    Ok(())
}

fn first_table(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
    connection.query_row(sql, [], |row| row.get(0)).optional()
}

/// What is wrong with the tables and their indexes, if something is. All of it is looked at, a gigabyte in about a second: what is
/// found later stops a relay at work.
pub(super) fn damage(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let said: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok((said != "ok").then(|| said.lines().map(str::trim).collect::<Vec<_>>().join(" ")))
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    keys::register(connection)?;
    keep_statements(connection, STATEMENTS)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.pragma_update(None, "cache_size", -4096)?;
    Ok(())
}

/// Each statement is prepared once. Without the stability of plans SQLite looks at the values that are bound to it, and prepares it
/// anew for others.
pub(super) fn keep_statements(connection: &Connection, most: usize) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(most);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// This version of the schema.
pub(super) const VERSION: i64 = STEPS.len() as i64;

/// Makes an empty data base of this or an older version.
pub(super) fn make(connection: &mut Connection, version: usize) -> rusqlite::Result<()> {
    let_shrink(connection)?;
    prepare_as(connection, version)
}

/// Makes a store as an older version left it.
pub(super) fn prepare_as(connection: &mut Connection, version: usize) -> rusqlite::Result<()> {
    configure(connection)?;
    (1..).zip(STEPS).take(version).try_for_each(|(version, step)| migrate(connection, version, step))
}

/// Makes the tables.
#[cfg(test)]
pub(super) fn prepare_new(connection: &mut Connection) -> rusqlite::Result<()> {
    prepare_as(connection, STEPS.len())
}

fn migrate(connection: &mut Connection, version: i64, step: &str) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(step)?;
    transaction.pragma_update(None, "user_version", version)?;
    transaction.commit()
}
