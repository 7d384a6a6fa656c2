//! What people see and do.

use std::collections::BTreeSet;
use std::time::Duration;

use mailsluice::config::TestAction;
use mailsluice::limits::Load;
use mailsluice::mail::AddressKey;
use mailsluice::store::*;
use tokio::time::timeout;

use crate::World;
use crate::build::*;

/// What never comes need not be waited for longer.
const A_WHILE: Duration = Duration::from_millis(50);

pub(crate) async fn messages_are_listed_and_shown(world: impl World) {
    let store = world.store();
    store.enqueue(message(1, &["X@there.example", "y@there.example"])).await.unwrap();
    let bound = NewMessage {
        lane: LaneName::bound("u", &AddressKey::of_text("b@firm.example")),
        held: true,
        ..message(2, &["z@there.example"])
    };
    store.enqueue(NewMessage { sender: "b@firm.example".into(), ..bound }).await.unwrap();
    store.enqueue(NewMessage { lane: LaneName::of_upstream("ux"), ..message(3, &["a@b"]) }).await.unwrap();
    let list = async |filter: ListFilter| {
        let found = store.list(filter).await.unwrap();
        found.into_iter().map(|summary| summary.queue_id).collect::<Vec<_>>()
    };
    let all = || ListFilter { limit: 100, ..ListFilter::default() };
    assert_eq!(list(all()).await, [id(1), id(2), id(3)]);
    assert_eq!(list(ListFilter { limit: 2, ..all() }).await, [id(1), id(2)]);
    // Page by page, also when the message with which the last page ended has left meanwhile.
    let keys: Vec<_> = store.list(all()).await.unwrap().into_iter().map(|summary| summary.id).collect();
    for (after, want) in [(keys[0], vec![id(2), id(3)]), (keys[1], vec![id(3)]), (keys[2], vec![])] {
        assert_eq!(list(ListFilter { after: Some(after), ..all() }).await, want);
    }
    let behind = ListFilter { after: Some(keys[0]), limit: 1, ..all() };
    assert_eq!(list(behind.clone()).await, [id(2)]);
    assert_eq!(list(ListFilter { state: Some(MessageState::Ready), ..behind }).await, [id(3)]);
    assert_eq!(
        list(ListFilter { upstream: Some("u".into()), ..all() }).await,
        [id(1), id(2)],
        "with its bound lanes"
    );
    assert_eq!(list(ListFilter { state: Some(MessageState::Held), ..all() }).await, [id(2)]);
    assert_eq!(list(ListFilter { sender: Some("b@firm.example".into()), ..all() }).await, [id(2)]);
    assert_eq!(list(ListFilter { recipient: Some("x@there.example".into()), ..all() }).await, [id(1)]);
    claim(&world, 1).await;
    let shown = store.show(id(1)).await.unwrap().unwrap();
    assert_eq!(
        (shown.state, shown.lane, shown.sender.as_str()),
        (MessageState::Sending, lane(), "a@firm.example")
    );
    assert_eq!(shown.recipients[1].state, RecipientState::Sending);
    assert_eq!((shown.recipients[1].address.as_str(), shown.size), ("y@there.example", 14));
}

pub(crate) async fn a_message_is_held_and_released(world: impl World) {
    let store = world.store();
    store.enqueue(message(1, &["a@b"])).await.unwrap();
    assert!(store.hold(id(1)).await.unwrap());
    assert!(!store.hold(id(9)).await.unwrap());
    assert_eq!(
        (store.lane_load(&lane()), store.queue_figures().await.unwrap().counts.held),
        (Load::default(), 1)
    );
    assert!(matches!(store.claim(ask(9)).await.unwrap(), Claimed::Empty { next_due: None }));
    assert_eq!(store.retry(id(1)).await.unwrap(), None, "a retry does not release it");
    let to = Some(address("t@firm.example"));
    let decisions = Decisions::of_test(TestTreatment { action: TestAction::Redirect, address: to });
    assert_eq!(store.release(id(1), decisions.clone()).await.unwrap(), Some(lane()));
    assert_eq!(store.release(id(1), Decisions::default()).await.unwrap(), None);
    assert_eq!(store.release(id(9), Decisions::default()).await.unwrap(), None);
    assert_eq!(store.show(id(1)).await.unwrap().unwrap().decisions, decisions);
    let claimed = claim(&world, 9).await;
    assert_eq!(claimed[0].message.decisions, decisions);
}

