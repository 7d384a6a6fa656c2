//! Contents that are kept when their messages have left, for sending them again.
//!
//! One in a file stays where it is: the file belongs to whoever refers to it, a message in the queue or a content that is kept, and
//! is noted as gone by whichever lets go of it last.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::writing::Writing;
use super::{contents, rows};
use crate::content::Content;
use crate::mail::{AddressKey, Body, QueueId};
use crate::store::{KeptMessage, MessageId, MessageKind, PassedMessage, StoredLabel};
use crate::time::Moment;

/// Contents that one write lets go of at most: others wait for no longer.
pub(super) const PORTION: usize = 100;

/// Contents that a write has let go of.
#[derive(Debug, Default)]
pub(super) struct LetGo {
    /// How many.
    pub(super) contents: u64,
    /// Their octets.
    pub(super) octets: u64,
    /// The files that they had, which are to go when this has been committed.
    pub(super) files: Vec<QueueId>,
}

/// Keeps the content of a message that is about to leave the queue, where that is wanted. Our own reports are not kept.
pub(super) fn keep(db: &Writing, id: MessageId) -> rusqlite::Result<()> {
    if !db.history().keeps_contents() {
        return Ok(());
    }
    let mut insert = db.prepare_cached(
        "INSERT OR IGNORE INTO kept_content (queue_id, at, reverse_path, sender, body, smtputf8, ret, envelope_id, mt_priority, \
         decisions, message_id, subject, size, in_file, checksum) \
         SELECT queue_id, ?2, reverse_path, sender, body, smtputf8, ret, envelope_id, mt_priority, decisions, message_id, \
         subject, size, in_file, checksum FROM message WHERE id = ?1 AND kind = 0",
    )?;
    if insert.execute((id.0, db.now().0))? == 0 {
        return Ok(());
    }
    let sql = "INSERT INTO kept_content_data (kept, data) SELECT ?2, data FROM content WHERE message = ?1";
    db.prepare_cached(sql)?.execute((id.0, db.last_insert_rowid())).map(drop)
}

/// Keeps the content of a message that has gone through while its client waited, where that is wanted.
pub(super) fn keep_passed(db: &Writing, passed: &PassedMessage) -> rusqlite::Result<()> {
    let PassedMessage { message, label, .. } = passed;
    if !db.history().keeps_contents() || message.kind == MessageKind::Report {
        return Ok(());
    }
    let mut insert = db.prepare_cached(
        "INSERT OR IGNORE INTO kept_content (queue_id, at, reverse_path, sender, body, smtputf8, ret, envelope_id, mt_priority, \
         decisions, message_id, subject, size, in_file, checksum) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )?;
    let inserted = insert.execute(params![
        message.queue_id.as_str(),
        db.now().0,
        message.reverse_path.as_str(),
        message.sender,
        i64::from(message.body == Body::EightBitMime),
        message.smtputf8,
        message.request.ret.map(rows::ret_number),
        message.request.envelope_id.as_ref().map(ToString::to_string),
        message.request.priority,
        message.decisions.to_text(),
        label.message_id,
        label.subject,
        message.size as i64,
        message.content.octets().is_none(),
        message.content.checksum().map(|checksum| checksum.0),
    ])?;
    if inserted == 0 {
        return Ok(());
    }
    if let Some(data) = message.content.octets() {
        let sql = "INSERT INTO kept_content_data (kept, data) VALUES (?1, ?2)";
        db.prepare_cached(sql)?.execute((db.last_insert_rowid(), data))?;
    }
    // From here on the commit decides.
    message.content.keep();
    Ok(())
}

/// Whether a content that is kept needs the file of this name.
pub(super) fn has_file(db: &Connection, queue_id: &QueueId) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM kept_content WHERE queue_id = ?1 AND in_file)";
    db.prepare_cached(sql)?.query_row([queue_id.as_str()], |row| row.get(0))
}

