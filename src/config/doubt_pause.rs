//! How long mail rests that an upstream may have taken without our knowing.

use std::time::Duration;

/// How long a message rests at first that an upstream may have taken, where it may go on with what it has not answered; with
/// each such doubt before, twice as long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DoubtPause(Duration);

impl DoubtPause {
    /// Microsoft carries out for minutes what it has answered with 504.
    pub const GRAPH: Self = Self(Duration::from_mins(30));

    /// The pause of a recipient that was so many times in doubt before.
    #[must_use]
    pub fn after(self, doubts: u32) -> Duration {
        self.0.saturating_mul(1 << doubts.min(16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles() {
        let minutes = |doubts| DoubtPause::GRAPH.after(doubts).as_secs() / 60;
        assert_eq!([0, 1, 2].map(minutes), [30, 60, 120]);
        assert_eq!(minutes(16), minutes(u32::MAX));
    }
}
