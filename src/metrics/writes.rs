//! How a store writes.

use std::time::Duration;

use super::histogram::Histogram;

/// Seconds of a commit.
const COMMIT: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Writes that share one.
const WRITES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// What a store's commits cost, and how many writes shared each.
#[derive(Debug)]
pub struct WriteMeter {
    /// How long each commit took, its sync included, in seconds.
    pub seconds: Histogram,
    /// How many writes were in each.
    pub writes: Histogram,
}

impl Default for WriteMeter {
    fn default() -> Self {
        Self { seconds: Histogram::new(COMMIT), writes: Histogram::new(WRITES) }
    }
}

impl WriteMeter {
    /// So many writes were committed, in so long.
    pub fn committed(&self, writes: usize, took: Duration) {
        self.seconds.took(took);
        self.writes.observe(writes as f64, 1);
    }
}
