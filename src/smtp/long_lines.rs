//! Lines of content that are longer than RFC 5322 2.1.1 allows. No I/O.

use crate::config;
use crate::mail::address_list::{ListScanner, is_address_list};
use crate::mail::header::{Field, is_field_start};

/// The longest line without its CRLF, in octets (RFC 5322 2.1.1, RFC 5321 4.5.3.1.6).
const MAX: usize = 998;
/// How many octets at the end of a full line are kept back until it is known whether the line goes on: the longest
/// UTF-8 sequence less one.
const HELD: usize = 3;

/// Passes content on, and treats long lines as the configuration says.
///
/// Expects CRLF line ends only, which the data stream guarantees.
#[derive(Debug)]
pub struct LongLineFilter {
    treatment: config::LongLines,
    /// Octets in the present line so far, held ones included.
    column: usize,
    /// The last octets that fit into the line. They wait for the next, so that no UTF-8 sequence is split.
    held: Vec<u8>,
    /// In the header section a line is held back whole, so that it can be folded where it has white space.
    in_header: bool,
    /// The present line is known to belong to the header section.
    judged: bool,
    /// The present field is a list of mailboxes, which has come as far as what is held.
    list: Option<ListScanner>,
    /// The beginning of the present line has left `held`, or is known to go on with a field.
    in_field: bool,
    /// A long line was seen.
    pub found: bool,
}

impl LongLineFilter {
    /// A filter at the start of the content.
    #[must_use]
    pub fn new(treatment: config::LongLines) -> Self {
        Self {
            treatment,
            column: 0,
            held: Vec::new(),
            in_header: true,
            judged: false,
            list: None,
            in_field: false,
            found: false,
        }
    }

