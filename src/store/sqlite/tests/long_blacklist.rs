//! Not a check: it measures a blacklist of a million entries.
//! `cargo test --release --lib -- --ignored --nocapture a_long_blacklist_costs`

use std::time::Instant;

use super::*;
use crate::store::{BlacklistSearch, ListingEnd};

const ALL: u32 = 1_000_000;
const PORTION: u32 = 1_000;

/// What this process has in memory, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn entry(n: u32) -> ImportedEntry {
    // By names, as a list would have them, and not by the order of the numbers.
    let pattern = format!("customer.{:07}@d{:05}.example", u64::from(n) * 7_919 % u64::from(ALL), n % 20_011);
    let reason = "550 5.1.1 Recipient address rejected: User unknown in virtual mailbox table".to_owned();
    let source = if n.is_multiple_of(3) { BlacklistSource::Bounce } else { BlacklistSource::Manual };
    ImportedEntry {
        pattern,
        reason,
        source,
        added: None,
        expires: n.is_multiple_of(2).then_some(i64::MAX / 4),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures"]
async fn a_long_blacklist_costs() {
    let dir = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(crate::time::SystemClock);
    let begun = Instant::now();
    let empty = SqliteStore::open(dir.path(), 10, Threading::Writer, clock.clone()).unwrap();
    println!("opened with none: {:?}, {} KiB", begun.elapsed(), resident());
    let begun = Instant::now();
    for first in (0..ALL).step_by(PORTION as usize) {
        if first == 50_000 {
            println!("the first 50,000 imported: {:?}", begun.elapsed());
        }
        let ends = empty.blacklist_import((first..first + PORTION).map(entry).collect()).await.unwrap();
        assert!(ends.iter().all(|end| *end == ListingEnd::Added));
    }
    println!("all imported: {:?}, {} KiB", begun.elapsed(), resident());
    drop(empty);
    let (begun, before) = (Instant::now(), resident());
    let store = SqliteStore::open(dir.path(), 10, Threading::Writer, clock).unwrap();
    let size = std::fs::metadata(dir.path().join("queue.db")).unwrap().len() >> 20;
    println!(
        "opened with all: {:?}, from {before} to {} KiB; {size} MiB on the disk",
        begun.elapsed(),
        resident()
    );
    let asked = |name: &str, n: u32| address(&format!("{name}.{n:07}@mail.d{:05}.example", n % 20_011));
    for (what, to) in [("not listed", asked("other", 5)), ("listed", address(&entry(5).pattern))] {
        let to = [to];
        let times = 10_000;
        let begun = Instant::now();
        for _ in 0..times {
            store.blacklisted(&to).await.unwrap();
        }
        println!("a look-up of one that is {what}: {:?}", begun.elapsed() / times);
    }
    for search in ["customer.0500000@", "@d00777.example", "@d00", "0500000@d", "nobody", "rejected"] {
        let (mut after, mut pages, mut found) = (None, 0, 0);
        let (begun, mut longest) = (Instant::now(), Duration::ZERO);
        loop {
            let filter = BlacklistFilter {
                search: BlacklistSearch::parse(search),
                after,
                ..BlacklistFilter::default()
            };
            let page_begun = Instant::now();
            let page = store.blacklist_page(filter).await.unwrap();
            longest = longest.max(page_begun.elapsed());
            (pages, found) = (pages + 1, found + page.entries.len());
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let took = begun.elapsed();
        println!(
            "search for {search}: {found} found on {pages} pages in {took:?}, a page took {longest:?} at most"
        );
    }
}
