//! What of a sign-in will end, and when to say so.

use std::time::Duration;

use jiff::Timestamp;

use super::error::connect_action;
use crate::config::{ExpiryKind, SignIn, SignInProvider};
use crate::time::{Moment, Timeline, Validity};

/// Ends of one thing that are no further apart are the same: that of an age is worked out anew each time, by clocks.
const SAME: Duration = Duration::from_hours(12);
/// How often to look.
pub(super) const LOOK_EVERY: Duration = Duration::from_hours(6);

/// Something of a sign-in that will end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInDeadline {
    /// What kind of thing it is.
    pub kind: ExpiryKind,
    /// What it is, in words.
    pub what: &'static str,
    /// How long it holds.
    pub validity: Validity,
    /// What to do before.
    pub action: String,
}

/// Remembers what has been said.
#[derive(Debug, Default)]
pub(super) struct ExpiryWatch(Vec<(SignInDeadline, u64)>);

/// What of a sign-in will end; `renewed` is when the provider last gave something for its grant.
pub(super) fn deadlines(
    sign_in: &SignIn,
    renewed: Option<Moment>,
    timeline: &Timeline,
) -> Vec<SignInDeadline> {
    sign_in_deadlines(sign_in, renewed.map(|renewed| timeline.wall_at(renewed)))
}

/// The same, by the wall clock.
#[must_use]
pub fn sign_in_deadlines(sign_in: &SignIn, renewed: Option<Timestamp>) -> Vec<SignInDeadline> {
    // Unused for so long, a refresh token ends.
    let idle = match sign_in.provider {
        SignInProvider::Microsoft => Some(Duration::from_hours(90 * 24)),
        SignInProvider::Google => Some(Duration::from_hours(180 * 24)),
        SignInProvider::Custom => None,
    };
    let sign_in_ends = renewed.zip(idle).map(|(renewed, idle)| SignInDeadline {
        kind: ExpiryKind::Token,
        what: "sign-in",
        validity: Validity::until(renewed.saturating_add(idle).unwrap_or(Timestamp::MAX)),
        action: connect_action(&sign_in.name),
    });
    let proof_ends = sign_in.proof_validity().map(|(kind, validity)| {
        let what = if kind == ExpiryKind::Certificate { "client certificate" } else { "client secret" };
        let action = format!(
            "make another {what}, give it to the provider, and write it into [[oauth]] {}",
            sign_in.name
        );
        SignInDeadline { kind, what, validity, action }
    });
    [sign_in_ends, proof_ends].into_iter().flatten().collect()
}

impl ExpiryWatch {
    /// Those of which something new is to be said: each once for each step of [`Validity::step`].
    pub(super) fn news(&mut self, deadlines: Vec<SignInDeadline>, now: Timestamp) -> Vec<SignInDeadline> {
        let mut news = Vec::new();
        let mut said = Vec::new();
        for deadline in deadlines {
            let Some(step) = deadline.validity.step(now) else { continue };
            let before = self.0.iter().find(|(other, _)| {
                other.what == deadline.what && is_same(other.validity.until, deadline.validity.until)
            });
            if before.is_none_or(|(_, last)| *last > step) {
                news.push(deadline.clone());
            }
            said.push((deadline, step));
        }
        self.0 = said;
        news
    }
}

fn is_same(one: Timestamp, other: Timestamp) -> bool {
    one.duration_until(other).unsigned_abs() < SAME
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_said_once() {
        let end: Timestamp = "2027-03-01T00:00:00Z".parse().unwrap();
        let deadline = SignInDeadline {
            kind: ExpiryKind::Secret,
            what: "client secret",
            validity: Validity::until(end),
            action: String::new(),
        };
        let mut watch = ExpiryWatch::default();
        let mut said = Vec::new();
        for hour in (-3..40 * 24).rev() {
            let now = Timestamp::from_second(end.as_second() - hour * 3600).unwrap();
            if !watch.news(vec![deadline.clone()], now).is_empty() {
                said.push(hour);
            }
        }
        assert_eq!(said, [30 * 24, 14 * 24, 3 * 24, 24, 0]);
        // A start says what is near at once.
        let now = Timestamp::from_second(end.as_second() - 5 * 24 * 3600).unwrap();
        assert_eq!(ExpiryWatch::default().news(vec![deadline.clone()], now).len(), 1);
        // What was put off is said again when it is near again.
        let later =
            SignInDeadline { validity: Validity::until(end + Duration::from_hours(60 * 24)), ..deadline };
        assert!(watch.news(vec![later], now).is_empty());
    }
}
