//! A message's place, against what then happens; and what waits, against the table.

use super::*;

const USERS: [&str; 4] = ["ann", "bob", "cy", "di"];
const CLASSES: [Priority; 4] = [Priority::Report, Priority::High, Priority::Normal, Priority::Low];

fn from(user: usize, n: u32, priority: Priority) -> NewMessage {
    let recipients = &["a@b", "c@d", "e@f"][..=n as usize % 3];
    let client = ClientInfo { user: Some(USERS[user].into()), ..ClientInfo::default() };
    NewMessage { priority, client, ..message(n, recipients) }
}

#[tokio::test]
async fn a_place_is_what_then_goes_before() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::default();
    let store = caller(dir.path(), &clock);
    let mut n = 0;
    for (user, priority, messages) in [
        (0, Priority::Normal, 300),
        (1, Priority::Normal, 80),
        (2, Priority::Normal, 1),
        (1, Priority::High, 40),
        (3, Priority::Low, 60),
        (0, Priority::Low, 20),
        (0, Priority::Report, 3),
    ] {
        for _ in 0..messages {
            n += 1;
            clock.set(i64::from(n));
            store.enqueue(from(user, n, priority)).await.unwrap();
        }
    }
    // What is deferred, held or in another lane goes before nobody.
    for n in 1_000..1_100 {
        clock.set(9_000_000);
        store.enqueue(from(1, n, Priority::High)).await.unwrap();
        clock.set(i64::from(n));
        store.enqueue(NewMessage { held: true, ..from(2, n + 100, Priority::High) }).await.unwrap();
        store
            .enqueue(NewMessage { lane: LaneName::of_upstream("v"), ..from(3, n + 200, Priority::High) })
            .await
            .unwrap();
    }
    clock.set(1_000_000);
    let mut told = BTreeMap::new();
    for n in 1..=n {
        let ahead = store.ahead(message_id(n)).await.unwrap().unwrap();
        told.insert(n, ahead);
    }
    let places = store.places(lane(), 10_000).await.unwrap();
    let listed = store.list(ListFilter { limit: 10_000, ..ListFilter::default() }).await.unwrap();
    for summary in listed {
        let one = store.ahead(summary.queue_id.clone()).await.unwrap();
        let one = one.filter(|_| summary.lane == lane());
        assert_eq!(places.get(&summary.id).copied(), one, "all at once, or one by one: {summary:?}");
    }
    let waiting = places.len() as u32;
    assert_eq!(store.places(lane(), waiting).await.unwrap().len(), places.len());
    assert!(store.places(lane(), waiting - 1).await.unwrap().is_empty(), "too many to be told");
    let went: Vec<_> = claim(&store, 10_000).await.into_iter().map(|leased| leased.message).collect();
    assert_eq!(went.len(), n as usize);
    let mut recipients = 0;
    for (messages, message) in went.iter().enumerate() {
        let number = number(&message.queue_id);
        let ahead = told[&number];
        // It is never told too early. In its round the others go before it or not, at most three; for each of these nine
        // of high priority may: so much too late it may be told.
        let late = |told: u64, is: usize, slack: u64| {
            let is = is as u64;
            (is..=is + slack + is / 33).contains(&told)
        };
        assert!(late(ahead.messages, messages, 30), "{number}: {ahead:?}, {messages} went");
        assert!(late(ahead.recipients + 2, recipients, 64), "{number}: {ahead:?}, {recipients} went");
        recipients += message.recipients.len();
    }
    let place = |id: QueueId| store.ahead(id);
    assert_eq!(place(went[9].queue_id.clone()).await.unwrap(), Some(Load::default()));
    assert_eq!(place(message_id(1_100)).await.unwrap(), None, "held");
    assert_eq!(place(message_id(9_999)).await.unwrap(), None, "unknown");
}

#[derive(Debug, Clone)]
enum Step {
    Enqueue { user: usize, class: usize, held: bool, lane: bool, due: i64 },
    Claim(u32),
    Settle { which: usize, sent: bool, next: i64 },
    HandBack(usize),
    Hold(usize),
    Release(usize),
    Delete(usize),
    Retry(usize),
    RetryAll,
    Reroute(bool),
    Overdue,
    Twice(usize),
    Restart,
    Pass(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let which = || any::<usize>();
    prop_oneof![
        8 => (0usize..4, 0usize..4, any::<u8>(), any::<bool>(), 0i64..60).prop_map(|(user, class, held, lane, due)|
            Step::Enqueue { user, class, held: held < 30, lane, due }),
        6 => (0u32..5).prop_map(Step::Claim),
        5 => (which(), any::<bool>(), 0i64..60).prop_map(|(which, sent, next)| Step::Settle { which, sent, next }),
        1 => which().prop_map(Step::HandBack),
        1 => which().prop_map(Step::Hold),
        1 => which().prop_map(Step::Release),
        1 => which().prop_map(Step::Delete),
        1 => which().prop_map(Step::Retry),
        1 => Just(Step::RetryAll),
        1 => any::<bool>().prop_map(Step::Reroute),
        1 => Just(Step::Overdue),
        1 => which().prop_map(Step::Twice),
        1 => Just(Step::Restart),
        4 => (1i64..20).prop_map(Step::Pass),
    ]
}

struct World {
    dir: tempfile::TempDir,
    store: Option<SqliteStore>,
    clock: Hands,
    ids: Vec<QueueId>,
    leased: Vec<Lease>,
}

impl World {
    fn open(&mut self) {
        self.store = None;
        self.store = Some(caller(self.dir.path(), &self.clock));
    }

