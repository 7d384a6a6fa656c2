//! The line ends of a content as it arrives, by DATA or by BDAT: what ends a line, and what does not. No I/O.
//!
//! A LF ends a line, and the CRs directly before it belong to that one line end: programs that write CRLF where they
//! were given CRLF already send CR CR LF. It comes out as CRLF. A CR without a LF behind it stays one, and stands alone:
//! what becomes of it depends on the section that it is in. In the header section it is a space, as
//! [`header`](crate::mail::header) has it; in a body it is a [line end](end_lines).

use std::borrow::Cow;

/// CRs of one run that are written at once: a run is counted, and may be longer than what anybody would hold.
const PORTION: u64 = 16 * 1024;

/// Makes line ends the same, fed in pieces of any size.
#[derive(Debug, Default)]
pub struct LineEnds {
    /// CRs of the present run, of which nothing is written yet.
    crs: u64,
    /// CRs that belonged to a line end, save the last of each.
    spare: u64,
    /// The last line has no end yet.
    within: bool,
    /// A NUL was in the content (RFC 5322 4: never to be sent).
    pub nul: bool,
    /// A CR or LF was there that is not part of a CRLF by itself.
    pub bare_newline: bool,
    /// A CR stands alone in what was written.
    pub bare_cr: bool,
}

impl LineEnds {
    /// Appends `input` to `out`, with CRLF where lines end. Returns how much of it was taken: less than all when a run of CRs
    /// is on its way out and longer than what is written at once. Then the rest is to be given again.
    ///
    /// How the input is split changes nothing.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        let mut at = 0;
        while at < input.len() {
            if self.crs == 0 {
                at = self.lines(input, at, out);
                continue;
            }
            let more = input[at..].iter().take_while(|&&b| b == b'\r').count();
            self.crs += more as u64;
            at += more;
            if input.get(at) == Some(&b'\n') {
                self.end_line(out);
                at += 1;
            } else if at == input.len() || !self.write_run(out) {
                break;
            }
        }
        at
    }

    /// The content has ended, as chunks do: CRLF where the last line has no end. CRs at the very end belong to it.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.crs > 0 {
            self.bare_newline = true;
            self.end_line(out);
        } else if std::mem::take(&mut self.within) {
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Octets of the content that did not come out, or not yet.
    #[must_use]
    pub fn withheld(&self) -> u64 {
        self.spare + self.crs
    }

    /// The run of CRs belongs to a line end.
    fn end_line(&mut self, out: &mut Vec<u8>) {
        self.bare_newline |= self.crs > 1;
        self.spare += self.crs.saturating_sub(1);
        (self.crs, self.within) = (0, false);
        out.extend_from_slice(b"\r\n");
    }

    /// The CRs of the run stand alone: writes a portion of them. Returns whether that was the last.
    fn write_run(&mut self, out: &mut Vec<u8>) -> bool {
        let portion = self.crs.min(PORTION);
        out.resize(out.len() + portion as usize, b'\r');
        self.crs -= portion;
        (self.bare_newline, self.bare_cr, self.within) = (true, true, true);
        self.crs == 0
    }

    /// Copies whole lines at once, up to the next CR or LF that needs a decision. Returns where that is.
    fn lines(&mut self, input: &[u8], start: usize, out: &mut Vec<u8>) -> usize {
        let mut from = start;
        while let Some(at) = memchr::memchr3(b'\r', b'\n', 0, &input[from..]).map(|i| from + i) {
            match (input[at], input.get(at + 1)) {
                (0, _) => {
                    self.nul = true;
                    from = at + 1;
                }
                (b'\r', Some(b'\n')) => from = at + 2,
                (b'\r', _) => {
                    self.copy(&input[start..at], out);
                    self.crs = 1;
                    return at + 1;
                }
                _ => {
                    self.copy(&input[start..at], out);
                    self.bare_newline = true;
                    self.end_line(out);
                    return at + 1;
                }
            }
        }
        self.copy(&input[start..], out);
        input.len()
    }

    fn copy(&mut self, text: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(text);
        self.within = text.last().map_or(self.within, |&b| b != b'\n');
    }
}

