//! The header section of a message (RFC 5322 2.2): where it ends, its fields, and what the relay needs to know of it.
//!
//! Everything here takes any octets, never panics, and takes time that grows with their number only.

mod edit;
mod mailboxes;
mod section;
pub(in crate::mail) mod strict;

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub use edit::{FieldChange, Header, MAX_LINE, fold, fold_words};
pub use mailboxes::mailboxes;
pub use section::{BYTE_ORDER_MARK, HeaderLine, to_fields};
pub use strict::strict_mailboxes;

use super::Address;

/// What the relay needs to know of a header section when it accepts a message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scan {
    /// Who it is from.
    pub author: Author,
    /// Whether there is a Date field.
    pub has_date: bool,
    /// Whether there is a Message-ID field.
    pub has_message_id: bool,
    /// The number of Received fields.
    pub received: usize,
}

/// Who a message is from, by its header section.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Author {
    /// There is no From field.
    #[default]
    Missing,
    /// From fields in which no address can be read: the value of the first, in one line.
    Unreadable(Vec<u8>),
    /// The mailboxes of all From fields, group members included, in their order; at least one.
    Mailboxes(Vec<Address>),
}

impl Author {
    /// The addresses that can be read.
    #[must_use]
    pub fn mailboxes(&self) -> &[Address] {
        match self {
            Self::Mailboxes(mailboxes) => mailboxes,
            Self::Missing | Self::Unreadable(_) => &[],
        }
    }

    /// Takes a From field.
    fn add(&mut self, field: &Field<'_>) {
        let found = mailboxes(field.value());
        match self {
            Self::Mailboxes(mailboxes) => mailboxes.extend(found),
            Self::Missing if found.is_empty() => *self = Self::Unreadable(field.unfolded()),
            Self::Unreadable(_) if found.is_empty() => {}
            Self::Missing | Self::Unreadable(_) => *self = Self::Mailboxes(found),
        }
    }
}

/// Looks through a header section once.
#[must_use]
pub fn scan(header: &[u8]) -> Scan {
    let mut scan = Scan::default();
    for field in Fields::new(header) {
        if field.is("From") {
            scan.author.add(&field);
        } else if field.is("Date") {
            scan.has_date = true;
        } else if field.is("Message-ID") {
            scan.has_message_id = true;
        } else if field.is("Received") {
            scan.received += 1;
        }
    }
    scan
}

/// The offset just behind the empty line that ends the header section; `None` when no such line has come.
#[must_use]
pub fn end(content: &[u8]) -> Option<usize> {
    let mut start = 0;
    loop {
        let length = memchr::memchr(b'\n', &content[start..])? + 1;
        let line = &content[start..start + length];
        start += length;
        if line == b"\r\n" || line == b"\n" {
            return Some(start);
        }
    }
}

/// Whether a line begins a header field: a name of visible ASCII and a colon (RFC 5322 3.6.8).
///
/// White space before the colon is met kindly (RFC 5322 4.5.3), and so is a CR that stands alone.
#[must_use]
pub fn is_field_start(line: &[u8]) -> bool {
    name_end(line).is_some()
}

/// Where the name of a field ends and where its colon stands.
fn name_end(line: &[u8]) -> Option<(usize, usize)> {
    let name = line.iter().position(|&b| !(b'!'..=b'~').contains(&b) || b == b':')?;
    let colon = name + line[name..].iter().position(|b| !b" \t\r".contains(b))?;
    (name > 0 && line[colon] == b':').then_some((name, colon))
}

/// A point in time as a Date field has it (RFC 5322 3.3), in the zone of this machine.
#[must_use]
pub fn rfc5322_date(ts: Timestamp) -> String {
    ts.to_zoned(TimeZone::system()).strftime("%a, %d %b %Y %H:%M:%S %z").to_string()
}

/// A field of a header section, or a run of lines that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    raw: &'a [u8],
    /// Where the name ends and where the colon stands; `None` when it is no field.
    name: Option<(usize, usize)>,
}

impl<'a> Field<'a> {
    /// Takes the octets of one field.
    #[must_use]
    pub fn of(raw: &'a [u8]) -> Self {
        Self { raw, name: name_end(raw) }
    }

    /// The whole field with its folding and its line end.
    #[must_use]
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The name, as it was written; empty when these lines are no field.
    #[must_use]
    pub fn name(&self) -> &'a [u8] {
        self.name.map_or(&[], |(end, _)| &self.raw[..end])
    }

    /// Whether the field has this name, in upper or lower case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name.as_bytes())
    }

    /// The name as a careless reader may take it: visible ASCII before the first colon, in lower case, folding ignored.
    ///
    /// Given for lines that are no field by RFC 5322, too.
    #[must_use]
    pub fn careless_name(&self) -> Vec<u8> {
        let before = self.raw.iter().take_while(|&&b| b != b':');
        before.filter(|b| b.is_ascii_graphic()).map(u8::to_ascii_lowercase).collect()
    }

    /// Whether it names blind copies (RFC 5322 3.6.3), or a careless reader may take it so.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        matches!(self.careless_name().as_slice(), b"bcc" | b"resent-bcc")
    }

    /// All behind the colon, with its folding and its line end.
    #[must_use]
    pub fn value(&self) -> &'a [u8] {
        self.name.map_or(&[], |(_, colon)| &self.raw[colon + 1..])
    }

    /// The value in one line: line ends gone, no white space at its ends (RFC 5322 2.2.3).
    #[must_use]
    pub fn unfolded(&self) -> Vec<u8> {
        let mut value = self.value().to_vec();
        value.retain(|&b| b != b'\r' && b != b'\n');
        value.trim_ascii().to_vec()
    }
}

