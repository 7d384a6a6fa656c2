//! The history in its tables: found by its index, kept within its bounds, and nothing of what was forgotten left.

use std::collections::BTreeSet;

use rusqlite::params_from_iter;

use super::super::{history_index, history_search};
use super::*;
use crate::store::{
    Forgotten, HistoryEntry, HistoryId, HistoryRules, HistorySearch, HistoryStore, MOST_HISTORY,
};

fn anything() -> HistorySearch {
    HistorySearch { limit: 100_000, ..HistorySearch::default() }
}

fn rules(contents: bool) -> HistoryRules {
    let day = Duration::from_hours(24);
    HistoryRules { entries: Some(30 * day), contents: contents.then_some(day), free_disk: 0 }
}

async fn found(store: &SqliteStore, mut search: HistorySearch) -> Vec<HistoryEntry> {
    let mut entries = Vec::new();
    loop {
        let page = store.history(search.clone()).await.unwrap();
        entries.extend(page.entries);
        match page.next {
            Some(next) => search.before = Some(next),
            None => return entries,
        }
    }
}

/// A data base beside a store that is at work.
fn beside(dir: &Path) -> Connection {
    Connection::open(dir.join("queue.db")).unwrap()
}

fn count(dir: &Path, table: &str) -> i64 {
    beside(dir).query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

/// Entries of so many messages, each from one of 7 senders and to one of so many recipients.
pub(super) fn fill(dir: &Path, messages: i64, recipients: i64) {
    let db = Connection::open(dir.join("queue.db")).unwrap();
    db.execute_batch(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {messages}) \
         INSERT INTO history (id, at, at_wall, queue_id, message_id, subject, reverse_path, address, state, upstream, reply, \
         attempts, size, accepted_wall) \
         SELECT i, i, i, printf('%016d', i), '<' || i || '@firm.example>', 'Invoice ' || i, 's' || (i % 7) || '@firm.example', \
         'X' || (i % {recipients}) || '@there.example', 1, 'u', '250 2.0.0 OK: queued as 4XyZ' || i, 1, 9, i FROM n;"
    ))
    .unwrap();
}

#[tokio::test]
async fn what_is_indexed_and_what_is_not_yet_is_found_alike() {
    let dir = tempfile::tempdir().unwrap();
    drop(caller(dir.path(), &Hands::default()));
    let all = 3 * history_index::RUN + 100;
    fill(dir.path(), all, 11);
    let store = caller(dir.path(), &Hands::at(1_000));
    let to = |n: i64| HistorySearch { to: Some(format!("x{n}@there.example")), ..anything() };
    let id = |n: i64| QueueId::parse(&format!("{n:016}")).unwrap();
    let one = |n: i64| HistorySearch { queue_id: Some(id(n)), ..anything() };
    let message = |n: i64| HistorySearch { message_id: Some(format!("{n}@firm.example")), ..anything() };
    let mut searches: Vec<HistorySearch> = (0..11).map(to).collect();
    searches.extend((1..=all).step_by(501).flat_map(|n| [one(n), message(n)]));
    searches.push(HistorySearch { since: Some(Moment(2_000)), ..to(3) });
    searches.push(HistorySearch { before: Some(HistoryId(2_500)), ..to(3) });
    searches.push(HistorySearch { from: Some("S5@firm.example".into()), ..to(3) });
    searches.push(HistorySearch { limit: 7, ..to(4) });
    let mut before = Vec::new();
    for search in &searches {
        before.push(found(&store, search.clone()).await);
    }
    assert!(before.iter().all(|entries| !entries.is_empty()));
    assert_eq!(count(dir.path(), "history_run"), 0);
    store.tidy_history().await.unwrap();
    assert_eq!(count(dir.path(), "history_run"), 3, "100 are too few for a run");
    assert_eq!(count(dir.path(), "history_key"), 3 * 3 * history_index::RUN);
    for (search, before) in searches.iter().zip(before) {
        assert_eq!(found(&store, search.clone()).await, before, "{search:?}");
    }
}

