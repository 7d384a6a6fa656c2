//! A relay that does not run is looked at all the same, and nothing of it changes.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use crate::service::{Outcome, Service};

const HOLDING: &str = "data_dir = \"data\"\n[[listener]]\naddress = \"127.0.0.1:PORT\"\n\
    [test_mode]\nenabled = true\naction = \"hold\"\n\
    [[upstream]]\nname = \"main\"\nkind = \"capture\"\n[upstream.limits]\nper_day = { messages = 7 }\n";
const NOTICE: &str = "mailsluice: the relay does not run: this is what its store says, and nothing goes\n";

/// A relay that was stopped with two messages in its queue.
fn stopped() -> Service {
    let mut service = Service::new(HOLDING);
    service.start();
    service.submit("small", &["a@there.example", "b@there.example"]);
    service.submit(&"large and long\r\n".repeat(20_000), &["c@there.example"]);
    service.run(&["blacklist", "add", "gone@there.example", "--reason", "left"]).done();
    service
}

/// What is looked at: with a relay that runs, and without.
fn looked_at(service: &Service) -> Vec<Value> {
    let list = service.run(&["queue", "list", "--json"]).done().json();
    let id = list[0]["queue_id"].as_str().unwrap().to_owned();
    let looks: [&[&str]; 6] = [
        &["queue", "show", &id],
        &["limits", "show"],
        &["upstream", "list"],
        &["test-mode", "status"],
        &["blacklist", "list"],
        &["blacklist", "check", "gone@there.example"],
    ];
    let json = |words: &[&str]| service.run(&[words, &["--json"]].concat()).done().json();
    std::iter::once(list).chain(looks.into_iter().map(json)).collect()
}

/// All files of the data folder with their contents, but those that SQLite makes for whoever reads.
fn files(service: &Service) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for folder in [service.data(), service.data().join("content")] {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_file() && !name.ends_with("-shm") && !name.ends_with("-wal") {
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    files
}

#[test]
fn what_is_asked_is_answered_as_by_the_relay_and_nothing_changes() {
    let mut service = stopped();
    let running = looked_at(&service);
    assert_eq!(service.status()["running"], json!(true));
    service.stop();
    let before = files(&service);
    assert_eq!(looked_at(&service), running);
    let list = service.run(&["queue", "list"]).done();
    assert_eq!(list.err, NOTICE);
    assert!(list.out.contains("2 messages"), "{}", list.out);
    let status = service.run(&["status"]);
    assert_eq!(status.status, Some(1), "there is none that runs");
    assert!(status.out.contains("not running") && status.out.contains("Queue: 2 messages"), "{}", status.out);
    let status = service.run(&["status", "--check", "--json"]);
    assert_eq!(status.status, Some(1));
    let status = status.json();
    assert_eq!((&status["running"], &status["queue"]["held"]), (&json!(false), &json!(2)));
    assert!(status["needs_a_person"][0].as_str().unwrap().contains("does not run"), "{status}");
    let id = running[0][1]["queue_id"].as_str().unwrap();
    for command in [&["queue", "show", id, "--content"][..], &["queue", "export", id]] {
        assert_eq!(service.run(command).done().out.matches("large and long").count(), 20_000);
    }
    assert_eq!(files(&service), before, "nothing was written");
    // And it goes on as if nobody had looked.
    service.start();
    assert_eq!(looked_at(&service), running);
}

#[test]
fn whoever_wants_something_done_is_told_what_to_do() {
    let mut service = stopped();
    service.stop();
    let before = files(&service);
    for command in [
        &["queue", "retry", "--all"][..],
        &["queue", "hold", "0000000000000000"],
        &["queue", "delete", "--all", "--yes"],
        &["queue", "release", "--all", "--to", "test", "--yes"],
        &["blacklist", "remove", "gone@there.example"],
        &["limits", "reset", "main"],
        &["upstream", "disable", "main"],
        &["test-mode", "off"],
        &["reload"],
    ] {
        let Outcome { status, out, err } = service.run(command);
        assert_eq!((status, out.as_str()), (Some(1), ""), "{command:?}: {err}");
        assert!(
            err.contains("start it with: mailsluice run") && !err.contains("its store says"),
            "{command:?}: {err}"
        );
    }
    assert_eq!(files(&service), before);
}

/// A relay that does not start for its configuration is the one whose queue is wanted most.
#[test]
fn the_store_is_shown_also_where_the_configuration_has_faults() {
    let mut service = stopped();
    let running = looked_at(&service);
    service.stop();
    fs::write(service.file(), service.text().replace("kind = \"capture\"", "kind = \"captur\"")).unwrap();
    let list = service.run(&["queue", "list", "--json"]).done();
    let ids = |list: &Value| -> Vec<Value> {
        list.as_array().unwrap().iter().map(|one| one["queue_id"].clone()).collect()
    };
    assert_eq!(ids(&list.json()), ids(&running[0]));
    assert!(
        list.err.contains("the configuration has faults") && list.err.contains("mailsluice check"),
        "{}",
        list.err
    );
    let list = service.run(&["queue", "list"]).done();
    assert!(list.out.contains("a@there.example"), "{}", list.out);
    assert_eq!(service.run(&["blacklist", "list", "--json"]).done().json(), running[5]);
    // What the configuration says itself is not made up.
    for command in [&["status"][..], &["limits", "show"], &["upstream", "list"]] {
        let outcome = service.run(command);
        assert_eq!((outcome.status, outcome.out.as_str()), (Some(2), ""), "{command:?}: {}", outcome.err);
        assert!(outcome.err.contains("upstream.kind"), "{}", outcome.err);
    }
}

#[test]
fn where_nothing_ever_ran_nothing_is_made() {
    let service = Service::new(HOLDING);
    let outcome = service.run(&["queue", "list"]);
    assert_eq!(outcome.status, Some(1));
    assert!(outcome.err.contains("has no queue.db"), "{}", outcome.err);
    assert!(!service.data().exists());
}
