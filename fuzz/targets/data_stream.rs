//! Content: where it ends, what is stored of it, what an upstream gets.

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};

use mailsluice::config::{Config, LongLines};
use mailsluice::mail::{QueueId, header};
use mailsluice::memory::MemoryBudget;
use mailsluice::session::receive::{Arrival, Receiver};
use mailsluice::smtp::data_stream::{DataStream, StreamStatus};
use mailsluice::smtp::dot_stuffing::Encoder;
use mailsluice::smtp::line_ends::end_lines;
use mailsluice::smtp::long_lines::{LongLineFilter, fold_header, has_long_line};
use mailsluice::store::Upload;

use super::pieces;

/// Contents that are larger do not stay in memory, in octets.
const LARGE: usize = 40_000;

/// What follows a 354, and perhaps more behind its end.
pub(crate) fn data_stream(input: &[u8]) {
    let Some((&seed, wire)) = input.split_first() else {
        return;
    };
    let want = Decoded::by_the_book(wire);
    for pieces in pieces::ways(seed, wire) {
        assert_eq!(Decoded::by_us(&pieces), want);
    }
    let body = end_lines(&want.content).into_owned();
    check_long_lines(seed, &body);
    check_upstream(seed, &body);
    // Not only what came in: nothing that anybody hands to the encoder may end the message early.
    check_upstream(seed, wire);
    // What is larger goes to a file.
    if want.end.is_some() && body.len() < LARGE {
        check_session(seed, wire, &want);
    }
}

/// A content that was taken off the wire.
#[derive(Debug, PartialEq, Eq)]
struct Decoded {
    content: Vec<u8>,
    nul: bool,
    bare_newline: bool,
    /// How many octets belong to the content, when it has ended.
    end: Option<usize>,
}

impl Decoded {
    fn by_us(pieces: &[&[u8]]) -> Self {
        let (mut stream, mut content, mut used, mut end) = (DataStream::default(), Vec::new(), 0, None);
        // The last octets may wait for what follows; another line shows them.
        'all: for piece in pieces.iter().copied().chain([&b"x\r\n"[..]]) {
            let mut rest = piece;
            while !rest.is_empty() {
                let status = stream.feed(rest, &mut content);
                used += status.consumed();
                rest = &rest[status.consumed()..];
                if matches!(status, StreamStatus::End { .. }) {
                    end = Some(used);
                    break 'all;
                }
            }
        }
        Self { content, nul: stream.lines.nul, bare_newline: stream.lines.bare_newline, end }
    }

    /// As slowly and simply as it can be said: the first CRLF.CRLF ends it, one dot behind a CRLF goes, a LF with all CRs
    /// before it becomes CRLF, every other CR stays.
    fn by_the_book(wire: &[u8]) -> Self {
        let framed = [b"\r\n", wire].concat();
        let end = framed.windows(5).position(|five| five == b"\r\n.\r\n").map(|at| at + 3);
        let raw = end.map_or_else(|| [wire, b"x\r\n"].concat(), |end| wire[..end - 3].to_vec());
        let (mut content, mut at, mut start) = (Vec::new(), 0, true);
        let mut bare_newline = false;
        while let Some(&octet) = raw.get(at) {
            at += 1;
            match octet {
                b'.' if start => start = false,
                b'\r' | b'\n' => {
                    let crs = raw[at - 1..].iter().take_while(|&&b| b == b'\r').count();
                    let ended = raw.get(at - 1 + crs) == Some(&b'\n');
                    bare_newline |= crs != 1 || !ended;
                    if ended {
                        at += crs;
                        content.extend_from_slice(b"\r\n");
                    } else {
                        at += crs - 1;
                        content.extend(std::iter::repeat_n(b'\r', crs));
                    }
                    start = ended && crs > 0;
                }
                _ => {
                    content.push(octet);
                    start = false;
                }
            }
        }
        Self { nul: content.contains(&0), content, bare_newline, end }
    }
}

/// Long lines are broken, nothing else changes, and the way it was cut does not matter.
fn check_long_lines(seed: u8, content: &[u8]) {
    let [whole, others @ ..] = pieces::ways(seed, content).map(|pieces| {
        let (mut filter, mut out) = (LongLineFilter::new(LongLines::Wrap), Vec::new());
        for piece in pieces {
            filter.feed(piece, &mut out);
        }
        filter.finish(&mut out);
        (out, filter.found)
    });
    for other in others {
        assert!(other == whole, "long lines: the way it was cut matters");
    }
    let (out, found) = whole;
    let broken = line_breaks(content, &out).expect("octets were changed or lost");
    assert_eq!((found, has_long_line(content)), (broken > 0, broken > 0));
    assert!(!has_long_line(&out));
    let section = header::Fields::new(content).map(|field| field.raw()).collect::<Vec<_>>().concat();
    let folded = fold_header(&section);
    assert!(line_breaks(&section, &folded).is_some() && !has_long_line(&folded));
}

