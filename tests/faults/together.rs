//! Accounts that share something, and lanes that wait at the same account: what one of them does concerns the others.

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

/// Anna's message takes so many seconds behind its dot; Bert's comes a second after it.
async fn anna_then_bert(limits: &str, takes: u64) -> (Upstream, Simulation) {
    let up = Upstream::new(Script::default().with_logins(&[BERT]).with(Step::Dot, Act::Late(secs(takes))));
    let mut sim = Simulation::new(&sharing(limits), &[("up", &up)]);
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
    let (up, _sim) = anna_then_bert("per_minute = { messages = 1 }", 5).await;
    sleep(secs(59)).await;
    assert!(!has_come(&up, "bert@there.example"), "a minute after the end of the first");
    sleep(secs(12)).await;
    assert!(has_come(&up, "bert@there.example"), "there has been room for six seconds");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_falls_idle_is_closed_for_another_account_that_waits() {
    let (up, _sim) = anna_then_bert("connections = 1", 2).await;
    sleep(secs(4)).await;
    assert!(has_come(&up, "bert@there.example"), "the only connection was idle for a second");
    assert_eq!(up.most_connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_starved_by_another_accounts_backlog() {
    let up = Upstream::new(Script::default().with_logins(&[BERT]).with(Step::Dot, Act::Late(secs(1))));
    let mut sim = Simulation::new(&sharing("connections = 1"), &[("up", &up)]);
    sim.start().await;
    for n in 0..50 {
        sim.submit(FROM, &[&format!("anna{n}@there.example")]).await;
    }
    sleep(secs(3)).await;
    sim.submit(BERT, &["bert@there.example"]).await;
    sleep(secs(5)).await;
    let came = arrivals(&up);
    assert!(has_come(&up, "bert@there.example"), "it has its turn: {} others came", came.len());
    sim.until_empty(secs(120)).await;
    assert_eq!(up.most_connections(), 1);
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
