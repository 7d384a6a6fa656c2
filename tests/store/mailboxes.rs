//! Mailboxes that do not exist: when they come on the blacklist.

use std::time::Duration;

use mailsluice::store::*;
use mailsluice::time::Moment;

use crate::World;
use crate::build::*;

const REPLY: &str = "550 5.1.1 no such user";
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const RULE: ListingRule = ListingRule { after: 2, lasts: Some(Duration::from_secs(9)) };

fn failure(address: &str) -> MailboxFailure {
    MailboxFailure { address: address.into(), reply: REPLY.into(), rule: RULE }
}

/// One failure of each; the addresses that are listed by it.
async fn fail(world: &impl World, addresses: &[&str]) -> Vec<String> {
    let failures = addresses.iter().copied().map(failure).collect();
    let findings = world.store().mailboxes_failed(failures).await.unwrap();
    findings.listed.into_iter().map(|entry| entry.pattern).collect()
}

async fn is_listed(world: &impl World, text: &str) -> bool {
    world.store().blacklisted(&[address(text)]).await.unwrap()[0].is_some()
}

/// A message that comes to this end at its only recipient.
async fn settle(world: &impl World, n: u32, to: &str, state: RecipientState, reached: bool) {
    world.store().enqueue(message(n, &[to])).await.unwrap();
    let claimed = claim(world, 1).await;
    let mut settlement = settled(&claimed[0], state);
    settlement.deliveries[0].reached = reached;
    world.store().settle(settlement).await.unwrap();
}

pub(crate) async fn one_is_listed_after_failures_a_day_apart(mut world: impl World) {
    // Hours from the first failure, and whether it is listed by the one at that time.
    for (n, table) in [
        &[(0, false), (23, false), (24, true)][..],
        &[(0, false), (0, false), (1, false), (23, false), (47, true)],
        &[(0, false), (90 * 24, false), (90 * 24 + 24, true)],
        &[(0, false), (90 * 24 - 1, true)],
        // What has made an entry counts no more when that has expired.
        &[(0, false), (24, true), (25, false), (48, false), (72, true)],
    ]
    .into_iter()
    .enumerate()
    {
        let (start, to) = (world.clock().now(), format!("New{n}@d{n}.example"));
        for &(hours, want) in table {
            world.clock().set(start.0 + hours * HOUR);
            let listed = fail(&world, &[&to]).await;
            assert_eq!(listed, if want { vec![to.to_lowercase()] } else { vec![] }, "{table:?} {hours}");
            assert_eq!(is_listed(&world, &to).await, want, "{table:?} {hours}");
        }
        let entry = world.store().blacklisted(&[address(&to)]).await.unwrap().remove(0).unwrap();
        assert_eq!((entry.source, entry.reason.as_str()), (BlacklistSource::Bounce, REPLY));
        assert_eq!(entry.expires, Some(Moment(world.clock().now().0 + 9_000)));
        world.clock().pass(HOUR);
        assert!(!is_listed(&world, &to).await, "it has expired");
        world.store().prune().await.unwrap();
        world.crash();
    }
}

pub(crate) async fn a_delivery_clears_what_was_held_against_it(world: impl World) {
    for (n, (state, reached, want)) in [
        (RecipientState::Sent, true, false),
        // To the test address, or into the local mailbox.
        (RecipientState::Sent, false, true),
        (RecipientState::Captured, false, true),
        (RecipientState::Waiting, true, true),
    ]
    .into_iter()
    .enumerate()
    {
        let to = format!("x{n}@there.example");
        assert!(fail(&world, &[&to]).await.is_empty());
        world.clock().pass(DAY / 2);
        settle(&world, n as u32, &to.to_uppercase(), state, reached).await;
        world.clock().pass(DAY / 2);
        assert_eq!(fail(&world, &[&to]).await.len(), usize::from(want), "{state:?} {reached}");
    }
    // The same for who waited for the upstream's answer.
    let store = world.store();
    for (reached, want) in [(true, false), (false, true)] {
        assert!(fail(&world, &["y@there.example"]).await.is_empty());
        let new = NewPermit { account: account(), ceilings: vec![], needed: amount(1), recorded: 1 };
        let Permitted::Granted(permit) = store.take_permit(new).await.unwrap() else { panic!() };
        let end = PermitEnd::without_message(permit, Some(amount(1)));
        let passed = Some(Box::new(PassedMessage { reached, ..*passed(50, &["Y@there.example"], &[]) }));
        store.end_permit(PermitEnd { passed, ..end }).await.unwrap();
        world.clock().pass(DAY);
        assert_eq!(fail(&world, &["y@there.example"]).await.len(), usize::from(want));
        store.blacklist_remove("y@there.example".into()).await.unwrap();
    }
}

