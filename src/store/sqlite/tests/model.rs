//! The store against a model of it.

use super::*;
use crate::store::{QueueCounts, Totals};

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

/// The messages by state, as the tables have them.
fn counted(dir: &Path) -> QueueCounts {
    let db = Connection::open(dir.join("queue.db")).unwrap();
    let number = |condition: &str| {
        let sql = format!("SELECT count(*) FROM message WHERE {condition}");
        db.query_row(&sql, [], |row| row.get(0)).map(i64::unsigned_abs).unwrap()
    };
    QueueCounts {
        ready: number("state = 0 AND attempts = 0"),
        deferred: number("state = 0 AND attempts > 0"),
        held: number("state = 2"),
        sending: number("state = 1"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The store against a model of it: whatever happens, every accepted recipient is somewhere.
    #[test]
    fn nothing_disappears(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let clock = Hands::at(1_000_000);
            let mut store = caller(dir.path(), &clock);
            let mut queued: BTreeMap<u32, (QueueId, usize)> = BTreeMap::new();
            let mut held: Vec<Leased> = vec![];
            let (mut n, mut accepted, mut done) = (0, 0u64, 0u64);
            for step in steps {
                match step {
                    Step::Enqueue(recipients) => {
                        n += 1;
                        let new = message(n, &["a@b", "c@d", "e@f"][..recipients]);
                        accepted += recipients as u64;
                        queued.insert(n, (new.queue_id.clone(), recipients));
                        store.enqueue(new).await.unwrap();
                    }
                    Step::Claim(messages) => {
                        let before = held.len();
                        held.extend(claim(&store, messages).await);
                        let free = queued.len() - before;
                        assert_eq!(held.len() - before, free.min(messages as usize));
                    }
                    Step::Settle(i, states) if !held.is_empty() => {
                        let leased = held.swap_remove(i % held.len());
                        let deliveries: Vec<_> = leased.message.recipients.iter().map(|r| {
                            let state = match (states >> (2 * r.index)) & 3 {
                                0 => RecipientState::Waiting,
                                1 => RecipientState::Sent,
                                2 => RecipientState::Bounced,
                                _ => RecipientState::Expired,
                            };
                            Delivery { again_in: None, ..delivery(r.index, state) }
                        }).collect();
                        let settled = deliveries.iter().filter(|d| d.state != RecipientState::Waiting).count();
                        let key = *queued.iter().find(|(_, (id, _))| *id == leased.message.queue_id).unwrap().0;
                        let waiting = &mut queued.get_mut(&key).unwrap().1;
                        *waiting -= settled;
                        done += settled as u64;
                        if *waiting == 0 {
                            queued.remove(&key);
                        }
                        let settlement = settlement(leased.lease, deliveries);
                        store.settle(settlement.clone()).await.unwrap();
                        assert!(matches!(store.settle(settlement).await, Err(StoreError::Fenced)));
                    }
                    Step::HandBack(i) if !held.is_empty() => {
                        let leased = held.swap_remove(i % held.len());
                        assert_eq!(store.hand_back(vec![leased.lease, leased.lease]).await.unwrap(), 1);
                    }
                    Step::Delete(i) if !queued.is_empty() => {
                        let (key, (id, waiting)) = queued.iter().nth(i % queued.len()).unwrap();
                        if !held.iter().any(|m| m.message.queue_id == *id) {
                            assert!(store.delete(id.clone()).await.unwrap().is_some());
                            done += *waiting as u64;
                            let key = *key;
                            queued.remove(&key);
                        }
                    }
                    Step::Restart => {
                        drop(store);
                        store = caller(dir.path(), &clock);
                        assert_eq!(store.cut_off(DoubtPauses::default()).await.unwrap().len(), held.len());
                        store.recover(DoubtPauses::default()).await.unwrap();
                        held.clear();
                    }
                    _ => {}
                }
                let totals = store.totals().await.unwrap();
                assert_eq!(totals.accepted, accepted);
                assert_eq!(totals.sent + totals.bounced + totals.expired + totals.deleted, done);
                assert_eq!(totals.queued, accepted - done);
                assert_eq!(store.queue_length(), queued.len() as u64);
                let figures = store.queue_figures().await.unwrap();
                assert_eq!(figures.counts, counted(dir.path()));
                assert_eq!(figures.totals, Totals { queued: 0, ..totals });
            }
        });
    }
}
