//! Who goes first, and that nobody is forgotten.

use super::super::change;
use super::*;
use crate::store::MessageId;

/// A message of a submitter, due at once.
fn from(user: &str, n: u32, priority: Priority) -> NewMessage {
    let client = ClientInfo { user: Some(user.into()), ..ClientInfo::default() };
    NewMessage { priority, client, ..message(n, &["x@there.example"]) }
}

async fn queue(store: &SqliteStore, user: &str, numbers: std::ops::Range<u32>, priority: Priority) {
    for n in numbers {
        store.enqueue(from(user, n, priority)).await.unwrap();
    }
}

/// The numbers of the messages that go next; they stay in their attempts.
async fn turns(store: &SqliteStore, messages: u32) -> Vec<u32> {
    claim(store, messages).await.iter().map(|leased| number(&leased.message.queue_id)).collect()
}

const NOW: i64 = 1_000_000;

#[tokio::test]
async fn a_single_mail_leaves_within_two_turns_of_a_burst() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(NOW);
    let store = caller(dir.path(), &clock);
    queue(&store, "burst", 1..300, Priority::Normal).await;
    assert_eq!(turns(&store, 3).await, [1, 2, 3], "within a submitter the longest due first");
    queue(&store, "single", 900..901, Priority::Normal).await;
    assert_eq!(turns(&store, 2).await, [4, 900]);
    // The same one turn at a time, and for one that comes in the middle.
    assert_eq!(turns(&store, 1).await, [5]);
    queue(&store, "late", 901..903, Priority::Normal).await;
    let mut next = Vec::new();
    for _ in 0..4 {
        next.extend(turns(&store, 1).await);
    }
    assert_eq!(next, [6, 901, 7, 902]);
}

#[tokio::test]
async fn who_has_nothing_due_costs_nobody_a_turn() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(NOW);
    let store = caller(dir.path(), &clock);
    queue(&store, "burst", 1..20, Priority::Normal).await;
    clock.set(2_000_000);
    for n in 100..300 {
        store.enqueue(from(&format!("u{n}"), n, Priority::Normal)).await.unwrap();
    }
    clock.set(NOW);
    assert_eq!(turns(&store, 2).await, [1, 2]);
    queue(&store, "zz", 900..901, Priority::Normal).await;
    assert_eq!(turns(&store, 2).await, [3, 900]);
    clock.set(2_000_000);
    let then = claim(&store, 210).await;
    assert_eq!(then.len(), 210, "they wake when their mail is due");
    let burst = then.iter().filter(|leased| leased.message.client.user.as_deref() == Some("burst")).count();
    assert_eq!(burst, 10);
}

#[tokio::test]
async fn an_ipv6_client_counts_by_its_network() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(NOW);
    let store = caller(dir.path(), &clock);
    for n in 1..40 {
        let client = ClientInfo { address: format!("2001:db8:1:2::{n:x}"), ..ClientInfo::default() };
        store.enqueue(NewMessage { client, ..message(n, &["a@b"]) }).await.unwrap();
    }
    let client = ClientInfo { address: "2001:db8:1:3::1".into(), ..ClientInfo::default() };
    store.enqueue(NewMessage { client, ..message(900, &["a@b"]) }).await.unwrap();
    assert_eq!(turns(&store, 3).await, [1, 900, 2]);
}

#[tokio::test]
async fn priorities_go_first_but_starve_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(NOW);
    let store = caller(dir.path(), &clock);
    queue(&store, "low", 3_000..3_010, Priority::Low).await;
    queue(&store, "normal", 2_000..2_030, Priority::Normal).await;
    queue(&store, "high", 1_000..1_120, Priority::High).await;
    queue(&store, "", 1..4, Priority::Report).await;
    let order = turns(&store, 103).await;
    assert_eq!(order[..3], [1, 2, 3], "reports first");
    for (place, number) in order[3..].iter().enumerate() {
        let class = match place + 1 {
            100 => 3,
            tenth if tenth % 10 == 0 => 2,
            _ => 1,
        };
        assert_eq!(number / 1_000, class, "turn {}", place + 1);
    }
    // 30 high, 21 normal, 9 low are left. A report does not wait for the turns of anybody.
    queue(&store, "", 4..5, Priority::Report).await;
    let order = turns(&store, 1_000).await;
    assert_eq!(order[0], 4);
    let last = |class: u32| order.iter().rposition(|number| number / 1_000 == class).unwrap();
    assert!(last(1) < last(2) && last(2) < last(3), "{order:?}");
    assert_eq!(order.len(), 61);
}

