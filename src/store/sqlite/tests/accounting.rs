//! What is taken from the limits by claims and permits, and given back; and what the claim decides.

use super::*;
use crate::store::{Message, PassedMessage, QueuedRecipient};

fn report(n: u32) -> NewMessage {
    NewMessage { kind: MessageKind::Report, ..message(n, &["a@firm.example"]) }
}

fn redirected(n: u32, recipients: &[&str]) -> NewMessage {
    let test = TestTreatment { action: TestAction::Redirect, address: Some(address("t@b")) };
    NewMessage { decisions: Decisions::of_test(test), ..message(n, recipients) }
}

#[tokio::test]
async fn a_start_voids_leases_and_counts_their_permits() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(10);
    let store = open(dir.path(), &clock);
    store.enqueue(message(1, &["x@there.example"])).await.unwrap();
    store.enqueue(message(2, &["x@there.example", "y@there.example"])).await.unwrap();
    let before = claim(&store, 10).await;
    assert_eq!(before.len(), 2);
    drop(store);
    clock.set(50);
    let store = open(dir.path(), &clock);
    assert_eq!(used(&store, Window::DAY).await, (2, 3), "they are under way");
    assert_eq!(store.cut_off(DoubtPauses::default()).await.unwrap().len(), 2);
    assert_eq!(store.recover(DoubtPauses::default()).await.unwrap().messages, 2);
    assert_eq!(store.cut_off(DoubtPauses::default()).await.unwrap(), []);
    assert_eq!(used(&store, Window::DAY).await, (2, 3), "and have ended");
    let late = store.settle(settlement(before[0].lease, vec![delivery(0, RecipientState::Sent)])).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "who had them is dead");
    assert_eq!(store.hand_back(vec![before[1].lease]).await.unwrap(), 0);
    assert_eq!(claim(&store, 10).await.len(), 2);
    let late = store.settle(settlement(before[0].lease, vec![delivery(0, RecipientState::Sent)])).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "the message has another lease by now");
    assert_eq!(
        (store.totals().await.unwrap().sent, store.queue_figures().await.unwrap().counts.sending),
        (0, 2)
    );
}

#[tokio::test]
async fn a_login_that_is_spelt_otherwise_has_sent_what_it_has_sent() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(10);
    let login = |user: &str| AccountKey::new("u", user);
    for (n, user) in [(1, "Ann@Müller.test"), (2, "ann@müller.test"), (3, "ann@xn--mller-kva.test")] {
        let store = open(dir.path(), &clock);
        store.recover(DoubtPauses::default()).await.unwrap();
        assert_eq!(used_by(&store, login(user), Window::DAY).await, (n - 1, n - 1), "{user}");
        store.enqueue(message(n as u32, &["x@there.example"])).await.unwrap();
        let ask = Ask { account: login(user), ..ask(1) };
        let [claimed] = leased(store.claim(ask).await.unwrap()).try_into().unwrap();
        store.settle(settlement(claimed.lease, vec![delivery(0, RecipientState::Sent)])).await.unwrap();
        assert_eq!(used_by(&store, login("ANN@MÜLLER.test"), Window::DAY).await, (n, n));
        assert_eq!(used_by(&store, login("bob@müller.test"), Window::DAY).await, (0, 0));
    }
}

#[tokio::test]
async fn handing_back_returns_the_permit() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(10);
    let store = open(dir.path(), &clock);
    store.enqueue(message(1, &["x@there.example"])).await.unwrap();
    let ask = || Ask { ceilings: limits(Window::HOUR, Some(1), None), ..ask(1) };
    let claimed = leased(store.claim(ask()).await.unwrap());
    assert_eq!(used(&store, Window::DAY).await, (1, 1));
    store.enqueue(message(2, &["x@there.example"])).await.unwrap();
    let wait = Wait { cause: Cause::Window(Window::HOUR), until: None };
    assert_eq!(store.claim(ask()).await.unwrap(), Claimed::Blocked(wait));
    store.hand_back(vec![claimed[0].lease]).await.unwrap();
    assert_eq!(leased(store.claim(ask()).await.unwrap()).len(), 1);
    drop(store);
    let store = open(dir.path(), &clock);
    assert_eq!(store.cut_off(DoubtPauses::default()).await.unwrap().len(), 1);
    store.recover(DoubtPauses::default()).await.unwrap();
    assert_eq!(used(&store, Window::DAY).await, (1, 1));
}

