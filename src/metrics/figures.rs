//! What is counted while mail goes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::counter::Counter;
use super::exposition::Exposition;
use super::families::{
    DELAY, DUPLICATES, FAILURES, LOGIN_FAILURES, PHASE, RECIPIENTS, REJECTIONS, SESSIONS, SESSIONS_BEGUN,
};
use super::histogram::Histogram;
use super::outcome::{CountedLogin, CountedOutcome, FailureClass, TimedPhase};

/// Seconds from the acceptance to a delivery.
const DELAYS: &[f64] = &[
    0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 43_200.0, 86_400.0, 172_800.0, 432_000.0,
];
/// Seconds of a phase; mail may wait long for limits.
const PHASES: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0];
/// What can be said of a failure.
const FAILED: [CountedOutcome; 3] =
    [CountedOutcome::Deferred, CountedOutcome::Bounced, CountedOutcome::Expired];

/// All that is counted since the process began. What is of an upstream or a login that the configuration does not name, any more or
/// at all, is counted without their names.
#[derive(Debug, Default)]
pub struct Metrics {
    known: ArcSwap<KnownUpstreams>,
    unknown: Arc<LoginCounts>,
    /// By the word of the log.
    rejections: Mutex<BTreeMap<&'static str, u64>>,
    login_failures: Counter,
    sessions_begun: Counter,
    sessions_ended: Counter,
}

/// A session that is counted as open until this is dropped.
#[derive(Debug)]
pub struct CountedSession(Arc<Metrics>);

/// Those of the configuration, by name.
type KnownUpstreams = BTreeMap<Box<str>, UpstreamFigures>;

/// What is counted of an upstream.
#[derive(Debug, Clone, Default)]
struct UpstreamFigures {
    /// By account; the empty name is there from the start, for what is of none in particular.
    logins: BTreeMap<Box<str>, Arc<LoginCounts>>,
    times: Arc<UpstreamTimes>,
}

#[derive(Debug)]
struct UpstreamTimes {
    delay: Histogram,
    phases: [Histogram; TimedPhase::ALL.len()],
}

#[derive(Debug, Default)]
struct LoginCounts {
    outcomes: [Counter; CountedOutcome::ALL.len()],
    failures: [[Counter; FailureClass::ALL.len()]; FAILED.len()],
    duplicates: Counter,
}

impl Default for UpstreamTimes {
    fn default() -> Self {
        Self { delay: Histogram::new(DELAYS), phases: [(); 3].map(|()| Histogram::new(PHASES)) }
    }
}

