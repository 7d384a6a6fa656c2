//! Connections that read beside the writer.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags};

use super::fault::database;
use super::{keys, schema};
use crate::store::StoreError;

/// Open connections that are kept for the next reader.
const IDLE_READERS: usize = 8;
/// Statements that a connection keeps ready.
const STATEMENTS: usize = 64;

pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::default() }
    }

    /// Runs a read on the calling thread.
    pub(super) fn with<T>(
        &self,
        operation: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.with_mut(|connection| operation(connection))
    }

    /// The same of a read that sets something of its connection; it must be as before when the read has ended.
    pub(super) fn with_mut<T>(
        &self,
        operation: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.open().map_err(database)?,
        };
        let result = operation(&mut connection).map_err(database);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_READERS {
            idle.push(connection);
        }
        result
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        keys::register(&connection)?;
        connection.busy_timeout(schema::BUSY)?;
        connection.pragma_update(None, "cache_size", -512)?;
        schema::keep_statements(&connection, STATEMENTS)?;
        Ok(connection)
    }
}