#[tokio::test]
async fn a_claim_takes_what_there_is_room_for_and_says_why_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(1_000_000);
    let store = open(dir.path(), &clock);
    let ask = |messages| Ask { ceilings: limits(Window::MINUTE, Some(3), None), ..ask(messages) };
    assert_eq!(store.claim(ask(9)).await.unwrap(), Claimed::Empty { next_due: None });
    for n in 0..5 {
        store.enqueue(message(n, &["a@b"])).await.unwrap();
    }
    let Claimed::Messages { leased: first, more } = store.claim(ask(2)).await.unwrap() else { panic!() };
    assert_eq!((first.len(), more), (2, Some(Moment(1_000_000))), "the connections are used up");
    let Claimed::Messages { leased: second, more } = store.claim(ask(9)).await.unwrap() else { panic!() };
    assert_eq!((second.len(), more), (1, Some(Moment(1_000_000))), "the window is full");
    let blocked = |until| Claimed::Blocked(Wait { cause: Cause::Window(Window::MINUTE), until });
    assert_eq!(store.claim(ask(9)).await.unwrap(), blocked(None), "they are under way");
    for leased in first.iter().chain(&second) {
        store.settle(settlement(leased.lease, vec![delivery(0, RecipientState::Sent)])).await.unwrap();
    }
    let until = Window::MINUTE.leaves(Window::MINUTE.slot(clock.now()));
    assert_eq!(store.claim(ask(9)).await.unwrap(), blocked(Some(until)));
    clock.set(until.0 - 1);
    assert_eq!(store.claim(ask(9)).await.unwrap(), blocked(Some(until)));
    clock.set(until.0);
    let Claimed::Messages { leased: third, more } = store.claim(ask(9)).await.unwrap() else { panic!() };
    assert_eq!((third.len(), more), (2, None));
    // Nothing is due: then nothing is in its way, whatever the limits say.
    assert_eq!(store.claim(ask(9)).await.unwrap(), Claimed::Empty { next_due: None });
}

#[tokio::test]
async fn a_large_envelope_is_split_to_the_room_that_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(1_000_000);
    let store = open(dir.path(), &clock);
    let ask = |most| Ask {
        ceilings: limits(Window::MINUTE, None, Some(4)),
        recipients_per_message: most,
        ..ask(9)
    };
    store.enqueue(message(1, &["a@b", "b@b", "c@b", "d@b", "e@b", "f@b"])).await.unwrap();
    let other = ClientInfo { user: Some("other".into()), ..ClientInfo::default() };
    store.enqueue(NewMessage { client: other, ..message(2, &["a@b"]) }).await.unwrap();
    let sizes = |claimed: &[Leased]| -> Vec<_> {
        claimed.iter().map(|m| (m.message.recipients.len(), m.others_waiting)).collect()
    };
    let first = leased(store.claim(ask(3)).await.unwrap());
    assert_eq!(sizes(&first), [(3, 3), (1, 0)], "split at three, and the other has its turn");
    let sent = |leased: &Leased| {
        let deliveries = leased.message.recipients.iter().map(|r| delivery(r.index, RecipientState::Sent));
        let used = Some(leased.message.amount());
        Settlement { used, ..settlement(leased.lease, deliveries.collect()) }
    };
    store.settle(sent(&first[1])).await.unwrap();
    let after_a_while = Window::MINUTE.leaves(Window::MINUTE.slot(clock.now()));
    clock.set(after_a_while.0 - 1);
    store.settle(sent(&first[0])).await.unwrap();
    clock.set(after_a_while.0);
    let second = leased(store.claim(ask(3)).await.unwrap());
    assert_eq!(sizes(&second), [(1, 2)], "there is room for one");
}

#[tokio::test]
async fn copies_and_captured_mail_need_what_they_send() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(10);
    let store = open(dir.path(), &clock);
    store.enqueue(redirected(1, &["a@b", "b@b", "c@b", "d@b"])).await.unwrap();
    let test = TestTreatment { action: TestAction::Capture, address: None };
    let lane = LaneName::captured();
    let captured =
        NewMessage { decisions: Decisions::of_test(test), lane: lane.clone(), ..message(2, &["a@b", "c@d"]) };
    store.enqueue(captured).await.unwrap();
    let limited = Ask { ceilings: limits(Window::MINUTE, Some(1), Some(1)), ..ask(9) };
    let copy = leased(store.claim(limited.clone()).await.unwrap());
    assert_eq!(copy[0].message.recipients.len(), 4, "one copy stands for all");
    assert_eq!(used(&store, Window::DAY).await, (1, 1));
    let kept = leased(store.claim(Ask { lane, ..limited }).await.unwrap());
    assert_eq!(kept[0].message.recipients.len(), 2, "what stays here needs no permit");
    assert_eq!(used(&store, Window::DAY).await, (1, 1));
    for (leased, used) in [(&copy[0], Some(Amount::of_message(1, 5))), (&kept[0], None)] {
        store.settle(Settlement { used, ..settlement(leased.lease, vec![]) }).await.unwrap();
    }
    assert_eq!(used(&store, Window::DAY).await, (1, 1));
}