#[tokio::test]
async fn all_that_waits_is_made_due_in_portions() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(NOW);
    let store = caller(dir.path(), &clock);
    queue(&store, "a", 1..5, Priority::Normal).await;
    queue(&store, "b", 5..8, Priority::Normal).await;
    for leased in claim(&store, 7).await {
        store.settle(settlement(leased.lease, vec![delivery(0, RecipientState::Waiting)])).await.unwrap();
    }
    assert!(store.hold(message_id(2)).await.unwrap());
    assert_eq!(store.claim(ask(5)).await.unwrap(), Claimed::Empty { next_due: Some(Moment(NOW + 5_000)) });
    let up_to = store.read(change::newest).await.unwrap();
    // One that comes meanwhile is none of its business.
    queue(&store, "c", 8..9, Priority::Normal).await;
    let (mut after, mut portions) = (MessageId(i64::MIN), Vec::new());
    loop {
        let portion = store.write(move |db| change::retry_portion(db, (after, up_to), 3)).await.unwrap();
        portions.push(portion.due);
        match portion.next {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(portions, [2, 3, 1]);
    let mut next = turns(&store, 9).await;
    next.sort_unstable();
    assert_eq!(next, [1, 3, 4, 5, 6, 7, 8], "each has its turn, but for the one that is held");
}

#[tokio::test]
async fn what_waits_again_has_its_turn_again() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(NOW);
    let mut store = caller(dir.path(), &clock);
    queue(&store, "a", 1..2, Priority::Normal).await;
    let id = message_id(1);
    let due = |store: &SqliteStore| store.lane_load(&lane()).messages;
    for change in ["hand_back", "release", "retry", "retry_all", "time", "reroute", "restart", "undone"] {
        let claimed = claim(&store, 5).await;
        assert_eq!((claimed.len(), due(&store)), (1, 0), "before {change}");
        let lease = claimed[0].lease;
        if ["retry", "retry_all", "time", "release", "reroute"].contains(&change) {
            let deferred = settlement(lease, vec![delivery(0, RecipientState::Waiting)]);
            store.settle(deferred).await.unwrap();
            let later = Claimed::Empty { next_due: Some(Moment(NOW + 5_000)) };
            assert_eq!(store.claim(ask(5)).await.unwrap(), later, "{change}");
        }
        match change {
            "hand_back" => assert_eq!(store.hand_back(vec![lease]).await.unwrap(), 1),
            "release" => {
                assert!(store.hold(id.clone()).await.unwrap());
                assert_eq!(due(&store), 0);
                assert_eq!(store.release(id.clone(), Decisions::default()).await.unwrap(), Some(lane()));
            }
            "retry" => assert_eq!(store.retry(id.clone()).await.unwrap(), Some(lane())),
            "retry_all" => assert_eq!(store.retry_all().await.unwrap(), 1),
            "time" => {
                clock.set(NOW + 5_000);
                let claimed = claim(&store, 5).await;
                store.hand_back(vec![claimed[0].lease]).await.unwrap();
                clock.set(NOW);
                store.retry_all().await.unwrap();
            }
            "reroute" => {
                let (here, there) = (lane(), LaneName::of_upstream("v"));
                let to = |to: &LaneName| {
                    vec![LaneMove {
                        sender: "a@firm.example".into(),
                        to: to.clone(),
                        credit: 0,
                        with_decided: false,
                    }]
                };
                store.retry_all().await.unwrap();
                assert_eq!(store.reroute(here.clone(), to(&there)).await.unwrap(), 1);
                assert_eq!((due(&store), store.lane_load(&there).recipients), (0, 1));
                assert_eq!(store.reroute(there, to(&here)).await.unwrap(), 1);
            }
            "restart" => {
                drop(store);
                store = caller(dir.path(), &clock);
                store.recover(DoubtPauses::default()).await.unwrap();
            }
            _ => {
                store.hand_back(vec![lease]).await.unwrap();
                let twice = from("b", 1, Priority::Normal);
                assert!(store.enqueue(twice).await.is_err());
            }
        }
        assert_eq!(due(&store), 1, "{change}");
    }
    assert_eq!(turns(&store, 5).await, [1]);
}