    /// Appends `input` to `out`; a line over 998 octets is broken with CRLF and a space when it shall be wrapped. A header
    /// field is folded before white space that it has (RFC 5322 2.2.3), as long as there is any.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) {
        if self.treatment == config::LongLines::Pass {
            out.extend_from_slice(input);
            return;
        }
        let (mut at, mut copied) = (0, 0);
        while at < input.len() {
            if self.column == 0
                && !self.in_header
                && let Some(next) = skip_short_lines(input, at)
            {
                at = next;
                continue;
            }
            out.extend_from_slice(&input[copied..at]);
            let end = memchr::memchr(b'\n', &input[at..]).map_or(input.len(), |i| at + i + 1);
            if self.in_header {
                self.header_piece(&input[at..end], out);
            } else {
                self.piece(&input[at..end], out);
            }
            (at, copied) = (end, end);
        }
        out.extend_from_slice(&input[copied..]);
    }

    /// Appends what was held back. Call it once, at the end.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.held);
    }

    /// A piece of one line of the header section, its CRLF included when it is there.
    fn header_piece(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let text = piece.iter().position(|&b| b == b'\r' || b == b'\n').unwrap_or(piece.len());
        let mut rest = &piece[..text];
        while !rest.is_empty() {
            let room = MAX.saturating_sub(self.held.len()).min(rest.len());
            self.held.extend_from_slice(&rest[..room]);
            rest = &rest[room..];
            if let Some(&next) = rest.first() {
                if !self.belongs() {
                    return self.leave_header(&[rest, &piece[text..]].concat(), out);
                }
                self.judged = true;
                self.fold(next, out);
            }
        }
        let Some(&end) = piece.get(text) else { return };
        // The LF of a CRLF that came in two pieces is no line of its own.
        if end == b'\r' && !self.judged && !self.belongs() {
            return self.leave_header(&piece[text..], out);
        }
        self.enter_field();
        let held = std::mem::take(&mut self.held);
        self.pass_on(&held, out);
        out.extend_from_slice(&piece[text..]);
        (self.judged, self.in_field) = (false, false);
    }

    /// Whether the held line begins a field or goes on with one. The empty line does neither.
    fn belongs(&self) -> bool {
        self.judged || matches!(self.held.first(), Some(b' ' | b'\t')) || is_field_start(&self.held)
    }

    /// The header section is over, and what is held is the body's; `rest` is the rest of its piece.
    fn leave_header(&mut self, rest: &[u8], out: &mut Vec<u8>) {
        (self.in_header, self.list) = (false, None);
        let line = [std::mem::take(&mut self.held).as_slice(), rest].concat();
        self.piece(&line, out);
    }

    /// Finds out whether the field that begins with what is held, if one does, is a list of mailboxes.
    fn enter_field(&mut self) {
        let begins = !matches!(self.held.first(), None | Some(b' ' | b'\t'));
        if !std::mem::replace(&mut self.in_field, true) && begins {
            self.list = is_address_list(&Field::of(&self.held)).then(ListScanner::default);
        }
    }

    /// Appends octets of the present field that were held.
    fn pass_on(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        if let Some(list) = &mut self.list {
            for &octet in octets {
                let _ = list.is_comma(octet);
            }
        }
        out.extend_from_slice(octets);
    }

    /// The last place in what is held behind a comma between two mailboxes.
    fn behind_comma(&self) -> Option<usize> {
        let mut list = self.list?;
        let commas = self.held.iter().enumerate().filter(|&(_, &b)| list.is_comma(b));
        commas.last().map(|(i, _)| i + 1)
    }

    /// A line of the header section is full and `next` does not fit.
    fn fold(&mut self, next: u8, out: &mut Vec<u8>) {
        self.enter_field();
        let is_white = |b: u8| b == b' ' || b == b'\t';
        let start = self.held.iter().position(|&b| !is_white(b));
        // A fold leaves no line of white space alone, which some would take for the end of the header section.
        let followed = |i: usize| !is_white(*self.held.get(i + 1).unwrap_or(&next));
        let place = (0..self.held.len()).rev().find(|&i| is_white(self.held[i]) && followed(i));
        let place = place.filter(|&i| start.is_some_and(|start| start < i));
        // A list without white space is parted between two mailboxes, by white space of ours.
        let comma = self.behind_comma().filter(|&comma| place.is_none_or(|place| place < comma));
        match comma.or(place) {
            Some(place) if self.treatment == config::LongLines::Wrap => {
                self.found = true;
                let line: Vec<u8> = self.held.drain(..place).collect();
                self.pass_on(&line, out);
                out.extend_from_slice(b"\r\n");
                if comma.is_some() {
                    self.held.insert(0, b' ');
                }
            }
            _ => self.too_long(next, out),
        }
    }

    /// A piece of one line, its CRLF included when it is there.
    fn piece(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let text = piece.iter().position(|&b| b == b'\r' || b == b'\n').unwrap_or(piece.len());
        let mut rest = &piece[..text];
        while !rest.is_empty() {
            let free = (MAX - HELD).saturating_sub(self.column).min(rest.len());
            out.extend_from_slice(&rest[..free]);
            self.column += free;
            rest = &rest[free..];
            let room = MAX.saturating_sub(self.column).min(rest.len());
            self.held.extend_from_slice(&rest[..room]);
            self.column += room;
            rest = &rest[room..];
            if let Some(&next) = rest.first() {
                self.too_long(next, out);
            }
        }
        if text < piece.len() {
            self.finish(out);
            out.extend_from_slice(&piece[text..]);
            self.column = if piece.ends_with(b"\n") { 0 } else { self.column };
        }
    }

    /// The line is full and `next` does not fit.
    fn too_long(&mut self, next: u8, out: &mut Vec<u8>) {
        self.found = true;
        if self.treatment == config::LongLines::Reject {
            // What comes out is thrown away; it only must not pile up here.
            self.finish(out);
            self.column = 0;
            return;
        }
        let is_continuation = |b: u8| b & 0xc0 == 0x80;
        let sequence = self.held.iter().rposition(|&b| !is_continuation(b)).filter(|&i| self.held[i] >= 0xc0);
        let keep = if is_continuation(next) { sequence.unwrap_or(self.held.len()) } else { self.held.len() };
        let line: Vec<u8> = self.held.drain(..keep).collect();
        self.pass_on(&line, out);
        out.extend_from_slice(b"\r\n");
        if self.in_header {
            self.held.insert(0, b' ');
            return;
        }
        out.push(b' ');
        self.column = 1 + self.held.len();
        out.append(&mut self.held);
    }
}

