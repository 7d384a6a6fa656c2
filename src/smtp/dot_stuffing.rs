//! Writes content so that every reader sees one message (RFC 5321 4.5.2).
//!
//! A reader may be lax and take LF.LF or CR.CR for the end of the content; then a bare CR or LF that we passed on would
//! end the message early, and what follows it would run as commands. So no bare CR or LF leaves us: each becomes CRLF,
//! save that CRs directly before a LF belong to its line end, as in [`line_ends`](super::line_ends); and each line that
//! begins with a dot gets a second one. Every other octet stays as it is.

use memchr::memchr2;

/// Turns content into its form on the wire, piece by piece.
#[derive(Debug)]
pub struct Encoder {
    at_line_start: bool,
    /// CRs that wait for the octet behind them.
    crs: usize,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// An encoder at the start of the content.
    #[must_use]
    pub fn new() -> Self {
        Self { at_line_start: true, crs: 0 }
    }

    /// Appends the wire form of the next piece of content to `wire`. Pieces may be cut anywhere.
    pub fn encode(&mut self, mut content: &[u8], wire: &mut Vec<u8>) {
        while let Some((&first, behind)) = content.split_first() {
            match first {
                b'\r' => {
                    self.crs += 1;
                    content = behind;
                    continue;
                }
                b'\n' => {
                    self.end_lines(1, wire);
                    content = behind;
                    continue;
                }
                _ => self.end_lines(self.crs, wire),
            }
            if self.at_line_start && first == b'.' {
                wire.push(b'.');
            }
            let end = memchr2(b'\r', b'\n', content).unwrap_or(content.len());
            wire.extend_from_slice(&content[..end]);
            self.at_line_start = false;
            content = &content[end..];
        }
    }

    /// Appends what ends the content: CRLF where the last line has none, then the final dot.
    pub fn finish(mut self, wire: &mut Vec<u8>) {
        if self.crs > 0 || !self.at_line_start {
            self.end_lines(1, wire);
        }
        wire.extend_from_slice(b".\r\n");
    }

    /// Ends the line, and so many in all; the CRs that waited are among them.
    fn end_lines(&mut self, count: usize, wire: &mut Vec<u8>) {
        for _ in 0..count {
            wire.extend_from_slice(b"\r\n");
        }
        self.at_line_start |= count > 0;
        self.crs = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(content: &[u8], piece: usize) -> Vec<u8> {
        let mut wire = Vec::new();
        let mut encoder = Encoder::new();
        for part in content.chunks(piece) {
            encoder.encode(part, &mut wire);
        }
        encoder.finish(&mut wire);
        wire
    }

    /// What a strict reader makes of it: lines between CRLFs, up to the line with a lone dot.
    fn decode(wire: &[u8]) -> (Vec<u8>, usize) {
        let (mut content, mut at) = (Vec::new(), 0);
        loop {
            let end = at + wire[at..].windows(2).position(|w| w == b"\r\n").expect("no final dot");
            let line = &wire[at..end];
            at = end + 2;
            if line == b"." {
                return (content, at);
            }
            content.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
            content.extend_from_slice(b"\r\n");
        }
    }

    /// The content with CRLF line ends only, and one at its end.
    fn normal(content: &[u8]) -> Vec<u8> {
        let (mut out, mut at) = (Vec::new(), 0);
        while at < content.len() {
            let crs = content[at..].iter().take_while(|&&b| b == b'\r').count();
            match content.get(at + crs) {
                Some(b'\n') | None => out.extend_from_slice(b"\r\n"),
                Some(&b) => {
                    out.extend_from_slice(&b"\r\n".repeat(crs));
                    out.push(b);
                }
            }
            at += crs + 1;
        }
        if !out.is_empty() && !out.ends_with(b"\r\n") {
            out.extend_from_slice(b"\r\n");
        }
        out
    }

    #[test]
    fn encodes() {
        for (content, want) in [
            (&b""[..], &b".\r\n"[..]),
            (b"a", b"a\r\n.\r\n"),
            (b"a\r\n", b"a\r\n.\r\n"),
            (b".", b"..\r\n.\r\n"),
            (b".\r\n.a\r\nb.\r\n", b"..\r\n..a\r\nb.\r\n.\r\n"),
            (b"a\n.\nQUIT\n", b"a\r\n..\r\nQUIT\r\n.\r\n"),
            (b"a\r.\rQUIT", b"a\r\n..\r\nQUIT\r\n.\r\n"),
            (b"a\r\n.\r\r\nQUIT", b"a\r\n..\r\nQUIT\r\n.\r\n"),
            (b"a\r\r\n.\r\r\r\nQUIT\r\r\n", b"a\r\n..\r\nQUIT\r\n.\r\n"),
            (b"a\r\r.\r\nQUIT", b"a\r\n\r\n..\r\nQUIT\r\n.\r\n"),
            (b"\r\r\n.\r\r", b"\r\n..\r\n.\r\n"),
            (b"a\n\rb", b"a\r\n\r\nb\r\n.\r\n"),
            (b"a\r", b"a\r\n.\r\n"),
        ] {
            for piece in 1..=content.len().max(1) {
                assert_eq!(encode(content, piece), want, "{} by {piece}", content.escape_ascii());
            }
        }
    }

    fn tricky() -> impl Strategy<Value = Vec<u8>> {
        let octet =
            prop_oneof![3 => Just(b'\r'), 3 => Just(b'\n'), 3 => Just(b'.'), 1 => Just(0), 2 => any::<u8>()];
        proptest::collection::vec(octet, 0..200)
    }

    proptest! {
        #[test]
        fn a_strict_reader_gets_the_content_back(content in tricky(), piece in 1usize..50) {
            let wire = encode(&content, piece);
            let (got, used) = decode(&wire);
            prop_assert_eq!(used, wire.len(), "the message ended early");
            prop_assert_eq!(got, normal(&content));
        }

        #[test]
        fn a_lax_reader_sees_one_message(content in tricky(), piece in 1usize..50) {
            let wire = encode(&content, piece);
            // Whatever mixture of CR and LF a reader takes for a line end, a line with a lone dot comes once: last.
            let ends = wire.split(|b| b"\r\n".contains(b)).filter(|line| *line == b".").count();
            prop_assert_eq!(ends, 1);
            prop_assert!(wire.ends_with(b".\r\n"));
        }
    }
}
