//! Goes on with what can be read of a damaged store: a new data base is made of it, and the damaged files are kept in a folder
//! beside. A crash at any moment leaves the damaged store, or a folder that no relay starts in and that is finished by doing it
//! again.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, Row, params_from_iter};
use serde::Serialize;

use super::fault::database;
use super::files::{StoreFolder, at};
use super::restored::{self, NewMark};
use super::walk::{TableShape, quoted, tables};
use super::{examine, schema, settings};
use crate::folder;
use crate::mail::{Address, QueueId};
use crate::store::{Decisions, StoreError, StoreOrigin};

/// The new data base while it grows.
const GROWING: &str = "queue.db.new";
/// The new data base when all of it is there.
const COMPLETE: &str = "queue.db.salvaged";
/// Tables without which nobody knows how much was sent.
const COUNTS: [&str; 4] = ["usage", "lease", "permit", "switch"];
/// Numbers of a message that can't be others.
const OF_MESSAGES: [NumberRange; 11] = [
    NumberRange("kind", 0, 1),
    NumberRange("priority", 0, 3),
    NumberRange("state", 0, 2),
    NumberRange("body", 0, 1),
    NumberRange("smtputf8", 0, 1),
    NumberRange("in_file", 0, 1),
    NumberRange("size", 0, i64::MAX),
    NumberRange("attempts", 0, MOST_ATTEMPTS),
    NumberRange("ret", 0, 1),
    NumberRange("mt_priority", -9, 9),
    NumberRange("checksum", 0, u32::MAX as i64),
];
/// Numbers of a recipient that can't be others.
const OF_RECIPIENTS: [NumberRange; 6] = [
    NumberRange("place", 0, u32::MAX as i64),
    NumberRange("state", 0, 5),
    NumberRange("attempts", 0, MOST_ATTEMPTS),
    NumberRange("failures", 0, MOST_ATTEMPTS),
    NumberRange("doubts", 0, MOST_ATTEMPTS),
    NumberRange("notify", 0, 7),
];
/// Numbers of an entry of the history that can't be others.
const OF_HISTORY: [NumberRange; 5] = [
    NumberRange("id", 1, i64::MAX / 2),
    NumberRange("state", 1, 6),
    NumberRange("test", 0, 2),
    NumberRange("attempts", 0, MOST_ATTEMPTS),
    NumberRange("size", 0, i64::MAX),
];
/// One attempt a second, for years.
const MOST_ATTEMPTS: i64 = 1 << 28;
/// What waits has waited for less than that, and is due sooner: ten years, in milliseconds.
const LONGEST: i64 = 3_652 * 86_400_000;
/// What has become of recipients, by the names of the totals.
const ENDS: &str = "'sent', 'bounced', 'expired', 'dropped', 'captured', 'deleted'";

/// A column, and what its numbers are at least and at most.
struct NumberRange(&'static str, i64, i64);

/// What was saved of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SalvagedTable {
    /// Its name.
    pub name: String,
    /// Rows that were saved.
    pub rows: u64,
    /// Whether some could not be read.
    pub has_gaps: bool,
}

/// What was saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Salvaged {
    /// Messages in the queue.
    pub messages: u64,
    /// Recipients that wait.
    pub recipients: u64,
    /// Recipients that should wait, and could not be saved; the totals count them as deleted.
    pub lost_recipients: u64,
    /// By table; empty when an earlier try had saved them.
    pub tables: Vec<SalvagedTable>,
    /// Where the damaged files are.
    pub aside: PathBuf,
}

/// Whether somebody who saved the store in this folder was interrupted before the end.
#[must_use]
pub fn is_half_salvaged(data_dir: &Path) -> bool {
    data_dir.join(COMPLETE).exists()
}

