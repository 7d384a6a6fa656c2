//! The blacklist, and the hard bounces that feed it.

use rusqlite::{Connection, OptionalExtension, Row};

use crate::store::{BlacklistCandidate, BlacklistEntry, BlacklistSource};
use crate::time::Moment;

const COLUMNS: &str = "pattern, reason, source, added, expires";

/// The entry that covers an address: itself, its `@domain`, or `*.` with a parent of its domain.
pub(super) fn find(db: &Connection, address: &str, now: Moment) -> rusqlite::Result<Option<BlacklistEntry>> {
    let address = address.to_lowercase();
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
    let parents = domain.match_indices('.').map(|(dot, _)| format!("*{}", &domain[dot..]));
    let mut select = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM blacklist WHERE pattern = ?1 AND (expires IS NULL OR expires > ?2)"
    ))?;
    for pattern in [address.clone(), format!("@{domain}")].into_iter().chain(parents) {
        let found = select.query_row((pattern, now.0), entry).optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

pub(super) fn all(db: &Connection) -> rusqlite::Result<Vec<BlacklistEntry>> {
    let mut select = db.prepare(&format!("SELECT {COLUMNS} FROM blacklist ORDER BY pattern"))?;
    select.query_map([], entry)?.collect()
}

pub(super) fn add(db: &Connection, entry: &BlacklistEntry) -> rusqlite::Result<()> {
    let mut upsert = db.prepare_cached(&format!(
        "INSERT INTO blacklist ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT DO UPDATE SET reason = ?2, source = ?3, added = ?4, expires = ?5"
    ))?;
    let source = i64::from(entry.source == BlacklistSource::Bounce);
    upsert.execute((
        entry.pattern.to_lowercase(),
        &entry.reason,
        source,
        entry.added,
        entry.expires.map(|m| m.0),
    ))?;
    Ok(())
}

/// Removes an entry and what was counted towards it.
pub(super) fn remove(db: &Connection, pattern: &str) -> rusqlite::Result<bool> {
    let pattern = pattern.to_lowercase();
    db.prepare_cached("DELETE FROM hard_bounce WHERE address = ?1")?.execute([&pattern])?;
    db.prepare_cached("DELETE FROM blacklist WHERE pattern = ?1")?.execute([&pattern]).map(|n| n > 0)
}

/// Counts a hard bounce; the address goes on the list when it has had enough of them.
pub(super) fn count_bounce(
    db: &Connection,
    candidate: &BlacklistCandidate,
    reply: &str,
) -> rusqlite::Result<()> {
    let address = candidate.address.to_lowercase();
    let mut upsert = db.prepare_cached(
        "INSERT INTO hard_bounce (address, count) VALUES (?1, 1) ON CONFLICT DO UPDATE SET count = count + 1 \
         RETURNING count",
    )?;
    let count: u32 = upsert.query_row([&address], |row| row.get(0))?;
    if count < candidate.after {
        return Ok(());
    }
    db.prepare_cached("DELETE FROM hard_bounce WHERE address = ?1")?.execute([&address])?;
    let entry = BlacklistEntry {
        pattern: address,
        reason: reply.to_owned(),
        source: BlacklistSource::Bounce,
        added: candidate.added,
        expires: candidate.expires,
    };
    // An entry that a person made stays as that person made it.
    let mut insert = db.prepare_cached(&format!(
        "INSERT INTO blacklist ({COLUMNS}) VALUES (?1, ?2, 1, ?3, ?4) ON CONFLICT DO UPDATE \
         SET reason = ?2, added = ?3, expires = ?4 WHERE source = 1"
    ))?;
    insert.execute((entry.pattern, entry.reason, entry.added, entry.expires.map(|m| m.0))).map(|_| ())
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
