use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::TestAction;
use crate::mail::{Address, Body, MessageRequest, RecipientRequest, ReversePath};
use crate::store::{
    BlacklistCandidate, BlacklistSource, ClientInfo, Delivery, MessageKind, MessageState, NewRecipient,
    Permit, Priority, RecipientState, TestTreatment,
};

mod place;
mod turns;

fn open(dir: &Path) -> SqliteStore {
    SqliteStore::open(dir, 1000, Threading::Writer).unwrap()
}

fn message(n: u32, recipients: &[&str]) -> NewMessage {
    NewMessage {
        queue_id: QueueId::new(1_000 + i64::from(n), n),
        kind: MessageKind::Submitted,
        priority: Priority::Normal,
        route: "u".into(),
        accepted: Moment(i64::from(n)),
        accepted_wall: i64::from(n),
        limit_wait: 0,
        reverse_path: ReversePath::Address(Address::parse("a@firm.example").unwrap()),
        sender: "a@firm.example".into(),
        body: Body::EightBitMime,
        smtputf8: false,
        request: MessageRequest::default(),
        client: ClientInfo { address: "127.0.0.1".into(), ..ClientInfo::default() },
        test: None,
        held: false,
        recipients: recipients
            .iter()
            .map(|r| NewRecipient {
                address: Address::parse(r).unwrap(),
                dropped: false,
                request: RecipientRequest::default(),
            })
            .collect(),
        content: StoredContent::Inline(format!("Subject: {n}\r\n\r\n").into_bytes()),
    }
}

fn claim(now: i64, messages: u32) -> Claim {
    Claim {
        route: "u".into(),
        upstream: "u".into(),
        account: "acc".into(),
        now: Moment(now),
        lease_until: Moment(now + 1000),
        messages,
        recipients: u32::MAX,
        recipients_per_message: 100,
    }
}

fn delivery(index: u32, state: RecipientState) -> Delivery {
    Delivery { index, state, reply: "250 2.0.0 OK".into(), counts: true, failed: false, blacklist: None }
}

fn settlement(id: MessageId, deliveries: Vec<Delivery>) -> Settlement {
    Settlement {
        id,
        deliveries,
        next_attempt: Some(Moment(5_000)),
        counts: true,
        warned: false,
        permit: Some(Permit {
            upstream: "u".into(),
            account: "acc".into(),
            ended: Moment(2_000),
            messages: 1,
            recipients: 1,
        }),
        reports: vec![],
    }
}

fn day(rows: &[UsageRow]) -> (u32, u32) {
    let day = rows.iter().filter(|r| r.window == Window::Day);
    day.fold((0, 0), |sum, row| (sum.0 + row.messages, sum.1 + row.recipients))
}

#[tokio::test]
async fn a_message_goes_through() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.enqueue(message(1, &["x@there.example", "y@there.example"])).await.unwrap();
    let claimed = store.claim(claim(100, 10)).await.unwrap();
    let [first] = claimed.messages.as_slice() else { panic!("{claimed:?}") };
    assert_eq!(first.recipients.len(), 2);
    assert_eq!(first.content, crate::store::Content::Inline(b"Subject: 1\r\n\r\n".to_vec()));
    assert_eq!(store.counts().await.unwrap().sending, 1);
    assert!(store.claim(claim(100, 10)).await.unwrap().messages.is_empty(), "it is under a lease");

    let mut report = message(2, &["a@firm.example"]);
    report.kind = MessageKind::Report;
    report.priority = Priority::Report;
    report.accepted = Moment(9_000);
    let mut partly =
        settlement(first.id, vec![delivery(0, RecipientState::Sent), delivery(1, RecipientState::Waiting)]);
    partly.reports = vec![report];
    store.settle(partly).await.unwrap();
    assert_eq!(store.queue_length(), 2);
    assert_eq!(day(&store.usage().await.unwrap()), (1, 1));
    let shown = store.show(first.queue_id.clone()).await.unwrap().unwrap();
    assert_eq!(shown.recipients[0].state, RecipientState::Sent);
    assert_eq!(shown.recipients[1].attempts, 1);
    assert_eq!(shown.state, MessageState::Deferred);

    let early = store.claim(claim(4_999, 10)).await.unwrap();
    assert!(early.messages.is_empty());
    assert_eq!(early.next_due, Some(Moment(5_000)));
    let again = store.claim(claim(9_000, 10)).await.unwrap().messages;
    assert_eq!(again.len(), 2);
    assert_eq!(again[0].kind, MessageKind::Report, "our own reports go first");
    for message in again {
        let index = message.recipients[0].index;
        store.settle(settlement(message.id, vec![delivery(index, RecipientState::Sent)])).await.unwrap();
    }
    assert_eq!(store.queue_length(), 0);
    let totals = store.totals().await.unwrap();
    assert_eq!((totals.accepted, totals.generated, totals.sent, totals.queued), (2, 1, 3, 0));
}

