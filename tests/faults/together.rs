//! Accounts that share something, and lanes that wait at the same account: what one of them does concerns the others.

use serde_json::{Value, json};
use tokio::time::sleep;

use super::support::simulation::{Simulation, secs};
use super::support::upstream::{Act, Script, Step, Upstream};
use super::{FROM, arrivals};

const BERT: &str = "bert@firm.example";

/// Anna sends for everybody, Bert for himself; together they have these limits.
fn sharing(limits: &str) -> String {
    format!(
        r#"
[queue]
warn_after = "never"
[[upstream]]
name = "main"
host = "up"
security = "none"
allow_plaintext_auth = true
user = "anna"
password = "secret"
[[upstream.account]]
user = "{BERT}"
password = "secret"
sender_bound = true
[upstream.shared_limits]
{limits}
"#
    )
}

/// The same with an upstream for each of them, which share what they share as a group.
fn in_a_group(limits: &str) -> String {
    let upstream = |name: &str, user: &str, whose: &str| {
        format!(
            "[[upstream]]\nname = \"{name}\"\nhost = \"up\"\nsecurity = \"none\"\nallow_plaintext_auth = true\n\
             user = \"{user}\"\npassword = \"secret\"\nlimit_group = \"both\"\n{whose}\n"
        )
    };
    let bert = upstream("other", BERT, &format!("filter = [\"{BERT}\"]"));
    let anna = upstream("main", "anna", "default = true");
    format!("[queue]\nwarn_after = \"never\"\n[[limit_group]]\nname = \"both\"\n{limits}\n{anna}{bert}")
}

/// What may be shared, in both ways.
fn both_ways(limits: &str) -> [String; 2] {
    [sharing(limits), in_a_group(limits)]
}

/// Anna's message takes so many seconds behind its dot; Bert's comes a second after it.
async fn anna_then_bert(toml: &str, takes: u64) -> (Upstream, Simulation) {
    let up = Upstream::new(Script::default().with_logins(&[BERT]).with(Step::Dot, Act::Late(secs(takes))));
    let mut sim = Simulation::new(toml, &[("up", &up)]);
    sim.start().await;
    sim.submit(FROM, &["anna@there.example"]).await;
    sleep(secs(1)).await;
    sim.submit(BERT, &["bert@there.example"]).await;
    (up, sim)
}

