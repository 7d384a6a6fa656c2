//! May it send? The one answer for an account, and the one for all accounts of an upstream together.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::obstacle::{Down, Obstacle, Pause};
use super::precedents::Precedents;
use crate::config;
use crate::lane::{backoff, jitter};
use crate::limits::{LearnedPace, Wait};
use crate::store::{MessageId, Suspension, SuspensionKind};
use crate::time::Moment;

/// The first wait before a probe.
const PROBE_MIN: Duration = Duration::from_secs(10);
/// The longest wait before a probe: an upstream that comes back gets its mail soon.
const PROBE_MAX: Duration = Duration::from_mins(15);

/// What is known of an account, or of all accounts of an upstream; it outlives reloads.
#[derive(Debug, Clone, Default)]
pub(super) struct Condition(Arc<Mutex<ConditionState>>);

#[derive(Debug, Default)]
struct ConditionState {
    /// A person has switched it off: why.
    disabled: Option<String>,
    /// At fault until a person has seen to it: why.
    stopped: Option<String>,
    /// The provider wants nothing until then.
    paused: Option<Pause>,
    /// The upstream does not answer.
    down: Option<Down>,
    /// The upstream has refused the login; a hash of what it consisted of, empty where there is none.
    refused_login: Option<String>,
    /// Whether a probe is under way.
    probing: bool,
    /// Whether the next probe comes before its time, since a person wants it.
    hurried: bool,
    /// Whether it is down since its token was refused, and there was no other.
    awaits_token: bool,
    /// Whether anything was ever tried since the start.
    tried: bool,
    /// The failures in a row, as of the last time that they were told.
    told: u32,
    /// By what answers are judged that may be about one message as well as about the account.
    precedents: Precedents,
    /// The store has said that there is no room, and until when; `None` when that may have changed since.
    limited: Option<Wait>,
    /// Counts what may have made room, so that an answer of the store that is older than it is not believed.
    changes: u64,
    pace: LearnedPace,
}

/// The right to make the one probing attempt; when it is dropped, another may be made.
#[derive(Debug)]
pub(super) struct ProbeRight(Condition);

impl Drop for ProbeRight {
    fn drop(&mut self) {
        self.0.lock().probing = false;
    }
}

impl Condition {
    /// What is in the way at `now`; `None` when it can be used, freely or for a probe.
    pub(super) fn obstacle(&self, now: Moment) -> Option<Obstacle> {
        let mut state = self.lock();
        if let Some(reason) = state.disabled.as_ref().or(state.stopped.as_ref()) {
            return Some(Obstacle::Disabled(reason.clone()));
        }
        match &state.down {
            Some(down) if state.probing => {
                return Some(Obstacle::Down(Down { probe_at: None, ..down.clone() }));
            }
            Some(down) if down.probe_at.is_some_and(|at| now < at) => {
                return Some(Obstacle::Down(down.clone()));
            }
            _ => {}
        }
        state.paused.take_if(|paused| paused.until <= now);
        if let Some(paused) = &state.paused {
            return Some(Obstacle::Paused(paused.clone()));
        }
        state.limited.take_if(|wait| wait.until.is_some_and(|until| until <= now));
        state.limited.clone().map(Obstacle::Limited)
    }

    /// What is in the way for a person who looks: also that it is down when a probe is due.
    pub(super) fn shown(&self, now: Moment) -> Option<Obstacle> {
        let down = self.lock().down.clone().map(Obstacle::Down);
        match self.obstacle(now) {
            Some(disabled @ Obstacle::Disabled(_)) => Some(disabled),
            other => down.or(other),
        }
    }

    /// Takes the right to probe, when it is down. `Err` when somebody else has it.
    pub(super) fn probe(&self) -> Result<Option<ProbeRight>, Obstacle> {
        let mut state = self.lock();
        let Some(down) = state.down.clone() else { return Ok(None) };
        if std::mem::replace(&mut state.probing, true) {
            return Err(Obstacle::Down(Down { probe_at: None, ..down }));
        }
        Ok(Some(ProbeRight(self.clone())))
    }

    /// Whether it can't be used until somebody or a probe has mended it.
    pub(super) fn is_broken(&self) -> bool {
        let state = self.lock();
        state.disabled.is_some() || state.stopped.is_some() || state.down.is_some()
    }