#[tokio::test]
async fn a_long_search_comes_in_pages() {
    let dir = tempfile::tempdir().unwrap();
    drop(caller(dir.path(), &Hands::default()));
    fill(dir.path(), 45_000, 11);
    let store = caller(dir.path(), &Hands::at(1_000));
    let rare = HistorySearch { subject: Some("invoice 44".into()), limit: 1_000, ..HistorySearch::default() };
    let page = store.history(rare.clone()).await.unwrap();
    assert_eq!(page.entries.len(), 1_000);
    let none = HistorySearch { subject: Some("no such".into()), ..rare.clone() };
    let page = store.history(none.clone()).await.unwrap();
    assert_eq!((page.entries.len(), page.next), (0, Some(HistoryId(25_001))), "it looks at 20000 at a time");
    assert_eq!(found(&store, none).await, []);
    assert_eq!(found(&store, rare).await.len(), 1_000 + 100 + 10 + 1);
}

/// What is found by an index can't become a walk through everything unnoticed.
#[tokio::test]
async fn searches_use_the_index() {
    let dir = tempfile::tempdir().unwrap();
    drop(caller(dir.path(), &Hands::default()));
    let db = beside(dir.path());
    for (sql, values, want) in [
        (
            history_search::BY_NUMBER,
            2,
            &["SEARCH history USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"][..],
        ),
        (
            history_search::BY_KEY,
            3,
            &[
                "SEARCH history_run USING INTEGER PRIMARY KEY (rowid<?)",
                "SEARCH history_key USING PRIMARY KEY (run=? AND key=?)",
                "SEARCH history USING INTEGER PRIMARY KEY (rowid=?)",
            ],
        ),
    ] {
        let mut explain = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let plan = explain
            .query_map(params_from_iter((1..=values).map(i64::from)), |row| row.get::<_, String>(3))
            .unwrap();
        assert_eq!(plan.collect::<rusqlite::Result<Vec<_>>>().unwrap(), want, "{sql}");
    }
}

#[tokio::test]
async fn what_is_too_old_or_too_much_goes_with_its_index() {
    let dir = tempfile::tempdir().unwrap();
    drop(caller(dir.path(), &Hands::default()));
    let run = history_index::RUN;
    fill(dir.path(), 2 * run + 10, 11);
    let clock = Hands::at(run + 30 * 86_400_000);
    let store = caller(dir.path(), &clock);
    store.set_history(rules(false));
    store.tidy_history().await.unwrap();
    let left = |store| async move { found(store, anything()).await.len() as i64 };
    assert_eq!(left(&store).await, run + 11, "all since the first one that is young enough");
    assert_eq!(count(dir.path(), "history_run"), 2, "of the first run one row is left");
    clock.set(clock.now().0 + 1);
    store.tidy_history().await.unwrap();
    assert_eq!((left(&store).await, count(dir.path(), "history_run")), (run + 10, 1));
    assert_eq!(count(dir.path(), "history_key"), 3 * run);
    // There are never more than so many.
    let newest = MOST_HISTORY as i64 + run + 5;
    let db = beside(dir.path());
    db.execute("UPDATE history SET id = ?1, at = at + 10000 WHERE id = ?2", [newest, 2 * run + 10]).unwrap();
    drop(db);
    store.tidy_history().await.unwrap();
    let entries = found(&store, anything()).await;
    assert_eq!(entries.iter().map(|entry| entry.id.0).min(), Some(run + 6));
}

/// What is in a run is never taken for a row that comes later, also when the row has been forgotten.
#[tokio::test]
async fn no_row_of_a_run_is_given_twice() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(1_000);
    let mut last = 0;
    for n in 0..4 {
        let store = caller(dir.path(), &clock);
        store.enqueue(message(n, &["b@there.example"])).await.unwrap();
        let [leased] = claim(&store, 1).await.try_into().unwrap();
        let sent = settlement(leased.lease, vec![delivery(0, RecipientState::Sent)]);
        // One that fails has taken a number.
        let failing = Settlement { reports: vec![message(n, &["a@b"])], ..sent.clone() };
        assert!(store.settle(failing).await.is_err());
        store.settle(sent).await.unwrap();
        let [entry] = found(&store, anything()).await.try_into().unwrap();
        assert!(entry.id.0 > last, "{entry:?}");
        last = entry.id.0;
        let sql = "INSERT INTO history_run (last, first) VALUES (?1, ?1)";
        beside(dir.path()).execute(sql, [last]).unwrap();
        store.forget("b@there.example".into()).await.unwrap();
        assert_eq!(found(&store, anything()).await, []);
    }
}

