//! The hot parts of a message's way, each for itself: `cargo bench --bench micro`, or `-- NAME` for some of them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use mailsluice::config::{Log, LogFormat, LogLevel, Quota, Window};
use mailsluice::limits::{AccountKey, Amount, Ceilings, Counts, Scope, ScopeLimits, room};
use mailsluice::mail::Address;
use mailsluice::mail::header::{Header, scan};
use mailsluice::report::log::LineLayer;
use mailsluice::smtp::data_stream::DataStream;
use mailsluice::smtp::dot_stuffing::Encoder;
use mailsluice::store::sqlite::{SqliteStore, Threading};
use mailsluice::store::{
    Admin as _, Ask, BlacklistSource, Claimed, Claims as _, Delivery, ImportedEntry, Intake as _, Leased,
    RecipientState, Settlement,
};
use mailsluice::time::{Moment, SystemClock, Timeline};
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::layer::SubscriberExt as _;

#[path = "../scale/message.rs"]
mod store_message;

use store_message::{lane, new_message};

const TEN_KIB: usize = 10 << 10;

fn main() {
    divan::main();
}

/// A message of 10 KiB in lines of 72 octets, some of which begin with a dot.
fn message() -> Vec<u8> {
    let mut text = b"Received: from source.example ([127.0.0.1])\r\n\tby relay.example with ESMTP id 01M8B598RBW1B5PE;\r\n\t\
        Sun, 22 Nov 2026 09:00:00 +0000\r\nFrom: Office <office@firm.example>\r\nTo: Customer <customer@elsewhere.example>\r\n\
        Subject: An invoice\r\nDate: Sun, 22 Nov 2026 09:00:00 +0000\r\nMessage-ID: <1@firm.example>\r\n\
        Bcc: archive@firm.example\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
        .to_vec();
    while text.len() < TEN_KIB {
        let first = if text.len().is_multiple_of(10) { b'.' } else { b'x' };
        text.push(first);
        text.extend_from_slice(&[b'x'; 69]);
        text.extend_from_slice(b"\r\n");
    }
    text
}

fn on_the_wire() -> Vec<u8> {
    let (mut encoder, mut wire) = (Encoder::new(), Vec::new());
    encoder.encode(&message(), &mut wire);
    encoder.finish(&mut wire);
    wire
}

#[divan::bench]
fn data_stream(bencher: Bencher<'_, '_>) {
    let wire = on_the_wire();
    bencher.counter(BytesCount::of_slice(&wire)).bench_local(|| {
        let mut out = Vec::with_capacity(wire.len());
        // As it comes from a socket.
        let mut stream = DataStream::default();
        for piece in wire.chunks(8 << 10) {
            black_box(stream.feed(piece, &mut out));
        }
        out
    });
}

#[divan::bench]
fn dot_stuffing(bencher: Bencher<'_, '_>) {
    let content = message();
    bencher.counter(BytesCount::of_slice(&content)).bench_local(|| {
        let (mut encoder, mut wire) = (Encoder::new(), Vec::with_capacity(content.len() + 512));
        encoder.encode(&content, &mut wire);
        encoder.finish(&mut wire);
        wire
    });
}

#[divan::bench]
fn header_scan(bencher: Bencher<'_, '_>) {
    let content = message();
    let end = mailsluice::mail::header::end(&content).unwrap_or(content.len());
    bencher.bench_local(|| scan(black_box(&content[..end])));
}

#[divan::bench]
fn header_edit(bencher: Bencher<'_, '_>) {
    let content = message();
    bencher.counter(BytesCount::of_slice(&content)).bench_local(|| {
        let mut header = Header::parse(black_box(&content));
        header.remove("Bcc");
        header.replace("From", b"Office <mailer@firm.example>");
        header.append("X-Original-From", b"office@firm.example");
        header.to_content()
    });
}

/// One account's room is asked for, and a message begun and ended, with a limit for the minute and one for the day.
#[divan::bench]
fn permit(bencher: Bencher<'_, '_>) {
    let mut ceilings = Ceilings::default();
    ceilings.quotas.set(Window::MINUTE, Quota { messages: Some(1_000_000), recipients: None, octets: None });
    ceilings.quotas.set(Window::DAY, Quota { messages: None, recipients: Some(1_000_000_000), octets: None });
    let (scope, timeline) = (Scope::Upstream("u".into()), Timeline::resume(Arc::new(SystemClock), None));
    let (mut counts, mut now) = (Counts::default(), timeline.now());
    let amount = Amount::of_message(1, TEN_KIB as u64);
    bencher.bench_local(|| {
        now = Moment(now.0 + 1);
        let mut parts = [ScopeLimits { scope: &scope, ceilings: &ceilings, counts: &mut counts }];
        let allowed = room(&mut parts, &amount, now, &timeline);
        counts.begin(&amount, now);
        counts.end(&amount, Some(&amount), now);
        allowed.is_ok()
    });
}

