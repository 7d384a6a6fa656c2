//! Mail is moved to the lanes that serve its senders now: one walk through a lane, whatever the number of senders.

use std::collections::HashMap;

use rusqlite::Row;

use super::queue_place::{QueuePlace, WaitingMessage, place_columns};
use super::writing::Writing;
use crate::store::{Decisions, LaneMove, LaneName};

/// Messages that are looked at in one transaction.
const PORTION: usize = 2_000;

// They walk along the indexes `message_due` and `message_held`, and go on where they have stopped.
pub(super) const WAITING: &str = concat!(
    "SELECT ",
    place_columns!(),
    ", id, sender, decisions FROM message WHERE route = ?1 AND state = 0 AND (priority, due, id) > (?2, ?3, ?4) \
     ORDER BY priority, due, id LIMIT ?5"
);
pub(super) const HELD: &str = concat!(
    "SELECT ",
    place_columns!(),
    ", id, sender, decisions FROM message WHERE route = ?1 AND state = 2 AND id > ?2 ORDER BY id LIMIT ?3"
);

/// Where a walk through a lane has come to.
#[derive(Debug, Clone, Copy)]
pub(super) struct LanePosition {
    /// Whether what waits has been walked through, and what is held comes now.
    held: bool,
    priority: i64,
    due: i64,
    id: i64,
}

/// What one portion of a walk has come to.
pub(super) struct Portion {
    /// Messages that were moved.
    pub(super) moved: u64,
    /// Where the next portion begins; `None` at the end.
    pub(super) next: Option<LanePosition>,
}

struct Found {
    place: QueuePlace,
    id: i64,
    sender: String,
    /// Whether a person has decided by which upstream it goes.
    decided: bool,
}

impl LanePosition {
    pub(super) const START: Self = Self { held: false, priority: -1, due: i64::MIN, id: i64::MIN };
    const HELD: Self = Self { held: true, ..Self::START };
}

/// Moves what waits or is held, and is not being sent, of the next so many messages of a lane.
pub(super) fn portion(
    db: &Writing,
    from: &LaneName,
    moves: &HashMap<String, LaneMove>,
    at: LanePosition,
) -> rusqlite::Result<Portion> {
    let found = look(db, from, at)?;
    let next = match found.last() {
        Some(last) if found.len() == PORTION => {
            let (priority, due) = (i64::from(last.place.priority), last.place.due.0);
            Some(LanePosition { held: at.held, priority, due, id: last.id })
        }
        _ if at.held => None,
        _ => Some(LanePosition::HELD),
    };
    let mut update =
        db.prepare_cached("UPDATE message SET route = ?2, age_base = age_base + ?3 WHERE id = ?1")?;
    let mut count = 0;
    for Found { place, id, sender, decided } in found {
        let fits = |to: &&LaneMove| to.to != *from && (to.with_decided || !decided);
        let Some(to) = moves.get(&sender).filter(fits) else { continue };
        update.execute((id, to.to.as_str(), to.credit))?;
        count += 1;
        if !at.held {
            db.leaves(place.lane.clone(), WaitingMessage::from(&place));
            db.enters(&QueuePlace { lane: to.to.clone(), ..place });
        }
    }
    Ok(Portion { moved: count, next })
}

fn look(db: &Writing, from: &LaneName, at: LanePosition) -> rusqlite::Result<Vec<Found>> {
    let most = PORTION as i64;
    if at.held {
        let mut select = db.prepare_cached(HELD)?;
        return select.query_map((from.as_str(), at.id, most), found)?.collect();
    }
    let mut select = db.prepare_cached(WAITING)?;
    select.query_map((from.as_str(), at.priority, at.due, at.id, most), found)?.collect()
}

fn found(row: &Row<'_>) -> rusqlite::Result<Found> {
    let behind = QueuePlace::COLUMNS;
    let decisions: Option<String> = row.get(behind + 2)?;
    let decided = decisions.is_some_and(|text| {
        Decisions::from_text(Some(&text)).is_ok_and(|decisions| decisions.upstream.is_some())
    });
    Ok(Found { place: QueuePlace::read(row)?, id: row.get(behind)?, sender: row.get(behind + 1)?, decided })
}
