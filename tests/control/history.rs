//! What became of mail that has left: searched, shown, forgotten, sent again.

use mailsluice::store::HistoryRules;

use super::*;

/// Keeps contents for a day.
fn keep(relay: &Relay) {
    let day = Some(Duration::from_hours(24));
    relay.state.store.set_history(HistoryRules { entries: day, contents: day, free_disk: 0 });
}

/// A message to two, of whom one gets it.
fn one_that_has_left(relay: &Relay, n: u32) -> String {
    let id = relay.enqueue(n, &["a@x.example", "B@x.example"], false).to_string();
    let mut settlement = relay.attempt();
    settlement.deliveries[0].state = RecipientState::Sent;
    settlement.deliveries[0].reply = "250 2.0.0 OK".into();
    settlement.deliveries[1].state = RecipientState::Bounced;
    settlement.deliveries[1].reply = "550 5.1.1 \u{1b}]0;no such user".into();
    relay.settle(settlement);
    id
}

#[test]
fn what_has_left_is_searched_and_shown() {
    let relay = Relay::start();
    assert_eq!(relay.run(&["history", "--json"]).json(), json!([]));
    assert_eq!(relay.run(&["history"]).out, "Nothing in the history matches.\n");
    let id = one_that_has_left(&relay, 1);
    let found = relay.run(&["history", "--to", "b@X.example", "--since", "1h", "--json"]).json();
    let entry = &found[0];
    let keys: Vec<&str> = entry.as_object().unwrap().keys().map(String::as_str).collect();
    let mut contract =
        ["queue_id", "message_id", "subject", "from", "to", "state", "upstream", "reply", "at", "test_mode"];
    contract.sort_unstable();
    assert_eq!(keys, contract);
    let want = json!({
        "queue_id": id, "message_id": null, "subject": "x", "from": "ERP@firm.example", "to": "B@x.example",
        "state": "bounced", "upstream": "m365", "reply": "550 5.1.1 \u{1b}]0;no such user", "at": entry["at"],
        "test_mode": null
    });
    assert_eq!((entry, found.as_array().unwrap().len()), (&want, 1));
    for (arguments, entries) in [
        (&["--from", "erp@firm.example"][..], 2),
        (&["--from", "<>"], 0),
        (&["--subject", "X"], 2),
        (&["--subject", "y"], 0),
        (&["--message-id", "<1@firm.example>"], 0),
        (&["--limit", "1"], 1),
        (&["--since", "2100-01-01"], 0),
    ] {
        let found = relay.run(&[&["history", "--json"], arguments].concat()).json();
        assert_eq!(found.as_array().unwrap().len(), entries, "{arguments:?}");
    }
    assert_eq!(relay.run(&["history", "--to", "nobody"]).status, Some(2));
    assert!(relay.run(&["history", "--since", "soon"]).err.contains("write a time, a date"));

    let shown = relay.run(&["queue", "show", &id, "--json"]).json();
    assert_eq!((&shown["state"], &shown["from"]), (&json!("left"), &json!("ERP@firm.example")));
    assert_eq!(shown["left_at"], entry["at"]);
    let first = json!({"address": "a@x.example", "state": "sent", "attempts": 1, "reply": "250 2.0.0 OK"});
    assert_eq!((&shown["to"][0], &shown["to"][1]["state"]), (&first, &json!("bounced")));
    for arguments in [&["history"][..], &["queue", "show", &id]] {
        let shown = relay.run(arguments);
        assert!(shown.out.contains("550 5.1.1 \\u001b]0;no such user"), "{shown:?}");
        assert!(!shown.out.contains('\u{1b}'), "nothing may act on the terminal: {shown:?}");
    }
    let forgotten = relay.run(&["history", "forget", "A@x.example", "--json"]).json();
    assert_eq!(forgotten, json!({"address": "A@x.example", "entries": 1, "contents": 0}));
    assert_eq!(relay.run(&["history", "--json"]).json().as_array().unwrap().len(), 1);
    let nothing = relay.run(&["history", "forget", "a@x.example"]);
    assert_eq!((nothing.status, &*nothing.out), (Some(0), "The history has nothing of a@x.example.\n"));
}

#[test]
fn what_was_kept_is_sent_again_as_strictly_as_before() {
    let relay = Relay::start();
    let lost = one_that_has_left(&relay, 1);
    let refused = relay.run(&["history", "resend", &lost]);
    assert_eq!(refused.status, Some(1));
    assert!(refused.err.contains("`content` in [history]"), "{refused:?}");
    let unknown = relay.run(&["history", "resend", "0000000000000000"]);
    assert!(unknown.err.contains("neither in the queue nor in the history"), "{unknown:?}");

    keep(&relay);
    let id = one_that_has_left(&relay, 2);
    let resent = relay.run(&["history", "resend", &id, "--json"]).json();
    assert_eq!((&resent["original"], &resent["to"]), (&json!(id), &json!(["a@x.example", "B@x.example"])));
    assert_eq!((&resent["test_mode"], &resent["held"]), (&json!(null), &json!(false)));
    let again = resent["queue_id"].as_str().unwrap().to_owned();
    let content = relay.command(&["queue", "show", &again, "--content"]).output().unwrap();
    assert_eq!(content.stdout, b"Subject: x\r\n\r\nhello\xff\r\n");
    let totals = relay.run(&["status", "--json"]).json()["totals"].clone();
    assert_eq!((&totals["accepted"], &totals["generated"]), (&json!(4), &json!(2)));
    assert_eq!(relay.run(&["queue", "delete", &again]).status, Some(0));

    // The blacklist holds, and so does test mode.
    assert_eq!(relay.run(&["blacklist", "add", "b@x.example"]).status, Some(0));
    let listed = relay.run(&["history", "resend", &id]);
    assert!(listed.err.contains("is on the blacklist"), "{listed:?}");
    let to_one = &["history", "resend", &id, "--to", "new@x.example", "--json"][..];
    assert_eq!(relay.run(to_one).json()["to"], json!(["new@x.example"]));
    assert_eq!(relay.run(&["test-mode", "on", "--address", "t@firm.example"]).status, Some(0));
    let test = relay.run(to_one).json();
    assert_eq!(
        (&test["test_mode"], &test["test_address"], &test["held"]),
        (&json!("redirect"), &json!("t@firm.example"), &json!(false))
    );
    assert_eq!(relay.run(&["test-mode", "on", "--action", "hold"]).status, Some(0));
    let held = relay.run(to_one).json();
    assert_eq!((&held["test_mode"], &held["held"]), (&json!("hold"), &json!(true)));
    assert_eq!(relay.run(&["history", "forget", "erp@firm.example"]).status, Some(0));
    assert_eq!(relay.run(to_one).status, Some(1));
}