#[tokio::test]
async fn a_start_voids_leases_and_counts_their_permits() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.enqueue(message(1, &["x@there.example"])).await.unwrap();
    store.enqueue(message(2, &["x@there.example", "y@there.example"])).await.unwrap();
    assert_eq!(store.claim(claim(10, 10)).await.unwrap().messages.len(), 2);
    drop(store);
    let store = open(dir.path());
    let recovered = store.recover(Moment(50)).await.unwrap();
    assert_eq!((recovered.messages, recovered.unknown.len()), (2, 2));
    assert_eq!(day(&store.usage().await.unwrap()), (2, 3));
    assert_eq!(store.claim(claim(60, 10)).await.unwrap().messages.len(), 2);
}

#[tokio::test]
async fn handing_back_returns_the_permit() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.enqueue(message(1, &["x@there.example"])).await.unwrap();
    let claimed = store.claim(claim(10, 1)).await.unwrap().messages;
    store.hand_back(vec![claimed[0].id]).await.unwrap();
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.recover(Moment(50)).await.unwrap().unknown, vec![]);
    assert_eq!(day(&store.usage().await.unwrap()), (0, 0));
}

#[tokio::test]
async fn a_claim_keeps_to_its_budget() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.enqueue(message(1, &["a@b", "b@b", "c@b"])).await.unwrap();
    store.enqueue(message(2, &["a@b", "b@b"])).await.unwrap();
    let mut test = message(3, &["a@b", "b@b", "c@b", "d@b"]);
    test.test =
        Some(TestTreatment { action: TestAction::Redirect, address: Some(Address::parse("t@b").unwrap()) });
    store.enqueue(test).await.unwrap();
    let small = Claim { recipients: 4, recipients_per_message: 2, ..claim(10, 10) };
    let claimed = store.claim(small).await.unwrap();
    let sizes: Vec<_> =
        claimed.messages.iter().map(|m| (m.recipients.len(), m.others_waiting, m.others_at_once)).collect();
    assert_eq!(sizes, [(2, 1, 1), (2, 0, 0)], "split at two, and the test copy does not fit any more");
    assert_eq!(claimed.next_recipients, Some(1));
    let rest = store.claim(Claim { recipients: 1, ..claim(10, 10) }).await.unwrap();
    assert_eq!(rest.messages[0].recipients.len(), 4, "one copy stands for all");
}

#[tokio::test]
async fn refuses_a_second_instance_and_a_newer_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let second = SqliteStore::open(dir.path(), 10, Threading::Caller);
    assert!(matches!(second.err(), Some(StoreError::InUse(_))));
    drop(store);
    let connection = Connection::open(dir.path().join("queue.db")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let newer = SqliteStore::open(dir.path(), 10, Threading::Caller);
    assert!(matches!(newer.err(), Some(StoreError::Newer { found: 99, .. })));
}

#[tokio::test]
async fn a_full_queue_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path(), 1, Threading::Writer).unwrap();
    store.enqueue(message(1, &["a@b"])).await.unwrap();
    let full = store.enqueue(message(2, &["a@b"])).await;
    assert!(matches!(full, Err(EnqueueError::Full { messages: 1, limit: 1 })));
    let twice = store.enqueue(message(1, &["a@b"])).await;
    assert!(twice.is_err());
    assert_eq!(store.queue_length(), 1);
}