/// How many line ends were put into `content` to make it `out`: CRLF and a space anywhere, or CRLF before white space.
/// `None` when anything else has changed.
fn line_breaks(content: &[u8], out: &[u8]) -> Option<usize> {
    let same = content.iter().zip(out).take_while(|(before, after)| before == after).count();
    let (content, out) = (&content[same..], &out[same..]);
    if out.is_empty() {
        return content.is_empty().then_some(0);
    }
    let folded = || {
        let is_white = matches!(content.first(), Some(b' ' | b'\t'));
        line_breaks(content, out.strip_prefix(b"\r\n").filter(|_| is_white)?)
    };
    let wrapped = || line_breaks(content, out.strip_prefix(b"\r\n ")?);
    folded().or_else(wrapped).map(|breaks| breaks + 1)
}

/// On the way out it is one message for every reader, strict or lax, and the strict one gets it back.
fn check_upstream(seed: u8, content: &[u8]) {
    let [wire, others @ ..] = pieces::ways(seed, content).map(|pieces| {
        let (mut encoder, mut wire) = (Encoder::new(), Vec::new());
        for piece in pieces {
            encoder.encode(piece, &mut wire);
        }
        encoder.finish(&mut wire);
        wire
    });
    for other in others {
        assert!(other == wire, "encoder: the way it was cut matters");
    }
    let lax = wire.split(|b| b"\r\n".contains(b)).filter(|line| *line == b".").count();
    assert!(lax == 1 && wire.ends_with(b".\r\n"), "a lax reader sees {lax} ends");
    let read = Decoded::by_the_book(&wire);
    assert_eq!(read.end, Some(wire.len()));
    assert!(!read.bare_newline);
    if content.is_empty() || content.ends_with(b"\r\n") && !has_bare_newline(content) {
        let again = Decoded::by_us(&[&wire]);
        assert_eq!(again.content, content, "the content has changed on the way");
    }
}

/// Whether a CR or LF stands alone.
fn has_bare_newline(content: &[u8]) -> bool {
    let lone = |(at, &octet): (usize, &u8)| match octet {
        b'\r' => content.get(at + 1) != Some(&b'\n'),
        b'\n' => at == 0 || content[at - 1] != b'\r',
        _ => false,
    };
    content.iter().enumerate().any(lone)
}

/// A session stores the same message, however it arrived: our fields, the header section, an empty line, the body.
fn check_session(seed: u8, wire: &[u8], want: &Decoded) {
    let [whole, others @ ..] = pieces::ways(seed, wire).map(|pieces| receive(&pieces));
    for other in others {
        assert_eq!(other, whole, "session: the way it was cut matters");
    }
    let Ok(stored) = whole else {
        assert!(want.nul || header::scan(&header::to_fields(&want.content)).received > 100, "{whole:?}");
        return;
    };
    assert!(!want.nul && !has_bare_newline(&stored));
    assert!(stored.starts_with(b"Received: from ?"), "the client writes above our own field");
    let first = header::Fields::new(&stored).next().expect("our field");
    assert_eq!(first.raw().split_inclusive(|&b| b == b'\n').count(), 3, "our field has lines of others");
    let end = header::end(&stored).expect("an empty line behind the header section");
    let fields: usize = header::Fields::new(&stored[..end]).map(|f| f.raw().len()).sum();
    assert_eq!(fields + 2, end);
    assert!(header::Fields::new(&stored[..end]).all(|f| !f.name().is_empty()), "a line that is no field");
    let scan = header::scan(&stored[..end]);
    assert!(scan.has_date && scan.has_message_id && scan.received > 0);
}

/// Takes a content as a session does; what is stored, or the word for why not.
fn receive(pieces: &[&[u8]]) -> Result<Vec<u8>, &'static str> {
    let arrival = Arrival {
        queue_id: QueueId::new(1, 1),
        helo: "\r\nX-Evil: yes".into(),
        client: std::net::Ipv4Addr::LOCALHOST.into(),
        hostname: "relay.example".into(),
        protocol: "ESMTP",
        recipient: None,
        submitter: None,
        completion: None,
        date: jiff::Timestamp::UNIX_EPOCH,
    };
    // So much memory that nothing goes to a file: there is no waiting then.
    let memory = MemoryBudget::new(1 << 24);
    let upload = Upload::new(Path::new("/nonexistent"), &arrival.queue_id);
    let mut receiver = Receiver::new(arrival, &config().session, &memory, upload);
    for piece in pieces {
        if matches!(at_once(receiver.feed(piece)), StreamStatus::End { .. }) {
            break;
        }
    }
    match at_once(receiver.finish()) {
        Ok(taken) => Ok(taken.content.octets().expect("there is no folder for a file").to_vec()),
        Err(refusal) => Err(refusal.reason()),
    }
}

/// The result of something that has nothing to wait for.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => unreachable!("it waits for nothing"),
    }
}

/// The settings of an ordinary relay, read once.
fn config() -> &'static Config {
    static CONFIG: OnceLock<Config> = OnceLock::new();
    CONFIG.get_or_init(|| {
        let text = "[[upstream]]\nname = \"local\"\nkind = \"capture\"\n";
        Config::from_toml(text, Path::new("/nonexistent")).expect("a good configuration").config
    })
}
