//! The records of a file with separated values, one after the other, however long the file is.
//!
//! A quoted field may go over lines. One whose quotes are never closed must not swallow the rest of the file: its line is a fault,
//! and the next line begins a record again.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read as _};

/// The longest record, in octets.
const MAX_RECORD: usize = 64 * 1024;
/// A quoted field goes over so many lines at most.
const MAX_LINES: usize = 100;

/// A record, and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CsvRecord {
    /// The number of its first line, from 1.
    pub(super) line: u64,
    pub(super) fields: Result<Vec<String>, CsvFault>,
}

/// Why a record can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum CsvFault {
    #[error("the line is longer than 64 KiB: is this a CSV file?")]
    TooLong,
    #[error("the text is not UTF-8: save the file as CSV in UTF-8")]
    NotUtf8,
    #[error("a quote is opened and never closed: close it, or write \"\" for a quote within a quoted field")]
    OpenQuote,
}

/// What a text is as a record.
enum CsvText {
    Fields(Vec<String>),
    /// It ends within quotes.
    Open,
}

/// Reads the records of a file.
#[derive(Debug)]
pub(super) struct CsvRecords<R> {
    input: R,
    separator: char,
    /// Lines that were read already, in vain.
    ahead: VecDeque<Vec<u8>>,
    /// The number of the last line that was taken.
    line: u64,
}

impl<R: BufRead> CsvRecords<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, separator: ',', ahead: VecDeque::new(), line: 0 }
    }

    /// What separates fields from now on.
    pub(super) fn separate_by(&mut self, separator: char) {
        self.separator = separator;
    }

    /// The next line as it is, which stays to be read.
    pub(super) fn peek(&mut self) -> io::Result<Option<&[u8]>> {
        if self.ahead.is_empty()
            && let Some(line) = self.read_line()?
        {
            self.ahead.push_back(line);
        }
        Ok(self.ahead.front().map(Vec::as_slice))
    }

    /// Passes over the next line.
    pub(super) fn skip_line(&mut self) -> io::Result<()> {
        self.next_line().map(drop)
    }

    /// The next record that is not empty.
    pub(super) fn next_record(&mut self) -> io::Result<Option<CsvRecord>> {
        while let Some(first) = self.next_line()? {
            let line = self.line;
            let fields = self.record(first)?;
            let is_empty =
                fields.as_ref().is_ok_and(|fields| fields.iter().all(|field| field.trim().is_empty()));
            if !is_empty {
                return Ok(Some(CsvRecord { line, fields }));
            }
        }
        Ok(None)
    }

    fn record(&mut self, first: Vec<u8>) -> io::Result<Result<Vec<String>, CsvFault>> {
        let mut text = first;
        let mut more: Vec<Vec<u8>> = Vec::new();
        let fault = loop {
            if text.len() > MAX_RECORD {
                break if more.is_empty() { CsvFault::TooLong } else { CsvFault::OpenQuote };
            }
            match std::str::from_utf8(&text).map(|text| parse(text, self.separator)) {
                Err(_) => break CsvFault::NotUtf8,
                Ok(CsvText::Fields(fields)) => return Ok(Ok(fields)),
                Ok(CsvText::Open) => {}
            }
            let next = if more.len() < MAX_LINES { self.next_line()? } else { None };
            let Some(next) = next else { break CsvFault::OpenQuote };
            text.extend_from_slice(&next);
            more.push(next);
        };
        // Whatever stood behind the first line may be records of its own.
        self.line -= more.len() as u64;
        more.into_iter().rev().for_each(|line| self.ahead.push_front(line));
        Ok(Err(fault))
    }

    fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let line = match self.ahead.pop_front() {
            Some(line) => Some(line),
            None => self.read_line()?,
        };
        self.line += u64::from(line.is_some());
        Ok(line)
    }

    /// A line with its end; of one that is too long so much that it is known to be.
    fn read_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        self.input.by_ref().take(MAX_RECORD as u64 + 2).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(None);
        }
        if line.len() > MAX_RECORD && !line.ends_with(b"\n") {
            self.pass_line_end()?;
        }
        Ok(Some(line))
    }

    fn pass_line_end(&mut self) -> io::Result<()> {
        loop {
            let piece = self.input.fill_buf()?;
            let end = piece.iter().position(|&octet| octet == b'\n');
            let (length, is_end) =
                (end.map_or(piece.len(), |end| end + 1), end.is_some() || piece.is_empty());
            self.input.consume(length);
            if is_end {
                return Ok(());
            }
        }
    }
}

