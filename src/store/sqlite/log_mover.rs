//! Moves the log of the data base into it on a thread of its own, while the writer goes on.
//!
//! The writer appends to the log, and what it has committed before the move began is copied beside it. The log begins anew only
//! when nothing of it is left to be copied, so the writer copies the little that has come meanwhile itself.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use rusqlite::{Connection, ffi};

/// What a move of the log has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moved {
    /// Pages of the log that are in the data base, synced, counted from its beginning.
    pub(super) pages: i32,
}

/// Moves one log.
pub(super) struct LogMover {
    database: PathBuf,
    state: RefCell<MoverState>,
}

/// What a thread gives back.
type MoveEnd = (Option<Connection>, rusqlite::Result<Moved>);

enum MoverState {
    /// With the connection of the last move.
    Idle(Option<Connection>),
    Moving(JoinHandle<MoveEnd>),
}

/// How far it is.
#[derive(Debug)]
pub(super) enum MoveProgress {
    Idle,
    Moving,
    /// It has ended, and is idle again.
    Ended(rusqlite::Result<Moved>),
}

impl LogMover {
    pub(super) fn new(database: &Path) -> Self {
        Self { database: database.to_owned(), state: RefCell::new(MoverState::Idle(None)) }
    }

    /// Begins a move, unless one is under way. False when the system has no thread for it.
    pub(super) fn begin(&self) -> bool {
        let mut state = self.state.borrow_mut();
        let MoverState::Idle(connection) = &mut *state else { return true };
        let (connection, database) = (connection.take(), self.database.clone());
        let thread = thread::Builder::new().name("checkpoint".to_owned());
        let Ok(moving) = thread.spawn(move || move_log(connection, &database)) else { return false };
        *state = MoverState::Moving(moving);
        true
    }

    /// How far it is. With `waits` a move that is under way is waited for.
    pub(super) fn progress(&self, waits: bool) -> MoveProgress {
        let mut state = self.state.borrow_mut();
        match std::mem::replace(&mut *state, MoverState::Idle(None)) {
            MoverState::Moving(moving) if waits || moving.is_finished() => {
                let (connection, moved) = moving.join().unwrap_or_else(|_| (None, Err(ended_by_a_fault())));
                *state = MoverState::Idle(connection);
                MoveProgress::Ended(moved)
            }
            MoverState::Moving(moving) => {
                *state = MoverState::Moving(moving);
                MoveProgress::Moving
            }
            idle @ MoverState::Idle(_) => {
                *state = idle;
                MoveProgress::Idle
            }
        }
    }
}

/// A move ends before its data base is closed.
impl Drop for LogMover {
    fn drop(&mut self) {
        self.progress(true);
    }
}

fn ended_by_a_fault() -> rusqlite::Error {
    let reason = "a fault in the thread that moves the log; please report it with the log";
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_INTERNAL), Some(reason.to_owned()))
}

fn move_log(connection: Option<Connection>, database: &Path) -> MoveEnd {
    let opened = connection.map_or_else(|| open(database), Ok);
    match opened {
        Ok(connection) => {
            let moved = move_what_is_free(&connection);
            // After a failure nothing is kept that knows of it.
            (moved.is_ok().then_some(connection), moved)
        }
        Err(error) => (None, Err(error)),
    }
}

fn open(database: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(database)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

/// Moves what no reader needs where it is, and waits for nobody.
pub(super) fn move_what_is_free(connection: &Connection) -> rusqlite::Result<Moved> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        Ok(Moved { pages: row.get::<_, i32>(2)?.max(0) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(folder: &Path) -> Connection {
        let db = Connection::open(folder.join("db")).unwrap();
        db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x)")
            .unwrap();
        db
    }

    #[test]
    fn what_was_committed_before_is_moved_beside_an_open_transaction() {
        let dir = tempfile::tempdir().unwrap();
        let db = database(dir.path());
        db.execute_batch(
            "INSERT INTO t VALUES (zeroblob(1000000)); BEGIN IMMEDIATE; INSERT INTO t VALUES (1)",
        )
        .unwrap();
        let mover = LogMover::new(&dir.path().join("db"));
        assert!(matches!(mover.progress(true), MoveProgress::Idle));
        assert!(mover.begin() && mover.begin());
        let MoveProgress::Ended(Ok(first)) = mover.progress(true) else { panic!() };
        assert!(first.pages > 240, "{first:?}");
        assert!(std::fs::metadata(dir.path().join("db")).unwrap().len() > 1_000_000);
        db.execute_batch("COMMIT").unwrap();
        // The rest is little.
        let all = move_what_is_free(&db).unwrap();
        assert!(all.pages > first.pages && all.pages < first.pages + 10, "{all:?}");
    }

    #[test]
    fn a_failure_is_told_and_the_next_move_opens_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mover = LogMover::new(&dir.path().join("missing").join("db"));
        assert!(mover.begin());
        assert!(matches!(mover.progress(true), MoveProgress::Ended(Err(_))));
        std::fs::create_dir(dir.path().join("missing")).unwrap();
        let db = database(&dir.path().join("missing"));
        db.execute_batch("INSERT INTO t VALUES (1)").unwrap();
        assert!(mover.begin());
        assert!(matches!(mover.progress(true), MoveProgress::Ended(Ok(Moved { pages })) if pages > 1));
    }
}
