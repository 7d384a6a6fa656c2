//! The index of the history: by recipient, by Message-ID, by queue id.
//!
//! Rows are indexed in runs of [`RUN`], each in one go: the entries of a run are sorted and go behind those of all runs before, so
//! that a message costs a fraction of a page. Who searches looks into each run, which is a few pages, and at the rows behind the last
//! one. An entry has a key of 32 bits, which others may share, so that whoever finds a row by it looks whether it is the one.

use rusqlite::{Connection, OptionalExtension, Row};

use super::writing::Writing;
use crate::content::RunningChecksum;
use crate::mail::AddressKey;

/// Rows of a run. A run takes the writer about ten milliseconds.
pub(super) const RUN: i64 = 2_048;

/// What rows are found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IndexedBy {
    Recipient,
    MessageId,
    QueueId,
}

/// A key of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct IndexKey(pub(super) i64);

impl IndexKey {
    fn new(by: IndexedBy, text: &str) -> Self {
        let mut checksum = RunningChecksum::default();
        checksum.add(&[by as u8]);
        checksum.add(text.as_bytes());
        Self(i64::from(checksum.end().0.cast_signed()))
    }

    /// That of a recipient.
    pub(super) fn recipient(key: &AddressKey) -> Self {
        Self::new(IndexedBy::Recipient, key.as_str())
    }

    /// That of a Message-ID.
    pub(super) fn message_id(text: &str) -> Self {
        Self::new(IndexedBy::MessageId, bare_id(text))
    }

    /// That of a queue id.
    pub(super) fn queue_id(text: &str) -> Self {
        Self::new(IndexedBy::QueueId, text)
    }
}

/// A Message-ID without angle brackets.
pub(super) fn bare_id(text: &str) -> &str {
    text.trim().trim_start_matches('<').trim_end_matches('>')
}

/// The keys of a row, of its columns `address`, `queue_id` and `message_id`, which follow each other.
fn keys(row: &Row<'_>, column: usize) -> rusqlite::Result<impl Iterator<Item = IndexKey>> {
    let recipient = IndexKey::recipient(&AddressKey::of_text(row.get_ref(column)?.as_str()?));
    let queue_id = IndexKey::queue_id(row.get_ref(column + 1)?.as_str()?);
    let message_id = row.get_ref(column + 2)?.as_str_or_null()?.map(IndexKey::message_id);
    Ok([recipient, queue_id].into_iter().chain(message_id))
}

/// The last row that is indexed.
pub(super) fn indexed(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("SELECT coalesce(max(last), 0) FROM history_run")?.query_row([], |row| row.get(0))
}

/// Whether there are enough rows for another run.
pub(super) fn has_run(db: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM history WHERE id > ?1 LIMIT 1 OFFSET ?2)";
    // Most of the time there are far fewer rows than that, as their numbers tell without counting.
    let newest: i64 =
        db.prepare_cached("SELECT coalesce(max(id), 0) FROM history")?.query_row([], |row| row.get(0))?;
    let indexed = indexed(db)?;
    if newest - indexed < RUN {
        return Ok(false);
    }
    db.prepare_cached(sql)?.query_row((indexed, RUN - 1), |row| row.get(0))
}

/// Indexes another run, if there are enough rows for it.
pub(super) fn add_run(db: &Writing) -> rusqlite::Result<bool> {
    if !has_run(db)? {
        return Ok(false);
    }
    let mut select = db.prepare_cached(
        "SELECT id, address, queue_id, message_id FROM history WHERE id > ?1 ORDER BY id LIMIT ?2",
    )?;
    let mut rows = select.query((indexed(db)?, RUN))?;
    let (mut first, mut last) = (None, 0);
    let mut entries: Vec<(IndexKey, i64)> = Vec::with_capacity(RUN.unsigned_abs() as usize * 3);
    while let Some(row) = rows.next()? {
        last = row.get(0)?;
        let place = last - *first.get_or_insert(last);
        entries.extend(keys(row, 1)?.map(|key| (key, place)));
    }
    let Some(first) = first else { return Ok(false) };
    entries.sort_unstable();
    entries.dedup();
    db.prepare_cached("INSERT INTO history_run (last, first) VALUES (?1, ?2)")?.execute((last, first))?;
    let mut insert = db.prepare_cached("INSERT INTO history_key (run, key, place) VALUES (?1, ?2, ?3)")?;
    for (IndexKey(key), place) in entries {
        insert.execute((last, key, place))?;
    }
    Ok(true)
}

/// Removes the runs that end with this row or before: none of their rows is left.
pub(super) fn remove_runs(db: &Writing, up_to: i64) -> rusqlite::Result<()> {
    let mut select = db.prepare_cached("SELECT last FROM history_run WHERE last <= ?1")?;
    let runs = select.query_map([up_to], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    for run in runs {
        db.prepare_cached("DELETE FROM history_key WHERE run = ?1")?.execute([run])?;
        db.prepare_cached("DELETE FROM history_run WHERE last = ?1")?.execute([run])?;
    }
    Ok(())
}

/// Removes what the index has of a row that is about to go.
pub(super) fn remove_row(db: &Writing, id: i64) -> rusqlite::Result<()> {
    let sql = "SELECT last, first FROM history_run WHERE last >= ?1 ORDER BY last LIMIT 1";
    let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
    let Some((run, first)) = db.prepare_cached(sql)?.query_row([id], read).optional()? else {
        return Ok(());
    };
    let place = id - first;
    let mut select = db.prepare_cached("SELECT address, queue_id, message_id FROM history WHERE id = ?1")?;
    let mut rows = select.query([id])?;
    let Some(row) = rows.next()? else { return Ok(()) };
    let sql = "DELETE FROM history_key WHERE run = ?1 AND key = ?2 AND place = ?3";
    let mut delete = db.prepare_cached(sql)?;
    for IndexKey(key) in keys(row, 0)? {
        delete.execute((run, key, place))?;
    }
    Ok(())
}