    /// Whether nothing goes by it until a person has seen to it.
    pub(super) fn is_stopped(&self) -> bool {
        let state = self.lock();
        state.disabled.is_some() || state.stopped.is_some()
    }

    /// Whether a person has switched it off.
    pub(super) fn is_disabled(&self) -> bool {
        self.lock().disabled.is_some()
    }

    /// How it is down.
    pub(super) fn down(&self) -> Option<Down> {
        self.lock().down.clone()
    }

    /// The provider's pause, while it lasts.
    pub(super) fn pause(&self, now: Moment) -> Option<Pause> {
        self.lock().paused.clone().filter(|paused| paused.until > now)
    }

    /// Whether anything was ever tried since the start.
    pub(super) fn was_tried(&self) -> bool {
        self.lock().tried
    }

    /// The upstream answers. Returns what was wrong until now, if anything.
    pub(super) fn answered(&self) -> Option<Down> {
        let mut state = self.lock();
        state.tried = true;
        state.precedents.answered();
        state.refused_login = None;
        state.hurried = false;
        state.awaits_token = false;
        state.told = 0;
        state.down.take()
    }

    /// Whether so many failures in a row are news. Several connections that fail at once are one failure.
    pub(super) fn is_news(&self, failures: u32) -> bool {
        std::mem::replace(&mut self.lock().told, failures) != failures
    }

    /// No connection that is ready for mail came about.
    pub(super) fn unreachable(&self, reason: &str, now: Moment, times: &ProbeTimes) -> Down {
        self.lock().fail(reason, now, (times, times.max))
    }

    /// A dialogue broke at a message (`None`: a client's that waits), which may be that message's fault; at several in a row it
    /// is the account's. Each of those rests by itself: who probes soon meets another.
    pub(super) fn broke(
        &self,
        message: Option<MessageId>,
        reason: &str,
        now: Moment,
        times: &ProbeTimes,
    ) -> Option<Down> {
        let mut state = self.lock();
        let is_down = state.precedents.broke(message) || state.down.is_some();
        is_down.then(|| state.fail(reason, now, (times, times.min)))
    }

    /// By what answers are judged.
    pub(super) fn with_precedents<T>(&self, f: impl FnOnce(&mut Precedents) -> T) -> T {
        f(&mut self.lock().precedents)
    }

    /// Lets the next attempt be the probe: a person wants it.
    pub(super) fn probe_now(&self, now: Moment) {
        self.lock().hurry(now);
    }

    /// The same, and what has failed until now is forgotten: a person has seen to it.
    pub(super) fn begin_again(&self, now: Moment) {
        if let Some(down) = self.lock().hurry(now) {
            (down.failures, down.disabled) = (0, false);
        }
    }

    /// It is down since its token was refused, and there was no other.
    pub(super) fn await_token(&self) {
        self.lock().awaits_token = true;
    }

    /// There is another token: lets the next attempt be the probe, if that is what it is down for. Whether it is.
    pub(super) fn token_came(&self, now: Moment) -> bool {
        let mut state = self.lock();
        std::mem::take(&mut state.awaits_token) && state.hurry(now).is_some()
    }

    /// Nothing goes by it, for this reason. Whether it would have gone before.
    pub(super) fn suspend(&self, suspension: &Suspension, now: Moment) -> bool {
        let Suspension { kind, until, login, reason, .. } = suspension;
        let (until, reason) = (*until, reason.clone());
        let mut state = self.lock();
        match kind {
            SuspensionKind::Disabled => state.disabled.replace(reason).is_none(),
            SuspensionKind::Stopped => state.stopped.replace(reason).is_none(),
            SuspensionKind::Login => {
                let failures = state.down.as_ref().map_or(1, |down| down.failures.max(1));
                state.down = Some(Down { reason, probe_at: until, failures, disabled: true, is_login: true });
                state.refused_login.replace(login.clone().unwrap_or_default()).is_none()
            }
            SuspensionKind::Paused => state.pause(until.unwrap_or(now), reason, now),
        }
    }

    /// The provider wants nothing until then. Whether it would have taken something before.
    pub(super) fn pause_until(&self, until: Moment, reason: &str, now: Moment) -> bool {
        self.lock().pause(until, reason.to_owned(), now)
    }

