//! The blacklist as people read it, a page at a time.

use rusqlite::{Connection, Params};

use super::blacklist::{entry, entry_columns};
use crate::store::{BlacklistEntry, BlacklistFilter, BlacklistPage, BlacklistSearch, pattern_domain};
use crate::time::Moment;

/// Entries that are looked at for a page of a search for a text: a few milliseconds.
const LOOKED_AT: usize = 10_000;
/// Sorts behind all texts that begin like the one before it.
const BEHIND: char = char::MAX;

/// The domain of an entry, by which `blacklist_domain` is ordered: what stands behind the last `@`, or behind `*.`.
macro_rules! domain {
    () => {
        "ltrim(substr(pattern, length(rtrim(pattern, replace(pattern, '@', ''))) + 1), '*.')"
    };
}

/// Entries from one up to another.
const BY_PATTERN: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM blacklist WHERE pattern >= ?1 AND pattern < ?2 AND (expires IS NULL OR expires > ?3) ORDER BY pattern LIMIT ?4"
);
/// Entries of the domains from one up to another, behind an entry of the first.
const BY_DOMAIN: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM blacklist INDEXED BY blacklist_domain WHERE ",
    domain!(),
    " >= ?1 AND ",
    domain!(),
    " < ?2 AND (",
    domain!(),
    " > ?1 OR pattern > ?3) AND (expires IS NULL OR expires > ?4) ORDER BY ",
    domain!(),
    ", pattern LIMIT ?5"
);

/// A page of the entries that have not expired.
pub(super) fn page(
    db: &Connection,
    filter: &BlacklistFilter,
    now: Moment,
) -> rusqlite::Result<BlacklistPage> {
    let limit = filter.limit.clamp(1, BlacklistFilter::MOST) as usize;
    let after = filter.after.as_deref().unwrap_or_default();
    let behind = filter.after.as_ref().map(|after| format!("{after}\0"));
    match &filter.search {
        None => {
            let end = BEHIND.to_string();
            Ok(cut(read(db, BY_PATTERN, (behind.unwrap_or_default(), end, now.0, limit as i64 + 1))?, limit))
        }
        Some(BlacklistSearch::Address(start)) => {
            let first = behind.unwrap_or_else(|| start.clone());
            let end = format!("{start}{BEHIND}");
            Ok(cut(read(db, BY_PATTERN, (first, end, now.0, limit as i64 + 1))?, limit))
        }
        Some(BlacklistSearch::Domain(start)) => {
            let first = if after.is_empty() { start } else { pattern_domain(after) };
            let end = format!("{start}{BEHIND}");
            Ok(cut(read(db, BY_DOMAIN, (first, end, after, now.0, limit as i64 + 1))?, limit))
        }
        Some(BlacklistSearch::Text(texts)) => with_text(db, texts, &behind.unwrap_or_default(), (limit, now)),
    }
}

fn read(db: &Connection, sql: &str, values: impl Params) -> rusqlite::Result<Vec<BlacklistEntry>> {
    db.prepare_cached(sql)?.query_map(values, entry)?.collect()
}

/// One more than goes into a page was asked for.
fn cut(mut entries: Vec<BlacklistEntry>, limit: usize) -> BlacklistPage {
    let is_more = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| is_more).map(|entry| entry.pattern.clone());
    BlacklistPage { entries, next }
}

fn with_text(
    db: &Connection,
    texts: &[String],
    first: &str,
    (limit, now): (usize, Moment),
) -> rusqlite::Result<BlacklistPage> {
    let mut select = db.prepare_cached(BY_PATTERN)?;
    let mut rows = select.query((first, BEHIND.to_string(), now.0, LOOKED_AT as i64))?;
    let (mut page, mut looked_at) = (BlacklistPage::default(), 0);
    while let Some(row) = rows.next()? {
        looked_at += 1;
        let (pattern, reason) = (row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?);
        let is_last = looked_at == LOOKED_AT;
        if BlacklistSearch::has(texts, pattern, reason) {
            page.entries.push(entry(row)?);
        }
        if is_last || page.entries.len() == limit {
            page.next = Some(pattern.to_owned());
            break;
        }
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_search_for_an_address_looks_at_all() {
        let mut db = Connection::open_in_memory().unwrap();
        crate::store::sqlite::schema::prepare_new(&mut db).unwrap();
        for sql in [BY_PATTERN, BY_DOMAIN] {
            let mut explain = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let nulls = rusqlite::params_from_iter(vec![rusqlite::types::Null; explain.parameter_count()]);
            let plan: Vec<String> =
                explain.query_map(nulls, |row| row.get(3)).unwrap().map(Result::unwrap).collect();
            let plan = plan.join("; ");
            assert!(plan.contains("SEARCH blacklist") && !plan.contains("TEMP B-TREE"), "{sql}: {plan}");
        }
    }
}