/// Saves what can be read of the store in `data_dir`. `now` is the wall clock, in milliseconds since 1970. Blocks.
///
/// # Errors
/// When a relay uses it, a newer version wrote it, its first page is gone, or the folder can't be written: then the store is as it
/// was.
pub fn salvage(data_dir: &Path, now: i64) -> Result<Salvaged, StoreError> {
    let store = StoreFolder::take(data_dir)?;
    let (growing, complete) = (data_dir.join(GROWING), data_dir.join(COMPLETE));
    let mut saved = Vec::new();
    if !complete.exists() {
        saved = save(&store.database(), &growing, now)?;
        fs::rename(&growing, &complete).map_err(at(&complete))?;
        folder::sync(data_dir).map_err(at(data_dir))?;
    }
    let aside = exchange(data_dir, &complete, now)?;
    let db = examine::open(&store.database()).map_err(database)?;
    let number = |sql: &str| {
        db.query_row(sql, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs).map_err(database)
    };
    Ok(Salvaged {
        messages: number("SELECT count(*) FROM message")?,
        recipients: number("SELECT count(*) FROM recipient WHERE state = 0")?,
        lost_recipients: restored::lost(&db).map_err(database)?,
        tables: saved,
        aside,
    })
}

/// Puts the new data base in the place of the damaged one. No step leaves a data base with another one's log.
fn exchange(data_dir: &Path, complete: &Path, now: i64) -> Result<PathBuf, StoreError> {
    let time = Timestamp::from_millisecond(now).unwrap_or(Timestamp::UNIX_EPOCH);
    let name = format!("damaged-{}", format!("{time:.0}").replace(':', "-"));
    let aside = (0..).map(|n| data_dir.join(if n == 0 { name.clone() } else { format!("{name}-{n}") }));
    let aside = aside.into_iter().find(|folder| !folder.exists()).unwrap_or_else(|| data_dir.join(&name));
    folder::make(&aside).map_err(at(&aside))?;
    for file in ["queue.db", "queue.db-wal", "queue.db-shm"] {
        let path = data_dir.join(file);
        if path.exists() {
            fs::rename(&path, aside.join(file)).map_err(at(&path))?;
            folder::sync(&aside).map_err(at(&aside))?;
            folder::sync(data_dir).map_err(at(data_dir))?;
        }
    }
    let database = data_dir.join("queue.db");
    fs::rename(complete, &database).map_err(at(&database))?;
    folder::sync(data_dir).map_err(at(data_dir))?;
    Ok(aside)
}

/// Makes a new data base of what can be read, and makes it durable.
fn save(damaged: &Path, new: &Path, now: i64) -> Result<Vec<SalvagedTable>, StoreError> {
    let unreadable = |reason: String| StoreError::Damaged { path: damaged.to_owned(), reason };
    let old = examine::open(damaged).map_err(database)?;
    let version = match examine::version(&old) {
        Ok(version) if version > 0 => version,
        Ok(_) => return Err(unreadable("it is of no version of a queue".to_owned())),
        Err(StoreError::Database(reason)) => return Err(unreadable(reason)),
        Err(other) => return Err(other),
    };
    let _ = fs::remove_file(new);
    let made = OpenOptions::new().create_new(true).write(true).mode(0o600).open(new);
    made.map(drop).map_err(at(new))?;
    let mut db = Connection::open(new).map_err(database)?;
    schema::make(&mut db, version.unsigned_abs() as usize).map_err(database)?;
    let known = tables(&old).map_err(|error| unreadable(error.to_string()))?;
    let mut saved = Vec::new();
    let transaction = db.transaction().map_err(database)?;
    for table in tables(&transaction).map_err(database)? {
        let found = known.iter().find(|found| found.name == table.name);
        saved.push(match found {
            Some(found) => copy(&old, &transaction, &table, found)?,
            None => SalvagedTable { name: table.name.clone(), rows: 0, has_gaps: true },
        });
    }
    mend_times(&transaction, now).map_err(database)?;
    let lost = settle(&transaction).map_err(database)?;
    let limits = saved.iter().any(|table| table.has_gaps && COUNTS.contains(&table.name.as_str()));
    let mark = NewMark { origin: StoreOrigin::Salvage, made: now, lost, limits };
    restored::mark(&transaction, &mark).map_err(database)?;
    transaction.commit().map_err(database)?;
    db.pragma_update(None, "journal_mode", "DELETE").map_err(database)?;
    db.close().map_err(|(_, error)| database(error))?;
    File::open(new).and_then(|file| file.sync_all()).map_err(at(new))?;
    Ok(saved)
}

