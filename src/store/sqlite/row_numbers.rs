//! The numbers of messages and copies. None comes back while the relay runs: what lanes remember of a message by its number must
//! not be taken for another's.

use std::cell::Cell;

use rusqlite::Connection;

/// The last numbers that were given out.
pub(super) struct RowNumbers {
    message: Cell<i64>,
    sent_copy: Cell<i64>,
}

impl RowNumbers {
    /// Goes on behind the rows that are there.
    pub(super) fn read(db: &Connection) -> rusqlite::Result<Self> {
        let last = |sql| db.query_row(sql, [], |row| row.get(0)).map(Cell::new);
        Ok(Self {
            message: last("SELECT coalesce(max(id), 0) FROM message")?,
            sent_copy: last("SELECT coalesce(max(id), 0) FROM sent_copy")?,
        })
    }

    /// For a message.
    pub(super) fn message(&self) -> i64 {
        next(&self.message)
    }

    /// For a copy.
    pub(super) fn sent_copy(&self) -> i64 {
        next(&self.sent_copy)
    }
}

fn next(last: &Cell<i64>) -> i64 {
    last.set(last.get() + 1);
    last.get()
}
