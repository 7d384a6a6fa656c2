//! What became of mail that has left.

use std::collections::BTreeMap;
use std::time::Duration;

use mailsluice::config::TestAction;
use mailsluice::store::*;
use mailsluice::time::Moment;

use crate::World;
use crate::build::*;

const DAY: i64 = 86_400_000;

fn rules(contents: Option<Duration>) -> HistoryRules {
    HistoryRules { entries: Some(Duration::from_hours(30 * 24)), contents, free_disk: 0 }
}

fn anything() -> HistorySearch {
    HistorySearch { limit: 1_000, ..HistorySearch::default() }
}

async fn found(world: &impl World, search: HistorySearch) -> Vec<HistoryEntry> {
    let page = world.store().history(search).await.unwrap();
    assert_eq!(page.next, None);
    page.entries
}

/// Recipients and how they have ended, the oldest first.
async fn ends(world: &impl World, search: HistorySearch) -> Vec<(String, RecipientEnd)> {
    let mut entries = found(world, search).await;
    entries.reverse();
    entries.into_iter().map(|entry| (entry.to, entry.end)).collect()
}

/// Accepts a message and settles it, for all recipients alike.
async fn settle(world: &impl World, new: NewMessage, state: RecipientState) {
    world.store().enqueue(new).await.unwrap();
    let [leased] = claim(world, 1).await.try_into().unwrap();
    world.store().settle(settled(&leased, state)).await.unwrap();
}

async fn pass(world: &impl World, passed: Box<PassedMessage>) {
    let new = NewPermit { account: account(), ceilings: vec![], needed: amount(1), recorded: 1 };
    let Permitted::Granted(permit) = world.store().take_permit(new).await.unwrap() else { panic!() };
    let end = PermitEnd { passed: Some(passed), ..PermitEnd::without_message(permit, Some(amount(1))) };
    for _ in 0..2 {
        world.store().end_permit(end.clone()).await.unwrap();
    }
}

/// The totals and the history tell the same.
async fn agree(world: &impl World) {
    let totals = world.store().totals().await.unwrap();
    let counted = [
        (RecipientEnd::Sent, totals.sent),
        (RecipientEnd::Bounced, totals.bounced),
        (RecipientEnd::Expired, totals.expired),
        (RecipientEnd::Dropped, totals.dropped),
        (RecipientEnd::Captured, totals.captured),
        (RecipientEnd::Deleted, totals.deleted),
    ];
    let mut noted: BTreeMap<RecipientEnd, u64> = RecipientEnd::ALL.map(|end| (end, 0)).into();
    for entry in found(world, anything()).await {
        *noted.get_mut(&entry.end).unwrap() += 1;
    }
    assert_eq!(noted, BTreeMap::from(counted));
    let ended: u64 = counted.iter().map(|(_, count)| count).sum();
    assert_eq!(totals.accepted + totals.generated, ended + totals.queued);
}

