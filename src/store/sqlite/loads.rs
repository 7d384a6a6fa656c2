//! How much waits in each lane, in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

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

/// Reads the table in its order, once: by an index each message would be looked up.
fn count(db: &Connection) -> rusqlite::Result<HashMap<LaneName, LaneLoad>> {
    let mut select =
        db.prepare("SELECT route, waiting, size, attempts FROM message NOT INDEXED WHERE state = 0")?;
    let mut rows = select.query([])?;
    let mut loads: HashMap<String, LaneLoad> = HashMap::new();
    while let Some(row) = rows.next()? {
        let route = row.get_ref(0)?.as_str()?;
        let number = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
        if !loads.contains_key(route) {
            loads.insert(route.to_owned(), LaneLoad::default());
        }
        if let Some(LaneLoad { load, tried }) = loads.get_mut(route) {
            load.messages += 1;
            load.recipients += number(1)?;
            load.octets += number(2)?;
            *tried += u64::from(number(3)? > 0);
        }
    }
    Ok(loads.into_iter().map(|(route, load)| (LaneName::parse(&route), load)).collect())
}
