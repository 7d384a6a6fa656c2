//! A queue that is gone, or damaged: it is refused, nothing is touched, and no content that was acknowledged is ever removed.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;

use super::*;

fn try_open(dir: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(dir, 1000, Threading::Writer, Arc::new(Hands::at(10)))
}

/// All files of a folder with what is in them; but not what tells SQLite's processes of each other.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !path.ends_with("queue.db-shm") {
            found.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    found
}

/// Whether nothing has changed, but for empty files that are new.
fn same(before: &BTreeMap<PathBuf, Vec<u8>>, after: &BTreeMap<PathBuf, Vec<u8>>) -> bool {
    let mut after = after.clone();
    after.retain(|path, octets| before.contains_key(path) || !octets.is_empty());
    after == *before
}

/// A folder as a relay left it: one message with its content in a file, one without.
async fn left(dir: &Path, ended: bool) {
    let store = open(dir, &Hands::at(10));
    for (n, is_large) in [(1, true), (2, false)] {
        let mut message = message(n, &["a@b"]);
        if is_large {
            message.content = uploaded(&store, &message.queue_id).await;
        }
        store.enqueue(message).await.unwrap();
    }
    if !ended {
        // As kill -9 leaves it: the log is still there.
        let copy = files(dir);
        drop(store);
        for (path, octets) in copy {
            File::create(path).unwrap().write_all(&octets).unwrap();
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Loss {
    Missing,
    Empty,
    /// Of a data base without tables.
    NoQueue,
    MissingBesideLog,
}

impl Loss {
    fn befalls(self, dir: &Path) {
        let path = dir.join("queue.db");
        if !matches!(self, Self::MissingBesideLog) {
            let _ = fs::remove_file(dir.join("queue.db-wal"));
        }
        fs::remove_file(&path).unwrap();
        match self {
            Self::Missing | Self::MissingBesideLog => {}
            Self::Empty => drop(File::create(&path).unwrap()),
            Self::NoQueue => {
                Connection::open(&path).unwrap().execute_batch("PRAGMA journal_mode = WAL").unwrap();
            }
        }
        let _ = fs::remove_file(dir.join("queue.db-shm"));
    }
}

#[tokio::test]
async fn a_queue_that_is_lost_is_not_begun_anew() {
    for (loss, ended, keeps, state) in [
        (Loss::Missing, true, &["content", "lock"][..], "is missing"),
        (Loss::Missing, true, &["content"], "is missing"),
        (Loss::Missing, true, &["lock"], "is missing"),
        (Loss::Empty, true, &["content", "lock"], "is empty"),
        (Loss::Empty, true, &["content"], "is empty"),
        (Loss::NoQueue, true, &["content"], "has no queue in it"),
        (Loss::NoQueue, true, &["lock"], "has no queue in it"),
        (Loss::MissingBesideLog, false, &[], "is missing"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        left(dir.path(), ended).await;
        loss.befalls(dir.path());
        if !keeps.contains(&"content") {
            fs::remove_dir_all(dir.path().join("content")).unwrap();
        }
        if !keeps.contains(&"lock") {
            File::create(dir.path().join("lock")).unwrap();
        }
        let before = files(dir.path());
        for _ in 0..2 {
            let error = try_open(dir.path()).err().unwrap().to_string();
            for part in ["queue.db ", state, "nothing was touched", "to begin with an empty queue"] {
                assert!(error.contains(part), "{loss:?} {keeps:?}: {error}");
            }
            assert!(same(&before, &files(dir.path())), "{loss:?} {keeps:?}: {:?}", fs::read_dir(dir.path()));
        }
    }
}

#[tokio::test]
async fn who_moves_all_of_it_away_begins_anew_and_who_puts_it_back_goes_on() {
    let (dir, away) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    left(dir.path(), false).await;
    let names = ["queue.db", "queue.db-wal", "content", "lock"];
    for name in names {
        fs::rename(dir.path().join(name), away.path().join(name)).unwrap();
    }
    assert_eq!(try_open(dir.path()).unwrap().queue_length(), 0);
    fs::remove_dir_all(dir.path().join("content")).unwrap();
    for name in names {
        fs::rename(away.path().join(name), dir.path().join(name)).unwrap();
    }
    let store = try_open(dir.path()).unwrap();
    assert_eq!(store.content(message_id(1)).await.unwrap().unwrap(), b"abc");
    assert_eq!(
        (store.queue_length(), store.recover(DoubtPauses::default()).await.unwrap().orphans.aside.len()),
        (2, 0)
    );
}

/// A first start that was cut off anywhere has told nobody that mail was taken.
#[tokio::test]
async fn a_first_start_that_was_cut_off_begins_again() {
    for cut in ["", "lock", "queue.db", "header", "no log"] {
        let dir = tempfile::tempdir().unwrap();
        if !cut.is_empty() {
            File::create(dir.path().join("lock")).unwrap();
        }
        if cut == "queue.db" {
            File::create(dir.path().join("queue.db")).unwrap();
        }
        if cut == "header" {
            let db = Connection::open(dir.path().join("queue.db")).unwrap();
            db.execute_batch("PRAGMA journal_mode = WAL").unwrap();
        }
        if cut == "no log" {
            fs::create_dir(dir.path().join("content")).unwrap();
        }
        let store = try_open(dir.path()).unwrap();
        store.enqueue(message(1, &["a@b"])).await.unwrap();
        drop(store);
        assert_eq!(try_open(dir.path()).unwrap().queue_length(), 1, "{cut}");
    }
}

/// The queue is of yesterday, the contents are of today.
#[tokio::test]
async fn contents_that_an_older_queue_does_not_know_are_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), &Hands::at(10)));
    let yesterday = fs::read(dir.path().join("queue.db")).unwrap();
    left(dir.path(), true).await;
    File::create(dir.path().join("queue.db")).unwrap().write_all(&yesterday).unwrap();
    let content = dir.path().join("content");
    File::create(content.join(format!("{}.part", message_id(7)))).unwrap();
    File::create(content.join("not ours.txt")).unwrap();
    let store = try_open(dir.path()).unwrap();
    let orphans = store.recover(DoubtPauses::default()).await.unwrap().orphans;
    assert_eq!((orphans.removed, &orphans.aside[..]), (1, &[message_id(1)][..]));
    assert_eq!(orphans.folder, dir.path().join("orphaned"));
    assert_eq!(fs::read(orphans.folder.join(message_id(1).as_str())).unwrap(), b"abc");
    assert_eq!(fs::read_dir(&content).unwrap().count(), 1, "what has no name of ours stays");
    assert_eq!(store.recover(DoubtPauses::default()).await.unwrap().orphans.aside, []);
    assert_eq!(fs::read_dir(orphans.folder).unwrap().count(), 1, "nothing of it is ever removed");
}

