//! The content as it follows DATA (RFC 5321 4.5.2): finds its end and takes the dot-stuffing off. No I/O.
//!
//! Both are decided on the octets as they came: only CRLF `.` CRLF ends the content, and only a dot behind a CRLF (or at
//! the very start) was stuffed. Whatever else looks like a line end, there or before, neither makes nor hides an end:
//! what becomes of it is decided afterwards, by [`LineEnds`]. So no octet is lost, and two servers can't disagree about
//! where a message ends: on the way out every line of the result that begins with a dot is stuffed again.

use super::line_ends::LineEnds;

/// Decodes one message's content, fed in pieces of any size.
#[derive(Debug, Default)]
pub struct DataStream {
    place: LastOctets,
    /// What was seen of line ends.
    pub lines: LineEnds,
}

/// What the last octets were.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum LastOctets {
    /// CRLF, or nothing yet.
    #[default]
    LineStart,
    /// CRLF and a dot, which is not part of the content.
    Dot,
    /// CRLF, a dot and CR.
    DotCr,
    /// A CR inside of a line.
    Cr,
    /// Anything else; also what follows a bare CR or LF.
    Within,
}

/// Whether the content goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamStatus {
    /// There is more to come.
    More {
        /// How many octets were taken. The others are to be given again, when what came out is put away.
        consumed: usize,
    },
    /// The content has ended.
    End {
        /// How many octets belonged to the content; what follows them are commands.
        consumed: usize,
    },
}

impl StreamStatus {
    /// How many octets were taken.
    #[must_use]
    pub fn consumed(self) -> usize {
        match self {
            Self::More { consumed } | Self::End { consumed } => consumed,
        }
    }
}

