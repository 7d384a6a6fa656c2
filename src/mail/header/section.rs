//! The header section as programs really send it: what belongs to it, and how it becomes one of fields alone.
//!
//! A line that is no field ends the header section, and a field that stands behind it is the body's: a Bcc would be read
//! by everybody. So what programs are known to write there is taken for what it was meant to be: the byte-order mark of a
//! text file, the `From` line of an mbox file, a name with octets that no name may have.

use std::borrow::Cow;

use super::{Field, Fields, MAX_LINE, is_field_start};

/// What editors put at the beginning of a text in UTF-8. It is no part of the message.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The name under which an mbox line is kept.
const MAILBOX_LINE: &[u8] = b"X-Mailbox-Line: ";
/// The name under which a field is kept whose own name can't be read.
const UNREADABLE: &[u8] = b"X-Mailsluice-Unreadable: ";

/// What a line is that stands where a header section is, and does not begin with white space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderLine {
    /// It begins a field (RFC 5322 3.6.8).
    Field,
    /// It would begin a field, were all of the name visible ASCII.
    Unreadable,
    /// `From` and a space, with any number of `>` before it: it parts messages in an mbox file (RFC 4155), and gathers `>`
    /// where these are passed on. It stands at the top, or below the fields that the program has added which sends the file.
    Mailbox,
    /// Text: the body has begun.
    Text,
}

impl HeaderLine {
    /// Judges a line by its beginning; its end may be missing. A byte-order mark before it counts as nothing.
    #[must_use]
    pub fn of(line: &[u8]) -> Self {
        Self::of_unmarked(unmarked(line))
    }

    fn of_unmarked(line: &[u8]) -> Self {
        let line = &line[..line.len().min(MAX_LINE)];
        let unquoted = line.iter().position(|&b| b != b'>').map_or(&[][..], |i| &line[i..]);
        if is_field_start(line) {
            Self::Field
        } else if unquoted.starts_with(b"From ") {
            Self::Mailbox
        } else if has_name(line) {
            Self::Unreadable
        } else {
            Self::Text
        }
    }
}

fn unmarked(line: &[u8]) -> &[u8] {
    line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line)
}

/// Whether a line begins with a word of any octets and a colon.
fn has_name(line: &[u8]) -> bool {
    let is_white = |b: &u8| b" \t\r\n".contains(b);
    let Some(end) = line.iter().position(|b| is_white(b) || *b == b':') else { return false };
    let behind = line[end..].iter().find(|&&b| b != b' ' && b != b'\t' && b != b'\r');
    end > 0 && behind == Some(&b':')
}

/// The fields of a header section as it came, each with a name that every reader knows.
///
/// A CR that stands alone becomes a space: it never begins a line. A byte-order mark before a field goes; it stands there
/// when a file is read behind other fields. An mbox line is kept as `X-Mailbox-Line`, a field with an unreadable name as
/// `X-Mailsluice-Unreadable`, unless it may be taken for blind copies: then it goes. So does Return-Path, which is written
/// by the server that delivers (RFC 5321 4.4).
#[must_use]
pub fn to_fields(section: &[u8]) -> Cow<'_, [u8]> {
    let section = without_lone_crs(section);
    let is_plain = |field: &Field<'_>| field.name.is_some() && !field.is("Return-Path");
    if Fields::new(&section).all(|field| is_plain(&field)) {
        return section;
    }
    let mut out = Vec::with_capacity(section.len() + 64);
    for field in Fields::new(&section) {
        let field = Field::of(unmarked(field.raw()));
        match HeaderLine::of_unmarked(field.raw()) {
            _ if field.is("Return-Path") => continue,
            HeaderLine::Field => {}
            HeaderLine::Mailbox => out.extend_from_slice(MAILBOX_LINE),
            _ if field.is_blind() => continue,
            _ => out.extend_from_slice(UNREADABLE),
        }
        out.extend_from_slice(field.raw());
    }
    Cow::Owned(out)
}