#[tokio::test]
async fn what_has_left_the_queue_is_no_orphan() {
    for is_deleted in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let clock = Hands::at(10);
        left(dir.path(), true).await;
        let store = open(dir.path(), &clock);
        let path = dir.path().join("content").join(message_id(1).as_str());
        let content = fs::read(&path).unwrap();
        if is_deleted {
            store.delete(message_id(1)).await.unwrap().unwrap();
        } else {
            let claimed = claim(&store, 1).await;
            store
                .settle(settlement(claimed[0].lease, vec![delivery(0, RecipientState::Sent)]))
                .await
                .unwrap();
        }
        assert!(!path.exists());
        drop(store);
        // As if the power had failed before the removal had reached the disk.
        File::create(&path).unwrap().write_all(&content).unwrap();
        let store = open(dir.path(), &clock);
        let orphans = store.recover(DoubtPauses::default()).await.unwrap().orphans;
        assert_eq!((orphans.removed, orphans.aside.len(), path.exists()), (1, 0, false));
        for (later, known) in [(3_600_000, 1), (3_600_011, 0)] {
            clock.set(later);
            store.prune().await.unwrap();
            let count = |db: &Connection| {
                db.query_row("SELECT count(*) FROM content_gone", [], |row| row.get::<_, i64>(0))
            };
            assert_eq!(store.read(count).await.unwrap(), known, "{later}");
        }
    }
}