/// Copies the rows of a table that can be read and are what they should be.
fn copy(
    old: &Connection,
    new: &Connection,
    to: &TableShape,
    from: &TableShape,
) -> Result<SalvagedTable, StoreError> {
    let columns: Vec<&str> = to
        .columns
        .iter()
        .map(String::as_str)
        .filter(|name| from.columns.iter().any(|known| known == name))
        .collect();
    let names = columns.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    let places = vec!["?"; columns.len()].join(", ");
    // Some of these the schema begins with.
    let verb = if to.name == "total" { "INSERT OR REPLACE" } else { "INSERT OR IGNORE" };
    let sql = format!("{verb} INTO {} ({names}) VALUES ({places})", quoted(&to.name));
    let mut insert = new.prepare(&sql).map_err(database)?;
    let (mut rows, mut refused) = (0, false);
    let has_gaps = from.walk(old, &columns, &mut |row| {
        let values = values(row, columns.len());
        let has_types = columns.iter().zip(&values).all(|(column, value)| has_type(to, column, value));
        if !has_types || !is_sound(&to.name, &CopiedRow { columns: &columns, values: &values }) {
            refused = true;
            return Ok(());
        }
        match insert.execute(params_from_iter(values.iter().map(Borrowed))) {
            Ok(inserted) => rows += inserted as u64,
            Err(error) if error.sqlite_error_code() != Some(rusqlite::ErrorCode::ConstraintViolation) => {
                return Err(database(error));
            }
            _ => refused = true,
        }
        Ok(())
    })?;
    Ok(SalvagedTable { name: to.name.clone(), rows, has_gaps: has_gaps || refused })
}

fn values(row: &Row<'_>, columns: usize) -> Vec<Value> {
    (0..columns).map(|column| row.get_ref(column).map_or(Value::Null, |value| owned(value))).collect()
}

fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        // What is no UTF-8 is no text of ours: a column that must have one refuses it.
        ValueRef::Text(text) => String::from_utf8(text.to_vec()).map_or(Value::Null, Value::Text),
        ValueRef::Blob(octets) => Value::Blob(octets.to_vec()),
    }
}

/// A value that is bound as it is.
struct Borrowed<'a>(&'a Value);

impl rusqlite::ToSql for Borrowed<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.0.into()))
    }
}

/// Whether a column may have a value: SQLite itself takes any type, and passes over a row that lacks one without a word.
fn has_type(table: &TableShape, column: &str, value: &Value) -> bool {
    let Some(place) = table.columns.iter().position(|known| known == column) else { return true };
    match (table.kinds[place].as_str(), value) {
        (_, Value::Null) => !table.required[place],
        ("INTEGER", _) => matches!(value, Value::Integer(_)),
        ("TEXT", _) => matches!(value, Value::Text(_)),
        _ => true,
    }
}

/// The columns of a row that are copied, and what it has in them.
struct CopiedRow<'a> {
    columns: &'a [&'a str],
    values: &'a [Value],
}