#[tokio::test]
async fn one_bad_write_in_a_batch_harms_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(dir.path()));
    store.enqueue(message(7, &["a@b"])).await.unwrap();
    let tasks: Vec<_> = (0..200)
        .map(|n| {
            let store = store.clone();
            // Every tenth takes the queue id that is already there.
            tokio::spawn(async move {
                store.enqueue(message(if n % 10 == 0 { 7 } else { n + 100 }, &["a@b"])).await
            })
        })
        .collect();
    let mut failed = 0;
    for task in tasks {
        failed += u32::from(task.await.unwrap().is_err());
    }
    assert_eq!(failed, 20);
    assert_eq!(store.queue_length(), 181);
    assert_eq!(store.counts().await.unwrap().ready, 181);
    assert_eq!(store.totals().await.unwrap().accepted, 181);
    store.healthy().unwrap();
}

#[tokio::test]
async fn deleting_waits_for_the_attempt() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(dir.path()));
    let two = message(1, &["a@b", "c@d"]);
    store.enqueue(two.clone()).await.unwrap();
    let claimed = store.claim(claim(10, 1)).await.unwrap().messages;
    let deleting = tokio::spawn({
        let (store, id) = (store.clone(), two.queue_id.clone());
        async move { store.delete(id).await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!deleting.is_finished());
    store.settle(settlement(claimed[0].id, vec![delivery(0, RecipientState::Sent)])).await.unwrap();
    let deleted = deleting.await.unwrap().unwrap().unwrap();
    assert_eq!(deleted.recipients[1].state, RecipientState::Waiting);
    let totals = store.totals().await.unwrap();
    assert_eq!((totals.sent, totals.deleted, totals.queued), (1, 1, 0));
    assert_eq!(store.delete(two.queue_id).await.unwrap(), None);
}

#[tokio::test]
async fn overdue_messages_are_found_by_their_age() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for n in [10, 20, 30] {
        store.enqueue(message(n, &["a@b"])).await.unwrap();
    }
    // This one came when its lane had already waited for limits: its age counts from earlier by that much.
    store.enqueue(NewMessage { limit_wait: 35, ..message(40, &["a@b"]) }).await.unwrap();
    let overdue = OverdueClaim {
        route: "u".into(),
        now: Moment(100),
        lease_until: Moment(200),
        expired_before: Some(15),
        warn_before: Some(25),
        messages: 10,
    };
    let claimed = store.claim_overdue(overdue.clone()).await.unwrap();
    let ages: Vec<_> = claimed.iter().map(|m| m.age_base).collect();
    assert_eq!(ages, [5, 10, 20]);
    store
        .settle(Settlement { warned: true, permit: None, ..settlement(claimed[2].id, vec![]) })
        .await
        .unwrap();
    store.hand_back(vec![claimed[0].id, claimed[1].id]).await.unwrap();
    assert_eq!(store.claim_overdue(overdue).await.unwrap().len(), 2, "it is warned about once");
}

#[tokio::test]
async fn the_blacklist_matches_and_fills_itself() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for pattern in ["Lost@there.example", "@gone.example", "*.bad.example"] {
        let entry = BlacklistEntry {
            pattern: pattern.into(),
            reason: "r".into(),
            source: BlacklistSource::Manual,
            added: 1,
            expires: (pattern == "@gone.example").then_some(Moment(1_000)),
        };
        store.blacklist_add(entry).await.unwrap();
    }
    for (address, at, want) in [
        ("LOST@there.example", 10, Some("lost@there.example")),
        ("found@there.example", 10, None),
        ("x@gone.example", 10, Some("@gone.example")),
        ("x@gone.example", 1_000, None),
        ("x@a.b.bad.example", 10, Some("*.bad.example")),
        ("x@bad.example", 10, None),
    ] {
        let found = store.blacklist_match(address.into(), Moment(at)).await.unwrap();
        assert_eq!(found.map(|e| e.pattern).as_deref(), want, "{address}");
    }
    let candidate =
        BlacklistCandidate { address: "New@there.example".into(), after: 2, added: 5, expires: None };
    for n in 1..=2 {
        store.enqueue(message(n, &["new@there.example"])).await.unwrap();
        let claimed = store.claim(claim(10, 1)).await.unwrap().messages;
        assert!(store.blacklist_match("new@there.example".into(), Moment(10)).await.unwrap().is_none());
        let bounced = Delivery { blacklist: Some(candidate.clone()), ..delivery(0, RecipientState::Bounced) };
        store.settle(settlement(claimed[0].id, vec![bounced])).await.unwrap();
    }
    let entry = store.blacklist_match("new@there.example".into(), Moment(10)).await.unwrap().unwrap();
    assert_eq!(entry.source, BlacklistSource::Bounce);
    assert!(store.blacklist_remove("new@there.example".into()).await.unwrap());
    assert!(!store.blacklist_remove("new@there.example".into()).await.unwrap());
}

