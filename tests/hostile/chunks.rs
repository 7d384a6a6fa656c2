//! Content in chunks that looks like ends, commands and chunks: it is counted, and stays content. (Guards:
//! `smtp::line_ends` on the way in, `session::driver::chunks` for chunks in the wrong place, `smtp::dot_stuffing` on the way
//! out.)

use std::time::Duration;

use mailsluice::config::ByteSize;

use crate::client::Client;
use crate::path::{Path, Way};
use crate::smuggling::{ENDS, EVIL, HEAD, REAL_ENDS, WITH_NUL, lines};
use crate::world::World;

const OPENING: &[u8] = b"MAIL FROM:<sender@firm.example>\r\nRCPT TO:<friend@dest.example>\r\n";

fn bdat(octets: &[u8], last: bool) -> Vec<u8> {
    let command = format!("BDAT {}{}\r\n", octets.len(), if last { " LAST" } else { "" });
    [command.as_bytes(), octets].concat()
}

/// What looks like an end stays content, in one chunk, and with the chunks cut at each octet of it.
#[tokio::test(start_paused = true)]
async fn a_lax_upstream_gets_one_message() {
    let path = Path::lax().await;
    let mut messages = 0;
    for way in Way::ALL {
        for (name, end) in ENDS.iter().chain(REAL_ENDS) {
            let content = [HEAD, end, EVIL].concat();
            let mut client = path.connect_by(way).await;
            for at in HEAD.len()..=HEAD.len() + end.len() {
                let (first, second) = content.split_at(at);
                client.ask(OPENING, 250).await;
                client.ask(b"", 250).await;
                client.ask(&[bdat(first, false), bdat(second, true)].concat(), 250).await;
                let reply = client.reply().await;
                assert!(reply.starts_with("250 2.0.0 queued as "), "{way:?} {name} cut at {at}: {reply}");
                messages += 1;
            }
            client.send(b"QUIT\r\n").await;
            assert_eq!(client.codes().await, [221], "{way:?} {name}");
        }
    }
    let sent = path.sent().await;
    assert_eq!(sent.len(), messages);
    for seen in &sent {
        assert_eq!(seen.recipients, ["friend@dest.example"]);
        let text = String::from_utf8_lossy(&seen.content);
        assert!(text.contains("MAIL FROM:<evil@evil.example>") && text.contains("smuggled"), "{text:?}");
    }
    assert_eq!(path.upstream.commands_of("MAIL").len(), messages);
    assert!(!path.upstream.commands().iter().any(|c| c.contains("evil") || c.contains("victim")));
}

/// Chunks of one octet give the same message as one chunk.
#[tokio::test(start_paused = true)]
async fn chunks_of_one_octet_change_nothing() {
    for (name, end) in ENDS.iter().chain(REAL_ENDS) {
        let content = [HEAD, end, b"tail"].concat();
        let mut stored = Vec::new();
        for size in [content.len(), 1] {
            let mut running = World::new().connect().await;
            let mut client = Client::new(std::mem::replace(&mut running.client, tokio::io::duplex(1).0));
            client.ask(b"EHLO x\r\n", 220).await;
            client.ask(OPENING, 250).await;
            client
                .send_pieces(
                    content
                        .chunks(size)
                        .map(|octets| bdat(octets, false))
                        .collect::<Vec<_>>()
                        .iter()
                        .map(Vec::as_slice),
                )
                .await;
            client.send(b"BDAT 0 LAST\r\nQUIT\r\n").await;
            assert!(client.codes().await.iter().all(|code| matches!(code, 221 | 250)), "{name}");
            let message = running.store.messages.lock().unwrap()[0].clone();
            let octets = running.content(&message);
            let start = memchr::memmem::find(&octets, b"Subject: harmless").unwrap();
            stored.push(octets[start..].escape_ascii().to_string());
        }
        assert_eq!(stored[0], stored[1], "{name}");
        assert_eq!(stored[0], lines(&[&content[..], b"\r\n"].concat()).escape_ascii().to_string(), "{name}");
    }
}