fn has_come(up: &Upstream, to: &str) -> bool {
    arrivals(up).iter().any(|(arrived, _)| arrived == to)
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_another_accounts_transaction_is_told_of_its_end() {
    for toml in both_ways("per_minute = { messages = 1 }") {
        let (up, _sim) = anna_then_bert(&toml, 5).await;
        sleep(secs(59)).await;
        assert!(!has_come(&up, "bert@there.example"), "a minute after the end of the first: {toml}");
        sleep(secs(12)).await;
        assert!(has_come(&up, "bert@there.example"), "there has been room for six seconds: {toml}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_falls_idle_is_closed_for_another_account_that_waits() {
    for toml in both_ways("connections = 1") {
        let (up, _sim) = anna_then_bert(&toml, 2).await;
        sleep(secs(4)).await;
        assert!(has_come(&up, "bert@there.example"), "the only connection was idle for a second: {toml}");
        assert_eq!(up.most_connections(), 1, "{toml}");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_starved_by_another_accounts_backlog() {
    for toml in both_ways("connections = 1") {
        let up = Upstream::new(Script::default().with_logins(&[BERT]).with(Step::Dot, Act::Late(secs(1))));
        let mut sim = Simulation::new(&toml, &[("up", &up)]);
        sim.start().await;
        for n in 0..50 {
            sim.submit(FROM, &[&format!("anna{n}@there.example")]).await;
        }
        sleep(secs(3)).await;
        sim.submit(BERT, &["bert@there.example"]).await;
        sleep(secs(5)).await;
        let came = arrivals(&up);
        assert!(has_come(&up, "bert@there.example"), "it has its turn: {} others came, {toml}", came.len());
        sim.until_empty(secs(120)).await;
        assert_eq!(up.most_connections(), 1, "{toml}");
    }
}

/// Upstreams that share connections leave the group, and share them no longer; and come into it with those that are open.
#[tokio::test(start_paused = true)]
async fn a_reload_changes_what_upstreams_share() {
    let together = in_a_group("connections = 1");
    let apart = together.replace("limit_group = \"both\"\n", "");
    let (up, mut sim) = anna_then_bert(&together, 60).await;
    sleep(secs(10)).await;
    assert!(!has_come(&up, "bert@there.example"), "the only connection is in use");
    sim.reload(&apart).await;
    sleep(secs(1)).await;
    assert_eq!(up.open_connections(), 2, "nothing is in its way any more");
    sim.reload(&together).await;
    sleep(secs(55)).await;
    // Anna's is done; Bert's goes on, and counts.
    sim.submit(FROM, &["anna2@there.example"]).await;
    sleep(secs(3)).await;
    assert_eq!(up.open_connections(), 1, "there is one for both");
    sim.until_empty(secs(300)).await;
    assert_eq!(arrivals(&up).len(), 3);
}

/// What is forgotten of one upstream makes room for the other at once.
#[tokio::test(start_paused = true)]
async fn a_reset_of_one_upstream_wakes_the_others_of_its_group() {
    let (up, sim) = anna_then_bert(&in_a_group("per_day = { messages = 1 }"), 1).await;
    sleep(secs(30)).await;
    assert!(!has_come(&up, "bert@there.example"), "a day after the first");
    let limits = sim.control().ask("GET", "/limits").await;
    let of_group = |limit: &&Value| limit["limit_group"] == "both" && limit["window"] == "day";
    let told: Vec<&Value> = limits.as_array().unwrap().iter().filter(of_group).collect();
    assert_eq!(told.len(), 1, "each group is told once: {limits}");
    assert_eq!(told[0]["messages"], json!({"used": 1, "limit": 1}));
    let (status, _) = sim.control().begin("POST", "/limits/reset", "{\"upstream\": \"main\"}").await;
    assert!(status.is_success());
    sleep(secs(3)).await;
    assert!(has_come(&up, "bert@there.example"));
}

/// Mail of the lane x waits at the account of main, since x is switched off, and main's own behind it.
#[tokio::test(start_paused = true)]
async fn who_waits_behind_another_lane_is_told_that_the_account_is_down() {
    let toml = r#"
[queue]
warn_after = "never"
[[upstream]]
name = "main"
host = "up"
security = "none"
default = true
fallback = ["backup"]
[upstream.limits]
connections = 1
[[upstream]]
name = "x"
host = "x"
security = "none"
filter = ["x.example"]
fallback = ["main"]
[[upstream]]
name = "backup"
host = "backup"
security = "none"
filter = ["nobody.example"]
"#;
    let up = Upstream::new(Script::default().with(Step::Greeting, Act::Hang));
    let (x, backup) = (Upstream::new(Script::default()), Upstream::new(Script::default()));
    let mut sim = Simulation::new(toml, &[("up", &up), ("x", &x), ("backup", &backup)]);
    sim.start().await;
    // Each lane looks for old mail every 30 s: so that none does when the account goes down.
    sleep(secs(12)).await;
    sim.switch_off("x").await;
    sim.submit("a@x.example", &["x0@there.example"]).await;
    sleep(secs(10)).await;
    sim.submit("a@x.example", &["x1@there.example"]).await;
    sleep(secs(15)).await;
    sim.submit(FROM, &["main@there.example"]).await;
    // The greeting is waited for for five minutes.
    sleep(secs(273)).await;
    assert!(backup.messages().is_empty());
    // And then a look whether it speaks TLS, which it does not do either, for ten seconds.
    sleep(secs(14)).await;
    assert!(has_come(&backup, "main@there.example"), "its own upstream is down");
}