pub(crate) async fn each_end_is_noted_once(world: impl World) {
    let store = world.store();
    let mut three = message(1, &["a@there.example", "B@there.example", "c@there.example"]);
    three.recipients[2].dropped = true;
    world.clock().set(2_000_000);
    store.enqueue(three).await.unwrap();
    let claimed = claim(&world, 1).await;
    world.clock().pass(1_000);
    // One is deferred, and bounces later.
    let mut first = sent(&claimed[0]);
    first.deliveries[1].state = RecipientState::Waiting;
    store.settle(first).await.unwrap();
    agree(&world).await;
    let claimed = claim(&world, 1).await;
    world.clock().pass(1_000);
    let mut second = settled(&claimed[0], RecipientState::Bounced);
    second.deliveries[0].reply = "550 5.1.1 no such user".into();
    second.reports = vec![report(2)];
    store.settle(second).await.unwrap();
    agree(&world).await;
    let entries = found(&world, anything()).await;
    let [bounced, sent_one, dropped] = &entries[..] else { panic!("{entries:?}") };
    let same = |entry: &HistoryEntry| {
        (entry.queue_id.clone(), entry.label.clone(), entry.from.clone(), entry.size, entry.accepted_wall)
    };
    for entry in &entries {
        assert_eq!(same(entry), (id(1), label(1), "a@firm.example".to_owned(), 14, 2_000_000));
        assert_eq!((entry.upstream.as_str(), entry.test), ("u", None));
    }
    let each = |entry: &HistoryEntry| (entry.to.clone(), entry.end, entry.attempts, entry.at_wall);
    assert_eq!(each(dropped), ("c@there.example".into(), RecipientEnd::Dropped, 0, 2_000_000));
    assert_eq!(each(sent_one), ("a@there.example".into(), RecipientEnd::Sent, 1, 2_001_000));
    assert_eq!(each(bounced), ("B@there.example".into(), RecipientEnd::Bounced, 2, 2_002_000));
    assert_eq!(bounced.reply, "550 5.1.1 no such user");

    // The report, a message of which nobody gets anything, and one that went through while its client waited.
    let [leased] = claim(&world, 1).await.try_into().unwrap();
    store.settle(sent(&leased)).await.unwrap();
    let mut nobody = message(3, &["d@there.example"]);
    nobody.recipients[0].dropped = true;
    store.enqueue(nobody).await.unwrap();
    pass(&world, passed(4, &["e@there.example", "f@there.example"], &["g@there.example"])).await;
    agree(&world).await;
    // One that outlives the queue, one that stays here, and one that a person deletes when half of it has gone.
    settle(&world, message(5, &["h@there.example"]), RecipientState::Expired).await;
    let test = Decisions::of_test(TestTreatment { action: TestAction::Capture, address: None });
    settle(&world, NewMessage { decisions: test, ..message(6, &["i@b"]) }, RecipientState::Captured).await;
    store.enqueue(message(7, &["j@there.example", "k@there.example"])).await.unwrap();
    let [leased] = claim(&world, 1).await.try_into().unwrap();
    let mut half = deferred(&leased, Duration::from_hours(1));
    half.deliveries[0].state = RecipientState::Sent;
    store.settle(half).await.unwrap();
    store.delete(id(7)).await.unwrap().unwrap();
    agree(&world).await;
    let of = |n| HistorySearch { queue_id: Some(id(n)), ..anything() };
    assert_eq!(found(&world, of(6)).await[0].test, Some(TestAction::Capture));
    let both =
        [("j@there.example".into(), RecipientEnd::Sent), ("k@there.example".into(), RecipientEnd::Deleted)];
    assert_eq!(ends(&world, of(7)).await, both);
}

pub(crate) async fn entries_are_found(world: impl World) {
    for n in 1..=6 {
        let to = format!("X{}@There.example", n % 3);
        let from = if n == 6 { "B@firm.example" } else { "a@firm.example" };
        let reverse_path = mailsluice::mail::ReversePath::Address(address(from));
        settle(&world, NewMessage { reverse_path, ..message(n, &[&to]) }, RecipientState::Sent).await;
        world.clock().pass(1_000);
    }
    let numbers = async |search: HistorySearch| {
        let entries = found(&world, search).await;
        (1..=6).filter(|n| entries.iter().any(|entry| entry.queue_id == id(*n))).collect::<Vec<u32>>()
    };
    let text = |text: &str| Some(text.to_owned());
    for (search, want) in [
        (anything(), &[1, 2, 3, 4, 5, 6][..]),
        (HistorySearch { to: text("x1@THERE.example"), ..anything() }, &[1, 4]),
        (HistorySearch { to: text("x1@elsewhere.example"), ..anything() }, &[]),
        (HistorySearch { from: text("b@firm.example"), ..anything() }, &[6]),
        (HistorySearch { from: text(""), ..anything() }, &[]),
        (HistorySearch { message_id: text("<3@firm.example>"), ..anything() }, &[3]),
        (HistorySearch { message_id: text("3@firm.example"), ..anything() }, &[3]),
        (HistorySearch { message_id: text("7@firm.example"), ..anything() }, &[]),
        (HistorySearch { queue_id: Some(id(2)), ..anything() }, &[2]),
        (HistorySearch { subject: text("NUMBER 5"), ..anything() }, &[5]),
        (HistorySearch { subject: text("umber"), ..anything() }, &[1, 2, 3, 4, 5, 6]),
        (HistorySearch { since: Some(Moment(1_004_000)), ..anything() }, &[5, 6]),
        (
            HistorySearch { since: Some(Moment(1_002_000)), to: text("x0@there.example"), ..anything() },
            &[3, 6],
        ),
        (HistorySearch { to: text("x0@there.example"), from: text("a@firm.example"), ..anything() }, &[3]),
        (HistorySearch { queue_id: Some(id(2)), to: text("x0@there.example"), ..anything() }, &[]),
    ] {
        assert_eq!(numbers(search.clone()).await, want, "{search:?}");
    }
}

