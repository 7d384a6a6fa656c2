//! Copies for Sent folders.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::store::SqliteStore;
use super::writing::Writing;
use super::{contents, rows, usage};
use crate::content::Content;
use crate::limits::AccountKey;
use crate::mail::QueueId;
use crate::store::{
    CopyEnd, ExpiredCopy, MOST_COPIES, MOST_COPY_OCTETS, MessageId, NewSentCopy, NextCopy, SentCopies,
    SentCopy, SentCopyId, StoreError, WaitingCopies,
};
use crate::time::Moment;

#[async_trait]
impl SentCopies for SqliteStore {
    async fn next_copy(&self, account: AccountKey) -> Result<NextCopy, StoreError> {
        let (now, content_dir) = (self.timeline.now(), self.content_dir.clone());
        self.read(move |db| next(db, &account, now, &content_dir)).await
    }

    async fn retry_copies(&self, account: AccountKey) -> Result<(), StoreError> {
        self.write(move |db| retry(db, &account)).await
    }

    async fn end_copy(&self, id: SentCopyId, end: CopyEnd) -> Result<(), StoreError> {
        let file = self.write(move |db| self::end(db, id, &end)).await?;
        self.remove_files(file).await;
        Ok(())
    }

    async fn expire_copies(&self, older_than: Duration) -> Result<Vec<ExpiredCopy>, StoreError> {
        let (expired, files) = self.write(move |db| expire(db, older_than)).await?;
        self.remove_files(files).await;
        Ok(expired)
    }

    async fn waiting_copies(&self) -> Result<Vec<WaitingCopies>, StoreError> {
        self.read(waiting).await
    }
}

/// Makes a copy of a message in the queue, unless there was one: of several transactions the first makes it.
pub(super) fn add_first(db: &Writing, id: MessageId, copy: &NewSentCopy) -> rusqlite::Result<()> {
    let sql = "UPDATE message SET copied = 1 WHERE id = ?1 AND copied = 0";
    if db.prepare_cached(sql)?.execute([id.0])? == 1 { add(db, copy) } else { Ok(()) }
}

/// Makes a copy, if there is room for it.
pub(super) fn add(db: &Writing, copy: &NewSentCopy) -> rusqlite::Result<()> {
    let (upstream, account) = (&*copy.account.upstream, &*copy.account.account);
    let sql = "SELECT count(*), coalesce(sum(size), 0) FROM sent_copy WHERE upstream = ?1 AND account = ?2";
    let sums =
        |row: &Row<'_>| Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, i64>(1)?.unsigned_abs()));
    let (copies, octets) = db.prepare_cached(sql)?.query_row((upstream, account), sums)?;
    let size = copy.content.len();
    if copies >= MOST_COPIES || octets + size > MOST_COPY_OCTETS {
        let reason = format!("{copies} copies with {octets} octets wait already");
        tracing::error!(event = "copy_given_up", queue_id = %copy.queue_id, upstream, account, reason);
        return Ok(());
    }
    let mut insert = db.prepare_cached(
        "INSERT INTO sent_copy (id, copy_id, queue_id, upstream, account, sent_wall, made, due, size, in_file, checksum) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9, ?10)",
    )?;
    let id = insert.insert(params![
        db.numbers.sent_copy(),
        copy.copy_id.as_str(),
        copy.queue_id.as_str(),
        upstream,
        account,
        db.wall(),
        db.now().0,
        size as i64,
        copy.content.octets().is_none(),
        copy.content.checksum().map(|checksum| checksum.0),
    ])?;
    if let Some(data) = copy.content.octets() {
        db.prepare_cached("INSERT INTO sent_copy_content (copy, data) VALUES (?1, ?2)")?
            .execute((id, data))?;
    }
    // From here on the commit decides.
    copy.content.keep();
    Ok(())
}

