//! Odd but legal mail, which is not hostile at all: what protects against the others must not harm it. The header section
//! that leaves us is the one that came. (Guards: `mail::header::section`, `session::head`, `smtp::long_lines`.)

use mailsluice::mail::header::{self, Fields};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use tokio::io::DuplexStream;

use crate::client::Client;
use crate::path::Path;
use crate::support::upstream::Script;

const CASES: usize = 300;

/// Fields as RFC 5322 has them, its obsolete forms included, and as mail really has them. `~` stands for 980 octets.
const FIELDS: &[&[u8]] = &[
    b"Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n =?utf-8?B?w7w=?=\r\n",
    b"Subject:\r\n",
    b"SUBJECT : white space before the colon\r\n",
    b"To: a@b.example (comment (nested \\) ) ), \"q \\\", <x>\" <c@d.example>\r\n",
    b"To: A Group:a@b.example,c@d.example;, Undisclosed:;\r\n",
    b"To:,, <@r.example,@s.example:a@b.example>,\r\n",
    b"to: \"From me\" <\"odd name\"@b.example>, x@[192.0.2.1]\r\n",
    b"Cc: one@b.example,two@b.example,\r\n\tthree@b.example\r\n",
    b"Reply-To\t: joe . doe @ b . example\r\n",
    b"X-On-The-Next-Line:\r\n\tvalue\r\n",
    b"X-White: a\r\n \t\r\n b \t\r\n",
    b"X-Nothing-But-White:   \r\n",
    b"!#$%&'*+-./^_`{|}~9: a name of all that a name may have\r\n",
    b"9: 9\r\n",
    b">From: a name that begins so\r\n",
    b".Dot: a name that begins with a dot\r\n ..\r\n .\r\n",
    b"X-Continued: a\r\n From here\r\n\t: b\r\n Bcc: c\r\n",
    b"X-Colons::: :\r\n",
    b"Received: from x (y [192.0.2.1]) by z with SMTP id 1;\r\n\tThu, 26 Nov 98 02:00 GMT\r\n",
    b"Date: 26 Nov 98 02:00 EST\r\n",
    b"Message-ID: <\"a b\"@[192.0.2.1]>\r\n",
    b"References: <a@b>\t<c@d>\r\n  <e@f>\r\n",
    b"Keywords: one,\r\n two\r\nKeywords: three\r\n",
    b"Resent-Date: Thu, 26 Nov 2026 02:00:00 -0000\r\nResent-From: a@b.example\r\nResent-To: c@d.example\r\n",
    b"X-Long: ~\r\n ~\r\n",
    b"X-Utf8: Gr\xc3\xbc\xc3\x9fe \xe6\x97\xa5\xe6\x9c\xac\r\n",
    b"X-Latin-1: Gr\xfc\xdfe\r\n",
    b"X-Control: \x01\x0b\x0c\x7f\r\n",
    b"Content-Type: multipart/mixed;\r\n\tboundary=\"a\r\n b\"\r\n",
    b"DKIM-Signature: v=1; a=rsa-sha256; d=b.example;\r\n\tb=\r\n",
    b"X-Mailbox-Line: From a@b Thu Nov 26 02:00:00 2026\r\n",
    b"X-Mailsluice-Unreadable: \xc3\xa9: x\r\n",
];
/// Fields that go.
const REMOVED: &[&[u8]] = &[
    b"Bcc: secret@b.example\r\n",
    b"BCC :\r\n\tsecret@b.example,\r\n secret@c.example\r\n",
    b"Resent-Bcc: secret@b.example\r\n",
    b"Return-Path: <secret@b.example>\r\n",
];
const BODIES: &[&[u8]] = &[
    b"",
    b"text\r\n",
    b"\r\n\r\ntext\r\n\r\n",
    b"From here\r\n.\r\n..\r\nBcc: body@b.example\r\n",
    b": \r\n \r\n\xef\xbb\xbf\r\n",
];

/// How a client writes what it has.
#[derive(Debug, Clone, Copy)]
struct Habit {
    line_end: &'static [u8],
    chunks: bool,
    /// Octets in a chunk, or in a segment.
    piece: usize,
}