pub(crate) async fn pages_lead_to_all_entries(world: impl World) {
    for n in 0..10 {
        settle(&world, message(n, &["x@there.example", "y@there.example"]), RecipientState::Sent).await;
    }
    for to in [None, Some("y@there.example".to_owned())] {
        let all = found(&world, HistorySearch { to: to.clone(), ..anything() }).await;
        let (mut before, mut seen) = (None, Vec::new());
        loop {
            let search = HistorySearch { to: to.clone(), before, limit: 3, ..HistorySearch::default() };
            let page = world.store().history(search).await.unwrap();
            assert!(page.entries.len() <= 3);
            seen.extend(page.entries);
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(seen, all);
        assert!(all.iter().rev().map(|entry| entry.id).is_sorted(), "the newest first");
    }
}

pub(crate) async fn what_is_old_goes(world: impl World) {
    world.store().set_history(rules(None));
    for n in 1..=3 {
        settle(&world, message(n, &["x@there.example"]), RecipientState::Sent).await;
        world.clock().pass(10 * DAY);
    }
    world.store().tidy_history().await.unwrap();
    assert_eq!(found(&world, anything()).await.len(), 3, "the oldest is 30 days old");
    world.clock().pass(1);
    world.store().tidy_history().await.unwrap();
    assert_eq!(found(&world, anything()).await.len(), 2);
    let short = HistoryRules { entries: Some(Duration::from_hours(24)), ..rules(None) };
    world.store().set_history(short);
    world.store().tidy_history().await.unwrap();
    assert_eq!(found(&world, anything()).await, []);
    settle(&world, message(4, &["x@there.example"]), RecipientState::Sent).await;
    assert_eq!(found(&world, anything()).await.len(), 1);
}

pub(crate) async fn nothing_is_noted_where_nothing_is_kept(world: impl World) {
    settle(&world, message(1, &["x@there.example"]), RecipientState::Sent).await;
    world.store().set_history(HistoryRules { entries: None, ..rules(None) });
    settle(&world, message(2, &["x@there.example"]), RecipientState::Sent).await;
    assert_eq!(found(&world, anything()).await.len(), 1, "what was noted before goes when there is time");
    world.store().tidy_history().await.unwrap();
    assert_eq!(found(&world, anything()).await, []);
    assert_eq!(world.store().totals().await.unwrap().sent, 2);
}

pub(crate) async fn an_address_is_forgotten(world: impl World) {
    let store = world.store();
    store.set_history(rules(Some(Duration::from_hours(24))));
    settle(&world, message(1, &["Ann@there.example", "bob@there.example"]), RecipientState::Sent).await;
    settle(&world, message(2, &["bob@there.example"]), RecipientState::Sent).await;
    let from = mailsluice::mail::ReversePath::Address(address("ann@There.example"));
    settle(&world, NewMessage { reverse_path: from, ..message(3, &["c@d"]) }, RecipientState::Sent).await;
    let by_author = NewMessage { sender: "ann@there.example".into(), ..message(4, &["c@d"]) };
    settle(&world, by_author, RecipientState::Sent).await;
    assert_eq!(store.forget("nobody@there.example".into()).await.unwrap(), Forgotten::default());
    let forgotten = store.forget("ANN@there.example".into()).await.unwrap();
    assert_eq!(forgotten, Forgotten { entries: 2, contents: 3 });
    let left = ends(&world, anything()).await;
    let left: Vec<_> = left.iter().map(|(to, _)| to.as_str()).collect();
    assert_eq!(left, ["bob@there.example", "bob@there.example", "c@d"]);
    for (n, want) in [(1, false), (2, true), (3, false), (4, false)] {
        assert_eq!(store.kept(id(n)).await.unwrap().is_some(), want, "{n}");
    }
    let to = Some("ann@there.example".to_owned());
    assert_eq!(found(&world, HistorySearch { to, ..anything() }).await, []);
}

pub(crate) async fn contents_are_kept_where_that_is_wanted(world: impl World) {
    let store = world.store();
    settle(&world, message(1, &["x@there.example"]), RecipientState::Sent).await;
    store.set_history(rules(Some(Duration::from_hours(24))));
    let test =
        Decisions::of_test(TestTreatment { action: TestAction::Redirect, address: Some(address("t@b")) });
    let new =
        NewMessage { decisions: test, smtputf8: true, ..message(2, &["x@there.example", "y@there.example"]) };
    settle(&world, new.clone(), RecipientState::Bounced).await;
    settle(&world, report(3), RecipientState::Sent).await;
    store.enqueue(message(4, &["x@there.example"])).await.unwrap();
    store.delete(id(4)).await.unwrap().unwrap();
    pass(&world, passed(5, &["x@there.example"], &[])).await;
    for (n, want) in [(1, false), (2, true), (3, false), (4, false), (5, true)] {
        assert_eq!(store.kept(id(n)).await.unwrap().is_some(), want, "{n}");
    }
    let kept = store.kept(id(2)).await.unwrap().unwrap();
    assert_eq!(kept.content.read().await.unwrap(), b"Subject: 2\r\n\r\n");
    let NewMessage {
        queue_id, reverse_path, sender, body, smtputf8, request, decisions, label, content, ..
    } = new;
    let want =
        KeptMessage { queue_id, reverse_path, sender, body, smtputf8, request, decisions, label, content };
    assert_eq!(kept, want);
    world.clock().pass(DAY);
    store.tidy_history().await.unwrap();
    assert!(store.kept(id(2)).await.unwrap().is_some());
    world.clock().pass(1);
    store.tidy_history().await.unwrap();
    assert_eq!(store.kept(id(2)).await.unwrap(), None);
    // Where none is kept any more, those that were go at once.
    settle(&world, message(6, &["x@there.example"]), RecipientState::Sent).await;
    assert!(store.kept(id(6)).await.unwrap().is_some());
    store.set_history(rules(None));
    store.tidy_history().await.unwrap();
    assert_eq!(store.kept(id(6)).await.unwrap(), None);
    assert!(found(&world, HistorySearch { queue_id: Some(id(6)), ..anything() }).await.len() == 1);
}

/// What goes through in direct mode may leave copies in the queue, which have its name and its content.
pub(crate) async fn copies_beside_direct_mode_keep_their_content(world: impl World) {
    let store = world.store();
    store.set_history(rules(Some(Duration::from_hours(24))));
    for (n, forgets_first) in [(1, true), (2, false)] {
        pass(&world, passed(n, &["x@there.example"], &[])).await;
        let mut copies = message(n, &["copy@there.example"]);
        copies.recipients[0].copy = true;
        store.enqueue(copies).await.unwrap();
        if forgets_first {
            assert_eq!(store.forget("x@there.example".into()).await.unwrap().contents, 1);
        }
        let [leased] = claim(&world, 1).await.try_into().unwrap();
        assert_eq!(
            leased.message.content.read().await.unwrap(),
            format!("Subject: {n}\r\n\r\n").into_bytes()
        );
        store.settle(sent(&leased)).await.unwrap();
        let kept = store.kept(id(n)).await.unwrap().unwrap();
        assert_eq!(kept.content.read().await.unwrap(), format!("Subject: {n}\r\n\r\n").into_bytes());
    }
}
