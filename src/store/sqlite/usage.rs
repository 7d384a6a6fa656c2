//! Counters, switches and the tie to the clocks.

use rusqlite::{Connection, OptionalExtension};

use crate::config::Window;
use crate::store::{Permit, UsageRow};
use crate::time::{Anchor, Moment};

const ANCHOR: &str = "anchor";

/// Counts an ended transaction into every window.
pub(super) fn add(db: &Connection, permit: &Permit) -> rusqlite::Result<()> {
    let mut upsert = db.prepare_cached(
        "INSERT INTO usage (upstream, account, window, slot, messages, recipients) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT DO UPDATE SET messages = messages + ?5, recipients = recipients + ?6",
    )?;
    for window in Window::ALL {
        upsert.execute((
            &permit.upstream,
            &permit.account,
            window as i64,
            window.slot(permit.ended),
            permit.messages,
            permit.recipients,
        ))?;
    }
    Ok(())
}

/// Counts the permits of a dead predecessor. What the provider counted of them is not known: all of it counts, as ended
/// now. `permits` selects upstream, account, recipients.
pub(super) fn add_unknown(db: &Connection, permits: &str, now: Moment) -> rusqlite::Result<()> {
    let mut select = db.prepare(permits)?;
    let permits = select.query_map([], |row| {
        Ok(Permit {
            upstream: row.get(0)?,
            account: row.get(1)?,
            ended: now,
            messages: 1,
            recipients: row.get(2)?,
        })
    })?;
    for permit in permits {
        add(db, &permit?)?;
    }
    Ok(())
}

/// All counts, the oldest slot first.
pub(super) fn all(db: &Connection) -> rusqlite::Result<Vec<UsageRow>> {
    let mut select = db.prepare(
        "SELECT upstream, account, window, slot, messages, recipients FROM usage \
         ORDER BY upstream, account, window, slot",
    )?;
    let rows = select.query_map([], |row| {
        Ok(UsageRow {
            upstream: row.get(0)?,
            account: row.get(1)?,
            window: Window::ALL[row.get::<_, u8>(2)?.min(3) as usize],
            slot: row.get(3)?,
            messages: row.get(4)?,
            recipients: row.get(5)?,
        })
    })?;
    rows.collect()
}

pub(super) fn reset(db: &Connection, upstream: &str, windows: &[Window]) -> rusqlite::Result<()> {
    for &window in windows {
        db.prepare_cached("DELETE FROM usage WHERE upstream = ?1 AND window = ?2")?
            .execute((upstream, window as i64))?;
    }
    Ok(())
}

/// Removes what has left its window.
pub(super) fn prune(db: &Connection, now: Moment) -> rusqlite::Result<()> {
    for window in Window::ALL {
        // A slot leaves one length after its end; one slot more is kept for certain.
        let oldest = window.slot(now) - 601;
        db.prepare_cached("DELETE FROM usage WHERE window = ?1 AND slot < ?2")?
            .execute((window as i64, oldest))?;
    }
    Ok(())
}

pub(super) fn limit_waits(db: &Connection) -> rusqlite::Result<Vec<(String, i64)>> {
    let mut select = db.prepare("SELECT route, millis FROM limit_wait")?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

pub(super) fn set_limit_wait(db: &Connection, route: &str, millis: i64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO limit_wait (route, millis) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET millis = ?2";
    db.prepare_cached(sql)?.execute((route, millis)).map(|_| ())
}

pub(super) fn switch(db: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    let mut select = db.prepare_cached("SELECT value FROM switch WHERE name = ?1")?;
    select.query_row([name], |row| row.get(0)).optional()
}

pub(super) fn set_switch(db: &Connection, name: &str, value: &str) -> rusqlite::Result<()> {
    let sql = "INSERT INTO switch (name, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2";
    db.prepare_cached(sql)?.execute((name, value)).map(|_| ())
}

pub(super) fn anchor(db: &Connection) -> rusqlite::Result<Option<Anchor>> {
    Ok(switch(db, ANCHOR)?.and_then(|text| {
        let mut parts = text.split(' ');
        let moment = Moment(parts.next()?.parse().ok()?);
        let since_boot = parts.next()?.parse().ok()?;
        Some(Anchor { boot_id: parts.next().unwrap_or_default().to_owned(), since_boot, moment })
    }))
}

pub(super) fn set_anchor(db: &Connection, anchor: &Anchor) -> rusqlite::Result<()> {
    let text = format!("{} {} {}", anchor.moment.0, anchor.since_boot, anchor.boot_id);
    set_switch(db, ANCHOR, &text)
}
