use proptest::prelude::*;

use super::*;
use crate::config::{ByteSize, LongLines, Session};

fn settings() -> Session {
    let long = std::time::Duration::from_mins(10);
    Session {
        max_message_size: ByteSize(1 << 20),
        max_recipients: 1,
        max_connections: 1,
        max_connections_per_client: 1,
        command_timeout: long,
        data_timeout: long,
        max_errors: 1,
        memory_budget: ByteSize(0),
        bare_newline: Newlines::Normalize,
        long_lines: LongLines::Wrap,
    }
}

fn arrival() -> Arrival {
    Arrival {
        queue_id: QueueId::new(1, 1),
        helo: "client".into(),
        client: "192.0.2.1".parse().unwrap(),
        hostname: "relay.example".into(),
        protocol: "ESMTP",
        recipient: None,
        submitter: None,
        completion: None,
        date: Timestamp::UNIX_EPOCH,
    }
}

/// Receives in pieces with so much memory to spare; the content that is stored.
fn receive(input: &[u8], piece: usize, memory: u64) -> Result<Vec<u8>, Refusal> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let settings = settings();
    let memory = MemoryBudget::new(memory);
    let mut receiver =
        Receiver::new(arrival(), &settings, &memory, Upload::new(folder.path(), &QueueId::new(1, 1)));
    runtime.block_on(async {
        for piece in input.chunks(piece) {
            receiver.feed(piece).await;
        }
        let taken = receiver.finish().await?;
        Ok(taken.content.read().await.unwrap())
    })
}

#[test]
fn puts_our_fields_before_the_header_section() {
    for (content, want) in [
        (
            "Date: x\r\nMessage-ID: <x>\r\nA: b\r\n\r\nc\r\n",
            "Date: x\r\nMessage-ID: <x>\r\nA: b\r\n\r\nc\r\n",
        ),
        ("message-id: <x>\r\n\r\n", "Date: *\r\nmessage-id: <x>\r\n\r\n"),
        ("date: x\r\n\r\nDate: body\r\n", "Message-ID: *\r\ndate: x\r\n\r\nDate: body\r\n"),
        ("\r\nbody\r\n", "Date: *\r\nMessage-ID: *\r\n\r\nbody\r\n"),
        ("body\r\n", "Date: *\r\nMessage-ID: *\r\n\r\nbody\r\n"),
        ("A: b\r\nbody\r\n", "Date: *\r\nMessage-ID: *\r\nA: b\r\n\r\nbody\r\n"),
        ("A: b\r\n", "Date: *\r\nMessage-ID: *\r\nA: b\r\n\r\n"),
        ("", "Date: *\r\nMessage-ID: *\r\n\r\n"),
    ] {
        for memory in [0, 1 << 20] {
            let stored = receive(format!("{content}.\r\n").as_bytes(), 1000, memory).unwrap();
            let stored = String::from_utf8(stored).unwrap();
            assert!(
                stored
                    .starts_with("Received: from client ([192.0.2.1])\r\n\tby relay.example with ESMTP id ")
            );
            let received =
                stored.match_indices("\r\n").find(|(i, _)| !stored[i + 2..].starts_with('\t')).unwrap();
            let mut rest = stored[received.0 + 2..].to_owned();
            for name in ["Date: ", "Message-ID: "] {
                // Only the fields that we made have a text that is not known beforehand.
                if want.contains(&format!("{name}*")) {
                    let start = rest.find(name).unwrap() + name.len();
                    let end = start + rest[start..].find("\r\n").unwrap();
                    rest.replace_range(start..end, "*");
                }
            }
            assert_eq!(rest, want, "{content:?}");
        }
    }
}

#[test]
fn a_body_without_header_may_be_one_endless_line() {
    let mut input = vec![b' '; 500_000];
    input.extend_from_slice(b"\r\n.\r\n");
    let stored = receive(&input, 30_000, 1 << 20).unwrap();
    assert!(memchr::memmem::find(&stored, b"\r\n\r\n   ").is_some());
}