/// The fields of a text, which is a line with its end or several.
fn parse(text: &str, separator: char) -> CsvText {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    let (mut fields, mut rest) = (Vec::new(), text);
    loop {
        let (field, behind) = match rest.strip_prefix('"') {
            None => {
                let end = rest.find(separator).unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
            Some(quoted) => match unquoted(quoted) {
                Some((field, behind)) => {
                    // What stands between the closing quote and the separator is taken as it is.
                    let end = behind.find(separator).unwrap_or(behind.len());
                    (field + &behind[..end], &behind[end..])
                }
                None => return CsvText::Open,
            },
        };
        fields.push(field);
        match behind.strip_prefix(separator) {
            Some(next) => rest = next,
            None => return CsvText::Fields(fields),
        }
    }
}

/// A quoted field behind its opening quote, and what stands behind the closing one.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let (mut field, mut rest) = (String::new(), text);
    loop {
        let (part, behind) = rest.split_once('"')?;
        field.push_str(part);
        match behind.strip_prefix('"') {
            Some(next) => {
                field.push('"');
                rest = next;
            }
            None => return Some((field, behind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &[u8], separator: char) -> Vec<(u64, Result<Vec<String>, CsvFault>)> {
        let mut records = CsvRecords::new(text);
        records.separate_by(separator);
        std::iter::from_fn(|| records.next_record().unwrap())
            .map(|record| (record.line, record.fields))
            .collect()
    }

    #[test]
    fn reads_fields() {
        for (text, want) in [
            ("a,b,c\n", &["a", "b", "c"][..]),
            ("a,b,c\r\n", &["a", "b", "c"]),
            ("a,,", &["a", "", ""]),
            ("\"a,b\",c", &["a,b", "c"]),
            ("\"say \"\"hi\"\"\",\"\"", &["say \"hi\"", ""]),
            ("\"two\nlines\",c", &["two\nlines", "c"]),
            ("a,5\" wide", &["a", "5\" wide"]),
            ("\"a\"b,c", &["ab", "c"]),
        ] {
            let fields: Vec<String> = want.iter().map(|&field| field.to_owned()).collect();
            assert_eq!(read(text.as_bytes(), ','), [(1, Ok(fields))], "{text:?}");
        }
        let two = [(1, Ok(vec!["a".to_owned()])), (4, Ok(vec!["b;".to_owned(), "c".to_owned()]))];
        assert_eq!(read(b"a\n\n ; \n\"b;\";c", ';'), two);
    }

    #[test]
    fn a_fault_ends_with_its_line() {
        let long = format!("{}\nb\n", "x".repeat(MAX_RECORD * 2));
        let many = format!("\"a\n{}", "b\n".repeat(MAX_LINES * 2));
        for (text, lines, fault) in [
            (&b"\"a\nb\n"[..], 2, CsvFault::OpenQuote),
            (b"\xe4\nb\n", 2, CsvFault::NotUtf8),
            (long.as_bytes(), 2, CsvFault::TooLong),
            (many.as_bytes(), 1 + MAX_LINES * 2, CsvFault::OpenQuote),
        ] {
            let found = read(text, ',');
            assert_eq!((found.len(), &found[0]), (lines, &(1, Err(fault))));
            assert_eq!(found[1], (2, Ok(vec!["b".to_owned()])));
            assert_eq!(found.last().map(|last| last.0), Some(lines as u64));
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in proptest::collection::vec(prop_oneof![Just(b'"'), Just(b','), Just(b'\n'), any::<u8>()], 0..300)) {
            let lines = text.split(|&octet| octet == b'\n').count() as u64;
            for (line, _) in read(&text, ',') {
                prop_assert!(line <= lines);
            }
        }
    }
}
