//! Reads the rows of a data base whose pages may be damaged: whatever can be read, past what can't.
//!
//! A damaged page holds the rows of a range of keys. The rows before it are read forwards, those behind it backwards, and what lies
//! between is cut in halves, until what is left can't be read by any way. Keys that are texts can't be cut so; there only
//! what lies between the first and the last damage is lost.

use rusqlite::{Connection, Row};

use crate::store::StoreError;

use super::fault::database;

/// How far behind the last row that was read there may be others, where the end of a table can't be read.
const BEYOND: i64 = 100_000;
/// Look-ups that may fail in one table.
const FAILURES: u32 = 200_000;

/// A table as its data base describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableShape {
    pub(super) name: String,
    pub(super) columns: Vec<String>,
    /// The declared type of each column.
    pub(super) kinds: Vec<String>,
    /// Whether each column must have a value.
    pub(super) required: Vec<bool>,
    key: RowKey,
}

/// What the rows of a table are ordered by.
#[derive(Debug, Clone, PartialEq, Eq)]
enum RowKey {
    /// A column of numbers.
    Number(String),
    /// Columns of anything.
    Text(Vec<String>),
}

/// A column of a table, and its place in the key; 0 when it is none of it.
struct Column {
    name: String,
    kind: String,
    in_key: i64,
    required: bool,
}

/// All tables, but for SQLite's own.
pub(super) fn tables(db: &Connection) -> rusqlite::Result<Vec<TableShape>> {
    let mut select =
        db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name")?;
    let names: Vec<String> = select.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    names.into_iter().map(|name| table(db, name)).collect()
}

fn table(db: &Connection, name: String) -> rusqlite::Result<TableShape> {
    let mut select =
        db.prepare("SELECT name, type, pk, \"notnull\" FROM pragma_table_info(?1) ORDER BY cid")?;
    let read = |row: &Row<'_>| {
        Ok(Column { name: row.get(0)?, kind: row.get(1)?, in_key: row.get(2)?, required: row.get(3)? })
    };
    let columns: Vec<Column> = select.query_map([&name], read)?.collect::<rusqlite::Result<_>>()?;
    let mut key: Vec<&Column> = columns.iter().filter(|column| column.in_key > 0).collect();
    key.sort_by_key(|column| column.in_key);
    let key = match key.first() {
        Some(first) if first.kind.eq_ignore_ascii_case("INTEGER") => RowKey::Number(first.name.clone()),
        Some(_) => RowKey::Text(key.iter().map(|column| column.name.clone()).collect()),
        None => RowKey::Number("rowid".to_owned()),
    };
    let mut shape = TableShape { name, columns: Vec::new(), kinds: Vec::new(), required: Vec::new(), key };
    for column in columns {
        shape.columns.push(column.name);
        shape.kinds.push(column.kind);
        shape.required.push(column.required);
    }
    Ok(shape)
}

impl TableShape {
    /// Hands each row that can be read to `take`, with these columns of it; some rows may come twice. Tells whether there are gaps.
    ///
    /// # Errors
    /// What `take` says, at once.
    pub(super) fn walk(
        &self,
        db: &Connection,
        columns: &[&str],
        take: &mut dyn FnMut(&Row<'_>) -> Result<(), StoreError>,
    ) -> Result<bool, StoreError> {
        let columns = columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ");
        match &self.key {
            RowKey::Number(key) => {
                let mut walk = NumberWalk {
                    db,
                    table: quoted(&self.name),
                    columns,
                    key: quoted(key),
                    failures: 0,
                    take,
                };
                walk.all()?;
                Ok(walk.failures > 0)
            }
            RowKey::Text(key) => {
                let order = |how: &str| {
                    key.iter()
                        .map(|column| format!("{} {how}", quoted(column)))
                        .collect::<Vec<_>>()
                        .join(", ")
                };
                for how in ["ASC", "DESC"] {
                    let sql = format!("SELECT {columns} FROM {} ORDER BY {}", quoted(&self.name), order(how));
                    if each(db, &sql, [], take)? {
                        return Ok(how == "DESC");
                    }
                }
                Ok(true)
            }
        }
    }
}

/// A walk by numbers.
struct NumberWalk<'a> {
    db: &'a Connection,
    table: String,
    columns: String,
    key: String,
    failures: u32,
    take: &'a mut dyn FnMut(&Row<'_>) -> Result<(), StoreError>,
}

/// How a read has ended.
enum ReadEnd {
    /// There is no more.
    Complete,
    /// Behind the row with this key, if one was read, something can't be read.
    Broke(Option<i64>),
}

impl NumberWalk<'_> {
    fn all(&mut self) -> Result<(), StoreError> {
        let ReadEnd::Broke(last) = self.read("ASC", (i64::MIN, i64::MAX))? else { return Ok(()) };
        let last = last.unwrap_or(0);
        match self.read("DESC", (last, i64::MAX))? {
            ReadEnd::Complete => Ok(()),
            ReadEnd::Broke(Some(first)) => self.halves(last, first),
            ReadEnd::Broke(None) => self.halves(last, last.saturating_add(BEYOND)),
        }
    }

    /// Reads what can be read between two keys, of which it is known that not all can.
    fn halves(&mut self, from: i64, to: i64) -> Result<(), StoreError> {
        if to.saturating_sub(from) <= 2 {
            // One key: it was tried.
            return if to - from == 2 { self.read("ASC", (from, to)).map(drop) } else { Ok(()) };
        }
        let middle = from + (to - from) / 2;
        for (from, to) in [(from, middle + 1), (middle, to)] {
            if self.failures > FAILURES {
                return Ok(());
            }
            let ReadEnd::Broke(last) = self.read("ASC", (from, to))? else { continue };
            let last = last.unwrap_or(from);
            match self.read("DESC", (last, to))? {
                ReadEnd::Complete => {}
                ReadEnd::Broke(first) => self.halves(last, first.unwrap_or(to))?,
            }
        }
        Ok(())
    }

    /// Reads the rows between two keys.
    fn read(&mut self, order: &str, (from, to): (i64, i64)) -> Result<ReadEnd, StoreError> {
        let Self { table, columns, key, .. } = self;
        let sql = format!(
            "SELECT {columns}, {key} FROM {table} WHERE {key} > ?1 AND {key} < ?2 ORDER BY {key} {order}"
        );
        let mut last = None;
        let take = &mut *self.take;
        let is_complete = each(self.db, &sql, [from, to], &mut |row: &Row<'_>| {
            let place = row.as_ref().column_count() - 1;
            // A key that is no number is damage that SQLite does not see.
            let Ok(key) = row.get::<_, i64>(place) else { return Ok(()) };
            last = Some(key);
            take(row)
        })?;
        if is_complete {
            return Ok(ReadEnd::Complete);
        }
        self.failures += 1;
        Ok(ReadEnd::Broke(last))
    }
}

/// Hands over rows until there are no more (true), or one can't be read.
fn each(
    db: &Connection,
    sql: &str,
    key: impl rusqlite::Params,
    take: &mut dyn FnMut(&Row<'_>) -> Result<(), StoreError>,
) -> Result<bool, StoreError> {
    let Ok(mut select) = db.prepare_cached(sql) else { return Ok(false) };
    let mut rows = select.query(key).map_err(database)?;
    loop {
        match rows.next() {
            Ok(Some(row)) => take(row)?,
            Ok(None) => return Ok(true),
            Err(_) => return Ok(false),
        }
    }
}

/// A name as SQL writes it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
