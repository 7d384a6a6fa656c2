//! Content in chunks: however it is cut, it is the same, loses nothing, and has only line ends that every server knows.

use mailsluice::smtp::data_stream::{DataStream, StreamStatus};
use mailsluice::smtp::dot_stuffing::Encoder;
use mailsluice::smtp::line_ends::{LineEnds, end_lines};

use super::pieces;

/// The octets of all chunks of a message.
pub(crate) fn bdat(input: &[u8]) {
    let Some((&seed, octets)) = input.split_first() else {
        return;
    };
    let mut first = None;
    for pieces in pieces::ways(seed, octets) {
        let got = decode(&pieces);
        assert_eq!(first.get_or_insert_with(|| got.clone()), &got, "the cuts change the content");
    }
    let (content, nul, bare_newline) = first.expect("there are ways to cut");
    assert_eq!(nul, octets.contains(&0));
    let text = |octets: &[u8]| octets.iter().copied().filter(|b| !b"\r\n".contains(b)).collect::<Vec<u8>>();
    assert_eq!(text(&content), text(octets), "an octet is lost");
    assert!(content.is_empty() || content.ends_with(b"\r\n"), "the last line has no end");
    let content = end_lines(&content).into_owned();
    let (cr, lf) = (count(&content, b"\r"), count(&content, b"\n"));
    assert_eq!((cr, lf), (count(&content, b"\r\n"), count(&content, b"\r\n")), "a line end alone");
    // By DATA it would have been the same message.
    let mut wire = Vec::new();
    let mut encoder = Encoder::new();
    encoder.encode(&content, &mut wire);
    encoder.finish(&mut wire);
    let (mut by_data, mut stream) = (Vec::new(), DataStream::default());
    assert_eq!(stream.feed(&wire, &mut by_data), StreamStatus::End { consumed: wire.len() });
    assert_eq!(by_data, content);
    let pairs = count(octets, b"\r\n");
    assert_eq!(bare_newline, count(octets, b"\r") + count(octets, b"\n") > 2 * pairs);
}

fn decode(pieces: &[&[u8]]) -> (Vec<u8>, bool, bool) {
    let (mut lines, mut out) = (LineEnds::default(), Vec::new());
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            rest = &rest[lines.feed(rest, &mut out)..];
        }
    }
    lines.finish(&mut out);
    (out, lines.nul, lines.bare_newline)
}

fn count(octets: &[u8], what: &[u8]) -> usize {
    octets.windows(what.len()).filter(|window| *window == what).count()
}
