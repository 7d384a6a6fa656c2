//! Very much of one thing: the time grows with the size, not with its square. (Guards: each octet is looked at once in
//! `session::head`, `mail::header`, `mail::header::mailboxes`; `MAX_DEPTH` in `mail::mime`.)
//!
//! Time is what this thread has computed, for a size and a sixteenth of it: where a square hides, it shows by then.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use mailsluice::config::{
    ByteSize, Config, DkimEntry, LongLines, SenderWhen, Signature, TestAction, UpstreamSender,
};
use mailsluice::mail::{Address, Body, QueueId, ReversePath, header};
use mailsluice::store::{
    ClientInfo, Content, Decisions, LaneName, Message, MessageKind, QueuedRecipient, TestTreatment,
};
use mailsluice::time::{Moment, SystemClock, Timeline};
use mailsluice::transform::{Transformer, UpstreamFacts, WayOut};
use rustix::time::{ClockId, clock_gettime};

use crate::client::Client;
use crate::world::World;

/// Sixteen times as much may take so many times as long.
const SLACK: u32 = 32;
/// Below this nothing is measured.
const NOISE: Duration = Duration::from_millis(20);

/// What this thread has computed so far.
fn computed() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Fails when the size takes, time and again, far more than sixteen times as long as a sixteenth of it.
fn grows_with_its_size(what: &str, size: usize, mut work: impl FnMut(usize)) {
    let mut run = |size| {
        let start = computed();
        work(size);
        computed().saturating_sub(start)
    };
    let (mut small, mut large) = (run(size / 16), run(size));
    for _ in 0..2 {
        if large <= small * SLACK + NOISE {
            return;
        }
        // The caches were cold, or somebody took them away.
        (small, large) = (small.max(run(size / 16)), large.min(run(size)));
    }
    assert!(large <= small * SLACK + NOISE, "{what}: {size} takes {large:?}, a sixteenth of it {small:?}");
}

/// Runs on this thread alone, with a clock that does not wait.
fn alone<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.unwrap().block_on(work)
}

/// Sends envelope and content in pieces of that size, and gives back how often each code came.
async fn session(world: World, lines: &[u8], piece: usize) -> Vec<(u16, usize)> {
    let mut running = world.connect().await;
    let (reader, mut writer) =
        tokio::io::split(std::mem::replace(&mut running.client, tokio::io::duplex(1).0));
    let lines = lines.to_vec();
    let writing = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        for piece in lines.chunks(piece) {
            let _ = writer.write_all(piece).await;
            // The session takes it before there is more.
            tokio::task::yield_now().await;
        }
        writer
    });
    let client = Client::new(tokio::io::join(reader, tokio::io::sink()));
    let mut counts: Vec<(u16, usize)> = Vec::new();
    for code in client.codes().await {
        match counts.last_mut() {
            Some((last, count)) if *last == code => *count += 1,
            _ => counts.push((code, 1)),
        }
    }
    drop(writing.await);
    counts
}

fn recipients(count: usize) -> String {
    (0..count).fold(String::new(), |all, n| all + &format!("RCPT TO:<r{n}@dest.example>\r\n"))
}

#[test]
fn ten_thousand_recipients() {
    let opening = "EHLO x\r\nMAIL FROM:<a@b>\r\n";
    let ending = "DATA\r\nSubject: x\r\n\r\nx\r\n.\r\nQUIT\r\n";
    for (client, limit) in [("127.0.0.1", 10_000), ("127.0.0.1", 100), ("203.0.113.5", 10_000)] {
        grows_with_its_size("recipients", 10_000, |count| {
            let mut world = World::new();
            world.client = client.parse().unwrap();
            world.memory = 8 << 20;
            world.config.session.max_recipients = limit;
            let got =
                alone(session(world, format!("{opening}{}{ending}", recipients(count)).as_bytes(), 4096));
            let want = match (client, limit) {
                ("127.0.0.1", 100) => {
                    vec![(220, 1), (250, 102), (452, count - 100), (354, 1), (250, 1), (221, 1)]
                }
                ("127.0.0.1", _) => vec![(220, 1), (250, 2 + count), (354, 1), (250, 1), (221, 1)],
                // Nobody is left for the content, which must not run.
                _ => vec![(220, 1), (250, 2), (550, count), (554, 1)],
            };
            assert_eq!(got, want);
        });
    }
}

/// The session's replies to a content.
fn send(content: &str) -> Vec<(u16, usize)> {
    send_in_pieces(content, 32 * 1024)
}

fn send_in_pieces(content: &str, piece: usize) -> Vec<(u16, usize)> {
    let mut world = World::new();
    // A line that is not folded comes to the search for the end of the header section as it is.
    world.config.session.long_lines = LongLines::Pass;
    world.memory = 8 << 20;
    world.config.session.max_message_size = ByteSize(8 << 20);
    let text = format!("EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n{content}\r\n.\r\nQUIT\r\n");
    alone(session(world, text.as_bytes(), piece))
}