fn next(
    db: &Connection,
    account: &AccountKey,
    now: Moment,
    content_dir: &Path,
) -> rusqlite::Result<NextCopy> {
    let mut select = db.prepare_cached(
        "SELECT id, copy_id, queue_id, sent_wall, made, due, tries, size, in_file, checksum FROM sent_copy \
         WHERE upstream = ?1 AND account = ?2 ORDER BY due, id LIMIT 1",
    )?;
    let mut rows = select.query((&*account.upstream, &*account.account))?;
    let Some(row) = rows.next()? else { return Ok(NextCopy::None) };
    let due = Moment(row.get(5)?);
    if due > now {
        return Ok(NextCopy::Later(due));
    }
    let (id, size, checksum) = (row.get(0)?, row.get::<_, i64>(7)?.unsigned_abs(), rows::checksum(row, 9)?);
    let content = if row.get(8)? {
        rows::in_file(content_dir, &rows::queue_id(row, 1)?, size, checksum)
    } else {
        let mut select = db.prepare_cached("SELECT data FROM sent_copy_content WHERE copy = ?1")?;
        let data: Option<Vec<u8>> = select.query_row([id], |row| row.get(0)).optional()?;
        Content::found(data.unwrap_or_default(), size, checksum)
    };
    Ok(NextCopy::Due(Box::new(SentCopy {
        id: SentCopyId(id),
        queue_id: rows::queue_id(row, 2)?,
        sent_wall: row.get(3)?,
        made: Moment(row.get(4)?),
        tries: row.get(6)?,
        content,
    })))
}

fn retry(db: &Writing, account: &AccountKey) -> rusqlite::Result<()> {
    let sql = "UPDATE sent_copy SET due = ?3 WHERE upstream = ?1 AND account = ?2 AND due > ?3";
    db.prepare_cached(sql)?.execute((&*account.upstream, &*account.account, db.now().0)).map(drop)
}

/// Notes what became of a try; the content file of a copy that is over.
fn end(db: &Writing, id: SentCopyId, end: &CopyEnd) -> rusqlite::Result<Option<QueueId>> {
    let CopyEnd::Again { after, reason } = end else { return forget(db, id) };
    let sql = "UPDATE sent_copy SET due = ?2, tries = tries + 1, failed = ?3, reason = ?4 WHERE id = ?1";
    let now = db.now();
    db.prepare_cached(sql)?.execute((id.0, now.after(*after).0, now.0, reason))?;
    Ok(None)
}

/// Removes a copy; its content file, if it has one.
fn forget(db: &Writing, id: SentCopyId) -> rusqlite::Result<Option<QueueId>> {
    db.prepare_cached("DELETE FROM sent_copy_content WHERE copy = ?1")?.execute([id.0])?;
    let mut delete = db.prepare_cached("DELETE FROM sent_copy WHERE id = ?1 RETURNING copy_id, in_file")?;
    let gone =
        delete.query_row([id.0], |row| Ok((rows::queue_id(row, 0)?, row.get::<_, bool>(1)?))).optional()?;
    let file = gone.and_then(|(copy_id, in_file)| in_file.then_some(copy_id));
    if let Some(copy_id) = &file {
        contents::note_gone(db, copy_id)?;
    }
    Ok(file)
}

/// Removes copies that have waited for too long, with their content files.
fn expire(db: &Writing, older_than: Duration) -> rusqlite::Result<(Vec<ExpiredCopy>, Vec<QueueId>)> {
    let before = db.now().0.saturating_sub(rows::millis(older_than));
    let sql =
        "SELECT id, queue_id, tries, reason, upstream, account FROM sent_copy WHERE made < ?1 ORDER BY id";
    let mut select = db.prepare_cached(sql)?;
    let copy = |row: &Row<'_>| {
        let (queue_id, account) = (rows::queue_id(row, 1)?, usage::account(row, 4)?);
        let copy = ExpiredCopy { queue_id, account, tries: row.get(2)?, reason: row.get(3)? };
        Ok((SentCopyId(row.get(0)?), copy))
    };
    let old: Vec<_> = select.query_map([before], copy)?.collect::<rusqlite::Result<_>>()?;
    let mut files = Vec::new();
    for (id, _) in &old {
        files.extend(forget(db, *id)?);
    }
    Ok((old.into_iter().map(|(_, copy)| copy).collect(), files))
}

/// What waits, by account. The reason is that of the try that failed last (a bare column goes with `max`).
fn waiting(db: &Connection) -> rusqlite::Result<Vec<WaitingCopies>> {
    let mut select = db.prepare_cached(
        "SELECT upstream, account, count(*), sum(size), \
         (SELECT min(made) FROM sent_copy one WHERE one.upstream = c.upstream AND one.account = c.account), \
         reason, max(coalesce(failed, -1)) FROM sent_copy c GROUP BY upstream, account ORDER BY upstream, account",
    )?;
    let copies = |row: &Row<'_>| {
        Ok(WaitingCopies {
            account: usage::account(row, 0)?,
            copies: row.get::<_, i64>(2)?.unsigned_abs(),
            octets: row.get::<_, i64>(3)?.unsigned_abs(),
            oldest: Moment(row.get(4)?),
            reason: row.get(5)?,
        })
    };
    select.query_map([], copies)?.collect()
}
