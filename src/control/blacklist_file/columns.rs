//! What a file says of entries: which column is which, and what stands in them.

use std::io::{self, BufRead};

use jiff::Timestamp;

use super::records::{CsvRecord, CsvRecords};
use super::terms::{file_reason, lifetime_end, listed_pattern};
use super::without_guard;
use crate::control::point_in_time::time_or_day;
use crate::store::{BlacklistSource, ImportedEntry};

/// The reason of an entry that says none.
const NO_REASON: &str = "imported";
/// What the columns are called, the first as we call them; without a header line they stand in this order.
const NAMES: [(FileColumn, &[&str]); 5] = [
    (
        FileColumn::Address,
        &["address", "email", "e-mail", "email address", "e-mail address", "mail", "pattern", "adresse"],
    ),
    (FileColumn::Reason, &["reason", "grund"]),
    (FileColumn::Source, &["source"]),
    (FileColumn::Added, &["added", "added_at"]),
    (FileColumn::Expires, &["expires", "expires_at"]),
];

/// What stands in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileColumn {
    Address,
    Reason,
    Source,
    Added,
    Expires,
}

/// An entry of a file, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportRow {
    /// The number of the line, from 1.
    pub line: u64,
    /// The entry.
    pub entry: ImportedEntry,
}

/// A line that is no entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFault {
    /// The number of the line, from 1.
    pub line: u64,
    /// What is wrong with it, and what to write.
    pub what: String,
}

/// Why nothing can be read of a file.
#[derive(Debug, thiserror::Error)]
pub enum UnusableFile {
    /// It names its columns, and none of them has addresses.
    #[error("line {0}: there is no column with addresses: name it `address`")]
    NoAddresses(u64),
    /// It is in UTF-16.
    #[error("the file is in UTF-16: save it as CSV in UTF-8")]
    Utf16,
    /// It can't be read.
    #[error("cannot read it: {0}")]
    Unreadable(#[from] io::Error),
}

/// Reads the entries of a file.
#[derive(Debug)]
pub struct ImportReader<R> {
    records: CsvRecords<WithoutMark<R>>,
    /// What stands where.
    columns: Vec<Option<FileColumn>>,
    /// The first record, when it is no header line.
    first: Option<CsvRecord>,
    /// Now, for what lasts from now on.
    wall: Timestamp,
}

impl<R: BufRead> ImportReader<R> {
    /// Reads as far as the first entry.
    ///
    /// # Errors
    /// When it can't be read, or is no such file.
    pub fn new(input: R, wall: Timestamp) -> Result<Self, UnusableFile> {
        let mut records = CsvRecords::new(WithoutMark { input, is_begun: false });
        let line = records.peek()?.unwrap_or_default();
        if line.starts_with(b"\xff\xfe") || line.starts_with(b"\xfe\xff") {
            return Err(UnusableFile::Utf16);
        }
        // Excel's own word for what separates the fields.
        let said = line
            .strip_prefix(b"sep=")
            .and_then(|rest| rest.first())
            .filter(|mark| mark.is_ascii_punctuation());
        let separator = said.map_or_else(|| separator(line), |&mark| char::from(mark));
        if said.is_some() {
            records.skip_line()?;
        }
        records.separate_by(separator);
        let first = records.next_record()?;
        let fields = first.as_ref().and_then(|record| record.fields.as_ref().ok());
        let named: Vec<Option<FileColumn>> = fields.into_iter().flatten().map(|name| column(name)).collect();
        if named.contains(&Some(FileColumn::Address)) {
            return Ok(Self { records, columns: named, first: None, wall });
        }
        let has_entry =
            |fields: &Vec<String>| fields.iter().any(|field| field.contains('@') || field.starts_with("*."));
        if let Some(record) = &first
            && named.len() > 1
            && !fields.is_some_and(has_entry)
        {
            return Err(UnusableFile::NoAddresses(record.line));
        }
        let columns = NAMES.iter().map(|(column, _)| Some(*column)).collect();
        Ok(Self { records, columns, first, wall })
    }

    /// The next entry, or what is wrong with a line; `None` at the end.
    ///
    /// # Errors
    /// When the file can't be read on.
    pub fn next_row(&mut self) -> io::Result<Option<Result<ImportRow, FileFault>>> {
        let record = match self.first.take() {
            Some(record) => Some(record),
            None => self.records.next_record()?,
        };
        let Some(CsvRecord { line, fields }) = record else { return Ok(None) };
        let entry = fields.map_err(|fault| fault.to_string()).and_then(|fields| self.entry(&fields));
        Ok(Some(match entry {
            Ok(entry) => Ok(ImportRow { line, entry }),
            Err(what) => Err(FileFault { line, what }),
        }))
    }

    fn entry(&self, fields: &[String]) -> Result<ImportedEntry, String> {
        let field = |wanted: FileColumn| {
            let place = self.columns.iter().position(|column| *column == Some(wanted));
            let text = place.and_then(|place| fields.get(place)).map_or("", |field| field.trim());
            without_guard(text)
        };
        let reason = file_reason(field(FileColumn::Reason))?;
        Ok(ImportedEntry {
            pattern: listed_pattern(field(FileColumn::Address))?,
            reason: if reason.is_empty() { NO_REASON.to_owned() } else { reason },
            source: source(field(FileColumn::Source))?,
            added: added(field(FileColumn::Added))?,
            expires: match field(FileColumn::Expires) {
                "" => None,
                text => lifetime_end(text, self.wall)?.map(Timestamp::as_millisecond),
            },
        })
    }
}

fn column(name: &str) -> Option<FileColumn> {
    let name = name.trim();
    let is_called = |names: &&[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    NAMES.iter().find(|(_, names)| is_called(names)).map(|(column, _)| *column)
}

/// What separates the fields of a line: the first of what may, outside of quotes.
fn separator(line: &[u8]) -> char {
    let mut is_quoted = false;
    for &octet in line {
        match octet {
            b'"' => is_quoted = !is_quoted,
            b',' | b';' | b'\t' if !is_quoted => return char::from(octet),
            _ => {}
        }
    }
    ','
}

fn source(text: &str) -> Result<BlacklistSource, String> {
    if text.is_empty() {
        return Ok(BlacklistSource::Manual);
    }
    let known = BlacklistSource::ALL.into_iter().find(|source| source.name() == text);
    known.ok_or_else(|| format!("source `{text}`: write manual, bounce or learned, or nothing"))
}

fn added(text: &str) -> Result<Option<i64>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong =
        || "when it was added is not understood: write a date such as 2026-11-30, or nothing".to_owned();
    time_or_day(text).map(|time| Some(time.as_millisecond())).ok_or_else(wrong)
}

/// An input without the byte-order mark at its beginning.
#[derive(Debug)]
struct WithoutMark<R> {
    input: R,
    is_begun: bool,
}

impl<R: BufRead> io::Read for WithoutMark<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buffer.len());
        buffer[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl<R: BufRead> BufRead for WithoutMark<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if !self.is_begun {
            self.is_begun = true;
            if self.input.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
                self.input.consume(3);
            }
        }
        self.input.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.input.consume(amount);
    }
}

#[cfg(test)]
mod tests;
