//! How much waits in each lane, in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::rows::lane;
use crate::limits::Load;
use crate::store::LaneName;

/// What waits in each lane, as of the last commit.
#[derive(Debug, Clone, Default)]
pub(super) struct Loads(Arc<Mutex<HashMap<LaneName, Load>>>);

/// A change of what waits in a lane.
pub(super) struct LoadChange {
    pub(super) lane: LaneName,
    pub(super) messages: i64,
    pub(super) recipients: i64,
    pub(super) octets: i64,
}

impl Loads {
    /// Counts in the tables.
    pub(super) fn read(db: &Connection) -> rusqlite::Result<Self> {
        Ok(Self(Arc::new(Mutex::new(count(db)?))))
    }

    /// Counts again.
    pub(super) fn read_again(&self, db: &Connection) -> rusqlite::Result<()> {
        *self.lock() = count(db)?;
        Ok(())
    }

    /// What waits in a lane.
    pub(super) fn of(&self, lane: &LaneName) -> Load {
        let loads = self.lock();
        loads.get(lane).copied().unwrap_or_default()
    }

    /// A transaction has changed them.
    pub(super) fn apply(&self, changes: impl Iterator<Item = LoadChange>) {
        let mut loads = self.lock();
        for LoadChange { lane, messages, recipients, octets } in changes {
            // An empty lane keeps its entry: there are as many as upstreams.
            let load = loads.entry(lane).or_default();
            load.messages = load.messages.saturating_add_signed(messages);
            load.recipients = load.recipients.saturating_add_signed(recipients);
            load.octets = load.octets.saturating_add_signed(octets);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LaneName, Load>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count(db: &Connection) -> rusqlite::Result<HashMap<LaneName, Load>> {
    let mut select = db.prepare(
        "SELECT route, count(*), sum(waiting), CAST(sum(size) AS INTEGER) FROM message WHERE state = 0 \
         GROUP BY route",
    )?;
    let rows = select.query_map([], |row| {
        let number = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
        let load = Load { messages: number(1)?, recipients: number(2)?, octets: number(3)? };
        Ok((lane(row, 0)?, load))
    })?;
    rows.collect()
}
