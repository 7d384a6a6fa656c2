//! Finds the end of the header section while the content arrives. No I/O.

use crate::mail::header::{BYTE_ORDER_MARK, HeaderLine, MAX_LINE};

/// Where the header section of a content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HeaderSection {
    /// Where the first field begins: behind the byte-order mark, when there is one.
    pub(super) start: usize,
    /// Behind the last field.
    pub(super) fields: usize,
    /// Where the body begins: behind the empty line, or where one is missing.
    pub(super) body: usize,
}

/// Searches a growing buffer; no octet is looked at more than twice.
#[derive(Debug, Default)]
pub(super) struct HeadFinder {
    /// Where the first field begins.
    start: usize,
    /// Where the present line begins.
    line: usize,
    /// How far the present line was searched for its end.
    searched: usize,
    /// The present line is known to belong to the header section, though its end has not come.
    judged: bool,
    /// Where lines begin that are no fields, and belong to the header section only if it goes on behind them. They may be
    /// the beginning of a text.
    doubtful: Option<usize>,
}

impl HeadFinder {
    /// Looks at what was added to the buffer. `None` when the header section may go on.
    pub(super) fn find(&mut self, buffer: &[u8]) -> Option<HeaderSection> {
        if self.line == 0 && buffer.starts_with(BYTE_ORDER_MARK) {
            self.start = BYTE_ORDER_MARK.len();
            (self.line, self.searched) = (self.start, self.searched.max(self.start));
        }
        while let Some(i) = memchr::memchr(b'\n', &buffer[self.searched..]) {
            let end = self.searched + i + 1;
            let line = &buffer[self.line..end];
            if line == b"\r\n" {
                return Some(HeaderSection { start: self.start, fields: self.line, body: end });
            }
            if !self.judged && !self.take(line) {
                return Some(self.here());
            }
            (self.line, self.searched, self.judged) = (end, end, false);
        }
        self.searched = buffer.len();
        let line = &buffer[self.line..];
        if !self.judged && line.len() > MAX_LINE {
            self.judged = self.take(line);
            return (!self.judged).then(|| self.here());
        }
        None
    }

    /// There is no more to come, or no room for it: the last line is judged as it is. `None` when it still belongs
    /// to the header section.
    pub(super) fn cut(&mut self, buffer: &[u8]) -> Option<HeaderSection> {
        let line = &buffer[self.line..];
        let belongs = self.judged || line.is_empty() || self.take(line);
        (!belongs || self.doubtful.is_some()).then(|| self.here())
    }

    /// There is no more to come, and all of it belongs to the header section.
    pub(super) fn all(&self, buffer: &[u8]) -> HeaderSection {
        HeaderSection { start: self.start, fields: buffer.len(), body: buffer.len() }
    }

    /// The header section has ended without an empty line, before the present line and what is doubtful.
    fn here(&self) -> HeaderSection {
        let end = self.doubtful.unwrap_or(self.line);
        HeaderSection { start: self.start, fields: end, body: end }
    }

    /// Whether a line may belong to the header section.
    fn take(&mut self, line: &[u8]) -> bool {
        // A CR that stands alone becomes a space.
        if self.line > self.start && matches!(line.first(), Some(b' ' | b'\t' | b'\r')) {
            return true;
        }
        match HeaderLine::of(line) {
            HeaderLine::Field => self.doubtful = None,
            HeaderLine::Mailbox | HeaderLine::Unreadable => self.doubtful = self.doubtful.or(Some(self.line)),
            HeaderLine::Text => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_end_of_the_header_section() {
        let long = format!("A: {}\r\n\r\n", "x".repeat(3000));
        let endless = "x".repeat(3000);
        for (content, fields, body) in [
            ("A: b\r\n\r\nbody\r\n", 6, 8),
            ("A: b\r\n c\r\n\td\r\n\r\n", 14, 16),
            ("\r\nbody\r\n", 0, 2),
            ("Hello world\r\nA: b\r\n", 0, 0),
            (" A: b\r\n\r\n", 0, 0),
            ("A: b\r\nHello world\r\n", 6, 6),
            ("A: b\r\n", 6, 6),
            ("", 0, 0),
            (&long, 3005, 3007),
            (&endless, 0, 0),
            ("A: b\rC: d\r\n\rE: f\r\n\r\nbody", 18, 20),
            ("\rA: b\r\n\r\n", 0, 0),
            ("From x y\r\n>From z\r\nA: b\r\n\r\nbody", 25, 27),
            ("From x y\r\n\r\nbody", 10, 12),
            ("From now on\r\nwe write\r\n", 0, 0),
            ("From now on", 0, 0),
            // What hands in a file may have put its own fields above.
            ("A: b\r\nFrom x y\r\nC: d\r\n\r\nbody", 22, 24),
            ("A: b\r\nFrom x y\r\n\r\nbody", 16, 18),
            ("A: b\r\nFrom now on\r\nwe write\r\n", 6, 6),
            ("A: b\r\n\u{e9}: 1\r\n>From x\r\nand so on\r\n", 6, 6),
            ("\u{e9}: 1\r\nA: b\r\n\r\nbody", 13, 15),
            ("A: b\r\n\u{e9}: 1\r\n\r\nbody", 13, 15),
            ("\u{e9}: 1\r\n\r\nbody", 7, 9),
            ("\u{e9}: 1\r\nand so on\r\n", 0, 0),
            ("\u{e9}: 1\r\nFrom x y\r\nA: b\r\n", 23, 23),
        ] {
            for mark in ["", "\u{feff}"] {
                let content = [mark, content].concat();
                let start = mark.len();
                for piece in 1..=content.len().clamp(1, 40) {
                    let mut finder = HeadFinder::default();
                    let mut ends = (0..content.len()).step_by(piece).chain([content.len()]);
                    let found = ends.find_map(|end| finder.find(&content.as_bytes()[..end]));
                    let found = found.or_else(|| finder.cut(content.as_bytes()));
                    let found = found.unwrap_or_else(|| finder.all(content.as_bytes()));
                    let want = HeaderSection { start, fields: start + fields, body: start + body };
                    assert_eq!(found, want, "{content:?} in pieces of {piece}");
                }
            }
        }
    }
}