#[tokio::test]
async fn nothing_is_left_of_what_was_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(1_000_000);
    drop(caller(dir.path(), &clock));
    fill(dir.path(), history_index::RUN, 11);
    let store = caller(dir.path(), &clock);
    store.set_history(rules(true));
    store.tidy_history().await.unwrap();
    for n in 0..20 {
        let content = Content::memory(format!("To: Wilhelmina\r\n\r\n{}", "y".repeat(5_000)).into_bytes());
        let to = if n == 7 { "wilhelmina@there.example" } else { "b@there.example" };
        store.enqueue(NewMessage { content, ..message(n, &[to]) }).await.unwrap();
        let [leased] = claim(&store, 1).await.try_into().unwrap();
        let sent = settlement(leased.lease, vec![delivery(0, RecipientState::Sent)]);
        store.settle(sent).await.unwrap();
    }
    let has = |text: &str| {
        ["queue.db", "queue.db-wal"].iter().any(|file| {
            let octets = std::fs::read(dir.path().join(file)).unwrap();
            octets.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
        })
    };
    assert!(has("wilhelmina@there.example"));
    let forgotten = store.forget("Wilhelmina@THERE.example".into()).await.unwrap();
    assert_eq!(forgotten, Forgotten { entries: 1, contents: 1 });
    assert!(!has("wilhelmina@there.example"), "not in the pages that are free, and not in the log");
    // Of a row that is indexed, nothing is left in the index either.
    let forgotten = store.forget("x3@there.example".into()).await.unwrap().entries as i64;
    assert!(forgotten > 100);
    assert_eq!(count(dir.path(), "history_key"), 3 * (history_index::RUN - forgotten));
}

fn files(dir: &Path) -> BTreeSet<String> {
    let files = std::fs::read_dir(dir.join("content")).unwrap();
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

async fn large(store: &SqliteStore, n: u32) -> NewMessage {
    let message = message(n, &["b@there.example"]);
    NewMessage { content: uploaded(store, &message.queue_id).await, ..message }
}

async fn settle_one(store: &SqliteStore) {
    let [leased] = claim(store, 1).await.try_into().unwrap();
    store.settle(settlement(leased.lease, vec![delivery(0, RecipientState::Sent)])).await.unwrap();
}

#[tokio::test]
async fn a_content_in_a_file_stays_as_long_as_it_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(1_000_000);
    let names = |numbers: &[u32]| -> BTreeSet<String> {
        numbers.iter().map(|n| message_id(*n).as_str().to_owned()).collect()
    };
    let store = caller(dir.path(), &clock);
    store.set_history(rules(true));
    for n in 1..=4 {
        store.enqueue(large(&store, n).await).await.unwrap();
    }
    store.delete(message_id(4)).await.unwrap().unwrap();
    for _ in 0..3 {
        settle_one(&store).await;
    }
    assert_eq!(files(dir.path()), names(&[1, 2, 3]), "what a person has deleted is gone");
    assert_eq!(store.kept(message_id(1)).await.unwrap().unwrap().content.read().await.unwrap(), b"abc");
    // A start knows whose they are, and so does a check.
    drop(store);
    let store = caller(dir.path(), &clock);
    let orphans = store.recover(DoubtPauses::default()).await.unwrap().orphans;
    assert_eq!((orphans.aside.len(), orphans.removed, files(dir.path())), (0, 0, names(&[1, 2, 3])));
    drop(store);
    let report = check(dir.path()).unwrap();
    assert_eq!((report.damaged, report.contents), (0, 3), "{report:?}");
    let store = caller(dir.path(), &clock);
    store.set_history(rules(true));
    // A file that a crash has left behind its row is removed by the next start.
    let path = dir.path().join("content").join(message_id(2).as_str());
    let octets = std::fs::read(&path).unwrap();
    let message = store.kept(message_id(2)).await.unwrap().unwrap();
    assert_eq!(store.forget("b@there.example".into()).await.unwrap().contents, 3);
    assert_eq!(files(dir.path()), names(&[]));
    assert!(message.content.read().await.is_err());
    std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), &octets).unwrap();
    drop(store);
    let store = caller(dir.path(), &clock);
    let orphans = store.recover(DoubtPauses::default()).await.unwrap().orphans;
    assert_eq!((orphans.removed, orphans.aside.len(), files(dir.path())), (1, 0, names(&[])));
}

