//! The header section: reading it, and changing it without touching anything else.

use mailsluice::mail::Address;
use mailsluice::mail::header::{self, Author, Field, FieldChange, Fields, Header, MAX_LINE, fold, mailboxes};

/// The field that is put in, changed, and taken out.
const NAME: &str = "X-Mailsluice-Test";

/// A value up to the first octet 255, and a content behind it.
pub(crate) fn header(input: &[u8]) {
    let end = input.iter().position(|&b| b == 255).unwrap_or(0);
    let (value, content) = (&input[..end], input.get(end + 1..).unwrap_or_default());
    reads(content);
    for field in Fields::new(content) {
        check_field(&field);
    }
    check_mailboxes(value);
    check_fold(value);
    // Where the first line continues nothing, there is no field that could be put before it; a session never stores
    // such a content without its own fields above.
    if !matches!(content.first(), Some(b' ' | b'\t')) {
        edits(value, content);
    }
}

/// Reading takes every octet once, and agrees with itself.
fn reads(content: &[u8]) {
    let parsed = Header::parse(content);
    assert_eq!(parsed.to_content(), content, "reading changes it");
    assert!(!parsed.is_changed());
    let fields: Vec<Field<'_>> = Fields::new(content).collect();
    let length: usize = fields.iter().map(|f| f.raw().len()).sum();
    assert_eq!([&content[..length], parsed.rest()].concat(), content);
    match header::end(content) {
        Some(end) => assert_eq!(parsed.body(), &content[end..]),
        None => assert!(parsed.rest().is_empty()),
    }
    let scan = header::scan(content);
    let count = |name: &str| fields.iter().filter(|f| f.is(name)).count();
    assert_eq!((scan.has_date, scan.has_message_id), (count("Date") > 0, count("Message-ID") > 0));
    assert_eq!(scan.received, count("Received"));
    let from: Vec<Address> =
        fields.iter().filter(|f| f.is("From")).flat_map(|f| mailboxes(f.value())).collect();
    assert_eq!(scan.author.mailboxes(), from);
    assert_eq!(scan.author == Author::Missing, count("From") == 0);
    becomes_fields(content);
}

/// As a header section that arrives, it becomes one of fields alone, none of them Bcc by a name that nobody can read.
fn becomes_fields(content: &[u8]) {
    let section = Fields::new(content).map(|field| field.raw()).collect::<Vec<_>>().concat();
    let fields = header::to_fields(&section).into_owned();
    for field in Fields::new(&fields) {
        assert!(!field.name().is_empty() && !field.is("Return-Path"));
        assert!(!field.is_blind() || field.raw().split(|&b| b == b':').next().is_some_and(<[u8]>::is_ascii));
    }
    assert_eq!(&*header::to_fields(&fields), &fields[..], "once is enough");
}

fn check_field(field: &Field<'_>) {
    assert!(field.name().iter().all(|b| b.is_ascii_graphic() && *b != b':'));
    assert!(field.raw().starts_with(field.name()) && field.raw().ends_with(field.value()));
    assert!(!field.unfolded().iter().any(|b| b"\r\n".contains(b)));
    let careless = field.careless_name();
    assert!(careless.iter().all(|b| b.is_ascii_graphic() && *b != b':' && !b.is_ascii_uppercase()));
    if !field.name().is_empty() {
        assert_eq!(
            careless,
            field.name().to_ascii_lowercase(),
            "who is strict and who is careless see different fields"
        );
        assert!(header::is_field_start(field.raw()));
    }
    // Only white space makes a line go on.
    let lines = field.raw().split_inclusive(|&b| b == b'\n');
    assert!(lines.skip(1).all(|line| line.starts_with(b" ") || line.starts_with(b"\t")));
    check_mailboxes(field.value());
}

fn check_mailboxes(value: &[u8]) {
    let found = mailboxes(value);
    assert!(found.len() <= 10_000);
    for address in &found {
        assert_eq!(Address::parse(address.as_str()).as_ref(), Ok(address));
        assert!(address.as_str().bytes().all(|b| b >= b' ' && b != 0x7f), "{address:?}");
    }
}

/// A value becomes one field, whatever it holds.
fn check_fold(value: &[u8]) {
    let field = fold(NAME, value);
    assert!(field.ends_with(b"\r\n") && !field.contains(&0));
    assert_eq!(Fields::new(&field).count(), 1);
    assert_eq!(header::end(&field), None, "it ends the header section");
    for line in field[..field.len() - 2].split(|&b| b == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        assert!(line.len() <= MAX_LINE && !line.contains(&b'\r'));
        assert!(
            line.starts_with(NAME.as_bytes()) || !line.trim_ascii().is_empty(),
            "a line of white space only"
        );
    }
}

/// Each change changes one field, and the next reader sees the same fields as we do.
fn edits(value: &[u8], content: &[u8]) {
    let before: Vec<Vec<u8>> = others(content);
    let body = Header::parse(content).body().to_vec();
    let ours = |content: &[u8]| Fields::new(content).filter(|f| f.is(NAME)).count();
    let check = |what: &str, edit: &dyn Fn(&mut Header<'_>), want: usize| {
        let mut parsed = Header::parse(content);
        edit(&mut parsed);
        let written = parsed.to_content();
        assert_eq!(ours(&written), want, "{what}: fields of that name");
        assert_eq!(Header::parse(&written).body(), body, "{what}: the body");
        assert_eq!(others(&written), before, "{what}: the other fields");
        let seen: Vec<Vec<u8>> = Fields::new(&written).map(|f| f.raw().to_vec()).collect();
        let held: Vec<Vec<u8>> = parsed.fields().map(|f| f.raw().to_vec()).collect();
        assert_eq!(seen, held, "{what}: what was written is read otherwise");
    };
    let had = ours(content);
    check("prepend", &|h| h.prepend(NAME, value), had + 1);
    check("append", &|h| h.append(NAME, value), had + 1);
    check("replace", &|h| h.replace(NAME, value), 1);
    check("remove", &|h| assert_eq!(h.remove(NAME), had), 0);
    check(
        "map",
        &|h| h.map(|f| if f.is(NAME) { FieldChange::Replace(fold(NAME, value)) } else { FieldChange::Keep }),
        had,
    );
}

/// All fields but ours, with a line end where the last one has none.
fn others(content: &[u8]) -> Vec<Vec<u8>> {
    let complete = |raw: &[u8]| [raw, if raw.ends_with(b"\n") { b"" } else { b"\r\n" }].concat();
    Fields::new(content).filter(|f| !f.is(NAME)).map(|f| complete(f.raw())).collect()
}
