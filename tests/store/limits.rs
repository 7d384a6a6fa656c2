//! The limits hold, and say until when.

use std::time::Duration;

use mailsluice::config::{Batch, Pace, TestAction, Window};
use mailsluice::limits::{AccountKey, Amount, Cause, Ceilings, GroupKey, Scope, Wait};
use mailsluice::store::*;
use mailsluice::time::Moment;

use crate::World;
use crate::build::*;

fn blocked(cause: Cause, until: Option<Moment>) -> Claimed {
    Claimed::Blocked(Wait { cause, until })
}

fn minute_after(at: Moment) -> Moment {
    Window::MINUTE.leaves(Window::MINUTE.slot(at))
}

fn limited(ceilings: Ceilings) -> Ask {
    Ask { ceilings: own(ceilings), ..ask(9) }
}

async fn fill(world: &impl World, messages: u32) {
    for n in 0..messages {
        world.store().enqueue(message(n, &["a@b"])).await.unwrap();
    }
}

/// A claim is blocked until exactly then, and brings so many messages after.
async fn opens(world: &impl World, ask: &Ask, cause: Cause, until: Moment) -> Vec<Leased> {
    let store = world.store();
    for at in [world.clock().now().0, until.0 - 1] {
        world.clock().set(at);
        assert_eq!(store.claim(ask.clone()).await.unwrap(), blocked(cause, Some(until)));
    }
    world.clock().set(until.0);
    leased(store.claim(ask.clone()).await.unwrap())
}

pub(crate) async fn a_window_blocks_until_its_first_permit_has_left(world: impl World) {
    let store = world.store();
    let ask = limited(quota(Window::MINUTE, Some(2), None));
    fill(&world, 5).await;
    let Claimed::Messages { leased: first, more } = store.claim(ask.clone()).await.unwrap() else { panic!() };
    assert_eq!((first.len(), more), (2, Some(Moment(1_000_000))), "more is due, and has no room");
    let cause = Cause::Window(Window::MINUTE);
    assert_eq!(store.claim(ask.clone()).await.unwrap(), blocked(cause, None), "they must end first");
    store.settle(sent(&first[0])).await.unwrap();
    let early = minute_after(world.clock().now());
    world.clock().pass(30_000);
    store.settle(sent(&first[1])).await.unwrap();
    let late = minute_after(world.clock().now());
    assert_eq!(opens(&world, &ask, cause, early).await.len(), 1, "the first has left");
    // That one is under way; when it is, the second leaves in half a minute.
    assert_eq!(opens(&world, &ask, cause, late).await.len(), 1);
}

pub(crate) async fn what_is_not_counted_is_given_back(world: impl World) {
    let store = world.store();
    let ask = limited(quota(Window::HOUR, Some(1), None));
    fill(&world, 2).await;
    let first = leased(store.claim(ask.clone()).await.unwrap());
    store.hand_back(vec![first[0].lease]).await.unwrap();
    let first = leased(store.claim(ask.clone()).await.unwrap());
    let not_begun = Settlement { used: None, ..settled(&first[0], RecipientState::Waiting) };
    store.settle(not_begun).await.unwrap();
    assert_eq!(used_today(&world).await, (0, 0));
    assert_eq!(leased(store.claim(ask).await.unwrap()).len(), 1);
}

pub(crate) async fn an_envelope_is_split_to_the_room_that_is_left(world: impl World) {
    let store = world.store();
    let ask = limited(quota(Window::MINUTE, None, Some(4)));
    let large = message(1, &["a@b", "b@b", "c@b", "d@b", "e@b", "f@b"]);
    store.enqueue(message(0, &["a@b"])).await.unwrap();
    store.enqueue(of_user("other", large)).await.unwrap();
    store.enqueue(message(2, &["a@b"])).await.unwrap();
    let first = leased(store.claim(ask.clone()).await.unwrap());
    let sizes: Vec<_> = first.iter().map(|m| (m.message.recipients.len(), m.others_waiting)).collect();
    assert_eq!(sizes, [(1, 0), (3, 3)]);
    for leased in &first {
        store.settle(sent(leased)).await.unwrap();
    }
    let until = minute_after(world.clock().now());
    let rest = opens(&world, &ask, Cause::Window(Window::MINUTE), until).await;
    let sizes: usize = rest.iter().map(|leased| leased.message.recipients.len()).sum();
    assert_eq!((rest.len(), sizes), (2, 4), "neither waits for the other");
}

