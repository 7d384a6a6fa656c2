//! The relay against a model: random interleavings of mail, clients that wait, upstreams that misbehave, people who
//! switch and reload, crashes and clocks. Real store, simulated time.
//!
//! What is held at every quiet moment, and at the end:
//!
//! 1. No window is exceeded, and no more connections are open than may be, as the upstreams have seen it.
//! 2. Nothing is lost, and nothing is sent twice without a reason.
//! 3. Nothing is idle while it could go: for each message that waits there is a reason that is true by what was recorded
//!    here, and what the relay says of it is true, too.
//! 4. When all troubles are over, all mail goes within a bounded time.
//!
//! `MODEL_CASES=1000` runs as many random cases instead, `MODEL_SEED=7` one alone; what fails prints its seed and what was
//! done (`MODEL_TRACE=1` shows it as it happens). (The relay's own jitter is not seeded: a rare failure may want several runs.)

#![allow(clippy::unwrap_used, reason = "a test may stop where its world breaks")]

mod support;

#[path = "model/acts.rs"]
mod acts;
#[path = "model/checks.rs"]
mod checks;
#[path = "model/count.rs"]
mod count;
#[path = "model/dice.rs"]
mod dice;
#[path = "model/facts.rs"]
mod facts;
#[path = "model/oracle.rs"]
mod oracle;
#[path = "model/plan.rs"]
mod plan;
#[path = "model/provider.rs"]
mod provider;
#[path = "model/reasons.rs"]
mod reasons;
#[path = "model/session.rs"]
mod session;
#[path = "model/walk.rs"]
mod walk;

use std::panic::{AssertUnwindSafe, catch_unwind};

use dice::Dice;
use walk::Walk;

/// Seeds that are always run.
const FIXED: std::ops::Range<u64> = 0..8;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// One walk from a seed, on a runtime of its own.
fn case(seed: u64) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let trace = walk::Trace::default();
    let walked =
        catch_unwind(AssertUnwindSafe(|| runtime.block_on(Walk::run(Dice::new(seed), trace.clone()))));
    if let Err(panic) = walked {
        eprintln!("MODEL_SEED={seed}\n{}", trace.text());
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn no_interleaving_loses_exceeds_or_idles() {
    let random = || rand::random::<u64>() >> 16;
    let seeds: Vec<u64> = match (number("MODEL_SEED"), number("MODEL_CASES")) {
        (Some(seed), cases) => vec![seed; cases.unwrap_or(1) as usize],
        (None, Some(cases)) => (0..cases).map(|_| random()).collect(),
        (None, None) => FIXED.collect(),
    };
    seeds.into_iter().for_each(case);
}
