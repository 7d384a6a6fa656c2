//! How a body ends, by which it is signed.

use mail_auth::dkim::Canonicalization;

/// How a body ends that comes in blocks, cut anywhere.
#[derive(Debug, Default)]
pub(super) struct BodyEnd {
    /// Whether the last line with anything in it is white; `None` where there is no such line.
    is_white: Option<bool>,
    /// Whether that line has no end yet.
    is_open: bool,
    /// The last two octets.
    last: [Option<u8>; 2],
}

impl BodyEnd {
    /// Goes on with the next block.
    pub(super) fn go_on(&mut self, block: &[u8]) {
        let end = block.iter().rposition(|&b| b != b'\r' && b != b'\n').map_or(0, |i| i + 1);
        if end > 0 {
            let line_end = memchr::memrchr(b'\n', &block[..end]);
            let is_white = block[line_end.map_or(0, |i| i + 1)..end].trim_ascii().is_empty();
            let goes_on = line_end.is_none() && self.is_open;
            self.is_white = Some(is_white && (!goes_on || self.is_white != Some(false)));
            self.is_open = true;
        }
        self.is_open &= !block[end..].contains(&b'\n');
        for &octet in &block[block.len().saturating_sub(2)..] {
            self.last = [self.last[1], Some(octet)];
        }
    }

    /// Relaxed, unless the body ends in lines of white space: the library hashes those wrongly when relaxed.
    pub(super) fn canonicalization(&self) -> Canonicalization {
        if self.is_white == Some(true) { Canonicalization::Simple } else { Canonicalization::Relaxed }
    }

    /// Whether there is a body, and its last line has no end.
    pub(super) fn lacks_line_end(&self) -> bool {
        self.last[1].is_some() && self.last != [Some(b'\r'), Some(b'\n')]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_ends_in_white_lines_is_simple() {
        for (body, want) in [
            ("", Canonicalization::Relaxed),
            ("x\r\n", Canonicalization::Relaxed),
            ("x \t\r\n\r\n", Canonicalization::Relaxed),
            (" \r\nx\r\n", Canonicalization::Relaxed),
            ("\r\n\r\n", Canonicalization::Relaxed),
            ("x   ", Canonicalization::Relaxed),
            ("x\r\n   x", Canonicalization::Relaxed),
            (" \r\n", Canonicalization::Simple),
            ("x\r\n \t\r\n", Canonicalization::Simple),
            ("x\r\n \r\n\r\n\r\n", Canonicalization::Simple),
            ("x\r\n  ", Canonicalization::Simple),
            ("x\r\n   \r\n", Canonicalization::Simple),
        ] {
            for piece in 1..=body.len().max(1) {
                let mut end = BodyEnd::default();
                body.as_bytes().chunks(piece).for_each(|block| end.go_on(block));
                assert_eq!(end.canonicalization(), want, "{body:?} by {piece}");
                let lacks_end = !body.is_empty() && !body.ends_with("\r\n");
                assert_eq!(end.lacks_line_end(), lacks_end, "{body:?} by {piece}");
            }
        }
    }
}
