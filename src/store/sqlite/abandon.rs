//! A read that is worth nothing any more when nobody waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;

/// Steps of SQLite after which it is looked whether anybody still waits: some microseconds.
const STEPS: i32 = 1_000;

/// Who has this waits for a read; dropping it breaks the read off.
#[derive(Default)]
pub(super) struct Awaited(Arc<AtomicBool>);

impl Awaited {
    /// Tells the read.
    pub(super) fn told(&self) -> AwaitedRead {
        AwaitedRead(self.0.clone())
    }
}

/// The read that is waited for.
pub(super) struct AwaitedRead(Arc<AtomicBool>);

impl AwaitedRead {
    /// Reads for as long as somebody waits.
    pub(super) fn run<T>(
        self,
        connection: &mut Connection,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        connection.progress_handler(STEPS, Some(move || self.0.load(Ordering::Relaxed)))?;
        let result = read(connection);
        // What comes next on this connection is somebody else's.
        connection.progress_handler(0, None::<fn() -> bool>)?;
        result
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