fn habits() -> impl Strategy<Value = Habit> {
    let line_ends = prop::sample::select(vec![&b"\r\n"[..], b"\n", b"\r\r\n", b"\r\r\r\r\n"]);
    (line_ends, any::<bool>(), prop::sample::select(vec![1, 7, 100, usize::MAX]))
        .prop_map(|(line_end, chunks, piece)| Habit { line_end, chunks, piece })
}

/// Replaces `~`, which no name has but the one of all octets.
fn spelled(field: &[u8]) -> Vec<u8> {
    let is_long = field.starts_with(b"X-Long");
    field.iter().flat_map(|&b| if is_long && b == b'~' { vec![b'x'; 980] } else { vec![b] }).collect()
}

fn with_line_ends(content: &[u8], line_end: &[u8]) -> Vec<u8> {
    let lines = content.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.collect::<Vec<_>>().join(line_end)
}

async fn hand_in(client: &mut Client<DuplexStream>, content: &[u8], habit: Habit) {
    let content = with_line_ends(content, habit.line_end);
    client.ask(b"MAIL FROM:<a@firm.example> BODY=8BITMIME\r\n", 250).await;
    client.ask(b"RCPT TO:<b@dest.example>\r\n", 250).await;
    let piece = habit.piece.min(content.len());
    if habit.chunks {
        for chunk in content.chunks(piece.max(content.len() / 50)) {
            client.ask(&[format!("BDAT {}\r\n", chunk.len()).as_bytes(), chunk].concat(), 250).await;
        }
        client.ask(b"BDAT 0 LAST\r\n", 250).await;
        return;
    }
    client.ask(b"DATA\r\n", 354).await;
    let mut wire = stuff(&content);
    if !wire.ends_with(b"\r\n") {
        // Only CRLF.CRLF is an end.
        wire.pop();
        wire.extend_from_slice(b"\r\n");
    }
    for segment in wire.chunks(piece) {
        client.send(segment).await;
    }
    client.ask(b".\r\n", 250).await;
}

/// A second dot before each that stands behind a CRLF.
fn stuff(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, &octet) in content.iter().enumerate() {
        if octet == b'.' && content[..at].ends_with(b"\r\n") {
            out.push(b'.');
        }
        out.push(octet);
    }
    out
}

#[tokio::test(start_paused = true)]
async fn the_header_section_that_leaves_is_the_one_that_came() {
    let mut runner = TestRunner::deterministic();
    let part = prop_oneof![
        5 => prop::sample::select(FIELDS).prop_map(|field| (spelled(field), true)),
        1 => prop::sample::select(REMOVED).prop_map(|field| (field.to_vec(), false)),
    ];
    let cases = (prop::collection::vec(part, 0..12), prop::sample::select(BODIES), habits());
    let path = Path::to(Script::default()).await;
    let mut client = path.connect();
    client.ask(b"EHLO x\r\n", 250).await;
    let mut wanted = Vec::new();
    for number in 0..CASES {
        let (fields, body, habit) = cases.new_tree(&mut runner).unwrap().current();
        let first = format!("X-Number: {number}\r\n").into_bytes();
        let all =
            |kept: bool| fields.iter().filter(move |(_, stays)| kept <= *stays).map(|(field, _)| &field[..]);
        let content =
            |kept: bool| [&first[..], &all(kept).collect::<Vec<_>>().concat(), b"\r\n", body].concat();
        hand_in(&mut client, &content(false), habit).await;
        wanted.push((content(true), habit));
    }
    let sent = path.sent().await;
    assert_eq!(sent.len(), CASES);
    for (number, (want, habit)) in wanted.iter().enumerate() {
        let mark = format!("X-Number: {number}\r\n");
        let ours = |content: &[u8]| memchr::memmem::find(content, mark.as_bytes());
        let (got, start) = sent.iter().find_map(|seen| Some((&seen.content, ours(&seen.content)?))).unwrap();
        let names: Vec<_> =
            Fields::new(&got[..start]).map(|field| field.name().to_ascii_lowercase()).collect();
        let added = |name: &str| header::Header::parse(want).get(name).is_none();
        let mut expected = vec![b"received".to_vec()];
        expected.extend(
            ["date", "message-id"].iter().filter(|name| added(name)).map(|name| name.as_bytes().to_vec()),
        );
        assert_eq!(names, expected, "{habit:?}");
        assert_eq!(got[start..].escape_ascii().to_string(), want.escape_ascii().to_string(), "{habit:?}");
    }
}
