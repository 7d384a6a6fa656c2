//! The content as it arrives in chunks (RFC 3030): counted octets, no dots, no end mark. No I/O.
//!
//! Line ends are treated as in [`data_stream`](super::data_stream): whatever looks like one becomes CRLF, wherever the
//! chunks are cut. So a message is the same by whichever command it came, and leaves us safely by DATA.

/// Decodes one message's content, fed in pieces of any size.
#[derive(Debug, Default)]
pub struct ChunkStream {
    place: LastOctet,
    /// A NUL was in the content (RFC 5322 4: never to be sent).
    pub nul: bool,
    /// A CR or LF stood alone.
    pub bare_newline: bool,
}

/// What the last octet was.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum LastOctet {
    /// A line end, or nothing yet.
    #[default]
    LineStart,
    /// A CR that has not been written.
    Cr,
    /// Anything else.
    Within,
}

impl ChunkStream {
    /// Appends the content of `input` to `out`, with CRLF line ends only.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let mut rest = input;
        while let Some(&octet) = rest.first() {
            if std::mem::take(&mut self.place) == LastOctet::Cr {
                out.extend_from_slice(b"\r\n");
                if octet == b'\n' {
                    rest = &rest[1..];
                    continue;
                }
                self.bare_newline = true;
            }
            let end = memchr::memchr3(b'\r', b'\n', 0, rest).unwrap_or(rest.len());
            out.extend_from_slice(&rest[..end]);
            match rest.get(end) {
                None => self.place = LastOctet::Within,
                Some(b'\r') => self.place = LastOctet::Cr,
                Some(b'\n') => {
                    self.bare_newline = true;
                    out.extend_from_slice(b"\r\n");
                }
                Some(_) => {
                    self.nul = true;
                    out.push(0);
                    self.place = LastOctet::Within;
                }
            }
            rest = rest.get(end + 1..).unwrap_or_default();
        }
    }

    /// The last chunk has ended: appends what was held back, and CRLF where the last line has none.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let place = std::mem::take(&mut self.place);
        self.bare_newline |= place == LastOctet::Cr;
        if place != LastOctet::LineStart {
            out.extend_from_slice(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::data_stream::{DataStream, StreamStatus};
    use super::*;

    /// Decodes in pieces: the content, NUL, bare newline.
    fn decode(input: &[u8], cuts: &[usize]) -> (Vec<u8>, bool, bool) {
        let (mut stream, mut out, mut rest) = (ChunkStream::default(), Vec::new(), input);
        for &cut in cuts.iter().cycle() {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            stream.feed(piece, &mut out);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        stream.finish(&mut out);
        (out, stream.nul, stream.bare_newline)
    }

    #[test]
    fn only_crlf_line_ends_come_out() {
        for (input, want, bare) in [
            (&b""[..], &b""[..], false),
            (b"a", b"a\r\n", false),
            (b"a\r\n", b"a\r\n", false),
            (b".\r\n", b".\r\n", false),
            (b"\r\n.\r\n..\r\n", b"\r\n.\r\n..\r\n", false),
            (b"a\nb", b"a\r\nb\r\n", true),
            (b"a\rb", b"a\r\nb\r\n", true),
            (b"a\r", b"a\r\n", true),
            (b"a\r\r\n", b"a\r\n\r\n", true),
            (b"\n\r", b"\r\n\r\n", true),
        ] {
            for piece in 1..=input.len().max(1) {
                assert_eq!(decode(input, &[piece]), (want.to_vec(), false, bare), "{input:?}");
            }
        }
        assert!(decode(b"a\0b", &[1]).1);
    }

    proptest! {
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
                let held = input.ends_with(b"\r") || input.ends_with(b"\n");
                wire.extend_from_slice(b"\r\n");
                // DATA has a line of its own between such an end and the dot; chunks have not.
                prop_assume!(!held);
            }
            wire.extend_from_slice(b".\r\n");
            let (mut stream, mut out) = (DataStream::default(), Vec::new());
            let status = stream.feed(&wire, &mut out);
            prop_assert_eq!(status, StreamStatus::End { consumed: wire.len() });
            prop_assert_eq!(decode(&input, &cuts), (out, stream.nul, stream.bare_newline));
        }
    }
}
