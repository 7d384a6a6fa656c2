//! Test mode and mail that is none: how much of it goes to its recipients, and that none of it goes astray by a release.

use mailsluice::config::TestAction;
use mailsluice::store::{Decisions, TestTreatment};
use serde_json::{Value, json};

use super::Relay;

#[test]
fn what_was_accepted_before_is_counted() {
    let relay = Relay::start();
    relay.enqueue(1, &["a@x.example", "b@x.example"], false);
    let off = relay.run(&["status"]).out;
    assert!(off.contains("\nTest mode: off") && !off.contains("accepted before"), "{off}");
    relay.enqueue(2, &["c@x.example"], true);
    let said = "  1 message accepted before goes to its recipients: see `mailsluice queue list`\n  1 message accepted before \
                waits for release: see\n    `mailsluice queue list --state held`\n";
    let on = relay.run(&["test-mode", "on", "--address", "test@firm.example"]);
    assert!(on.out.starts_with("Test mode: ON, ") && on.out.ends_with(said), "{on:?}");
    let status = relay.run(&["status"]).out;
    assert!(status.contains(said), "{status}");
    let counts = |mode: &Value| {
        ["outside_test_mode", "outside_test_mode_held", "tests", "tests_held"].map(|key| mode[key].clone())
    };
    let want = [json!(1), json!(1), json!(0), json!(0)];
    assert_eq!(counts(&relay.run(&["test-mode", "status", "--json"]).json()), want);
    assert_eq!(counts(&relay.run(&["status", "--json"]).json()["test_mode"]), want);
    let test = TestTreatment { action: TestAction::Hold, address: None };
    let id = relay.enqueue(3, &["d@x.example"], true);
    let decided = relay.state.store.release(id.clone(), Decisions::of_test(test));
    relay.runtime.block_on(decided).unwrap();
    let off = relay.run(&["test-mode", "off"]).out;
    let said = "Test mode: off (set by command)\n  1 message in the queue is still a test: accepted while it was on, it never\n    \
                reaches its recipients\n";
    assert_eq!(off, said);
    relay.runtime.block_on(relay.state.store.hold(id)).unwrap();
    let off = relay.run(&["test-mode", "status"]).out;
    assert!(off.ends_with("  1 test waits for release: see `mailsluice queue list --state held`\n"), "{off}");
}

#[test]
fn no_mail_is_released_to_the_test_address_by_mistake() {
    let relay = Relay::start();
    relay.run(&["test-mode", "on", "--address", "test@firm.example"]);
    let id = relay.enqueue(1, &["a@x.example", "b@x.example"], true).to_string();
    let refused = relay.run(&["queue", "release", &id, "--to", "test"]);
    let want = format!(
        "mailsluice: {id} was not accepted in test mode: released to test@firm.example, its 2 recipients never get it; \
         say --yes if that is meant\n"
    );
    assert_eq!((refused.status, refused.err), (Some(1), want));
    let state = |id: &str| -> Value { relay.run(&["queue", "show", id, "--json"]).json()["state"].clone() };
    assert_eq!(state(&id), json!("held"), "nothing was changed");
    let released = relay.run(&["queue", "release", &id, "--to", "test", "--yes"]);
    assert_eq!((released.status, state(&id)), (Some(0), json!("ready")), "{released:?}");
    assert_eq!(
        relay.run(&["test-mode", "status", "--json"]).json()["outside_test_mode"],
        json!(0),
        "it is a test now"
    );

    let held = TestTreatment { action: TestAction::Hold, address: None };
    let test = relay.enqueue(2, &["a@x.example"], true);
    let decided = relay.state.store.release(test.clone(), Decisions::of_test(held));
    relay.runtime.block_on(decided).unwrap();
    relay.runtime.block_on(relay.state.store.hold(test.clone())).unwrap();
    let released = relay.run(&["queue", "release", test.as_str(), "--to", "test"]);
    assert_eq!(released.status, Some(0), "a test needs no further words: {released:?}");
}