    fn table(&self, condition: &str) -> Load {
        let db = Connection::open(self.dir.path().join("queue.db")).unwrap();
        let sql = format!(
            "SELECT count(*), coalesce(sum(waiting), 0), coalesce(sum(size), 0) FROM message WHERE state = 0 AND {condition}"
        );
        db.query_row(&sql, [], |row| {
            let number = |column| row.get::<_, i64>(column).map(|number| number as u64);
            Ok(Load { messages: number(0)?, recipients: number(1)?, octets: number(2)? })
        })
        .unwrap()
    }

    /// Of a message that is in no attempt: commands would wait for its end.
    async fn idle(&self, which: usize) -> Option<QueueId> {
        let id = self.ids.get(which % self.ids.len().max(1))?.clone();
        let shown = self.store.as_ref().unwrap().show(id.clone()).await.unwrap()?;
        (shown.state != MessageState::Sending).then_some(id)
    }

    async fn take(&mut self, step: Step) {
        let now = self.clock.now();
        let store = self.store.as_ref().unwrap();
        match step {
            Step::Enqueue { user, class, held, lane, due } => {
                let new = from(user, self.ids.len() as u32 + 1, CLASSES[class]);
                self.ids.push(new.queue_id.clone());
                let lane = LaneName::of_upstream(if lane { "u" } else { "v" });
                self.clock.set(now.0 + due - 40);
                store.enqueue(NewMessage { lane, held, ..new }).await.unwrap();
                self.clock.set(now.0);
            }
            Step::Claim(messages) => {
                let due = self.table(&format!("route = 'u' AND due <= {}", now.0)).messages;
                let claimed = claim(store, messages).await;
                assert_eq!(claimed.len() as u64, due.min(u64::from(messages)), "all that is due can be had");
                self.leased.extend(claimed.iter().map(|leased| leased.lease));
            }
            Step::Settle { which, sent, next } if !self.leased.is_empty() => {
                let lease = self.leased.swap_remove(which % self.leased.len());
                let state = if sent { RecipientState::Sent } else { RecipientState::Waiting };
                let again_in = Some(Duration::from_millis(next as u64));
                let one = |index| Delivery { again_in, ..delivery(index, state) };
                let settled = settlement(lease, (0..if sent { 1 } else { 3 }).map(one).collect());
                store.settle(settled).await.unwrap();
            }
            Step::HandBack(which) if !self.leased.is_empty() => {
                let lease = self.leased.swap_remove(which % self.leased.len());
                store.hand_back(vec![lease]).await.unwrap();
            }
            Step::Overdue => {
                let claim = OverdueClaim {
                    lane: lane(),
                    expired_after: Some(Duration::from_millis(50)),
                    warn_after: None,
                    limit_wait: Duration::ZERO,
                    messages: 2,
                };
                let claimed = store.claim_overdue(claim).await.unwrap();
                self.leased.extend(claimed.iter().map(|overdue| overdue.leased.lease));
            }
            Step::RetryAll => drop(store.retry_all().await.unwrap()),
            Step::Reroute(back) => {
                let (from, to) = if back { ("v", "u") } else { ("u", "v") };
                let to = LaneName::of_upstream(to);
                let to = LaneMove { sender: "a@firm.example".into(), to, credit: 0, with_decided: false };
                store.reroute(LaneName::of_upstream(from), vec![to]).await.unwrap();
                let left = self.table(&format!("route = '{from}'"));
                assert_eq!(left, Load::default());
            }
            Step::Restart => {
                self.open();
                self.store.as_ref().unwrap().recover(DoubtPauses::default()).await.unwrap();
                self.leased.clear();
            }
            Step::Pass(millis) => self.clock.set(now.0 + millis),
            other => self.command(other).await,
        }
    }

    /// What people do to one message.
    async fn command(&self, step: Step) {
        let (Step::Hold(which)
        | Step::Release(which)
        | Step::Delete(which)
        | Step::Retry(which)
        | Step::Twice(which)) = step
        else {
            return;
        };
        let Some(id) = self.idle(which).await else {
            return;
        };
        let store = self.store.as_ref().unwrap();
        match step {
            Step::Hold(_) => assert!(store.hold(id).await.unwrap()),
            Step::Release(_) => drop(store.release(id, Decisions::default()).await.unwrap()),
            Step::Delete(_) => assert!(store.delete(id).await.unwrap().is_some()),
            Step::Retry(_) => drop(store.retry(id).await.unwrap()),
            // It fails, and what it had written is rolled back.
            _ => {
                let twice = NewMessage { queue_id: id, ..from(0, 1, Priority::Normal) };
                assert!(store.enqueue(twice).await.is_err());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever happens, the figure in memory is what the table says, and all that is due can be claimed.
    #[test]
    fn what_waits_is_known(steps in prop::collection::vec(step(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let mut world = World { dir, store: None, clock: Hands::at(1_000), ids: vec![], leased: vec![] };
            world.open();
            for step in steps {
                world.take(step.clone()).await;
                for lane in ["u", "v"] {
                    let load = world.store.as_ref().unwrap().lane_load(&LaneName::of_upstream(lane));
                    assert_eq!(load, world.table(&format!("route = '{lane}'")), "after {step:?}");
                }
            }
        });
    }
}