pub(crate) async fn a_rule_says_after_how_many_and_for_how_long(world: impl World) {
    for after in 1..=3 {
        let address = format!("x{after}@there.example");
        let rule = ListingRule { after, lasts: None };
        for n in 1..=after {
            let failures = vec![MailboxFailure { rule, ..failure(&address) }];
            let listed = world.store().mailboxes_failed(failures).await.unwrap().listed;
            assert_eq!(listed.len(), usize::from(n == after), "{n} of {after}");
            assert!(listed.iter().all(|entry| entry.expires.is_none()));
            world.clock().pass(DAY);
        }
    }
}

pub(crate) async fn of_a_domain_in_trouble_nobody_is_listed(world: impl World) {
    let name = |n: u32| format!("x{n}@there.example");
    for n in 0..12 {
        fail(&world, &[&name(n), &format!("x{n}@other{n}.example")]).await;
        // Too far apart to be trouble.
        world.clock().pass(DAY / 8);
    }
    world.clock().pass(DAY);
    let mut troubles = Vec::new();
    for n in 0..12 {
        let failures = vec![failure(&name(n)), failure(&format!("x{n}@other{n}.example"))];
        let findings = world.store().mailboxes_failed(failures).await.unwrap();
        let own = findings.listed.iter().filter(|entry| entry.pattern == name(n)).count();
        assert_eq!(own, usize::from(n < 9), "{n}: nobody knows yet");
        assert_eq!(findings.listed.len() - own, 1, "{n}: each of the others is alone in its domain");
        troubles.extend(findings.troubled);
    }
    let told = TroubledDomain { domain: "there.example".into(), failed: 10, recipients: 10, withdrawn: 9 };
    assert_eq!(troubles, [told], "one line, for all of it");
    for n in 0..12 {
        assert!(!is_listed(&world, &name(n)).await, "{n}");
        assert!(is_listed(&world, &format!("x{n}@other{n}.example")).await, "{n}");
    }
    // What it has said in its trouble is no evidence.
    world.clock().pass(2 * DAY);
    let listed = fail(&world, &[&name(0), &name(10)]).await;
    assert_eq!(listed, [name(10)], "but what it had said before is; who was listed begins anew");
}

pub(crate) async fn a_few_of_many_are_no_trouble(world: impl World) {
    let names: Vec<String> = (0..10).map(|n| format!("x{n}@there.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for n in 0..40 {
        settle(&world, n, &format!("y{n}@There.example"), RecipientState::Sent, true).await;
    }
    for (want, n) in [(0, 40), (10, 41)] {
        let findings = world.store().mailboxes_failed(names.iter().copied().map(failure).collect()).await;
        let findings = findings.unwrap();
        assert_eq!((findings.listed.len(), findings.troubled.len()), (want, 0), "ten of fifty");
        world.clock().pass(DAY);
        for y in 0..40 {
            let to = format!("y{y}@there.example");
            settle(&world, n * 100 + y, &to, RecipientState::Sent, true).await;
        }
    }
}

pub(crate) async fn what_a_person_does_holds(world: impl World) {
    let store = world.store();
    let entry =
        NewBlacklistEntry { pattern: "x@there.example".into(), reason: "by hand".into(), lasts: None };
    store.blacklist_add(entry).await.unwrap();
    for _ in 0..3 {
        assert!(fail(&world, &["x@there.example", "y@there.example"]).await.len() < 2);
        world.clock().pass(DAY);
    }
    assert_eq!(store.blacklist_page(BlacklistFilter::default()).await.unwrap().entries[0].reason, "by hand");
    // Who removes an entry takes back what was held against the address.
    fail(&world, &["z@there.example"]).await;
    assert!(!store.blacklist_remove("Z@there.example".into()).await.unwrap());
    world.clock().pass(DAY);
    assert!(fail(&world, &["z@there.example"]).await.is_empty());
}
