//! What enters a lane whose ask stands is taken by the transaction that accepts it, and by no other rule than a claim's.

use super::*;
use crate::store::{StandingAsk, StoreOrigin, UsedQuota};

fn take(store: &SqliteStore, messages: u32) -> StandingAsk {
    store.stand(ask(messages))
}

/// A store whose lane has been asked before, as every lane asks that is at work.
async fn asked(dir: &Path, hands: &Hands) -> SqliteStore {
    let store = caller(dir, hands);
    assert_eq!(claim(&store, 1).await, []);
    store
}

fn names(taken: &[Leased]) -> Vec<u32> {
    taken.iter().map(|leased| number(&leased.message.queue_id)).collect()
}

#[tokio::test]
async fn it_comes_as_a_claim_would_have_brought_it() {
    let hands = Hands::at(1_000_000);
    let [by_claim, by_ask] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let mut new = message(7, &["a@b", "dropped@b", "c@d"]);
    new.recipients[1].dropped = true;
    new.limit_wait = Duration::from_secs(3);
    let store = asked(by_claim.path(), &hands).await;
    assert!(store.enqueue(new.clone()).await.unwrap().is_none());
    let [claimed] = &claim(&store, 1).await[..] else { panic!() };
    let (used_then, shown) = (used(&store, Window::DAY).await, store.show(message_id(7)).await.unwrap());

    let store = asked(by_ask.path(), &hands).await;
    let standing = take(&store, 1);
    drop(store.enqueue(new).await.unwrap().expect("it is taken at once"));
    standing.taken().await;
    let [taken] = &standing.end().await[..] else { panic!() };
    let mut expected = claimed.clone();
    (expected.lease, expected.message.content) = (taken.lease, taken.message.content.clone());
    assert_eq!(*taken, expected);
    assert_eq!(taken.message.content.read().await.unwrap(), claimed.message.content.read().await.unwrap());
    assert_eq!(used(&store, Window::DAY).await, used_then);
    assert_eq!(store.show(message_id(7)).await.unwrap(), shown);
    assert_eq!(store.lane_load(&lane()), Load::default());

    // Its settlement is one like any other, and what still waits is due when it says.
    let deliveries = vec![delivery(0, RecipientState::Sent), delivery(2, RecipientState::Waiting)];
    store.settle(settlement(taken.lease, deliveries)).await.unwrap();
    assert_eq!(store.lane_load(&lane()).recipients, 1);
    hands.set(hands.now().0 + 5_000);
    assert_eq!(names(&claim(&store, 1).await), [7]);
}

#[tokio::test]
async fn it_goes_to_the_lane_when_its_session_is_done_with_it() {
    let (dir, hands) = (tempfile::tempdir().unwrap(), Hands::at(1_000_000));
    let store = asked(dir.path(), &hands).await;
    let standing = take(&store, 1);
    let taken = store.enqueue(message(1, &["a@b"])).await.unwrap().unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(20), standing.taken()).await.is_err());
    let end = tokio::spawn(standing.end());
    tokio::task::yield_now().await;
    assert!(!end.is_finished(), "what is on its way is waited for");
    drop(taken);
    assert_eq!(names(&end.await.unwrap()), [1]);
}

