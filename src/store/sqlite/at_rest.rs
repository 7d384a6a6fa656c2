//! The store of a relay that does not run, for those who only want to look.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};

use super::SqliteStore;
use super::fault::at_start;
use super::schema;
use super::writer::Threading;
use crate::store::StoreError;
use crate::time::Clock;

impl SqliteStore {
    /// Opens the store in `data_dir` for who only looks, and keeps a relay out of it meanwhile. Nothing is made, no older store is
    /// changed, and nothing is written but what any opening would: mail of a backup that was put back is held.
    ///
    /// # Errors
    /// When there is no store, another instance uses it, or one of another version has written it: what is older is brought up to
    /// date by the next start, which nobody who only looks should do in its place.
    pub fn open_at_rest(data_dir: &Path, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let path = data_dir.join("queue.db");
        if !path.exists() {
            return Err(StoreError::None(data_dir.to_owned()));
        }
        let version = {
            let look = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY);
            let look = look.map_err(at_start(&path))?;
            look.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))
                .map_err(at_start(&path))?
        };
        if version < schema::VERSION {
            return Err(StoreError::Older { found: version, known: schema::VERSION });
        }
        Self::open(data_dir, u64::MAX, Threading::Caller, clock)
    }
}
