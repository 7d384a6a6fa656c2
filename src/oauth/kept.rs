//! One token as its keeper knows it: when it is replaced, what a failure means, what others see of it. Does no I/O.

use std::time::Duration;

use super::endpoint::REQUEST_LIMIT;
use super::error::{TokenRemedy, TokenRequestError};
use super::token::{AccessToken, NoToken, TokenState};
use crate::config::SignIn;
use crate::time::Moment;

/// The first pause after a failure; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(3);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);
/// When an application is tried again after a refusal that a person must mend: at the provider nobody tells us that it is.
const PROBE: Duration = Duration::from_hours(1);
/// How long before its end a token is replaced at the latest.
const AHEAD: Duration = Duration::from_mins(5);
/// The part of its life after which a token is replaced, in per cent; which one is chance, so that relays do not ask together.
const REPLACED_AFTER: std::ops::Range<u32> = 70..85;

/// One token.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// With when it expires.
    token: Option<(AccessToken, Moment)>,
    /// When to ask for the next one; `None`: not until something else changes.
    due: Option<Moment>,
    /// Failures in a row.
    failures: u32,
    why: Option<NoToken>,
}

/// What to say of a failure.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failed {
    /// Whether it has not been said yet.
    pub(super) is_news: bool,
    /// What happened, what follows, what to do.
    pub(super) why: NoToken,
    /// Whether only a person can mend it.
    pub(super) needs_a_person: bool,
}

impl Kept {
    /// One that is wanted at once.
    pub(super) fn wanted(now: Moment) -> Self {
        Self { due: Some(now), ..Self::default() }
    }

    /// Begins anew; what is there stays in use unless it is another one's.
    pub(super) fn begin_anew(&mut self, now: Moment, keeps_token: bool) {
        (self.due, self.failures, self.why) = (Some(now), 0, None);
        if !keeps_token {
            self.token = None;
        }
    }

    /// When it is asked for.
    pub(super) fn due(&self) -> Option<Moment> {
        self.due
    }

    /// When something is to be done, or what others see changes by itself.
    pub(super) fn next(&self, now: Moment) -> Option<Moment> {
        let ends = self.expires().filter(|expires| self.why.is_some() && *expires > now);
        [self.due, ends].into_iter().flatten().min()
    }

    /// When the present one expires.
    pub(super) fn expires(&self) -> Option<Moment> {
        self.token.as_ref().map(|(_, expires)| *expires)
    }

    /// Another one has come.
    pub(super) fn replace(&mut self, access: AccessToken, lifetime: Duration, now: Moment) {
        self.token = Some((access, now.after(lifetime)));
        (self.due, self.failures, self.why) = (Some(now.after(life(lifetime))), 0, None);
    }

    /// Notes that somebody was refused with this token. True when another is to be asked for at once: not when it is another one
    /// by now, nor while no other was to be had a moment ago.
    ///
    /// Where it is good for somebody else it stays in use until another is there; else it is taken back.
    pub(super) fn note_refused(&mut self, refused: &AccessToken, now: Moment) -> bool {
        let Some((token, _)) = self.token.as_ref().filter(|(token, _)| token.is(refused)) else {
            return false;
        };
        if !token.is_good_for_somebody() {
            let reason = "the provider has refused the token; another is being fetched".to_owned();
            self.begin_anew(now, false);
            self.why = Some(NoToken { reason, until: Some(now.after(REQUEST_LIMIT)), action: None });
            return true;
        }
        let has_just_failed = self.failures > 0 && self.due.is_some_and(|due| due > now);
        if !has_just_failed {
            self.due = Some(now);
        }
        !has_just_failed
    }

    /// There is none, and nothing is asked for until something else changes.
    pub(super) fn give_up(&mut self, why: NoToken) {
        (self.token, self.due, self.why) = (None, None, Some(why));
    }

    /// What is asked for has to wait for something else of ours, whose next try is at `until`.
    pub(super) fn wait(&mut self, reason: &str, until: Moment) {
        self.why = Some(NoToken { reason: reason.to_owned(), until: Some(until), action: None });
    }

    /// No other one was to be had.
    pub(super) fn fail(&mut self, error: &TokenRequestError, sign_in: &SignIn, now: Moment) -> Failed {
        self.failures = self.failures.saturating_add(1);
        let (due, action, needs_a_person) = match error.remedy(sign_in) {
            TokenRemedy::Retry { after, action } => {
                (Some(now.after(pause(self.failures).max(after.unwrap_or_default()))), action, false)
            }
            TokenRemedy::Person { action } => {
                (Some(now.after(PROBE)).filter(|_| !sign_in.needs_grant()), Some(action), true)
            }
        };
        let why = NoToken { reason: error.to_string(), until: due, action };
        let is_news = self.failures == 1
            || self.why.as_ref().is_none_or(|last| last.reason != why.reason) && needs_a_person;
        if needs_a_person {
            self.token = None;
        }
        (self.due, self.why) = (due, Some(why.clone()));
        Failed { is_news, why, needs_a_person }
    }

    /// What others see.
    pub(super) fn state(&self, now: Moment) -> TokenState {
        match (&self.token, &self.why) {
            (Some((token, expires)), why) if why.is_none() || now < *expires => {
                TokenState::Ready(token.clone())
            }
            (_, Some(why)) => TokenState::Absent(why.clone()),
            (_, None) => TokenState::Absent(being_fetched(self.due)),
        }
    }
}

/// Why there is no token at the start.
pub(super) fn being_fetched(until: Option<Moment>) -> NoToken {
    NoToken { reason: "the token is being fetched".to_owned(), until, action: None }
}