pub(crate) async fn held_messages_are_released_in_portions(world: impl World) {
    let store = world.store();
    for n in 1..=7 {
        store.enqueue(message(n, &["x@there.example", "y@there.example"])).await.unwrap();
        assert!(n == 4 || store.hold(id(n)).await.unwrap());
    }
    let to = Some(address("t@firm.example"));
    let test = Decisions::of_test(TestTreatment { action: TestAction::Redirect, address: to });
    let walk = |filter: ListFilter, after: i64, up_to: i64| {
        let (after, up_to) = (MessageId(after), MessageId(up_to));
        store.held(HeldWalk { filter, after, up_to, most: 3 })
    };
    let first = walk(ListFilter::default(), 0, i64::MAX).await.unwrap();
    let found: Vec<_> = first.messages.iter().map(|held| (held.queue_id.clone(), held.recipients)).collect();
    assert_eq!(found, [(id(1), 2), (id(2), 2), (id(3), 2)]);
    let third = first.next.unwrap();
    let rest = walk(ListFilter::default(), third.0, i64::MAX).await.unwrap();
    let found: Vec<_> = rest.messages.iter().map(|held| held.queue_id.clone()).collect();
    assert_eq!(found, [id(5), id(6), id(7)], "the fourth is not held");
    let end = walk(ListFilter::default(), rest.next.unwrap().0, i64::MAX).await.unwrap();
    assert_eq!(end, HeldPortion::default());
    let (fifth, sixth, seventh) = (&rest.messages[0], &rest.messages[1], &rest.messages[2]);
    let up_to = walk(ListFilter::default(), third.0, fifth.id.0).await.unwrap();
    assert_eq!((up_to.messages.len(), up_to.next), (1, None), "the fifth is the last");
    let of = |recipient: &str| ListFilter { recipient: Some(recipient.into()), ..ListFilter::default() };
    assert_eq!(walk(of("Y@there.example"), 0, i64::MAX).await.unwrap().messages.len(), 3);
    let nobody = walk(of("z@there.example"), 0, i64::MAX).await.unwrap();
    assert_eq!((nobody.messages.len(), nobody.next), (0, Some(third)), "others were looked at");
    let deferred = ListFilter { state: Some(MessageState::Deferred), ..ListFilter::default() };
    assert!(walk(deferred, 0, i64::MAX).await.unwrap().messages.is_empty());

    assert!(store.delete(id(6)).await.unwrap().is_some());
    store.release(id(7), test.clone()).await.unwrap();
    assert!(store.hold(id(7)).await.unwrap());
    let release = |held: &HeldMessage| MessageRelease {
        id: held.id,
        known: held.decisions.clone(),
        decisions: test.clone(),
    };
    let done = store.release_known([fifth, sixth, seventh].map(release).to_vec()).await.unwrap();
    assert_eq!(done, [Some(lane()), None, None], "one is gone, and of one other things were decided");
    assert_eq!(store.release_known(vec![release(fifth)]).await.unwrap(), [None], "it is held no more");
    let shown = store.show(id(5)).await.unwrap().unwrap();
    assert_eq!((shown.state, shown.decisions), (MessageState::Ready, test));
    assert_eq!(store.lane_load(&lane()).messages, 2);
}

pub(crate) async fn a_retry_makes_due(world: impl World) {
    let store = world.store();
    for n in 1..=3 {
        store.enqueue(message(n, &["a@b"])).await.unwrap();
    }
    for leased in claim(&world, 3).await {
        store.settle(deferred(&leased, Duration::from_hours(1))).await.unwrap();
    }
    assert_eq!(store.retry(id(2)).await.unwrap(), Some(lane()));
    assert_eq!(store.retry(id(9)).await.unwrap(), None);
    assert_eq!(names(&claim(&world, 9).await), [id(2)]);
    assert_eq!(store.retry_all().await.unwrap(), 2);
    assert_eq!(names(&claim(&world, 9).await), [id(1), id(3)]);
}