#[test]
fn a_disk_that_fails_is_told() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let no_folder = folder.path().join("file");
    std::fs::File::create(&no_folder).unwrap();
    let settings = settings();
    let mut receiver = Receiver::new(
        arrival(),
        &settings,
        &MemoryBudget::new(0),
        Upload::new(&no_folder, &QueueId::new(1, 1)),
    );
    let refusal = runtime.block_on(async {
        receiver.feed(b"A: b\r\n\r\n").await;
        receiver.feed(&b"x\r\n".repeat(FREE)).await;
        receiver.feed(b".\r\n").await;
        receiver.finish().await.unwrap_err()
    });
    assert!(refusal.reply().to_string().starts_with("451 4.3.0 "), "{refusal}");
}

/// A run of CRs has its size, is one line end before a LF and as many in a body elsewhere, and is held nowhere.
#[test]
fn a_run_of_crs_is_counted() {
    let content =
        |crs: usize, behind: &str| [b"A: b\r\n\r\n", &b"\r".repeat(crs)[..], behind.as_bytes()].concat();
    for (crs, behind, line_ends) in [(900_000, "\nx\r\n.\r\n", 1), (400_000, "x\r\n.\r\n", 400_000)] {
        let stored = receive(&content(crs, behind), 30_000, 0).unwrap();
        let body = memchr::memmem::find(&stored, b"A: b\r\n\r\n").unwrap() + 8;
        assert_eq!(stored.len() - body, 2 * line_ends + 3);
        assert!(stored.ends_with(b"\r\n\r\nx\r\n"));
    }
    for behind in ["\nx\r\n.\r\n", "x\r\n.\r\n"] {
        let refused = receive(&content(1 << 20, behind), 30_000, 0);
        assert!(matches!(refused, Err(Refusal::TooLarge { .. })));
    }
}

/// What a session holds beyond 8 KiB is counted, and given back with the content.
#[test]
fn memory_is_taken_as_it_is_needed() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let line = b"0123456789 0123456789 0123456789 0123456789 0123456789 0123\r\n";
    for (kind, start) in [("body", &b"A: b\r\n\r\n"[..]), ("header", b"A: b\r\n")] {
        let memory = MemoryBudget::new(48 << 10);
        let mut receiver =
            Receiver::new(arrival(), &settings(), &memory, Upload::new(folder.path(), &QueueId::new(1, 1)));
        runtime.block_on(async {
            receiver.feed(start).await;
            for count in 1..2000 {
                receiver
                    .feed(if kind == "body" {
                        line
                    } else {
                        b"X: 0123456789 0123456789 0123456789 0123456789 012345678\r\n"
                    })
                    .await;
                let taken = (48 << 10) - memory.available() as usize;
                let held = receiver.buffer.len();
                assert!(held <= FREE + taken, "{kind}: {count} lines, {held} held, {taken} taken");
                assert!(
                    taken < held.saturating_sub(FREE) + STEP || receiver.upload.is_begun(),
                    "{kind} {count} {held} {taken}"
                );
            }
            if kind == "body" {
                assert!(receiver.upload.is_begun());
                receiver.feed(b".\r\n").await;
                receiver.finish().await.unwrap();
            } else {
                assert!(matches!(receiver.refusal(), Some(Refusal::Memory)));
                drop(receiver);
            }
        });
        assert_eq!(memory.available(), 48 << 10, "{kind}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn pieces_and_memory_change_nothing(
        lines in proptest::collection::vec("(A: b|Subject: x| folded|Hello|\\.\\.|)", 0..12),
        body in 0usize..3000,
        piece in 1usize..300,
    ) {
        let input = format!("{}\r\n{}.\r\n", lines.join("\r\n"), "0123456789 0123456789 0123456789\r\n".repeat(body));
        let whole = receive(input.as_bytes(), usize::MAX, 1 << 20).unwrap();
        prop_assert_eq!(&receive(input.as_bytes(), piece, 1 << 20).unwrap(), &whole);
        prop_assert_eq!(&receive(input.as_bytes(), piece * 100, 0).unwrap(), &whole);
    }
}