pub(crate) async fn copies_need_one_and_captured_mail_needs_nothing(world: impl World) {
    let store = world.store();
    let test = |action, address| Decisions::of_test(TestTreatment { action, address });
    let to = Some(address("t@firm.example"));
    let copied =
        NewMessage { decisions: test(TestAction::Redirect, to), ..message(1, &["a@b", "b@b", "c@b"]) };
    let lane = LaneName::captured();
    let captured = NewMessage {
        decisions: test(TestAction::Capture, None),
        lane: lane.clone(),
        ..message(2, &["a@b", "b@b"])
    };
    store.enqueue(copied).await.unwrap();
    store.enqueue(captured).await.unwrap();
    let ask = limited(quota(Window::MINUTE, Some(1), Some(1)));
    let copy = leased(store.claim(ask.clone()).await.unwrap());
    assert_eq!((copy[0].message.recipients.len(), copy[0].message.disposition()), (3, Disposition::OneCopy));
    assert_eq!(used_today(&world).await, (1, 1));
    let kept = leased(store.claim(Ask { lane, ..ask }).await.unwrap());
    assert_eq!((kept[0].message.recipients.len(), kept[0].message.disposition()), (2, Disposition::Captured));
    store.settle(settled(&kept[0], RecipientState::Captured)).await.unwrap();
    assert_eq!((used_today(&world).await, store.totals().await.unwrap().captured), ((1, 1), 2));
}

pub(crate) async fn what_is_shared_is_shared(world: impl World) {
    let store = world.store();
    let of = |name: &str| {
        let key = AccountKey::new("u", name);
        let [own, upstream] = key.scopes();
        let ceilings =
            vec![(own, quota(Window::MINUTE, Some(2), None)), (upstream, quota(Window::DAY, Some(3), None))];
        Ask { account: key, ceilings, ..ask(9) }
    };
    fill(&world, 6).await;
    let first = leased(store.claim(of("a")).await.unwrap());
    let second = leased(store.claim(of("b")).await.unwrap());
    assert_eq!((first.len(), second.len()), (2, 1));
    for leased in first.iter().chain(&second) {
        store.settle(sent(leased)).await.unwrap();
    }
    let upstream = Scope::Upstream("u".into());
    assert_eq!(used(&world, upstream, Window::DAY).await, (3, 3));
    assert_eq!(used(&world, Scope::Account(AccountKey::new("u", "b")), Window::DAY).await, (1, 1));
    let until = Window::DAY.leaves(Window::DAY.slot(world.clock().now()));
    let cause = Cause::Shared(Window::DAY);
    let wait = Wait { cause, until: Some(until) };
    assert_eq!(store.room(of("b").ceilings, amount(1)).await.unwrap(), Err(wait));
    assert_eq!(opens(&world, &of("a"), cause, until).await.len(), 2);
}

pub(crate) async fn pace_batch_and_what_was_learned_hold(world: impl World) {
    let store = world.store();
    fill(&world, 20).await;
    let even = limited(Ceilings { pace: Pace::Even, ..quota(Window::MINUTE, Some(30), None) });
    let first = leased(store.claim(even.clone()).await.unwrap());
    assert_eq!(first.len(), 1, "one at a time");
    store.settle(sent(&first[0])).await.unwrap();
    assert_eq!(opens(&world, &even, Cause::Even, Moment(1_002_000)).await.len(), 1);

    store.reset_usage("u".into(), Window::NAMED.to_vec()).await.unwrap();
    world.clock().set(2_000_000);
    let batch = Some(Batch { messages: 3, pause: Duration::from_secs(2) });
    let batch = limited(Ceilings { batch, ..Ceilings::default() });
    let first = leased(store.claim(batch.clone()).await.unwrap());
    assert_eq!(first.len(), 3);
    assert_eq!(store.claim(batch.clone()).await.unwrap(), blocked(Cause::Batch, None), "they must end first");
    for leased in &first {
        store.settle(sent(leased)).await.unwrap();
    }
    // One of before is under way still.
    assert_eq!(store.claim(batch).await.unwrap(), blocked(Cause::Batch, None));

    let learned = Ceilings { learned_per_minute: Some(4), ..quota(Window::MINUTE, Some(30), None) };
    let until = minute_after(world.clock().now());
    assert_eq!(store.claim(limited(learned)).await.unwrap(), blocked(Cause::Slowed, Some(until)));
}

async fn granted(world: &impl World, permit: NewPermit) -> PermitId {
    match world.store().take_permit(permit).await.unwrap() {
        Permitted::Granted(id) => id,
        Permitted::Blocked(wait) => panic!("{wait:?}"),
    }
}