impl DataStream {
    /// Decodes `input` and appends the content to `out`, with line ends as [`LineEnds`] makes them.
    ///
    /// How the input is split changes neither the output nor the end.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> StreamStatus {
        let mut at = 0;
        while let Some(&octet) = input.get(at) {
            match (self.place, octet) {
                (LastOctets::LineStart, b'.') => self.place = LastOctets::Dot,
                (LastOctets::Dot, b'\r') => self.place = LastOctets::DotCr,
                (LastOctets::DotCr, b'\n') => return StreamStatus::End { consumed: at + 1 },
                (LastOctets::DotCr, _) => {
                    // It was content after all.
                    self.lines.feed(b"\r", out);
                    self.place = LastOctets::Cr;
                    continue;
                }
                _ => {
                    let text = &input[at..self.text_end(input, at)];
                    let taken = self.lines.feed(text, out);
                    self.place = self.behind(&text[..taken]);
                    at += taken;
                    if taken < text.len() {
                        break;
                    }
                    continue;
                }
            }
            at += 1;
        }
        StreamStatus::More { consumed: at }
    }

    /// Where the next place is that needs a decision: a dot behind CRLF, or the end of what is there.
    fn text_end(&self, input: &[u8], at: usize) -> usize {
        let dot = memchr::memmem::find_iter(&input[at..], b"\n.").map(|i| at + i + 1);
        let mut behind_crlf = dot.filter(|&dot| self.behind(&input[at..dot]) == LastOctets::LineStart);
        behind_crlf.next().unwrap_or(input.len())
    }

    /// What the last octets are behind this text.
    fn behind(&self, text: &[u8]) -> LastOctets {
        match text {
            [] => self.place,
            [.., b'\r', b'\n'] => LastOctets::LineStart,
            [b'\n'] if self.place == LastOctets::Cr => LastOctets::LineStart,
            [.., b'\r'] => LastOctets::Cr,
            _ => LastOctets::Within,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Decodes in pieces; returns the content, the flags, and how much was consumed when it ended.
    fn decode(input: &[u8], piece: usize) -> (Vec<u8>, bool, bool, Option<usize>) {
        let (mut stream, mut out, mut fed) = (DataStream::default(), Vec::new(), 0);
        for mut piece in input.chunks(piece.max(1)) {
            while !piece.is_empty() {
                let status = stream.feed(piece, &mut out);
                fed += status.consumed();
                if matches!(status, StreamStatus::End { .. }) {
                    return (out, stream.lines.nul, stream.lines.bare_newline, Some(fed));
                }
                piece = &piece[status.consumed()..];
            }
        }
        (out, stream.lines.nul, stream.lines.bare_newline, None)
    }

    #[test]
    fn decodes_and_ends() {
        for (input, want) in [
            (&b".\r\n"[..], &b""[..]),
            (b"a\r\n.\r\n", b"a\r\n"),
            (b"a\r\nb\r\n\r\n.\r\n", b"a\r\nb\r\n\r\n"),
            (b"..\r\n.\r\n", b".\r\n"),
            (b"...a\r\n.\r\n", b"..a\r\n"),
            (b".a\r\n.\r\n", b"a\r\n"),
            (b"a\r\n..\r\n.b\r\n.\r\n", b"a\r\n.\r\nb\r\n"),
            (b"a.\r\n.\r\n", b"a.\r\n"),
        ] {
            for piece in 1..=input.len() {
                let (out, nul, bare, end) = decode(input, piece);
                assert_eq!(
                    (out.as_slice(), nul, bare, end),
                    (want, false, false, Some(input.len())),
                    "{input:?}"
                );
            }
            let mut more = input.to_vec();
            more.extend_from_slice(b"QUIT\r\n");
            assert_eq!(decode(&more, more.len()).3, Some(input.len()), "what follows is left alone");
        }
    }

    #[test]
    fn only_crlf_dot_crlf_ends() {
        for (input, want) in [
            (&b"a\n.\nb"[..], &b"a\r\n.\r\nb"[..]),
            (b"a\n.\r\nb", b"a\r\n.\r\nb"),
            (b"a\r\n.\nb", b"a\r\n\r\nb"),
            (b"a\r.\rb", b"a\r.\rb"),
            (b"a\r.\r\nb", b"a\r.\r\nb"),
            (b"a\r\n.\rb", b"a\r\n\rb"),
            (b"a\r\n.\r\r\nb", b"a\r\n\r\nb"),
            (b"a\r\r\n.\r\r\nb", b"a\r\n\r\nb"),
            (b"a\r\r\n.\rb", b"a\r\n\rb"),
            (b"a\r\r\n..\r\nb", b"a\r\n.\r\nb"),
            (b"a\r\r\r\n.b\r\r\nc", b"a\r\nb\r\nc"),
            (b"a\r\n.\r\r\r\n.\r\r\nb", b"a\r\n\r\n\r\nb"),
            (b"a\n\r.\n\rb", b"a\r\n\r.\r\n\rb"),
            (b"a\n..\r\nb", b"a\r\n..\r\nb"),
            (b"a\r\n.\0\r\nb", b"a\r\n\0\r\nb"),
            (b"a\r\n. \r\nb", b"a\r\n \r\nb"),
            (b"a\r\0\n.\r\nb", b"a\r\0\r\n.\r\nb"),
        ] {
            for piece in 1..=input.len() {
                let (out, _, _, end) = decode(input, piece);
                assert_eq!((out.as_slice(), end), (want, None), "{input:?}");
            }
        }
    }

    /// CRs before the line end change nothing about the end behind it.
    #[test]
    fn a_run_of_crs_hides_no_end() {
        for crs in [1, 2, 3, 100, 100_000] {
            let run = "\r".repeat(crs);
            let ended = format!("a{run}\n.\r\nQUIT\r\n");
            let later = format!("a{run}\n.{run}\nb\r\n.\r\n");
            for piece in [1, 2, 3, 1000, usize::MAX] {
                let (out, _, bare, end) = decode(ended.as_bytes(), piece);
                assert_eq!((out.as_slice(), bare), (&b"a\r\n"[..], crs > 1));
                assert_eq!(end, Some(ended.len() - "QUIT\r\n".len()));
                if crs > 1 {
                    let (out, .., end) = decode(later.as_bytes(), piece);
                    assert_eq!((out.as_slice(), end), (&b"a\r\n\r\nb\r\n"[..], Some(later.len())));
                }
            }
        }
    }

    #[test]
    fn flags_nul_and_bare_newlines() {
        assert!(decode(b"a\0b\r\n.\r\n", 100).1);
        assert!(decode(b"a\r\n\0\r\n.\r\n", 100).1);
        for input in [
            &b"a\nb\r\n.\r\n"[..],
            b"a\rb\r\n.\r\n",
            b"\n\r\n.\r\n",
            b".\n\r\n.\r\n",
            b".\r\r\n.\r\n",
            b"a\r\r\n.\r\n",
        ] {
            assert!(decode(input, 100).2, "{input:?}");
        }
    }

    /// Octets that matter, densely.
    fn nasty() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(prop::sample::select(b"\r\r\r\n\n\n..a\0\xff".to_vec()), 0..60)
    }

    proptest! {
        #[test]
        fn the_split_changes_nothing(input in nasty(), cuts in proptest::collection::vec(1usize..7, 1..60)) {
            let whole = decode(&input, usize::MAX);
            let (mut stream, mut out, mut at, mut end) = (DataStream::default(), Vec::new(), 0, None);
            for cut in cuts.iter().cycle() {
                let upto = (at + cut).min(input.len());
                match stream.feed(&input[at..upto], &mut out) {
                    StreamStatus::More { consumed } => at += consumed,
                    StreamStatus::End { consumed } => {
                        end = Some(at + consumed);
                        break;
                    }
                }
                if at == input.len() {
                    break;
                }
            }
            prop_assert_eq!(whole, (out, stream.lines.nul, stream.lines.bare_newline, end));
        }

        #[test]
        fn the_end_is_the_first_crlf_dot_crlf(input in nasty()) {
            let mut framed = b"\r\n".to_vec();
            framed.extend_from_slice(&input);
            let first = memchr::memmem::find(&framed, b"\r\n.\r\n").map(|i| i + 3);
            prop_assert_eq!(decode(&input, 3).3, first);
        }
    }
}
