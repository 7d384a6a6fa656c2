//! What is damaged is named, and what can be read is saved.

use std::fs::{self, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};

use serde_json::json;

use crate::service::{Service, names};

const OFF: &str = "data_dir = \"data\"\n[[listener]]\naddress = \"127.0.0.1:PORT\"\n\
    [[upstream]]\nname = \"main\"\nkind = \"capture\"\nenabled = false\n";
const PAGE: u64 = 4096;

/// A store with so many messages, of two recipients each; nobody uses it.
fn filled(messages: usize) -> Service {
    let mut service = Service::new(OFF);
    service.start();
    for n in 0..messages {
        service.submit(
            "content of a few words\r\n",
            &[&format!("a{n}@there.example"), &format!("b{n}@there.example")],
        );
    }
    service.submit(&"large and long\r\n".repeat(20_000), &["c@there.example", "d@there.example"]);
    service.stop();
    // All of it lies in queue.db, and nothing in its log.
    let db = rusqlite::Connection::open(service.data().join("queue.db")).unwrap();
    let left: i64 = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
    service
}

/// The pages of a table or an index, its root first.
fn pages(service: &Service, name: &str) -> Vec<u64> {
    let db = rusqlite::Connection::open(service.data().join("queue.db")).unwrap();
    let root: i64 =
        db.query_row("SELECT rootpage FROM sqlite_schema WHERE name = ?1", [name], |row| row.get(0)).unwrap();
    let file = fs::read(service.data().join("queue.db")).unwrap();
    let mut all = vec![root.unsigned_abs()];
    let start = (all[0] - 1) as usize * PAGE as usize;
    let page = &file[start..start + PAGE as usize];
    // An interior page has the numbers of those below it at the beginning of its cells, and the last in its header.
    if page[0] == 5 || page[0] == 2 {
        let cells = usize::from(u16::from_be_bytes([page[3], page[4]]));
        for cell in 0..cells {
            let at = usize::from(u16::from_be_bytes([page[12 + 2 * cell], page[13 + 2 * cell]]));
            all.push(u32::from_be_bytes(page[at..at + 4].try_into().unwrap()).into());
        }
        all.push(u32::from_be_bytes(page[8..12].try_into().unwrap()).into());
    }
    all
}

fn overwrite(service: &Service, page: u64) {
    let mut file = OpenOptions::new().write(true).open(service.data().join("queue.db")).unwrap();
    file.seek(SeekFrom::Start((page - 1) * PAGE)).unwrap();
    file.write_all(&[0xa5; PAGE as usize]).unwrap();
}

fn check(service: &Service) -> (Option<i32>, String) {
    let outcome = service.run(&["store", "check"]);
    (outcome.status, outcome.out + &outcome.err)
}

#[test]
fn what_is_damaged_is_named() {
    let service = filled(3);
    assert_eq!(check(&service).0, Some(0));
    let content = names(&service.data().join("content"));
    let file = service.data().join("content").join(&content[0]);
    let whole = fs::read(&file).unwrap();
    let changed = [&b"X"[..], &whole[1..]].concat();
    for (octets, words) in [
        (&changed[..], "octets of its content have changed"),
        (&whole[..100], "its content has 100 octets of"),
    ] {
        fs::write(&file, octets).unwrap();
        let (status, said) = check(&service);
        assert!(status == Some(1) && said.contains(&format!("message {}: {words}", content[0])), "{said}");
    }
    let stray = service.data().join("content/01M8B598RBW1B5PE");
    fs::rename(&file, &stray).unwrap();
    let (_, said) = check(&service);
    assert!(
        said.contains("its content is missing")
            && said.contains("01M8B598RBW1B5PE: it belongs to no message"),
        "{said}"
    );
    fs::write(&file, &whole).unwrap();
    fs::remove_file(stray).unwrap();
    let db = rusqlite::Connection::open(service.data().join("queue.db")).unwrap();
    db.execute_batch("DELETE FROM content WHERE message = 1; INSERT INTO content VALUES (77, 'x');").unwrap();
    db.close().unwrap();
    let (_, said) = check(&service);
    assert!(
        said.contains(": its content is missing")
            && said.contains("contents in queue.db without messages: 1"),
        "{said}"
    );
    overwrite(&service, pages(&service, "message_held")[0]);
    let (status, said) = check(&service);
    assert!(status == Some(1) && said.contains("index message_held"), "{said}");
}

