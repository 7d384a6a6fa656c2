//! The blacklist. A write that makes an entry or removes one tells
//! [`Knowledge`](super::knowledge::Knowledge), which knows in memory what may be listed.

use rusqlite::{Connection, OptionalExtension, Row};

use super::listed_patterns::ListedPatterns;
use super::writing::Writing;
use crate::store::{
    BlacklistEntry, BlacklistSource, ImportedEntry, Learned, LearnedMailbox, ListingEnd, MailboxFailure,
    NewBlacklistEntry, pattern_key,
};
use crate::time::Moment;

/// Expired entries that are removed in one transaction.
const PRUNED: u32 = 1_000;

/// Columns of an entry, as [`entry`] reads them.
macro_rules! entry_columns {
    () => {
        "pattern, reason, source, added, expires"
    };
}
pub(super) use entry_columns;

/// The blacklist at a moment, as far as it may be known in memory who is on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct ListedAt<'a> {
    pub(super) listed: &'a ListedPatterns,
    pub(super) now: Moment,
}

impl ListedAt<'_> {
    /// The entry that covers an address. The tables are asked about those that may be listed.
    pub(super) fn find(&self, db: &Connection, address: &str) -> rusqlite::Result<Option<BlacklistEntry>> {
        first(db, &self.listed.covering(address), self.now)
    }
}

/// The first of these patterns that is listed.
pub(super) fn first(
    db: &Connection,
    patterns: &[String],
    now: Moment,
) -> rusqlite::Result<Option<BlacklistEntry>> {
    for pattern in patterns {
        let found = get(db, pattern)?.filter(|entry| !is_over(entry, now));
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn get(db: &Connection, pattern: &str) -> rusqlite::Result<Option<BlacklistEntry>> {
    let sql = concat!("SELECT ", entry_columns!(), " FROM blacklist WHERE pattern = ?1");
    db.prepare_cached(sql)?.query_row([pattern], entry).optional()
}

fn is_over(entry: &BlacklistEntry, now: Moment) -> bool {
    entry.expires.is_some_and(|end| end <= now)
}

/// Adds or replaces an entry that a person makes.
pub(super) fn add(db: &Writing, new: &NewBlacklistEntry) -> rusqlite::Result<BlacklistEntry> {
    let entry = BlacklistEntry {
        pattern: pattern_key(&new.pattern),
        reason: new.reason.clone(),
        source: BlacklistSource::Manual,
        added: db.wall(),
        expires: new.lasts.map(|lasts| db.now().after(lasts)),
    };
    let is_there = get(db, &entry.pattern)?.is_some();
    put(db, &entry, is_there)?;
    Ok(entry)
}

/// Adds or replaces an entry of a file.
pub(super) fn import(db: &Writing, new: &ImportedEntry) -> rusqlite::Result<ListingEnd> {
    let (now, wall) = (db.now(), db.wall());
    let of_wall = |end: i64| Moment(now.0.saturating_add(end.saturating_sub(wall)));
    let entry = BlacklistEntry {
        pattern: pattern_key(&new.pattern),
        reason: new.reason.clone(),
        source: new.source,
        added: new.added.unwrap_or(wall),
        expires: new.expires.map(of_wall),
    };
    if is_over(&entry, now) {
        return Ok(ListingEnd::Expired);
    }
    let Some(known) = get(db, &entry.pattern)?.filter(|known| !is_over(known, now)) else {
        let is_there = get(db, &entry.pattern)?.is_some();
        return put(db, &entry, is_there).map(|()| ListingEnd::Added);
    };
    if is_same(&known, &entry, new.added.is_some()) {
        return Ok(ListingEnd::Unchanged);
    }
    put(db, &entry, true).map(|()| ListingEnd::Replaced)
}

/// Whether an entry says nothing new. Both clocks are read to the millisecond, so ends of one time may differ a little.
fn is_same(known: &BlacklistEntry, new: &BlacklistEntry, with_added: bool) -> bool {
    let ends = match (known.expires, new.expires) {
        (None, None) => true,
        (Some(known), Some(new)) => known.0.abs_diff(new.0) < 1_000,
        _ => false,
    };
    ends && known.reason == new.reason
        && known.source == new.source
        && (!with_added || known.added == new.added)
}

/// Adds a mailbox that does not exist, as a report says.
pub(super) fn learn(db: &Writing, mailbox: &LearnedMailbox) -> rusqlite::Result<Learned> {
    let now = db.now();
    let mut entry = BlacklistEntry {
        pattern: pattern_key(&mailbox.address),
        reason: mailbox.reason.clone(),
        source: BlacklistSource::Learned,
        added: db.wall(),
        expires: mailbox.lasts.map(|lasts| now.after(lasts)),
    };
    let known = get(db, &entry.pattern)?;
    let is_there = known.is_some();
    let Some(known) = known.filter(|known| !is_over(known, now)) else {
        put(db, &entry, is_there)?;
        return Ok(Learned { end: ListingEnd::Added, entry });
    };
    if known.source == BlacklistSource::Manual {
        return Ok(Learned { end: ListingEnd::Kept, entry: known });
    }
    let lasts_longer = match (known.expires, entry.expires) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(known), Some(new)) => known > new,
    };
    if lasts_longer {
        entry.expires = known.expires;
    }
    put(db, &entry, true)?;
    Ok(Learned { end: ListingEnd::Replaced, entry })
}

