//! The tables, and how an older store becomes this version's.

use std::time::Duration;

use rusqlite::Connection;

use super::fault::database;
use super::keys;
use crate::store::StoreError;

/// How long a connection waits for another's lock.
pub(super) const BUSY: Duration = Duration::from_secs(10);

/// Statements that the writer keeps ready: all that it has.
const STATEMENTS: usize = 128;

/// A step for each version; the first makes the tables. A step that has been released is never changed.
const STEPS: [&str; 9] = [
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_standing.sql"),
    include_str!("schema_fair.sql"),
    include_str!("schema_permit.sql"),
    include_str!("schema_6.sql"),
    include_str!("schema_7.sql"),
    "",
    include_str!("schema_9.sql"),
];

/// Sets the connection up and migrates the store.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), StoreError> {
    configure(connection).map_err(database)?;
    let found: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(database)?;
    let known = STEPS.len() as i64;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (version, step) in (1..).zip(STEPS).skip(found.unsigned_abs() as usize) {
        migrate(connection, version, step).map_err(database)?;
    }
    Ok(())
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    keys::register(connection)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.pragma_update(None, "wal_autocheckpoint", 4000)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.pragma_update(None, "cache_size", -4096)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

/// Makes a store as an older version left it.
#[cfg(test)]
pub(super) fn prepare_as(connection: &mut Connection, version: usize) -> rusqlite::Result<()> {
    configure(connection)?;
    (1..).zip(STEPS).take(version).try_for_each(|(version, step)| migrate(connection, version, step))
}

fn migrate(connection: &mut Connection, version: i64, step: &str) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(step)?;
    transaction.pragma_update(None, "user_version", version)?;
    transaction.commit()
}
