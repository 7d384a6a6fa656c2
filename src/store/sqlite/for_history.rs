//! What became of mail: what people ask for, and what is too old or too much.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};

use super::kept_contents::{self, LetGo};
use super::store::SqliteStore;
use super::writing::Writing;
use super::{history_index, history_search, rows};
use crate::mail::{AddressKey, QueueId};
use crate::store::{
    Forgotten, HistoryPage, HistoryRules, HistorySearch, HistoryStore, KeptMessage, MOST_HISTORY, StoreError,
};
use crate::time::Moment;

/// Rows that one write removes at most: others wait for no longer.
const PORTION: i64 = 2_000;
/// Rows that are looked at together for an address.
const LOOK: i64 = 10_000;

#[async_trait]
impl HistoryStore for SqliteStore {
    fn set_history(&self, rules: HistoryRules) {
        self.history.set(rules);
    }

    async fn history(&self, search: HistorySearch) -> Result<HistoryPage, StoreError> {
        self.read(move |db| history_search::search(db, &search)).await
    }

    async fn kept(&self, queue_id: QueueId) -> Result<Option<KeptMessage>, StoreError> {
        let content_dir = self.content_dir.clone();
        self.read(move |db| kept_contents::find(db, &queue_id, &content_dir)).await
    }

    async fn forget(&self, address: String) -> Result<Forgotten, StoreError> {
        let mut forgotten = Forgotten::default();
        let mut after = 0;
        loop {
            let key = AddressKey::of_text(&address);
            let look = self.read(move |db| look_for(db, &key, after)).await?;
            forgotten.add(self.forget_rows(look.found).await?);
            match look.next {
                Some(next) => after = next,
                None => break,
            }
        }
        let key = AddressKey::of_text(&address);
        let left = self.read(move |db| kept_contents::of_sender(db, &key)).await?;
        for some in left.chunks(kept_contents::PORTION) {
            let rows = some.iter().map(|queue_id| (None, queue_id.clone())).collect();
            forgotten.add(self.forget_rows(rows).await?);
        }
        Ok(forgotten)
    }

    async fn tidy_history(&self) -> Result<(), StoreError> {
        if self.read_here(history_index::has_run)? {
            while self.write(history_index::add_run).await? {}
        }
        let rules = self.history.rules();
        while self.read_here(|db| too_much(db, rules, self.timeline.now()))?.is_some() {
            self.write(move |db| prune(db, rules)).await?;
        }
        // What lay in the data base is free on the disk later: so no more goes at once than is wanted now.
        let mut short = self.octets_short(rules);
        while self.read_here(|db| has_kept_too_much(db, rules, (self.timeline.now(), short)))? {
            let let_go = self.write(move |db| prune_kept(db, rules, short)).await?;
            self.remove_files(let_go.files).await;
            if let_go.contents == 0 {
                break;
            }
            short = short.saturating_sub(let_go.octets);
        }
        Ok(())
    }
}

impl Forgotten {
    fn add(&mut self, more: Self) {
        self.entries += more.entries;
        self.contents += more.contents;
    }
}

/// Rows of an address among those that were looked at, each with its message.
struct FoundRows {
    found: Vec<(Option<i64>, QueueId)>,
    /// Behind which row to look next.
    next: Option<i64>,
}

impl SqliteStore {
    /// Removes rows, and the contents of their messages.
    async fn forget_rows(&self, rows: Vec<(Option<i64>, QueueId)>) -> Result<Forgotten, StoreError> {
        let mut forgotten = Forgotten::default();
        let mut rows = rows;
        while !rows.is_empty() {
            let rest = rows.split_off(rows.len().min(kept_contents::PORTION));
            let some = std::mem::replace(&mut rows, rest);
            let (entries, let_go) = self.write(move |db| forget_some(db, &some)).await?;
            self.remove_files(let_go.files).await;
            forgotten.add(Forgotten { entries, contents: let_go.contents });
        }
        Ok(forgotten)
    }

    /// Octets that contents must give way for, so that there is room on the disk for what comes.
    fn octets_short(&self, rules: HistoryRules) -> u64 {
        if rules.contents.is_none() {
            return 0;
        }
        // Where the disk can't be asked, the store will find out when it writes.
        let short = rustix::fs::statvfs(&self.content_dir)
            .map_or(0, |disk| rules.free_disk.saturating_sub(disk.f_bavail.saturating_mul(disk.f_frsize)));
        if self.history.note_disk(short > 0) {
            if short > 0 {
                let effect = "contents are not kept for resending, and the oldest that were go";
                tracing::warn!(event = "history_short_of_disk", octets = short, effect);
            } else {
                tracing::info!(event = "history_has_room");
            }
        }
        short
    }
}

