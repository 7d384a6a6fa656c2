//! The blacklist as people read and fill it.

use std::time::Duration;

use mailsluice::store::*;
use mailsluice::time::Moment;

use crate::World;
use crate::build::*;

fn imported(pattern: &str, reason: &str) -> ImportedEntry {
    let (source, added, expires) = (BlacklistSource::Manual, None, None);
    ImportedEntry { pattern: pattern.into(), reason: reason.into(), source, added, expires }
}

fn learned(address: &str, lasts: Option<u64>) -> LearnedMailbox {
    let lasts = lasts.map(Duration::from_millis);
    LearnedMailbox { address: address.into(), reason: "550 5.1.1 gone".into(), lasts }
}

/// The patterns that a search finds, a page of so many at a time.
async fn found(world: &impl World, search: &str, limit: u32) -> Vec<String> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let filter = BlacklistFilter { search: BlacklistSearch::parse(search), after, limit };
        let page = world.store().blacklist_page(filter).await.unwrap();
        assert!(page.entries.len() <= limit as usize);
        all.extend(page.entries.into_iter().map(|entry| entry.pattern));
        match page.next {
            Some(next) => after = Some(next),
            None => return all,
        }
    }
}

pub(crate) async fn it_is_read_a_page_at_a_time(world: impl World) {
    let store = world.store();
    assert_eq!(store.blacklist_page(BlacklistFilter::default()).await.unwrap(), BlacklistPage::default());
    let patterns: Vec<String> = (0..25).map(|n| format!("a{n:02}@d{}.example", n % 3)).collect();
    let entries = patterns.iter().map(|pattern| imported(pattern, "r")).collect();
    assert_eq!(store.blacklist_import(entries).await.unwrap(), vec![ListingEnd::Added; 25]);
    for limit in [1, 7, 25, 1_000] {
        assert_eq!(found(&world, "", limit).await, patterns, "{limit}");
    }
}

pub(crate) async fn a_person_finds_what_fits(world: impl World) {
    let entries = [
        ("Anna@Firm.Example", "has left"),
        ("anna.b@firm.example", "full mailbox"),
        ("annabel@other.example", "x"),
        ("@firm.example", "all of them"),
        ("*.firm.example", "x"),
        ("x@sub.firm.example", "x"),
        ("\"a@b\"@firm.example", "x"),
        ("jürgen@müller.test", "Herr MÜLLER ist weg"),
    ];
    let entries = entries.iter().map(|(pattern, reason)| imported(pattern, reason)).collect();
    world.store().blacklist_import(entries).await.unwrap();
    for (search, want) in [
        ("anna@", &["anna@firm.example"][..]),
        ("ANNA@firm.ex", &["anna@firm.example"]),
        ("anna@other", &[]),
        ("\"a@b\"@", &["\"a@b\"@firm.example"]),
        (
            "@Firm.Example",
            &[
                "\"a@b\"@firm.example",
                "*.firm.example",
                "@firm.example",
                "anna.b@firm.example",
                "anna@firm.example",
            ],
        ),
        ("@müller.test", &["jürgen@xn--mller-kva.test"]),
        ("ANNA", &["anna.b@firm.example", "anna@firm.example", "annabel@other.example"]),
        ("Mailbox", &["anna.b@firm.example"]),
        ("müller", &["jürgen@xn--mller-kva.test"]),
        ("sub.firm", &["x@sub.firm.example"]),
        ("nobody", &[]),
    ] {
        for limit in [1, 2, 100] {
            assert_eq!(found(&world, search, limit).await, want, "{search} {limit}");
        }
    }
}