impl CopiedRow<'_> {
    fn value(&self, name: &str) -> Option<&Value> {
        self.columns.iter().position(|column| *column == name).map(|place| &self.values[place])
    }

    fn text(&self, name: &str) -> Option<&str> {
        match self.value(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    fn is_within(&self, NumberRange(name, least, most): &NumberRange) -> bool {
        match self.value(name) {
            Some(Value::Integer(number)) => (least..=most).contains(&number),
            // An older version has no such column, or nothing is known: where that can't be it was refused.
            _ => true,
        }
    }
}

/// Whether a row of the queue can be one: by its names and numbers it is found, and one that can't be read when its turn comes is
/// held again each time.
fn is_sound(table: &str, row: &CopiedRow<'_>) -> bool {
    let is_address = |text: &str| Address::parse(text).is_ok();
    match table {
        "message" => {
            row.text("queue_id").is_some_and(|name| QueueId::parse(name).is_ok())
                && row.text("reverse_path").is_some_and(|path| path.is_empty() || is_address(path))
                && Decisions::from_text(row.text("decisions")).is_ok()
                && OF_MESSAGES.iter().all(|range| row.is_within(range))
        }
        "history" => {
            row.text("queue_id").is_some_and(|name| QueueId::parse(name).is_ok())
                && OF_HISTORY.iter().all(|range| row.is_within(range))
        }
        "kept_content" => {
            row.text("queue_id").is_some_and(|name| QueueId::parse(name).is_ok())
                && row.text("reverse_path").is_some_and(|path| path.is_empty() || is_address(path))
                && Decisions::from_text(row.text("decisions")).is_ok()
                && OF_MESSAGES.iter().all(|range| row.is_within(range))
        }
        "recipient" => {
            row.text("address").is_some_and(is_address)
                && OF_RECIPIENTS.iter().all(|range| row.is_within(range))
        }
        _ => true,
    }
}

/// Of what claims to have come long ago, or to be due in many years, the times are damaged: it counts as accepted when the store was
/// last known to be in use. Else it would expire as soon as a person lets it go.
fn mend_times(db: &Connection, now: i64) -> rusqlite::Result<()> {
    let last = settings::anchor(db)?.map_or(now, |anchor| anchor.moment.0);
    let (first, late) = (last.saturating_sub(LONGEST), last.saturating_add(LONGEST));
    db.execute(
        "UPDATE message SET accepted = ?1, age_base = ?1 \
         WHERE accepted NOT BETWEEN ?2 AND ?3 OR age_base NOT BETWEEN ?2 AND ?3",
        (last, first, late),
    )?;
    db.execute("UPDATE message SET due = ?1 WHERE due NOT BETWEEN ?2 AND ?3", (last, first, late))?;
    db.execute(
        "UPDATE message SET accepted_wall = ?1 WHERE accepted_wall NOT BETWEEN 0 AND ?2",
        (now, now.saturating_add(LONGEST)),
    )
    .map(drop)
}

/// Makes what was saved of the history fit together. Its index is made anew while mail goes on. A store of a version that had none
/// gets one later.
fn settle_history(db: &Connection) -> rusqlite::Result<()> {
    if !db.table_exists(None, "history")? {
        return Ok(());
    }
    db.execute_batch(
        "DELETE FROM history_run;
         DELETE FROM history_key;
         DELETE FROM kept_content_data WHERE kept NOT IN (SELECT id FROM kept_content);",
    )
}

/// Makes what was saved fit together, and the totals with it. Tells how many recipients are lost.
fn settle(db: &Connection) -> rusqlite::Result<u64> {
    settle_history(db)?;
    db.execute_batch(
        "DELETE FROM recipient WHERE message NOT IN (SELECT id FROM message);
         DELETE FROM message WHERE NOT EXISTS (SELECT 1 FROM recipient WHERE message = message.id AND recipient.state = 0);
         DELETE FROM recipient WHERE message NOT IN (SELECT id FROM message);
         DELETE FROM content WHERE message NOT IN (SELECT id FROM message);
         DELETE FROM lease WHERE message NOT IN (SELECT id FROM message);
         UPDATE message SET waiting = (SELECT count(*) FROM recipient WHERE message = message.id AND recipient.state = 0);",
    )?;
    let sql = format!(
        "SELECT coalesce(sum(CASE WHEN name IN ('accepted', 'generated') THEN count WHEN name IN ({ENDS}) THEN -count ELSE 0 \
         END), 0) - (SELECT count(*) FROM recipient WHERE state = 0) FROM total"
    );
    let lost: i64 = db.query_row(&sql, [], |row| row.get(0))?;
    // More than there should be: what was counted of them is lost.
    let (name, more) = if lost >= 0 { ("deleted", lost) } else { ("accepted", -lost) };
    db.execute("UPDATE total SET count = count + ?2 WHERE name = ?1", (name, more))?;
    Ok(lost.max(0).unsigned_abs())
}
