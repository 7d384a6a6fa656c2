//! Keepers at work: a provider that may rotate strictly, be down, slow or talk nonsense, a store that may fail, and relays that
//! die at any moment.

mod provider;
mod world;

use std::time::Duration;

use provider::{Rotation, Trouble};
use world::World;

use crate::oauth::token::{AccessToken, Resource, TokenHandle};
use crate::oauth::token_user::TokenUser;

const HOUR: Duration = Duration::from_hours(1);

/// Waits until there is a token that is not `before`.
async fn next(handle: &mut TokenHandle, before: Option<&AccessToken>) -> AccessToken {
    loop {
        if let Ok(token) = handle.current()
            && before.is_none_or(|before| !before.is(&token))
        {
            return token;
        }
        assert!(handle.changed().await, "somebody keeps the token");
    }
}

#[tokio::test(start_paused = true)]
async fn no_sign_in_is_lost_over_a_hundred_renewals_and_deaths() {
    let mut world = World::new(Rotation::Lenient).await;
    world.sign_in().await;
    let mut last = None;
    for round in 0..120_u32 {
        let mut handle = world.handle();
        let trouble =
            [None, Some(Trouble::Down), Some(Trouble::Slow), Some(Trouble::Garbage), Some(Trouble::Busy)]
                [round as usize % 5];
        world.provider.fail_next(trouble, round % 4);
        match round % 6 {
            // It dies when the provider has issued, and nobody has heard of it.
            0 => {
                world.provider.hold_next_answer();
                tokio::time::sleep(HOUR).await;
                world.die().await;
                handle = world.handle();
            }
            // It dies while it waits for its next try, or between two renewals.
            1 => {
                tokio::time::sleep(Duration::from_secs(u64::from(round))).await;
                world.die().await;
                handle = world.handle();
            }
            // It is refused at the upstream.
            2 => {
                let token = next(&mut handle, None).await;
                let asked = world.provider.issued();
                refused_eight_times(&handle, &token).await;
                assert!(world.provider.issued() <= asked + 1, "one renewal for all who were refused");
            }
            _ => tokio::time::sleep(HOUR).await,
        }
        let token = next(&mut handle, last.as_ref()).await;
        assert!(world.provider.is_good(&token), "round {round}");
        last = Some(token);
        world.provider.heal();
    }
    assert!(world.provider.issued() >= 120, "{}", world.provider.issued());
    assert_eq!(world.provider.most_at_once(), 1, "never two requests at once");
    assert_eq!(world.sign_ins.status()[0].fault, None);
    world.log.holds_no("hush");
}

/// Eight connections are refused with the same token at the same time.
async fn refused_eight_times(handle: &TokenHandle, token: &AccessToken) {
    let replaced = |(handle, token): (TokenHandle, AccessToken)| async move {
        let _ = handle.replace(&token).await;
    };
    let all: Vec<_> = (0..8).map(|_| tokio::spawn(replaced((handle.clone(), token.clone())))).collect();
    for one in all {
        one.await.unwrap();
    }
}

/// Several accounts share it, and one of their logins is refused for reasons of its own.
#[tokio::test(start_paused = true)]
async fn a_token_that_one_is_refused_with_stays_with_the_others() {
    let world = World::new(Rotation::Lenient).await;
    world.sign_in().await;
    let mut handle = world.handle();
    let token = next(&mut handle, None).await;
    let (well, barred) = (TokenUser::default(), TokenUser::default());
    well.note_accepted(&token);
    barred.note_refused(&token);
    let asked = world.provider.asked();
    world.provider.fail_next(Some(Trouble::Down), u32::MAX);
    refused_eight_times(&handle, &token).await;
    assert!(handle.current().is_ok_and(|current| current.is(&token)));
    assert_eq!(world.provider.asked(), asked + 1, "a provider that has just failed is left alone");
    well.note_refused(&token);
    let refusal = handle.replace(&token).await.unwrap_err();
    assert!(handle.current().is_err(), "it is good for nobody any more: {refusal}");
    world.provider.heal();
    let other = next(&mut handle, Some(&token)).await;
    assert!(world.provider.is_good(&other));
}

