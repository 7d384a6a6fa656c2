//! Content that comes behind a refused DATA, or is too large: it never runs as commands. (Guards: `announces_content` in
//! `session::driver`, the receiver that reads a refused content to its end.)

use mailsluice::config::ByteSize;

use crate::client::Client;
use crate::path::{Path, Way};
use crate::world::{Running, World};

/// What would run if content were taken for commands.
const EVIL: &str = "EHLO evil.example\r\nMAIL FROM:<evil@evil.example>\r\nRCPT TO:<victim@dest.example>\r\n\
    DATA\r\nSubject: evil\r\n\r\nevil\r\n.\r\nQUIT\r\n";

fn client(running: &mut Running) -> Client<tokio::io::DuplexStream> {
    Client::new(std::mem::replace(&mut running.client, tokio::io::duplex(1).0))
}

fn queued(running: &Running) -> usize {
    running.store.messages.lock().unwrap().len()
}

/// Each way in which a command that announces content is refused, all in one segment with the content behind it, and
/// cut at every octet up to the end of that command.
#[tokio::test(start_paused = true)]
async fn pipelined_content_never_runs() {
    for (opening, want) in [
        ("DATA\r\n", &[220, 503][..]),
        ("data\r\n", &[220, 503]),
        (" DATA\r\n", &[220, 503]),
        ("\tDATA \r\n", &[220, 503]),
        ("DATA\n", &[220, 503]),
        ("DATA now\r\n", &[220, 501]),
        ("DATA\0\r\n", &[220, 501]),
        ("DATA\r\r\n", &[220, 501]),
        ("DATA\x1b\r\n", &[220, 501]),
        ("DATA\u{fe}\r\n", &[220, 500]),
        ("DATAX\r\n", &[220, 500]),
        ("BDAT 999\r\n", &[220, 503]),
        ("BDAT 999 LAST\r\n", &[220, 503]),
        ("BDAT -1\r\n", &[220, 501]),
        ("EHLO x\r\nDATA\r\n", &[220, 250, 503]),
        ("EHLO x\r\nMAIL FROM:<a@b>\r\nDATA\r\n", &[220, 250, 250, 503]),
        ("EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d@e>\r\nDATA\r\n", &[220, 250, 250, 501, 503]),
        ("EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<bad@dest.example>\r\nDATA\r\n", &[220, 250, 250, 550, 554]),
        ("EHLO x\r\nMAIL FROM:<a@b> SIZE=99999999\r\nRCPT TO:<c@d>\r\nDATA\r\n", &[220, 250, 552, 503, 503]),
        ("EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRSET\r\nDATA\r\n", &[220, 250, 250, 250, 250, 503]),
        ("EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA 1\r\n", &[220, 250, 250, 250, 501]),
    ] {
        for at in 0..opening.len() {
            if !opening.is_char_boundary(at) {
                continue;
            }
            let mut world = World::new();
            world.store.blacklist.push(listed("bad@dest.example"));
            let mut running = world.connect().await;
            let mut client = client(&mut running);
            let all = format!("{opening}{EVIL}");
            let (first, second) = all.as_bytes().split_at(at);
            client.send_pieces([first, second]).await;
            assert_eq!(client.codes().await, want, "{opening:?} cut at {at}");
            assert_eq!(queued(&running), 0, "{opening:?} cut at {at}");
        }
    }
}

/// The same by every way in, where each piece is a TLS record of its own but comes with the others.
#[tokio::test(start_paused = true)]
async fn pipelined_content_never_runs_by_any_way() {
    let path = Path::lax().await;
    for way in Way::ALL {
        for (opening, want) in [
            ("DATA\r\n", &[503][..]),
            ("DATA now\r\n", &[501]),
            ("MAIL FROM:<a@b>\r\nDATA\r\n", &[250, 503]),
            ("MAIL FROM:<a@b>\r\nRCPT TO:<c@d@e>\r\nDATA\r\n", &[250, 501, 503]),
            ("AUTH CRAM-MD5\r\nDATA\r\n", if way.login { &[503, 503] } else { &[504, 503] }),
        ] {
            let mut client = path.connect_by(way).await;
            client.send(opening.as_bytes()).await;
            client.send(EVIL.as_bytes()).await;
            assert_eq!(client.codes().await, want, "{way:?} {opening:?}");
        }
    }
    assert!(path.sent().await.is_empty() && path.upstream.commands().is_empty());
}

/// The same in TCP segments of its own would be another story: the client had read the reply. It must still be able to
/// go on.
#[tokio::test(start_paused = true)]
async fn who_waits_for_the_reply_goes_on() {
    let mut running = World::new().connect().await;
    let mut client = client(&mut running);
    client.ask(b"EHLO x\r\n", 250).await;
    client.ask(b"DATA\r\n", 503).await;
    client.ask(b"MAIL FROM:<a@b>\r\n", 250).await;
    client.ask(b"RCPT TO:<c@d>\r\n", 250).await;
    client.ask(b"DATA\r\n", 354).await;
    client.ask(b"hello\r\n.\r\n", 250).await;
    assert_eq!(queued(&running), 1);
}

/// One 552 at the real end; the rest is thrown away, from memory and from files, however it is cut.
#[tokio::test(start_paused = true)]
async fn an_oversized_content_is_answered_once() {
    let opening = b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n";
    for (memory, padding, piece) in
        [(1 << 20, 200, 1), (1 << 20, 200, 7), (0, 200, 64), (1 << 20, 300_000, 30_000), (0, 300_000, 999)]
    {
        for line_ends in ["\r\n", "\n", "\r"] {
            let mut world = World::new();
            world.memory = memory;
            world.config.session.max_message_size = ByteSize(padding as u64);
            let mut running = world.connect().await;
            let mut client = client(&mut running);
            client.ask(opening, 354).await;
            let stuffed = EVIL.replace("\r\n.\r\n", "\n.\n").replace("\r\n", line_ends);
            let content = format!("Subject: x\r\n\r\n{}\r\n{stuffed}\r\n.\r\n", "x".repeat(padding));
            client.send_pieces(content.as_bytes().chunks(piece)).await;
            client.send(b"NOOP\r\nQUIT\r\n").await;
            assert_eq!(client.codes().await, [552, 250, 221], "{memory} {padding} {piece} {line_ends:?}");
            assert_eq!((queued(&running), running.files().len()), (0, 0));
            assert_eq!(running.memory.available(), memory);
        }
    }
}

fn listed(pattern: &str) -> mailsluice::store::BlacklistEntry {
    mailsluice::store::BlacklistEntry {
        pattern: pattern.into(),
        reason: "it bounced".into(),
        source: mailsluice::store::BlacklistSource::Manual,
        added: 0,
        expires: None,
    }
}
