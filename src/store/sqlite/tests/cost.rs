//! Not checks: they measure. `cargo test --release --lib -- --ignored --nocapture costs`

use std::time::Instant;

use super::*;

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
