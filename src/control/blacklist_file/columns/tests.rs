use super::super::FileLine;
use super::*;
use crate::store::{BlacklistEntry, BlacklistSource};

fn wall() -> Timestamp {
    "2026-11-22T07:00:00Z".parse().unwrap()
}

fn read(text: &[u8]) -> Result<Vec<Result<ImportRow, FileFault>>, UnusableFile> {
    let mut reader = ImportReader::new(text, wall())?;
    let mut all = Vec::new();
    while let Some(row) = reader.next_row()? {
        all.push(row);
    }
    Ok(all)
}

/// Line, pattern and reason of each entry; or what is wrong.
fn short(text: &[u8]) -> Vec<(u64, String)> {
    let row = |row: Result<ImportRow, FileFault>| match row {
        Ok(row) => (row.line, format!("{} {}", row.entry.pattern, row.entry.reason)),
        Err(fault) => (fault.line, fault.what),
    };
    read(text).unwrap().into_iter().map(row).collect()
}

#[test]
fn reads_files_of_any_form() {
    let utf8 = "\u{feff}address;reason\r\nAnna@Firm.Example;ist weg, sagt Max\r\n@gone.example;\r\n";
    for (text, want) in [
        (
            "anna@firm.example\n@gone.example\n",
            &[(1, "anna@firm.example imported"), (2, "@gone.example imported")][..],
        ),
        (utf8, &[(2, "anna@firm.example ist weg, sagt Max"), (3, "@gone.example imported")]),
        ("sep=;\nanna@firm.example;a,b\n", &[(2, "anna@firm.example a,b")]),
        ("Notes,Reason,E-Mail\n\"a\nb\",gone,a@b.example\n", &[(2, "a@b.example gone")]),
        ("a@b.example\tgone\n", &[(1, "a@b.example gone")]),
        ("address\na@b.example\n", &[(2, "a@b.example imported")]),
        ("", &[]),
        ("address,reason\n", &[]),
    ] {
        let want: Vec<(u64, String)> = want.iter().map(|&(line, text)| (line, text.to_owned())).collect();
        assert_eq!(short(text.as_bytes()), want, "{text:?}");
    }
}

#[test]
fn tells_what_is_wrong_with_a_line() {
    let text = "address,reason,source,added,expires\nfirm.example,,,,\na@b.example,\"two\nlines\",,,\n\
        a@b.example,,import,,\na@b.example,,,once,\na@b.example,,,,soon\nok@b.example,,,,\n";
    let found = short(text.as_bytes());
    for (at, line, part) in [
        (0, 2, "write local@domain"),
        (1, 3, "one line"),
        (2, 5, "write manual, bounce or learned"),
        (3, 6, "when it was added"),
        (4, 7, "the expiry is not understood"),
        (5, 8, "ok@b.example"),
    ] {
        assert_eq!(found[at].0, line, "{found:?}");
        assert!(found[at].1.contains(part), "{found:?}");
    }
    assert_eq!(found.len(), 6);
    assert!(matches!(read(b"name,phone\nAnna,1\n"), Err(UnusableFile::NoAddresses(1))));
    assert!(matches!(read(b"\xff\xfea\0"), Err(UnusableFile::Utf16)));
    assert_eq!(short(b"name\n").len(), 1, "one word is no header line");
}

#[test]
fn what_is_exported_is_imported_as_it_was() {
    let entry = |pattern: &str, reason: &str, source, expires: Option<&str>| {
        let entry = BlacklistEntry {
            pattern: pattern.to_owned(),
            reason: reason.to_owned(),
            source,
            added: 1_764_000_000_123,
            expires: None,
        };
        (entry, expires.map(|end| end.parse::<Timestamp>().unwrap()))
    };
    let entries = [
        entry("anna@firm.example", "said \"no\", twice", BlacklistSource::Manual, None),
        entry("@gone.example", "=HYPERLINK(1)", BlacklistSource::Bounce, Some("2027-01-31T10:00:00.456Z")),
        entry("*.bad.example", "'=not a formula; -really", BlacklistSource::Learned, None),
        entry("=1+1@firm.example", "ü", BlacklistSource::Manual, None),
        entry("''x@firm.example", "'", BlacklistSource::Manual, None),
        entry("\"a,b\"@firm.example", "@x", BlacklistSource::Manual, None),
    ];
    let mut file = FileLine::HEADER.to_owned();
    for (entry, expires) in &entries {
        FileLine::of_entry(entry, *expires).write_to(&mut file);
    }
    let read: Vec<ImportedEntry> =
        read(file.as_bytes()).unwrap().into_iter().map(|row| row.unwrap().entry).collect();
    let want: Vec<ImportedEntry> = entries
        .into_iter()
        .map(|(entry, expires)| ImportedEntry {
            pattern: entry.pattern,
            reason: entry.reason,
            source: entry.source,
            added: Some(entry.added),
            expires: expires.map(Timestamp::as_millisecond),
        })
        .collect();
    assert_eq!(read, want);
    // A spreadsheet finds no formula but the harmless `@domain`.
    for field in file.lines().skip(1).flat_map(|line| line.split(',')) {
        assert!(!field.trim_start_matches('"').starts_with(['=', '+', '-']), "{field}");
    }
}
