//! How long a recipient that was deferred rests. Pure.

use std::time::Duration;

use super::attempted::RecipientOutcome;
use crate::config::Queue;
use crate::lane::{backoff, jitter};
use crate::upstream::{DeferralCause, Outcome};

/// What the pauses of one message's recipients go by.
pub(super) struct Pauses<'a> {
    pub(super) queue: &'a Queue,
    /// How old the message is.
    pub(super) age: Duration,
    /// Any number. It spreads the pauses, all of a message alike, so that its recipients stay together.
    pub(super) random: u32,
}

impl Pauses<'_> {
    /// Whether the message has outlived the queue.
    pub(super) fn expired(&self) -> bool {
        self.age >= self.queue.expire_after
    }

    /// How long a recipient rests; `None` when it goes as soon as the upstream takes it.
    ///
    /// For its own sake it rests longer after each failure, or for as long as the reply says. One that may have arrived too
    /// often rests until its message expires.
    pub(super) fn of(&self, each: &RecipientOutcome) -> Option<Duration> {
        let (shortest, longest) = (self.queue.retry_min, self.queue.retry_max);
        if each.is_given_up() {
            return Some(self.queue.expire_after.saturating_sub(self.age).max(longest));
        }
        let Outcome::Deferred { cause, .. } = each.outcome else { return None };
        if let Some(rest) = each.doubt_pause.filter(|_| each.is_doubtful()) {
            return Some(jitter(rest.after(each.recipient.doubts), self.random));
        }
        let wait = match (cause, each.stated) {
            (DeferralCause::Upstream, _) => return None,
            (DeferralCause::Sender, _) => longest,
            (DeferralCause::Message, Some(stated)) => stated.max(shortest).min(longest),
            (DeferralCause::Message, None) => {
                backoff(each.recipient.failures.saturating_add(1), shortest, longest)
            }
        };
        Some(jitter(wait, self.random))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, DoubtPause};
    use crate::mail::{Address, RecipientRequest};
    use crate::store::QueuedRecipient;

    const MINUTE: Duration = Duration::from_mins(1);

    fn outcome(outcome: Outcome, failures: u32, doubts: u32) -> RecipientOutcome {
        let address = Address::parse("x@there.example").unwrap();
        let untried = QueuedRecipient::untried(0, address, RecipientRequest::default());
        let recipient = QueuedRecipient { attempts: 9, failures, doubts, ..untried };
        RecipientOutcome::new(recipient, outcome, String::new())
    }

    #[test]
    fn a_pause_is_the_recipients_own() {
        let toml = "[queue]\nretry_min = \"1m\"\nretry_max = \"1h\"\nexpire_after = \"5d\"\n\
            [[upstream]]\nname = \"u\"\nhost = \"u\"\n";
        let config = Config::from_toml(toml, std::path::Path::new("/")).unwrap().config;
        let day = Duration::from_hours(24);
        let unknown = |cause| Outcome::Deferred { cause, possible_duplicate: true };
        let (own, sender) = (Outcome::DEFERRED, Outcome::deferred(DeferralCause::Sender));
        let mins = |minutes| Some(MINUTE * minutes);
        for (name, each, age, want) in [
            ("the first failure", outcome(own, 0, 0), day, mins(1)),
            ("the third", outcome(own, 2, 0), day, mins(4)),
            ("at most", outcome(own, 30, 0), day, mins(60)),
            ("a sender that is refused", outcome(sender, 0, 0), day, mins(60)),
            ("the upstream's trouble", outcome(Outcome::UPSTREAM, 3, 0), day, None),
            ("another transaction", outcome(Outcome::Later, 3, 2), day, None),
            ("sent", outcome(Outcome::Sent, 3, 2), day, None),
            ("in doubt", outcome(unknown(DeferralCause::Message), 0, 0), day, mins(1)),
            (
                "in doubt for the third time",
                outcome(unknown(DeferralCause::Message), 2, 2),
                day,
                Some(day * 4),
            ),
            ("that and a stop", outcome(unknown(DeferralCause::Upstream), 0, 2), day, Some(day * 4)),
            ("set aside", outcome(Outcome::UPSTREAM, 0, 3), day, Some(day * 4)),
            ("about to expire", outcome(Outcome::UPSTREAM, 0, 3), day * 5, mins(60)),
        ] {
            let pauses = Pauses { queue: &config.queue, age, random: 0 };
            assert_eq!(pauses.of(&each), want, "{name}");
            let spread = Pauses { random: u32::MAX, ..pauses };
            let most = want.map(|want| if want > MINUTE * 60 { want } else { want.mul_f64(1.1) });
            assert!(spread.of(&each) <= most, "{name}");
        }
        for (cause, doubts, want) in [
            (DeferralCause::Message, 0, 30),
            (DeferralCause::Message, 1, 60),
            (DeferralCause::Upstream, 0, 30),
        ] {
            let doubt = outcome(unknown(cause), 0, doubts);
            let each = RecipientOutcome { doubt_pause: Some(DoubtPause::GRAPH), ..doubt };
            let queue = Queue { retry_max: MINUTE * 10, ..config.queue.clone() };
            let pauses = Pauses { queue: &queue, age: day, random: 0 };
            assert_eq!(pauses.of(&each), Some(MINUTE * want), "{doubts} doubts before");
            let known = RecipientOutcome { outcome: Outcome::deferred(cause), ..each };
            assert!(pauses.of(&known) < Some(MINUTE * 30), "nothing is in doubt");
        }
        for (stated, want) in [(10, 60), (300, 300), (7_200, 3_600)] {
            let each = RecipientOutcome { stated: Some(Duration::from_secs(stated)), ..outcome(own, 5, 0) };
            let pauses = Pauses { queue: &config.queue, age: day, random: 0 };
            assert_eq!(pauses.of(&each), Some(Duration::from_secs(want)), "{stated} s are stated");
        }
    }
}