#[test]
fn what_can_be_read_of_a_damaged_store_is_saved_and_the_sums_fit() {
    let messages = 150;
    let mut service = filled(messages);
    let damaged = pages(&service, "message");
    assert!(damaged.len() > 4, "{damaged:?}");
    // Two pages of rows, with others before, between and behind them.
    overwrite(&service, damaged[1]);
    overwrite(&service, damaged[3]);
    let refused = service.run(&["run"]);
    assert!(refused.status == Some(1) && refused.err.contains("mailsluice store salvage"), "{refused:?}");
    let (_, said) = check(&service);
    assert!(said.contains("table message: rows can't be read"), "{said}");
    let told = service.run(&["store", "salvage", "--json"]).done().json();
    let (saved, lost) = (told["messages"].as_u64().unwrap(), told["lost_recipients"].as_u64().unwrap());
    assert!(saved < 151 && saved > 75 && lost == (151 - saved) * 2, "{told}");
    assert_eq!(told["recipients"], json!(saved * 2));
    let aside = std::path::PathBuf::from(told["aside"].as_str().unwrap());
    assert_eq!(names(&aside)[0], "queue.db", "nothing is deleted");

    let log = service.start();
    assert!(
        log.iter().any(|line| line.contains(" restored ") && line.contains(&format!("lost={lost}"))),
        "{log:#?}"
    );
    let totals = service.totals();
    assert_eq!((&totals["queued"], &totals["deleted"]), (&json!(saved * 2), &json!(lost)));
    let status = service.status();
    assert_eq!((&status["queue"]["held"], &status["restored"]["origin"]), (&json!(saved), &"salvage".into()));
    // What was counted for the limits is whole, so they hold as they were.
    assert_eq!(status["restored"]["limits_used"], false);
    service.stop();
    assert_eq!(
        check(&service).0,
        Some(0),
        "the contents whose messages are lost were set aside by the start"
    );
}

/// Octets that were overwritten need not make a page unreadable: what can't be is refused, and the rest stays of use.
#[test]
fn rows_that_can_be_read_but_make_no_sense() {
    let mut service = filled(8);
    let db = rusqlite::Connection::open(service.data().join("queue.db")).unwrap();
    db.execute_batch(
        "UPDATE message SET priority = 9 WHERE id = 1;
         UPDATE message SET attempts = 5000000000 WHERE id = 2;
         UPDATE message SET checksum = -1 WHERE id = 3;
         UPDATE message SET reverse_path = 'no address' WHERE id = 4;
         UPDATE message SET age_base = -139354346536677, accepted = 1 WHERE id = 5;
         UPDATE message SET due = 9000000000000000000, accepted_wall = 9000000000000000000 WHERE id = 6;
         UPDATE recipient SET doubts = -7 WHERE message = 7 AND place = 0;
         UPDATE recipient SET address = 'a@' WHERE message = 8 AND place = 1;",
    )
    .unwrap();
    db.close().unwrap();
    let told = service.run(&["store", "salvage", "--json"]).done().json();
    assert_eq!((&told["messages"], &told["lost_recipients"]), (&json!(5), &json!(10)), "{told}");
    for table in told["tables"].as_array().unwrap() {
        let is_damaged = table["name"] == "message" || table["name"] == "recipient";
        assert_eq!(table["has_gaps"], is_damaged, "{table}");
    }
    let db = rusqlite::Connection::open(service.data().join("queue.db")).unwrap();
    let strange = "SELECT count(*) FROM message WHERE abs(age_base - accepted) > 86400000 OR abs(due - accepted) > 86400000 \
                   OR abs(accepted_wall - accepted) > 86400000";
    assert_eq!(db.query_row(strange, [], |row| row.get::<_, i64>(0)), Ok(0), "their times are mended");
    db.close().unwrap();
    service.start();
    assert_eq!(service.status()["queue"]["held"], json!(5));
    service.run(&["queue", "list"]).done();
    service.run(&["queue", "release", "--all", "--to", "recipients", "--yes"]).done();
    assert_eq!((&service.totals()["queued"], &service.totals()["expired"]), (&json!(8), &json!(0)));
}

#[test]
fn a_salvage_that_was_interrupted_is_finished() {
    let service = filled(2);
    let data = service.data();
    // As a crash leaves it between two renames.
    fs::copy(data.join("queue.db"), data.join("queue.db.salvaged")).unwrap();
    fs::rename(data.join("queue.db"), data.join("elsewhere")).unwrap();
    let refused = service.run(&["run"]);
    assert_eq!(refused.status, Some(1), "{refused:?}");
    service.run(&["store", "salvage"]).done();
    assert!(data.join("queue.db").exists() && !data.join("queue.db.salvaged").exists());
    assert_eq!(check(&service).0, Some(0));
}

#[test]
fn nobody_looks_at_a_store_that_is_in_use() {
    let mut service = Service::new(OFF);
    for verb in ["check", "salvage"] {
        let none = service.run(&["store", verb]);
        assert!(none.status == Some(1) && none.err.contains("has no queue.db"), "{none:?}");
    }
    service.start();
    for verb in ["check", "salvage"] {
        let used = service.run(&["store", verb]);
        assert!(used.status == Some(1) && used.err.contains("in use by another mailsluice"), "{used:?}");
    }
}
