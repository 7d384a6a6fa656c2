//! Where a message waits, as a row of `message` tells it.

use rusqlite::Row;

use super::rows::{lane, millis};
use crate::store::{LaneName, NewMessage};
use crate::time::Moment;

/// The columns of `message` that a [`QueuePlace`] is read from. They come first in the row.
macro_rules! place_columns {
    () => {
        "route, priority, submitter, due, waiting, size, attempts > 0"
    };
}
pub(super) use place_columns;

/// Where a message waits: what [`place_columns`] names.
pub(super) struct QueuePlace {
    pub(super) lane: LaneName,
    /// `message.priority`
    pub(super) priority: u8,
    pub(super) submitter: String,
    pub(super) due: Moment,
    /// Recipients that are not settled.
    pub(super) recipients: i64,
    /// Octets of its content.
    pub(super) octets: i64,
    /// Whether it was tried before.
    pub(super) tried: bool,
}

impl QueuePlace {
    /// How many columns it is read from.
    pub(super) const COLUMNS: usize = 7;

    /// Reads the columns, which are the first of the row.
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            lane: lane(row, 0)?,
            priority: row.get(1)?,
            submitter: row.get(2)?,
            due: Moment(row.get(3)?),
            recipients: row.get(4)?,
            octets: row.get(5)?,
            tried: row.get(6)?,
        })
    }
}

/// What counts of a message that waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct WaitingMessage {
    /// Recipients that are not settled.
    pub(super) recipients: i64,
    /// Octets of its content.
    pub(super) octets: i64,
    /// Whether it was tried before.
    pub(super) tried: bool,
}

impl From<&QueuePlace> for WaitingMessage {
    fn from(place: &QueuePlace) -> Self {
        let QueuePlace { recipients, octets, tried, .. } = *place;
        Self { recipients, octets, tried }
    }
}

/// When a message came, and what of it waits.
pub(super) struct QueueEntry {
    pub(super) accepted: Moment,
    /// Milliseconds since 1970.
    pub(super) accepted_wall: i64,
    pub(super) due: Moment,
    /// Recipients that are to get it.
    pub(super) waiting: u64,
}

impl QueueEntry {
    /// `message.age_base`: what waits for its time of day grows no older meanwhile.
    pub(super) fn age_base(&self, message: &NewMessage) -> i64 {
        self.due.0.saturating_sub(millis(message.limit_wait))
    }
}