#[tokio::test]
async fn a_file_stays_while_a_message_or_the_history_needs_it() {
    for forgets_first in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let store = caller(dir.path(), &Hands::at(1_000_000));
        store.set_history(rules(true));
        let copies = large(&store, 1).await;
        let db_row = "INSERT INTO kept_content (queue_id, at, reverse_path, sender, body, smtputf8, size, in_file) \
                      VALUES (?1, 1000000, 'a@firm.example', 'a@firm.example', 1, 0, 3, 1)";
        beside(dir.path()).execute(db_row, [copies.queue_id.as_str()]).unwrap();
        store.enqueue(copies).await.unwrap();
        if forgets_first {
            assert_eq!(store.forget("a@firm.example".into()).await.unwrap().contents, 1);
            assert_eq!(files(dir.path()).len(), 1, "the message needs it");
            store.set_history(rules(false));
            settle_one(&store).await;
            assert_eq!(files(dir.path()).len(), 0);
        } else {
            settle_one(&store).await;
            assert_eq!(files(dir.path()).len(), 1, "the history needs it");
            assert_eq!(store.forget("a@firm.example".into()).await.unwrap().contents, 1);
            assert_eq!(files(dir.path()).len(), 0);
        }
    }
}

#[tokio::test]
async fn contents_give_way_when_the_disk_is_short() {
    let dir = tempfile::tempdir().unwrap();
    let store = caller(dir.path(), &Hands::at(1_000_000));
    store.set_history(rules(true));
    store.enqueue(large(&store, 1).await).await.unwrap();
    settle_one(&store).await;
    store.set_history(HistoryRules { free_disk: u64::MAX, ..rules(true) });
    store.tidy_history().await.unwrap();
    assert_eq!((store.kept(message_id(1)).await.unwrap(), files(dir.path()).len()), (None, 0));
    store.enqueue(large(&store, 2).await).await.unwrap();
    settle_one(&store).await;
    assert_eq!(files(dir.path()).len(), 0, "nothing more is kept meanwhile");
    store.set_history(rules(true));
    store.tidy_history().await.unwrap();
    store.enqueue(large(&store, 3).await).await.unwrap();
    settle_one(&store).await;
    assert_eq!(files(dir.path()).len(), 1);
    assert_eq!(found(&store, anything()).await.len(), 3);
}

#[tokio::test]
async fn what_is_salvaged_is_indexed_anew() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(1_000);
    drop(caller(dir.path(), &clock));
    fill(dir.path(), history_index::RUN + 7, 11);
    let store = caller(dir.path(), &clock);
    store.tidy_history().await.unwrap();
    let search = || HistorySearch { to: Some("x3@there.example".into()), ..anything() };
    let before = found(&store, search()).await;
    drop(store);
    let saved = salvage(dir.path(), 2_000).unwrap();
    let history = saved.tables.iter().find(|table| table.name == "history").unwrap();
    assert_eq!((history.rows as i64, history.has_gaps), (history_index::RUN + 7, false));
    let store = caller(dir.path(), &clock);
    assert_eq!(count(dir.path(), "history_run"), 0);
    assert_eq!(found(&store, search()).await, before);
    store.tidy_history().await.unwrap();
    assert_eq!(count(dir.path(), "history_run"), 1);
    assert_eq!(found(&store, search()).await, before);
}

/// A crash keeps an outcome with its count and its content, or none of them.
#[tokio::test]
async fn what_fails_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let store = caller(dir.path(), &Hands::at(1_000_000));
    store.set_history(rules(true));
    store.enqueue(message(1, &["b@there.example"])).await.unwrap();
    let [leased] = claim(&store, 1).await.try_into().unwrap();
    let sent = settlement(leased.lease, vec![delivery(0, RecipientState::Sent)]);
    // The report has the name of a content that is to be kept, and of one that waits: the settlement fails as a whole.
    let failing = Settlement { reports: vec![message(1, &["a@b"])], ..sent.clone() };
    assert!(store.settle(failing).await.is_err());
    assert_eq!((found(&store, anything()).await.len(), store.totals().await.unwrap().sent), (0, 0));
    assert_eq!(count(dir.path(), "kept_content"), 0);
    store.settle(sent).await.unwrap();
    assert_eq!((found(&store, anything()).await.len(), store.totals().await.unwrap().sent), (1, 1));
    assert_eq!(count(dir.path(), "kept_content_data"), 1);
}