#[tokio::test(start_paused = true)]
async fn strict_rotation_loses_a_sign_in_only_between_issue_and_commit() {
    let mut world = World::new(Rotation::Strict).await;
    world.sign_in().await;
    let mut last = None;
    for round in 0..100_u64 {
        let mut handle = world.handle();
        if round % 3 == 0 {
            tokio::time::sleep(Duration::from_secs(round * 30)).await;
            world.die().await;
            handle = world.handle();
        }
        tokio::time::sleep(HOUR).await;
        last = Some(next(&mut handle, last.as_ref()).await);
    }
    world.provider.hold_next_answer();
    tokio::time::sleep(HOUR).await;
    world.die().await;
    let handle = world.handle();
    tokio::time::sleep(Duration::from_mins(1)).await;
    let why = handle.current().unwrap_err();
    assert_eq!(why.until, None);
    assert_eq!(why.action.as_deref(), Some("run `mailsluice connect m365`"));
    assert!(why.reason.contains("invalid_grant"), "{why}");
    assert!(world.log.text().contains("token_failed"));
    // It asks no more, until a person has signed in.
    let asked = world.provider.asked();
    tokio::time::sleep(HOUR * 100).await;
    assert_eq!(world.provider.asked(), asked);
    world.sign_in().await;
    next(&mut world.handle(), None).await;
    world.log.holds_no("hush");
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_stored_is_not_used() {
    let world = World::new(Rotation::Strict).await;
    world.sign_in().await;
    let mut handle = world.handle();
    let first = next(&mut handle, None).await;
    world.store.break_saves(true);
    let asked = world.provider.asked();
    tokio::time::sleep(HOUR * 3).await;
    assert_eq!(world.provider.asked(), asked + 1, "the token that came is kept, no other is asked for");
    let why = handle.current().unwrap_err();
    assert!(why.reason.contains("could not be stored") && why.until.is_some(), "{why}");
    world.store.break_saves(false);
    let token = next(&mut handle, Some(&first)).await;
    assert!(world.provider.is_good(&token));
}

#[tokio::test(start_paused = true)]
async fn an_outage_keeps_the_token_until_its_end_and_is_told_once() {
    let world = World::new(Rotation::Lenient).await;
    world.sign_in().await;
    let mut handle = world.handle();
    let token = next(&mut handle, None).await;
    world.provider.fail_next(Some(Trouble::Down), u32::MAX);
    tokio::time::sleep(Duration::from_secs(3595)).await;
    assert!(handle.current().unwrap().is(&token));
    tokio::time::sleep(Duration::from_secs(10)).await;
    let why = handle.current().unwrap_err();
    assert!(why.until.is_some() && why.action.is_none(), "{why:?}");
    assert_eq!(world.log.text().matches("token_failed").count(), 1);
    world.provider.heal();
    next(&mut handle, Some(&token)).await;
}

#[tokio::test(start_paused = true)]
async fn a_grant_is_sealed_when_there_is_a_key_and_told_when_it_is_gone() {
    let mut world = World::new(Rotation::Lenient).await;
    world.sign_in().await;
    next(&mut world.handle(), None).await;
    assert_eq!(world.stored().await.0.first(), Some(&0));
    for (key, want) in [
        (Some(1), None),
        (Some(2), Some("another [secrets] key")),
        (None, Some("there is none now")),
        (Some(1), None),
    ] {
        world.key = key;
        world.die().await;
        let handle = world.handle();
        tokio::time::sleep(Duration::from_mins(1)).await;
        match want {
            None => assert!(handle.current().is_ok(), "{key:?}"),
            Some(want) => assert!(handle.current().unwrap_err().reason.contains(want), "{key:?}"),
        }
        assert_eq!(world.stored().await.0.first(), Some(&1), "it is never lost");
    }
}

/// A reload with another key seals anew what is known, before anything else happens; without one nothing is made worse.
#[tokio::test(start_paused = true)]
async fn a_reload_with_another_key_seals_anew() {
    let mut world = World::new(Rotation::Lenient).await;
    world.sign_in().await;
    let mut handle = world.handle();
    let token = next(&mut handle, None).await;
    let mut forms = vec![world.stored().await];
    for key in [1, 2] {
        world.key = Some(key);
        world.configure();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let stored = world.stored().await;
        assert!(stored.0.first() == Some(&1) && !forms.contains(&stored), "it is sealed by key {key}");
        forms.push(stored);
    }
    assert_eq!(world.sign_ins.status()[0].account.as_deref(), Some("a@firm.example"));
    // A store that fails keeps what it had; it is sealed when it can.
    world.store.break_saves(true);
    world.key = Some(3);
    world.configure();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(Some(&world.stored().await), forms.last());
    world.store.break_saves(false);
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(!forms.contains(&world.stored().await));
    for (key, opens) in [(2, false), (3, true)] {
        world.key = Some(key);
        world.die().await;
        let handle = world.handle();
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert_eq!(handle.current().is_ok(), opens, "key {key}");
    }
    assert!(!token.is(&next(&mut world.handle(), None).await));
    world.log.holds_no("hush");
}

/// Renewals are of the same sign-in; who signs in anew, or another application, is told apart.
#[tokio::test(start_paused = true)]
async fn tokens_tell_whose_they_are() {
    let mut world = World::new(Rotation::Lenient).await;
    world.sign_in().await;
    let mut handle = world.handle();
    let first = next(&mut handle, None).await;
    let renewed = next(&mut handle, Some(&first)).await;
    assert_eq!(first.origin(), renewed.origin());
    world.configure();
    world.sign_in().await;
    let anew = next(&mut handle, Some(&renewed)).await;
    assert_ne!(anew.origin(), renewed.origin());
    world.client = "other";
    world.configure();
    world.sign_in().await;
    assert_ne!(next(&mut handle, Some(&anew)).await.origin(), anew.origin());
}

#[tokio::test(start_paused = true)]
async fn only_what_is_used_is_asked_for_and_a_reload_goes_on() {
    let mut world = World::new(Rotation::Lenient).await;
    world.sign_in().await;
    tokio::time::sleep(HOUR * 10).await;
    assert_eq!(world.provider.asked(), 0);
    let mut handle = world.handle();
    let token = next(&mut handle, None).await;
    let graph = world.sign_ins.handle("m365", Resource::Graph);
    next(&mut graph.clone(), None).await;
    drop(graph);
    let asked = world.provider.asked();
    world.configure();
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(world.provider.asked(), asked, "nothing has changed");
    assert!(handle.current().unwrap().is(&token));
    world.client = "other";
    world.configure();
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(
        handle.current().unwrap_err().reason.contains("another client_id"),
        "a grant is its client's own"
    );
    world.client = "id";
    world.configure();
    next(&mut handle, Some(&token)).await;
    world.configure_nothing();
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(handle.current().unwrap_err().reason.contains("no more"));
    assert!(world.sign_ins.status().is_empty());
}
