//! Looks for entries of the history, the newest first.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, Rows};

use super::history_index::{IndexKey, bare_id, indexed};
use super::rows;
use crate::config::TestAction;
use crate::mail::AddressKey;
use crate::store::{HistoryEntry, HistoryId, HistoryPage, HistorySearch, RecipientEnd, StoredLabel};

/// Rows that one page looks at, at most: what else there is comes with the next one.
const LOOKED_AT: u32 = 20_000;

/// Rows behind the last run of the index, or all.
pub(super) const BY_NUMBER: &str = "SELECT id, at, queue_id, message_id, subject, reverse_path, address, state, upstream, reply, \
    test, attempts, size, accepted_wall, at_wall FROM history WHERE id > ?1 AND id < ?2 ORDER BY id DESC";

/// Rows that are found in the index, in the runs up to one: what is indexed while somebody searches was seen before.
pub(super) const BY_KEY: &str = "SELECT id, at, queue_id, message_id, subject, reverse_path, address, state, upstream, reply, \
    test, attempts, size, accepted_wall, at_wall FROM history_run CROSS JOIN history_key ON run = last AND key = ?1 \
    CROSS JOIN history ON id = first + place WHERE last <= ?3 AND first < ?2 AND id < ?2 ORDER BY last DESC, place DESC";

/// A search, made ready.
struct EntryFilter {
    to: Option<AddressKey>,
    from: Option<AddressKey>,
    /// In lower case.
    subject: Option<String>,
    message_id: Option<String>,
    queue_id: Option<String>,
    since: Option<i64>,
    limit: usize,
}

/// A search under way.
struct EntryWalk {
    filter: EntryFilter,
    page: HistoryPage,
    looked_at: u32,
    is_over: bool,
}

/// A page of what fits.
pub(super) fn search(db: &Connection, search: &HistorySearch) -> rusqlite::Result<HistoryPage> {
    let filter = EntryFilter::new(search);
    let (key, before) = (filter.key(), search.before.map_or(i64::MAX, |before| before.0));
    let is_over = filter.limit == 0;
    let mut walk = EntryWalk { filter, page: HistoryPage::default(), looked_at: 0, is_over };
    let behind = if key.is_some() { indexed(db)? } else { 0 };
    walk.go(db.prepare_cached(BY_NUMBER)?.query((behind, before))?)?;
    if let Some(IndexKey(key)) = key {
        walk.go(db.prepare_cached(BY_KEY)?.query((key, before, behind))?)?;
    }
    Ok(walk.page)
}

impl EntryWalk {
    fn go(&mut self, mut rows: Rows<'_>) -> rusqlite::Result<()> {
        while !self.is_over
            && let Some(row) = rows.next()?
        {
            let (id, at) = (HistoryId(row.get(0)?), row.get::<_, i64>(1)?);
            if self.filter.since.is_some_and(|since| at < since) {
                self.is_over = true;
                return Ok(());
            }
            if self.filter.fits(row)? {
                self.page.entries.push(entry(row)?);
            }
            self.looked_at += 1;
            if self.page.entries.len() == self.filter.limit || self.looked_at == LOOKED_AT {
                self.page.next = Some(id);
                self.is_over = true;
            }
        }
        Ok(())
    }
}

impl EntryFilter {
    fn new(search: &HistorySearch) -> Self {
        let key = |text: &String| AddressKey::of_text(text);
        Self {
            to: search.to.as_ref().map(key),
            from: search.from.as_ref().map(key),
            subject: search.subject.as_ref().map(|text| text.to_lowercase()),
            message_id: search.message_id.as_ref().map(|text| bare_id(text).to_owned()),
            queue_id: search.queue_id.as_ref().map(|id| id.as_str().to_owned()),
            since: search.since.map(|since| since.0),
            limit: search.limit as usize,
        }
    }

    /// By what the rows are found; the fewest are found by the first of these.
    fn key(&self) -> Option<IndexKey> {
        let queue_id = self.queue_id.as_deref().map(IndexKey::queue_id);
        let message_id = || self.message_id.as_deref().map(IndexKey::message_id);
        queue_id.or_else(message_id).or_else(|| self.to.as_ref().map(IndexKey::recipient))
    }

    /// Whether a row is one that is looked for. Each part is looked at only when all before it fit.
    fn fits(&self, row: &Row<'_>) -> rusqlite::Result<bool> {
        let text = |column: usize| row.get_ref(column).and_then(|value| Ok(value.as_str_or_null()?));
        if let Some(wanted) = &self.queue_id
            && text(2)? != Some(wanted)
        {
            return Ok(false);
        }
        if let Some(wanted) = &self.message_id
            && text(3)?.map(bare_id) != Some(wanted)
        {
            return Ok(false);
        }
        for (wanted, column) in [(&self.to, 6), (&self.from, 5)] {
            if let Some(wanted) = wanted
                && AddressKey::of_text(text(column)?.unwrap_or_default()) != *wanted
            {
                return Ok(false);
            }
        }
        match &self.subject {
            None => Ok(true),
            Some(wanted) => Ok(text(4)?.is_some_and(|subject| subject.to_lowercase().contains(wanted))),
        }
    }
}

/// Reads the columns of [`BY_NUMBER`].
fn entry(row: &Row<'_>) -> rusqlite::Result<HistoryEntry> {
    Ok(HistoryEntry {
        id: HistoryId(row.get(0)?),
        queue_id: rows::queue_id(row, 2)?,
        label: StoredLabel { message_id: row.get(3)?, subject: row.get(4)? },
        from: row.get(5)?,
        to: row.get(6)?,
        end: recipient_end(row.get(7)?),
        upstream: row.get(8)?,
        reply: row.get(9)?,
        test: match row.get_ref(10)? {
            ValueRef::Integer(0) => Some(TestAction::Redirect),
            ValueRef::Integer(1) => Some(TestAction::Hold),
            ValueRef::Integer(_) => Some(TestAction::Capture),
            _ => None,
        },
        attempts: row.get(11)?,
        size: row.get::<_, i64>(12)?.unsigned_abs(),
        accepted_wall: row.get(13)?,
        at_wall: row.get(14)?,
    })
}

fn recipient_end(number: i64) -> RecipientEnd {
    RecipientEnd::ALL
        .into_iter()
        .find(|end| rows::end_number(*end) == number)
        .unwrap_or(RecipientEnd::Deleted)
}
