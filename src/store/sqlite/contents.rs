//! The folder of the contents, and what a start does with those that belong to no message.
//!
//! A file without a message is removed where it is certain that nobody counts on it: it was never complete, so its client was
//! never told that it had been taken; or its message has left the queue, which the same transaction has noted. Any other may
//! have been acknowledged, when somebody has put an older queue beside it: it is set aside.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::writing::Writing;
use crate::content::{ContentEntry, entries};
use crate::folder;
use crate::mail::QueueId;
use crate::store::Orphans;
use crate::time::Moment;

/// How long it is known at least that a content is needed no more, in milliseconds. By then its removal has long reached the disk.
const KNOWN_GONE: i64 = 3_600_000;

/// What a start makes of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FileFate {
    Needed,
    Needless,
    Orphaned,
}

/// Removes what nobody needs and sets aside what nobody knows, into the folder `orphaned` beside that of the contents.
pub(super) fn sort_out(db: &Connection, content_dir: &Path) -> rusqlite::Result<Orphans> {
    let mut orphans = Orphans { folder: content_dir.with_file_name("orphaned"), ..Orphans::default() };
    let mut known = db.prepare(
        "SELECT 1 FROM message WHERE queue_id = ?1 AND in_file \
         UNION ALL SELECT 1 FROM sent_copy WHERE copy_id = ?1 AND in_file \
         UNION ALL SELECT 1 FROM kept_content WHERE queue_id = ?1 AND in_file",
    )?;
    let mut gone = db.prepare("SELECT 1 FROM content_gone WHERE queue_id = ?1")?;
    for entry in entries(content_dir) {
        let name = [entry.queue_id.as_str()];
        let fate = if !entry.is_complete {
            FileFate::Needless
        } else if known.query_row(name, |_| Ok(())).optional()?.is_some() {
            FileFate::Needed
        } else if gone.query_row(name, |_| Ok(())).optional()?.is_some() {
            FileFate::Needless
        } else {
            FileFate::Orphaned
        };
        let done = match fate {
            FileFate::Needed => continue,
            FileFate::Needless => std::fs::remove_file(&entry.path).map(|()| orphans.removed += 1),
            FileFate::Orphaned => {
                set_aside(&entry, &orphans.folder).map(|()| orphans.aside.push(entry.queue_id.clone()))
            }
        };
        if let Err(error) = done {
            tracing::warn!(event = "content_not_removed", path = %entry.path.display(), reason = %error);
        }
    }
    if !orphans.aside.is_empty() {
        for folder in [&orphans.folder, content_dir] {
            if let Err(error) = folder::sync(folder) {
                tracing::warn!(event = "store", path = %folder.display(), reason = %error);
            }
        }
    }
    Ok(orphans)
}

/// Moves a file to where nothing of it is ever removed.
fn set_aside(entry: &ContentEntry, folder: &Path) -> std::io::Result<()> {
    folder::make(folder)?;
    std::fs::rename(&entry.path, folder.join(entry.queue_id.as_str()))
}

/// Notes that the content of a message is needed no more, with whatever ends its message.
pub(super) fn note_gone(db: &Writing, queue_id: &QueueId) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO content_gone (queue_id, at) VALUES (?1, ?2)";
    db.prepare_cached(sql)?.execute((queue_id.as_str(), db.now().0)).map(drop)
}

/// Forgets those that have been removed; tries again to remove the others.
pub(super) fn forget_gone(db: &Connection, content_dir: &Path, now: Moment) -> rusqlite::Result<()> {
    let mut select = db.prepare_cached("SELECT queue_id FROM content_gone WHERE at < ?1")?;
    let names = select.query_map([now.0.saturating_sub(KNOWN_GONE)], |row| row.get::<_, String>(0))?;
    let names: Vec<String> = names.collect::<rusqlite::Result<_>>()?;
    let mut delete = db.prepare_cached("DELETE FROM content_gone WHERE queue_id = ?1")?;
    for name in names {
        let path = content_dir.join(&name);
        if !path.exists() || std::fs::remove_file(&path).is_ok() {
            delete.execute([&name])?;
        }
    }
    Ok(())
}
