//! Windows without a name: counted from when somebody asks for them, over restarts, and let go when nobody does.

use super::*;

fn five() -> Window {
    Window::from_name("5m").unwrap()
}

fn asks(most: u32) -> Ask {
    Ask { ceilings: limits(five(), Some(most), None), ..ask(9) }
}

async fn send(store: &SqliteStore, numbers: std::ops::Range<u32>) {
    for n in numbers {
        store.enqueue(message(n, &["x@there.example"])).await.unwrap();
        let [claimed] = leased(store.claim(ask(1)).await.unwrap()).try_into().unwrap();
        store.settle(settlement(claimed.lease, vec![delivery(0, RecipientState::Sent)])).await.unwrap();
    }
}

async fn until(store: &SqliteStore, most: u32) -> Option<Moment> {
    let room = store.room(asks(most).ceilings, Amount::of_message(1, 0)).await.unwrap();
    room.err().and_then(|wait| wait.until)
}

fn rows(dir: &std::path::Path) -> Vec<(i64, i64)> {
    let db = rusqlite::Connection::open(dir.join("queue.db")).unwrap();
    let mut select =
        db.prepare("SELECT window, sum(messages) FROM usage GROUP BY window ORDER BY window").unwrap();
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn a_window_is_counted_from_when_somebody_asks_and_over_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(1_000_300);
    let store = open(dir.path(), &clock);
    send(&store, 0..2).await;
    assert_eq!(rows(dir.path()), [(0, 2), (1, 2), (2, 2), (3, 2)]);
    // What was sent before is known from the hour: later than it was, by a slot of that at most.
    assert!(matches!(store.claim(asks(2)).await.unwrap(), Claimed::Empty { .. }), "nothing waits");
    assert_eq!(
        until(&store, 2).await,
        Some(five().leaves(five().slot(clock.now()))),
        "it can't be later than now"
    );
    store.enqueue(message(90, &["x@there.example"])).await.unwrap();
    assert!(matches!(store.claim(asks(2)).await.unwrap(), Claimed::Blocked(_)));
    assert_eq!(rows(dir.path()).last(), Some(&(300_000, 2)));
    clock.set(1_060_000);
    let [claimed] = leased(store.claim(asks(3)).await.unwrap()).try_into().unwrap();
    store.settle(settlement(claimed.lease, vec![delivery(0, RecipientState::Sent)])).await.unwrap();
    assert_eq!(rows(dir.path()).last(), Some(&(300_000, 3)));
    drop(store);
    let store = open(dir.path(), &clock);
    store.recover(DoubtPauses::default()).await.unwrap();
    assert_eq!(
        until(&store, 1).await,
        Some(five().leaves(five().slot(Moment(1_060_000)))),
        "as exactly as it was"
    );
    // A window that was forgotten stays so, also over a restart, and the longer ones do not bring it back.
    store.reset_usage("u".into(), vec![five()]).await.unwrap();
    assert_eq!(until(&store, 1).await, None);
    drop(store);
    let store = open(dir.path(), &clock);
    assert_eq!((until(&store, 1).await, used(&store, Window::HOUR).await), (None, (3, 3)));
    store.reset_usage("u".into(), Vec::new()).await.unwrap();
    assert_eq!(rows(dir.path()), []);
}

#[tokio::test]
async fn a_window_that_nobody_asks_for_is_let_go_and_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(1_000_300);
    let store = open(dir.path(), &clock);
    send(&store, 0..1).await;
    assert!(matches!(store.claim(asks(9)).await.unwrap(), Claimed::Empty { .. }));
    assert!(until(&store, 1).await.is_some());
    store.enqueue(message(50, &["x@there.example"])).await.unwrap();
    assert!(matches!(store.claim(asks(1)).await.unwrap(), Claimed::Blocked(_)));
    clock.set(1_000_300 + 3_500_000);
    store.prune().await.unwrap();
    assert_eq!(rows(dir.path()).last().map(|(window, _)| *window), Some(3), "what it counted has left it");
    let [claimed] = leased(store.claim(asks(1)).await.unwrap()).try_into().unwrap();
    store.settle(settlement(claimed.lease, vec![delivery(0, RecipientState::Sent)])).await.unwrap();
    assert_eq!(rows(dir.path()).last(), Some(&(300_000, 1)), "it is still counted");
    // An hour later it is not, and what is sent meanwhile is known by the hour alone.
    clock.set(clock.now().0 + 3_700_000);
    store.prune().await.unwrap();
    send(&store, 51..53).await;
    assert_eq!(rows(dir.path()).last().map(|(window, _)| *window), Some(3));
    drop(store);
    let store = open(dir.path(), &clock);
    let late = until(&store, 2).await.unwrap().0 - clock.now().0 - 300_000;
    assert!((0..=6_500).contains(&late), "{late}");
}

#[tokio::test]
async fn octets_of_a_permit_count_should_the_relay_die() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(1_000_300);
    let store = open(dir.path(), &clock);
    send(&store, 0..1).await;
    // It has no room, and the window is counted all the same.
    let permit = NewPermit {
        account: account(),
        ceilings: limits(five(), Some(1), None),
        needed: Amount::of_message(1, 0),
        recorded: 1,
    };
    assert!(matches!(store.take_permit(permit.clone()).await.unwrap(), Permitted::Blocked(_)));
    assert_eq!(rows(dir.path()).last(), Some(&(300_000, 1)));
    clock.set(1_000_300 + 400_000);
    let Permitted::Granted(granted) = store.take_permit(permit).await.unwrap() else { panic!("it has left") };
    let more = Amount { octets: 5_000, ..Amount::NONE };
    let octets = |most: u64| {
        let mut ceilings = Ceilings::default();
        ceilings.quotas.set(five(), Quota { octets: Some(most), ..Quota::default() });
        PermitExtension { permit: granted, ceilings: vec![(Scope::Account(account()), ceilings)], more }
    };
    assert!(matches!(store.extend_permit(octets(4_999)).await.unwrap(), Permitted::Blocked(_)));
    assert!(matches!(store.extend_permit(octets(5_000)).await.unwrap(), Permitted::Granted(_)));
    drop(store);
    // Should the relay die, the octets count.
    let store = open(dir.path(), &clock);
    store.recover(DoubtPauses::default()).await.unwrap();
    let db = rusqlite::Connection::open(dir.path().join("queue.db")).unwrap();
    let sql = "SELECT max(octets) FROM usage WHERE window = 300000";
    assert_eq!(db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap(), 5_000);
}
