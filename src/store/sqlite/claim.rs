//! Due messages are taken under a lease, as far as the limits have room.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row};

use super::blacklist::ListedAt;
use super::lease::{self, Terms};
use super::rows::{self, DUE_OF_SUBMITTER, MessageRow};
use super::turns::{PRIORITIES, Turn};
use super::writing::Writing;
use crate::store::{Ask, Claimed, LaneName, MessageId};
use crate::time::Moment;

// Each of these finds its row in an index, whatever else waits: `message_turn`, and for the last two `message_due`. They
// say `state = 0` in so many words, for that is what these indexes hold.
/// When a submitter's first message is due.
pub(super) const FIRST_DUE: &str = "SELECT due FROM message WHERE route = ?1 AND state = 0 AND priority = ?2 \
    AND submitter = ?3 ORDER BY due, id LIMIT 1";
/// The first submitter of a lane and priority.
pub(super) const FIRST_SUBMITTER: &str = "SELECT submitter, due FROM message WHERE route = ?1 AND state = 0 \
    AND priority = ?2 ORDER BY submitter, due, id LIMIT 1";
/// The next submitter of a lane and priority.
pub(super) const NEXT_SUBMITTER: &str = "SELECT submitter, due FROM message WHERE route = ?1 AND state = 0 \
    AND priority = ?2 AND submitter > ?3 ORDER BY submitter, due, id LIMIT 1";
/// When something of a lane and priority is due next.
pub(super) const NEXT_DUE: &str =
    "SELECT due FROM message WHERE route = ?1 AND state = 0 AND priority = ?2 ORDER BY due, id LIMIT 1";
/// The same of what is not due yet.
pub(super) const DUE_LATER: &str = "SELECT due FROM message WHERE route = ?1 AND state = 0 AND priority = ?2 \
    AND due > ?3 ORDER BY due, id LIMIT 1";

/// Whose turn it is, and what it is for.
enum Candidate {
    Message(Turn, Box<MessageRow>),
    /// Nothing is due that fits.
    None,
}

/// What a submitter has due.
enum Due {
    Message(Box<MessageRow>),
    /// Something that the account can't take.
    Unfit,
    Nothing,
}

/// Takes what is due, fits and has room, turn by turn (see [`turns`](super::turns)).
pub(super) fn claim(db: &Writing, ask: &Ask, folder: &Path) -> rusqlite::Result<Claimed> {
    let now = db.now();
    let listed = ListedAt { listed: db.knowledge.listed(), now };
    let mut leased = Vec::new();
    let mut passed_over = Vec::new();
    let mut is_exhausted = false;
    while leased.len() < ask.messages as usize {
        let Candidate::Message(turn, row) = next(db, ask, now, &mut passed_over)? else {
            is_exhausted = true;
            break;
        };
        let room = match db.room(&ask.ceilings, &lease::least(row.message.disposition(), row.message.size))? {
            Ok(room) => room,
            Err(wait) if leased.is_empty() => return Ok(Claimed::Blocked(wait)),
            Err(_) => break,
        };
        let terms = Terms {
            account: Some(&ask.account),
            recipients: ask.recipients_per_message.min(room.recipients).max(1),
            blacklist: Some(listed),
            folder,
        };
        leased.extend(lease::take(db, *row, now, &terms)?);
        let due = first_due(db, &ask.lane, &turn)?;
        if let Some(lane) = db.turns().lane(&ask.lane) {
            lane.served(&turn, due, now);
        }
    }
    // Who leaves before the end need not ask the tables.
    let known = if is_exhausted { None } else { db.turns().lane(&ask.lane).map(|lane| lane.due(now)) };
    let mut due = match known {
        Some(due) => due,
        None => next_due(db, &ask.lane)?,
    };
    if is_exhausted && due.is_some_and(|due| due <= now) {
        if passed_over.is_empty() {
            // It can't be; but if a write did not name what it made wait, the next claim finds it.
            debug_assert!(false, "a message is due whose submitter has no turn");
            db.turns().forget();
        }
        due = due_later(db, &ask.lane, now)?;
    }
    if leased.is_empty() {
        return Ok(Claimed::Empty { next_due: due });
    }
    Ok(Claimed::Messages { leased, more: due })
}

