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
