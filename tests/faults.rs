//! Faults of waiting and of reload, each with the whole of its kind. Real store, scripted upstreams; time is simulated.

#![allow(clippy::unwrap_used, reason = "a test may stop where its world breaks")]

#[path = "support/paper.rs"]
mod paper;
mod support;

#[path = "faults/candidates.rs"]
mod candidates;
#[path = "faults/direct.rs"]
mod direct;
#[path = "faults/in_hand.rs"]
mod in_hand;
#[path = "faults/international.rs"]
mod international;
#[path = "faults/own_listener.rs"]
mod own_listener;
#[path = "faults/reload.rs"]
mod reload;
#[path = "faults/scale.rs"]
mod scale;
#[path = "faults/sign_in.rs"]
mod sign_in;
#[path = "faults/stages.rs"]
mod stages;
#[path = "faults/tls.rs"]
mod tls;
#[path = "faults/together.rs"]
mod together;
#[path = "faults/verdicts.rs"]
mod verdicts;
#[path = "faults/waiting.rs"]
mod waiting;

use support::upstream::Upstream;
use tokio::time::Instant;

const FROM: &str = "a@firm.example";

/// When each recipient's message came to an upstream.
fn arrivals(up: &Upstream) -> Vec<(String, Instant)> {
    let each = |seen: support::upstream::Seen| {
        let at = seen.at;
        seen.recipients.into_iter().map(move |recipient| (recipient, at))
    };
    up.messages().into_iter().flat_map(each).collect()
}

/// One upstream, `main`, at the host `up`.
fn one(more: &str) -> String {
    format!(
        "[queue]\nexpire_after = \"90d\"\nwarn_after = \"never\"\n[blacklist]\nauto_add_after = 1\n\
         [[upstream]]\nname = \"main\"\nhost = \"up\"\nsecurity = \"none\"\n{more}"
    )
}

/// `count` recipients whose names begin with `name`.
fn recipients(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{name}{n}@there.example")).collect()
}

fn strs(all: &[String]) -> Vec<&str> {
    all.iter().map(String::as_str).collect()
}