/// Makes each CR that stands alone a line end, as it is in a body. For what [`LineEnds`] gave out.
#[must_use]
pub fn end_lines(body: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::new();
    let mut copied = 0;
    for at in memchr::memchr_iter(b'\r', body).filter(|&at| body.get(at + 1) != Some(&b'\n')) {
        out.extend_from_slice(&body[copied..=at]);
        out.push(b'\n');
        copied = at + 1;
    }
    if copied == 0 {
        return Cow::Borrowed(body);
    }
    out.extend_from_slice(&body[copied..]);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::data_stream::{DataStream, StreamStatus};
    use super::*;

    /// Takes pieces as chunks bring them: what comes out, and what was seen.
    fn decode(input: &[u8], cuts: &[usize]) -> (Vec<u8>, bool, bool) {
        let (mut lines, mut out, mut rest) = (LineEnds::default(), Vec::new(), input);
        for &cut in cuts.iter().cycle() {
            let (mut piece, after) = rest.split_at(cut.min(rest.len()));
            while !piece.is_empty() {
                piece = &piece[lines.feed(piece, &mut out)..];
            }
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        lines.finish(&mut out);
        assert_eq!(lines.bare_cr, end_lines(&out).len() > out.len());
        (out, lines.nul, lines.bare_newline)
    }

    #[test]
    fn crs_before_a_lf_are_one_line_end() {
        for (input, want, bare) in [
            (&b""[..], &b""[..], false),
            (b"a", b"a\r\n", false),
            (b"a\r\n", b"a\r\n", false),
            (b".\r\n", b".\r\n", false),
            (b"\r\n.\r\n..\r\n", b"\r\n.\r\n..\r\n", false),
            (b"a\nb", b"a\r\nb\r\n", true),
            (b"a\r\r\nb\r\n", b"a\r\nb\r\n", true),
            (b"a\r\r\r\r\n\r\r\nb", b"a\r\n\r\nb\r\n", true),
            (b"\r\r\n", b"\r\n", true),
            (b"\n\n\r\n", b"\r\n\r\n\r\n", true),
            (b"a\rb", b"a\rb\r\n", true),
            (b"a\r\rb\r\r\nc", b"a\r\rb\r\nc\r\n", true),
            (b"a\n\rb", b"a\r\n\rb\r\n", true),
            (b"a\r", b"a\r\n", true),
            (b"a\r\r\r", b"a\r\n", true),
            (b"\n\r", b"\r\n\r\n", true),
        ] {
            for piece in 1..=input.len().max(1) {
                assert_eq!(decode(input, &[piece]), (want.to_vec(), false, bare), "{}", input.escape_ascii());
            }
        }
        assert!(decode(b"a\0b", &[1]).1);
    }

    #[test]
    fn a_lone_cr_in_a_body_ends_a_line() {
        for (body, want) in [
            (&b"a\r\nb\r\n"[..], &b"a\r\nb\r\n"[..]),
            (b"a\rb\r\n", b"a\r\nb\r\n"),
            (b"\r\ra\r\n\r", b"\r\n\r\na\r\n\r\n"),
        ] {
            assert_eq!(*end_lines(body), *want);
        }
    }

    /// However long a run is, little of it is ever held or written at once.
    #[test]
    fn a_run_is_counted() {
        let run = vec![b'\r'; 10 * PORTION as usize];
        let (mut lines, mut out) = (LineEnds::default(), Vec::new());
        for _ in 0..100 {
            assert_eq!(lines.feed(&run, &mut out), run.len());
        }
        assert_eq!((out.len(), lines.withheld()), (0, 1000 * PORTION));
        assert_eq!(lines.feed(b"\nx", &mut out), 2);
        assert_eq!((out.as_slice(), lines.withheld()), (&b"\r\nx"[..], 1000 * PORTION - 1));

        lines.feed(&run, &mut out);
        let mut written = 0;
        loop {
            out.clear();
            let taken = lines.feed(b"y", &mut out);
            assert!(out.len() <= PORTION as usize + 1);
            written += out.len();
            if taken == 1 {
                break;
            }
        }
        assert_eq!(written, run.len() + 1);
    }

    proptest! {
        #[test]
        fn only_crlf_ends_a_line(
            input in proptest::collection::vec(prop::sample::select(b"\r\r\r\n\n.a\0\xff".to_vec()), 0..60),
        ) {
            let body = end_lines(&decode(&input, &[usize::MAX]).0).into_owned();
            let alone = String::from_utf8_lossy(&body).replace("\r\n", "").contains(['\r', '\n']);
            prop_assert!(!alone, "{}", body.escape_ascii());
        }

        #[test]
        fn the_same_message_as_by_data(
            input in proptest::collection::vec(prop::sample::select(b"\r\r\r\n\n\n..a\0\xff".to_vec()), 0..60),
            cuts in proptest::collection::vec(1usize..7, 1..60),
        ) {
            // By DATA each line that begins with a dot has a second one, and the end needs a line end before it. A
            // line begins behind CRLF alone, as DATA has it.
            let mut wire = Vec::new();
            for (i, &octet) in input.iter().enumerate() {
                if octet == b'.' && (i == 0 || input[..i].ends_with(b"\r\n")) {
                    wire.push(b'.');
                }
                wire.push(octet);
            }
            if !(input.is_empty() || input.ends_with(b"\r\n")) {
                // DATA has a line of its own between a LF and the dot; chunks have not.
                prop_assume!(!input.ends_with(b"\n"));
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b".\r\n");
            let (mut stream, mut out) = (DataStream::default(), Vec::new());
            let status = stream.feed(&wire, &mut out);
            prop_assert_eq!(status, StreamStatus::End { consumed: wire.len() });
            prop_assert_eq!(decode(&input, &cuts), (out, stream.lines.nul, stream.lines.bare_newline));
        }
    }
}
