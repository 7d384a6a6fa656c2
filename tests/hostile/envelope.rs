//! Envelopes that never become messages: what they hold, for how long, and what the log says of their end. (Guards:
//! `session::driver::envelope`, `session::driver::deadlines`.)

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use mailsluice::config::{Config, Mode};
use mailsluice::direct::{Direct, DirectRefusal, ExchangeRequest, Opening};
use mailsluice::memory::MemoryBudget;
use mailsluice::session::{self, Door};
use mailsluice::smtp::Reply;
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::paper::Paper;
use crate::world::{Running, World};

/// What a client reads whose time for an envelope is over.
const LATE: &str = "421 4.4.2 relay.example timeout: the content did not begin in time after MAIL, closing";
/// What all clients share here, in octets.
const MEMORY: u64 = 1 << 20;
const ENVELOPE: [&[u8]; 2] = [b"MAIL FROM:<a@b>\r\n", b"RCPT TO:<c@d>\r\n"];

/// A client that was greeted.
async fn greeted(stream: DuplexStream) -> Client<DuplexStream> {
    let mut client = Client::new(stream);
    client.ask(b"EHLO x\r\n", 220).await;
    client.ask(b"", 250).await;
    client
}

async fn connect() -> (Running, Client<DuplexStream>) {
    let mut running = World::new().connect().await;
    let client = greeted(std::mem::replace(&mut running.client, tokio::io::duplex(1).0)).await;
    (running, client)
}

/// Says each of these, and reads a 250.
async fn say(client: &mut Client<DuplexStream>, lines: &[&[u8]]) {
    for line in lines {
        client.ask(line, 250).await;
    }
}

/// Says NOOP every four minutes, for eight.
async fn dawdle(client: &mut Client<DuplexStream>) {
    for _ in 0..2 {
        sleep(Duration::from_mins(4)).await;
        client.ask(b"NOOP\r\n", 250).await;
    }
}

