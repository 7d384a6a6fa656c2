//! Lines of content that are longer than RFC 5322 2.1.1 allows. No I/O.

use crate::config;
use crate::mail::address_list::{ListScanner, is_address_list};
use crate::mail::header::{Fields, MAX_LINE};

/// How many octets at the end of a full line are kept back until it is known whether the line goes on: the longest
/// UTF-8 sequence less one.
const HELD: usize = 3;

/// Whether a line is longer than 998 octets.
#[must_use]
pub fn has_long_line(text: &[u8]) -> bool {
    text.split(|&b| b == b'\n').any(|line| line.strip_suffix(b"\r").unwrap_or(line).len() > MAX_LINE)
}

/// Folds the lines of a header section that are longer than 998 octets: before white space that they have (RFC 5322
/// 2.2.3) or behind a comma between addresses, whichever comes later, else where the line is full.
#[must_use]
pub fn fold_header(section: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(section.len() + section.len() / 256);
    for field in Fields::new(section) {
        let mut commas = is_address_list(&field).then(ListScanner::default);
        for line in field.raw().split_inclusive(|&b| b == b'\n') {
            let text = line.strip_suffix(b"\r\n").unwrap_or(line);
            let mut folding = Folding { rest: text, indent: 0, commas };
            while let Some(piece) = folding.next_line() {
                out.extend_from_slice(piece);
                out.extend_from_slice(b"\r\n");
                out.extend(std::iter::repeat_n(b' ', folding.indent));
            }
            out.extend_from_slice(folding.rest);
            out.extend_from_slice(&line[text.len()..]);
            commas = folding.behind(folding.rest);
        }
    }
    out
}

/// One line of a header section while it is folded.
struct Folding<'a> {
    rest: &'a [u8],
    /// A space that was put before the rest, since it has none by itself.
    indent: usize,
    /// Has read the field up to the rest, if that is a list of addresses.
    commas: Option<ListScanner>,
}

impl<'a> Folding<'a> {
    /// The next line, when the rest is too long for one.
    fn next_line(&mut self) -> Option<&'a [u8]> {
        let room = MAX_LINE - self.indent;
        if self.rest.len() <= room {
            return None;
        }
        let white = white_space(self.rest, room);
        let comma = self.behind_comma(room).filter(|&comma| white.is_none_or(|white| white < comma));
        let (place, indent) = match (comma, white) {
            (Some(place), _) => (place, 1),
            (None, Some(place)) => (place, 0),
            (None, None) => (whole_characters(self.rest, room), 1),
        };
        let (piece, rest) = self.rest.split_at(place);
        self.commas = self.behind(piece);
        (self.rest, self.indent) = (rest, indent);
        Some(piece)
    }

    /// The scanner when it has read this piece, too.
    fn behind(&self, piece: &[u8]) -> Option<ListScanner> {
        self.commas.map(|mut commas| {
            for &octet in piece {
                commas.is_comma(octet);
            }
            commas
        })
    }

    /// Behind the last comma between addresses.
    fn behind_comma(&self, room: usize) -> Option<usize> {
        let mut commas = self.commas?;
        let found = self.rest[..room].iter().enumerate().filter(|&(_, &b)| commas.is_comma(b));
        found.last().map(|(i, _)| i + 1)
    }
}

/// The last place within `room` where a line can be folded before white space. It leaves no line of white space alone,
/// which some would take for the end of the header section.
fn white_space(text: &[u8], room: usize) -> Option<usize> {
    let is_white = |b: u8| b == b' ' || b == b'\t';
    let start = text.iter().position(|&b| !is_white(b))?;
    (start + 1..room).rev().find(|&i| is_white(text[i]) && !is_white(text[i + 1]))
}

/// As much as fits into `room` without parting a UTF-8 sequence.
fn whole_characters(text: &[u8], room: usize) -> usize {
    let is_continuation = |b: u8| b & 0xc0 == 0x80;
    if !is_continuation(text[room]) {
        return room;
    }
    let tail = room - HELD;
    let sequence = text[tail..room].iter().rposition(|&b| !is_continuation(b)).map(|i| tail + i);
    sequence.filter(|&i| text[i] >= 0xc0).unwrap_or(room)
}

/// Passes a body on, and treats long lines as the configuration says.
///
/// Expects CRLF line ends only, which [`line_ends`](super::line_ends) makes.
#[derive(Debug)]
pub struct LongLineFilter {
    treatment: config::LongLines,
    /// Octets in the present line so far, held ones included.
    column: usize,
    /// The last octets that fit into the line. They wait for the next, so that no UTF-8 sequence is split.
    held: Vec<u8>,
    /// A long line was seen.
    pub found: bool,
}

impl LongLineFilter {
    /// A filter at the start of the body.
    #[must_use]
    pub fn new(treatment: config::LongLines) -> Self {
        Self { treatment, column: 0, held: Vec::new(), found: false }
    }

