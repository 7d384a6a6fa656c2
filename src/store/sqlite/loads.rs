//! How much waits in each lane, in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::rows::lane;
use crate::limits::Load;
use crate::store::LaneName;

/// What waits in each lane, as of the last commit.
#[derive(Debug, Clone, Default)]
pub(super) struct Loads(Arc<Mutex<HashMap<LaneName, LaneLoad>>>);

/// What waits in a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct LaneLoad {
    /// All of it.
    pub(super) load: Load,
    /// Messages of it that were tried before.
    pub(super) tried: u64,
}

/// A change of what waits in a lane.
pub(super) struct LoadChange {
    pub(super) lane: LaneName,
    pub(super) messages: i64,
    /// Messages of them that were tried before.
    pub(super) tried: i64,
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
        loads.get(lane).map(|waiting| waiting.load).unwrap_or_default()
    }

    /// What waits in all lanes.
    pub(super) fn all(&self) -> Vec<(LaneName, LaneLoad)> {
        self.lock().iter().map(|(lane, waiting)| (lane.clone(), *waiting)).collect()
    }

    /// A transaction has changed them.
    pub(super) fn apply(&self, changes: impl Iterator<Item = LoadChange>) {
        let mut loads = self.lock();
        for LoadChange { lane, messages, tried, recipients, octets } in changes {
            // An empty lane keeps its entry: there are as many as upstreams.
            let LaneLoad { load, tried: all_tried } = loads.entry(lane).or_default();
            load.messages = load.messages.saturating_add_signed(messages);
            load.recipients = load.recipients.saturating_add_signed(recipients);
            load.octets = load.octets.saturating_add_signed(octets);
            *all_tried = all_tried.saturating_add_signed(tried);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LaneName, LaneLoad>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads an index that has all of it, and not the table: with a million messages the table would take half of a start.
fn count(db: &Connection) -> rusqlite::Result<HashMap<LaneName, LaneLoad>> {
    let mut select = db.prepare(
        "SELECT route, count(*), sum(waiting), CAST(sum(size) AS INTEGER), sum(attempts > 0) \
         FROM message INDEXED BY message_due WHERE state = 0 GROUP BY route",
    )?;
    let rows = select.query_map([], |row| {
        let number = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
        let load = Load { messages: number(1)?, recipients: number(2)?, octets: number(3)? };
        Ok((lane(row, 0)?, LaneLoad { load, tried: number(4)? }))
    })?;
    rows.collect()
}