#[tokio::test]
async fn accounts_share_what_is_shared_and_wait_for_what_lasts_longest() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(1_000_000);
    let store = open(dir.path(), &clock);
    let of = |name: &str| {
        let key = AccountKey::new("u", name);
        let [own, upstream] = key.scopes();
        let mut ceilings = limits(Window::MINUTE, Some(2), None);
        let mut shared = limits(Window::DAY, Some(3), None);
        let ceilings = vec![(own, ceilings.remove(0).1), (upstream, shared.remove(0).1)];
        Ask { account: key, ceilings, ..ask(9) }
    };
    for n in 0..6 {
        store.enqueue(message(n, &["a@b"])).await.unwrap();
    }
    let first = leased(store.claim(of("a")).await.unwrap());
    let second = leased(store.claim(of("b")).await.unwrap());
    assert_eq!((first.len(), second.len()), (2, 1));
    let shared = |until| Claimed::Blocked(Wait { cause: Cause::Shared(Window::DAY), until });
    assert_eq!(store.claim(of("b")).await.unwrap(), shared(None));
    for leased in first.iter().chain(&second) {
        store.settle(settlement(leased.lease, vec![delivery(0, RecipientState::Sent)])).await.unwrap();
    }
    let until = Window::DAY.leaves(Window::DAY.slot(clock.now()));
    assert_eq!(store.claim(of("a")).await.unwrap(), shared(Some(until)));
    let room = store.room(of("b").ceilings, Amount::of_message(1, 1)).await.unwrap();
    assert_eq!(room.unwrap_err().until, Some(until));
    store.reset_usage("u".into(), vec![Window::DAY]).await.unwrap();
    let room = store.room(of("b").ceilings, Amount::of_message(1, 1)).await.unwrap();
    assert_eq!(room.unwrap().messages, 1, "its minute is as it was");
}

#[tokio::test]
async fn counts_leave_the_table_after_their_windows() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(2_000);
    let store = open(dir.path(), &clock);
    store.enqueue(message(1, &["a@b"])).await.unwrap();
    let claimed = claim(&store, 1).await;
    store.settle(settlement(claimed[0].lease, vec![delivery(0, RecipientState::Sent)])).await.unwrap();
    clock.set(Moment(2_000).after(Window::HOUR.length()).0);
    store.prune().await.unwrap();
    let rows = || {
        let db = Connection::open(dir.path().join("queue.db")).unwrap();
        let mut select = db.prepare("SELECT window FROM usage ORDER BY window").unwrap();
        let rows = select.query_map([], |row| row.get::<_, i64>(0)).unwrap();
        rows.collect::<Result<Vec<_>, _>>().unwrap()
    };
    assert_eq!(rows(), [1, 2, 3], "the hour's slot may still count");
    store.reset_usage("u".into(), vec![Window::DAY]).await.unwrap();
    assert_eq!(rows(), [1, 3]);
}

fn new_permit(recipients: u32, recorded: u32) -> NewPermit {
    NewPermit { account: account(), ceilings: vec![], needed: Amount::of_message(recipients, 0), recorded }
}

async fn granted(store: &SqliteStore, permit: NewPermit) -> PermitId {
    match store.take_permit(permit).await.unwrap() {
        Permitted::Granted(id) => id,
        Permitted::Blocked(wait) => panic!("{wait:?}"),
    }
}