/// A NUL is refused; what follows runs as what it is.
#[tokio::test(start_paused = true)]
async fn a_nul_is_refused() {
    for (name, end) in WITH_NUL {
        let mut running = World::new().connect().await;
        let mut client = Client::new(std::mem::replace(&mut running.client, tokio::io::duplex(1).0));
        client.ask(b"EHLO x\r\n", 220).await;
        client.ask(OPENING, 250).await;
        let all = [&bdat(&[HEAD, end, EVIL].concat(), true)[..], b"NOOP\r\nQUIT\r\n"].concat();
        client.send(&all).await;
        assert_eq!(client.codes().await, [250, 250, 554, 250, 221], "{name}");
        assert!(running.store.messages.lock().unwrap().is_empty());
    }
}

/// Chunks that are refused are never read as commands: their octets are counted and thrown away, or the session ends.
#[tokio::test(start_paused = true)]
async fn refused_chunks_never_run() {
    let evil = std::str::from_utf8(EVIL).unwrap();
    let count = evil.len();
    for (lines, want) in [
        // Out of order, and the octets are there already.
        (format!("BDAT {count} LAST\r\n{evil}QUIT\r\n"), &[503][..]),
        (format!("BDAT {count}\r\n{evil}QUIT\r\n"), &[503]),
        (format!("MAIL FROM:<a@b>\r\nBDAT {count} LAST\r\n{evil}QUIT\r\n"), &[250, 503]),
        (
            format!("MAIL FROM:<a@b>\r\nRCPT TO:<c@d@e>\r\nBDAT {count} LAST\r\n{evil}QUIT\r\n"),
            &[250, 501, 503],
        ),
        // How much follows is not known.
        (format!("BDAT\r\n{evil}"), &[501]),
        (format!("BDAT x\r\n{evil}"), &[501]),
        (format!("BDAT -1\r\n{evil}"), &[501]),
        (format!("BDAT {count} FIRST\r\n{evil}"), &[501]),
        (format!("BDAT {count}\u{b}LAST\r\n{evil}"), &[501]),
        (format!("BDAT 0x10\r\n{evil}"), &[501]),
        (format!("BDAT {count}LAST\r\n{evil}"), &[501]),
        (format!("BDAT 000000000000000000001\r\n{evil}"), &[501]),
        (format!("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT x LAST\r\n{evil}"), &[250, 250, 501]),
        // So much that nobody waits for it.
        (format!("BDAT 18446744073709551615\r\n{evil}"), &[503]),
        (format!("BDAT 99999999999999999999 LAST\r\n{evil}"), &[503]),
        // DATA among chunks.
        (format!("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 3\r\nabcDATA\r\n{evil}"), &[250, 250, 250, 503]),
    ] {
        let mut running = World::new().connect().await;
        let mut client = Client::new(std::mem::replace(&mut running.client, tokio::io::duplex(1).0));
        client.ask(b"EHLO x\r\n", 220).await;
        client.ask(b"", 250).await;
        client.send(lines.as_bytes()).await;
        assert_eq!(client.codes().await, want, "{lines:?}");
        assert!(running.store.messages.lock().unwrap().is_empty(), "{lines:?}");
    }
}

/// The octets of a chunk out of order come later, cut anywhere: they are counted, and thrown away.
#[tokio::test(start_paused = true)]
async fn refused_chunks_that_come_later_never_run() {
    for (opening, want) in [
        ("", &[503, 250, 221][..]),
        ("MAIL FROM:<a@b>\r\n", &[250, 503, 250, 221]),
        ("MAIL FROM:<a@b>\r\nRCPT TO:<c@d@e>\r\n", &[250, 501, 503, 250, 221]),
    ] {
        for at in 0..=EVIL.len() {
            let mut running = World::new().connect().await;
            let mut client = Client::new(std::mem::replace(&mut running.client, tokio::io::duplex(1).0));
            client.ask(b"EHLO x\r\n", 220).await;
            client.ask(b"", 250).await;
            let (first, second) = EVIL.split_at(at);
            let command = format!("{opening}BDAT {} LAST\r\n", EVIL.len());
            client.send_pieces([command.as_bytes(), first, second, b"NOOP\r\nQUIT\r\n"]).await;
            assert_eq!(client.codes().await, want, "{opening:?} cut at {at}");
            assert!(running.store.messages.lock().unwrap().is_empty());
        }
    }
}