#[tokio::test]
async fn only_what_is_next_and_fits_is_taken() {
    let hands = Hands::at(1_000_000);
    let test = |action, address: Option<&str>| Decisions {
        test: Some(TestTreatment { action, address: address.map(self::address) }),
        ..Decisions::default()
    };
    let plain = || message(1, &["a@b"]);
    for (name, new, wanted, is_taken) in [
        ("plain", plain(), ask(1), true),
        ("held", NewMessage { held: true, ..plain() }, ask(1), false),
        ("for later", NewMessage { delay: Duration::from_secs(1), ..plain() }, ask(1), false),
        ("another lane", NewMessage { lane: LaneName::of_upstream("v"), ..plain() }, ask(1), false),
        ("too large", plain(), Ask { max_size: Some(10), ..ask(1) }, false),
        ("just right", plain(), Ask { max_size: Some(plain().content.len()), ..ask(1) }, true),
        ("room", plain(), Ask { ceilings: limits(Window::HOUR, Some(1), None), ..ask(1) }, true),
        ("no room", plain(), Ask { ceilings: limits(Window::HOUR, Some(0), None), ..ask(1) }, false),
        (
            "redirected",
            NewMessage { decisions: test(TestAction::Redirect, Some("t@t")), ..plain() },
            ask(1),
            true,
        ),
        (
            "captured, which no limit counts",
            NewMessage { decisions: test(TestAction::Capture, None), ..plain() },
            Ask { ceilings: limits(Window::HOUR, Some(0), None), ..ask(1) },
            true,
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let store = asked(dir.path(), &hands).await;
        let standing = store.stand(wanted);
        assert_eq!(store.enqueue(new).await.unwrap().is_some(), is_taken, "{name}");
        assert_eq!(standing.end().await.len(), usize::from(is_taken), "{name}");
    }
}

#[tokio::test]
async fn it_takes_as_many_as_it_asked_for_and_nobody_overtakes() {
    let (dir, hands) = (tempfile::tempdir().unwrap(), Hands::at(1_000_000));
    let store = asked(dir.path(), &hands).await;
    let standing = take(&store, 2);
    for n in 0..3 {
        let is_taken = store.enqueue(message(n, &["a@b"])).await.unwrap().is_some();
        assert_eq!(is_taken, n < 2);
    }
    assert_eq!(names(&standing.end().await), [0, 1]);
    // Message 2 waits: what comes now waits behind it, though the lane asks.
    let standing = take(&store, 2);
    assert!(store.enqueue(message(3, &["a@b"])).await.unwrap().is_none());
    assert!(standing.end().await.is_empty());
    assert_eq!(names(&claim(&store, 9).await), [2, 3]);
    // An ask that has ended, or was followed by another, takes nothing.
    let (ended, earlier) = (take(&store, 1), take(&store, 1));
    drop(ended.end().await);
    let later = take(&store, 1);
    assert!(store.enqueue(message(4, &["a@b"])).await.unwrap().is_some());
    assert_eq!((names(&earlier.end().await), names(&later.end().await)), (vec![], vec![4]));
    drop(take(&store, 1));
    assert!(store.enqueue(message(5, &["a@b"])).await.unwrap().is_none());
}

#[tokio::test]
async fn a_larger_envelope_is_split_and_what_is_listed_goes_nowhere() {
    let (dir, hands) = (tempfile::tempdir().unwrap(), Hands::at(1_000_000));
    let store = asked(dir.path(), &hands).await;
    let entry = NewBlacklistEntry { pattern: "b@x".into(), reason: "gone".into(), lasts: None };
    store.blacklist_add(entry).await.unwrap();
    let standing = store.stand(Ask { recipients_per_message: 2, ..ask(1) });
    drop(store.enqueue(message(1, &["a@x", "b@x", "c@x", "d@x", "e@x"])).await.unwrap());
    let [taken] = &standing.end().await[..] else { panic!() };
    let found: Vec<_> = taken.message.recipients.iter().map(|to| (to.index, to.listed.as_deref())).collect();
    assert_eq!(found, [(0, None), (1, Some("gone")), (2, None)]);
    assert_eq!(taken.others_waiting, 2);
}

#[tokio::test]
async fn what_is_undone_was_never_taken() {
    let (dir, hands) = (tempfile::tempdir().unwrap(), Hands::at(1_000_000));
    let store = asked(dir.path(), &hands).await;
    drop(store.enqueue(message(1, &["a@b"])).await.unwrap());
    assert_eq!(names(&claim(&store, 1).await), [1]);
    let other = AccountKey::new("u", "other");
    let mut ceilings = limits(Window::HOUR, Some(1), None);
    ceilings[0].0 = Scope::Account(other.clone());
    let standing = store.stand(Ask { account: other.clone(), ceilings, ..ask(1) });
    // The same name again is refused, when it has been taken for the ask already.
    assert!(store.enqueue(message(1, &["a@b"])).await.is_err());
    // Whose turn it is must be read again first, as after any write that failed; then the next finds the room that it had.
    assert_eq!(claim(&store, 1).await, []);
    drop(store.enqueue(message(2, &["a@b"])).await.unwrap().expect("there is room"));
    assert_eq!(names(&standing.end().await), [2]);
    assert_eq!(used_by(&store, other, Window::HOUR).await, (1, 1));
}

#[tokio::test]
async fn a_start_knows_of_it() {
    let (dir, hands) = (tempfile::tempdir().unwrap(), Hands::at(1_000_000));
    let store = asked(dir.path(), &hands).await;
    let standing = take(&store, 1);
    drop(store.enqueue(message(1, &["a@b"])).await.unwrap());
    assert_eq!(names(&standing.end().await), [1]);
    drop(store);
    let store = caller(dir.path(), &hands);
    let cut_off = store.cut_off(DoubtPauses::default()).await.unwrap();
    assert_eq!(cut_off.iter().map(|cut_off| number(&cut_off.queue_id)).collect::<Vec<_>>(), [1]);
    assert_eq!(store.recover(DoubtPauses::default()).await.unwrap().messages, 1);
    assert_eq!(names(&claim(&store, 1).await), [1]);
    assert_eq!(used(&store, Window::HOUR).await, (2, 2), "the permit of an attempt of unknown end counts");
}

/// What was used up at its start leaves no room for what enters, and what is held is nobody's before a person lets it go.
#[tokio::test]
async fn a_store_that_was_put_in_gives_nothing_unasked() {
    let (dir, hands) = (tempfile::tempdir().unwrap(), Hands::at(1_000_000));
    let store = asked(dir.path(), &hands).await;
    drop(store.enqueue(message(1, &["a@b"])).await.unwrap());
    drop(store);
    let db = Connection::open(dir.path().join("queue.db")).unwrap();
    let mark = restored::NewMark { origin: StoreOrigin::Backup, made: 5, lost: 0, limits: true };
    restored::mark(&db, &mark).unwrap();
    db.close().unwrap();

    let store = caller(dir.path(), &hands);
    let limited = || Ask { ceilings: limits(Window::HOUR, Some(2), None), ..ask(9) };
    // Whatever is known of the limits in memory by then.
    assert!(leased(store.claim(limited()).await.unwrap()).is_empty());
    let amount = Amount { messages: 2, recipients: 0, octets: 0 };
    let quota = UsedQuota { account: account(), window: Window::HOUR, amount };
    let restored = store.restored(vec![quota]).await.unwrap().unwrap();
    assert_eq!((restored.messages, restored.held, restored.is_new), (1, 1, true));
    store.recover(DoubtPauses::default()).await.unwrap();
    assert!(leased(store.claim(limited()).await.unwrap()).is_empty());
    let standing = store.stand(limited());
    assert!(store.enqueue(message(2, &["a@b"])).await.unwrap().is_none(), "the limits are used up");
    assert!(standing.end().await.is_empty());
    assert!(matches!(store.claim(limited()).await.unwrap(), Claimed::Blocked(_)));

    // Where no limit is, new mail goes, and what is held stays.
    assert_eq!(names(&claim(&store, 9).await), [2]);
    let standing = take(&store, 9);
    drop(store.enqueue(message(3, &["a@b"])).await.unwrap().expect("it is taken at once"));
    assert_eq!(names(&standing.end().await), [3]);
    assert_eq!(claim(&store, 9).await, []);
    store.release(message_id(1), Decisions::default()).await.unwrap().unwrap();
    assert_eq!(names(&claim(&store, 9).await), [1]);
}

#[tokio::test]
async fn reports_are_taken_too() {
    let (dir, hands) = (tempfile::tempdir().unwrap(), Hands::at(1_000_000));
    let store = asked(dir.path(), &hands).await;
    let standing = take(&store, 2);
    drop(store.enqueue(message(1, &["a@b"])).await.unwrap());
    standing.taken().await;
    let [first] = &standing.end().await[..] else { panic!() };
    let standing = take(&store, 1);
    let report = NewMessage {
        kind: MessageKind::Report,
        priority: Priority::Report,
        ..message(2, &["a@firm.example"])
    };
    let bounced = settlement(first.lease, vec![delivery(0, RecipientState::Bounced)]);
    store.settle(Settlement { reports: vec![report], ..bounced }).await.unwrap();
    assert_eq!(names(&standing.end().await), [2]);
}

#[tokio::test]
async fn a_lease_costs_no_commit_while_nothing_waits() {
    let (dir, hands) = (tempfile::tempdir().unwrap(), Hands::at(1_000_000));
    let commits = Arc::new(AtomicI64::new(0));
    let (counted, clock) = (commits.clone(), Arc::new(hands.clone()));
    let store = SqliteStore::open_watched(dir.path(), 1_000, (Threading::Writer, clock), |connection| {
        connection.commit_hook(Some(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            false
        }))
    });
    let store = store.unwrap();
    assert_eq!(claim(&store, 1).await, []);
    let mut before = commits.load(Ordering::SeqCst);
    let mut since = || {
        let now = commits.load(Ordering::SeqCst);
        now - std::mem::replace(&mut before, now)
    };
    for n in 0..20 {
        let standing = take(&store, 1);
        drop(store.enqueue(message(n, &["a@b"])).await.unwrap());
        let [taken] = &standing.end().await[..] else { panic!() };
        assert_eq!(since(), 1, "with which it came, under its lease");
        store.settle(settlement(taken.lease, vec![delivery(0, RecipientState::Sent)])).await.unwrap();
        assert_eq!(since(), 1, "which it shares with whatever comes meanwhile");
    }
    assert_eq!(store.totals().await.unwrap().sent, 20);
}