/// The section with a space for each CR that has no LF behind it.
fn without_lone_crs(section: &[u8]) -> Cow<'_, [u8]> {
    let is_lone = |at: &usize| section.get(at + 1) != Some(&b'\n');
    let lone: Vec<usize> = memchr::memchr_iter(b'\r', section).filter(is_lone).collect();
    if lone.is_empty() {
        return Cow::Borrowed(section);
    }
    let mut out = section.to_vec();
    for at in lone {
        out[at] = b' ';
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn knows_what_a_line_is() {
        for (line, want) in [
            ("Subject: x", HeaderLine::Field),
            ("Subject\r: x", HeaderLine::Field),
            ("From : a@b", HeaderLine::Field),
            (">From: a@b", HeaderLine::Field),
            ("From a@b Thu Nov 26 02:00:00 2026", HeaderLine::Mailbox),
            (">From a@b Thu Nov 26 02:00:00 2026 remote from x", HeaderLine::Mailbox),
            (">>From a: b", HeaderLine::Mailbox),
            ("From\ta", HeaderLine::Text),
            ("Fromage a", HeaderLine::Text),
            ("\u{feff}Subject: x", HeaderLine::Field),
            ("\u{feff}From x", HeaderLine::Mailbox),
            ("Größe: 5", HeaderLine::Unreadable),
            ("Gr\u{1}o\u{7f}e : 5", HeaderLine::Unreadable),
            ("Dear Günther: hello", HeaderLine::Text),
            ("Dear Sir: hello", HeaderLine::Text),
            ("Günther\r\n: x", HeaderLine::Text),
            (": x", HeaderLine::Text),
            ("é", HeaderLine::Text),
            (">>>", HeaderLine::Text),
            ("", HeaderLine::Text),
        ] {
            assert_eq!(HeaderLine::of(line.as_bytes()), want, "{line:?}");
        }
        let endless = ["x".repeat(MAX_LINE), ":".into()].concat();
        assert_eq!(HeaderLine::of(endless.as_bytes()), HeaderLine::Text);
    }

    #[test]
    fn makes_fields_of_what_came() {
        for (section, want) in [
            ("", ""),
            ("A: b\r\n c\r\n", "A: b\r\n c\r\n"),
            ("Subject: 12\rReply-To: x\r\n", "Subject: 12 Reply-To: x\r\n"),
            ("A: b\r\n\rBcc: x\r\n", "A: b\r\n Bcc: x\r\n"),
            ("A\r: b\r\n", "A : b\r\n"),
            (
                "From root Thu Nov 26\r\n>From x y\r\n remote\r\nTo: a@b\r\n",
                "X-Mailbox-Line: From root Thu Nov 26\r\nX-Mailbox-Line: >From x y\r\n remote\r\nTo: a@b\r\n",
            ),
            ("Größe: 5\r\n\tcm\r\nA: b\r\n", "X-Mailsluice-Unreadable: Größe: 5\r\n\tcm\r\nA: b\r\n"),
            (
                "A: 1\r\nBcc\u{1}: x@y\r\nèBcc : x\r\n y@z\r\nresent\u{7f}-BCC: x\r\nB: 2\r\n",
                "A: 1\r\nB: 2\r\n",
            ),
            ("A: 1\r\n\u{feff}B: 2\r\n\u{feff}>From x\r\n", "A: 1\r\nB: 2\r\nX-Mailbox-Line: >From x\r\n"),
            ("\u{feff}Bcc: x\r\n", "Bcc: x\r\n"),
            (
                "\u{feff}Return-Path: x\r\n\u{feff}\u{feff}A: 1\r\n",
                "X-Mailsluice-Unreadable: \u{feff}A: 1\r\n",
            ),
            ("Return-Path: <a@b>\r\nA: 1\r\nRETURN-PATH : x\r\n y\r\n", "A: 1\r\n"),
        ] {
            assert_eq!(String::from_utf8_lossy(&to_fields(section.as_bytes())), want, "{section:?}");
        }
    }

    proptest! {
        /// Whatever it is made of, fields come out, and coming again they stay as they are.
        #[test]
        fn fields_come_out(lines in proptest::collection::vec(
            "\u{feff}{0,2}(From a|>From b:|A: b|B\\x01cc : c|Größe: d|Return-Path:|ä:)[ \ra-c]{0,6}(\r\n [ \ra]{0,3}){0,2}\r\n", 0..8)) {
            let out = to_fields(lines.concat().as_bytes()).into_owned();
            prop_assert!(Fields::new(&out).all(|field| is_field_start(field.raw()) && !field.is_blind() && !field.is("Return-Path")));
            prop_assert_eq!(Fields::new(&out).map(|field| field.raw().len()).sum::<usize>(), out.len());
            prop_assert_eq!(&*to_fields(&out), &*out);
        }
    }
}
