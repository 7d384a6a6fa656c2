//! Why an account can't send now.

use crate::lane::LaneState;
use crate::limits::{Cause, Wait};
use crate::oauth::NoToken;
use crate::time::Moment;

/// Why an account can't send now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// All its connections are in use, or others go first: who waits is told.
    Busy,
    /// A limit is reached.
    Limited(Wait),
    /// The provider wants nothing for a while.
    Paused(Pause),
    /// The upstream does not answer.
    Down(Down),
    /// There is no token to log in with: nothing is tried.
    NoToken(NoToken),
    /// Switched off: why.
    Disabled(String),
}

/// No mail until then, by the provider's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// When it ends.
    pub until: Moment,
    /// What the provider has said, in words.
    pub reason: String,
}

/// An account, or an upstream, that can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Down {
    /// What happened last, in words.
    pub reason: String,
    /// When the next probe is made; `None` while one is under way.
    pub probe_at: Option<Moment>,
    /// Failures in a row.
    pub failures: u32,
    /// Whether there were so many that it counts as disabled.
    pub disabled: bool,
    /// Whether it is that the upstream refuses the login.
    pub is_login: bool,
}

impl Down {
    /// Whether it has just come to count as disabled.
    pub(super) fn is_newly_disabled(&self, disable_after: u32) -> bool {
        self.disabled && self.failures == disable_after
    }
}

impl Obstacle {
    /// The one of two obstacles of accounts that serve the same mail that says more about when it goes on.
    pub(super) fn nearer(a: Option<Self>, b: Self) -> Self {
        let Some(a) = a else { return b };
        if b.gravity() < a.gravity() { b } else { a }
    }

    /// The one of two obstacles in the way of the same account that holds it up for longer.
    pub(super) fn graver(a: Option<Self>, b: Option<Self>) -> Option<Self> {
        match (a, b) {
            (Some(a), Some(b)) => Some(if b.gravity() > a.gravity() { b } else { a }),
            (a, b) => a.or(b),
        }
    }

    /// How much it takes until it is over. Of two of a kind one that ends sooner takes less; one whose end is not known
    /// ends last.
    fn gravity(&self) -> (u8, i64) {
        let kind = match self {
            Self::Busy => 0,
            Self::Limited(_) | Self::Paused(_) => 1,
            Self::Down(_) => 2,
            Self::NoToken(_) => 3,
            Self::Disabled(_) => 4,
        };
        (kind, self.until().map_or(i64::MAX, |until| until.0))
    }

    /// When it may be over; `None` when somebody will tell, or nobody knows.
    #[must_use]
    pub fn until(&self) -> Option<Moment> {
        match self {
            Self::Limited(wait) => wait.until,
            Self::Paused(pause) => Some(pause.until),
            Self::Down(down) => down.probe_at,
            Self::NoToken(why) => why.until,
            Self::Busy | Self::Disabled(_) => None,
        }
    }

    /// What it is, in words.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Busy => "all connections are in use".to_owned(),
            Self::Limited(wait) => wait.cause.to_string(),
            Self::Paused(Pause { reason, .. })
            | Self::Down(Down { reason, .. })
            | Self::NoToken(NoToken { reason, .. })
            | Self::Disabled(reason) => reason.clone(),
        }
    }

    /// How a lane is that waits for it.
    #[must_use]
    pub fn state(&self) -> LaneState {
        let (reason, until) = (self.reason(), self.until());
        match self {
            Self::Busy => LaneState::Busy { reason },
            Self::Limited(_) | Self::Paused(_) => LaneState::Limited { reason, until },
            Self::Down(Down { disabled: true, .. }) | Self::Disabled(_) => {
                LaneState::Disabled { reason, until }
            }
            Self::Down(_) => LaneState::Down { reason, until },
            Self::NoToken(why) => LaneState::SignIn { reason, until, action: why.action.clone() },
        }
    }

    /// Whether mail waits for a limit, which makes it no older.
    #[must_use]
    pub fn is_limit(&self) -> bool {
        matches!(self, Self::Limited(_) | Self::Paused(_))
    }

    /// Whether it is worth a line in the log: the even pace and batches wait between any two messages, and what the
    /// provider said was logged when it said so.
    #[must_use]
    pub fn is_news(&self) -> bool {
        self.has_an_end() && !matches!(self, Self::Paused(_))
    }

    /// Whether the log has, or is to have, a line for its end.
    #[must_use]
    pub fn has_an_end(&self) -> bool {
        match self {
            Self::Limited(wait) => !matches!(wait.cause, Cause::Even | Cause::Batch),
            Self::Paused(_) => true,
            Self::Busy | Self::Down(_) | Self::NoToken(_) | Self::Disabled(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_end_wins() {
        let limited =
            |until: Option<i64>| Obstacle::Limited(Wait { cause: Cause::Even, until: until.map(Moment) });
        let no_token = |until: Option<i64>| {
            Obstacle::NoToken(NoToken { reason: "x".into(), until: until.map(Moment), action: None })
        };
        let down = || {
            let probe_at = Some(Moment(5));
            let reason = "refused".to_owned();
            Obstacle::Down(Down { reason, probe_at, failures: 1, disabled: false, is_login: false })
        };
        for (a, b, want) in [
            (limited(Some(5)), limited(Some(3)), limited(Some(3))),
            (limited(None), limited(Some(3)), limited(Some(3))),
            (Obstacle::Disabled("x".into()), limited(None), limited(None)),
            (limited(None), Obstacle::Busy, Obstacle::Busy),
            (no_token(None), no_token(Some(9)), no_token(Some(9))),
            (no_token(Some(1)), down(), down()),
            (no_token(None), Obstacle::Disabled("x".into()), no_token(None)),
        ] {
            assert_eq!(Obstacle::nearer(Some(a.clone()), b.clone()), want);
            assert_eq!(Obstacle::nearer(Some(b), a), want);
        }
    }
}