fn ended(permit: PermitId, recipients: u32) -> PermitEnd {
    let used = Some(Amount::of_message(recipients, 9));
    let end = PermitEnd::without_message(permit, used);
    let NewMessage { queue_id, lane, reverse_path, sender, client, content, .. } =
        message(700 + recipients, &["a@b"]);
    let to = |index| QueuedRecipient::untried(index, address("a@b"), RecipientRequest::default());
    let message = Message {
        queue_id,
        kind: MessageKind::Submitted,
        lane,
        accepted: Moment(3),
        accepted_wall: 3,
        age_base: 3,
        reverse_path,
        sender,
        body: Body::SevenBit,
        smtputf8: false,
        request: MessageRequest::default(),
        client,
        decisions: Decisions::default(),
        recipients: (0..recipients).map(to).collect(),
        size: content.len(),
        content,
    };
    let passed = PassedMessage {
        message,
        label: label(700),
        dropped: vec![address("c@d")],
        copies: 0,
        reply: "250 2.0.0 OK".into(),
        reached: false,
    };
    PermitEnd { passed: Some(Box::new(passed)), ..end }
}

#[tokio::test]
async fn a_permit_without_a_message_counts_once_and_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(60_000);
    let store = open(dir.path(), &clock);
    let mut ids = vec![];
    for _ in 0..3 {
        ids.push(granted(&store, new_permit(1, 7)).await);
    }
    assert_eq!(used(&store, Window::WEEK).await, (3, 3), "what they have taken, not what they may come to");
    let first = PermitEnd { reports: vec![report(9)], ..ended(ids[0], 2) };
    for _ in 0..2 {
        store.end_permit(first.clone()).await.unwrap();
    }
    store.end_permit(PermitEnd::without_message(ids[1], None)).await.unwrap();
    let totals = store.totals().await.unwrap();
    assert_eq!((totals.accepted, totals.sent, totals.dropped), (3, 2, 1));
    assert_eq!((totals.generated, totals.queued, store.queue_length()), (1, 1, 1));
    // Killed: what was under way counts in full, as ended at the start.
    drop(store);
    clock.set(120_000);
    let store = open(dir.path(), &clock);
    store.recover(DoubtPauses::default()).await.unwrap();
    assert_eq!(used(&store, Window::WEEK).await, (2, 9));
    clock.set(130_000);
    store.recover(DoubtPauses::default()).await.unwrap();
    store.end_permit(ended(ids[2], 7)).await.unwrap();
    let more = PermitExtension { permit: ids[2], ceilings: vec![], more: Amount::of_recipients(1) };
    assert!(matches!(store.extend_permit(more).await, Err(StoreError::Fenced)));
    assert_eq!(used(&store, Window::WEEK).await, (2, 9), "it was ended by the start");
    assert!(granted(&store, new_permit(1, 1)).await > ids[2], "no key is used twice");
}

#[tokio::test]
async fn a_permit_takes_its_room_and_grows_within_it() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(1_000_000);
    let store = open(dir.path(), &clock);
    let ceilings = limits(Window::MINUTE, Some(1), Some(4));
    let new = |recipients| NewPermit { ceilings: ceilings.clone(), ..new_permit(recipients, 2) };
    let blocked = |until| Permitted::Blocked(Wait { cause: Cause::Window(Window::MINUTE), until });
    assert_eq!(store.take_permit(new(5)).await.unwrap(), blocked(None));
    let permit = granted(&store, new(1)).await;
    assert_eq!(store.take_permit(new(1)).await.unwrap(), blocked(None), "it is under way");
    let more = PermitExtension { permit, ceilings: ceilings.clone(), more: Amount::of_recipients(1) };
    for taken in 2..=4 {
        assert_eq!(store.extend_permit(more.clone()).await.unwrap(), Permitted::Granted(permit));
        assert_eq!(used(&store, Window::MINUTE).await, (1, taken));
    }
    assert_eq!(store.extend_permit(more).await.unwrap(), blocked(None));
    store.end_permit(ended(permit, 3)).await.unwrap();
    assert_eq!(used(&store, Window::MINUTE).await, (1, 3));
    // What was beyond the first record is in the tables as well.
    store.reset_usage("u".into(), Window::NAMED.to_vec()).await.unwrap();
    let permit = granted(&store, new(1)).await;
    let more = PermitExtension { permit, ceilings, more: Amount::of_recipients(3) };
    assert_eq!(store.extend_permit(more).await.unwrap(), Permitted::Granted(permit));
    drop(store);
    let store = open(dir.path(), &clock);
    store.recover(DoubtPauses::default()).await.unwrap();
    assert_eq!(used(&store, Window::MINUTE).await, (1, 4));
}

