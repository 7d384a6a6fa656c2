//! Which accounts are probed, and what a probe changes for them.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::simulation::{Simulation, secs};
use super::support::upstream::{Act, Script, Step, Upstream};
use super::{probe, result};

const SEVERAL: &str = "\
[[upstream]]
name = \"main\"
default = true
host = \"main\"
security = \"none\"
allow_plaintext_auth = true
user = \"anna\"
password = \"secret\"
disable_after = 3
[[upstream.account]]
user = \"bert\"
password = \"secret\"
[[upstream]]
name = \"off\"
enabled = false
host = \"main\"
security = \"none\"
filter = [\"off.example\"]
[[upstream]]
name = \"kept\"
kind = \"capture\"
filter = [\"kept.example\"]
";

async fn several(script: Script) -> (Upstream, Simulation) {
    let upstream = Upstream::new(script);
    let mut sim = Simulation::new(SEVERAL, &[("main", &upstream)]);
    sim.start().await;
    (upstream, sim)
}

/// Each account with its result.
fn results(events: &[Value]) -> Vec<String> {
    let mut all = Vec::new();
    for event in events {
        match event["event"].as_str().unwrap() {
            "begun" => {
                let name =
                    [&event["upstream"], &event["account"]].map(|text| text.as_str().unwrap().to_owned());
                all.push(name.join(" "));
            }
            "ended" => all.push(event["ok"].to_string()),
            _ => {}
        }
    }
    all
}

#[tokio::test(start_paused = true)]
async fn all_that_are_enabled_or_those_that_are_named() {
    let (_upstream, sim) = several(Script::default().with_logins(&["bert"])).await;
    let control = sim.control();
    let enabled = ["main anna", "true", "main bert", "true", "kept ", "true"];
    assert_eq!(results(&probe(&control, &[]).await), enabled);
    assert_eq!(results(&probe(&control, &["off"]).await), ["off ", "true"]);
    let named = probe(&control, &["off"]).await;
    assert_eq!(named[0]["enabled"], false);
    assert_eq!(result(&named)["note"], "enabled = false in the configuration");
    control.disable("main").await;
    assert_eq!(results(&probe(&control, &[]).await), ["kept ", "true"]);
    let named = probe(&control, &["main"]).await;
    let note = json!({
        "event": "ended", "ok": true, "reason": null, "note": "disabled by hand",
        "action": "mailsluice upstream enable main"
    });
    assert_eq!(result(&named), &note);
    let (status, mut events) = control.begin("POST", "/probe", r#"{"upstreams":["main","nobody"]}"#).await;
    assert_eq!(status, 404);
    assert!(events.next().await.unwrap()["detail"].as_str().unwrap().contains("nobody"));
}

/// How the relay holds the first account of `main`.
async fn state(sim: &Simulation) -> (String, bool) {
    let all = sim.control().ask("GET", "/upstreams").await;
    let account = &all[0]["accounts"][0];
    (account["state"].as_str().unwrap().to_owned(), account["tried"].as_bool().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_failure_teaches_nothing_and_a_success_ends_what_was_in_the_way() {
    let wrong = || Script::default().with_logins(&["bert"]).with(Step::Auth, Act::reply(535, "5.7.8 no"));
    let (upstream, mut sim) = several(wrong()).await;
    for _ in 0..5 {
        assert_eq!(result(&probe(&sim.control(), &["main"]).await)["ok"], false);
    }
    assert_eq!(
        state(&sim).await,
        ("up".to_owned(), false),
        "five failures of a person's are none of the relay's"
    );

    // Both logins are refused until the relay tries them no more.
    sim.submit("a@firm.example", &["b@dest.example"]).await;
    sim.until(Duration::from_hours(2), secs(5), async |sim| state(sim).await.0 == "disabled").await;
    let logins = upstream.commands_of("AUTH").len();
    assert_eq!(result(&probe(&sim.control(), &["main"]).await)["ok"], false);
    assert_eq!(state(&sim).await.0, "disabled");
    assert_eq!(upstream.commands_of("AUTH").len(), logins + 2, "one for each account");

    upstream.set(Script::default().with_logins(&["bert"]));
    let events = probe(&sim.control(), &["main"]).await;
    assert_eq!(results(&events), ["main anna", "true", "main bert", "true"]);
    assert_eq!(result(&events)["note"], Value::Null);
    assert_eq!(state(&sim).await, ("up".to_owned(), true));
    // The mail that waited for it goes at once.
    sim.until_empty(secs(5)).await;
    assert_eq!(upstream.messages().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_was_down_is_up_again() {
    let (upstream, mut sim) = several(Script::default().with(Step::Connect, Act::Refuse)).await;
    sim.submit("a@firm.example", &["b@dest.example"]).await;
    sim.until(secs(60), secs(1), async |sim| state(sim).await.0 == "down").await;
    upstream.set(Script::default().with_logins(&["bert"]));
    assert_eq!(result(&probe(&sim.control(), &["main"]).await)["ok"], true);
    sim.until_empty(secs(5)).await;
}
