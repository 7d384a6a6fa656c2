//! Looks at a store that nobody uses for whatever is damaged in it, and names it. Nothing is changed.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};
use serde::Serialize;

use super::files::StoreFolder;
use super::walk::{self, TableShape};
use super::{keys, schema};
use crate::content::{Checksum, RunningChecksum, entries};
use crate::store::StoreError;

/// Faults that are told one by one.
const TOLD: usize = 1_000;
/// What is read at once of a content, in octets.
const BLOCK: usize = 1 << 16;

/// What was found in a store.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct StoreReport {
    /// Messages that could be read.
    pub messages: u64,
    /// Contents that were looked at.
    pub contents: u64,
    /// What is damaged, in words; the first of it.
    pub damage: Vec<String>,
    /// All of it.
    pub damaged: u64,
    /// What is no damage.
    pub notes: Vec<String>,
}

/// Whose content it is.
struct Owner {
    id: i64,
    /// Names its file.
    name: String,
    size: u64,
    in_file: bool,
    checksum: Option<Checksum>,
}

/// The tables that have contents, and where those lie that have no file: columns and names.
const OWNERS: [(&str, &str, &str); 3] = [
    ("message", "queue_id", "SELECT data FROM content WHERE message = ?1"),
    ("sent_copy", "copy_id", "SELECT data FROM sent_copy_content WHERE copy = ?1"),
    ("kept_content", "queue_id", "SELECT data FROM kept_content_data WHERE kept = ?1"),
];

/// Looks at the store in `data_dir`. Blocks.
///
/// # Errors
/// When a relay uses it, a newer version wrote it, or the folder can't be used.
pub fn check(data_dir: &Path) -> Result<StoreReport, StoreError> {
    let folder = StoreFolder::take(data_dir)?;
    let mut report = StoreReport::default();
    if let Err(error) = examine(&folder, &mut report) {
        match error {
            StoreError::Database(reason) => report.found(format!("queue.db: {reason}")),
            other => return Err(other),
        }
    }
    Ok(report)
}

/// A connection to a data base that may be damaged. Its log stays as it is.
pub(super) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    keys::register(&connection)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    Ok(connection)
}

/// The version of its schema.
pub(super) fn version(db: &Connection) -> Result<i64, StoreError> {
    let found =
        db.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(super::fault::database)?;
    if found > schema::VERSION { Err(StoreError::Newer { found, known: schema::VERSION }) } else { Ok(found) }
}

fn examine(folder: &StoreFolder, report: &mut StoreReport) -> Result<(), StoreError> {
    let db = open(&folder.database()).map_err(super::fault::database)?;
    let version = version(&db)?;
    if version < schema::VERSION {
        report
            .notes
            .push(format!("It is of schema version {version}; the next start makes it {}.", schema::VERSION));
    }
    if let Err(error) = report.pages(&db) {
        // It gives up where it can't go on; the tables are walked all the same.
        report.found(format!("queue.db: {error}"));
    }
    let tables = walk::tables(&db).map_err(super::fault::database)?;
    let mut owners = Vec::new();
    for table in &tables {
        let columns: Vec<&str> = table.columns.iter().map(String::as_str).collect();
        let mut rows = 0;
        let has_gaps = table.walk(&db, &columns, &mut |_| {
            rows += 1;
            Ok(())
        })?;
        if has_gaps {
            report.found(format!("table {}: rows can't be read, behind {rows} that can", table.name));
        }
        owners.extend(OWNERS.iter().filter(|(name, ..)| *name == table.name).map(|owner| (table, owner)));
    }
    for (table, (_, name, inline)) in owners {
        report.contents_of(&db, (table, name, inline), &folder.contents())?;
    }
    report.strays(&db, &tables, &folder.contents());
    Ok(())
}

impl StoreReport {
    fn found(&mut self, what: String) {
        self.damaged += 1;
        if self.damage.len() < TOLD {
            self.damage.push(what);
        }
    }