fn assert_ten_minutes(since: Instant) {
    assert!((599..=601).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
}

/// An upstream that takes its time for each answer, and refuses whoever is called bad.
struct SlowUpstream(Duration);

impl Direct for SlowUpstream {
    fn attend(&self, _opening: Opening, mut asks: mpsc::Receiver<ExchangeRequest>) {
        let pause = self.0;
        tokio::spawn(async move {
            while let Some(ask) = asks.recv().await {
                let ExchangeRequest::Recipient { address, answer, .. } = ask else { continue };
                sleep(pause).await;
                let reply = Reply::new(550, (5, 1, 1), "no such user");
                let refusal = DirectRefusal { reply, reason: "upstream", elsewhere: false };
                let is_bad = address.as_str().starts_with("bad");
                let _ = answer.send(if is_bad { Err(refusal) } else { Ok(()) });
            }
        });
    }
}

/// A client of direct mode.
struct DirectSession {
    client: Client<DuplexStream>,
    memory: MemoryBudget,
    _folder: tempfile::TempDir,
}

impl DirectSession {
    async fn open(upstream: SlowUpstream) -> Self {
        let toml = "[[upstream]]\nname = \"main\"\nhost = \"up\"\nsecurity = \"none\"\n";
        let loaded = Config::from_toml(toml, Path::new("/")).unwrap_or_else(|faults| panic!("{faults}"));
        let mut world = World::new();
        world.config.queue.mode = Mode::Direct;
        world.config.upstreams = loaded.config.upstreams;
        let (mut services, _store, folder) = world.services().await;
        services.direct = Arc::new(upstream);
        let memory = services.memory.clone();
        let listener = Arc::new(services.config.listeners[0].clone());
        let door =
            Arc::new(ArcSwap::from_pointee(Door { listener, tls: None, services: Arc::new(services) }));
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let stopping = watch::channel(false).1;
        tokio::spawn(session::run(theirs, "127.0.0.1".parse().unwrap(), "test".into(), door, stopping));
        Self { client: greeted(ours).await, memory, _folder: folder }
    }
}

#[tokio::test(start_paused = true)]
async fn a_recipient_that_is_given_again_takes_no_more() {
    for first in ["", " ORCPT=rfc822;first@x"] {
        let (running, mut client) = connect().await;
        say(&mut client, &ENVELOPE[..1]).await;
        client.ask(format!("RCPT TO:<c@d>{first}\r\n").as_bytes(), 250).await;
        for n in 0..2000 {
            let again = format!("RCPT TO:<c@d> ORCPT=rfc822;{n}{}\r\n", "x".repeat(480));
            client.ask(again.as_bytes(), 250).await;
        }
        assert_eq!(running.memory.available(), MEMORY, "{first}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_recipient_that_the_upstream_refuses_takes_nothing() {
    let mut session = DirectSession::open(SlowUpstream(Duration::ZERO)).await;
    let client = &mut session.client;
    client.ask(ENVELOPE[0], 250).await;
    for n in 0..2000 {
        let bad = format!("RCPT TO:<bad{n}@d> ORCPT=rfc822;{}\r\n", "x".repeat(480));
        client.ask(bad.as_bytes(), 550).await;
    }
    assert_eq!(session.memory.available(), MEMORY);
    client.ask(ENVELOPE[1], 250).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_comes_to_the_content_is_sent_away() {
    for envelope in [&ENVELOPE[..1], &ENVELOPE] {
        let (paper, _listening) = Paper::listen();
        let (mut running, mut client) = connect().await;
        say(&mut client, envelope).await;
        let begun = Instant::now();
        dawdle(&mut client).await;
        assert_eq!(client.reply().await, LATE);
        assert_ten_minutes(begun);
        drop(client);
        (&mut running.session).await.unwrap();
        let line = "rejected session=test client=127.0.0.1 listener=127.0.0.1:2525 from=a@b";
        assert_eq!(paper.lines(), [format!("{line} reply=\"{LATE}\" reason=timeout")]);
    }
}

/// The chunk has no message, and its octets do not come.
#[tokio::test(start_paused = true)]
async fn a_misplaced_chunk_gives_no_more_time() {
    let (_running, mut client) = connect().await;
    say(&mut client, &ENVELOPE[..1]).await;
    let begun = Instant::now();
    dawdle(&mut client).await;
    client.send(b"BDAT 100\r\n").await;
    assert_eq!(client.reply().await, LATE);
    assert_ten_minutes(begun);
}

#[tokio::test(start_paused = true)]
async fn each_envelope_has_its_own_time() {
    let (_running, mut client) = connect().await;
    for end in [&b"RSET\r\n"[..], b"EHLO again\r\n", b"RSET\r\n"] {
        say(&mut client, &ENVELOPE).await;
        dawdle(&mut client).await;
        client.ask(end, 250).await;
        dawdle(&mut client).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_content_has_its_own_time_behind_the_envelope() {
    for (first, second, last) in [
        (&b"BDAT 1\r\nx"[..], &b"BDAT 1\r\ny"[..], &b"BDAT 0 LAST\r\n"[..]),
        (b"DATA\r\n", b"Subject: x\r\n\r\n", b"x\r\n.\r\n"),
    ] {
        let (running, mut client) = connect().await;
        say(&mut client, &ENVELOPE).await;
        dawdle(&mut client).await;
        for piece in [first, second, last] {
            client.send(piece).await;
            sleep(Duration::from_mins(4)).await;
        }
        client.send(b"QUIT\r\n").await;
        let codes = client.codes().await;
        assert_eq!(codes.last(), Some(&221), "{codes:?}");
        assert_eq!(running.store.messages.lock().unwrap().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_of_the_upstream_is_not_the_clients() {
    let mut session = DirectSession::open(SlowUpstream(Duration::from_mins(3))).await;
    let (client, begun) = (&mut session.client, Instant::now());
    client.ask(ENVELOPE[0], 250).await;
    for n in 0..5 {
        client.ask(format!("RCPT TO:<good{n}@d>\r\n").as_bytes(), 250).await;
    }
    assert!(begun.elapsed() >= Duration::from_mins(15));
    let begun = Instant::now();
    dawdle(client).await;
    assert_eq!(client.reply().await, LATE);
    assert_ten_minutes(begun);
}

/// A client that goes away between two chunks.
#[tokio::test(start_paused = true)]
async fn chunks_that_are_broken_off_have_a_sender_in_the_log() {
    let (paper, _listening) = Paper::listen();
    let (mut running, mut client) = connect().await;
    say(&mut client, &ENVELOPE).await;
    client.ask(b"BDAT 3\r\nabc", 250).await;
    drop(client);
    (&mut running.session).await.unwrap();
    let line = "rejected session=test client=127.0.0.1 listener=127.0.0.1:2525 from=a@b reason=disconnected";
    assert_eq!(paper.lines(), [line]);
}
