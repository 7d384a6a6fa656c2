//! Simulated time beside a store that writes on a thread of its own: tokio's paused clock would leap to the next timer
//! whenever only that thread works, so here it goes forward in small steps, each after the store has caught up.

use std::sync::mpsc;
use std::time::Duration;

use mailsluice::store::Store;
use tokio::time::Instant;

use super::simulation::Simulation;

/// How far the clock goes in one step.
const STEP: Duration = Duration::from_millis(10);
/// Writes one after another that a step waits for; a longer chain takes several steps.
const WRITES: usize = 4;

/// Keeps the clock from leaping until it is dropped.
pub struct Pacer {
    _release: mpsc::Sender<()>,
}

impl Pacer {
    /// Begins. While a blocking task runs, a paused clock stands.
    pub fn new() -> Self {
        let (release, released) = mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || {
            // It ends when the pacer is dropped.
            let _ = released.recv();
        });
        Self { _release: release }
    }

    /// Lets the simulated time pass until `done`; fails after `most`.
    pub async fn until(&self, sim: &Simulation, most: Duration, mut done: impl FnMut() -> bool) {
        let start = Instant::now();
        while !done() {
            assert!(start.elapsed() < most, "not done after {:?}", start.elapsed());
            for _ in 0..WRITES {
                sim.store().set_switch("faults.pace", String::new()).await.unwrap();
            }
            tokio::time::advance(STEP).await;
        }
    }
}