/// The fields of a header section in their order. It ends at an empty line or at the end of the octets.
///
/// The ranges of all fields together are the header section without its empty line: nothing is left out.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Starts at the first octet.
    #[must_use]
    pub fn new(header: &'a [u8]) -> Self {
        Self { rest: header }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        if matches!(self.rest, [] | [b'\n', ..] | [b'\r', b'\n', ..]) {
            return None;
        }
        let mut end = 0;
        loop {
            end += memchr::memchr(b'\n', &self.rest[end..]).map_or(self.rest.len() - end, |i| i + 1);
            if !matches!(self.rest.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        let (raw, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(Field::of(raw))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn finds_the_end() {
        for (content, want) in [
            (&b"A: b\r\n\r\nbody\r\n\r\n"[..], Some(8)),
            (b"\r\nbody", Some(2)),
            (b"A: b\n\nbody", Some(6)),
            (b"A: b\r\n \r\n\r\n", Some(11)),
            (b"A: b\r\n", None),
            (b"A: b\r\n\r", None),
            (b"", None),
        ] {
            assert_eq!(end(content), want, "{content:?}");
        }
    }

    #[test]
    fn knows_a_field() {
        for (line, want) in [
            (&b"Subject: x"[..], true),
            (b"Subject : x", true),
            (b"Subject \t:", true),
            (b"X-\xc3\xa9: x", false),
            (b": x", false),
            (b" Subject: x", false),
            (b"Subject", false),
            (b"Dear Sir: hello", false),
            (b"", false),
        ] {
            assert_eq!(is_field_start(line), want, "{line:?}");
        }
    }

    #[test]
    fn scans() {
        let header =
            b"Received: a\r\nRECEIVED : b\r\n\tc\r\nfrom: A <a@x.example>,\r\n b@x.example\r\ndate: x\r\n\
            no field\r\n Message-ID: folded into what is no field\r\n\r\nMessage-ID: in the body\r\n";
        let scan = scan(header);
        assert_eq!(scan.received, 2);
        let from: Vec<_> = scan.author.mailboxes().iter().map(Address::as_str).collect();
        assert_eq!(from, ["a@x.example", "b@x.example"]);
        assert!(scan.has_date && !scan.has_message_id);
    }

    #[test]
    fn says_who_it_is_from() {
        let unreadable = |value: &str| Author::Unreadable(value.as_bytes().to_vec());
        let read =
            |list: &[&str]| Author::Mailboxes(list.iter().map(|a| Address::parse(a).unwrap()).collect());
        for (header, want) in [
            ("Subject: x\r\n", Author::Missing),
            ("From: \"Firm <a@x.example>\r\n", unreadable("\"Firm <a@x.example>")),
            ("From: Firm\r\n a at x.example\r\n", unreadable("Firm a at x.example")),
            ("From:\r\nFrom: none\r\n", unreadable("")),
            ("From: none\r\nFrom: a@x.example\r\nFrom:\r\n", read(&["a@x.example"])),
            (
                "From: a@x.example, b@x.example\r\nFROM: c@x.example\r\n",
                read(&["a@x.example", "b@x.example", "c@x.example"]),
            ),
        ] {
            assert_eq!(scan(header.as_bytes()).author, want, "{header:?}");
        }
    }

    /// Seconds that this thread has computed: a busy machine must not fail the test.
    fn computed() -> i64 {
        rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime).tv_sec
    }

    #[test]
    fn takes_linear_time() {
        let started = computed();
        let many = b"From: a@b.example\r\nX-Y : z\r\n\tw\r\n".repeat(50_000);
        assert_eq!(scan(&many).author.mailboxes().len(), 50_000);
        for piece in ["a@b.example, ", "(", "\"", "<", "a@", ":", "\r\n ", "x "] {
            let mut long = b"From: ".to_vec();
            long.extend(piece.as_bytes().iter().cycle().take(1 << 20));
            let _ = scan(&long);
        }
        assert!(computed() - started < 20, "{}", computed() - started);
    }

    #[test]
    fn writes_dates() {
        let date = rfc5322_date(Timestamp::from_second(1_795_327_200).unwrap());
        let shape: String = date
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect::<String>()
            .replace('-', "+");
        assert_eq!(shape, "Sun, 00 Nov 0000 00:00:00 +0000");
    }

    proptest! {
        #[test]
        fn fields_leave_nothing_out(header in proptest::collection::vec(
            prop_oneof![Just(b'\r'), Just(b'\n'), Just(b':'), Just(b' '), Just(b'a'), any::<u8>()], 0..200)) {
            let parts: Vec<u8> = Fields::new(&header).flat_map(|f| f.raw().to_vec()).collect();
            let end = end(&header).unwrap_or(header.len());
            prop_assert!(header.starts_with(&parts));
            prop_assert!(end - parts.len() <= 2);
            let _ = scan(&header);
        }
    }
}
