//! Mail goes out under leases.

use std::sync::Arc;
use std::time::Duration;

use mailsluice::config::{DoubtPause, TestAction, Window};
use mailsluice::limits::{Amount, Load};
use mailsluice::store::*;
use mailsluice::time::Moment;

use crate::World;
use crate::build::*;

pub(crate) async fn a_message_goes_through(world: impl World) {
    let store = world.store();
    let limit_wait = Duration::from_millis(7);
    store
        .enqueue(NewMessage { limit_wait, ..message(1, &["x@there.example", "y@there.example"]) })
        .await
        .unwrap();
    let Claimed::Messages { leased, more: None } = store.claim(ask(10)).await.unwrap() else { panic!() };
    let [first] = leased.as_slice() else { panic!("{leased:?}") };
    let Message { queue_id, kind, lane: here, accepted, age_base, sender, content, size, .. } =
        &first.message;
    assert_eq!((queue_id, kind, here), (&id(1), &MessageKind::Submitted, &lane()));
    assert_eq!(
        (*accepted, *age_base, sender.as_str(), *size),
        (Moment(1_000_000), 999_993, "a@firm.example", 14)
    );
    assert_eq!(*content, Content::memory(b"Subject: 1\r\n\r\n".to_vec()));
    assert_eq!(first.message.amount(), Amount::of_message(2, 14));
    assert_eq!((first.attempts, first.warned, first.others_waiting), (0, false, 0));
    assert_eq!(store.claim(ask(10)).await.unwrap(), Claimed::Empty { next_due: None }, "it is under a lease");
    assert_eq!(
        (store.queue_figures().await.unwrap().counts.sending, store.lane_load(&lane())),
        (1, Load::default())
    );

    let mut partly = sent(first);
    partly.deliveries[1] = Delivery {
        failed: true,
        reply: "450 busy".into(),
        again_in: Some(Duration::from_secs(5)),
        ..delivery(1, RecipientState::Waiting)
    };
    partly.reports = vec![report(2)];
    store.settle(partly).await.unwrap();
    assert_eq!((store.queue_length(), used_today(&world).await), (2, (1, 2)));
    let report = claim(&world, 10).await;
    assert_eq!(names(&report), [id(2)], "the other one rests");
    store.settle(sent(&report[0])).await.unwrap();
    world.clock().pass(5_000);
    let again = claim(&world, 10).await;
    let recipient = &again[0].message.recipients[0];
    assert_eq!((recipient.index, recipient.attempts, recipient.failures), (1, 1, 1));
    assert_eq!((recipient.last_reply.as_str(), again[0].attempts), ("450 busy", 1));
    store.settle(sent(&again[0])).await.unwrap();
    assert_eq!((store.queue_length(), store.show(id(1)).await.unwrap()), (0, None));
    let totals = store.totals().await.unwrap();
    assert_eq!((totals.accepted, totals.generated, totals.sent, totals.queued), (2, 1, 3, 0));
}

pub(crate) async fn who_comes_too_late_changes_nothing(world: impl World) {
    let store = world.store();
    store.enqueue(message(1, &["a@b", "c@d"])).await.unwrap();
    let first = claim(&world, 1).await.remove(0);
    assert_eq!(store.hand_back(vec![first.lease, first.lease]).await.unwrap(), 1);
    let second = claim(&world, 1).await.remove(0);
    assert_ne!(first.lease, second.lease);
    let late = Settlement { reports: vec![report(2)], ..sent(&first) };
    assert!(matches!(store.settle(late).await, Err(StoreError::Fenced)));
    assert_eq!(store.hand_back(vec![first.lease]).await.unwrap(), 0);
    let other = Lease { id: MessageId(i64::MAX), token: second.lease.token };
    assert!(matches!(
        store.settle(Settlement { lease: other, ..sent(&second) }).await,
        Err(StoreError::Fenced)
    ));
    let (totals, counts) = (store.totals().await.unwrap(), store.queue_figures().await.unwrap().counts);
    assert_eq!((totals.sent, totals.generated, counts.sending, used_today(&world).await), (0, 0, 1, (1, 2)));
    store.settle(sent(&second)).await.unwrap();
    assert!(matches!(store.settle(sent(&second)).await, Err(StoreError::Fenced)), "offered twice");
    assert_eq!((store.totals().await.unwrap().sent, used_today(&world).await), (2, (1, 2)));
}

