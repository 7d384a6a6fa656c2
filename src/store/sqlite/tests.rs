use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use rusqlite::Connection;

use super::*;
use crate::config::{Quota, TestAction, Window};
use crate::limits::{AccountKey, Amount, Cause, Ceilings, Load, Scope, Wait};
use crate::mail::{Address, Body, MessageRequest, QueueId, RecipientRequest, ReversePath};
use crate::store::{
    Admin, Ask, BlacklistFilter, BlacklistSource, Claimed, Claims, ClientInfo, Content, Decisions, Delivery,
    DoubtPauses, EnqueueError, ImportedEntry, Intake, LaneMove, LaneName, LearnedMailbox, Lease, Leased,
    ListFilter, MessageKind, MessageState, NewBlacklistEntry, NewMessage, NewPermit, NewRecipient,
    NewSuspension, Outlook, Overdue, OverdueClaim, PermitEnd, PermitExtension, PermitId, Permits, Permitted,
    Priority, RecipientState, Recipients, Settlement, StoreError, StoredLabel, SuspensionKind, TestTreatment,
    Upkeep,
};
use crate::time::{Clock, Moment};

mod accounting;
mod calls;
mod content;
mod cost;
mod history;
mod listed;
mod long_blacklist;
mod lost;
mod migration;
mod model;
mod place;
mod standing;
mod steady;
mod turns;
mod windows;

/// A clock that stands still until it is set. Moments are its milliseconds.
#[derive(Debug, Clone, Default)]
struct Hands(Arc<AtomicI64>);

impl Hands {
    fn at(millis: i64) -> Self {
        let hands = Self::default();
        hands.set(millis);
        hands
    }

    fn set(&self, millis: i64) {
        self.0.store(millis, Ordering::SeqCst);
    }

    fn now(&self) -> Moment {
        Moment(self.0.load(Ordering::SeqCst))
    }
}

impl Clock for Hands {
    fn wall(&self) -> Timestamp {
        Timestamp::from_millisecond(self.now().0).unwrap()
    }

    fn since_boot(&self) -> Duration {
        Duration::from_millis(self.now().0 as u64)
    }

    fn boot_id(&self) -> String {
        "test".into()
    }
}

fn open(dir: &Path, clock: &Hands) -> SqliteStore {
    SqliteStore::open(dir, 1000, Threading::Writer, Arc::new(clock.clone())).unwrap()
}

fn caller(dir: &Path, clock: &Hands) -> SqliteStore {
    SqliteStore::open(dir, 100_000, Threading::Caller, Arc::new(clock.clone())).unwrap()
}

fn lane() -> LaneName {
    LaneName::of_upstream("u")
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn message(n: u32, recipients: &[&str]) -> NewMessage {
    let recipient = |to: &&str| NewRecipient {
        address: address(to),
        dropped: false,
        copy: false,
        request: RecipientRequest::default(),
    };
    NewMessage {
        queue_id: QueueId::new(1_000 + i64::from(n), n),
        kind: MessageKind::Submitted,
        priority: Priority::Normal,
        lane: lane(),
        limit_wait: Duration::ZERO,
        delay: Duration::ZERO,
        reverse_path: ReversePath::Address(address("a@firm.example")),
        sender: "a@firm.example".into(),
        body: Body::EightBitMime,
        smtputf8: false,
        request: MessageRequest::default(),
        client: ClientInfo { address: "127.0.0.1".into(), ..ClientInfo::default() },
        decisions: Decisions::default(),
        held: false,
        label: label(n),
        recipients: Recipients::new(recipients.iter().map(recipient).collect()).unwrap(),
        content: Content::memory(format!("Subject: {n}\r\n\r\n").into_bytes()),
    }
}

/// By what a message of this number is found again.
fn label(n: u32) -> StoredLabel {
    StoredLabel { message_id: Some(format!("<{n}@firm.example>")), subject: Some(format!("Number {n}")) }
}

/// The number that a message was made from.
fn number(queue_id: &QueueId) -> u32 {
    (0..100_000).find(|&n| message_id(n) == *queue_id).unwrap()
}

fn message_id(n: u32) -> QueueId {
    QueueId::new(1_000 + i64::from(n), n)
}

fn account() -> AccountKey {
    AccountKey::new("u", "acc")
}

fn ask(messages: u32) -> Ask {
    Ask {
        lane: lane(),
        account: account(),
        ceilings: vec![],
        messages,
        recipients_per_message: 100,
        unfit: Arc::default(),
        max_size: None,
    }
}

/// Limits of the account in a window.
fn limits(window: Window, messages: Option<u32>, recipients: Option<u32>) -> Vec<(Scope, Ceilings)> {
    let mut ceilings = Ceilings::default();
    ceilings.quotas.set(window, Quota { messages, recipients, octets: None });
    vec![(Scope::Account(account()), ceilings)]
}

fn leased(claimed: Claimed) -> Vec<Leased> {
    match claimed {
        Claimed::Messages { leased, .. } => leased,
        Claimed::Blocked(wait) => panic!("{wait:?}"),
        Claimed::Empty { .. } => vec![],
    }
}

/// `abc` in a file.
async fn uploaded(store: &SqliteStore, id: &QueueId) -> Content {
    let mut upload = store.upload(id);
    upload.write(b"abc".to_vec()).await.unwrap();
    upload.finish().await.unwrap()
}

async fn claim(store: &SqliteStore, messages: u32) -> Vec<Leased> {
    leased(store.claim(ask(messages)).await.unwrap())
}

fn delivery(index: u32, state: RecipientState) -> Delivery {
    Delivery {
        index,
        state,
        reply: "250 2.0.0 OK".into(),
        counts: true,
        failed: false,
        doubtful: false,
        again_in: Some(Duration::from_secs(5)),
        reached: false,
    }
}

fn settlement(lease: Lease, deliveries: Vec<Delivery>) -> Settlement {
    Settlement {
        lease,
        deliveries,
        counts: true,
        warned: false,
        hold: false,
        used: Some(Amount::of_message(1, 10)),
        reports: vec![],
        copy: None,
    }
}

/// Messages and recipients in a window of the account.
async fn used(store: &SqliteStore, window: Window) -> (u64, u64) {
    used_by(store, account(), window).await
}

async fn used_by(store: &SqliteStore, account: AccountKey, window: Window) -> (u64, u64) {
    let scope = Scope::Account(account);
    let mut counts = store.usage(vec![scope.clone()]).await.unwrap();
    let now = store.timeline().now();
    let lines = crate::limits::LimitLine::of_scope(
        &scope,
        &Ceilings::default(),
        &mut counts[0],
        now,
        store.timeline(),
    );
    let line = lines.iter().find(|line| line.window == window).unwrap();
    (line.messages_used, line.recipients_used)
}