#[tokio::test]
async fn orphaned_content_goes_and_claimed_content_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let kept = NewMessage { content: StoredContent::File(3), ..message(1, &["a@b"]) };
    let orphan = QueueId::new(9, 9);
    for id in [&kept.queue_id, &orphan] {
        tokio::fs::write(dir.path().join("content").join(id.as_str()), "abc").await.unwrap();
    }
    store.enqueue(kept.clone()).await.unwrap();
    assert_eq!(store.recover(Moment(1)).await.unwrap().orphans, 1);
    assert_eq!(store.content(kept.queue_id.clone()).await.unwrap().as_deref(), Some(b"abc".as_slice()));
    let claimed = store.claim(claim(10, 1)).await.unwrap().messages;
    store.settle(settlement(claimed[0].id, vec![delivery(0, RecipientState::Sent)])).await.unwrap();
    assert_eq!(std::fs::read_dir(dir.path().join("content")).unwrap().count(), 0);
}

#[tokio::test]
async fn counts_leave_the_table_after_their_windows() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.enqueue(message(1, &["a@b"])).await.unwrap();
    let claimed = store.claim(claim(10, 1)).await.unwrap().messages;
    store.settle(settlement(claimed[0].id, vec![delivery(0, RecipientState::Sent)])).await.unwrap();
    store.prune_usage(Moment(2_000).after(Window::Hour.length())).await.unwrap();
    let left: Vec<_> = store.usage().await.unwrap().into_iter().map(|r| r.window).collect();
    assert_eq!(left, [Window::Hour, Window::Day, Window::Week], "the hour's slot may still count");
    store.reset_usage("u".into(), vec![Window::Day]).await.unwrap();
    assert_eq!(store.usage().await.unwrap().len(), 2);
}