#[test]
fn all_that_fit_are_released_once_a_person_agrees() {
    let relay = Relay::start();
    relay.run(&["test-mode", "on", "--address", "test@firm.example"]);
    let test = |action| {
        let to = relay.state.test_mode.state().address.filter(|_| action == TestAction::Redirect);
        Decisions::of_test(TestTreatment { action, address: to })
    };
    for n in 1..=6 {
        let id = relay.enqueue(n, &["a@x.example", "b@x.example"], true);
        let decisions = match n {
            1 => test(TestAction::Redirect),
            2 => test(TestAction::Capture),
            3 => test(TestAction::Hold),
            _ => continue,
        };
        relay.runtime.block_on(relay.state.store.release(id.clone(), decisions)).unwrap();
        assert!(relay.runtime.block_on(relay.state.store.hold(id)).unwrap());
    }
    relay.enqueue(7, &["c@y.example"], true);
    relay.enqueue(8, &["c@y.example"], false);
    let all = |more: &[&str]| relay.run(&[&["queue", "release", "--all"], more].concat());
    let held = || relay.run(&["status", "--json"]).json()["queue"]["held"].clone();

    let kept = "2 messages accepted in test mode stay held, and never go to their recipients";
    let refused = all(&["--to", "recipients"]);
    let want = format!(
        "mailsluice: 5 held messages would go to 9 real recipients; {kept}; nothing was released: say --yes if that is meant\n"
    );
    assert_eq!((refused.status, refused.err.as_str(), held()), (Some(1), want.as_str(), json!(7)));
    let planned = all(&["--to", "recipients", "--recipient", "C@y.example", "--json"]);
    assert_eq!(planned.status, Some(1), "{planned:?}");
    assert_eq!((&planned.json()["messages"], &planned.json()["recipients"]), (&json!(1), &json!(1)));
    let to_test = all(&["--to", "test"]);
    let want = "mailsluice: 7 held messages would go to the test address test@firm.example, and 7 recipients of mail that was not \
                accepted in test mode never get it; nothing was released: say --yes if that is meant\n";
    assert_eq!((to_test.status, to_test.err.as_str()), (Some(1), want));

    let one = all(&["--to", "recipients", "--recipient", "C@y.example", "--yes"]);
    assert_eq!((one.status, one.out.as_str()), (Some(0), "Released 1 message to 1 recipient\n"), "{one:?}");
    assert_eq!(held(), json!(6));
    let rest = all(&["--to", "recipients", "--yes", "--json"]);
    assert_eq!(
        rest.json(),
        json!({"messages": 4, "recipients": 8, "changed": 0, "done": true, "error": null})
    );
    let none = all(&["--to", "recipients"]);
    assert_eq!((none.status, none.out), (Some(0), format!("No held message to release; {kept}\n")));
    let tests = all(&["--to", "test", "--upstream", "m365", "--sender", "erp@firm.example", "--yes"]);
    assert_eq!(tests.out, "Released 2 messages to the test address test@firm.example\n", "{tests:?}");
    assert_eq!(held(), json!(0));
    let modes = relay.run(&["test-mode", "status", "--json"]).json();
    assert_eq!((&modes["tests"], &modes["outside_test_mode"]), (&json!(2), &json!(6)));

    for wrong in [
        &["queue", "release", "--to", "test", "--sender", "a@b.example", "0DMA"][..],
        &["queue", "release", "--to", "test"],
    ] {
        assert_eq!(relay.run(wrong).status, Some(2), "{wrong:?}");
    }
}

#[test]
fn no_more_is_released_than_was_agreed_to() {
    let relay = Relay::start();
    relay.enqueue(1, &["a@x.example"], true);
    let plan = relay.run(&["queue", "release", "--all", "--to", "recipients", "--json"]).json();
    let late = relay.enqueue(2, &["b@x.example"], true);
    let body = json!({"query": {"to": "recipients"}, "plan": plan}).to_string();
    let answer = relay.post("/api/v1/queue/release", &body);
    assert!(answer.contains("409 Conflict") && answer.contains("nothing was released"), "{answer}");
    relay.runtime.block_on(relay.state.store.delete(late)).unwrap();
    let answer = relay.post("/api/v1/queue/release", &body);
    assert!(answer.contains("200 OK") && answer.contains(r#""messages":1,"recipients":1"#), "{answer}");
}