/// One line as each message has, which nobody reads.
#[divan::bench(args = [LogFormat::Text, LogFormat::Json])]
fn log_line(bencher: Bencher<'_, '_>, format: LogFormat) {
    let log = Log { format, level: LogLevel::Info, subject: false };
    let (layer, _control) = LineLayer::new(log, Arc::new(SystemClock), io::sink());
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::with_default(subscriber, || {
        bencher.bench_local(|| {
            tracing::info!(
                target: "mailsluice::bench",
                event = "sent",
                queue_id = "01M8B598RBW1B5PE",
                from = "office@firm.example",
                to = "customer@elsewhere.example",
                upstream = "sink",
                host = "127.0.0.1[127.0.0.1]:2525",
                reply = "250 2.0.0 Ok: queued as 4XyZ",
                delay = "0.1s",
                attempt = 1
            );
        });
    });
}

/// A queue of its own in a folder for the time of a measurement.
struct Queue {
    store: SqliteStore,
    runtime: Runtime,
    next: AtomicU32,
    _folder: tempfile::TempDir,
}

impl Queue {
    fn new(waiting: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let store = SqliteStore::open(folder.path(), 1_000_000, Threading::Writer, Arc::new(SystemClock));
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        let queue = Self {
            store: store.expect("the store opens"),
            runtime,
            next: AtomicU32::new(0),
            _folder: folder,
        };
        (0..waiting).for_each(|_| queue.accept());
        queue
    }

    fn accept(&self) {
        let number = self.next.fetch_add(1, Relaxed);
        let new = new_message(number, ("office@firm.example", "customer@elsewhere.example"), message());
        self.runtime.block_on(self.store.enqueue(new)).expect("the queue has room");
    }

    fn claim(&self) -> Vec<Leased> {
        let ask = Ask {
            lane: lane(),
            account: AccountKey::new("u", "a"),
            ceilings: vec![],
            messages: 1,
            recipients_per_message: 100,
            unfit: Arc::default(),
            max_size: None,
        };
        match self.runtime.block_on(self.store.claim(ask)) {
            Ok(Claimed::Messages { leased, .. }) => leased,
            other => panic!("nothing to claim: {other:?}"),
        }
    }

    fn settle(&self, leased: &[Leased]) {
        for one in leased {
            self.runtime.block_on(self.store.settle(sent(one))).expect("the lease holds");
        }
    }
}

fn sent(leased: &Leased) -> Settlement {
    let delivery = |index| Delivery {
        index,
        state: RecipientState::Sent,
        reply: "250 2.0.0 OK".into(),
        counts: true,
        failed: false,
        doubtful: false,
        again_in: None,
        reached: false,
    };
    Settlement {
        lease: leased.lease,
        deliveries: leased.message.recipients.iter().map(|recipient| delivery(recipient.index)).collect(),
        counts: true,
        warned: false,
        hold: false,
        used: Some(leased.message.amount()),
        reports: vec![],
        copy: None,
    }
}

/// A message is accepted; its sync is part of it.
#[divan::bench(sample_count = 100, sample_size = 1)]
fn accept(bencher: Bencher<'_, '_>) {
    let queue = Queue::new(0);
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| queue.accept());
}

/// A message is claimed out of so many.
#[divan::bench(args = [10, 1_000], sample_count = 100, sample_size = 1)]
fn claim(bencher: Bencher<'_, '_>, waiting: u32) {
    let queue = Queue::new(waiting);
    bencher.with_inputs(|| queue.accept()).bench_local_values(|()| queue.claim());
}

/// A claimed message is recorded as sent.
#[divan::bench(sample_count = 100, sample_size = 1)]
fn settle(bencher: Bencher<'_, '_>) {
    let queue = Queue::new(0);
    let claimed = || {
        queue.accept();
        queue.claim()
    };
    bencher.with_inputs(claimed).bench_local_values(|leased| queue.settle(&leased));
}

/// A recipient is looked up in a blacklist of 100,000 entries: one that is not on it, and one that is.
#[divan::bench(args = [false, true])]
fn blacklist_look_up(bencher: Bencher<'_, '_>, is_listed: bool) {
    let queue = Queue::new(0);
    let entry = |n: u32| ImportedEntry {
        pattern: format!("customer.{n:06}@d{:05}.example", n % 20_011),
        reason: "550 5.1.1 User unknown".to_owned(),
        source: BlacklistSource::Manual,
        added: None,
        expires: None,
    };
    for first in (0..100_000).step_by(1_000) {
        let entries = (first..first + 1_000).map(entry).collect();
        queue.runtime.block_on(queue.store.blacklist_import(entries)).expect("the store can be written");
    }
    let text = if is_listed { entry(5).pattern } else { "anna.schmidt@mail.customer.example".to_owned() };
    let asked = [Address::parse(&text).expect("it is an address")];
    bencher.bench_local(|| {
        queue.runtime.block_on(queue.store.blacklisted(black_box(&asked))).map(|found| found.len())
    });
}