fn permit(ceilings: Ceilings, recipients: u32, recorded: u32) -> NewPermit {
    NewPermit { account: account(), ceilings: own(ceilings), needed: amount(recipients), recorded }
}

pub(crate) async fn permits_take_room_and_grow(world: impl World) {
    let store = world.store();
    let ceilings = quota(Window::MINUTE, Some(1), Some(4));
    let cause = Cause::Window(Window::MINUTE);
    let full = |until| Permitted::Blocked(Wait { cause, until });
    assert_eq!(store.take_permit(permit(ceilings.clone(), 5, 5)).await.unwrap(), full(None));
    let id = granted(&world, permit(ceilings.clone(), 1, 2)).await;
    assert_eq!(store.take_permit(permit(ceilings.clone(), 1, 1)).await.unwrap(), full(None));
    fill(&world, 1).await;
    assert_eq!(
        store.claim(limited(ceilings.clone())).await.unwrap(),
        blocked(cause, None),
        "lanes wait for it"
    );
    let more =
        PermitExtension { permit: id, ceilings: own(ceilings.clone()), more: Amount::of_recipients(1) };
    for recipients in 2..=4 {
        assert_eq!(store.extend_permit(more.clone()).await.unwrap(), Permitted::Granted(id));
        assert_eq!(used_today(&world).await, (1, recipients));
    }
    assert_eq!(store.extend_permit(more).await.unwrap(), full(None));
    store.end_permit(PermitEnd::without_message(id, Some(amount(3)))).await.unwrap();
    assert_eq!(used_today(&world).await, (1, 3));
    let until = minute_after(world.clock().now());
    assert_eq!(store.take_permit(permit(ceilings.clone(), 1, 1)).await.unwrap(), full(Some(until)));
    world.clock().set(until.0);
    granted(&world, permit(ceilings, 1, 1)).await;
}

pub(crate) async fn permits_are_ended_once(world: impl World) {
    let store = world.store();
    let ids = [
        granted(&world, permit(Ceilings::default(), 2, 7)).await,
        granted(&world, permit(Ceilings::default(), 2, 7)).await,
    ];
    let reports = vec![report(9)];
    let end = PermitEnd {
        passed: Some(passed(1, &["a@b", "c@d"], &["e@f"])),
        reports,
        ..PermitEnd::without_message(ids[0], Some(amount(2)))
    };
    for _ in 0..2 {
        store.end_permit(end.clone()).await.unwrap();
    }
    store.end_permit(PermitEnd::without_message(ids[1], None)).await.unwrap();
    let totals = store.totals().await.unwrap();
    assert_eq!((totals.accepted, totals.sent, totals.dropped), (3, 2, 1));
    assert_eq!((totals.generated, totals.queued, store.queue_length()), (1, 1, 1));
    assert_eq!(used_today(&world).await, (1, 2));
    let more = PermitExtension { permit: ids[1], ceilings: vec![], more: Amount::of_recipients(1) };
    assert!(matches!(store.extend_permit(more).await, Err(StoreError::Fenced)));
}

pub(crate) async fn what_was_under_way_counts_after_a_crash(mut world: impl World) {
    world.store().enqueue(message(1, &["a@b", "c@d"])).await.unwrap();
    world.store().enqueue(message(2, &["a@b"])).await.unwrap();
    let claimed = claim(&world, 2).await;
    world.store().settle(sent(&claimed[1])).await.unwrap();
    let open = granted(&world, permit(Ceilings::default(), 2, 7)).await;
    world.crash();
    world.clock().pass(50_000);
    world.store().recover(DoubtPauses::default()).await.unwrap();
    assert_eq!(used_today(&world).await, (3, 10), "all that it may have come to");
    world.store().end_permit(PermitEnd::without_message(open, Some(amount(1)))).await.unwrap();
    assert_eq!(used_today(&world).await, (3, 10), "it was ended by the start");
    // They have ended now, not when they began.
    let ask = limited(quota(Window::MINUTE, Some(2), None));
    let until = minute_after(world.clock().now());
    opens(&world, &ask, Cause::Window(Window::MINUTE), until).await;
}