    /// Appends `input` to `out`; a line over 998 octets is broken with CRLF and a space when it shall be wrapped.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) {
        if self.treatment == config::LongLines::Pass {
            out.extend_from_slice(input);
            return;
        }
        let (mut at, mut copied) = (0, 0);
        while at < input.len() {
            if self.column == 0
                && let Some(next) = skip_short_lines(input, at)
            {
                at = next;
                continue;
            }
            out.extend_from_slice(&input[copied..at]);
            let end = memchr::memchr(b'\n', &input[at..]).map_or(input.len(), |i| at + i + 1);
            self.piece(&input[at..end], out);
            (at, copied) = (end, end);
        }
        out.extend_from_slice(&input[copied..]);
    }

    /// Appends what was held back. Call it once, at the end.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.held);
    }

    /// A piece of one line, its CRLF included when it is there.
    fn piece(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let text = piece.iter().position(|&b| b == b'\r' || b == b'\n').unwrap_or(piece.len());
        let mut rest = &piece[..text];
        while !rest.is_empty() {
            let free = (MAX_LINE - HELD).saturating_sub(self.column).min(rest.len());
            out.extend_from_slice(&rest[..free]);
            self.column += free;
            rest = &rest[free..];
            let room = MAX_LINE.saturating_sub(self.column).min(rest.len());
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
        out.extend(self.held.drain(..keep));
        out.extend_from_slice(b"\r\n ");
        self.column = 1 + self.held.len();
        out.append(&mut self.held);
    }
}

/// Behind the last line end within the next line's greatest length, if there is one: all lines up to there are
/// short enough, and need no look at each.
fn skip_short_lines(input: &[u8], at: usize) -> Option<usize> {
    let window = &input[at..input.len().min(at + MAX_LINE + 2)];
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
        let x = |n: usize| "x".repeat(n);
        for (input, want) in [
            // 4 + 66 * 15 octets, then 4 of the next address would still fit.
            (format!("To: {}x\r\n", to(70)), format!("To: {}\r\n {}x\r\n", to(66).trim_end(), to(4))),
            (format!("X:\t{}\r\n", x(996)), format!("X:\r\n\t{}\r\n", x(996))),
            (format!("X:{}\r\n", x(997)), format!("X:{}\r\n x\r\n", x(996))),
            (format!("X:{}é\r\n", x(995)), format!("X:{}\r\n é\r\n", x(995))),
            (format!("X:{}", x(2994)), format!("X:{}\r\n {}\r\n {}\r\n xxxx", x(996), x(997), x(997))),
            (
                format!("A: b\r\n c{}{}\r\n", " ".repeat(500), x(900)),
                format!("A: b\r\n c{}\r\n {}\r\n", " ".repeat(499), x(900)),
            ),
            (format!("A: b\r\nB: {}\r\n", x(995)), format!("A: b\r\nB: {}\r\n", x(995))),
        ] {
            assert_eq!(String::from_utf8(fold_header(input.as_bytes())).unwrap(), want);
            assert_eq!(has_long_line(input.as_bytes()), input != want);
        }
    }

    #[test]
    fn folds_addresses_behind_commas() {
        let list = |n: usize| "user-name@example.org,".repeat(n);
        let name = "\\\"a,b".repeat(300);
        for (input, want) in [
            (format!("To:{}x@y", list(60)), format!("To:{}\r\n {}x@y", list(45), list(15))),
            (
                // A comma in quotes, in angle brackets or in a comment parts no addresses.
                format!("To:{},\"a,{}\"@b,c@d", list(1), "e,".repeat(600)),
                format!("To:{},\r\n \"a,{}\r\n {}\"@b,c@d", list(1), "e,".repeat(497), "e,".repeat(103)),
            ),
            (
                format!("To:{}(a,(b),{})c@d", list(40), "e,".repeat(300)),
                format!("To:{}\r\n (a,(b),{})c@d", list(40), "e,".repeat(300)),
            ),
            (
                format!("To:{}<@e,@f:{}>,g@h", list(40), "e".repeat(300)),
                format!("To:{}\r\n <@e,@f:{}>,g@h", list(40), "e".repeat(300)),
            ),
            (
                format!("To:a@b,\"{name}\"@c,d@e"),
                format!("To:a@b,\r\n \"{}\r\n {}\"@c,d@e", &name[..996], &name[996..]),
            ),
            // White space stands within a name, and the comma comes later.
            (
                format!("To: A B <a@b>,{}x@y", list(60)),
                format!("To: A B <a@b>,{}\r\n {}x@y", list(44), list(16)),
            ),
            // What is no list has no such commas.
            (format!("X:{}", ",".repeat(997)), format!("X:{}\r\n ,", ",".repeat(996))),
        ] {
            let got = String::from_utf8(fold_header(input.as_bytes())).unwrap();
            assert_eq!(got, want);
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
            prop_assert!(out.split("\r\n").all(|line| line.len() <= MAX_LINE));
            prop_assert_eq!(out.replace("\r\n ", ""), input);
        }

        #[test]
        fn folding_loses_nothing(
            words in proptest::collection::vec(("[ \\t]{0,3}", 0usize..1100), 1..12),
        ) {
            let value: String = words.iter().map(|(space, n)| space.clone() + &"x".repeat(*n)).collect();
            let input = format!("Subject:{value}x\r\n");
            let out = fold_header(input.as_bytes());
            let out = String::from_utf8(out).expect("it was ASCII");
            prop_assert!(out.split("\r\n").all(|line| line.len() <= MAX_LINE));
            prop_assert!(out.split("\r\n").all(|line| line.is_empty() || !line.trim().is_empty()));
            let bare = |text: &str| text.replace(char::is_whitespace, "");
            prop_assert_eq!(bare(&out), bare(&input));
            if words.iter().all(|(space, n)| !space.is_empty() && *n < 900) {
                prop_assert_eq!(out.replace("\r\n ", " ").replace("\r\n\t", "\t"), input);
            }
        }
    }
}
