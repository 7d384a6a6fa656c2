//! Files with entries of the blacklist.

use jiff::Timestamp;
use mailsluice::control::blacklist_file::{FileLine, ImportReader};
use mailsluice::store::ImportedEntry;

/// A file. What is understood of it is understood in the same way when we have written it.
pub(crate) fn blacklist_file(input: &[u8]) {
    let Some((entries, lines)) = read(input) else { return };
    let count = input.split(|&octet| octet == b'\n').count() as u64;
    assert!(lines.iter().all(|line| (1..=count).contains(line)) && lines.is_sorted());
    let mut file = FileLine::HEADER.to_owned();
    for entry in &entries {
        FileLine::of_import(entry).write_to(&mut file);
    }
    let again = read(file.as_bytes()).map(|(entries, _)| entries);
    assert_eq!(again, Some(entries), "{file:?}");
}

/// The entries, with the lines of them and of what is wrong; `None` when it is no such file.
fn read(file: &[u8]) -> Option<(Vec<ImportedEntry>, Vec<u64>)> {
    let mut reader = ImportReader::new(file, Timestamp::UNIX_EPOCH).ok()?;
    let (mut entries, mut lines) = (Vec::new(), Vec::new());
    while let Some(row) = reader.next_row().expect("memory can be read") {
        match row {
            Ok(row) => {
                lines.push(row.line);
                entries.push(row.entry);
            }
            Err(fault) => lines.push(fault.line),
        }
    }
    Some((entries, lines))
}
