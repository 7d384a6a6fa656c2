//! How much of its lane goes before a message.
//!
//! By the rule of [`turns`](super::turns), applied to what is due now. Before the message go its submitter's earlier
//! messages, k of them; of each other submitter of its priority as many, and one more, for it is taken to be last in the
//! present round; of the lower priorities one for nine of these; of each higher one all, or nine for each of these; and
//! all our own reports. Only what goes before is counted, so the cost is that of walking over so many entries of an index
//! and one look-up for each submitter: nothing for the single mail beside a burst, and for the last of a burst the burst,
//! some 0.2 s of a reader for a million.

use rusqlite::{Connection, OptionalExtension, Params};

use super::rows::{HELD, SENDING};
use super::turns::{IN_SUCCESSION, PRIORITIES};
use crate::limits::Load;
use crate::mail::QueueId;
use crate::store::Priority;
use crate::time::Moment;

// Counted from `message_turn` and `message_due` alone, which hold what waits.
/// What a submitter has due before one of its messages.
pub(super) const OWN: &str = "SELECT count(*), coalesce(sum(waiting), 0) FROM message WHERE route = ?1 AND state = 0 \
    AND priority = ?2 AND submitter = ?3 AND due <= ?4 AND (due, id) < (?5, ?6)";
/// The first so many of what a submitter has due.
pub(super) const OTHER: &str = "SELECT count(*), coalesce(sum(waiting), 0) FROM (SELECT waiting FROM message WHERE route = ?1 \
    AND state = 0 AND priority = ?2 AND submitter = ?3 AND due <= ?4 ORDER BY due, id LIMIT ?5)";
/// The first so many of what a priority has due.
pub(super) const CLASS: &str = "SELECT count(*), coalesce(sum(waiting), 0) FROM (SELECT waiting FROM message WHERE route = ?1 \
    AND state = 0 AND priority = ?2 AND due <= ?3 ORDER BY due, id LIMIT ?4)";
/// The next submitter of a priority; before the first stands no name, not the empty one.
pub(super) const NEXT: &str = "SELECT submitter FROM message WHERE route = ?1 AND state = 0 AND priority = ?2 \
    AND submitter > ?3 ORDER BY submitter LIMIT 1";
pub(super) const FIRST: &str = "SELECT submitter FROM message WHERE route = ?1 AND state = 0 AND priority = ?2 \
    ORDER BY submitter LIMIT 1";

/// A waiting message, as far as its place depends on it.
struct PlacedMessage {
    id: i64,
    route: String,
    priority: u8,
    submitter: String,
    due: Moment,
    now: Moment,
}

/// What goes before a message. `None` when it is held or unknown.
pub(super) fn ahead(db: &Connection, queue_id: &QueueId, now: Moment) -> rusqlite::Result<Option<Load>> {
    let sql = "SELECT id, route, priority, submitter, due, state FROM message WHERE queue_id = ?1";
    let found = db.prepare_cached(sql)?.query_row([queue_id.as_str()], |row| {
        let (priority, due): (u8, i64) = (row.get(2)?, row.get(4)?);
        let (id, route, submitter) = (row.get(0)?, row.get(1)?, row.get(3)?);
        Ok((PlacedMessage { id, route, priority, submitter, due: Moment(due), now }, row.get(5)?))
    });
    match found.optional()? {
        None | Some((_, HELD)) => Ok(None),
        Some((_, SENDING)) => Ok(Some(Load::default())),
        Some((message, _)) => message.ahead(db).map(Some),
    }
}

impl PlacedMessage {
    fn ahead(&self, db: &Connection) -> rusqlite::Result<Load> {
        let mut ahead = self.own(db)?;
        let round = ahead.messages + 1;
        let mut submitter = self.submitter_after(db, None)?;
        while let Some(name) = submitter {
            if name != self.submitter {
                let key = (&self.route, self.priority, &name, self.now.0, round as i64);
                ahead += count(db, OTHER, key)?;
            }
            submitter = self.submitter_after(db, Some(&name))?;
        }
        let report = Priority::Report as u8;
        if self.priority == report {
            return Ok(ahead);
        }
        let mut share = ahead.messages / IN_SUCCESSION;
        for class in self.priority + 1..PRIORITIES.len() as u8 {
            let gone = self.class(db, class, share)?;
            share -= gone.messages;
            ahead += gone;
        }
        for class in (1..self.priority).rev() {
            ahead += self.class(db, class, IN_SUCCESSION * (ahead.messages + 1))?;
        }
        ahead += self.class(db, report, u64::from(u32::MAX))?;
        Ok(ahead)
    }

    fn own(&self, db: &Connection) -> rusqlite::Result<Load> {
        let key = (&self.route, self.priority, &self.submitter, self.now.0, self.due.0, self.id);
        count(db, OWN, key)
    }

    /// At most `most` of what another priority has due.
    fn class(&self, db: &Connection, class: u8, most: u64) -> rusqlite::Result<Load> {
        count(db, CLASS, (&self.route, class, self.now.0, most as i64))
    }

    fn submitter_after(&self, db: &Connection, name: Option<&str>) -> rusqlite::Result<Option<String>> {
        let found = match name {
            Some(name) => {
                let key = (&self.route, self.priority, name);
                db.prepare_cached(NEXT)?.query_row(key, |row| row.get(0))
            }
            None => db.prepare_cached(FIRST)?.query_row((&self.route, self.priority), |row| row.get(0)),
        };
        found.optional()
    }
}

fn count(db: &Connection, sql: &str, key: impl Params) -> rusqlite::Result<Load> {
    db.prepare_cached(sql)?.query_row(key, |row| {
        let (messages, recipients): (i64, i64) = (row.get(0)?, row.get(1)?);
        Ok(Load { messages: messages.unsigned_abs(), recipients: recipients.unsigned_abs(), octets: 0 })
    })
}
