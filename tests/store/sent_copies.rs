//! Copies for Sent folders wait until they are over.

use std::time::Duration;

use mailsluice::limits::{AccountKey, Amount};
use mailsluice::store::*;
use mailsluice::time::Moment;

use crate::World;
use crate::build::{account, claim, deferred, id, message, passed, sent};

fn copy(n: u32, content: &[u8]) -> NewSentCopy {
    NewSentCopy {
        copy_id: id(100 + n),
        queue_id: id(n),
        account: account(),
        content: Content::memory(content.to_vec()),
    }
}

async fn due(world: &impl World) -> SentCopy {
    match world.store().next_copy(account()).await.unwrap() {
        NextCopy::Due(copy) => *copy,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn a_copy_is_made_with_the_settlement_and_lasts(mut world: impl World) {
    world.store().enqueue(message(1, &["x@there.example"])).await.unwrap();
    let [leased] = claim(&world, 1).await.try_into().unwrap();
    assert!(!leased.copied);
    assert_eq!(world.store().next_copy(account()).await.unwrap(), NextCopy::None);
    let settlement = Settlement { copy: Some(copy(1, b"as it went")), ..sent(&leased) };
    world.store().settle(settlement.clone()).await.unwrap();
    assert!(world.store().settle(settlement).await.is_err(), "a lease that has ended makes no copy");
    assert_eq!(world.store().queue_length(), 0);
    world.crash();
    world.store().recover(DoubtPauses::default()).await.unwrap();
    let made = due(&world).await;
    assert_eq!(
        (&made.queue_id, made.sent_wall, made.made, made.tries),
        (&id(1), 1_000_000, Moment(1_000_000), 0)
    );
    assert_eq!(made.content.read().await.unwrap(), b"as it went");
    let other = AccountKey::new("u", "other");
    assert_eq!(world.store().next_copy(other).await.unwrap(), NextCopy::None);
    world.store().end_copy(made.id, CopyEnd::Over).await.unwrap();
    assert_eq!(world.store().waiting_copies().await.unwrap(), []);
    assert_eq!(world.store().next_copy(account()).await.unwrap(), NextCopy::None);
}

pub(crate) async fn several_transactions_make_one_copy(world: impl World) {
    world
        .store()
        .enqueue(message(1, &["x@there.example", "y@there.example", "z@there.example"]))
        .await
        .unwrap();
    for n in 1..=3 {
        let asked = Ask { recipients_per_message: 1, ..crate::build::ask(1) };
        let [leased] = crate::build::leased(world.store().claim(asked).await.unwrap()).try_into().unwrap();
        assert_eq!(leased.copied, n > 1);
        let made = copy(n, format!("as it went at try {n}").as_bytes());
        world.store().settle(Settlement { copy: Some(made), ..sent(&leased) }).await.unwrap();
    }
    let [waiting] = world.store().waiting_copies().await.unwrap().try_into().unwrap();
    assert_eq!((waiting.copies, waiting.octets), (1, 19));
    let made = due(&world).await;
    assert_eq!(made.content.read().await.unwrap(), b"as it went at try 1");
    world.store().enqueue(message(2, &["x@there.example"])).await.unwrap();
    let [leased] = claim(&world, 1).await.try_into().unwrap();
    world.store().settle(deferred(&leased, Duration::ZERO)).await.unwrap();
    let [leased] = claim(&world, 1).await.try_into().unwrap();
    assert!(!leased.copied, "what was not sent has no copy");
    world.store().settle(sent(&leased)).await.unwrap();
    let mut copies = message(3, &["archive@firm.example", "clerk@firm.example"]);
    copies.recipients.iter_mut().for_each(|recipient| recipient.copy = true);
    world.store().enqueue(copies).await.unwrap();
    let [leased] = claim(&world, 1).await.try_into().unwrap();
    assert!(leased.copied, "the transaction of those whom the client named has made it");
}

pub(crate) async fn a_copy_that_failed_rests_and_the_next_goes(world: impl World) {
    for n in 1..=2 {
        world.store().enqueue(message(n, &["x@there.example"])).await.unwrap();
        let [leased] = claim(&world, 1).await.try_into().unwrap();
        world.store().settle(Settlement { copy: Some(copy(n, b"abc")), ..sent(&leased) }).await.unwrap();
        world.clock().pass(10);
    }
    let first = due(&world).await;
    assert_eq!(first.queue_id, id(1));
    let again = |reason: &str| CopyEnd::Again { after: Duration::from_mins(1), reason: reason.to_owned() };
    world.store().end_copy(first.id, again("down")).await.unwrap();
    let second = due(&world).await;
    assert_eq!(second.queue_id, id(2));
    world.clock().pass(10);
    world.store().end_copy(second.id, again("still down")).await.unwrap();
    let [waiting] = world.store().waiting_copies().await.unwrap().try_into().unwrap();
    assert_eq!((waiting.account, waiting.copies, waiting.octets), (account(), 2, 6));
    assert_eq!((waiting.oldest, waiting.reason.as_str()), (Moment(1_000_000), "still down"));
    assert_eq!(world.store().next_copy(account()).await.unwrap(), NextCopy::Later(Moment(1_060_020)));
    world.clock().pass(59_990);
    let due_again = due(&world).await;
    assert_eq!((due_again.id, due_again.tries), (first.id, 1));
    world.store().end_copy(first.id, again("down")).await.unwrap();
    world.clock().pass(10);
    assert_eq!(due(&world).await.id, second.id);
    world.store().end_copy(second.id, CopyEnd::Over).await.unwrap();
    assert!(matches!(world.store().next_copy(account()).await.unwrap(), NextCopy::Later(_)));
    world.store().retry_copies(account()).await.unwrap();
    assert_eq!((due(&world).await.id, due(&world).await.tries), (first.id, 2));
}

pub(crate) async fn what_waits_too_long_is_forgotten(world: impl World) {
    for n in 1..=2 {
        let needed = Amount::of_message(1, 10);
        let new = NewPermit { account: account(), ceilings: vec![], needed, recorded: 1 };
        let Permitted::Granted(permit) = world.store().take_permit(new).await.unwrap() else { panic!() };
        let end = PermitEnd {
            passed: Some(passed(n, &["a@b"], &[])),
            copy: Some(copy(n, b"abc")),
            ..PermitEnd::without_message(permit, None)
        };
        world.store().end_permit(end.clone()).await.unwrap();
        // Told twice it makes one.
        world.store().end_permit(end).await.unwrap();
        world.clock().pass(1_000);
    }
    let first = due(&world).await;
    let again = CopyEnd::Again { after: Duration::ZERO, reason: "down".to_owned() };
    world.store().end_copy(first.id, again).await.unwrap();
    assert_eq!(world.store().expire_copies(Duration::from_secs(2)).await.unwrap(), []);
    world.clock().pass(1);
    let gone = ExpiredCopy { queue_id: id(1), account: account(), tries: 1, reason: "down".to_owned() };
    assert_eq!(world.store().expire_copies(Duration::from_secs(2)).await.unwrap(), [gone]);
    assert_eq!(due(&world).await.queue_id, id(2));
}

pub(crate) async fn what_is_too_much_is_not_copied(world: impl World) {
    let store = world.store();
    for n in 1..=3 {
        store.enqueue(message(n, &["x@there.example"])).await.unwrap();
        let [leased] = claim(&world, 1).await.try_into().unwrap();
        // Zeros that nobody reads take no memory.
        let size = if n == 2 { MOST_COPY_OCTETS as usize } else { 3 };
        let content = Content::memory(vec![0; size]);
        let copy = NewSentCopy { content, ..copy(n, b"") };
        store.settle(Settlement { copy: Some(copy), ..sent(&leased) }).await.unwrap();
    }
    let [waiting] = store.waiting_copies().await.unwrap().try_into().unwrap();
    assert_eq!((waiting.copies, waiting.octets), (2, 6), "the mail has gone all the same");
    assert_eq!(store.totals().await.unwrap().sent, 3);
}