const TAKEN: &[(u16, usize)] = &[(220, 1), (250, 3), (354, 1), (250, 1), (221, 1)];

/// Everything that is done to a content on its way out.
fn prepare(content: &str) -> bool {
    prepare_as(None, content)
}

/// The same for an upstream that sends as somebody.
fn prepare_as(sender: Option<UpstreamSender>, content: &str) -> bool {
    let message = Message {
        queue_id: QueueId::new(0, 0),
        kind: MessageKind::Submitted,
        lane: LaneName::of_upstream("main"),
        accepted: Moment(0),
        accepted_wall: 0,
        age_base: 0,
        reverse_path: ReversePath::Null,
        sender: "a@firm.example".into(),
        body: Body::EightBitMime,
        smtputf8: true,
        request: mailsluice::mail::MessageRequest::default(),
        client: ClientInfo::default(),
        decisions: Decisions::of_test(TestTreatment {
            action: TestAction::Redirect,
            address: Some(Address::parse("test@firm.example").unwrap()),
        }),
        recipients: vec![QueuedRecipient::untried(
            0,
            Address::parse("c@d").unwrap(),
            mailsluice::mail::RecipientRequest::default(),
        )],
        size: content.len() as u64,
        content: Content::memory(Vec::new()),
    };
    let old = UpstreamFacts { sign: true, eight_bit_mime: false, smtputf8: false, local: false };
    let content = format!("Received: x\r\nFrom: a@firm.example\r\n{content}").into_bytes();
    let mut config = config();
    config.dkim.push(signing_entry());
    let text = Some("Gr\u{fc}\u{df}e".to_owned());
    let signature = Signature { text, html: None, skip_replies: true };
    let upstream = Arc::make_mut(&mut config.upstreams[0]);
    (upstream.signature, upstream.sender) = (Some(signature), sender);
    let upstream = &config.upstreams[0];
    let way_out = WayOut { upstream, account: &upstream.accounts[0], facts: old };
    Transformer::new(&config, Timeline::resume(Arc::new(SystemClock), None))
        .unwrap()
        .prepare(&message, content, &way_out)
        .is_ok()
}

fn config() -> Config {
    Config::from_toml("[[upstream]]\nname = \"main\"\nhost = \"main\"\n", Path::new("/")).unwrap().config
}

fn signing_entry() -> DkimEntry {
    let key = mail_auth::common::crypto::Ed25519Key::generate_pkcs8().unwrap();
    let base64 = base64::engine::general_purpose::STANDARD.encode(key);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{base64}\n-----END PRIVATE KEY-----\n");
    DkimEntry { domain: "firm.example".into(), selector: "s".into(), key: pem.into(), from: None }
}

#[test]
fn a_hundred_thousand_header_fields() {
    for field in ["A: b\r\n", "To: a\r\n", "Bcc: a\r\n", "From:a@b\r\n", "X:\r\n"] {
        grows_with_its_size(field.trim_end(), 100_000, |count| {
            let content = format!("{}\r\nx\u{e9}\r\n", field.repeat(count));
            assert_eq!(send(&content), TAKEN, "{field}");
            assert!(prepare(&content), "{field}");
        });
    }
}

/// One field of 1 MiB, in one line or in many, with whatever makes a reader go back.
#[test]
fn a_header_field_of_one_mebibyte() {
    for name in ["Subject", "From", "To"] {
        for piece in [
            "x", "x ", "x\r\n ", "a@b, ", "<", "(", ")", "\"", "\\", ",", ":;", "a:", "@", "=?", "[", " ",
            "\t\r\n ",
        ] {
            grows_with_its_size(&format!("{name}: {}", piece.escape_debug()), 1_000_000, |size| {
                let field = format!("{name}: {}\r\n", piece.repeat(size / piece.len()));
                let content = format!("{field}\r\nx\r\n");
                let scan = header::scan(field.as_bytes());
                assert!(scan.author.mailboxes().len() <= 10_000);
                prepare(&content);
            });
        }
    }
}

/// The same of what has to become ASCII, and of what says how a body is written.
#[test]
fn a_written_anew_header_field_of_one_mebibyte() {
    for name in ["Subject", "From", "Cc", "Message-ID", "Content-Type", "Content-Disposition"] {
        for piece in [
            "\u{e9}",
            "\u{e9} ",
            "\u{e9}\r\n ",
            "\u{e9}@b, ",
            "<\u{e9}",
            "(\u{e9}",
            "\"\u{e9}",
            ":;\u{e9}",
            "=?\u{e9}?=",
            "; a=\u{e9}",
            "; a*0=\u{e9}",
            "; a*1*=b",
            "; boundary=b",
            ";",
            "; a=\"b\\",
        ] {
            grows_with_its_size(&format!("{name}: {}", piece.escape_debug()), 1_000_000, |size| {
                let start = if name.starts_with("Content") { "text/plain" } else { "" };
                let field = format!("{name}: {start}{}\r\n", piece.repeat(size / piece.len()));
                prepare(&format!("{field}\r\nx\u{e9}\r\n"));
            });
        }
    }
}

