//! The blacklist. A write that may change the list says so by
//! [`Knowledge::changes_blacklist`](super::knowledge::Knowledge::changes_blacklist).

use rusqlite::{Connection, OptionalExtension, Row};

use crate::store::{
    BlacklistEntry, BlacklistSource, MailboxFailure, NewBlacklistEntry, pattern_key, patterns_covering,
};
use crate::time::Moment;

/// The entry that covers an address.
pub(super) fn find(db: &Connection, address: &str, now: Moment) -> rusqlite::Result<Option<BlacklistEntry>> {
    let mut select = db.prepare_cached(
        "SELECT pattern, reason, source, added, expires FROM blacklist \
         WHERE pattern = ?1 AND (expires IS NULL OR expires > ?2)",
    )?;
    for pattern in patterns_covering(address) {
        let found = select.query_row((pattern, now.0), entry).optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

pub(super) fn all(db: &Connection) -> rusqlite::Result<Vec<BlacklistEntry>> {
    let sql = "SELECT pattern, reason, source, added, expires FROM blacklist ORDER BY pattern";
    db.prepare(sql)?.query_map([], entry)?.collect()
}

/// Adds or replaces an entry that a person makes.
pub(super) fn add(
    db: &Connection,
    new: &NewBlacklistEntry,
    now: Moment,
    wall: i64,
) -> rusqlite::Result<BlacklistEntry> {
    let entry = BlacklistEntry {
        pattern: pattern_key(&new.pattern),
        reason: new.reason.clone(),
        source: BlacklistSource::Manual,
        added: wall,
        expires: new.lasts.map(|lasts| now.after(lasts)),
    };
    let mut upsert = db.prepare_cached(
        "INSERT INTO blacklist (pattern, reason, source, added, expires) VALUES (?1, ?2, 0, ?3, ?4) \
         ON CONFLICT DO UPDATE SET reason = ?2, source = 0, added = ?3, expires = ?4",
    )?;
    upsert.execute((&entry.pattern, &entry.reason, entry.added, entry.expires.map(|at| at.0)))?;
    Ok(entry)
}

/// Removes an entry.
pub(super) fn remove(db: &Connection, pattern: &str) -> rusqlite::Result<bool> {
    let pattern = pattern_key(pattern);
    db.prepare_cached("DELETE FROM blacklist WHERE pattern = ?1")?.execute([&pattern]).map(|n| n > 0)
}

/// Adds an entry that failures of the mailbox have made. `None`: a person has made one, which stays as it is.
pub(super) fn add_bounced(
    db: &Connection,
    failure: &MailboxFailure,
    address: &str,
    now: Moment,
    wall: i64,
) -> rusqlite::Result<Option<BlacklistEntry>> {
    let mut insert = db.prepare_cached(
        "INSERT INTO blacklist (pattern, reason, source, added, expires) VALUES (?1, ?2, 1, ?3, ?4) \
         ON CONFLICT DO UPDATE SET reason = ?2, added = ?3, expires = ?4 WHERE source = 1 \
         RETURNING pattern, reason, source, added, expires",
    )?;
    let expires = failure.rule.lasts.map(|lasts| now.after(lasts).0);
    insert.query_row((address, &failure.reply, wall, expires), entry).optional()
}

fn entry(row: &Row<'_>) -> rusqlite::Result<BlacklistEntry> {
    Ok(BlacklistEntry {
        pattern: row.get(0)?,
        reason: row.get(1)?,
        source: if row.get::<_, i64>(2)? == 0 { BlacklistSource::Manual } else { BlacklistSource::Bounce },
        added: row.get(3)?,
        expires: row.get::<_, Option<i64>>(4)?.map(Moment),
    })
}
