//! The connection as a write sees it: with what is known in memory of the rows that it changes.
//!
//! A write that makes a message wait says so by [`Writing::enters`], one that ends its waiting by [`Writing::leaves`].
//! The figures of the lanes change when the transaction has been committed; whose turn it is changes at once, for it may
//! say too much (see [`turns`](super::turns)).

use std::cell::{RefCell, RefMut};
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, Row};

use super::turns::Turns;
use crate::store::Load;
use crate::time::Moment;

/// The columns that [`Place::read`] reads.
pub(super) const PLACE: &str = "route, priority, submitter, due, waiting";

/// Where a message waits.
pub(super) struct Place {
    pub(super) route: String,
    /// `message.priority`
    pub(super) priority: u8,
    pub(super) submitter: String,
    pub(super) due: Moment,
    /// Recipients that are not settled.
    pub(super) recipients: i64,
}

/// What waits in each lane, as of the last commit.
#[derive(Debug, Clone, Default)]
pub(super) struct Loads(Arc<Mutex<HashMap<String, Load>>>);

/// A change of what waits in a lane, in messages and recipients.
type Change = (String, i64, i64);

/// A connection that writes.
pub(super) struct Writing {
    connection: Connection,
    turns: RefCell<Turns>,
    /// What the transaction has changed so far.
    changes: RefCell<Vec<Change>>,
    loads: Loads,
}

impl Deref for Writing {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl Place {
    /// Reads the columns of [`PLACE`], which are the first of the row.
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            route: row.get(0)?,
            priority: row.get(1)?,
            submitter: row.get(2)?,
            due: Moment(row.get(3)?),
            recipients: row.get(4)?,
        })
    }
}

impl Writing {
    /// Reads what waits.
    pub(super) fn new(connection: Connection) -> rusqlite::Result<Self> {
        let loads = Loads(Arc::new(Mutex::new(Loads::read(&connection)?)));
        Ok(Self { connection, turns: RefCell::default(), changes: RefCell::default(), loads })
    }

    /// The figures of the lanes.
    pub(super) fn loads(&self) -> Loads {
        self.loads.clone()
    }

    /// Whose turn it is.
    pub(super) fn turns(&self) -> RefMut<'_, Turns> {
        self.turns.borrow_mut()
    }

    /// A message waits now that did not before.
    pub(super) fn enters(&self, place: &Place) {
        self.turns().waits(&place.route, place.priority, &place.submitter, place.due);
        self.changed(place.route.clone(), 1, place.recipients);
    }

    /// A message waits no longer.
    pub(super) fn leaves(&self, route: &str, recipients: i64) {
        self.changed(route.to_owned(), -1, -recipients);
    }

    /// So many more messages and recipients wait in a lane.
    pub(super) fn changed(&self, route: String, messages: i64, recipients: i64) {
        self.changes.borrow_mut().push((route, messages, recipients));
    }

    /// How much was changed so far, for [`Writing::undone`].
    pub(super) fn mark(&self) -> usize {
        self.changes.borrow().len()
    }

    /// What was changed since the mark has been rolled back.
    pub(super) fn undone(&self, mark: usize) {
        self.changes.borrow_mut().truncate(mark);
        self.turns().forget();
    }

    /// Reads what waits again: after a failure a transaction that was given up may have been kept after all.
    pub(super) fn read_again(&self) -> rusqlite::Result<()> {
        let read = Loads::read(&self.connection)?;
        *self.loads.0.lock().unwrap_or_else(PoisonError::into_inner) = read;
        self.turns().forget();
        Ok(())
    }

    /// The transaction has been committed.
    pub(super) fn committed(&self) {
        self.loads.apply(self.changes.borrow_mut().drain(..));
    }
}

impl Loads {
    fn read(db: &Connection) -> rusqlite::Result<HashMap<String, Load>> {
        let mut select =
            db.prepare("SELECT route, count(*), sum(waiting) FROM message WHERE state = 0 GROUP BY route")?;
        let rows = select.query_map([], |row| {
            let (messages, recipients) = (row.get::<_, i64>(1)?, row.get::<_, i64>(2)?);
            let load = Load { messages: messages.unsigned_abs(), recipients: recipients.unsigned_abs() };
            Ok((row.get(0)?, load))
        })?;
        rows.collect()
    }

    /// What waits in a lane.
    pub(super) fn of(&self, route: &str) -> Load {
        let loads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loads.get(route).copied().unwrap_or_default()
    }

    fn apply(&self, changes: impl Iterator<Item = Change>) {
        let mut loads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (route, messages, recipients) in changes {
            // An empty lane keeps its entry: there are as many as upstreams.
            let load = loads.entry(route).or_default();
            load.messages = load.messages.saturating_add_signed(messages);
            load.recipients = load.recipients.saturating_add_signed(recipients);
        }
    }
}