pub(crate) async fn a_file_is_taken_as_it_says(world: impl World) {
    let store = world.store();
    let full = ImportedEntry {
        pattern: "Anna@Firm.Example".into(),
        reason: "r".into(),
        source: BlacklistSource::Learned,
        added: Some(7),
        expires: Some(1_000_500),
    };
    let import = async |entry: &ImportedEntry| store.blacklist_import(vec![entry.clone()]).await.unwrap()[0];
    assert_eq!(import(&full).await, ListingEnd::Added);
    assert_eq!(import(&full).await, ListingEnd::Unchanged);
    let entry = store.blacklisted(&[address("anna@firm.example")]).await.unwrap().remove(0).unwrap();
    let want = BlacklistEntry {
        pattern: "anna@firm.example".into(),
        reason: "r".into(),
        source: BlacklistSource::Learned,
        added: 7,
        expires: Some(Moment(1_000_500)),
    };
    assert_eq!(entry, want);
    for changed in [
        ImportedEntry { reason: "s".into(), ..full.clone() },
        ImportedEntry { source: BlacklistSource::Manual, ..full.clone() },
        ImportedEntry { added: Some(8), ..full.clone() },
        ImportedEntry { expires: None, ..full.clone() },
    ] {
        assert_eq!(import(&changed).await, ListingEnd::Replaced, "{changed:?}");
        assert_eq!(import(&changed).await, ListingEnd::Unchanged, "{changed:?}");
        assert_eq!(import(&full).await, ListingEnd::Replaced);
    }
    let over = ImportedEntry { expires: Some(999_999), ..full.clone() };
    assert_eq!(import(&over).await, ListingEnd::Expired);
    assert_eq!(import(&full).await, ListingEnd::Unchanged, "what has expired takes no place");
    let covering = store.blacklist_first(patterns_containing("@firm.example")).await.unwrap();
    assert_eq!(covering, None);
    import(&imported("*.example", "r")).await;
    let covering = store.blacklist_first(patterns_containing("@firm.example")).await.unwrap().unwrap();
    assert_eq!(covering.pattern, "*.example");
}

pub(crate) async fn reports_list_at_once_and_a_person_has_the_last_word(world: impl World) {
    let store = world.store();
    let by_hand =
        NewBlacklistEntry { pattern: "b@firm.example".into(), reason: "by hand".into(), lasts: None };
    store.blacklist_add(by_hand).await.unwrap();
    let mailboxes = vec![learned("A@firm.example", Some(500)), learned("b@firm.example", Some(500))];
    let ends = store.blacklist_learn(mailboxes).await.unwrap();
    let short = |learned: &Learned| (learned.end, learned.entry.source, learned.entry.expires);
    assert_eq!(short(&ends[0]), (ListingEnd::Added, BlacklistSource::Learned, Some(Moment(1_000_500))));
    assert_eq!(short(&ends[1]), (ListingEnd::Kept, BlacklistSource::Manual, None));
    assert!(store.blacklisted(&[address("a@firm.example")]).await.unwrap()[0].is_some());
    // What lasts longer is not cut short.
    for (lasts, want) in [
        (Some(100), Some(Moment(1_000_500))),
        (Some(900), Some(Moment(1_000_900))),
        (None, None),
        (Some(1), None),
    ] {
        let ends = store.blacklist_learn(vec![learned("a@firm.example", lasts)]).await.unwrap();
        assert_eq!(short(&ends[0]), (ListingEnd::Replaced, BlacklistSource::Learned, want), "{lasts:?}");
    }
}

pub(crate) async fn what_has_expired_is_gone(world: impl World) {
    let store = world.store();
    let short = NewBlacklistEntry {
        pattern: "a@firm.example".into(),
        reason: "by hand".into(),
        lasts: Some(Duration::from_millis(100)),
    };
    store.blacklist_add(short).await.unwrap();
    store.blacklist_import(vec![imported("b@firm.example", "r")]).await.unwrap();
    assert_eq!(found(&world, "", 9).await, ["a@firm.example", "b@firm.example"]);
    for prunes in [false, true] {
        world.clock().pass(100);
        if prunes {
            store.prune().await.unwrap();
        }
        assert_eq!(found(&world, "", 9).await, ["b@firm.example"]);
        assert_eq!(store.blacklist_first(vec!["a@firm.example".into()]).await.unwrap(), None);
    }
    // What has expired is in nobody's way.
    let ends = store.blacklist_learn(vec![learned("a@firm.example", None)]).await.unwrap();
    assert_eq!(ends[0].end, ListingEnd::Added);
}