    /// The hash of the login that was refused, while that is what stands in the way.
    pub(super) fn refused_login(&self) -> Option<String> {
        self.lock().refused_login.clone()
    }

    /// A suspension of this kind ends. Tells why it was, if it was.
    pub(super) fn resume(&self, kind: SuspensionKind, now: Moment) -> Option<String> {
        let mut state = self.lock();
        match kind {
            SuspensionKind::Disabled => state.disabled.take(),
            SuspensionKind::Stopped => state.stopped.take(),
            // It stays down until a probe has shown that it is mended.
            SuspensionKind::Login => {
                let refused = state.refused_login.take().is_some();
                state.down.as_mut().filter(|_| refused).map(|down| {
                    down.is_login = false;
                    down.reason.clone()
                })
            }
            SuspensionKind::Paused => {
                state.paused.take().filter(|paused| paused.until > now).map(|paused| paused.reason)
            }
        }
    }

    /// What [`Condition::note_limited`] wants to be handed, read before the store is asked.
    pub(super) fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// The store has said that there is no room. Not believed when something has changed since it was asked.
    pub(super) fn note_limited(&self, wait: &Wait, changes: u64) {
        let mut state = self.lock();
        if state.changes == changes {
            state.limited = Some(wait.clone());
        }
    }

    /// A permit has ended. `freed`: it was given back, so there may be room again; else there may be a time now.
    pub(super) fn permit_ended(&self, freed: bool) {
        let mut state = self.lock();
        state.changes += 1;
        state.limited.take_if(|wait| freed || wait.until.is_none());
    }

    /// Limits have changed, or counts were forgotten.
    pub(super) fn forget_limited(&self) {
        let mut state = self.lock();
        state.changes += 1;
        state.limited = None;
    }

    /// The pace that answers have taught.
    pub(super) fn with_pace<T>(&self, f: impl FnOnce(&mut LearnedPace) -> T) -> T {
        f(&mut self.lock().pace)
    }

    /// That is forgotten. What it was, in words.
    pub(super) fn forget_pace(&self) -> Option<String> {
        self.with_pace(|pace| std::mem::take(pace).words())
    }

    fn lock(&self) -> MutexGuard<'_, ConditionState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How probes are timed, and when a person is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProbeTimes {
    min: Duration,
    max: Duration,
    /// After so many failures in a row it counts as disabled; 0 is never.
    disable_after: u32,
}

impl ProbeTimes {
    pub(super) fn new(queue: &config::Queue, disable_after: u32) -> Self {
        Self { min: PROBE_MIN.min(queue.retry_min), max: queue.retry_max.min(PROBE_MAX), disable_after }
    }
}

impl ConditionState {
    /// The next attempt is the probe, whenever it comes.
    fn hurry(&mut self, now: Moment) -> Option<&mut Down> {
        let down = self.down.as_mut()?;
        down.probe_at = Some(now);
        self.hurried = true;
        Some(down)
    }

    /// A longer pause holds, whichever came first.
    fn pause(&mut self, until: Moment, reason: String, now: Moment) -> bool {
        let is_longer = self.paused.as_ref().is_none_or(|paused| paused.until < until);
        if is_longer {
            self.paused = Some(Pause { until, reason });
        }
        is_longer && until > now
    }

