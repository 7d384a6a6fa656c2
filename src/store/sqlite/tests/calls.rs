//! What single calls do.

use super::*;

#[tokio::test]
async fn a_message_goes_through() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(100);
    let store = open(dir.path(), &clock);
    store.enqueue(message(1, &["x@there.example", "y@there.example"])).await.unwrap();
    let Claimed::Messages { leased, more: None } = store.claim(ask(10)).await.unwrap() else { panic!() };
    let [first] = leased.as_slice() else { panic!("{leased:?}") };
    assert_eq!(first.message.recipients.len(), 2);
    assert_eq!(first.message.content, Content::memory(b"Subject: 1\r\n\r\n".to_vec()));
    assert_eq!((first.message.accepted, first.message.accepted_wall), (Moment(100), 100));
    assert_eq!(store.queue_figures().await.unwrap().counts.sending, 1);
    assert_eq!(store.claim(ask(10)).await.unwrap(), Claimed::Empty { next_due: None }, "it is under a lease");

    clock.set(2_000);
    let mut report = message(2, &["a@firm.example"]);
    report.kind = MessageKind::Report;
    report.priority = Priority::Report;
    report.held = false;
    let mut partly = settlement(
        first.lease,
        vec![delivery(0, RecipientState::Sent), delivery(1, RecipientState::Waiting)],
    );
    partly.reports = vec![report];
    store.settle(partly).await.unwrap();
    assert_eq!(store.queue_length(), 2);
    assert_eq!(used(&store, Window::DAY).await, (1, 1));
    let shown = store.show(first.message.queue_id.clone()).await.unwrap().unwrap();
    assert_eq!(shown.recipients[0].state, RecipientState::Sent);
    assert_eq!(shown.recipients[1].attempts, 1);
    assert_eq!(shown.state, MessageState::Deferred);

    let early = store.claim(ask(10)).await.unwrap();
    let Claimed::Messages { leased: early, more } = early else { panic!("{early:?}") };
    assert_eq!((early.len(), more), (1, Some(Moment(7_000))), "the report goes at once");
    store.hand_back(vec![early[0].lease]).await.unwrap();
    clock.set(9_000);
    let again = claim(&store, 10).await;
    assert_eq!(again.len(), 2);
    assert_eq!(again[0].message.kind, MessageKind::Report, "our own reports go first");
    for leased in again {
        let index = leased.message.recipients[0].index;
        store.settle(settlement(leased.lease, vec![delivery(index, RecipientState::Sent)])).await.unwrap();
    }
    assert_eq!(store.queue_length(), 0);
    let totals = store.totals().await.unwrap();
    assert_eq!((totals.accepted, totals.generated, totals.sent, totals.queued), (2, 1, 3, 0));
}

#[tokio::test]
async fn refuses_a_second_instance_and_a_newer_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), &Hands::default());
    let again = || SqliteStore::open(dir.path(), 10, Threading::Caller, Arc::new(Hands::default()));
    assert!(matches!(again().err(), Some(StoreError::InUse(_))));
    drop(store);
    let connection = Connection::open(dir.path().join("queue.db")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    assert!(matches!(again().err(), Some(StoreError::Newer { found: 99, .. })));
}

#[tokio::test]
async fn a_full_queue_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path(), 1, Threading::Writer, Arc::new(Hands::default())).unwrap();
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
    let store = Arc::new(open(dir.path(), &Hands::default()));
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
    assert_eq!(store.queue_figures().await.unwrap().counts.ready, 181);
    assert_eq!(store.totals().await.unwrap().accepted, 181);
    store.healthy().unwrap();
}

#[tokio::test]
async fn deleting_waits_for_the_attempt() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(dir.path(), &Hands::at(10)));
    let two = message(1, &["a@b", "c@d"]);
    store.enqueue(two.clone()).await.unwrap();
    let claimed = claim(&store, 1).await;
    let deleting = tokio::spawn({
        let (store, id) = (store.clone(), two.queue_id.clone());
        async move { store.delete(id).await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!deleting.is_finished());
    store.settle(settlement(claimed[0].lease, vec![delivery(0, RecipientState::Sent)])).await.unwrap();
    let deleted = deleting.await.unwrap().unwrap().unwrap();
    assert_eq!(deleted.recipients[1].state, RecipientState::Waiting);
    let totals = store.totals().await.unwrap();
    assert_eq!((totals.sent, totals.deleted, totals.queued), (1, 1, 0));
    assert_eq!(store.delete(two.queue_id).await.unwrap(), None);
}

#[tokio::test]
async fn overdue_messages_are_found_by_their_age() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::default();
    let store = open(dir.path(), &clock);
    for n in [10, 20, 30] {
        clock.set(i64::from(n));
        store.enqueue(message(n, &["a@b"])).await.unwrap();
    }
    // This one came when its lane had already waited for limits: its age counts from earlier by that much.
    clock.set(40);
    let limit_wait = Duration::from_millis(35);
    store.enqueue(NewMessage { limit_wait, ..message(40, &["a@b"]) }).await.unwrap();
    clock.set(135);
    let claim = OverdueClaim {
        lane: lane(),
        expired_after: Some(Duration::from_millis(85)),
        warn_after: Some(Duration::from_millis(75)),
        limit_wait,
        messages: 10,
    };
    let claimed = store.claim_overdue(claim.clone()).await.unwrap();
    let ages: Vec<_> = claimed.iter().map(|m| (m.leased.message.age_base, m.expired)).collect();
    assert_eq!(ages, [(5, true), (10, true), (20, false)]);
    let warned = Settlement { warned: true, used: None, ..settlement(claimed[2].leased.lease, vec![]) };
    store.settle(warned).await.unwrap();
    let leases = claimed[..2].iter().map(|m| m.leased.lease).collect();
    assert_eq!(store.hand_back(leases).await.unwrap(), 2);
    assert_eq!(used(&store, Window::DAY).await, (0, 0), "no permit was taken");
    assert_eq!(store.claim_overdue(claim.clone()).await.unwrap().len(), 2, "it is warned about once");
    // When nothing may end, these are late, too; but one has been warned of, and the others are under a lease.
    let late = OverdueClaim { expired_after: None, ..claim };
    assert!(store.claim_overdue(late).await.unwrap().is_empty());
}

