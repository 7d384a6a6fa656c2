//! Not checks: they measure. `cargo test --release --lib -- --ignored --nocapture costs`

use std::time::Instant;

use super::super::history_index;
use super::*;
use crate::store::{HistoryRules, HistorySearch, HistoryStore as _};

/// Fills a store with messages of so many senders, accepted in the order of their numbers.
fn fill(dir: &Path, all: u32, senders: u32) {
    drop(caller(dir, &Hands::default()));
    let db = Connection::open(dir.join("queue.db")).unwrap();
    db.execute_batch(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {all}) \
         INSERT INTO message (id, queue_id, kind, priority, state, route, due, age_base, waiting, accepted, \
         accepted_wall, reverse_path, sender, body, smtputf8, client, helo, listener, size, in_file, submitter) \
         SELECT i, printf('%016X', i), 0, 2, 0, 'u', i, i, 1, i, i, '', 's' || (i % {senders}) || '@x', 1, 0, \
         '127.0.0.1', 'x', 'l', 3, 0, 'ann' FROM n; \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {all}) \
         INSERT INTO recipient (message, place, address, state) SELECT i, 0, 'x@there.example', 0 FROM n;"
    ))
    .unwrap();
}

#[tokio::test]
#[ignore = "it measures"]
async fn rerouting_costs() {
    for (all, senders) in [(25_000, 1_000), (50_000, 1_000), (50_000, 50_000)] {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), all, senders);
        let store = caller(dir.path(), &Hands::at(1_000_000));
        let begun = Instant::now();
        let used = store.lanes_in_use().await.unwrap();
        let read = begun.elapsed();
        let moves = used.into_iter().map(|used| LaneMove {
            to: LaneName::of_upstream("v"),
            sender: used.sender,
            credit: 0,
            with_decided: false,
        });
        assert_eq!(store.reroute(lane(), moves.collect()).await.unwrap(), u64::from(all));
        println!(
            "{all} of {senders} senders: read {read:?}, moved {:?}",
            begun.elapsed().saturating_sub(read)
        );
    }
}

#[tokio::test]
#[ignore = "it measures"]
async fn a_sweep_costs() {
    for all in [10_000, 20_000, 40_000] {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), all, 10);
        let store = caller(dir.path(), &Hands::at(1_000_000));
        let late = OverdueClaim {
            lane: lane(),
            expired_after: None,
            warn_after: Some(Duration::from_millis(1)),
            limit_wait: Duration::ZERO,
            messages: 100,
        };
        let (begun, mut warned) = (Instant::now(), 0);
        loop {
            let overdue = store.claim_overdue(late.clone()).await.unwrap();
            if overdue.is_empty() {
                break;
            }
            for Overdue { leased, .. } in overdue {
                let warning = Settlement { warned: true, used: None, ..settlement(leased.lease, vec![]) };
                store.settle(warning).await.unwrap();
                warned += 1;
            }
        }
        assert_eq!(warned, all);
        println!("{all} late: {:?} for each", begun.elapsed() / all);
    }
}

/// Processor time of this thread.
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// What a message costs from its acceptance to its end, and what housekeeping spends on it afterwards; without syncs.
async fn cost_of(messages: u32, rules: HistoryRules) -> (Duration, Duration) {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Hands::at(1_000_000));
    let opened = SqliteStore::open_watched(dir.path(), 1_000_000, (Threading::Caller, clock), |connection| {
        connection.pragma_update(None, "synchronous", "OFF")
    });
    let store = opened.unwrap();
    store.set_history(rules);
    let content = Content::memory(vec![b'x'; 10 << 10]);
    let begun = thread_time();
    for n in 0..messages {
        let to = format!("customer{}@elsewhere{}.example", n % 50_000, n % 977);
        store.enqueue(NewMessage { content: content.clone(), ..message(n, &[&to]) }).await.unwrap();
        let [leased] = &claim(&store, 1).await[..] else { panic!("it is due") };
        let sent = vec![delivery(0, RecipientState::Sent)];
        store.settle(settlement(leased.lease, sent)).await.unwrap();
    }
    let settled = thread_time();
    while store.write(history_index::add_run).await.unwrap() {}
    (settled.saturating_sub(begun) / messages, thread_time().saturating_sub(settled) / messages)
}

#[tokio::test]
#[ignore = "it measures"]
async fn a_message_costs_with_and_without_its_history() {
    let none = HistoryRules { entries: None, contents: None, free_disk: 0 };
    let entries = HistoryRules { entries: Some(Duration::from_hours(720)), ..none };
    for (name, rules) in [("none", none), ("entries", entries), ("none", none), ("entries", entries)] {
        let (message, index) = cost_of(40_960, rules).await;
        println!("history {name}: {message:?} of processor for a message, and {index:?} for its index");
    }
}

#[tokio::test]
#[ignore = "it measures"]
async fn a_search_among_a_million_costs() {
    let dir = tempfile::tempdir().unwrap();
    drop(caller(dir.path(), &Hands::default()));
    let all = 1_000_000;
    super::history::fill(dir.path(), all, 20_000);
    let store = caller(dir.path(), &Hands::at(1_000_000));
    let begun = Instant::now();
    store.tidy_history().await.unwrap();
    println!("{all} entries were indexed in {:?}", begun.elapsed());
    let anything = HistorySearch { limit: 1_000, ..HistorySearch::default() };
    let text = |text: String| Some(text);
    for n in [7_i64, 500_011, 999_990] {
        let to = text(format!("x{}@there.example", n % 20_000));
        let message_id = text(format!("<{n}@firm.example>"));
        let queue_id = QueueId::parse(&format!("{n:016}")).ok();
        for (name, search) in [
            ("recipient", HistorySearch { to, ..anything.clone() }),
            ("Message-ID", HistorySearch { message_id, ..anything.clone() }),
            ("queue id", HistorySearch { queue_id, ..anything.clone() }),
            ("subject, a page", HistorySearch { subject: text("no such".into()), ..anything.clone() }),
        ] {
            let begun = Instant::now();
            let page = store.history(search).await.unwrap();
            println!("by {name}: {} entries in {:?}", page.entries.len(), begun.elapsed());
        }
    }
}