/// A message that has left, if its content is kept.
pub(super) fn find(
    db: &Connection,
    queue_id: &QueueId,
    folder: &Path,
) -> rusqlite::Result<Option<KeptMessage>> {
    let mut select = db.prepare_cached(
        "SELECT reverse_path, sender, body, smtputf8, ret, envelope_id, mt_priority, decisions, message_id, subject, size, \
         in_file, checksum, data FROM kept_content LEFT JOIN kept_content_data ON kept = id WHERE queue_id = ?1",
    )?;
    let read = |row: &Row<'_>| {
        let (size, checksum) = (row.get::<_, i64>(10)?.unsigned_abs(), rows::checksum(row, 12)?);
        let content = if row.get(11)? {
            rows::in_file(folder, queue_id, size, checksum)
        } else {
            Content::found(row.get::<_, Option<Vec<u8>>>(13)?.unwrap_or_default(), size, checksum)
        };
        Ok(KeptMessage {
            queue_id: queue_id.clone(),
            reverse_path: rows::reverse_path(row, 0)?,
            sender: row.get(1)?,
            body: if row.get::<_, i64>(2)? == 0 { Body::SevenBit } else { Body::EightBitMime },
            smtputf8: row.get(3)?,
            request: rows::message_request(row, 4)?,
            decisions: rows::decisions(row, 7)?,
            label: StoredLabel { message_id: row.get(8)?, subject: row.get(9)? },
            content,
        })
    };
    select.query_row([queue_id.as_str()], read).optional()
}

/// Lets go of contents that were kept before then, the oldest first.
pub(super) fn let_go_before(db: &Writing, before: Moment) -> rusqlite::Result<LetGo> {
    let mut select = db.prepare_cached("SELECT id, at FROM kept_content ORDER BY id LIMIT ?1")?;
    let rows = select.query_map([PORTION as i64], |row| Ok((row.get(0)?, Moment(row.get(1)?))))?;
    let oldest: Vec<(i64, Moment)> = rows.collect::<rusqlite::Result<_>>()?;
    let old = oldest.into_iter().take_while(|(_, at)| *at < before);
    let_go_each(db, old.map(|(id, _)| id))
}

/// Lets go of the oldest contents until so many octets are free.
pub(super) fn let_go_octets(db: &Writing, octets: u64) -> rusqlite::Result<LetGo> {
    let mut select = db.prepare_cached("SELECT id FROM kept_content ORDER BY id LIMIT ?1")?;
    let rows = select.query_map([PORTION as i64], |row| row.get(0))?;
    let mut let_go = LetGo::default();
    for id in rows.collect::<rusqlite::Result<Vec<i64>>>()? {
        if let_go.octets >= octets {
            break;
        }
        let_go_one(db, id, &mut let_go)?;
    }
    Ok(let_go)
}

/// Lets go of the content of a message.
pub(super) fn let_go_of(db: &Writing, queue_id: &QueueId) -> rusqlite::Result<LetGo> {
    let sql = "SELECT id FROM kept_content WHERE queue_id = ?1";
    let id = db.prepare_cached(sql)?.query_row([queue_id.as_str()], |row| row.get(0)).optional()?;
    let_go_each(db, id)
}

/// The messages whose contents are kept that are from an address: by their reverse-path, or by the address that routing went by.
pub(super) fn of_sender(db: &Connection, address: &AddressKey) -> rusqlite::Result<Vec<QueueId>> {
    let mut select = db.prepare("SELECT queue_id, reverse_path, sender FROM kept_content ORDER BY id")?;
    let mut rows = select.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let is = |column: usize| {
            row.get_ref(column).and_then(|value| Ok(AddressKey::of_text(value.as_str()?) == *address))
        };
        if is(1)? || is(2)? {
            found.push(rows::queue_id(row, 0)?);
        }
    }
    Ok(found)
}

fn let_go_each(db: &Writing, ids: impl IntoIterator<Item = i64>) -> rusqlite::Result<LetGo> {
    let mut let_go = LetGo::default();
    ids.into_iter().try_for_each(|id| let_go_one(db, id, &mut let_go))?;
    Ok(let_go)
}

fn let_go_one(db: &Writing, id: i64, let_go: &mut LetGo) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM kept_content_data WHERE kept = ?1")?.execute([id])?;
    let sql = "DELETE FROM kept_content WHERE id = ?1 RETURNING queue_id, in_file, size";
    let read = |row: &Row<'_>| Ok((rows::queue_id(row, 0)?, row.get::<_, bool>(1)?, row.get::<_, i64>(2)?));
    let Some((queue_id, in_file, size)) = db.prepare_cached(sql)?.query_row([id], read).optional()? else {
        return Ok(());
    };
    let_go.contents += 1;
    let_go.octets += size.unsigned_abs();
    // Copies that rules have added may still wait for their turn, with the same content.
    let sql = "SELECT EXISTS (SELECT 1 FROM message WHERE queue_id = ?1 AND in_file)";
    let is_needed: bool = db.prepare_cached(sql)?.query_row([queue_id.as_str()], |row| row.get(0))?;
    if in_file && !is_needed {
        contents::note_gone(db, &queue_id)?;
        let_go.files.push(queue_id);
    }
    Ok(())
}