pub(crate) async fn what_fails_is_not_counted(world: impl World) {
    let store = world.store();
    let ceilings = quota(Window::MINUTE, Some(9), None);
    let open = granted(&world, permit(ceilings.clone(), 2, 9)).await;
    fill(&world, 3).await;
    let first =
        leased(store.claim(Ask { messages: 1, ..limited(ceilings.clone()) }).await.unwrap()).remove(0);
    // The report has a name that is taken: the whole call fails.
    let failing = Settlement { reports: vec![report(2)], ..sent(&first) };
    assert!(store.settle(failing).await.is_err());
    let end = PermitEnd {
        passed: Some(passed(9, &["a@b", "c@d", "e@f"], &[])),
        ..PermitEnd::without_message(open, Some(amount(3)))
    };
    assert!(store.end_permit(PermitEnd { reports: vec![report(2)], ..end.clone() }).await.is_err());
    assert_eq!((used_today(&world).await, store.totals().await.unwrap().sent), ((2, 3), 0));
    assert_eq!(store.room(own(ceilings.clone()), amount(1)).await.unwrap().unwrap().messages, 7);
    let more = PermitExtension { permit: open, ceilings: own(ceilings), more: Amount::of_recipients(1) };
    assert_eq!(store.extend_permit(more).await.unwrap(), Permitted::Granted(open));
    store.settle(sent(&first)).await.unwrap();
    store.end_permit(end).await.unwrap();
    assert_eq!((used_today(&world).await, store.totals().await.unwrap().sent), ((2, 4), 4));
}

pub(crate) async fn usage_is_told_reset_and_pruned(mut world: impl World) {
    fill(&world, 2).await;
    let claimed = claim(&world, 2).await;
    world.store().settle(sent(&claimed[0])).await.unwrap();
    world.crash();
    assert_eq!(used_today(&world).await, (2, 2), "counts last");
    let store = world.store();
    store.reset_usage("other".into(), Window::NAMED.to_vec()).await.unwrap();
    assert_eq!(used_today(&world).await, (2, 2));
    store.reset_usage("u".into(), vec![Window::DAY]).await.unwrap();
    assert_eq!(used_today(&world).await, (1, 1), "what is under way is not forgotten");
    let own = || Scope::Account(account());
    assert_eq!(used(&world, own(), Window::WEEK).await, (2, 2));
    store.prune().await.unwrap();
    assert_eq!(used(&world, own(), Window::WEEK).await, (2, 2));
    world.clock().pass(8 * 86_400_000);
    store.prune().await.unwrap();
    assert_eq!(used(&world, own(), Window::WEEK).await, (1, 1));
}

fn suspension(account: Option<&str>, kind: SuspensionKind, lasts: Option<u64>) -> NewSuspension {
    NewSuspension {
        upstream: "u".into(),
        account: account.map(str::to_owned),
        kind,
        lasts: lasts.map(Duration::from_millis),
        login: None,
        reason: format!("for {lasts:?}"),
    }
}

pub(crate) async fn suspensions_last_and_end(mut world: impl World) {
    let new = suspension;
    let store = world.store();
    store.suspend(new(None, SuspensionKind::Paused, Some(5))).await.unwrap();
    let paused = store.suspend(new(None, SuspensionKind::Paused, Some(9))).await.unwrap();
    let stopped = store.suspend(new(Some("a"), SuspensionKind::Stopped, None)).await.unwrap();
    assert_eq!((paused.until, stopped.until), (Some(Moment(1_000_009)), None));
    world.crash();
    let store = world.store();
    let mut all = store.suspensions().await.unwrap();
    all.sort_by_key(|suspension| suspension.account.clone());
    assert_eq!(all, [paused.clone(), stopped]);
    store.end_suspensions(Some("other".into()), None, vec![SuspensionKind::Stopped]).await.unwrap();
    assert_eq!(store.suspensions().await.unwrap().len(), 2);
    store.end_suspensions(None, None, vec![SuspensionKind::Stopped, SuspensionKind::Disabled]).await.unwrap();
    assert_eq!(store.suspensions().await.unwrap(), [paused]);
    world.clock().pass(9);
    assert_eq!(store.suspensions().await.unwrap(), []);
}

pub(crate) async fn a_longer_pause_holds(mut world: impl World) {
    let store = world.store();
    let pause = |lasts| suspension(None, SuspensionKind::Paused, lasts);
    let long = store.suspend(pause(Some(9))).await.unwrap();
    assert_eq!(store.suspend(pause(Some(5))).await.unwrap(), long, "the one that is in force is told");
    let one = suspension(Some("a"), SuspensionKind::Paused, Some(4));
    let of_account = store.suspend(one).await.unwrap();
    assert_eq!(of_account.until, Some(Moment(1_000_004)), "that of another account is its own");
    world.crash();
    world.clock().pass(4);
    assert_eq!(world.store().suspensions().await.unwrap(), [long]);
    world.clock().pass(6);
    let next = world.store().suspend(pause(Some(1))).await.unwrap();
    assert_eq!(next.until, Some(Moment(1_000_011)), "one that is over holds nothing up");
}

