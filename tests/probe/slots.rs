//! A probe takes a connection of those that the account may have, and waits for it for a short time.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::support::simulation::{Simulation, secs};
use super::support::upstream::{Act, Script, Step, Upstream};
use super::{probe, relay, result};

const ONE: &str = "security = \"none\"\n[upstream.limits]\nconnections = 1\n";

#[tokio::test(start_paused = true)]
async fn waits_for_the_one_connection_and_is_never_one_too_many() {
    let upstream = Upstream::new(Script::default().with(Step::Dot, Act::Late(secs(7))));
    let mut sim = relay(&upstream, ONE).await;
    for n in 0..3 {
        sim.submit("a@firm.example", &[&format!("b{n}@dest.example")]).await;
    }
    sim.until(secs(5), Duration::from_millis(10), async |_| upstream.commands().contains(&"DATA".to_owned()))
        .await;
    let begun = Instant::now();
    let events = probe(&sim.control(), &[]).await;
    assert_eq!(result(&events)["ok"], true, "{events:?}");
    assert!(begun.elapsed() >= secs(6) && begun.elapsed() < secs(10), "{:?}", begun.elapsed());
    let commands = upstream.commands();
    let verbs: Vec<&str> = commands.iter().filter_map(|line| line.split([' ', ':']).next()).collect();
    // It goes before the mail that waits.
    assert_eq!(verbs[..7], ["EHLO", "MAIL", "RCPT", "DATA", "QUIT", "EHLO", "QUIT"], "{verbs:?}");
    sim.until_empty(secs(60)).await;
    assert_eq!(upstream.most_connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn says_so_when_none_becomes_free() {
    let upstream = Upstream::new(Script::default().with(Step::Dot, Act::Late(secs(30))));
    let mut sim = relay(&upstream, ONE).await;
    sim.submit("a@firm.example", &["b@dest.example"]).await;
    sim.until(secs(5), Duration::from_millis(10), async |_| upstream.commands().contains(&"DATA".to_owned()))
        .await;
    let begun = Instant::now();
    let events = probe(&sim.control(), &[]).await;
    let busy = json!({
        "event": "ended", "ok": false, "note": null,
        "reason": "not probed: no connection became free within 10 s, all 1 are in use",
        "action": "the account is sending: probe it later, or see what it does: mailsluice trace main"
    });
    assert_eq!(result(&events), &busy);
    assert_eq!(begun.elapsed(), secs(10));
    sim.until_empty(secs(60)).await;
    assert_eq!((upstream.messages().len(), upstream.connections()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_when_the_client_goes() {
    let upstream = Upstream::new(Script::default().with(Step::Ehlo, Act::Late(secs(20))));
    let mut sim = relay(&upstream, ONE).await;
    let (_, mut events) = sim.control().begin("POST", "/probe", r#"{"upstreams":[]}"#).await;
    while events.next().await.unwrap()["step"] != "greeting" {}
    drop(events);
    let is_free = async |sim: &Simulation| {
        sim.control().ask("GET", "/upstreams").await[0]["accounts"][0]["connections"] == 0
    };
    sim.until(secs(1), Duration::from_millis(1), is_free).await;
    upstream.set(Script::default());
    sim.submit("a@firm.example", &["b@dest.example"]).await;
    sim.until_empty(secs(5)).await;
}
