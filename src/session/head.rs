//! Finds the end of the header section while the content arrives. No I/O.

use crate::mail::header;

/// Where the header section of a content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HeaderSection {
    /// Behind the last field.
    pub(super) fields: usize,
    /// Where the body begins: behind the empty line, or where one is missing.
    pub(super) body: usize,
}

/// Searches a growing buffer; no octet is looked at twice.
#[derive(Debug, Default)]
pub(super) struct HeadFinder {
    /// Where the present line begins.
    line: usize,
    /// How far the present line was searched for its end.
    searched: usize,
}

impl HeadFinder {
    /// Looks at what was added to the buffer. `None` when the header section may go on.
    pub(super) fn find(&mut self, buffer: &[u8]) -> Option<HeaderSection> {
        while let Some(i) = memchr::memchr(b'\n', &buffer[self.searched..]) {
            let end = self.searched + i + 1;
            let line = &buffer[self.line..end];
            if line == b"\r\n" {
                return Some(HeaderSection { fields: self.line, body: end });
            }
            if !self.belongs(line) {
                return Some(self.here());
            }
            (self.line, self.searched) = (end, end);
        }
        self.searched = buffer.len();
        None
    }

    /// There is no more to come, or no room for it: the last line is judged as it is. `None` when it still belongs
    /// to the header section.
    pub(super) fn cut(&self, buffer: &[u8]) -> Option<HeaderSection> {
        let line = &buffer[self.line..];
        (line.is_empty() || !self.belongs(line)).then(|| self.here())
    }

    /// The header section ended before the present line, without an empty line.
    fn here(&self) -> HeaderSection {
        HeaderSection { fields: self.line, body: self.line }
    }

    fn belongs(&self, line: &[u8]) -> bool {
        let continued = self.line > 0 && matches!(line.first(), Some(b' ' | b'\t'));
        continued || header::is_field_start(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_end_of_the_header_section() {
        for (content, fields, body) in [
            ("A: b\r\n\r\nbody\r\n", 6, 8),
            ("A: b\r\n c\r\n\td\r\n\r\n", 14, 16),
            ("\r\nbody\r\n", 0, 2),
            ("Hello world\r\nA: b\r\n", 0, 0),
            (" A: b\r\n\r\n", 0, 0),
            ("A: b\r\nHello world\r\n", 6, 6),
            ("A: b\r\n", 6, 6),
            ("", 0, 0),
        ] {
            for piece in 1..=content.len().max(1) {
                let mut finder = HeadFinder::default();
                let mut ends = (0..content.len()).step_by(piece).chain([content.len()]);
                let found = ends.find_map(|end| finder.find(&content.as_bytes()[..end]));
                let found = found.or_else(|| finder.cut(content.as_bytes()));
                assert_eq!(found, Some(HeaderSection { fields, body }), "{content:?} in pieces of {piece}");
            }
        }
    }
}