/// Behind the last line end within the next line's greatest length, if there is one: all lines up to there are
/// short enough, and need no look at each.
fn skip_short_lines(input: &[u8], at: usize) -> Option<usize> {
    let window = &input[at..input.len().min(at + MAX + 2)];
    memchr::memrchr(b'\n', window).map(|i| at + i + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wrap(input: &[u8], piece: usize, treatment: config::LongLines) -> (Vec<u8>, bool) {
        let (mut filter, mut out) = (LongLineFilter::new(treatment), Vec::new());
        for piece in input.chunks(piece) {
            filter.feed(piece, &mut out);
        }
        filter.finish(&mut out);
        (out, filter.found)
    }

    #[test]
    fn wraps_what_is_too_long_and_nothing_else() {
        let line = |n: usize| "x".repeat(n);
        for (input, want) in [
            (format!("{}\r\n", line(998)), format!("{}\r\n", line(998))),
            (format!("a\r\n{}\r\nb", line(998)), format!("a\r\n{}\r\nb", line(998))),
            (format!("{}\r\nb\r\n", line(999)), format!("{}\r\n x\r\nb\r\n", line(998))),
            (line(998 + 997 + 1), format!("{}\r\n {}\r\n x", line(998), line(997))),
            (format!("{}é\r\n", line(997)), format!("{}\r\n é\r\n", line(997))),
            (format!("{}é\r\n", line(996)), format!("{}é\r\n", line(996))),
            (format!("{}😀\r\n", line(995)), format!("{}\r\n 😀\r\n", line(995))),
            (format!("{}😀x\r\n", line(994)), format!("{}😀\r\n x\r\n", line(994))),
        ] {
            for piece in [1, 2, 3, 7, 500, 997, 998, 999, 1000, 5000] {
                let (out, found) = wrap(input.as_bytes(), piece, config::LongLines::Wrap);
                assert_eq!(String::from_utf8(out).unwrap(), want, "in pieces of {piece}");
                assert_eq!(found, input != want);
            }
        }
    }

    #[test]
    fn folds_fields_before_white_space() {
        let to = |n: usize| "u@example.org, ".repeat(n);
        let tight = |n: usize| "u@example.org,".repeat(n);
        for (input, want) in [
            // 4 + 66 * 15 octets, then 4 of the next address would still fit.
            (format!("To: {}x\r\n\r\n", to(70)), format!("To: {}\r\n {}x\r\n\r\n", to(66).trim_end(), to(4))),
            (format!("X:\t{}\r\n", "x".repeat(996)), format!("X:\r\n\t{}\r\n", "x".repeat(996))),
            (format!("X:{}\r\n", "x".repeat(997)), format!("X:{}\r\n x\r\n", "x".repeat(996))),
            (format!("X:{}é\r\n", "x".repeat(995)), format!("X:{}\r\n é\r\n", "x".repeat(995))),
            (
                format!("A: b\r\n c{}{}\r\n\r\n", " ".repeat(500), "x".repeat(900)),
                format!("A: b\r\n c{}\r\n {}\r\n\r\n", " ".repeat(499), "x".repeat(900)),
            ),
            // 4 + 71 * 14 octets, then 4 of the next address would still fit.
            (format!("To: {}x@b\r\n", tight(100)), format!("To: {}\r\n {}x@b\r\n", tight(71), tight(29))),
            (
                format!("To: a,\r\n\t\"{}\" <{}x@b>,{}x@b\r\n", ",".repeat(400), "y".repeat(200), tight(50)),
                format!(
                    "To: a,\r\n\t\"{}\" <{}x@b>,{}\r\n {}x@b\r\n",
                    ",".repeat(400),
                    "y".repeat(200),
                    tight(27),
                    tight(23)
                ),
            ),
            (format!("X: {}\r\n", ",".repeat(996)), format!("X:\r\n {}\r\n", ",".repeat(996))),
            // No comma of a quoted string parts mailboxes, however long that is.
            (
                format!("To:\"{}\" <x@b>,{}x@b\r\n", ",".repeat(1200), tight(60)),
                format!(
                    "To:\"{}\r\n {}\" <x@b>,{}\r\n {}x@b\r\n",
                    ",".repeat(994),
                    ",".repeat(206),
                    tight(55),
                    tight(5)
                ),
            ),
            // What is no field is the body's, and is broken where it is full.
            (format!("a {}\r\n", "x".repeat(997)), format!("a {}\r\n x\r\n", "x".repeat(996))),
            (format!("\r\nTo: {}\r\n", "x".repeat(997)), format!("\r\nTo: {}\r\n xxx\r\n", "x".repeat(994))),
        ] {
            for piece in [1, 2, 3, 7, 500, 997, 998, 999, 1000, 5000] {
                let (out, found) = wrap(input.as_bytes(), piece, config::LongLines::Wrap);
                assert_eq!(String::from_utf8(out).unwrap(), want, "in pieces of {piece}");
                assert!(found);
            }
            assert!(wrap(input.as_bytes(), 100, config::LongLines::Reject).1);
        }
    }

    #[test]
    fn passes_or_reports() {
        let long = "x".repeat(5000);
        assert_eq!(wrap(long.as_bytes(), 100, config::LongLines::Pass), (long.clone().into_bytes(), false));
        assert!(wrap(long.as_bytes(), 100, config::LongLines::Reject).1);
        assert!(!wrap("x\r\n".repeat(5000).as_bytes(), 100, config::LongLines::Reject).1);
    }

    proptest! {
        #[test]
        fn no_line_is_too_long_and_no_octet_lost(
            lines in proptest::collection::vec((0usize..2200, prop::sample::select(vec!["x", "é", "€", "😀", "\u{80}"])), 1..6),
            piece in 1usize..1500,
        ) {
            let input = lines.iter().map(|(n, c)| c.repeat(n / c.len()) + "\r\n").collect::<Vec<_>>().concat();
            let (out, _) = wrap(input.as_bytes(), piece, config::LongLines::Wrap);
            let out = String::from_utf8(out).expect("no sequence is split");
            prop_assert!(out.split("\r\n").all(|line| line.len() <= MAX));
            prop_assert_eq!(out.replace("\r\n ", ""), input);
        }

        #[test]
        fn folding_loses_nothing(
            words in proptest::collection::vec(("[ \\t]{0,3}", 0usize..1100), 1..12),
            piece in 1usize..1500,
        ) {
            let value: String = words.iter().map(|(space, n)| space.clone() + &"x".repeat(*n)).collect();
            let input = format!("Subject:{value}x\r\n\r\n");
            let (out, _) = wrap(input.as_bytes(), piece, config::LongLines::Wrap);
            let out = String::from_utf8(out).expect("it was ASCII");
            prop_assert!(out.split("\r\n").all(|line| line.len() <= MAX));
            prop_assert!(out.split("\r\n").all(|line| line.is_empty() || !line.trim().is_empty()));
            let bare = |text: &str| text.replace(char::is_whitespace, "");
            prop_assert_eq!(bare(&out), bare(&input));
            if words.iter().all(|(space, n)| !space.is_empty() && *n < 900) {
                prop_assert_eq!(out.replace("\r\n ", " ").replace("\r\n\t", "\t"), input);
            }
        }
    }
}