/// Overwrites so many octets of a file.
fn overwrite(path: &Path, at: u64, octets: &[u8]) {
    let mut file = File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(octets).unwrap();
}

/// The number of the first page of a table or an index, from 1.
fn root(dir: &Path, name: &str) -> u64 {
    let db = Connection::open(dir.join("queue.db")).unwrap();
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
    db.query_row(sql, [name], |row| row.get::<_, i64>(0)).unwrap().unsigned_abs()
}

#[tokio::test]
async fn a_damaged_store_is_refused() {
    let page = |dir: &Path, name| (root(dir, name) - 1) * 4096;
    for what in [
        "header",
        "schema",
        "message",
        "message_turn",
        "content",
        "switch",
        "cut",
        "no table",
        "foreign",
        "version",
    ] {
        let dir = tempfile::tempdir().unwrap();
        left(dir.path(), true).await;
        let path = dir.path().join("queue.db");
        match what {
            "header" => overwrite(&path, 0, &[b'x'; 64]),
            "schema" => overwrite(&path, 100, &[0xff; 400]),
            "cut" => File::options().write(true).open(&path).unwrap().set_len(8192).unwrap(),
            "no table" => Connection::open(&path).unwrap().execute_batch("DROP TABLE message").unwrap(),
            "version" => {
                Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = -3").unwrap();
            }
            "foreign" => {
                for name in ["queue.db", "lock", "content"] {
                    let path = dir.path().join(name);
                    let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
                }
                Connection::open(&path).unwrap().execute_batch("CREATE TABLE notes (text)").unwrap();
            }
            table => overwrite(&path, page(dir.path(), table), &[0xff; 200]),
        }
        let before = files(dir.path());
        let error = try_open(dir.path()).err().unwrap_or_else(|| panic!("{what}")).to_string();
        assert!(error.contains("queue.db"), "{what}: {error}");
        if what != "version" {
            for part in ["is damaged: ", "nothing was changed", "backup", "store salvage"] {
                assert!(error.contains(part), "{what}: {error}");
            }
        }
        assert!(same(&before, &files(dir.path())), "{what}: {:?}", fs::read_dir(dir.path()));
    }
}

#[tokio::test]
async fn a_content_whose_octets_have_changed_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    left(dir.path(), true).await;
    let flip = |octet: &mut u8| *octet ^= 1;
    let path = dir.path().join("content").join(message_id(1).as_str());
    let mut octets = fs::read(&path).unwrap();
    flip(&mut octets[1]);
    overwrite(&path, 0, &octets);
    let store = try_open(dir.path()).unwrap();
    store
        .write(|db| db.execute("UPDATE content SET data = CAST(replace(data, ':', ';') AS BLOB)", []))
        .await
        .unwrap();
    for leased in claim(&store, 2).await {
        let error = leased.message.content.read().await.unwrap_err();
        assert!(error.to_string().contains("its octets have changed"), "{error}");
        assert!(store.content(leased.message.queue_id).await.is_err());
        assert!(leased.message.content.beginning(1_000).await.is_err(), "all of it was read");
        assert!(leased.message.content.beginning(2).await.is_ok());
    }
    // What an older version has stored has none.
    store.write(|db| db.execute("UPDATE message SET checksum = NULL", [])).await.unwrap();
    assert!(store.content(message_id(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn what_was_not_looked_at_before_the_start_is_looked_at_once() {
    let dir = tempfile::tempdir().unwrap();
    left(dir.path(), true).await;
    let store = try_open(dir.path()).unwrap();
    assert!(matches!(store.damage().await, Ok(None)), "a small one was looked at before");
    let mut file = fs::OpenOptions::new().write(true).open(dir.path().join("queue.db")).unwrap();
    let len = file.metadata().unwrap().len();
    file.seek(SeekFrom::Start(8_192)).unwrap();
    file.write_all(&vec![0xff; (len - 8_192) as usize]).unwrap();
    store.is_looked_at.store(false, Ordering::Relaxed);
    assert!(!matches!(store.damage().await, Ok(None)));
    assert!(matches!(store.damage().await, Ok(None)), "it is told once");
}
