//! What an upstream has taken, and refused for good, of late: for whoever watches that mail arrives.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::time::Moment;

/// How long a minute is, in milliseconds.
const MINUTE: i64 = 60_000;
/// Minutes that are remembered.
const MINUTES: usize = 60;
/// How far [`FinishedRecipients`] reach back.
pub const THROUGHPUT_WINDOW: Duration = Duration::from_hours(1);

/// Recipients that an upstream is done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FinishedRecipients {
    /// Those for whom it has taken their mail.
    pub sent: u64,
    /// Those that it has refused for good.
    pub bounced: u64,
}

impl FinishedRecipients {
    /// All of them.
    #[must_use]
    pub fn all(self) -> u64 {
        self.sent + self.bounced
    }
}

/// What went by an upstream within [`THROUGHPUT_WINDOW`], to the minute, and when it last took something. It begins with the
/// process, and takes the same room whatever goes.
#[derive(Debug, Default)]
pub(super) struct Throughput(Mutex<ThroughputState>);

#[derive(Debug)]
struct ThroughputState {
    /// By the minute's number, modulo [`MINUTES`].
    minutes: [Minute; MINUTES],
    last_sent: Option<Moment>,
}

/// What one minute has brought.
#[derive(Debug, Clone, Copy, Default)]
struct Minute {
    number: i64,
    finished: FinishedRecipients,
}

impl Default for ThroughputState {
    fn default() -> Self {
        Self { minutes: [Minute::default(); MINUTES], last_sent: None }
    }
}

impl Throughput {
    /// Notes what became of recipients.
    pub(super) fn note(&self, finished: FinishedRecipients, now: Moment) {
        let mut state = self.lock();
        if finished.sent > 0 {
            state.last_sent = Some(now);
        }
        let number = now.0.div_euclid(MINUTE);
        let minute = &mut state.minutes[number.rem_euclid(MINUTES as i64) as usize];
        if minute.number != number {
            *minute = Minute { number, finished: FinishedRecipients::default() };
        }
        minute.finished.sent += finished.sent;
        minute.finished.bounced += finished.bounced;
    }

    /// Notes that something was taken, without counting it.
    pub(super) fn note_sent(&self, now: Moment) {
        self.lock().last_sent = Some(now);
    }

    /// What the last [`THROUGHPUT_WINDOW`] has brought.
    pub(super) fn finished(&self, now: Moment) -> FinishedRecipients {
        let number = now.0.div_euclid(MINUTE);
        let oldest = number - MINUTES as i64;
        let state = self.lock();
        let within = state.minutes.iter().filter(|minute| (oldest + 1..=number).contains(&minute.number));
        within.fold(FinishedRecipients::default(), |sum, minute| FinishedRecipients {
            sent: sum.sent + minute.finished.sent,
            bounced: sum.bounced + minute.finished.bounced,
        })
    }

    /// When something was last taken, since the start.
    pub(super) fn last_sent(&self) -> Option<Moment> {
        self.lock().last_sent
    }

    fn lock(&self) -> MutexGuard<'_, ThroughputState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn finished(sent: u64, bounced: u64) -> FinishedRecipients {
        FinishedRecipients { sent, bounced }
    }

    #[test]
    fn an_hour_is_remembered_to_the_minute() {
        let all = Throughput::default();
        let start = Moment(1_795_000_000_000 / MINUTE * MINUTE);
        let at = |minutes: i64| Moment(start.0 + minutes * MINUTE);
        all.note(finished(2, 1), at(0));
        all.note(finished(0, 3), at(30));
        assert_eq!((all.finished(at(30)), all.last_sent()), (finished(2, 4), Some(at(0))));
        assert_eq!(all.finished(at(59)), finished(2, 4));
        assert_eq!(all.finished(at(60)), finished(0, 3));
        all.note(finished(1, 0), at(61));
        assert_eq!(all.finished(at(61)), finished(1, 3), "its place was another minute's");
        assert_eq!(all.finished(at(200)), finished(0, 0));
        all.note_sent(at(201));
        assert_eq!((all.finished(at(201)), all.last_sent()), (finished(0, 0), Some(at(201))));
    }

    proptest! {
        #[test]
        fn counts_what_a_list_would(steps in proptest::collection::vec((0_i64..20, 0_u64..5, 0_u64..5), 1..80)) {
            let all = Throughput::default();
            let (mut now, mut list) = (1_795_000_000_000_i64 / MINUTE, Vec::new());
            for (pass, sent, bounced) in steps {
                now += pass;
                all.note(finished(sent, bounced), Moment(now * MINUTE));
                list.push((now, sent, bounced));
                let within = list.iter().filter(|(at, ..)| now - at < MINUTES as i64);
                let want = within.fold((0, 0), |sum, (_, sent, bounced)| (sum.0 + sent, sum.1 + bounced));
                prop_assert_eq!(all.finished(Moment(now * MINUTE)), finished(want.0, want.1));
            }
        }
    }
}
