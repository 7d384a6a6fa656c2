//! Whatever looks like the end of the content to somebody, and is not CRLF.CRLF: it stays one message, here and behind
//! us. And what is CRLF.CRLF ends it, whatever stands before. (Guards: `smtp::data_stream` and `smtp::line_ends` on the
//! way in, `smtp::dot_stuffing` on the way out.)

use mailsluice::config::Newlines;

use crate::client::Client;
use crate::path::{Path, Way};
use crate::world::World;
use tokio::io::{AsyncRead, AsyncWrite};

/// Octets that some server has taken for the end of a content, or may.
pub(crate) const ENDS: &[(&str, &[u8])] = &[
    ("LF.LF", b"\n.\n"),
    ("LF.CRLF", b"\n.\r\n"),
    ("CRLF.LF", b"\r\n.\n"),
    ("CR.CR", b"\r.\r"),
    ("CR.LF", b"\r.\n"),
    ("CR.CRLF", b"\r.\r\n"),
    ("LF.CR", b"\n.\r"),
    ("CRLF.CR", b"\r\n.\r"),
    ("CRLF.CRCRLF", b"\r\n.\r\r\n"),
    ("CRCRLF.CRCRLF", b"\r\r\n.\r\r\n"),
    ("CRLF.CRCRCRLF", b"\r\n.\r\r\r\n"),
    ("CRLF.CRCR", b"\r\n.\r\r"),
    ("CRCRLF.CR", b"\r\r\n.\r"),
    ("CRCRLF.LF", b"\r\r\n.\n"),
    ("CRCRLF.CRCR", b"\r\r\n.\r\r"),
    ("CRCRLF..CRLF", b"\r\r\n..\r\n"),
    ("CRCRLF..CRCRLF", b"\r\r\n..\r\r\n"),
    ("CRCR.CRLF", b"\r\r.\r\n"),
    ("CRCR.CRCRLF", b"\r\r.\r\r\n"),
    ("LF.CRCRLF", b"\n.\r\r\n"),
    ("CR.CRCRLF", b"\r.\r\r\n"),
    ("LFCR.LFCR", b"\n\r.\n\r"),
    ("CRLF.LFCR", b"\r\n.\n\r"),
    ("LFLF.LFLF", b"\n\n.\n\n"),
    ("CRLF space.CRLF", b"\r\n .\r\n"),
    ("CRLF.space CRLF", b"\r\n. \r\n"),
    ("CRLF.tab CRLF", b"\r\n.\t\r\n"),
    ("CRLF..CRLF", b"\r\n..\r\n"),
    ("CRLF VT.CRLF", b"\r\n\x0b.\r\n"),
    ("FF.FF", b"\x0c.\x0c"),
    ("NEL.NEL", b"\xc2\x85.\xc2\x85"),
    ("LS.LS", b"\xe2\x80\xa8.\xe2\x80\xa8"),
    ("CRLF ZWSP.CRLF", b"\r\n\xe2\x80\x8b.\r\n"),
    ("8-bit LF", b"\x8a.\x8a"),
];

/// What ends the content, though another line end than CRLF stands before.
pub(crate) const REAL_ENDS: &[(&str, &[u8])] = &[
    ("CRLF.CRLF", b"\r\n.\r\n"),
    ("CRCRLF.CRLF", b"\r\r\n.\r\n"),
    ("CRCRCRLF.CRLF", b"\r\r\r\n.\r\n"),
    ("CRLFCRCRLF.CRLF", b"\r\n\r\r\n.\r\n"),
    ("LFCRLF.CRLF", b"\n\r\n.\r\n"),
    ("CRLF.CRCRLF.CRLF", b"\r\n.\r\r\n.\r\n"),
];

/// Lookalikes with a NUL, which no content may hold.
pub(crate) const WITH_NUL: &[(&str, &[u8])] = &[
    ("CRLF NUL.CRLF", b"\r\n\0.\r\n"),
    ("CRLF.NUL CRLF", b"\r\n.\0\r\n"),
    ("CRLF.CR NUL LF", b"\r\n.\r\0\n"),
    ("CR NUL LF.CRLF", b"\r\0\n.\r\n"),
    ("LF.NUL LF", b"\n.\0\n"),
    ("NUL LF.LF", b"\0\n.\n"),
];