fn look_for(db: &Connection, address: &AddressKey, after: i64) -> rusqlite::Result<FoundRows> {
    let mut select = db.prepare_cached(
        "SELECT id, queue_id, reverse_path, address FROM history WHERE id > ?1 ORDER BY id LIMIT ?2",
    )?;
    let mut rows = select.query((after, LOOK))?;
    let (mut look, mut looked_at) = (FoundRows { found: Vec::new(), next: None }, 0);
    while let Some(row) = rows.next()? {
        looked_at += 1;
        let id = row.get(0)?;
        let is = |column: usize| {
            row.get_ref(column).and_then(|value| Ok(AddressKey::of_text(value.as_str()?) == *address))
        };
        if is(2)? || is(3)? {
            look.found.push((Some(id), rows::queue_id(row, 1)?));
        }
        look.next = (looked_at == LOOK).then_some(id);
    }
    Ok(look)
}

/// Removes some rows, and the contents of their messages. What they held is overwritten, not only given free.
fn forget_some(db: &Writing, rows: &[(Option<i64>, QueueId)]) -> rusqlite::Result<(u64, LetGo)> {
    overwrite(db, true)?;
    let done = forget_each(db, rows);
    overwrite(db, false)?;
    // Nor does it stay in the log.
    db.truncate_log();
    done
}

fn overwrite(db: &Writing, on: bool) -> rusqlite::Result<()> {
    db.pragma_update_and_check(None, "secure_delete", on, |_| Ok(()))
}

fn forget_each(db: &Writing, rows: &[(Option<i64>, QueueId)]) -> rusqlite::Result<(u64, LetGo)> {
    let (mut entries, mut all) = (0, LetGo::default());
    for (id, queue_id) in rows {
        if let Some(id) = id {
            history_index::remove_row(db, *id)?;
            entries += db.prepare_cached("DELETE FROM history WHERE id = ?1")?.execute([id])? as u64;
        }
        let let_go = kept_contents::let_go_of(db, queue_id)?;
        all.contents += let_go.contents;
        all.files.extend(let_go.files);
    }
    Ok((entries, all))
}

/// The last row of those that are too old or too many, of the oldest [`PORTION`].
fn too_much(db: &Connection, rules: HistoryRules, now: Moment) -> rusqlite::Result<Option<i64>> {
    let before = rules.entries.map_or(i64::MAX, |age| now.0.saturating_sub(rows::millis(age)));
    let sql = "SELECT max(id) FROM (SELECT id, at FROM history ORDER BY id LIMIT ?1) WHERE at < ?2";
    // Most of the time even the oldest is young enough.
    let oldest = "SELECT id, at FROM history ORDER BY id LIMIT 1";
    let oldest: Option<(i64, i64)> =
        db.prepare_cached(oldest)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((first, at)) = oldest else { return Ok(None) };
    let old = if at < before {
        db.prepare_cached(sql)?.query_row((PORTION, before), |row| row.get(0))?
    } else {
        None
    };
    let newest: i64 = db.prepare_cached("SELECT max(id) FROM history")?.query_row([], |row| row.get(0))?;
    // Some of the numbers between may be missing, so that there are fewer.
    let most = newest - MOST_HISTORY as i64;
    let many = (first <= most).then(|| most.min(first + PORTION - 1));
    Ok(old.max(many))
}

fn prune(db: &Writing, rules: HistoryRules) -> rusqlite::Result<()> {
    let Some(up_to) = too_much(db, rules, db.now())? else { return Ok(()) };
    db.prepare_cached("DELETE FROM history WHERE id <= ?1")?.execute([up_to])?;
    history_index::remove_runs(db, up_to)
}

/// Before when contents are too old. None is kept longer than what tells of its message.
fn kept_since(db: &Connection, rules: HistoryRules, now: Moment) -> rusqlite::Result<Moment> {
    let Some(age) = rules.contents else { return Ok(Moment(i64::MAX)) };
    let oldest = "SELECT coalesce(min(at), 0) FROM (SELECT at FROM history ORDER BY id LIMIT 1)";
    let oldest: i64 = db.prepare_cached(oldest)?.query_row([], |row| row.get(0))?;
    Ok(Moment(oldest.max(now.0.saturating_sub(rows::millis(age)))))
}

/// Whether contents are kept that are too old, or whose room is needed.
fn has_kept_too_much(
    db: &Connection,
    rules: HistoryRules,
    (now, short): (Moment, u64),
) -> rusqlite::Result<bool> {
    let oldest = "SELECT at FROM kept_content ORDER BY id LIMIT 1";
    let oldest = db.prepare_cached(oldest)?.query_row([], |row| row.get(0).map(Moment)).optional()?;
    match oldest {
        None => Ok(false),
        Some(at) => Ok(short > 0 || at < kept_since(db, rules, now)?),
    }
}

fn prune_kept(db: &Writing, rules: HistoryRules, short: u64) -> rusqlite::Result<LetGo> {
    let old = kept_contents::let_go_before(db, kept_since(db, rules, db.now())?)?;
    if old.contents > 0 || short == 0 {
        return Ok(old);
    }
    kept_contents::let_go_octets(db, short)
}