/// The same through a session, which gets it in many pieces and searches for the end of the header section meanwhile.
#[test]
fn a_header_field_of_one_mebibyte_in_pieces() {
    for piece in ["x", "x\r\n ", "\r\n\t"] {
        grows_with_its_size(&format!("Subject: {}", piece.escape_debug()), 1_000_000, |size| {
            let content = format!("Subject: {}\r\n\r\nx", piece.repeat(size / piece.len()));
            assert_eq!(send_in_pieces(&content, 128), TAKEN);
        });
    }
}

/// 1 MiB of header section is taken; more is refused once, at the real end of the content.
#[test]
fn a_header_section_beyond_one_mebibyte() {
    let line = format!("X: {}\r\n", "y".repeat(995));
    assert_eq!(send(&format!("{}\r\nx", line.repeat(1000))), TAKEN);
    let refused = [(220, 1), (250, 3), (354, 1), (552, 1), (221, 1)];
    assert_eq!(send(&format!("{}\r\nx", line.repeat(1100))), refused);
    assert_eq!(send(&format!("X: {}\r\n\r\nx", "y\r\n ".repeat(400_000))), refused);
}

/// Parts inside of parts, 10,000 deep, with an octet over 127 in the innermost: no stack is deep enough for each.
#[test]
fn ten_thousand_levels_of_mime() {
    for kind in ["multipart/mixed", "multipart/digest", "message/rfc822", "multipart/signed"] {
        for same in [true, false] {
            grows_with_its_size(kind, 10_000, |levels| {
                let boundary = |level: usize| if same { "b".to_owned() } else { format!("b{level}") };
                let mut content = "MIME-Version: 1.0\r\n".to_owned();
                for level in 0..levels {
                    let name = boundary(level);
                    let head = format!("Content-Type: {kind}; boundary=\"{name}\"\r\n\r\n--{name}\r\n");
                    content.push_str(&head);
                }
                content.push_str("\r\nx\u{e9}\r\n");
                assert_eq!(send(&content), TAKEN);
                prepare(&content);
            });
        }
    }
}

/// Authors, and those who send for them: each could be each of the others.
#[test]
fn ten_thousand_authors_and_as_many_senders() {
    let address = Some(Address::parse("own@firm.example").unwrap());
    let sender = UpstreamSender { name: None, address, reply_to: None, when: SenderWhen::Always };
    grows_with_its_size("authors", 10_000, |count| {
        let list = |name: &str| (0..count).fold(String::new(), |all, n| all + &format!("{name}{n}@b,\r\n "));
        let content = format!("From: {}x@b\r\nSender: {}y@b\r\n\r\nx\r\n", list("a"), list("s"));
        assert!(prepare_as(Some(sender.clone()), &content));
    });
}

/// Very many fields of one part.
#[test]
fn a_part_of_a_million_fields() {
    grows_with_its_size("fields of a part", 1_000_000, |fields| {
        let head = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n";
        let content = format!("{head}{}\r\n\u{e9}\r\n--b--\r\n", "A:\r\n".repeat(fields));
        // No upstream of 7 bits gets what can't be told apart into fields and body.
        assert_eq!(prepare(&content), fields < 262_144, "{fields}");
    });
}

/// Signatures of others, of which our changes break some: very many, or with very many fields in one.
#[test]
fn a_hundred_thousand_signed_fields() {
    // No signature goes below it: the body stays, so that the fields decide.
    let reply = "In-Reply-To: <a@b>\r\n";
    grows_with_its_size("fields that a signature names", 100_000, |names| {
        let names = (0..names).fold(String::new(), |all, n| all + &format!("x{n}:\r\n "));
        assert!(prepare(&format!("{reply}DKIM-Signature: h={names}to; b=x\r\n\r\nx\r\n")));
    });
    grows_with_its_size("signatures", 20_000, |signatures| {
        let fields = "DKIM-Signature: h=a:date; b=x\r\nA: b\r\n".repeat(signatures);
        assert!(prepare(&format!("{reply}{fields}Date: {}\r\n\r\nx\r\n", "x".repeat(signatures))));
    });
}

/// Very many parts beside each other.
#[test]
fn a_hundred_thousand_parts() {
    grows_with_its_size("parts", 100_000, |parts| {
        let part = "--b\r\n\r\n\u{e9}\r\n";
        let head = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n";
        assert!(prepare(&format!("{head}{}--b--\r\n", part.repeat(parts))));
    });
}
