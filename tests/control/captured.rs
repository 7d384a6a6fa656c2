//! The local mailbox of test mode, which is read without the relay.

use mailsluice::content::SplitContent;
use mailsluice::mail::QueueId;
use mailsluice::upstream::Mailbox;
use serde_json::json;

use super::Relay;

fn id(n: u32) -> QueueId {
    QueueId::new(1_795_329_600_000 + i64::from(n), n)
}

/// A relay that has captured three messages; of the last a mail program knows.
fn relay() -> Relay {
    let relay = Relay::start();
    let folder = relay.state.config.data_dir.join("captured");
    let mailbox = Mailbox::new(folder.clone(), 10);
    for n in 1..=3 {
        let envelope = format!(
            "Return-Path: <erp@firm.example>\r\nX-Mailsluice-Recipient: <a{n}@x.example>\r\n\
             X-Mailsluice-Recipient: <b@x.example>\r\n"
        );
        let content = "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe_=1B[2J?=\r\nX-Mailsluice-Recipient: <no@x.example>\r\n\r\nhello\x1b[2J\r\n";
        mailbox.put(&id(n), &envelope, &SplitContent::memory(content.into())).unwrap();
    }
    let name = id(3).to_string();
    std::fs::rename(folder.join("new").join(&name), folder.join("cur").join(format!("{name}:2,S"))).unwrap();
    relay
}

#[test]
fn what_was_captured_is_listed_shown_and_deleted() {
    let mut relay = relay();
    for stopped in [false, true] {
        if stopped {
            drop(relay.stop.take());
            relay.runtime.block_on(relay.served.take().unwrap()).unwrap();
            assert_eq!(relay.run(&["status"]).status, Some(1), "there is no relay any more");
        }
        let list = relay.run(&["captured", "list", "--json"]).json();
        assert_eq!(list.as_array().unwrap().len(), 3, "{list}");
        let first = &list[0];
        assert_eq!(first["queue_id"], json!(id(1).to_string()));
        assert_eq!(first["to"], json!(["a1@x.example", "b@x.example"]), "the envelope's alone");
        assert_eq!((&first["from"], &first["seen"]), (&json!("erp@firm.example"), &json!(false)));
        assert_eq!((&list[2]["seen"], list[2]["captured_at"].is_string()), (&json!(true), true));
        let text = relay.run(&["captured", "list"]);
        assert!(text.out.contains("Grüße \\u001b[2J") && !text.out.contains('\u{1b}'), "{text:?}");
        assert!(text.out.contains("a1@x.example +1") && text.out.contains("\n3 messages\n"), "{text:?}");
    }
    let lower = id(3).as_str().to_lowercase();
    let shown = relay.run(&["captured", "show", &lower]);
    assert!(shown.out.starts_with("Return-Path: <erp@firm.example>\r\n"), "{shown:?}");
    assert!(shown.out.ends_with("\r\n\r\nhello\u{1b}[2J\r\n"), "as it is into a pipe: {shown:?}");
    let json = relay.run(&["captured", "show", &lower, "--json"]);
    assert!(!json.out.contains('\u{1b}') && json.json()["content"].is_string(), "{json:?}");

    let (one, gone) = (id(1).to_string(), id(9).to_string());
    let deleted = relay.run(&["captured", "delete", &gone, "../../lock", &one]);
    assert_eq!(
        (deleted.status, deleted.out.as_str()),
        (Some(1), "Deleted 1 captured message\n"),
        "{deleted:?}"
    );
    assert!(deleted.err.contains(&format!("{gone} was not captured")), "{deleted:?}");
    assert_eq!(relay.run(&["captured", "show", &one]).status, Some(1));

    let asked = relay.run(&["captured", "clear"]);
    let want = "mailsluice: 2 captured messages would be deleted for good; nothing was: say --yes if that is meant\n";
    assert_eq!((asked.status, asked.err.as_str()), (Some(1), want));
    let cleared = relay.run(&["captured", "clear", "--yes", "--json"]).json();
    assert_eq!(cleared, json!({"deleted": [id(2).to_string(), id(3).to_string()]}));
    let none = relay.run(&["captured", "list"]);
    assert_eq!((none.status, none.out.as_str()), (Some(0), "Nothing was captured.\n"));
    assert_eq!(relay.run(&["captured", "clear"]).out, "Deleted 0 captured messages\n");
}

#[test]
fn a_mailbox_that_cannot_be_read_is_a_fault() {
    let relay = relay();
    let elsewhere = relay.run(&["captured", "list", "--data-dir", "/nowhere/at/all"]);
    assert!(elsewhere.status == Some(1) && elsewhere.err.contains("no data folder"), "{elsewhere:?}");
    let folder = relay.state.config.data_dir.join("captured");
    std::fs::remove_dir_all(folder.join("new")).unwrap();
    std::fs::write(folder.join("new"), "").unwrap();
    let broken = relay.run(&["captured", "list"]);
    assert!(broken.status == Some(1) && broken.err.contains("captured/new"), "{broken:?}");
}
