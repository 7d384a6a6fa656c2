//! Mail comes in.

use std::time::Duration;

use mailsluice::limits::Load;
use mailsluice::store::*;
use mailsluice::time::Moment;

use crate::World;
use crate::build::*;

pub(crate) async fn what_comes_in_is_in_the_queue(world: impl World) {
    let store = world.store();
    store.healthy().unwrap();
    store.enqueue(message(1, &["x@there.example", "y@there.example"])).await.unwrap();
    world.clock().pass(5);
    store.enqueue(NewMessage { held: true, ..message(2, &["x@there.example"]) }).await.unwrap();
    assert_eq!(store.queue_length(), 2);
    let octets = message(1, &["x@there.example"]).content.len();
    let waits = Load { messages: 1, recipients: 2, octets };
    assert_eq!(store.lane_load(&lane()), waits, "what is held does not wait");
    assert_eq!(store.lane_load(&LaneName::captured()), Load::default());
    let shown = store.show(id(1)).await.unwrap().unwrap();
    assert_eq!(
        (shown.state, shown.accepted_wall, shown.due),
        (MessageState::Ready, 1_000_000, Moment(1_000_000))
    );
    assert_eq!(store.content(id(1)).await.unwrap().unwrap(), b"Subject: 1\r\n\r\n");
    for (most, want) in [(0, &b""[..]), (7, b"Subject"), (99, b"Subject: 1\r\n\r\n")] {
        assert_eq!(store.beginning(id(1), most).await.unwrap().unwrap(), want);
    }
    assert_eq!(store.beginning(id(9), 7).await.unwrap(), None);
    assert_eq!((store.show(id(9)).await.unwrap(), store.content(id(9)).await.unwrap()), (None, None));
    let figures = store.queue_figures().await.unwrap();
    let counts = QueueCounts { ready: 1, held: 1, ..QueueCounts::default() };
    assert_eq!((figures.counts, figures.oldest), (counts, Some(Moment(1_000_000))));
    assert_eq!(figures.waiting, [(lane(), waits)]);
    assert_eq!(figures.totals, Totals { queued: 0, ..store.totals().await.unwrap() });
}

pub(crate) async fn what_is_dropped_is_counted_alone(world: impl World) {
    let store = world.store();
    let with_dropped = |n, dropped: &[usize]| {
        let mut all = message(n, &["a@b", "c@d"]).recipients.to_vec();
        for &place in dropped {
            all[place].dropped = true;
        }
        NewMessage { recipients: Recipients::new(all).unwrap(), ..message(n, &["a@b"]) }
    };
    store.enqueue(with_dropped(1, &[0, 1])).await.unwrap();
    assert_eq!((store.queue_length(), store.show(id(1)).await.unwrap()), (0, None));
    store.enqueue(with_dropped(2, &[0])).await.unwrap();
    let totals = store.totals().await.unwrap();
    assert_eq!((totals.accepted, totals.dropped, totals.queued), (4, 3, 1));
    let claimed = claim(&world, 9).await;
    assert_eq!(claimed[0].message.recipients[0].index, 1);
    assert_eq!(Recipients::new(vec![]), None, "nobody hands in a message for nobody");
}

pub(crate) async fn a_name_is_taken_once(world: impl World) {
    let store = world.store();
    store.enqueue(message(1, &["a@b"])).await.unwrap();
    assert!(matches!(store.enqueue(message(1, &["a@b"])).await, Err(EnqueueError::Store(_))));
    assert_eq!((store.queue_length(), store.totals().await.unwrap().accepted), (1, 1));
}

pub(crate) async fn a_full_queue_takes_nothing(world: impl World) {
    let store = world.store();
    store.enqueue(message(1, &["a@b"])).await.unwrap();
    let full = store.enqueue(message(2, &["a@b"])).await;
    assert!(matches!(full, Err(EnqueueError::Full { messages: 1, limit: 1 })));
    let claimed = claim(&world, 1).await;
    store.settle(sent(&claimed[0])).await.unwrap();
    store.enqueue(message(2, &["a@b"])).await.unwrap();
}

pub(crate) async fn the_blacklist_covers_addresses_and_domains(world: impl World) {
    let store = world.store();
    for (pattern, lasts) in
        [("Lost@there.example", None), ("@gone.example", Some(990)), ("*.bad.example", None)]
    {
        let lasts = lasts.map(Duration::from_millis);
        let entry = NewBlacklistEntry { pattern: pattern.into(), reason: "r".into(), lasts };
        let stored = store.blacklist_add(entry).await.unwrap();
        assert_eq!((stored.added, stored.source), (1_000_000, BlacklistSource::Manual));
    }
    let asked: Vec<_> =
        ["LOST@there.example", "found@there.example", "x@gone.example", "x@a.b.bad.example", "x@bad.example"]
            .map(address)
            .into();
    let found = async || {
        let found = store.blacklisted(&asked).await.unwrap();
        found.into_iter().map(|entry| entry.map(|entry| entry.pattern)).collect::<Vec<_>>()
    };
    let some = |text: &str| Some(text.to_owned());
    let all = vec![some("lost@there.example"), None, some("@gone.example"), some("*.bad.example"), None];
    assert_eq!(found().await, all);
    world.clock().pass(990);
    let later = vec![some("lost@there.example"), None, None, some("*.bad.example"), None];
    assert_eq!(found().await, later);
    assert!(store.blacklist_remove("LOST@there.example".into()).await.unwrap());
    assert!(!store.blacklist_remove("LOST@there.example".into()).await.unwrap());
    let patterns: Vec<_> = store
        .blacklist_page(BlacklistFilter::default())
        .await
        .unwrap()
        .entries
        .into_iter()
        .map(|entry| entry.pattern)
        .collect();
    assert_eq!(patterns, ["*.bad.example"], "what has expired is not on the list");
}

pub(crate) async fn switches_and_waits_last(mut world: impl World) {
    let store = world.store();
    assert_eq!(store.switch("a").await.unwrap(), None);
    for value in ["1", "2"] {
        store.set_switch("a", value.into()).await.unwrap();
    }
    for waited in [7, 9] {
        store.set_limit_wait(lane(), Duration::from_millis(waited)).await.unwrap();
    }
    world.crash();
    assert_eq!(world.store().switch("a").await.unwrap().as_deref(), Some("2"));
    assert_eq!(world.store().limit_waits().await.unwrap(), [(lane(), Duration::from_millis(9))]);
}

pub(crate) async fn the_clock_is_that_of_the_store(mut world: impl World) {
    assert_eq!(world.store().timeline().now(), Moment(1_000_000));
    world.clock().pass(10);
    world.store().note_clock().await.unwrap();
    world.crash();
    assert_eq!(world.store().timeline().now(), Moment(1_000_010));
}
