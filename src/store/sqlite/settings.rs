//! Switches, the tie to the clocks, and how long lanes have waited.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use super::rows::lane;
use crate::store::LaneName;
use crate::time::{Anchor, Moment};

const ANCHOR: &str = "anchor";

pub(super) fn limit_waits(db: &Connection) -> rusqlite::Result<Vec<(LaneName, Duration)>> {
    let mut select = db.prepare("SELECT route, millis FROM limit_wait")?;
    let rows = select.query_map([], |row| {
        Ok((lane(row, 0)?, Duration::from_millis(row.get::<_, i64>(1)?.max(0).unsigned_abs())))
    })?;
    rows.collect()
}

pub(super) fn set_limit_wait(db: &Connection, lane: &LaneName, waited: Duration) -> rusqlite::Result<()> {
    let sql = "INSERT INTO limit_wait (route, millis) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET millis = ?2";
    db.prepare_cached(sql)?.execute((lane.as_str(), waited.as_millis() as i64)).map(|_| ())
}

pub(super) fn switch(db: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    let mut select = db.prepare_cached("SELECT value FROM switch WHERE name = ?1")?;
    select.query_row([name], |row| row.get(0)).optional()
}

pub(super) fn set_switch(db: &Connection, name: &str, value: &str) -> rusqlite::Result<()> {
    let sql = "INSERT INTO switch (name, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2";
    db.prepare_cached(sql)?.execute((name, value)).map(|_| ())
}

/// The last process's tie to the clocks.
pub(super) fn anchor(db: &Connection) -> rusqlite::Result<Option<Anchor>> {
    Ok(switch(db, ANCHOR)?.and_then(|text| {
        let mut parts = text.split(' ');
        let moment = Moment(parts.next()?.parse().ok()?);
        let since_boot = parts.next()?.parse().ok()?;
        let boot_id = parts.next().unwrap_or_default().to_owned();
        // Older versions kept none: their time line was the wall clock's after each boot.
        let wall = parts.next().and_then(|wall| wall.parse().ok()).unwrap_or(moment.0);
        Some(Anchor { boot_id, since_boot, moment, wall })
    }))
}

pub(super) fn set_anchor(db: &Connection, anchor: &Anchor) -> rusqlite::Result<()> {
    let text = format!("{} {} {} {}", anchor.moment.0, anchor.since_boot, anchor.boot_id, anchor.wall);
    set_switch(db, ANCHOR, &text)
}