/// Writes an entry; `is_there` when there is one of that pattern.
fn put(db: &Writing, entry: &BlacklistEntry, is_there: bool) -> rusqlite::Result<()> {
    let sql = if is_there {
        "UPDATE blacklist SET reason = ?2, source = ?3, added = ?4, expires = ?5 WHERE pattern = ?1"
    } else {
        "INSERT INTO blacklist (pattern, reason, source, added, expires) VALUES (?1, ?2, ?3, ?4, ?5)"
    };
    let BlacklistEntry { pattern, reason, source, added, expires } = entry;
    let values = (pattern, reason, number(*source), added, expires.map(|at| at.0));
    db.prepare_cached(sql)?.execute(values)?;
    if !is_there {
        db.knowledge.lists(pattern);
    }
    Ok(())
}

/// Removes an entry.
pub(super) fn remove(db: &Writing, pattern: &str) -> rusqlite::Result<bool> {
    let pattern = pattern_key(pattern);
    let removed = db.prepare_cached("DELETE FROM blacklist WHERE pattern = ?1")?.execute([&pattern])? > 0;
    if removed {
        db.knowledge.unlists(&pattern);
    }
    Ok(removed)
}

/// Adds an entry that failures of the mailbox have made. `None`: there is one of another source, which stays as it is.
pub(super) fn add_bounced(
    db: &Writing,
    failure: &MailboxFailure,
    address: &str,
) -> rusqlite::Result<Option<BlacklistEntry>> {
    let known = get(db, address)?;
    let stays = |known: &BlacklistEntry| known.source != BlacklistSource::Bounce && !is_over(known, db.now());
    if known.as_ref().is_some_and(stays) {
        return Ok(None);
    }
    let entry = BlacklistEntry {
        pattern: address.to_owned(),
        reason: failure.reply.clone(),
        source: BlacklistSource::Bounce,
        added: db.wall(),
        expires: failure.rule.lasts.map(|lasts| db.now().after(lasts)),
    };
    put(db, &entry, known.is_some())?;
    Ok(Some(entry))
}

/// Takes back the entries that failures of a domain's mailboxes have made since then. How many there were.
pub(super) fn withdraw(db: &Writing, domain: &str, since: i64) -> rusqlite::Result<u64> {
    let sql = "DELETE FROM blacklist WHERE source = 1 AND pattern IN \
               (SELECT address FROM mailbox_failure WHERE domain = ?1 AND last > ?2) RETURNING pattern";
    unlist(db, sql, (domain, since))
}

/// Removes some of the entries that have expired; whether there may be more.
pub(super) fn prune(db: &Writing) -> rusqlite::Result<bool> {
    let sql = "DELETE FROM blacklist WHERE pattern IN \
               (SELECT pattern FROM blacklist WHERE expires <= ?1 LIMIT ?2) RETURNING pattern";
    Ok(unlist(db, sql, (db.now().0, PRUNED))? == u64::from(PRUNED))
}

fn unlist(db: &Writing, sql: &str, values: impl rusqlite::Params) -> rusqlite::Result<u64> {
    let mut delete = db.prepare_cached(sql)?;
    let mut rows = delete.query(values)?;
    let mut removed = 0;
    while let Some(row) = rows.next()? {
        db.knowledge.unlists(row.get_ref(0)?.as_str()?);
        removed += 1;
    }
    Ok(removed)
}

fn number(source: BlacklistSource) -> i64 {
    match source {
        BlacklistSource::Manual => 0,
        BlacklistSource::Bounce => 1,
        BlacklistSource::Learned => 2,
    }
}

/// Reads the [columns](entry_columns) of an entry.
pub(super) fn entry(row: &Row<'_>) -> rusqlite::Result<BlacklistEntry> {
    Ok(BlacklistEntry {
        pattern: row.get(0)?,
        reason: row.get(1)?,
        source: match row.get::<_, i64>(2)? {
            0 => BlacklistSource::Manual,
            1 => BlacklistSource::Bounce,
            _ => BlacklistSource::Learned,
        },
        added: row.get(3)?,
        expires: row.get::<_, Option<i64>>(4)?.map(Moment),
    })
}
