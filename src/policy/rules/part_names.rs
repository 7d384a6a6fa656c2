//! The file names of attachments, read line by line: the body itself is never kept.

use mail_parser::{MessageParser, MimeHeaders};

/// Names that are kept at most.
const MOST_NAMES: usize = 1_000;
/// The longest header section of a part that is read, in octets.
const LONGEST_HEADER: usize = 16 << 10;
/// Multiparts in each other that are followed.
const DEEPEST: usize = 20;

/// Finds the names of parts, as their headers have them (RFC 2183 2.3, RFC 2231, RFC 2047).
#[derive(Default)]
pub(super) struct PartNames {
    pub(super) names: Vec<String>,
    /// The boundaries of the multiparts that are open, with their hyphens, the outermost first.
    boundaries: Vec<Vec<u8>>,
    /// The header section that is arriving.
    header: Vec<u8>,
    in_body: bool,
}

impl PartNames {
    /// Takes a line with its end.
    pub(super) fn line(&mut self, line: &[u8]) {
        if !self.in_body {
            if matches!(line, b"\r\n" | b"\n") {
                self.header_ends();
            } else if self.header.len() + line.len() <= LONGEST_HEADER {
                self.header.extend_from_slice(line);
            }
            return;
        }
        if !line.starts_with(b"--") {
            return;
        }
        let line = line.trim_ascii_end();
        let open = |boundary: &Vec<u8>| line == boundary.as_slice();
        let closed = |boundary: &Vec<u8>| line.strip_prefix(boundary.as_slice()) == Some(b"--");
        if let Some(depth) = self.boundaries.iter().rposition(open) {
            self.boundaries.truncate(depth + 1);
            self.in_body = false;
        } else if let Some(depth) = self.boundaries.iter().rposition(closed) {
            self.boundaries.truncate(depth);
        }
    }

    /// The content has ended.
    pub(super) fn end(&mut self) {
        if !self.in_body {
            self.header_ends();
        }
    }

    fn header_ends(&mut self) {
        self.in_body = true;
        let mut header = std::mem::take(&mut self.header);
        header.extend_from_slice(b"\r\n");
        let Some(part) = MessageParser::default().parse_headers(&header) else { return };
        let Some(part) = part.parts.first() else { return };
        if let Some(name) = part.attachment_name().filter(|_| self.names.len() < MOST_NAMES) {
            self.names.push(name.to_owned());
        }
        let kind = part.content_type().filter(|kind| kind.ctype().eq_ignore_ascii_case("multipart"));
        let boundary = kind.and_then(|kind| kind.attribute("boundary"));
        if let Some(boundary) = boundary.filter(|_| self.boundaries.len() < DEEPEST) {
            self.boundaries.push(format!("--{boundary}").into_bytes());
        }
    }
}
