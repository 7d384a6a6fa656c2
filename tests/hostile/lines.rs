//! Text of the client's that stands in fields of ours. (Guard: `harmless` in `mail::received`.)

use mailsluice::mail::header::{self, Fields};

use crate::client::Client;
use crate::world::World;

/// The header section that is stored when the client calls itself so.
async fn stored(hello: &str) -> Option<Vec<u8>> {
    let mut running = World::new().connect().await;
    let mut client = Client::new(std::mem::replace(&mut running.client, tokio::io::duplex(1).0));
    client.send(format!("EHLO {hello}\r\n").as_bytes()).await;
    client.reply().await;
    if !client.reply().await.starts_with("250") {
        return None;
    }
    client.ask(b"MAIL FROM:<a@b>\r\n", 250).await;
    client.ask(b"RCPT TO:<c@d>\r\n", 250).await;
    client.ask(b"DATA\r\n", 354).await;
    client.ask(b"Date: x\r\nMessage-ID: <x@x>\r\nSubject: x\r\n\r\nx\r\n.\r\n", 250).await;
    let message = running.store.messages.lock().unwrap()[0].clone();
    let content = running.content(&message);
    let end = header::end(&content).unwrap();
    Some(content[..end].to_vec())
}

/// The name in HELO makes no field, no line, no comment, and ends ours nowhere.
#[tokio::test(start_paused = true)]
async fn a_hello_injects_no_field() {
    for hello in [
        "x (\t)Bcc: evil@evil.example",
        "x ([127.0.0.1]) by relay.example with ESMTP id 0; Thu, 1 Jan 1970 00:00:00 +0000",
        "x\u{85}Bcc: evil@evil.example",
        "x\u{2028}Bcc: evil@evil.example",
        "x\u{b}Bcc: evil",
        "=?utf-8?q?x=0D=0ABcc:_evil?=",
        "\\r\\nBcc: evil@evil.example",
        "%0d%0aBcc: evil@evil.example",
        "(((((((((((",
        "\"unclosed",
        "<evil@evil.example>",
        "x;;;; ",
        "\u{202e}elpmaxe.live",
        &"x".repeat(4000),
        &"\u{1f4a9}".repeat(1000),
        &"[".repeat(500),
    ] {
        let Some(header) = stored(hello).await else {
            assert!(hello.contains('\u{b}'), "{hello:?} is refused");
            continue;
        };
        assert!(header.is_ascii(), "{hello:?}");
        let names: Vec<String> =
            Fields::new(&header).map(|f| String::from_utf8(f.name().to_vec()).unwrap()).collect();
        assert_eq!(names, ["Received", "Date", "Message-ID", "Subject"], "{hello:?}");
        let received = String::from_utf8(Fields::new(&header).next().unwrap().raw().to_vec()).unwrap();
        let lines: Vec<&str> = received.split_terminator("\r\n").collect();
        assert!(lines.iter().all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])), "{received:?}");
        let name = lines[0].strip_prefix("Received: from ").unwrap().strip_suffix(" ([127.0.0.1])");
        let name = name.unwrap_or_else(|| panic!("{hello:?} breaks out: {received:?}"));
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "-._:[]?".contains(c)), "{name:?}");
        assert!(lines[1].starts_with("\tby relay.example with ESMTP id "), "{received:?}");
    }
}

/// CR and other controls in a name are text, and make no field.
#[tokio::test(start_paused = true)]
async fn a_hello_with_controls_is_text() {
    for hello in ["x\rBcc: evil", "x\0y", "x\u{1b}[2J", "x\u{7f}"] {
        let header = stored(hello).await.unwrap();
        let names: Vec<&[u8]> = Fields::new(&header).map(|f| f.name()).collect();
        assert_eq!(names, [&b"Received"[..], b"Date", b"Message-ID", b"Subject"], "{hello:?}");
        assert!(header.iter().all(|&b| b >= b' ' || b"\r\n\t".contains(&b)), "{hello:?}");
        assert!(!header.windows(2).any(|two| two[0] == b'\r' && two[1] != b'\n'), "{hello:?}");
    }
}
