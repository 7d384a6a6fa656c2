//! The content as it follows DATA (RFC 5321 4.5.2): finds its end and takes the dot-stuffing off. No I/O.
//!
//! Only CRLF `.` CRLF ends the content, and only a dot behind a CRLF (or at the very start) was stuffed. Whatever
//! else looks like a line end, a bare CR or a bare LF, becomes CRLF, and a dot behind it is content and stays. So
//! no octet is lost, and two servers can't disagree about where a message ends: on the way out every line of the
//! result that begins with a dot is stuffed again.

/// Decodes one message's content, fed in pieces of any size.
#[derive(Debug, Default)]
pub struct DataStream {
    place: LastOctets,
    /// A NUL was in the content (RFC 5322 4: never to be sent).
    pub nul: bool,
    /// A CR or LF stood alone.
    pub bare_newline: bool,
}

/// What the last octets were.
#[derive(Debug, Default, Clone, Copy)]
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
    /// All octets were used; there is more to come.
    More,
    /// The content has ended.
    End {
        /// How many octets belonged to the content; what follows them are commands.
        consumed: usize,
    },
}

impl DataStream {
    /// Decodes `input` and appends the content to `out`, with CRLF line ends only.
    ///
    /// How the input is split changes neither the output nor the end.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> StreamStatus {
        let mut at = 0;
        while let Some(&octet) = input.get(at) {
            match (self.place, octet) {
                (LastOctets::LineStart, b'.') => self.place = LastOctets::Dot,
                (LastOctets::Dot, b'\r') => self.place = LastOctets::DotCr,
                (LastOctets::DotCr, b'\n') => return StreamStatus::End { consumed: at + 1 },
                (LastOctets::Cr, b'\n') => {
                    out.extend_from_slice(b"\r\n");
                    self.place = LastOctets::LineStart;
                }
                (LastOctets::DotCr | LastOctets::Cr, _) => {
                    self.bare(out);
                    continue;
                }
                (LastOctets::LineStart | LastOctets::Dot | LastOctets::Within, _) => {
                    at = self.run(input, at, out);
                    continue;
                }
            }
            at += 1;
        }
        StreamStatus::More
    }

    /// A CR or LF that stands alone ends a line, but the next one's dot is content.
    fn bare(&mut self, out: &mut Vec<u8>) {
        self.bare_newline = true;
        self.place = LastOctets::Within;
        out.extend_from_slice(b"\r\n");
    }

    /// Copies whole lines at once, up to the next place that needs a decision. Returns where that is.
    fn run(&mut self, input: &[u8], start: usize, out: &mut Vec<u8>) -> usize {
        let mut from = start;
        self.place = LastOctets::Within;
        while let Some(at) = memchr::memchr3(b'\r', b'\n', 0, &input[from..]).map(|i| from + i) {
            match (input[at], input.get(at + 1), input.get(at + 2)) {
                (0, ..) => {
                    self.nul = true;
                    from = at + 1;
                }
                (b'\r', Some(b'\n'), Some(next)) if *next != b'.' => from = at + 2,
                (b'\r', Some(b'\n'), _) => {
                    out.extend_from_slice(&input[start..at + 2]);
                    self.place = LastOctets::LineStart;
                    return at + 2;
                }
                (b'\r', None, _) => {
                    out.extend_from_slice(&input[start..at]);
                    self.place = LastOctets::Cr;
                    return at + 1;
                }
                _ => {
                    out.extend_from_slice(&input[start..at]);
                    self.bare(out);
                    return at + 1;
                }
            }
        }
        out.extend_from_slice(&input[start..]);
        input.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Decodes in pieces; returns the content, the flags, and how much was consumed when it ended.
    fn decode(input: &[u8], piece: usize) -> (Vec<u8>, bool, bool, Option<usize>) {
        let (mut stream, mut out, mut fed) = (DataStream::default(), Vec::new(), 0);
        for piece in input.chunks(piece.max(1)) {
            if let StreamStatus::End { consumed } = stream.feed(piece, &mut out) {
                return (out, stream.nul, stream.bare_newline, Some(fed + consumed));
            }
            fed += piece.len();
        }
        (out, stream.nul, stream.bare_newline, None)
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
            (b"a\r.\rb", b"a\r\n.\r\nb"),
            (b"a\r.\r\nb", b"a\r\n.\r\nb"),
            (b"a\r\n.\rb", b"a\r\n\r\nb"),
            (b"a\r\n.\r\r\nb", b"a\r\n\r\n\r\nb"),
            (b"a\r\r\n.\rb", b"a\r\n\r\n\r\nb"),
            (b"a\n\r.\n\rb", b"a\r\n\r\n.\r\n\r\nb"),
            (b"a\n..\r\nb", b"a\r\n..\r\nb"),
            (b"a\r\n.\0\r\nb", b"a\r\n\0\r\nb"),
            (b"a\r\n. \r\nb", b"a\r\n \r\nb"),
            (b"a\r\0\n.\r\nb", b"a\r\n\0\r\n.\r\nb"),
        ] {
            for piece in 1..=input.len() {
                let (out, _, _, end) = decode(input, piece);
                assert_eq!((out.as_slice(), end), (want, None), "{input:?}");
            }
        }
    }

    #[test]
    fn flags_nul_and_bare_newlines() {
        assert!(decode(b"a\0b\r\n.\r\n", 100).1);
        assert!(decode(b"a\r\n\0\r\n.\r\n", 100).1);
        for input in
            [&b"a\nb\r\n.\r\n"[..], b"a\rb\r\n.\r\n", b"\n\r\n.\r\n", b".\n\r\n.\r\n", b".\r\r\n.\r\n"]
        {
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
                if let StreamStatus::End { consumed } = stream.feed(&input[at..upto], &mut out) {
                    end = Some(at + consumed);
                    break;
                }
                at = upto;
                if at == input.len() {
                    break;
                }
            }
            prop_assert_eq!(whole, (out, stream.nul, stream.bare_newline, end));
        }

        #[test]
        fn the_output_has_only_crlf_line_ends(input in nasty()) {
            let (out, ..) = decode(&input, usize::MAX);
            for (i, &b) in out.iter().enumerate() {
                match b {
                    b'\r' => prop_assert!(out.get(i + 1).is_none_or(|&n| n == b'\n')),
                    b'\n' => prop_assert!(i > 0 && out[i - 1] == b'\r'),
                    _ => {}
                }
            }
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