pub(crate) async fn what_a_dead_process_had_is_free_and_fenced(mut world: impl World) {
    for n in 1..=3 {
        world.store().enqueue(message(n, &["a@b"])).await.unwrap();
    }
    let before = claim(&world, 2).await;
    world.crash();
    let store = world.store();
    let cut_off = store.cut_off(DoubtPauses::default()).await.unwrap();
    let mut cut_off: Vec<_> = cut_off.into_iter().map(|one| one.queue_id).collect();
    cut_off.sort();
    assert_eq!(cut_off, [id(1), id(2)]);
    let recovered = store.recover(DoubtPauses::default()).await.unwrap();
    assert_eq!((recovered.messages, recovered.orphans.aside), (3, vec![]));
    assert_eq!(store.cut_off(DoubtPauses::default()).await.unwrap(), []);
    assert!(matches!(store.settle(sent(&before[0])).await, Err(StoreError::Fenced)));
    let now = claim(&world, 9).await;
    assert_eq!(now.len(), 3);
    assert!(matches!(store.settle(sent(&before[0])).await, Err(StoreError::Fenced)), "another has it by now");
    assert_eq!(store.hand_back(before.iter().map(|leased| leased.lease).collect()).await.unwrap(), 0);
    assert_eq!(
        (store.queue_figures().await.unwrap().counts.sending, store.totals().await.unwrap().sent),
        (3, 0)
    );
}

pub(crate) async fn what_its_upstream_may_go_on_with_rests_after_a_crash(mut world: impl World) {
    let pauses = || DoubtPauses::from_iter([("u".to_owned(), DoubtPause::GRAPH)]);
    let cut_off = |again_in| vec![CutOff { queue_id: id(1), upstream: "u".to_owned(), again_in }];
    world.store().enqueue(message(1, &["a@b", "b@b", "c@b"])).await.unwrap();
    for doubts in 0..2 {
        let tried = world.store().claim(Ask { recipients_per_message: 2, ..ask(1) }).await.unwrap();
        let tried = leased(tried).remove(0).message.recipients;
        assert!(tried.iter().all(|each| each.doubts == doubts && each.attempts == doubts), "{tried:?}");
        assert_eq!(tried.iter().map(|each| each.index).collect::<Vec<_>>(), [0, 1]);
        world.crash();
        let rest = DoubtPause::GRAPH.after(doubts);
        assert_eq!(world.store().cut_off(pauses()).await.unwrap(), cut_off(Some(rest)));
        world.store().recover(pauses()).await.unwrap();
        if doubts == 0 {
            let other = claim(&world, 1).await.remove(0);
            assert_eq!((other.message.recipients.len(), other.message.recipients[0].index), (1, 2));
            world.store().settle(sent(&other)).await.unwrap();
        }
        world.clock().pass(rest.as_millis() as i64 - 1);
        let Claimed::Empty { next_due: Some(_) } = world.store().claim(ask(1)).await.unwrap() else {
            panic!()
        };
        world.clock().pass(1);
    }
    let shown = world.store().show(id(1)).await.unwrap().unwrap();
    assert_eq!((shown.recipients[0].reply.as_str(), shown.recipients[0].doubts), (CutOff::REPLY, 2));
    // By another upstream it is due at once.
    claim(&world, 1).await;
    world.crash();
    assert_eq!(world.store().cut_off(DoubtPauses::default()).await.unwrap(), cut_off(None));
    world.store().recover(DoubtPauses::default()).await.unwrap();
    assert_eq!(claim(&world, 1).await[0].message.recipients[0].doubts, 2);
}

pub(crate) async fn reports_go_first_and_the_longest_due_before_others(world: impl World) {
    let store = world.store();
    for n in 1..=3 {
        world.clock().pass(1);
        store.enqueue(message(n, &["a@b"])).await.unwrap();
    }
    store.enqueue(NewMessage { priority: Priority::High, ..message(4, &["a@b"]) }).await.unwrap();
    store.enqueue(report(5)).await.unwrap();
    assert_eq!(names(&claim(&world, 1).await), [id(5)]);
    assert_eq!(names(&claim(&world, 9).await), [id(4), id(1), id(2), id(3)]);
}