pub(crate) async fn who_wants_a_message_waits_for_its_attempt(world: impl World) {
    let store = world.store();
    store.enqueue(message(1, &["a@b", "c@d"])).await.unwrap();
    let leased = claim(&world, 1).await.remove(0);
    assert!(timeout(A_WHILE, store.retry(id(1))).await.is_err());
    assert!(timeout(A_WHILE, store.hold(id(1))).await.is_err());
    let deleting = store.delete(id(1));
    tokio::pin!(deleting);
    assert!(timeout(A_WHILE, &mut deleting).await.is_err());
    let mut partly = sent(&leased);
    partly.deliveries.truncate(1);
    store.settle(partly).await.unwrap();
    let deleted = deleting.await.unwrap().unwrap();
    assert_eq!((deleted.queue_id, deleted.recipients[1].state), (id(1), RecipientState::Waiting));
    let totals = store.totals().await.unwrap();
    assert_eq!((totals.sent, totals.deleted, totals.queued, store.queue_length()), (1, 1, 0, 0));
    assert_eq!(store.delete(id(1)).await.unwrap(), None);
}

pub(crate) async fn places_are_what_goes_before(world: impl World) {
    let store = world.store();
    for n in 1..=4 {
        world.clock().pass(1);
        store.enqueue(message(n, &["a@b", "c@d"][..=n as usize % 2])).await.unwrap();
    }
    store.enqueue(NewMessage { held: true, ..message(5, &["a@b"]) }).await.unwrap();
    let load = |messages, recipients| Some(Load { messages, recipients, octets: 0 });
    let sending = claim(&world, 1).await;
    for (n, want) in
        [(1, load(0, 0)), (2, load(0, 0)), (3, load(1, 1)), (4, load(2, 3)), (5, None), (9, None)]
    {
        assert_eq!(store.ahead(id(n)).await.unwrap(), want, "{n}");
    }
    let places = store.places(lane(), 10).await.unwrap();
    assert_eq!((places.len(), places.contains_key(&sending[0].lease.id)), (3, false));
    let shown = store.show(id(4)).await.unwrap().unwrap();
    assert_eq!(places.get(&shown.id).copied(), load(2, 3));
    assert!(store.places(lane(), 2).await.unwrap().is_empty(), "too many to be told");
}

pub(crate) async fn nothing_disappears(mut world: impl World) {
    let mut dice = Dice::new(7);
    let mut held: Vec<Leased> = vec![];
    let mut known: BTreeSet<u32> = BTreeSet::new();
    for n in 0..400 {
        let store = world.store();
        match dice.roll(12) {
            0..4 => {
                let recipients = &["a@b", "c@d", "e@f"][..=dice.roll(3) as usize];
                store.enqueue(message(n, recipients)).await.unwrap();
                known.insert(n);
            }
            4..7 => held.extend(claim(&world, 1 + dice.roll(3) as u32).await),
            7..10 if !held.is_empty() => {
                let leased = held.swap_remove(dice.roll(held.len() as u64) as usize);
                let states = [
                    RecipientState::Waiting,
                    RecipientState::Sent,
                    RecipientState::Bounced,
                    RecipientState::Expired,
                    RecipientState::Dropped,
                    RecipientState::Captured,
                ];
                let mut settlement = sent(&leased);
                for delivery in &mut settlement.deliveries {
                    delivery.state = states[dice.roll(6) as usize];
                }
                if dice.roll(4) == 0 {
                    settlement.reports.push(report(10_000 + n));
                }
                store.settle(settlement).await.unwrap();
            }
            10 if !held.is_empty() => {
                let leased = held.swap_remove(dice.roll(held.len() as u64) as usize);
                assert_eq!(store.hand_back(vec![leased.lease]).await.unwrap(), 1);
            }
            11 if dice.roll(8) == 0 => {
                world.crash();
                assert_eq!(world.store().cut_off(DoubtPauses::default()).await.unwrap().len(), held.len());
                world.store().recover(DoubtPauses::default()).await.unwrap();
                held.clear();
            }
            _ => {
                let which = *known.iter().nth(dice.roll(known.len().max(1) as u64) as usize).unwrap_or(&0);
                let sending = held.iter().any(|leased| leased.message.queue_id == id(which));
                if !sending {
                    store.delete(id(which)).await.unwrap();
                    known.remove(&which);
                }
            }
        }
        let store = world.store();
        let Totals { accepted, generated, sent, bounced, expired, dropped, captured, deleted, queued } =
            store.totals().await.unwrap();
        assert_eq!(accepted + generated, sent + bounced + expired + dropped + captured + deleted + queued);
        let counts = store.queue_figures().await.unwrap().counts;
        assert_eq!(counts.sending, held.len() as u64);
        assert_eq!(store.lane_load(&lane()).messages, counts.ready + counts.deferred);
        assert_eq!(store.queue_length(), counts.ready + counts.deferred + counts.sending);
    }
}
