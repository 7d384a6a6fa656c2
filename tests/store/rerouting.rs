//! Mail is moved to the lanes that serve its senders now.

use std::time::Duration;

use mailsluice::limits::Load;
use mailsluice::mail::AddressKey;
use mailsluice::store::*;

use crate::World;
use crate::build::*;

fn from(sender: &str, new: NewMessage) -> NewMessage {
    NewMessage { sender: sender.into(), ..new }
}

fn to(sender: &str, lane: &str, credit: i64) -> LaneMove {
    LaneMove { sender: sender.into(), to: LaneName::parse(lane), credit, with_decided: false }
}

async fn lanes(world: &impl World) -> Vec<(String, String)> {
    let all = world.store().lanes_in_use().await.unwrap();
    let mut all: Vec<_> = all.into_iter().map(|used| (used.lane.as_str().to_owned(), used.sender)).collect();
    all.sort();
    all
}

pub(crate) async fn each_sender_goes_to_its_lane(world: impl World) {
    let store = world.store();
    for (n, sender) in [(1, "a@x"), (2, "b@x"), (3, "a@x"), (4, "c@x")] {
        store.enqueue(from(sender, message(n, &["a@b", "c@d"]))).await.unwrap();
    }
    store
        .enqueue(NewMessage { lane: LaneName::of_upstream("v"), ..from("a@x", message(5, &["a@b"])) })
        .await
        .unwrap();
    let pair = |lane: &str, sender: &str| (lane.to_owned(), sender.to_owned());
    assert_eq!(lanes(&world).await, [pair("u", "a@x"), pair("u", "b@x"), pair("u", "c@x"), pair("v", "a@x")]);
    let moves = vec![to("a@x", "w", 40), to("b@x", "w/b@x", 0), to("c@x", "u", 9), to("d@x", "w", 0)];
    assert_eq!(store.reroute(lane(), moves).await.unwrap(), 3, "one stays where it is, one has nothing here");
    assert_eq!(
        lanes(&world).await,
        [pair("u", "c@x"), pair("v", "a@x"), pair("w", "a@x"), pair("w/b@x", "b@x")]
    );
    let load = |lane: &str| store.lane_load(&LaneName::parse(lane));
    assert_eq!(
        (load("u"), load("w")),
        (Load { messages: 1, recipients: 2, octets: 14 }, Load { messages: 2, recipients: 4, octets: 28 })
    );
    let claimed = leased(store.claim(Ask { lane: LaneName::of_upstream("w"), ..ask(9) }).await.unwrap());
    assert_eq!(names(&claimed), [id(1), id(3)]);
    assert_eq!(claimed[0].message.age_base, 1_000_040, "its age counts from later by the credit");
    assert_eq!(claimed[0].message.lane.as_str(), "w");
    assert_eq!(names(&claim(&world, 9).await), [id(4)]);
}

pub(crate) async fn what_a_person_has_sent_by_an_upstream_stays(world: impl World) {
    let store = world.store();
    let decisions = Decisions { upstream: Some("u".into()), ..Decisions::default() };
    store.enqueue(NewMessage { decisions, ..from("a@x", message(1, &["a@b"])) }).await.unwrap();
    store.enqueue(from("a@x", message(2, &["a@b"]))).await.unwrap();
    assert_eq!(store.reroute(lane(), vec![to("a@x", "w", 0)]).await.unwrap(), 1);
    let pair = |lane: &str, sender: &str| (lane.to_owned(), sender.to_owned());
    assert_eq!(lanes(&world).await, [pair("u", "a@x"), pair("w", "a@x")]);
    let all = LaneMove { with_decided: true, ..to("a@x", "w", 0) };
    assert_eq!(store.reroute(lane(), vec![all]).await.unwrap(), 1, "its lane is no more");
    let claimed = leased(store.claim(Ask { lane: LaneName::of_upstream("w"), ..ask(9) }).await.unwrap());
    assert_eq!(claimed[0].message.decisions.upstream.as_deref(), Some("u"));
}

pub(crate) async fn what_is_held_moves_and_what_is_sent_stays(world: impl World) {
    let store = world.store();
    store.enqueue(message(1, &["a@b"])).await.unwrap();
    store.enqueue(NewMessage { held: true, ..message(2, &["a@b"]) }).await.unwrap();
    store.enqueue(message(3, &["a@b"])).await.unwrap();
    let sending = claim(&world, 1).await;
    let later = claim(&world, 1).await;
    store.settle(deferred(&later[0], Duration::from_mins(1))).await.unwrap();
    let moves = || vec![to("a@firm.example", "v", 0)];
    assert_eq!(store.reroute(lane(), moves()).await.unwrap(), 2);
    store.hand_back(vec![sending[0].lease]).await.unwrap();
    assert_eq!(names(&claim(&world, 9).await), [id(1)], "it stands where it stood");
    let v = LaneName::of_upstream("v");
    let released = store.release(id(2), Decisions::default()).await.unwrap();
    assert_eq!(released.as_ref(), Some(&v), "who wakes its lane must know where it stands now");
    let there = Ask { lane: v, ..ask(9) };
    assert_eq!(names(&leased(store.claim(there.clone()).await.unwrap())), [id(2)]);
    world.clock().pass(60_000);
    assert_eq!(names(&leased(store.claim(there).await.unwrap())), [id(3)], "its time is its own");
}

pub(crate) async fn many_messages_move_in_one_walk(world: impl World) {
    let store = world.store();
    let senders: Vec<String> = (0..50).map(|n| format!("s{n}@x")).collect();
    for n in 0..900 {
        let held = n % 9 == 0;
        store
            .enqueue(NewMessage { held, ..from(&senders[n as usize % 50], message(n, &["a@b"])) })
            .await
            .unwrap();
    }
    let moves = senders.iter().map(|sender| to(sender, &format!("v/{sender}"), 0)).collect();
    assert_eq!(store.reroute(lane(), moves).await.unwrap(), 900);
    assert_eq!(lanes(&world).await.len(), 50);
    assert_eq!(store.lane_load(&lane()), Load::default());
    let all: u64 = senders
        .iter()
        .map(|sender| store.lane_load(&LaneName::bound("v", &AddressKey::of_text(sender))).messages)
        .sum();
    assert_eq!(all, 800);
}

pub(crate) async fn one_message_moves_alone(world: impl World) {
    let store = world.store();
    for n in [1, 2] {
        store.enqueue(from("a@x", message(n, &["a@b", "c@d"]))).await.unwrap();
    }
    let first = claim(&world, 1).await.remove(0);
    let v = LaneName::of_upstream("v");
    let decisions = Decisions { upstream: Some("v".into()), ..Decisions::default() };
    let moved = LeasedMove {
        lease: first.lease,
        to: v.clone(),
        credit: 40,
        decisions: decisions.clone(),
        used: None,
    };
    store.move_leased(moved.clone()).await.unwrap();
    assert!(matches!(store.move_leased(moved).await, Err(StoreError::Fenced)), "its lease has ended");
    assert_eq!(
        (store.lane_load(&lane()).messages, store.lane_load(&v)),
        (1, Load { messages: 1, recipients: 2, octets: 14 })
    );
    assert_eq!(names(&claim(&world, 9).await), [id(2)]);
    let there = leased(store.claim(Ask { lane: v, ..ask(9) }).await.unwrap());
    assert_eq!((names(&there), there[0].message.recipients.len()), (vec![id(1)], 2));
    assert_eq!((there[0].message.age_base, &there[0].message.decisions), (1_000_040, &decisions));
    assert_eq!(there[0].message.recipients[0].attempts, 0, "it was not tried");
}