#[tokio::test]
async fn turns_are_shared_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(NOW);
    let store = caller(dir.path(), &clock);
    queue(&store, "burst", 1..50, Priority::Normal).await;
    queue(&store, "single", 900..901, Priority::Normal).await;
    assert_eq!(turns(&store, 2).await, [1, 900]);
    drop(store);
    let clock = Hands::at(NOW);
    let store = caller(dir.path(), &clock);
    store.recover(DoubtPauses::default()).await.unwrap();
    assert_eq!(turns(&store, 2).await, [1, 900]);
}

#[test]
fn no_query_of_a_claim_scans_or_sorts() {
    let dir = tempfile::tempdir().unwrap();
    drop(caller(dir.path(), &Hands::default()));
    let db = Connection::open(dir.path().join("queue.db")).unwrap();
    for query in [
        super::super::claim::FIRST_DUE,
        super::super::claim::FIRST_SUBMITTER,
        super::super::claim::NEXT_SUBMITTER,
        super::super::claim::NEXT_DUE,
        super::super::claim::DUE_LATER,
        super::super::rows::DUE_OF_SUBMITTER,
        super::super::rows::OLDER_THAN,
        super::super::reroute::WAITING,
        super::super::reroute::HELD,
        super::super::place::OWN,
        super::super::place::OTHER,
        super::super::place::CLASS,
        super::super::place::NEXT,
        super::super::place::FIRST,
    ] {
        let mut explain = db.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
        let parameters = vec![0; explain.parameter_count()];
        let steps = explain.query_map(rusqlite::params_from_iter(parameters), |row| row.get::<_, String>(3));
        let steps: Vec<_> = steps.unwrap().collect::<Result<_, _>>().unwrap();
        let plan = steps.join("; ");
        let is_short = !query.contains("queue_id") && !query.contains("sender");
        let index = if is_short { "USING COVERING INDEX message_" } else { "USING INDEX message_" };
        assert!(plan.contains(&format!("SEARCH message {index}")), "{query}: {plan}");
        assert!(!plan.contains("SCAN message") && !plan.contains("TEMP B-TREE"), "{query}: {plan}");
    }
}

/// Not a check: it measures. `cargo test --lib -- --ignored --nocapture what_a_turn_costs`
#[tokio::test]
#[ignore = "it fills a store with a million messages, and measures"]
async fn what_a_turn_costs() {
    for (all, submitters, deferred) in [(1_000, 10, 0), (1_000_000, 10, 0), (1_000_000, 5_000, 100_000)] {
        let dir = tempfile::tempdir().unwrap();
        drop(caller(dir.path(), &Hands::default()));
        let db = Connection::open(dir.path().join("queue.db")).unwrap();
        db.execute_batch(&format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {all}) \
             INSERT INTO message (id, queue_id, kind, priority, state, route, due, age_base, waiting, accepted, \
             accepted_wall, reverse_path, sender, body, smtputf8, client, helo, listener, size, in_file, submitter) \
             SELECT i, printf('%016X', i), 0, 2, 0, 'u', iif(i <= {deferred}, 2000000, i), i, 1, i, i, '', '', 1, 0, \
             '127.0.0.1', 'x', 'l', 3, 0, iif(i % 3 = 0, 'burst', 's' || (i % {submitters})) FROM n; \
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {all}) \
             INSERT INTO recipient (message, place, address, state) SELECT i, 0, 'x@there.example', 0 FROM n;"
        ))
        .unwrap();
        drop(db);
        let started = std::time::Instant::now();
        let store =
            SqliteStore::open(dir.path(), 2_000_000, Threading::Caller, Arc::new(Hands::at(NOW))).unwrap();
        let opened = started.elapsed();
        let first = claim(&store, 1).await;
        let read = started.elapsed().saturating_sub(opened);
        let turn = std::time::Instant::now();
        let claimed = claim(&store, 500).await.len();
        let turn = turn.elapsed() / 500;
        assert_eq!((first.len(), claimed), (1, 500));
        let last = QueueId::parse(&format!("{:016X}", all / 3 * 3)).unwrap();
        let place = std::time::Instant::now();
        let ahead = store.ahead(last).await.unwrap().unwrap();
        let place = place.elapsed();
        println!(
            "{all} queued, {submitters} submitters, {deferred} deferred: open {opened:?}, first claim {read:?}, \
             a turn {turn:?}, {} ahead of the last in {place:?}",
            ahead.messages
        );
    }
}