    /// Probes come at growing intervals, up to `longest`.
    fn fail(&mut self, reason: &str, now: Moment, (times, longest): (&ProbeTimes, Duration)) -> Down {
        self.tried = true;
        self.awaits_token = false;
        let known = self.down.as_ref().filter(|down| down.probe_at.is_some_and(|at| now < at));
        if let Some(down) = known {
            // Several connections failed at once: that is one failure.
            return down.clone();
        }
        let before = self.down.as_ref().map_or(0, |down| down.failures);
        // Who looks whether it works again must not make it come back later.
        let failures = if std::mem::take(&mut self.hurried) { before.max(1) } else { before + 1 };
        let wait = backoff(failures, times.min, longest);
        let probe_at = Some(now.after(jitter(wait, rand::random())));
        let disabled = times.disable_after > 0 && failures >= times.disable_after;
        let is_login = self.refused_login.is_some();
        let down = Down { reason: reason.to_owned(), probe_at, failures, disabled, is_login };
        self.down = Some(down.clone());
        down
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Cause;

    const TIMES: ProbeTimes =
        ProbeTimes { min: Duration::from_secs(10), max: Duration::from_mins(15), disable_after: 0 };

    #[test]
    fn failures_at_once_are_one_and_later_ones_grow() {
        let condition = Condition::default();
        let first = condition.unreachable("refused", Moment(0), &TIMES);
        let at = first.probe_at.unwrap();
        assert!(at >= Moment(10_000) && at <= Moment(11_000), "{first:?}");
        assert_eq!(condition.unreachable("refused", Moment(5), &TIMES), first);
        assert!(condition.is_news(first.failures) && !condition.is_news(first.failures));
        let second = condition.unreachable("refused", at, &TIMES);
        assert!(second.probe_at.unwrap().since(at) >= Duration::from_secs(20));
        assert!(condition.is_news(second.failures));
        assert!(condition.answered().is_some());
        assert!(condition.answered().is_none());
        assert_eq!(condition.down(), None);
        assert!(condition.is_news(second.failures), "after it has answered all is news");
    }

    #[test]
    fn a_probe_that_a_person_wants_makes_no_pause_longer() {
        let condition = Condition::default();
        let first = condition.unreachable("refused", Moment(0), &TIMES).probe_at.unwrap();
        let second = condition.unreachable("refused", first, &TIMES);
        for n in 1..=9 {
            let now = first.after(Duration::from_secs(n));
            condition.probe_now(now);
            let down = condition.unreachable("refused", now, &TIMES);
            assert_eq!(down.failures, second.failures);
            assert!(down.probe_at.unwrap().since(now) <= Duration::from_secs(22), "{down:?}");
        }
        let now = first.after(Duration::from_secs(10));
        condition.begin_again(now);
        let down = condition.unreachable("refused", now, &TIMES);
        assert!(
            down.failures == 1 && down.probe_at.unwrap().since(now) <= Duration::from_secs(11),
            "{down:?}"
        );
    }

    #[test]
    fn one_probe_at_a_time_and_for_all_others_it_is_down() {
        let condition = Condition::default();
        assert_eq!(condition.obstacle(Moment(0)), None);
        let at = condition.unreachable("refused", Moment(0), &TIMES).probe_at.unwrap();
        assert!(matches!(condition.obstacle(Moment(1)), Some(Obstacle::Down(_))));
        assert_eq!(condition.obstacle(at), None);
        let probe = condition.probe().unwrap();
        assert!(probe.is_some());
        assert!(matches!(condition.obstacle(at), Some(Obstacle::Down(Down { probe_at: None, .. }))));
        assert!(condition.probe().is_err());
        drop(probe);
        assert_eq!(condition.obstacle(at), None, "one that taught nothing is made again");
    }

    #[test]
    fn what_is_down_by_broken_dialogues_is_probed_soon_and_again() {
        let condition = Condition::default();
        let broke = |message, now| condition.broke(Some(MessageId(message)), "lost", Moment(now), &TIMES);
        assert_eq!((broke(1, 0), broke(1, 0), broke(2, 0)), (None, None, None));
        assert_eq!(condition.answered(), None);
        assert_eq!((broke(1, 0), broke(2, 0)), (None, None), "a dialogue that ends well starts anew");
        let mut now = 0;
        for message in 3..20 {
            let at = broke(message, now).unwrap().probe_at.unwrap();
            assert!(at.0 - now <= 11_000, "message {message} is probed after {} ms", at.0 - now);
            now = at.0;
        }
    }

    #[test]
    fn an_answer_of_the_store_that_is_out_of_date_is_not_believed() {
        let condition = Condition::default();
        let wait = Wait { cause: Cause::Even, until: None };
        let asked = condition.changes();
        condition.permit_ended(false);
        condition.note_limited(&wait, asked);
        assert_eq!(condition.obstacle(Moment(0)), None);
        condition.note_limited(&wait, condition.changes());
        assert_eq!(condition.obstacle(Moment(0)), Some(Obstacle::Limited(wait)));
        condition.permit_ended(false);
        assert_eq!(condition.obstacle(Moment(0)), None);
    }
}
