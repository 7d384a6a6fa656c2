//! The blacklist: looked up, and told by a claim.

use super::*;
use crate::store::patterns_covering;

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
    for entry in store.blacklist_page(BlacklistFilter::default()).await.unwrap().entries {
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

/// Whom the store knows to be listed, of many, and whom its tables have.
async fn both(store: &SqliteStore, now: Moment) -> (Vec<bool>, Vec<bool>) {
    let all: Vec<Address> = (0..40).map(|n| address(&format!("a{}@d{}.x.example", n % 8, n % 5))).collect();
    let known = store.blacklisted(&all).await.unwrap();
    let asked = all.clone();
    let find = move |db: &Connection| {
        asked
            .iter()
            .map(|to| super::super::blacklist::first(db, &patterns_covering(to.as_str()), now))
            .collect::<rusqlite::Result<Vec<_>>>()
    };
    let found = store.read(find).await.unwrap();
    let is_some =
        |entries: Vec<Option<crate::store::BlacklistEntry>>| entries.iter().map(Option::is_some).collect();
    (is_some(known), is_some(found))
}

/// What is known in memory agrees with the tables, whatever is done to the list; and so it does after a restart.
#[tokio::test]
async fn what_is_known_of_the_list_is_true() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(10);
    let mut store = open(dir.path(), &clock);
    let mut listed = 0;
    for step in 0..400_u64 {
        clock.set(10 + step as i64 * 10);
        // Anything, but the same each time.
        let n = step.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
        let pattern = match n % 3 {
            0 => format!("A{}@d{}.x.example", n % 8, n % 5),
            1 => format!("@d{}.X.example", n % 5),
            _ => format!("*.x{}.example", ["", "", "y"][n as usize % 3]),
        };
        let lasts = (n % 2 == 0).then_some(Duration::from_millis(n % 300));
        match n / 7 % 6 {
            0 | 1 => {
                let entry = NewBlacklistEntry { pattern, reason: "r".into(), lasts };
                store.blacklist_add(entry).await.unwrap();
            }
            2 => {
                let mailbox =
                    LearnedMailbox { address: format!("a{}@d1.x.example", n % 8), reason: "r".into(), lasts };
                store.blacklist_learn(vec![mailbox]).await.unwrap();
            }
            3 => {
                let entry = ImportedEntry {
                    pattern,
                    reason: "r".into(),
                    source: BlacklistSource::Bounce,
                    added: None,
                    expires: lasts.map(|lasts| clock.now().0 + lasts.as_millis() as i64),
                };
                // Twice in one transaction.
                store.blacklist_import(vec![entry.clone(), entry]).await.unwrap();
            }
            4 => drop(store.blacklist_remove(pattern).await.unwrap()),
            _ if n % 20 == 0 => {
                drop(store);
                store = open(dir.path(), &clock);
            }
            _ => store.prune().await.unwrap(),
        }
        let (known, found) = both(&store, clock.now()).await;
        assert_eq!(known, found, "after step {step}");
        listed += found.iter().filter(|is| **is).count();
    }
    assert!(listed > 400, "{listed}");
}

/// A write that is undone leaves nothing in memory, and takes nothing from it.
#[tokio::test]
async fn what_is_undone_was_never_known() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(10);
    let store = open(dir.path(), &clock);
    let entry =
        |pattern: &str| NewBlacklistEntry { pattern: pattern.into(), reason: "r".into(), lasts: None };
    store.blacklist_add(entry("a1@d1.x.example")).await.unwrap();
    let made = entry("a2@d1.x.example");
    let failing = move |db: &super::super::writing::Writing| -> rusqlite::Result<()> {
        super::super::blacklist::add(db, &made)?;
        super::super::blacklist::remove(db, "a1@d1.x.example")?;
        Err(rusqlite::Error::QueryReturnedNoRows)
    };
    assert!(store.write(failing).await.is_err());
    for (of, want) in [("a1@d1.x.example", true), ("a2@d1.x.example", false)] {
        assert_eq!(!store.listed.covering(of).is_empty(), want, "{of}");
    }
}
