//! What a message costs when nothing is new, and what is left of many: no statement is prepared, and the files shrink.

use rusqlite::hooks::{AuthContext, Authorization};

use super::*;

/// Takes a message, claims it, defers it, claims it again, and settles it.
async fn one_message(store: &SqliteStore, hands: &Hands, n: u32) {
    store.enqueue(message(n, &["b@there.example", "c@there.example"])).await.unwrap();
    for (first, second) in
        [(RecipientState::Sent, RecipientState::Waiting), (RecipientState::Bounced, RecipientState::Bounced)]
    {
        hands.set(hands.now().0 + 10_000);
        for leased in claim(store, 1).await {
            let states = leased.message.recipients.iter().zip([first, second]);
            let deliveries =
                states.map(|(to, state)| Delivery { reached: true, ..delivery(to.index, state) }).collect();
            store.settle(settlement(leased.lease, deliveries)).await.unwrap();
        }
    }
    store.next_due(&lane()).await.unwrap();
}

#[tokio::test]
async fn no_statement_is_prepared_twice() {
    let dir = tempfile::tempdir().unwrap();
    let hands = Hands::at(1_000_000);
    let counted = Arc::new(AtomicI64::new(0));
    let counts = counted.clone();
    let clock = Arc::new(hands.clone());
    let store = SqliteStore::open_watched(dir.path(), 1_000, (Threading::Caller, clock), |connection| {
        // It is asked about all that a statement does whenever one is prepared.
        connection.authorizer(Some(move |_: AuthContext<'_>| {
            counts.fetch_add(1, Ordering::Relaxed);
            Authorization::Allow
        }))
    });
    let store = store.unwrap();
    for n in 0..3 {
        one_message(&store, &hands, n).await;
    }
    let before = counted.load(Ordering::Relaxed);
    assert!(before > 0, "they are counted");
    for n in 3..30 {
        one_message(&store, &hands, n).await;
    }
    assert_eq!(counted.load(Ordering::Relaxed), before);
    assert_eq!(store.totals().await.unwrap().accepted, 60);
}

/// Octets of the data base and its log.
fn size(dir: &Path) -> u64 {
    ["queue.db", "queue.db-wal"]
        .iter()
        .map(|name| std::fs::metadata(dir.join(name)).map_or(0, |m| m.len()))
        .sum()
}

#[tokio::test]
async fn what_was_large_is_small_again_when_it_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    let hands = Hands::at(1_000_000);
    let store = caller(dir.path(), &hands);
    let content = Content::memory(vec![b'x'; 60_000]);
    for n in 0..1_000 {
        let large = NewMessage { content: content.clone(), ..message(n, &["b@there.example"]) };
        store.enqueue(large).await.unwrap();
    }
    assert!(size(dir.path()) > 60_000_000);
    while let [leased] = &claim(&store, 1).await[..] {
        store.settle(settlement(leased.lease, vec![delivery(0, RecipientState::Sent)])).await.unwrap();
    }
    store.release_space().await.unwrap();
    let left = size(dir.path());
    assert!(left < 24_000_000, "{left} octets");
    // What is there is sound, and goes on.
    store.enqueue(message(1_000, &["b@there.example"])).await.unwrap();
    drop(store);
    assert_eq!(caller(dir.path(), &hands).queue_length(), 1);
}

#[tokio::test]
async fn a_look_that_comes_too_late_gives_nothing_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = caller(dir.path(), &Hands::at(1_000_000));
    let content = Content::memory(vec![b'x'; 60_000]);
    let large = NewMessage { content, ..message(0, &["b@there.example"]) };
    store.enqueue(large).await.unwrap();
    let [leased] = &claim(&store, 1).await[..] else { panic!("one waits") };
    store.settle(settlement(leased.lease, vec![delivery(0, RecipientState::Sent)])).await.unwrap();
    let free = |db: &Connection| db.pragma_query_value(None, "freelist_count", |row| row.get::<_, i64>(0));
    let before = store.write(move |db| free(db)).await.unwrap();
    assert!(before >= 14, "{before} pages are free");
    // There was a surplus when it was decided to write; it has been used by now.
    assert!(!store.write(shrink::release).await.unwrap());
    assert_eq!(store.write(move |db| free(db)).await.unwrap(), before);
}

#[tokio::test]
async fn what_is_known_of_a_message_by_its_number_is_of_no_later_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = caller(dir.path(), &Hands::at(1_000_000));
    let mut seen = Vec::new();
    for n in 0..3 {
        store.enqueue(message(n, &["b@there.example"])).await.unwrap();
        let [leased] = &claim(&store, 1).await[..] else { panic!("one waits") };
        store.settle(settlement(leased.lease, vec![delivery(0, RecipientState::Sent)])).await.unwrap();
        assert!(!seen.contains(&leased.lease.id), "{seen:?} {:?}", leased.lease.id);
        seen.push(leased.lease.id);
    }
}

#[tokio::test]
async fn a_store_at_rest_keeps_no_long_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), &Hands::at(1_000_000));
    let log = || std::fs::metadata(dir.path().join("queue.db-wal")).unwrap().len();
    let content = Content::memory(vec![b'x'; 60_000]);
    for n in 0..200 {
        let large = NewMessage { content: content.clone(), ..message(n, &["b@there.example"]) };
        store.enqueue(large).await.unwrap();
    }
    assert!(log() > 12_000_000);
    store.release_space().await.unwrap();
    assert!(log() > 12_000_000, "it is at work");
    store.release_space().await.unwrap();
    // Whoever waited for the write has been told, and then the log is cut.
    for _ in 0..2_000 {
        if log() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(log(), 0);
    assert_eq!(store.totals().await.unwrap().accepted, 200);
}

#[tokio::test]
async fn an_older_store_learns_to_shrink() {
    let dir = tempfile::tempdir().unwrap();
    let hands = Hands::at(1_000_000);
    drop(caller(dir.path(), &hands));
    let db = Connection::open(dir.path().join("queue.db")).unwrap();
    let mode =
        |db: &Connection| db.pragma_query_value(None, "auto_vacuum", |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(mode(&db), 2);
    db.pragma_update(None, "journal_mode", "DELETE").unwrap();
    db.execute_batch("PRAGMA auto_vacuum = NONE; VACUUM").unwrap();
    assert_eq!(mode(&db), 0);
    drop(db);
    let store = caller(dir.path(), &hands);
    store.enqueue(message(0, &["b@there.example"])).await.unwrap();
    drop(store);
    let db = Connection::open(dir.path().join("queue.db")).unwrap();
    assert_eq!(mode(&db), 2);
    assert_eq!(caller(dir.path(), &hands).queue_length(), 1);
}