impl Metrics {
    /// From now on these are known. What was counted of others is forgotten, and what comes of them yet is counted without their
    /// names.
    pub fn configure<'a>(&self, logins: impl Iterator<Item = CountedLogin<'a>>) {
        let before = self.known.load();
        let mut known = KnownUpstreams::new();
        for CountedLogin { upstream, account } in logins {
            let old = before.get(upstream);
            let figures = known.entry(upstream.into()).or_insert_with(|| {
                let mut figures = UpstreamFigures::default();
                if let Some(old) = old {
                    figures.times = old.times.clone();
                }
                figures.keep(old, "");
                figures
            });
            figures.keep(old, account);
        }
        self.known.store(Arc::new(known));
    }

    /// Something became of so many recipients.
    pub fn count(&self, outcome: CountedOutcome, login: CountedLogin<'_>, recipients: u64) {
        if recipients > 0 {
            self.with(login, |counts| counts.outcomes[outcome as usize].add(recipients));
        }
    }

    /// A recipient was not delivered to, for this reason. For outcomes that are failures alone.
    pub fn failed(&self, outcome: CountedOutcome, class: FailureClass, login: CountedLogin<'_>) {
        if let Some(place) = FAILED.iter().position(|failed| *failed == outcome) {
            self.with(login, |counts| counts.failures[place][class as usize].add(1));
        }
    }

    /// An upstream may have taken mail for a recipient without our knowing, so that it may come twice.
    pub fn possible_duplicate(&self, login: CountedLogin<'_>) {
        self.with(login, |counts| counts.duplicates.add(1));
    }

    /// So many recipients were delivered to, so long after the acceptance.
    pub fn delivered_after(&self, upstream: &str, delay: Duration, recipients: u64) {
        self.with_times(upstream, |times| times.delay.observe(delay.as_secs_f64(), recipients));
    }

    /// A phase took so long.
    pub fn took(&self, phase: TimedPhase, upstream: &str, time: Duration) {
        self.with_times(upstream, |times| times.phases[phase as usize].took(time));
    }

    /// A recipient or a message was refused while its client waited; `reason` is the word of the log.
    pub fn rejected(&self, reason: &'static str) {
        *self.rejections().entry(reason).or_default() += 1;
        self.count(CountedOutcome::Rejected, CountedLogin::NONE, 1);
    }

    /// A client could not log in.
    pub fn login_failed(&self) {
        self.login_failures.add(1);
    }

    /// A session begins.
    #[must_use]
    pub fn session_begins(self: &Arc<Self>) -> CountedSession {
        self.sessions_begun.add(1);
        CountedSession(self.clone())
    }

    /// Writes all of it.
    pub fn write(&self, text: &mut Exposition) {
        let known = self.known.load();
        self.write_logins(text, &known);
        let mut delays = text.begin(&DELAY);
        for (upstream, figures) in &**known {
            delays.histogram(&[upstream], &figures.times.delay);
        }
        let mut phases = text.begin(&PHASE);
        for (upstream, figures) in &**known {
            for phase in TimedPhase::ALL {
                phases.histogram(&[phase.name(), upstream], &figures.times.phases[phase as usize]);
            }
        }
        let mut rejections = text.begin(&REJECTIONS);
        for (reason, count) in &*self.rejections() {
            rejections.put(&[reason], *count);
        }
        text.begin(&LOGIN_FAILURES).put(&[], self.login_failures.get());
        // What has ended was read first: no more have ended than have begun.
        let (ended, begun) = (self.sessions_ended.get(), self.sessions_begun.get());
        text.begin(&SESSIONS).put(&[], begun.saturating_sub(ended));
        text.begin(&SESSIONS_BEGUN).put(&[], begun);
    }

    /// What is counted by login.
    fn write_logins(&self, text: &mut Exposition, known: &KnownUpstreams) {
        let named = known.iter().flat_map(|(upstream, figures)| {
            figures.logins.iter().map(move |(account, counts)| ([&**upstream, &**account], &**counts))
        });
        let all: Vec<([&str; 2], &LoginCounts)> =
            std::iter::once(([""; 2], &*self.unknown)).chain(named).collect();
        let mut recipients = text.begin(&RECIPIENTS);
        for ([upstream, account], counts) in &all {
            for outcome in CountedOutcome::ALL {
                let count = counts.outcomes[outcome as usize].get();
                if count > 0 || outcome.is_shown_at_once(CountedLogin { upstream, account }) {
                    recipients.put(&[outcome.name(), upstream, account], count);
                }
            }
        }
        let mut failures = text.begin(&FAILURES);
        for ([upstream, account], counts) in &all {
            for (outcome, classes) in FAILED.iter().zip(&counts.failures) {
                for (class, count) in
                    FailureClass::ALL.iter().zip(classes).filter(|(_, count)| count.get() > 0)
                {
                    failures.put(&[outcome.name(), upstream, account, class.name()], count.get());
                }
            }
        }
        let mut duplicates = text.begin(&DUPLICATES);
        for ([upstream, account], counts) in all.iter().filter(|([upstream, _], _)| !upstream.is_empty()) {
            duplicates.put(&[upstream, account], counts.duplicates.get());
        }
    }

    fn with(&self, login: CountedLogin<'_>, count: impl FnOnce(&LoginCounts)) {
        let known = self.known.load();
        let found = known.get(login.upstream).and_then(|figures| figures.logins.get(login.account));
        count(found.unwrap_or(&self.unknown));
    }

    fn with_times(&self, upstream: &str, note: impl FnOnce(&UpstreamTimes)) {
        if let Some(figures) = self.known.load().get(upstream) {
            note(&figures.times);
        }
    }

    fn rejections(&self) -> MutexGuard<'_, BTreeMap<&'static str, u64>> {
        self.rejections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UpstreamFigures {
    /// An account is known, with what was counted of it before.
    fn keep(&mut self, before: Option<&Self>, account: &str) {
        let counts = before.and_then(|before| before.logins.get(account)).cloned();
        self.logins.entry(account.into()).or_insert_with(|| counts.unwrap_or_default());
    }
}

impl Drop for CountedSession {
    fn drop(&mut self) {
        self.0.sessions_ended.add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::super::exposition::TextFormat;
    use super::*;

    const A: CountedLogin<'_> = CountedLogin { upstream: "a", account: "x@a.example" };

    fn text(metrics: &Metrics) -> String {
        let mut text = Exposition::new(TextFormat::Prometheus);
        metrics.write(&mut text);
        text.end()
    }

    fn has(metrics: &Metrics, line: &str) -> bool {
        text(metrics).lines().any(|found| found == line)
    }

    #[test]
    fn counts_by_login() {
        let metrics = Metrics::default();
        metrics.configure([A, CountedLogin::of_upstream("b")].into_iter());
        metrics.count(CountedOutcome::Sent, A, 2);
        metrics.count(CountedOutcome::Accepted, CountedLogin::of_upstream("a"), 3);
        metrics.count(CountedOutcome::Bounced, A, 1);
        metrics.failed(CountedOutcome::Bounced, FailureClass::Address, A);
        metrics.failed(CountedOutcome::Sent, FailureClass::Address, A);
        metrics.delivered_after("a", Duration::from_secs(2), 2);
        metrics.took(TimedPhase::Connect, "b", Duration::from_millis(20));
        for line in [
            r#"mailsluice_recipients_total{outcome="sent",upstream="a",account="x@a.example"} 2"#,
            r#"mailsluice_recipients_total{outcome="accepted",upstream="a",account=""} 3"#,
            r#"mailsluice_recipients_total{outcome="deferred",upstream="b",account=""} 0"#,
            r#"mailsluice_failures_total{outcome="bounced",upstream="a",account="x@a.example",class="address"} 1"#,
            r#"mailsluice_delivery_delay_seconds_count{upstream="a"} 2"#,
            r#"mailsluice_phase_seconds_bucket{phase="connect",upstream="b",le="0.025"} 1"#,
        ] {
            assert!(has(&metrics, line), "{line}\n{}", text(&metrics));
        }
        assert_eq!(text(&metrics).matches("mailsluice_failures_total{").count(), 1);
    }

    #[test]
    fn a_reload_keeps_what_stays_and_nothing_else() {
        let metrics = Metrics::default();
        let gone = CountedLogin { upstream: "gone", account: "g" };
        metrics.configure([A, gone].into_iter());
        metrics.count(CountedOutcome::Sent, A, 1);
        metrics.count(CountedOutcome::Sent, gone, 1);
        metrics.delivered_after("a", Duration::ZERO, 1);
        metrics.configure([A].into_iter());
        // An attempt by the old configuration ends.
        metrics.count(CountedOutcome::Sent, gone, 5);
        metrics.delivered_after("gone", Duration::ZERO, 5);
        assert!(!text(&metrics).contains("gone"), "{}", text(&metrics));
        for line in [
            r#"mailsluice_recipients_total{outcome="sent",upstream="a",account="x@a.example"} 1"#,
            r#"mailsluice_recipients_total{outcome="sent",upstream="",account=""} 5"#,
            r#"mailsluice_delivery_delay_seconds_count{upstream="a"} 1"#,
        ] {
            assert!(has(&metrics, line), "{line}\n{}", text(&metrics));
        }
        for reload in 0..100 {
            let name = format!("u{reload}");
            metrics.configure(std::iter::once(CountedLogin::of_upstream(&name)));
            metrics.count(CountedOutcome::Sent, CountedLogin::of_upstream(&name), 1);
        }
        assert!(text(&metrics).lines().count() < 150, "{}", text(&metrics));
    }

    #[test]
    fn refusals_and_sessions() {
        let metrics = Arc::new(Metrics::default());
        metrics.rejected("relay");
        metrics.rejected("relay");
        metrics.rejected("size");
        let first = metrics.session_begins();
        let _second = metrics.session_begins();
        drop(first);
        for line in [
            r#"mailsluice_rejections_total{reason="relay"} 2"#,
            r#"mailsluice_recipients_total{outcome="rejected",upstream="",account=""} 3"#,
            "mailsluice_sessions 1",
            "mailsluice_sessions_begun_total 2",
        ] {
            assert!(has(&metrics, line), "{line}\n{}", text(&metrics));
        }
    }
}
