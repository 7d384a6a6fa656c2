//! How often values fell into which range.

use std::time::Duration;

use super::counter::Counter;

/// Steps of a sum within 1: a sum is kept in millionths.
const STEPS: f64 = 1e6;

/// Counts values by ranges that are set once. Observing one adds to two numbers.
#[derive(Debug)]
pub struct Histogram {
    /// The upper ends of the ranges, in order; behind the last comes all that is larger.
    bounds: &'static [f64],
    counts: Box<[Counter]>,
    /// In millionths.
    sum: Counter,
}

impl Histogram {
    /// With these upper ends of its ranges, in order.
    #[must_use]
    pub fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| Counter::default()).collect();
        Self { bounds, counts, sum: Counter::default() }
    }

    /// A value that is not negative came up so many times.
    pub fn observe(&self, value: f64, times: u64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        self.counts[place].add(times);
        self.sum.add(((value * STEPS) as u64).saturating_mul(times));
    }

    /// Something took so long, in seconds.
    pub fn took(&self, duration: Duration) {
        self.observe(duration.as_secs_f64(), 1);
    }

    /// For each upper end how many values were not larger; the last is for all of them, and has none.
    #[must_use]
    pub fn cumulative(&self) -> Vec<(Option<f64>, u64)> {
        let ends = self.bounds.iter().copied().map(Some).chain([None]);
        let mut all = 0;
        ends.zip(&self.counts)
            .map(|(end, count)| {
                all += count.get();
                (end, all)
            })
            .collect()
    }

    /// How many values there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().map(Counter::get).sum()
    }

    /// All values together.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.sum.get() as f64 / STEPS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_at_an_end_is_within_it() {
        let histogram = Histogram::new(&[0.5, 1.0]);
        for (value, times) in [(0.25, 1), (0.5, 2), (0.75, 1), (1.0, 1), (7.5, 3)] {
            histogram.observe(value, times);
        }
        assert_eq!(histogram.cumulative(), [(Some(0.5), 3), (Some(1.0), 5), (None, 8)]);
        assert!((histogram.sum() - 25.5).abs() < 1e-9);
        histogram.took(Duration::from_millis(500));
        assert_eq!(histogram.cumulative()[0], (Some(0.5), 4));
    }
}