/// After how much of its life a token is replaced.
fn life(lifetime: Duration) -> Duration {
    let part = lifetime * rand::random_range(REPLACED_AFTER) / 100;
    // One that lives shorter than that is replaced in the middle of its life.
    part.min(lifetime.saturating_sub(AHEAD)).max(lifetime / 2).max(Duration::from_secs(1))
}

/// The pause after so many failures in a row.
pub(super) fn pause(failures: u32) -> Duration {
    let pause = FIRST_PAUSE * 2_u32.pow(failures.saturating_sub(1).min(10));
    pause.min(LONGEST_PAUSE) * rand::random_range(75..=100) / 100
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::error::TokenRefusal;
    use crate::oauth::testing;
    use crate::oauth::token_user::TokenUser;
    use crate::web::HttpError;

    #[test]
    fn a_token_is_replaced_ahead_of_its_end() {
        for (lifetime, least, most) in
            [(3600, 2520, 3060), (1200, 840, 900), (600, 300, 300), (100, 50, 50), (0, 1, 1)]
        {
            for _ in 0..200 {
                let after = life(Duration::from_secs(lifetime)).as_secs();
                assert!((least..=most).contains(&after), "{lifetime}: {after}");
            }
        }
    }

    #[test]
    fn pauses_grow_from_few_seconds_to_ten_minutes() {
        assert!((0..100).all(|_| pause(1) <= Duration::from_secs(5)));
        let pauses: Vec<_> = (1..40).map(pause).collect();
        assert!(pauses.iter().all(|pause| *pause <= LONGEST_PAUSE) && pauses[20] >= LONGEST_PAUSE * 3 / 4);
    }

    #[test]
    fn a_failure_leaves_the_old_token_until_its_end() {
        let sign_in = testing::sign_in("device_code");
        let down =
            TokenRequestError::from(HttpError::TimedOut { host: "h".to_owned(), limit: REQUEST_LIMIT });
        let second = |seconds: u64| Moment(0).after(Duration::from_secs(seconds));
        let mut kept = Kept::wanted(second(0));
        kept.replace(AccessToken::new("hush".into()), Duration::from_hours(1), second(0));
        let first = kept.fail(&down, &sign_in, second(3000));
        assert!(first.is_news && !first.needs_a_person && first.why.until.is_some());
        assert!(!kept.fail(&down, &sign_in, second(3010)).is_news);
        assert!(matches!(kept.state(second(3599)), TokenState::Ready(_)));
        assert!(kept.next(second(3011)) <= Some(second(3600)));
        let TokenState::Absent(why) = kept.state(second(3600)) else { panic!() };
        assert!(why.until.is_some() && why.action.is_none(), "{why:?}");
        kept.replace(AccessToken::new("next".into()), Duration::from_hours(1), second(3700));
        assert!(kept.fail(&down, &sign_in, second(6000)).is_news, "another run of failures");
    }

    #[test]
    fn a_refusal_ends_it_until_a_person_has_acted() {
        let refused = TokenRequestError::from(TokenRefusal::new("invalid_grant", None));
        for (flow, is_probed) in [("device_code", false), ("client_credentials", true)] {
            let mut kept = Kept::wanted(Moment(0));
            kept.replace(AccessToken::new("hush".into()), Duration::from_hours(1), Moment(0));
            let failed = kept.fail(&refused, &testing::sign_in(flow), Moment(5));
            assert!(failed.needs_a_person && failed.why.action.is_some());
            let TokenState::Absent(why) = kept.state(Moment(5)) else { panic!() };
            assert_eq!((why.until.is_some(), kept.due().is_some()), (is_probed, is_probed));
            kept.begin_anew(Moment(9), true);
            assert_eq!(kept.due(), Some(Moment(9)));
        }
    }

    #[test]
    fn a_token_is_taken_back_once() {
        let mut kept = Kept::wanted(Moment(0));
        let (token, other) = (AccessToken::new("one".into()), AccessToken::new("two".into()));
        kept.replace(token.clone(), Duration::from_hours(1), Moment(0));
        assert!(!kept.note_refused(&other, Moment(1)));
        assert!(kept.note_refused(&token, Moment(1)));
        assert!(!kept.note_refused(&token, Moment(1)), "nobody asks for it twice");
        assert!(matches!(kept.state(Moment(1)), TokenState::Absent(_)));
    }

    #[test]
    fn a_token_that_is_good_for_others_stays_until_another_is_there() {
        let down =
            TokenRequestError::from(HttpError::TimedOut { host: "h".to_owned(), limit: REQUEST_LIMIT });
        let mut kept = Kept::wanted(Moment(0));
        let (token, well, barred) =
            (AccessToken::new("one".into()), TokenUser::default(), TokenUser::default());
        kept.replace(token.clone(), Duration::from_hours(1), Moment(0));
        well.note_accepted(&token);
        barred.note_refused(&token);
        assert!(kept.note_refused(&token, Moment(1)));
        assert!(matches!(kept.state(Moment(1)), TokenState::Ready(_)));
        assert_eq!(kept.due(), Some(Moment(1)));
        let failed = kept.fail(&down, &testing::sign_in("client_credentials"), Moment(1));
        assert!(!kept.note_refused(&token, Moment(2)), "the provider has just failed");
        assert!(matches!(kept.state(Moment(2)), TokenState::Ready(_)));
        assert!(kept.note_refused(&token, failed.why.until.unwrap()));
        well.note_refused(&token);
        assert!(kept.note_refused(&token, Moment(3)), "it is good for nobody any more");
        assert!(matches!(kept.state(Moment(3)), TokenState::Absent(_)));
    }
}