pub(crate) async fn what_rests_is_not_due(world: impl World) {
    let store = world.store();
    store.enqueue(message(1, &["a@b"])).await.unwrap();
    let first = claim(&world, 1).await;
    store.settle(deferred(&first[0], Duration::from_millis(50))).await.unwrap();
    let until = Claimed::Empty { next_due: Some(Moment(1_000_050)) };
    for pass in [0, 49] {
        world.clock().pass(pass);
        assert_eq!(store.claim(ask(9)).await.unwrap(), until);
    }
    assert_eq!(store.show(id(1)).await.unwrap().unwrap().state, MessageState::Deferred);
    store.enqueue(message(2, &["a@b"])).await.unwrap();
    let Claimed::Messages { leased, more } = store.claim(ask(9)).await.unwrap() else { panic!() };
    assert_eq!((names(&leased), more), (vec![id(2)], Some(Moment(1_000_050))));
    world.clock().pass(1);
    assert_eq!(names(&claim(&world, 9).await), [id(1)]);
}

pub(crate) async fn a_claim_is_blocked_only_when_mail_is_due(world: impl World) {
    let store = world.store();
    let ask = |messages| Ask { ceilings: own(quota(Window::MINUTE, Some(1), None)), ..ask(messages) };
    store.enqueue(message(1, &["a@b"])).await.unwrap();
    assert_eq!(store.claim(ask(0)).await.unwrap(), Claimed::Empty { next_due: Some(Moment(1_000_000)) });
    let first = leased(store.claim(ask(9)).await.unwrap());
    assert_eq!(store.claim(ask(9)).await.unwrap(), Claimed::Empty { next_due: None });
    store.settle(deferred(&first[0], Duration::from_millis(50))).await.unwrap();
    assert_eq!(store.claim(ask(9)).await.unwrap(), Claimed::Empty { next_due: Some(Moment(1_000_050)) });
    world.clock().pass(50);
    assert!(matches!(store.claim(ask(9)).await.unwrap(), Claimed::Blocked(_)));
}

pub(crate) async fn what_an_account_cannot_take_is_passed_over(world: impl World) {
    let store = world.store();
    for (n, size) in [(1, 900), (2, 10), (3, 900)] {
        let content = Content::memory(vec![b'x'; size]);
        store.enqueue(NewMessage { content, ..message(n, &["a@b"]) }).await.unwrap();
    }
    let small = || Ask { max_size: Some(500), ..ask(9) };
    let first = leased(store.claim(small()).await.unwrap());
    assert_eq!(names(&first), [id(2)]);
    assert!(matches!(store.claim(small()).await.unwrap(), Claimed::Empty { .. }));
    let all = claim(&world, 9).await;
    assert_eq!(names(&all), [id(1), id(3)]);
    store.hand_back(all.iter().map(|leased| leased.lease).collect()).await.unwrap();
    let unfit = Arc::new([all[0].lease.id].into());
    assert_eq!(names(&leased(store.claim(Ask { unfit, ..ask(9) }).await.unwrap())), [id(3)]);
    // What is passed over is not blocked either.
    let full = Ask { ceilings: own(quota(Window::MINUTE, Some(1), None)), ..small() };
    assert!(matches!(store.claim(full).await.unwrap(), Claimed::Empty { .. }));
}

pub(crate) async fn an_envelope_is_split_and_the_longest_due_go_first(world: impl World) {
    let store = world.store();
    store.enqueue(message(1, &["a@b", "b@b", "c@b", "d@b", "e@b"])).await.unwrap();
    let ask = || Ask { recipients_per_message: 2, ..ask(9) };
    let mut went = Vec::new();
    for _ in 0..3 {
        let claimed = leased(store.claim(ask()).await.unwrap()).remove(0);
        let places: Vec<u32> = claimed.message.recipients.iter().map(|recipient| recipient.index).collect();
        went.push((places, claimed.others_waiting));
        world.clock().pass(1);
        store.settle(settled(&claimed, RecipientState::Waiting)).await.unwrap();
    }
    assert_eq!(went, [(vec![0, 1], 3), (vec![2, 3], 3), (vec![0, 4], 3)]);
    assert_eq!(used_today(&world).await, (3, 6));
}