pub(crate) async fn a_refused_login_stays_until_it_is_ended(mut world: impl World) {
    let store = world.store();
    let login = |account: &str, lasts, login: &str| NewSuspension {
        login: Some(login.to_owned()),
        ..suspension(Some(account), SuspensionKind::Login, lasts)
    };
    store.suspend(login("a", Some(9), "first")).await.unwrap();
    let next = store.suspend(login("a", Some(5), "second")).await.unwrap();
    let other = store.suspend(login("b", Some(5), "first")).await.unwrap();
    assert_eq!((next.until, next.login.as_deref()), (Some(Moment(1_000_005)), Some("second")));
    world.crash();
    world.clock().pass(6);
    let store = world.store();
    store.prune().await.unwrap();
    let mut all = store.suspensions().await.unwrap();
    all.sort_by_key(|suspension| suspension.account.clone());
    assert_eq!(all, [next, other.clone()], "its probe is due, and it is refused still");
    store.suspend(suspension(Some("a"), SuspensionKind::Disabled, None)).await.unwrap();
    store.end_suspensions(Some("u".into()), Some("a".into()), vec![SuspensionKind::Login]).await.unwrap();
    let mut left = store.suspensions().await.unwrap();
    left.retain(|suspension| suspension.kind == SuspensionKind::Login);
    assert_eq!(left, [other], "of one account, and of one kind");
    assert_eq!(store.suspensions().await.unwrap().len(), 2);
}

pub(crate) async fn upstreams_of_a_group_count_together(world: impl World) {
    let store = world.store();
    let group = Scope::Group(GroupKey::new("g", ["u".into(), "v".into()]));
    let of = |upstream: &str, most: u32| Ask {
        lane: LaneName::of_upstream(upstream),
        account: AccountKey::new(upstream, "a"),
        ceilings: vec![(group.clone(), quota(Window::MINUTE, Some(most), None))],
        ..ask(9)
    };
    fill(&world, 4).await;
    store
        .enqueue(NewMessage { lane: LaneName::of_upstream("v"), ..message(9, &["x@there.example"]) })
        .await
        .unwrap();
    // What was sent before anybody asked for the group counts, too.
    let before = leased(store.claim(Ask { ceilings: Vec::new(), ..of("u", 0) }).await.unwrap());
    assert_eq!(before.len(), 4);
    store.settle(sent(&before[0])).await.unwrap();
    let room = |most| store.room(of("v", most).ceilings, amount(1));
    let cause = Cause::Group(Window::MINUTE);
    assert_eq!(room(3).await.unwrap(), Err(Wait { cause, until: None }));
    assert_eq!(room(5).await.unwrap().map(|room| room.messages), Ok(1));
    let other = leased(store.claim(of("v", 5)).await.unwrap());
    assert_eq!(other.len(), 1);
    for leased in before[1..].iter().chain(&other) {
        store.settle(sent(leased)).await.unwrap();
    }
    assert_eq!(used(&world, group.clone(), Window::MINUTE).await, (5, 5));
    store.reset_usage("u".into(), Vec::new()).await.unwrap();
    assert_eq!(room(2).await.unwrap().map(|room| room.messages), Ok(1), "the other's still count");
    let until = Window::MINUTE.leaves(Window::MINUTE.slot(world.clock().now()));
    assert_eq!(room(1).await.unwrap(), Err(Wait { cause, until: Some(until) }));
}

pub(crate) async fn a_window_of_any_length_knows_what_was_sent_before(world: impl World) {
    let store = world.store();
    let five = Window::from_name("5m").unwrap();
    fill(&world, 4).await;
    let first = leased(store.claim(ask(3)).await.unwrap());
    for leased in &first {
        store.settle(sent(leased)).await.unwrap();
    }
    let sent_at = world.clock().now();
    world.clock().pass(60_000);
    let ask = limited(quota(five, Some(3), None));
    let Claimed::Blocked(wait) = store.claim(ask.clone()).await.unwrap() else { panic!("three are all") };
    assert_eq!(wait.cause, Cause::Window(five));
    let until = wait.until.unwrap();
    let latest = sent_at.after(five.length()).0 + Window::HOUR.slot_width() + five.slot_width();
    assert!(until > sent_at.after(five.length()) && until.0 <= latest, "{until:?} {sent_at:?}");
    assert_eq!(opens(&world, &ask, wait.cause, until).await.len(), 1);
}