/// Too much in one chunk, in many, and by numbers that overflow: refused, nothing runs, nothing is left.
#[tokio::test(start_paused = true)]
async fn too_much_is_refused() {
    let evil = std::str::from_utf8(EVIL).unwrap();
    for chunks in [
        vec!["x".repeat(1001)],
        vec!["x".repeat(600), "y".repeat(600)],
        vec!["x\r\n".repeat(100); 5],
        vec![format!("{}{evil}", "x".repeat(1000))],
        vec!["\n".repeat(900); 3],
    ] {
        let mut world = World::new();
        world.config.session.max_message_size = ByteSize(1000);
        let mut running = world.connect().await;
        let mut client = Client::new(std::mem::replace(&mut running.client, tokio::io::duplex(1).0));
        client.ask(b"EHLO x\r\n", 220).await;
        client.ask(OPENING, 250).await;
        let (last, others) = chunks.split_last().unwrap();
        for chunk in others {
            client.send(&bdat(chunk.as_bytes(), false)).await;
        }
        client.send(&bdat(last.as_bytes(), true)).await;
        client.send(b"NOOP\r\nQUIT\r\n").await;
        let codes = client.codes().await;
        assert!(codes.contains(&552), "{codes:?}");
        // One 552; what follows is 503 for a chunk that has no message any more, or the end of the session.
        assert_eq!(codes.iter().filter(|&&code| code == 552).count(), 1, "{codes:?}");
        assert!(codes.iter().all(|code| matches!(code, 250 | 552 | 503 | 554 | 221)), "{codes:?}");
        assert!(running.store.messages.lock().unwrap().is_empty());
        assert_eq!((running.files().len(), running.memory.available()), (0, 1 << 20));
    }
}

/// All chunks of a message together have the time that a content has (`data_timeout`): neither octets that trickle into a
/// chunk nor small chunks that come one by one prolong it. RSET ends that time with the message.
#[tokio::test(start_paused = true)]
async fn slow_chunks_end_with_the_time_for_the_content() {
    for pieces in [vec![&b"x"[..]; 30], vec![&b"BDAT 1\r\nx"[..]; 30]] {
        let mut running = World::new().connect().await;
        let mut client = Client::new(std::mem::replace(&mut running.client, tokio::io::duplex(1).0));
        client.ask(b"EHLO x\r\n", 220).await;
        client.ask(OPENING, 250).await;
        let begun = tokio::time::Instant::now();
        client.send(if pieces[0].len() == 1 { b"BDAT 1000\r\n" } else { b"" }).await;
        for piece in pieces {
            client.send(piece).await;
            tokio::time::sleep(Duration::from_mins(1)).await;
        }
        assert_eq!(client.codes().await.last(), Some(&421));
        assert!(begun.elapsed() >= Duration::from_mins(30), "the clock is the test's");
        assert!(running.store.messages.lock().unwrap().is_empty());
        assert!(running.files().is_empty(), "nothing is left of the content");
    }
    let mut running = World::new().connect().await;
    let mut client = Client::new(std::mem::replace(&mut running.client, tokio::io::duplex(1).0));
    client.ask(b"EHLO x\r\n", 220).await;
    client.ask(OPENING, 250).await;
    client.ask(b"", 250).await;
    client.ask(b"BDAT 1\r\nx", 250).await;
    client.ask(b"RSET\r\n", 250).await;
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_mins(4)).await;
        client.ask(b"NOOP\r\n", 250).await;
    }
}