#[derive(Debug, Clone)]
enum Step {
    Enqueue(usize),
    Claim(u32),
    Settle(usize, u8),
    HandBack(usize),
    Delete(usize),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1usize..4).prop_map(Step::Enqueue),
        4 => (1u32..4).prop_map(Step::Claim),
        4 => (any::<usize>(), any::<u8>()).prop_map(|(i, s)| Step::Settle(i, s)),
        1 => any::<usize>().prop_map(Step::HandBack),
        1 => any::<usize>().prop_map(Step::Delete),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The store against a model of it: whatever happens, every accepted recipient is somewhere.
    #[test]
    fn nothing_disappears(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let mut store = SqliteStore::open(dir.path(), 1000, Threading::Caller).unwrap();
            let mut queued: BTreeMap<i64, (QueueId, usize)> = BTreeMap::new();
            let mut leased: Vec<QueuedMessage> = vec![];
            let (mut n, mut accepted, mut done) = (0, 0u64, 0u64);
            for step in steps {
                match step {
                    Step::Enqueue(recipients) => {
                        n += 1;
                        let new = message(n, &["a@b", "c@d", "e@f"][..recipients]);
                        accepted += recipients as u64;
                        queued.insert(i64::from(n), (new.queue_id.clone(), recipients));
                        store.enqueue(new).await.unwrap();
                    }
                    Step::Claim(messages) => {
                        let before = leased.len();
                        leased.extend(store.claim(claim(1_000_000, messages)).await.unwrap().messages);
                        let free = queued.len() - before;
                        assert_eq!(leased.len() - before, free.min(messages as usize));
                    }
                    Step::Settle(i, states) if !leased.is_empty() => {
                        let message = leased.swap_remove(i % leased.len());
                        let deliveries: Vec<_> = message.recipients.iter().map(|r| {
                            let state = match (states >> (2 * r.index)) & 3 {
                                0 => RecipientState::Waiting,
                                1 => RecipientState::Sent,
                                2 => RecipientState::Bounced,
                                _ => RecipientState::Expired,
                            };
                            delivery(r.index, state)
                        }).collect();
                        let settled = deliveries.iter().filter(|d| d.state != RecipientState::Waiting).count();
                        let key = *queued.iter().find(|(_, (id, _))| *id == message.queue_id).unwrap().0;
                        let waiting = &mut queued.get_mut(&key).unwrap().1;
                        *waiting -= settled;
                        done += settled as u64;
                        if *waiting == 0 {
                            queued.remove(&key);
                        }
                        store.settle(settlement(message.id, deliveries)).await.unwrap();
                    }
                    Step::HandBack(i) if !leased.is_empty() => {
                        let message = leased.swap_remove(i % leased.len());
                        store.hand_back(vec![message.id]).await.unwrap();
                    }
                    Step::Delete(i) if !queued.is_empty() => {
                        let (key, (id, waiting)) = queued.iter().nth(i % queued.len()).unwrap();
                        if !leased.iter().any(|m| m.queue_id == *id) {
                            assert!(store.delete(id.clone()).await.unwrap().is_some());
                            done += *waiting as u64;
                            let key = *key;
                            queued.remove(&key);
                        }
                    }
                    Step::Restart => {
                        drop(store);
                        store = SqliteStore::open(dir.path(), 1000, Threading::Caller).unwrap();
                        let recovered = store.recover(Moment(1_000_000)).await.unwrap();
                        assert_eq!(recovered.unknown.len(), leased.len());
                        leased.clear();
                    }
                    _ => {}
                }
                let totals = store.totals().await.unwrap();
                assert_eq!(totals.accepted, accepted);
                assert_eq!(totals.sent + totals.bounced + totals.expired + totals.deleted, done);
                assert_eq!(totals.queued, accepted - done);
                assert_eq!(store.queue_length(), queued.len() as u64);
            }
        });
    }
}

fn handover(permit: PermitId, recipients: u32) -> Handover {
    let used = Permit {
        upstream: "u".into(),
        account: "acc".into(),
        ended: Moment(60_000),
        messages: 1,
        recipients,
    };
    Handover { sent: u64::from(recipients), dropped: 1, ..Handover::none(permit, Some(used)) }
}

#[tokio::test]
async fn a_permit_without_a_message_counts_once_and_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let new = || NewPermit { upstream: "u".into(), account: "acc".into(), recipients: 7 };
    let [ended, returned, left] =
        [store.take_permit(new()).await, store.take_permit(new()).await, store.take_permit(new()).await]
            .map(Result::unwrap);
    let report = NewMessage { kind: MessageKind::Report, ..message(9, &["a@firm.example"]) };
    let first = Handover { reports: vec![report], ..handover(ended, 2) };
    for _ in 0..2 {
        store.hand_over(first.clone()).await.unwrap();
    }
    store.hand_over(Handover::none(returned, None)).await.unwrap();
    let totals = store.totals().await.unwrap();
    assert_eq!((totals.accepted, totals.sent, totals.dropped), (3, 2, 1));
    assert_eq!((totals.generated, totals.queued, store.queue_length()), (1, 1, 1));
    let week = |rows: Vec<UsageRow>| {
        let rows = rows.into_iter().filter(|row| row.window == Window::Week);
        rows.fold((0, 0), |sum, row| (sum.0 + row.messages, sum.1 + row.recipients))
    };
    assert_eq!(week(store.usage().await.unwrap()), (1, 2));
    // Killed: what was under way counts in full, as ended at the start.
    drop(store);
    let store = open(dir.path());
    store.recover(Moment(120_000)).await.unwrap();
    assert_eq!(week(store.usage().await.unwrap()), (2, 9));
    store.recover(Moment(130_000)).await.unwrap();
    store.hand_over(handover(left, 7)).await.unwrap();
    assert_eq!(week(store.usage().await.unwrap()), (2, 9), "it was ended by the start");
    assert!(store.take_permit(new()).await.unwrap() > left, "no key is used twice");
}