pub(crate) const HEAD: &[u8] = b"Subject: harmless\r\nDate: x\r\nMessage-ID: <x@x>\r\n\r\nhello";
/// What would follow if the content had ended.
pub(crate) const EVIL: &[u8] = b"MAIL FROM:<evil@evil.example>\r\nRCPT TO:<victim@dest.example>\r\nDATA\r\n\
    Subject: smuggled\r\n\r\nevil\r\n.\r\n";
const OPENING: &[u8] =
    b"EHLO client.example\r\nMAIL FROM:<sender@firm.example>\r\nRCPT TO:<friend@dest.example>\r\nDATA\r\n";

fn content(end: &[u8]) -> Vec<u8> {
    [HEAD, end, EVIL].concat()
}

/// One line per line of a body: a LF ends it with all CRs before it, any other CR does so by itself.
pub(crate) fn lines(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(&first) = rest.first() {
        let crs = rest.iter().take_while(|&&b| b == b'\r').count();
        let used = if rest.get(crs) == Some(&b'\n') { crs + 1 } else { 1 };
        out.extend_from_slice(if b"\r\n".contains(&first) { b"\r\n" } else { &rest[..1] });
        rest = &rest[used..];
    }
    out
}

/// What is stored of a content by DATA: a dot was put before the lines that begin with one behind a CRLF.
fn normal(content: &[u8]) -> Vec<u8> {
    let text = content.strip_suffix(b".\r\n").unwrap();
    let mut plain = Vec::new();
    for (at, &octet) in text.iter().enumerate() {
        if octet != b'.' || !text[..at].ends_with(b"\r\n") {
            plain.push(octet);
        }
    }
    lines(&plain)
}

/// One session: the opening, the content in pieces, QUIT. The codes after the 354.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(mut client: Client<S>, pieces: Vec<&[u8]>) -> Vec<u16> {
    client.ask(OPENING, 354).await;
    client.send_pieces(pieces).await;
    client.send(b"QUIT\r\n").await;
    client.codes().await
}

/// In one piece, octet by octet, and in two at each octet of what looks like an end.
fn cuts(content: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let length = content.len() - HEAD.len() - EVIL.len();
    let mut ways = vec![vec![content.to_vec()], content.chunks(1).map(<[u8]>::to_vec).collect()];
    let middle = HEAD.len()..=HEAD.len() + length + 1;
    ways.extend(middle.map(|at| vec![content[..at].to_vec(), content[at..].to_vec()]));
    ways
}

/// All of them by every way in: in clear text, after STARTTLS and with TLS from the first octet, logged in and not; in
/// one segment, octet by octet, and cut in two at each octet of what looks like an end.
#[tokio::test(start_paused = true)]
async fn a_lax_upstream_gets_one_message() {
    let path = Path::lax().await;
    let mut sessions = 0;
    for way in Way::ALL {
        for (name, end) in ENDS {
            for pieces in cuts(&content(end)) {
                let client = path.connect_by(way).await;
                let count = pieces.len();
                let pieces = pieces.iter().map(Vec::as_slice).collect();
                assert_eq!(talk(client, pieces).await, [250, 221], "{way:?} {name} in {count} pieces");
                sessions += 1;
            }
        }
    }
    let sent = path.sent().await;
    assert_eq!(sent.len(), sessions);
    for seen in &sent {
        assert_eq!(seen.reverse_path, "sender@firm.example");
        assert_eq!(seen.recipients, ["friend@dest.example"]);
        let text = String::from_utf8_lossy(&seen.content);
        for part in ["MAIL FROM:<evil@evil.example>", "Subject: smuggled", "evil"] {
            assert!(text.contains(part), "{part:?} is missing in {text:?}");
        }
    }
    for command in path.upstream.commands() {
        assert!(!command.contains("evil") && !command.contains("victim"), "it ran {command:?}");
    }
    assert_eq!(path.upstream.commands_of("MAIL").len(), sessions);
}