pub(crate) async fn who_is_on_the_blacklist_by_now_is_told(world: impl World) {
    let store = world.store();
    store.enqueue(message(1, &["a@b.example", "x@bad.example", "c@b.example", "d@b.example"])).await.unwrap();
    let test = TestTreatment { action: TestAction::Redirect, address: Some(address("t@firm.example")) };
    let test = NewMessage { decisions: Decisions::of_test(test), ..message(2, &["x@bad.example"]) };
    store.enqueue(test).await.unwrap();
    store.enqueue(message(3, &["x@bad.example"])).await.unwrap();
    let entry = NewBlacklistEntry { pattern: "@bad.example".into(), reason: "gone".into(), lasts: None };
    store.blacklist_add(entry).await.unwrap();
    let claimed = leased(store.claim(Ask { recipients_per_message: 2, ..ask(9) }).await.unwrap());
    let listed = |at: usize| -> Vec<Option<&str>> {
        claimed[at].message.recipients.iter().map(|recipient| recipient.listed.as_deref()).collect()
    };
    assert_eq!(listed(0), [None, Some("gone"), None], "two that it goes to");
    assert_eq!((claimed[0].others_waiting, claimed[0].message.amount().recipients), (1, 2));
    assert_eq!(
        (listed(1), claimed[1].message.amount().recipients),
        (vec![None], 1),
        "a test goes to nobody of them"
    );
    assert_eq!((listed(2), claimed[2].message.amount()), (vec![Some("gone")], Amount::NONE));
    assert_eq!(used_today(&world).await, (2, 3));
}

pub(crate) async fn what_is_late_is_found_by_its_age(world: impl World) {
    let store = world.store();
    for n in [10, 20, 30] {
        world.clock().set(i64::from(n));
        store.enqueue(message(n, &["a@b", "c@d"])).await.unwrap();
    }
    // This one came when its lane had already waited for limits: its age counts from earlier by that much.
    world.clock().set(40);
    let limit_wait = Duration::from_millis(35);
    store.enqueue(NewMessage { limit_wait, ..message(40, &["a@b"]) }).await.unwrap();
    world.clock().set(135);
    let late = OverdueClaim {
        lane: lane(),
        expired_after: Some(Duration::from_millis(85)),
        warn_after: Some(Duration::from_millis(75)),
        limit_wait,
        messages: 10,
    };
    let first = store.claim_overdue(OverdueClaim { messages: 1, ..late.clone() }).await.unwrap();
    assert_eq!((first.len(), first[0].leased.message.age_base), (1, 5));
    store.hand_back(vec![first[0].leased.lease]).await.unwrap();
    let claimed = store.claim_overdue(late.clone()).await.unwrap();
    let ages: Vec<_> = claimed.iter().map(|m| (m.leased.message.age_base, m.expired)).collect();
    assert_eq!(ages, [(5, true), (10, true), (20, false)]);
    assert_eq!(claimed[2].leased.message.recipients.len(), 2, "all that wait");
    assert_eq!(used_today(&world).await, (0, 0), "no permit is taken");
    let warned = Settlement {
        deliveries: vec![],
        warned: true,
        counts: false,
        used: None,
        ..sent(&claimed[2].leased)
    };
    store.settle(warned).await.unwrap();
    store.settle(settled(&claimed[0].leased, RecipientState::Expired)).await.unwrap();
    store.hand_back(vec![claimed[1].leased.lease]).await.unwrap();
    let again = store.claim_overdue(OverdueClaim { expired_after: None, ..late }).await.unwrap();
    let again: Vec<_> = again.iter().map(|m| (m.leased.message.age_base, m.expired)).collect();
    assert_eq!(again, [(10, false)], "one is gone, one has been warned of");
    let totals = store.totals().await.unwrap();
    assert_eq!((totals.expired, totals.queued), (1, 6));
    let next = claim(&world, 9).await;
    assert!(next.iter().any(|leased| leased.warned));
}