#[tokio::test]
async fn orphaned_content_is_set_aside_and_claimed_content_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), &Hands::at(10));
    let kept = message(1, &["a@b"]);
    let kept_id = kept.queue_id.clone();
    store.enqueue(NewMessage { content: uploaded(&store, &kept_id).await, ..kept }).await.unwrap();
    // Nobody takes it back: killed between the upload and the commit.
    std::mem::forget(uploaded(&store, &QueueId::new(9, 9)).await);
    let orphans = store.recover(DoubtPauses::default()).await.unwrap().orphans;
    assert_eq!(orphans.aside, [QueueId::new(9, 9)]);
    assert_eq!(std::fs::read(dir.path().join("orphaned").join(QueueId::new(9, 9).as_str())).unwrap(), b"abc");
    assert_eq!(store.content(kept_id).await.unwrap().as_deref(), Some(b"abc".as_slice()));
    let claimed = claim(&store, 1).await;
    store.settle(settlement(claimed[0].lease, vec![delivery(0, RecipientState::Sent)])).await.unwrap();
    assert_eq!(std::fs::read_dir(dir.path().join("content")).unwrap().count(), 0);
}

#[tokio::test]
async fn suspensions_last_over_a_restart_and_end_by_kind_or_by_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(5);
    let new = |account: Option<&str>, kind, lasts: Option<u64>| NewSuspension {
        upstream: "u".into(),
        account: account.map(str::to_owned),
        kind,
        lasts: lasts.map(Duration::from_millis),
        login: None,
        reason: "why".into(),
    };
    let store = open(dir.path(), &clock);
    store.suspend(new(None, SuspensionKind::Paused, Some(5))).await.unwrap();
    let paused = store.suspend(new(None, SuspensionKind::Paused, Some(9))).await.unwrap();
    let stopped = store.suspend(new(Some("a"), SuspensionKind::Stopped, None)).await.unwrap();
    assert_eq!((paused.until, stopped.until), (Some(Moment(14)), None));
    drop(store);
    let store = open(dir.path(), &clock);
    assert_eq!(store.suspensions().await.unwrap(), [paused.clone(), stopped.clone()]);
    store.end_suspensions(Some("other".into()), None, vec![SuspensionKind::Stopped]).await.unwrap();
    assert_eq!(store.suspensions().await.unwrap().len(), 2);
    store.end_suspensions(None, None, vec![SuspensionKind::Stopped]).await.unwrap();
    assert_eq!(store.suspensions().await.unwrap(), [paused]);
    clock.set(14);
    assert_eq!(store.suspensions().await.unwrap(), []);
    store.prune().await.unwrap();
}

#[tokio::test]
async fn time_goes_on_from_where_it_was_noted() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(500);
    let store = open(dir.path(), &clock);
    clock.set(700);
    assert_eq!(store.timeline().now(), Moment(700));
    store.note_clock().await.unwrap();
    drop(store);
    clock.set(900);
    assert_eq!(open(dir.path(), &clock).timeline().now(), Moment(900));
}

#[tokio::test]
async fn a_long_read_ends_when_nobody_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), &Hands::at(500));
    let ended = Arc::new(AtomicI64::new(0));
    let theirs = ended.clone();
    let for_ever = move |db: &Connection| {
        theirs.store(1, Ordering::Relaxed);
        let sql = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n";
        let result = db.query_row(sql, [], |row| row.get::<_, i64>(0));
        theirs.store(if result.is_err() { 2 } else { 3 }, Ordering::Relaxed);
        result
    };
    let came_to = async |state| {
        while ended.load(Ordering::Relaxed) != state {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let limit = Duration::from_secs(20);
    tokio::select! {
        _ = store.read_while_awaited(for_ever) => panic!("it ends by itself"),
        () = came_to(1) => {}
        () = tokio::time::sleep(limit) => panic!("it does not begin"),
    }
    tokio::time::timeout(limit, came_to(2)).await.unwrap();
    // What comes next is not broken off.
    assert_eq!(
        store
            .read_while_awaited(|db| db.query_row("SELECT 7", [], |row| row.get::<_, i64>(0)))
            .await
            .unwrap(),
        7
    );
}
