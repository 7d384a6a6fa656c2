//! The blacklist: looked up, and told by a claim.

use super::*;

#[tokio::test]
async fn the_blacklist_matches() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(10);
    let store = open(dir.path(), &clock);
    let found = async |address: &str| {
        let found = store.blacklisted(&[self::address(address)]).await.unwrap();
        found.into_iter().next().unwrap().map(|entry| entry.pattern)
    };
    assert_eq!(found("lost@there.example").await, None);
    for pattern in ["Lost@there.example", "@gone.example", "*.bad.example"] {
        let lasts = (pattern == "@gone.example").then_some(Duration::from_millis(990));
        let entry = NewBlacklistEntry { pattern: pattern.into(), reason: "r".into(), lasts };
        let stored = store.blacklist_add(entry).await.unwrap();
        assert_eq!((stored.added, stored.source), (10, BlacklistSource::Manual));
    }
    for (address, at, want) in [
        ("LOST@there.example", 10, Some("lost@there.example")),
        ("found@there.example", 10, None),
        ("x@gone.example", 10, Some("@gone.example")),
        ("x@gone.example", 1_000, None),
        ("x@a.b.bad.example", 10, Some("*.bad.example")),
        ("x@bad.example", 10, None),
    ] {
        clock.set(at);
        assert_eq!(found(address).await.as_deref(), want, "{address}");
    }
    for entry in store.blacklist().await.unwrap() {
        assert!(store.blacklist_remove(entry.pattern.clone()).await.unwrap());
        assert!(!store.blacklist_remove(entry.pattern).await.unwrap());
    }
}

#[tokio::test]
async fn a_claim_says_who_is_on_the_blacklist_by_now() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), &Hands::at(10));
    store
        .enqueue(message(1, &["a@b.example", "x@bad.example", "c@b.example", "y@bad.example", "e@b.example"]))
        .await
        .unwrap();
    let mut test = message(2, &["x@bad.example"]);
    let to = Some(address("t@firm.example"));
    test.decisions = Decisions::of_test(TestTreatment { action: TestAction::Redirect, address: to });
    store.enqueue(test).await.unwrap();
    store.enqueue(message(3, &["x@bad.example"])).await.unwrap();
    let entry = NewBlacklistEntry { pattern: "@bad.example".into(), reason: "gone".into(), lasts: None };
    store.blacklist_add(entry).await.unwrap();
    let small = Ask { recipients_per_message: 2, ..ask(10) };
    let claimed = leased(store.claim(small).await.unwrap());
    let listed = |at: usize| -> Vec<Option<&str>> {
        claimed[at].message.recipients.iter().map(|recipient| recipient.listed.as_deref()).collect()
    };
    assert_eq!(listed(0), [None, Some("gone"), None], "two that it goes to");
    assert_eq!((claimed[0].others_waiting, claimed[0].message.amount().recipients), (2, 2));
    assert_eq!(listed(1), [None], "a test goes to nobody anyway");
    assert_eq!((listed(2), claimed[2].message.amount()), (vec![Some("gone")], Amount::NONE));
    assert_eq!(used(&store, Window::DAY).await, (2, 3));
}