    /// What SQLite finds in the pages, the tables and the indexes.
    fn pages(&mut self, db: &Connection) -> rusqlite::Result<()> {
        let mut select = db.prepare("SELECT rootpage, type, name FROM sqlite_schema WHERE rootpage > 0")?;
        let read = |row: &Row<'_>| {
            Ok((row.get::<_, i64>(0)?, format!("{} {}", row.get::<_, String>(1)?, row.get::<_, String>(2)?)))
        };
        let names: HashMap<i64, String> = select.query_map([], read)?.collect::<rusqlite::Result<_>>()?;
        let mut check = db.prepare(&format!("PRAGMA integrity_check({TOLD})"))?;
        let mut rows = check.query([])?;
        while let Some(row) = rows.next()? {
            let said: String = row.get(0)?;
            for line in said.lines().filter(|line| *line != "ok" && !line.starts_with("***")) {
                self.found(format!("queue.db: {}", with_name(line, &names)));
            }
        }
        Ok(())
    }

    /// The contents of the rows of a table.
    fn contents_of(
        &mut self,
        db: &Connection,
        (table, name, inline): (&TableShape, &str, &str),
        folder: &Path,
    ) -> Result<(), StoreError> {
        let columns = ["id", name, "size", "in_file", "checksum"];
        // An older version has no checksums.
        let has_all = columns.iter().all(|column| table.columns.iter().any(|known| known == column));
        let columns = if has_all { &columns[..] } else { &columns[..4] };
        let mut seen = 0;
        table.walk(db, columns, &mut |row| {
            let Ok(owner) = owner(row, has_all) else {
                self.found(format!("table {}: a row has values that can't be", table.name));
                return Ok(());
            };
            seen += 1;
            if let Some(fault) = fault_of(db, inline, &owner, folder) {
                self.found(format!("{} {}: {fault}", table.name.replace('_', " "), owner.name));
            }
            Ok(())
        })?;
        self.contents += seen;
        if table.name == "message" {
            self.messages = seen;
        }
        Ok(())
    }

    /// Contents and recipients that belong to no message.
    fn strays(&mut self, db: &Connection, tables: &[TableShape], folder: &Path) {
        for (what, sql) in [
            (
                "contents in queue.db",
                "SELECT count(*) FROM content WHERE message NOT IN (SELECT id FROM message)",
            ),
            ("recipients", "SELECT count(*) FROM recipient WHERE message NOT IN (SELECT id FROM message)"),
        ] {
            // Tables that can't be read were told already.
            let stray: i64 = db.query_row(sql, [], |row| row.get(0)).unwrap_or(0);
            if stray > 0 {
                self.found(format!("{what} without messages: {stray}"));
            }
        }
        // An older version has fewer of them.
        let is_there = |name: &str| tables.iter().any(|table| table.name == name);
        let owners = OWNERS.iter().filter(|(table, ..)| is_there(table));
        let owners =
            owners.map(|(table, name, _)| format!("SELECT 1 FROM {table} WHERE {name} = ?1 AND in_file"));
        let gone =
            is_there("content_gone").then(|| "SELECT 1 FROM content_gone WHERE queue_id = ?1".to_owned());
        let sql = owners.chain(gone).collect::<Vec<_>>().join(" UNION ALL ");
        let Ok(mut known) = db.prepare(&sql) else { return };
        for entry in entries(folder).filter(|entry| entry.is_complete) {
            if matches!(known.query_row([entry.queue_id.as_str()], |_| Ok(())).optional(), Ok(None)) {
                self.found(format!("content {}: it belongs to no message", entry.path.display()));
            }
        }
    }
}

/// A line of SQLite's, in which the tree that it is about has its name.
fn with_name(line: &str, names: &HashMap<i64, String>) -> String {
    let number = line.strip_prefix("Tree ").and_then(|rest| rest.split([' ', ':']).next());
    let name = number.and_then(|number| names.get(&number.parse().ok()?));
    name.map_or_else(|| line.to_owned(), |name| format!("{name}: {line}"))
}

fn owner(row: &Row<'_>, has_checksum: bool) -> rusqlite::Result<Owner> {
    Ok(Owner {
        id: row.get(0)?,
        name: row.get(1)?,
        size: row.get::<_, i64>(2)?.unsigned_abs(),
        in_file: row.get(3)?,
        checksum: if has_checksum { row.get::<_, Option<u32>>(4)?.map(Checksum) } else { None },
    })
}

/// What is wrong with a content.
fn fault_of(db: &Connection, inline: &str, owner: &Owner, folder: &Path) -> Option<String> {
    let found = if owner.in_file {
        let path = folder.join(&owner.name);
        match of_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Some(format!("its content is missing: {}", path.display()));
            }
            Err(error) => return Some(format!("its content can't be read: {}: {error}", path.display())),
            Ok(found) => found,
        }
    } else {
        let data = db
            .prepare_cached(inline)
            .and_then(|mut select| select.query_row([owner.id], |row| row.get::<_, Vec<u8>>(0)).optional());
        match data {
            Err(error) => return Some(format!("its content can't be read: {error}")),
            Ok(None) => return Some("its content is missing".to_owned()),
            Ok(Some(data)) => FoundContent { length: data.len() as u64, checksum: Checksum::of(&data) },
        }
    };
    if found.length != owner.size {
        return Some(format!("its content has {} octets of {}", found.length, owner.size));
    }
    let has_changed = owner.checksum.is_some_and(|stored| stored != found.checksum);
    has_changed.then(|| "octets of its content have changed: the checksum is another".to_owned())
}

/// A content as it is.
struct FoundContent {
    length: u64,
    checksum: Checksum,
}

fn of_file(path: &PathBuf) -> io::Result<FoundContent> {
    let (mut file, mut block) = (File::open(path)?, vec![0; BLOCK]);
    let (mut length, mut checksum) = (0, RunningChecksum::default());
    loop {
        match file.read(&mut block)? {
            0 => return Ok(FoundContent { length, checksum: checksum.end() }),
            read => {
                length += read as u64;
                checksum.add(&block[..read]);
            }
        }
    }
}
