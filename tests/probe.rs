//! What a person finds out about an upstream: the account test, the live dialogue, a test mail.

#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]
#![allow(clippy::disallowed_methods, reason = "a test writes where it likes")]

mod support;

#[path = "support/paper.rs"]
mod paper;

#[path = "probe/accounts.rs"]
mod accounts;
#[path = "probe/commands.rs"]
mod commands;
#[path = "probe/refusals.rs"]
mod refusals;
#[path = "probe/remedies.rs"]
mod remedies;
#[path = "probe/send.rs"]
mod send;
#[path = "probe/sign_ins.rs"]
mod sign_ins;
#[path = "probe/slots.rs"]
mod slots;
#[path = "probe/trace.rs"]
mod trace;

use serde_json::Value;
use support::control::Control;
use support::simulation::Simulation;
use support::upstream::Upstream;

/// A relay at work whose upstream `main` is the host `main`, with these further keys.
async fn relay(upstream: &Upstream, keys: &str) -> Simulation {
    let config = format!(
        "hostname = \"relay.firm.example\"\n[[upstream]]\nname = \"main\"\ndefault = true\nhost = \"main\"\n{keys}"
    );
    let mut sim = Simulation::new(&config, &[("main", upstream)]);
    sim.start().await;
    sim
}

/// Probes these upstreams, or all that are enabled.
async fn probe(control: &Control, names: &[&str]) -> Vec<Value> {
    control.follow("POST", "/probe", serde_json::json!({ "upstreams": names }).to_string()).await
}

/// The names of the steps, those that failed with a mark.
fn steps(events: &[Value]) -> Vec<String> {
    let steps = events.iter().filter(|event| event["event"] == "step");
    let name = |step: &Value| {
        let mark = if step["ok"] == true { "" } else { "!" };
        format!("{mark}{}", step["step"].as_str().unwrap())
    };
    steps.map(name).collect()
}

/// What the last account came to.
fn result(events: &[Value]) -> &Value {
    let last = events.last().unwrap();
    assert_eq!(last["event"], "ended", "{events:?}");
    last
}