/// Whose turn it is, and the message for it: what that submitter has had due for longest of what the account can take.
fn next(db: &Writing, ask: &Ask, now: Moment, passed_over: &mut Vec<Turn>) -> rusqlite::Result<Candidate> {
    if db.turns().lane(&ask.lane).is_none() {
        let waiting = submitters(db, &ask.lane)?;
        db.turns().read(&ask.lane, waiting);
    }
    loop {
        let Some(turn) = db.turns().lane(&ask.lane).and_then(|lane| lane.next(now, passed_over)) else {
            return Ok(Candidate::None);
        };
        match due_of(db, ask, &turn, now)? {
            Due::Message(row) => return Ok(Candidate::Message(turn, row)),
            // It keeps its turn, for an account that can take it.
            Due::Unfit => passed_over.push(turn),
            // It is gone, or was not due after all: the next one may be due.
            Due::Nothing => {
                let due = first_due(db, &ask.lane, &turn)?;
                if let Some(lane) = db.turns().lane(&ask.lane) {
                    lane.not_served(&turn, due, now);
                }
            }
        }
    }
}

/// What a submitter has had due for longest, of what the account can take. A row that can't be understood must not stop
/// those behind it: it is held for a person.
fn due_of(db: &Writing, ask: &Ask, turn: &Turn, now: Moment) -> rusqlite::Result<Due> {
    let mut select = db.prepare_cached(DUE_OF_SUBMITTER)?;
    loop {
        let mut rows = select.query((ask.lane.as_str(), turn.priority as i64, &*turn.submitter, now.0))?;
        let mut is_unfit = false;
        let mut unreadable = None;
        while let Some(row) = rows.next()? {
            let (id, size) = (MessageId(row.get(0)?), row.get::<_, i64>(1)?.unsigned_abs());
            if ask.max_size.is_some_and(|most| size > most) || ask.unfit.contains(&id) {
                is_unfit = true;
                continue;
            }
            match rows::message(row) {
                Ok(message) => return Ok(Due::Message(Box::new(message))),
                Err(error) => {
                    unreadable = Some((id, error));
                    break;
                }
            }
        }
        drop(rows);
        match unreadable {
            Some((id, error)) => lease::hold(db, id, &error)?,
            None => return Ok(if is_unfit { Due::Unfit } else { Due::Nothing }),
        }
    }
}

/// When the first message of a submitter is due.
fn first_due(db: &Connection, lane: &LaneName, turn: &Turn) -> rusqlite::Result<Option<Moment>> {
    let mut select = db.prepare_cached(FIRST_DUE)?;
    let key = (lane.as_str(), turn.priority as i64, &*turn.submitter);
    select.query_row(key, |row| row.get(0).map(Moment)).optional()
}

/// The submitters that have mail waiting in a lane, with the moment when their first message is due: one look-up for
/// each, however much they have.
fn submitters(db: &Connection, lane: &LaneName) -> rusqlite::Result<Vec<(u8, String, Moment)>> {
    let mut first = db.prepare_cached(FIRST_SUBMITTER)?;
    let mut after = db.prepare_cached(NEXT_SUBMITTER)?;
    let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, Moment(row.get(1)?)));
    let mut submitters = Vec::new();
    for priority in PRIORITIES {
        let mut found = first.query_row((lane.as_str(), priority as i64), read).optional()?;
        while let Some((submitter, due)) = found {
            found = after.query_row((lane.as_str(), priority as i64, &submitter), read).optional()?;
            submitters.push((priority as u8, submitter, due));
        }
    }
    Ok(submitters)
}

/// When something of a lane is due next.
pub(super) fn next_due(db: &Connection, lane: &LaneName) -> rusqlite::Result<Option<Moment>> {
    let mut select = db.prepare_cached(NEXT_DUE)?;
    earliest(|priority| select.query_row((lane.as_str(), priority), |row| row.get(0)))
}

fn due_later(db: &Connection, lane: &LaneName, now: Moment) -> rusqlite::Result<Option<Moment>> {
    let mut select = db.prepare_cached(DUE_LATER)?;
    earliest(|priority| select.query_row((lane.as_str(), priority, now.0), |row| row.get(0)))
}

/// The earliest moment of all priorities.
fn earliest(mut of: impl FnMut(i64) -> rusqlite::Result<i64>) -> rusqlite::Result<Option<Moment>> {
    let mut first: Option<Moment> = None;
    for priority in PRIORITIES {
        let due = of(priority as i64).optional()?.map(Moment);
        first = [first, due].into_iter().flatten().min();
    }
    Ok(first)
}