/// Cut in two at every octet of the whole content: the same message is stored, octet for octet.
#[tokio::test(start_paused = true)]
async fn a_cut_anywhere_changes_nothing() {
    for (name, end) in ENDS {
        let content = content(end);
        let want = normal(&content);
        for at in 0..content.len() {
            let (first, second) = content.split_at(at);
            let mut running = World::new().connect().await;
            let client = std::mem::replace(&mut running.client, tokio::io::duplex(1).0);
            assert_eq!(
                talk(Client::new(client), vec![first, second]).await,
                [250, 221],
                "{name} cut at {at}"
            );
            let messages = running.store.messages.lock().unwrap().clone();
            assert_eq!(messages.len(), 1, "{name} cut at {at}");
            let stored = running.content(&messages[0]);
            let start = memchr::memmem::find(&stored, b"Subject: harmless").unwrap();
            assert_eq!(
                stored[start..].escape_ascii().to_string(),
                want.escape_ascii().to_string(),
                "{name} cut at {at}"
            );
        }
    }
}

/// With a NUL the message is refused, once, at its real end; nothing of it runs.
#[tokio::test(start_paused = true)]
async fn a_nul_is_refused_at_the_real_end() {
    for (name, end) in WITH_NUL {
        let content = content(end);
        for at in 0..content.len() {
            let mut running = World::new().connect().await;
            let client = std::mem::replace(&mut running.client, tokio::io::duplex(1).0);
            let (first, second) = content.split_at(at);
            assert_eq!(
                talk(Client::new(client), vec![first, second]).await,
                [554, 221],
                "{name} cut at {at}"
            );
            assert!(running.store.messages.lock().unwrap().is_empty());
        }
    }
}

/// Where a bare line end is refused, it is refused at the real end, too.
#[tokio::test(start_paused = true)]
async fn a_bare_line_end_is_refused_at_the_real_end() {
    for (name, end) in ENDS {
        let content = content(end);
        let mut world = World::new();
        world.config.session.bare_newline = Newlines::Reject;
        let mut running = world.connect().await;
        let client = std::mem::replace(&mut running.client, tokio::io::duplex(1).0);
        let bare = {
            let text = String::from_utf8_lossy(end).replace("\r\n", "");
            text.contains(['\r', '\n'])
        };
        let want = if bare { [554, 221] } else { [250, 221] };
        assert_eq!(talk(Client::new(client), content.chunks(1).collect()).await, want, "{name}");
        assert_eq!(running.store.messages.lock().unwrap().is_empty(), bare);
    }
}

/// CRs before the line end hide no end: the content is what stands before, and the rest runs, in pieces however they
/// are cut. Where such a line end is refused, it is the one message that is.
#[tokio::test(start_paused = true)]
async fn a_real_end_ends_it_whatever_stands_before() {
    for (name, end) in REAL_ENDS {
        for pieces in cuts(&content(end)) {
            let (codes, stored) = session(Newlines::Normalize, &pieces).await;
            assert_eq!(codes, [250, 250, 250, 354, 250, 221], "{name}");
            assert_eq!(stored, [false, true], "{name}");
            let (codes, stored) = session(Newlines::Reject, &pieces).await;
            if lines(end) == *end {
                assert_eq!((codes[0], stored.len()), (250, 2), "{name}");
            } else {
                assert_eq!(codes, [554, 250, 250, 354, 250, 221], "{name}");
                assert_eq!(stored, [true], "{name}");
            }
        }
    }
}

/// The codes after the 354, and whether each message that is stored is the smuggled one.
async fn session(newlines: Newlines, pieces: &[Vec<u8>]) -> (Vec<u16>, Vec<bool>) {
    let mut world = World::new();
    world.config.session.bare_newline = newlines;
    let mut running = world.connect().await;
    let client = std::mem::replace(&mut running.client, tokio::io::duplex(1).0);
    let codes = talk(Client::new(client), pieces.iter().map(Vec::as_slice).collect()).await;
    let messages = running.store.messages.lock().unwrap().clone();
    let is_evil = |content: Vec<u8>| memchr::memmem::find(&content, b"smuggled").is_some();
    (codes, messages.iter().map(|message| is_evil(running.content(message))).collect())
}
