//! What becomes of a store that came out of a backup or of damaged files: nobody knows what was sent since. All its mail is held
//! until a person releases it, and its limits count as used.
//!
//! A mark in the table of the switches tells it. Who makes such a store puts the mark in; the first opening holds the mail before
//! anything is read of it; the start then uses up the limits, which only the configuration knows.

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::settings::{set_switch, switch};
use super::usage;
use super::writing::Writing;
use crate::limits::Ledger;
use crate::store::{MOST_DOUBTS, Restored, StoreOrigin, UsedQuota};

const MARK: &str = "restored";

/// What the mark says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct RestoreMark {
    origin: StoreOrigin,
    made: i64,
    stage: RestoreStage,
    /// Recipients that could not be saved.
    lost: u64,
    /// Whether what was counted for the limits may lag behind.
    limits: bool,
    #[serde(default)]
    begun: i64,
    #[serde(default)]
    messages: u64,
    /// The newest of the messages that were held.
    #[serde(default)]
    up_to: i64,
}

/// How far the starts have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RestoreStage {
    /// Nobody has opened it yet.
    New,
    /// Its mail is held.
    Held,
    /// Its limits are used up as well.
    Done,
}

/// What somebody knows who makes such a store.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewMark {
    pub(super) origin: StoreOrigin,
    /// When, by the wall clock.
    pub(super) made: i64,
    pub(super) lost: u64,
    pub(super) limits: bool,
}

/// Marks a store; the next opening of it holds its mail.
pub(super) fn mark(db: &Connection, new: &NewMark) -> rusqlite::Result<()> {
    let &NewMark { origin, made, lost, limits } = new;
    // One that was marked before and never looked at has lost what it had lost.
    let before = read(db)?;
    let lost = lost + before.as_ref().map_or(0, |mark| mark.lost);
    write(
        db,
        &RestoreMark {
            origin,
            made,
            stage: RestoreStage::New,
            lost,
            limits,
            begun: 0,
            messages: 0,
            up_to: 0,
        },
    )
}

fn read(db: &Connection) -> rusqlite::Result<Option<RestoreMark>> {
    Ok(switch(db, MARK)?.and_then(|text| serde_json::from_str(&text).ok()))
}

fn write(db: &Connection, mark: &RestoreMark) -> rusqlite::Result<()> {
    set_switch(db, MARK, &serde_json::to_string(mark).expect("plain fields always serialise"))
}

/// Recipients that were lost when such a store was made.
pub(super) fn lost(db: &Connection) -> rusqlite::Result<u64> {
    Ok(read(db)?.map_or(0, |mark| mark.lost))
}

/// Holds all mail of a store that is marked and was not opened yet. Who does it owns the store, and has read nothing of it.
pub(super) fn hold(db: &mut Connection, now_wall: i64) -> rusqlite::Result<()> {
    let Some(mark) = read(db)?.filter(|mark| mark.stage == RestoreStage::New) else { return Ok(()) };
    let transaction = db.transaction()?;
    transaction.execute(
        "UPDATE recipient SET doubts = min(doubts + 1, ?1), reply = ?2 WHERE state = 0",
        (MOST_DOUBTS, reply(mark.origin)),
    )?;
    transaction.execute("UPDATE message SET state = 2 WHERE state <> 2", [])?;
    let (messages, up_to): (i64, i64) =
        transaction.query_row("SELECT count(*), coalesce(max(id), 0) FROM message", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let messages = messages.unsigned_abs();
    write(
        &transaction,
        &RestoreMark { stage: RestoreStage::Held, begun: now_wall, messages, up_to, ..mark },
    )?;
    transaction.commit()
}

fn reply(origin: StoreOrigin) -> &'static str {
    match origin {
        StoreOrigin::Backup => "restored from a backup: it may have been sent since, possible duplicate",
        StoreOrigin::Salvage => {
            "saved from a damaged store: it may have been sent already, possible duplicate"
        }
    }
}

/// Uses up the limits of a store whose mail was held by its opening; once.
pub(super) fn use_up(db: &Writing, quotas: &[UsedQuota]) -> rusqlite::Result<Option<Restored>> {
    let Some(mark) = read(db)? else { return Ok(None) };
    let is_new = mark.stage == RestoreStage::Held;
    if is_new {
        if mark.limits {
            let now = db.now();
            for UsedQuota { account, window, amount } in quotas {
                usage::add_to_slot(db, account, amount, (*window, window.slot(now)))?;
            }
            // What is known in memory was read before.
            db.change_books(|books| books.ledger = Ledger::default());
        }
        write(db, &RestoreMark { stage: RestoreStage::Done, ..mark })?;
    }
    Ok(look(db)?.map(|restored| Restored { is_new, ..restored }))
}

/// Whether the mark of such a store stands. It costs a look.
pub(super) fn is_marked(db: &Connection) -> rusqlite::Result<bool> {
    Ok(switch(db, MARK)?.is_some())
}

/// How it stands with the mail of such a store; `None` when no store was put in, or a person has seen to all of it.
pub(super) fn look(db: &Connection) -> rusqlite::Result<Option<Restored>> {
    let Some(mark) = read(db)? else { return Ok(None) };
    let sql = "SELECT count(*) FROM message INDEXED BY message_held WHERE state = 2 AND id <= ?1";
    let held: i64 = db.prepare_cached(sql)?.query_row([mark.up_to], |row| row.get(0))?;
    Ok(Some(Restored {
        origin: mark.origin,
        made_wall: mark.made,
        begun_wall: mark.begun,
        messages: mark.messages,
        held: held.unsigned_abs(),
        lost: mark.lost,
        limits_used: mark.limits,
        is_new: false,
    }))
}

/// Forgets the mark when none of that mail is held any more, and the longest window has passed.
pub(super) fn prune(db: &Writing) -> rusqlite::Result<()> {
    let Some(restored) = look(db)? else { return Ok(()) };
    let age = db.wall().saturating_sub(restored.begun_wall);
    if restored.held == 0 && age > crate::config::Window::LONGEST.length().as_millis() as i64 {
        db.prepare_cached("DELETE FROM switch WHERE name = ?1")?.execute([MARK])?;
    }
    Ok(())
}