/// A write that fails after it has taken permits.
#[tokio::test]
async fn what_is_undone_is_counted_as_the_tables_say() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(1_000_000);
    let store = caller(dir.path(), &clock);
    let ceilings = limits(Window::MINUTE, Some(9), None);
    let permit = granted(&store, NewPermit { ceilings: ceilings.clone(), ..new_permit(2, 9) }).await;
    for n in 0..3 {
        store.enqueue(message(n, &["a@b"])).await.unwrap();
    }
    let ask = || Ask { ceilings: ceilings.clone(), ..ask(1) };
    let first = leased(store.claim(ask()).await.unwrap());
    assert_eq!(used(&store, Window::MINUTE).await, (2, 3));
    // The report has a queue id that is taken: the settlement fails as a whole.
    let sent = settlement(first[0].lease, vec![delivery(0, RecipientState::Sent)]);
    let failing = Settlement { reports: vec![report(2)], ..sent.clone() };
    assert!(matches!(store.settle(failing).await, Err(StoreError::Database(_))));
    let failing = PermitEnd { reports: vec![report(2)], ..ended(permit, 2) };
    assert!(store.end_permit(failing).await.is_err());
    let room = store.room(ceilings.clone(), Amount::of_message(1, 0)).await.unwrap().unwrap();
    assert_eq!(room.messages, 7);
    assert_eq!(used(&store, Window::MINUTE).await, (2, 3), "the permit counts as what it has taken");
    let more = PermitExtension { permit, ceilings: ceilings.clone(), more: Amount::of_recipients(1) };
    assert_eq!(store.extend_permit(more).await.unwrap(), Permitted::Granted(permit));
    store.settle(sent).await.unwrap();
    store.end_permit(ended(permit, 3)).await.unwrap();
    assert_eq!(used(&store, Window::MINUTE).await, (2, 4));
    // What is here, and what a reader of the tables would count, is the same.
    drop(store);
    assert_eq!(used(&caller(dir.path(), &clock), Window::MINUTE).await, (2, 4));
}

#[tokio::test]
async fn what_an_account_cannot_take_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(1_000);
    let store = caller(dir.path(), &clock);
    let from = |user: &str, n: u32, size: usize| NewMessage {
        client: ClientInfo { user: Some(user.into()), ..ClientInfo::default() },
        content: Content::memory(vec![b'x'; size]),
        ..message(n, &["a@b"])
    };
    for (user, n, size) in [("a", 1, 900), ("a", 2, 900), ("b", 3, 10), ("a", 4, 10), ("c", 5, 900)] {
        store.enqueue(from(user, n, size)).await.unwrap();
    }
    let small = Ask { max_size: Some(500), ..ask(9) };
    let took =
        |leased: &[Leased]| -> Vec<u32> { leased.iter().map(|l| number(&l.message.queue_id)).collect() };
    let claimed = leased(store.claim(small.clone()).await.unwrap());
    assert_eq!(took(&claimed), [4, 3], "what is behind the large ones goes, and the turns are as they were");
    assert_eq!(store.claim(small.clone()).await.unwrap(), Claimed::Empty { next_due: None });
    store.settle(settlement(claimed[1].lease, vec![delivery(0, RecipientState::Waiting)])).await.unwrap();
    let later = Claimed::Empty { next_due: Some(Moment(6_000)) };
    assert_eq!(store.claim(small).await.unwrap(), later, "what is passed over is not due for it");
    let rest = claim(&store, 9).await;
    assert_eq!(took(&rest), [5, 1, 2], "another account takes them, first whoever was passed over");
    store.hand_back(rest.iter().map(|l| l.lease).collect()).await.unwrap();
    let unfit = Arc::new([rest[0].lease.id, rest[1].lease.id].into());
    let claimed = leased(store.claim(Ask { unfit, ..ask(9) }).await.unwrap());
    assert_eq!(took(&claimed), [2], "5 and 1 are unfit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_counted_once_while_it_comes_and_goes() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(dir.path(), &Hands::at(10)));
    store.enqueue(message(1, &["x@there.example"])).await.unwrap();
    let moving = {
        let store = store.clone();
        tokio::spawn(async move {
            for _ in 0..200 {
                let [leased] = claim(&store, 1).await.try_into().unwrap();
                assert_eq!(store.hand_back(vec![leased.lease]).await.unwrap(), 1);
            }
        })
    };
    let mut seen = 0;
    while !moving.is_finished() {
        let counts = store.queue_figures().await.unwrap().counts;
        assert_eq!(counts.ready + counts.deferred + counts.held + counts.sending, 1, "{counts:?}");
        seen += 1;
    }
    moving.await.unwrap();
    assert!(seen > 10, "{seen}");
}