pub(crate) async fn each_recipient_has_its_own_time(world: impl World) {
    let store = world.store();
    store.enqueue(message(1, &["a@b", "b@b", "c@b", "d@b"])).await.unwrap();
    store.enqueue(message(2, &["a@b"])).await.unwrap();
    let ask = || Ask { recipients_per_message: 2, ..ask(9) };
    let places = |leased: &Leased| -> Vec<u32> {
        leased.message.recipients.iter().map(|recipient| recipient.index).collect()
    };
    let first = leased(store.claim(ask()).await.unwrap());
    assert_eq!((places(&first[0]), first[0].others_waiting), (vec![0, 1], 2));
    store.settle(sent(&first[1])).await.unwrap();
    world.clock().pass(10);
    let mut chunk = deferred(&first[0], Duration::from_millis(100));
    chunk.deliveries[1].again_in = Some(Duration::from_millis(300));
    store.settle(chunk).await.unwrap();
    assert_eq!(store.show(id(1)).await.unwrap().unwrap().due, Moment(1_000_010), "the others go on at once");
    let Claimed::Messages { leased: second, more: None } = store.claim(ask()).await.unwrap() else {
        panic!()
    };
    assert_eq!((places(&second[0]), second[0].others_waiting), (vec![2, 3], 2), "what rests is not tried");
    store.settle(deferred(&second[0], Duration::from_millis(200))).await.unwrap();
    for (pass, next, want) in
        [(100, 1_000_110, vec![0]), (100, 1_000_210, vec![2, 3]), (100, 1_000_310, vec![1])]
    {
        assert_eq!(store.claim(ask()).await.unwrap(), Claimed::Empty { next_due: Some(Moment(next)) });
        assert_eq!(store.next_due(&lane()).await.unwrap(), Some(Moment(next)));
        world.clock().pass(pass);
        let claimed = leased(store.claim(ask()).await.unwrap());
        assert_eq!(places(&claimed[0]), want);
        store.settle(sent(&claimed[0])).await.unwrap();
    }
    assert_eq!(store.queue_length(), 0);
}

pub(crate) async fn a_person_makes_all_recipients_due(world: impl World) {
    let store = world.store();
    for change in ["retry", "retry_all", "release"] {
        store.enqueue(message(1, &["a@b", "b@b", "c@b"])).await.unwrap();
        let first = leased(store.claim(Ask { recipients_per_message: 2, ..ask(1) }).await.unwrap());
        let mut chunk = deferred(&first[0], Duration::from_hours(1));
        chunk.deliveries[1].again_in = Some(Duration::from_hours(2));
        store.settle(chunk).await.unwrap();
        match change {
            "retry" => drop(store.retry(id(1)).await.unwrap()),
            "retry_all" => assert_eq!(store.retry_all().await.unwrap(), 1),
            _ => {
                assert!(store.hold(id(1)).await.unwrap());
                assert_eq!(store.release(id(1), Decisions::default()).await.unwrap(), Some(lane()));
            }
        }
        let all = claim(&world, 1).await;
        assert_eq!(all[0].message.recipients.len(), 3, "{change}");
        store.settle(sent(&all[0])).await.unwrap();
    }
}

pub(crate) async fn doubts_are_counted_and_a_person_allows_one_more(world: impl World) {
    let store = world.store();
    store.enqueue(message(1, &["a@b", "b@b"])).await.unwrap();
    let doubts = |leased: &[Leased]| -> Vec<u32> {
        leased[0].message.recipients.iter().map(|recipient| recipient.doubts).collect()
    };
    for n in 0..=MOST_DOUBTS {
        let claimed = claim(&world, 1).await;
        assert_eq!(doubts(&claimed), [n, 0]);
        let mut doubtful = settled(&claimed[0], RecipientState::Waiting);
        doubtful.deliveries[0].doubtful = true;
        store.settle(doubtful).await.unwrap();
    }
    store.retry(id(1)).await.unwrap();
    assert_eq!(doubts(&claim(&world, 1).await), [MOST_DOUBTS - 1, 0]);
}

pub(crate) async fn a_settlement_may_hold(world: impl World) {
    let store = world.store();
    store.enqueue(message(1, &["a@b", "b@b"])).await.unwrap();
    let claimed = claim(&world, 1).await;
    let mut held = Settlement { hold: true, counts: false, used: None, ..sent(&claimed[0]) };
    held.deliveries[1] =
        Delivery { counts: false, reply: "damaged".into(), ..delivery(1, RecipientState::Waiting) };
    store.settle(held).await.unwrap();
    let shown = store.show(id(1)).await.unwrap().unwrap();
    assert_eq!((shown.state, shown.recipients[1].reply.as_str()), (MessageState::Held, "damaged"));
    assert_eq!((store.lane_load(&lane()), used_today(&world).await), (Load::default(), (0, 0)));
    assert_eq!(store.claim(ask(9)).await.unwrap(), Claimed::Empty { next_due: None });
    store.release(id(1), Decisions::default()).await.unwrap();
    let again = claim(&world, 9).await;
    assert_eq!((again[0].message.recipients.len(), again[0].others_waiting), (1, 0));
    store.settle(Settlement { hold: true, ..sent(&again[0]) }).await.unwrap();
    assert_eq!(store.queue_length(), 0, "of which nothing is left is not held");
}
