//! Backups of a relay at work, and what becomes of a store that is put in.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;

use crate::service::{Service, names};

/// All mail waits for a person, so that it is all in the backup; one message is too large for the data base.
const HOLDING: &str = "data_dir = \"data\"\n[[listener]]\naddress = \"127.0.0.1:PORT\"\n\
    [test_mode]\nenabled = true\naction = \"hold\"\n\
    [[upstream]]\nname = \"main\"\nkind = \"capture\"\n[upstream.limits]\nper_day = { messages = 7 }\n";

fn submit_some(service: &Service) {
    service.submit("small", &["a@there.example", "b@there.example"]);
    service.submit(&"large and long\r\n".repeat(20_000), &["c@there.example"]);
}

fn unpack(tar: &Path, folder: &Path) {
    fs::create_dir(folder).unwrap();
    tar::Archive::new(fs::File::open(tar).unwrap()).unpack(folder).unwrap();
}

#[test]
fn a_backup_of_a_relay_at_work_is_held_where_it_is_put_in() {
    let mut service = Service::new(HOLDING);
    service.start();
    submit_some(&service);
    service.run(&["upstream", "disable", "main"]).done();
    let tar = service.folder.path().join("backup.tar");
    let told = service.run(&["backup", tar.to_str().unwrap(), "--json"]).done().json();
    assert_eq!((&told["messages"], &told["contents"]), (&json!(2), &json!(1)), "{told}");
    assert_eq!(fs::metadata(&tar).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(
        names(service.folder.path()),
        ["backup.tar", "data", "mailsluice.toml"],
        "nothing else is left behind"
    );
    assert!(
        !names(&service.data()).iter().any(|name| name.starts_with("backup")),
        "{:?}",
        names(&service.data())
    );

    // Elsewhere, with the same configuration.
    let mut other = Service::new(HOLDING);
    unpack(&tar, &other.data());
    assert_eq!(names(&other.data()), ["content", "queue.db"]);
    let checked = other.run(&["store", "check"]).done();
    assert!(
        checked.out.starts_with("No damage was found: looked at 2 messages and 2 contents"),
        "{checked:?}"
    );
    let log = other.start();
    let words = log.iter().find(|line| line.contains(" restored ")).unwrap();
    assert!(words.contains("messages=2 held=2 lost=0"), "{words}");
    let status = other.status();
    assert_eq!((&status["queue"]["held"], &status["restored"]["held"]), (&json!(2), &json!(2)), "{status}");
    assert_eq!(status["restored"]["origin"], "backup");
    assert!(
        status["needs_a_person"][0].as_str().unwrap().contains("2 of its 2 messages are held"),
        "{status}"
    );
    let totals = other.totals();
    assert_eq!((&totals["accepted"], &totals["queued"]), (&json!(3), &json!(3)));
    let limits = other.run(&["limits", "show", "--json"]).done().json();
    let day = limits.as_array().unwrap().iter().find(|one| one["window"] == "day").unwrap();
    assert_eq!(day["messages"], json!({ "used": 7, "limit": 7 }), "{limits}");
    let queue = other.run(&["queue", "list", "--json"]).done().json();
    for message in queue.as_array().unwrap() {
        assert_eq!(message["waiting_for"], "release");
        assert!(message["to"][0]["reply"].as_str().unwrap().contains("possible duplicate"), "{message}");
    }
    // What is stored is all there.
    let id = queue[1]["queue_id"].as_str().unwrap();
    let content = other.run(&["queue", "show", id, "--content"]).done().out;
    assert_eq!(content.matches("large and long").count(), 20_000);

    // A person has seen to it: it goes, as soon as the limits let it.
    other.run(&["queue", "release", "--all", "--to", "recipients", "--yes"]).done();
    other.run(&["limits", "reset", "main"]).done();
    other.stop();
    // A start later it is no longer new.
    let log = other.start();
    assert!(!log.iter().any(|line| line.contains(" restored ") && line.contains("held=2")), "{log:#?}");
}

#[test]
fn a_restored_store_sends_nothing_until_released_and_released_mail_goes() {
    let off = "data_dir = \"data\"\n[[listener]]\naddress = \"127.0.0.1:PORT\"\n\
        [[upstream]]\nname = \"main\"\nkind = \"capture\"\nenabled = false\n[upstream.limits]\nper_hour = { messages = 9 }\n";
    let mut service = Service::new(off);
    service.start();
    submit_some(&service);
    service.stop();
    // With the relay stopped it works as well.
    let tar = service.folder.path().join("backup.tar");
    service.run(&["backup", tar.to_str().unwrap()]).done();
    let mut other = Service::new(&off.replace("enabled = false\n", ""));
    unpack(&tar, &other.data());
    other.start();
    // The limit counts as used, for what is new as well.
    let limits = other.run(&["limits", "show", "--json"]).done().json();
    let hour = limits.as_array().unwrap().iter().find(|one| one["window"] == "hour").unwrap();
    assert_eq!(hour["messages"], json!({ "used": 9, "limit": 9 }), "{limits}");
    let totals = other.totals();
    assert_eq!((&totals["captured"], &totals["queued"]), (&json!(0), &json!(3)));
    let queue = other.run(&["queue", "list", "--json"]).done().json();
    let ids: Vec<&str> =
        queue.as_array().unwrap().iter().map(|one| one["queue_id"].as_str().unwrap()).collect();
    other.run(&["queue", "release", ids[0], ids[1], "--to", "recipients"]).done();
    assert_eq!(other.totals()["captured"], 0, "no limit has room");
    other.run(&["limits", "reset", "main"]).done();
    other.log_until("event=captured");
    while other.totals()["queued"] != 0 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(other.totals()["captured"], 3);
    let status = other.status();
    assert_eq!((&status["restored"]["held"], &status["needs_a_person"]), (&json!(0), &json!([])), "{status}");
}

#[test]
fn there_is_a_backup_or_none() {
    let service = Service::new(HOLDING);
    let tar = service.folder.path().join("backup.tar");
    let none = service.run(&["backup", tar.to_str().unwrap()]);
    assert_eq!(none.status, Some(1));
    assert!(none.err.contains("has no queue.db: there is nothing to back up"), "{none:?}");
    assert!(!tar.exists());
}
