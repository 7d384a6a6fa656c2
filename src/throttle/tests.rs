use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::config::{Batch, Pace, Quota};
use crate::time::SystemClock;

fn limits(window: Window, messages: Option<u32>, recipients: Option<u32>) -> Limits {
    let mut limits = Limits { connections: 3, ..Limits::default() };
    limits.quotas[window as usize] = Quota { messages, recipients };
    limits
}

fn unlimited() -> Limits {
    Limits { connections: u32::MAX, ..Limits::default() }
}

fn with_shared(shared: Limits, accounts: &[(&str, Limits)]) -> Arc<Throttle> {
    let throttle = Arc::new(Throttle::new(Timeline::resume(Arc::new(SystemClock), None)));
    configure(&throttle, shared, accounts);
    throttle
}

fn configure(throttle: &Throttle, shared: Limits, accounts: &[(&str, Limits)]) {
    let accounts = accounts.iter().map(|(name, limits)| ((*name).to_owned(), limits.clone())).collect();
    throttle.configure(TimeZone::UTC, &[UpstreamLimits { upstream: "u".into(), shared, accounts }]);
}

fn throttle(limits: Limits) -> Arc<Throttle> {
    with_shared(unlimited(), &[("a", limits)])
}

/// What may go now: messages and recipients.
fn room(throttle: &Arc<Throttle>, account: &str, needed: u32, now: Moment) -> Result<(u32, u32), Wait> {
    let reserved = throttle.reserve(("u", account), (u32::MAX, 1000, needed), now)?;
    Ok((reserved.messages(), reserved.recipients()))
}

/// Begins one transaction; false when it may not.
fn begin(throttle: &Arc<Throttle>, account: &str, recipients: u32, now: Moment) -> bool {
    let reserved = throttle.reserve(("u", account), (1, recipients, recipients), now);
    reserved.map(|mut reserved| reserved.begin(recipients, now)).is_ok()
}

fn end(throttle: &Throttle, account: &str, recipients: u32, at: i64) {
    throttle.end("u", account, recipients, Some((1, recipients, Moment(at))));
}

#[test]
fn a_permit_leaves_its_length_after_the_end_and_not_much_later() {
    let throttle = throttle(limits(Window::Minute, Some(2), None));
    assert!(begin(&throttle, "a", 1, Moment(1_000_000)));
    assert_eq!(room(&throttle, "a", 1, Moment(1_000_000)).unwrap().0, 1);
    assert!(begin(&throttle, "a", 1, Moment(1_000_000)));
    let wait = |at: i64| room(&throttle, "a", 1, Moment(at)).err();
    assert_eq!(wait(9_000_000).map(|w| w.until), Some(None), "both are under way: only their end helps");
    end(&throttle, "a", 1, 1_030_000);
    end(&throttle, "a", 1, 1_045_000);
    let until = wait(1_046_000).and_then(|w| w.until).unwrap();
    assert!(until > Moment(1_090_000) && until <= Moment(1_090_100), "{until:?}");
    assert!(wait(until.0 - 1).is_some());
    assert!(wait(until.0).is_none());
}

#[test]
fn what_is_reserved_is_nobody_elses() {
    let throttle = throttle(limits(Window::Minute, Some(3), Some(10)));
    let now = Moment(0);
    let mut first = throttle.reserve(("u", "a"), (2, 4, 1), now).unwrap();
    assert_eq!((first.messages(), first.recipients()), (2, 8));
    assert_eq!(room(&throttle, "a", 1, now), Ok((1, 2)));
    let wait = room(&throttle, "a", 3, now).unwrap_err();
    assert_eq!(wait, Wait { cause: Cause::Reserved, until: None }, "no limit is reached");
    first.begin(3, now);
    drop(first);
    assert_eq!(room(&throttle, "a", 1, now), Ok((2, 7)), "only what was begun is kept");
    throttle.end("u", "a", 3, None);
    assert_eq!(room(&throttle, "a", 1, now), Ok((3, 10)), "what the provider does not count is given back");
}

#[test]
fn the_smallest_window_wins_and_the_longest_wait_is_told() {
    let mut both = limits(Window::Minute, Some(3), None);
    both.quotas[Window::Day as usize] = Quota { messages: None, recipients: Some(10) };
    let throttle = throttle(both);
    assert!(begin(&throttle, "a", 9, Moment(0)));
    end(&throttle, "a", 9, 0);
    assert_eq!(room(&throttle, "a", 1, Moment(1)), Ok((2, 1)));
    let wait = room(&throttle, "a", 2, Moment(1)).unwrap_err();
    assert_eq!(wait, Wait { cause: Cause::Window(Window::Day), until: Some(Window::Day.leaves(0)) });
    assert_eq!(throttle.wait_for("u", "a", 2, Moment(1)), Some(wait));
}

#[test]
fn accounts_count_by_themselves_and_together() {
    let own = limits(Window::Minute, Some(3), None);
    let throttle = with_shared(limits(Window::Minute, Some(5), None), &[("a", own.clone()), ("b", own)]);
    for n in 0..3 {
        assert!(begin(&throttle, "a", 1, Moment(n)));
        end(&throttle, "a", 1, n);
    }
    assert_eq!(room(&throttle, "a", 1, Moment(9)).unwrap_err().cause, Cause::Window(Window::Minute));
    assert_eq!(room(&throttle, "b", 1, Moment(9)).unwrap().0, 2);
    for n in 0..2 {
        assert!(begin(&throttle, "b", 1, Moment(n)));
        end(&throttle, "b", 1, n);
    }
    assert_eq!(room(&throttle, "b", 1, Moment(9)).unwrap_err().cause, Cause::Shared(Window::Minute));
    let names: Vec<_> = throttle.show(Moment(9)).into_iter().map(|line| line.account).collect();
    assert_eq!(names.iter().filter(|name| *name == SHARED).count(), 4, "{names:?}");
}

#[test]
fn connections_are_counted_over_all_accounts_and_given_back() {
    let shared = Limits { connections: 4, ..Limits::default() };
    let own = limits(Window::Minute, None, None);
    let throttle = with_shared(shared, &[("a", own.clone()), ("b", own)]);
    let open: Vec<_> = (0..3).map(|_| throttle.connect("u", "a").unwrap()).collect();
    assert!(throttle.connect("u", "a").is_none());
    let _fourth = throttle.connect("u", "b").unwrap();
    assert!(throttle.connect("u", "b").is_none());
    assert_eq!(throttle.free_connections("u", "b"), (2, 0));
    drop(open);
    assert_eq!(throttle.free_connections("u", "a"), (3, 3));
    throttle.slow_down("u", "b", Slowdown::Connections, Moment(0));
    assert_eq!(throttle.free_connections("u", "b").0, 0, "one is open, and more are not wanted");
}

#[test]
fn counts_come_back_from_rows_and_can_be_reset() {
    let throttle = throttle(limits(Window::Day, Some(10), Some(20)));
    throttle.restore(&[UsageRow {
        upstream: "u".into(),
        account: "a".into(),
        window: Window::Day,
        slot: 5,
        messages: 10,
        recipients: 12,
    }]);
    let day = |t: &Throttle| t.show(Moment(1_000_000)).into_iter().find(|l| l.window == Window::Day).unwrap();
    let line = day(&throttle);
    assert_eq!((line.messages_used, line.recipients_used), (10, 12));
    assert_eq!(line.next_free, Some(Window::Day.leaves(5)));
    throttle.reset("u", &[Window::Day]);
    assert_eq!(day(&throttle).messages_used, 0);
    assert_eq!(day(&throttle).next_free, None);
}

#[test]
fn a_pause_by_the_providers_word_holds_until_its_end() {
    let own = limits(Window::Minute, None, None);
    let throttle = with_shared(unlimited(), &[("a", own.clone()), ("b", own)]);
    throttle.pause("u", Some("a"), Moment(5_000), "quota");
    throttle.pause("u", Some("a"), Moment(3_000), "shorter");
    let wait = room(&throttle, "a", 1, Moment(4_999)).unwrap_err();
    assert_eq!(wait, Wait { cause: Cause::Provider("quota".into()), until: Some(Moment(5_000)) });
    assert!(room(&throttle, "b", 1, Moment(4_999)).is_ok());
    assert!(room(&throttle, "a", 1, Moment(5_000)).is_ok());
    throttle.pause("u", None, Moment(9_000), "tenant");
    assert_eq!(room(&throttle, "b", 1, Moment(6_000)).unwrap_err().until, Some(Moment(9_000)));
}

#[test]
fn an_even_pace_spreads_the_permits() {
    let throttle = throttle(Limits { pace: Pace::Even, ..limits(Window::Minute, Some(30), None) });
    let (mut now, mut sent) = (Moment(0), vec![]);
    while sent.len() < 40 {
        match room(&throttle, "a", 1, now) {
            Ok((messages, _)) => {
                assert_eq!(messages, 1);
                assert!(begin(&throttle, "a", 1, now));
                end(&throttle, "a", 1, now.0);
                sent.push(now.0);
            }
            Err(wait) => now = wait.until.unwrap(),
        }
    }
    assert!(sent.windows(2).all(|pair| pair[1] - pair[0] >= 2_000), "{sent:?}");
    assert!(sent[39] <= 39 * 2_000 + 200, "{sent:?}");
}

#[test]
fn a_batch_is_followed_by_its_pause() {
    let batch = Some(Batch { messages: 3, pause: std::time::Duration::from_secs(2) });
    let throttle = throttle(Limits { batch, ..limits(Window::Minute, None, None) });
    for n in 0..3 {
        assert_eq!(room(&throttle, "a", 1, Moment(n)).unwrap().0, 3 - n as u32);
        assert!(begin(&throttle, "a", 1, Moment(n)));
    }
    let wait = |at| room(&throttle, "a", 1, Moment(at)).err();
    assert_eq!(wait(10), Some(Wait { cause: Cause::Batch, until: None }), "they must end first");
    for _ in 0..3 {
        end(&throttle, "a", 1, 500);
    }
    assert_eq!(wait(600), Some(Wait { cause: Cause::Batch, until: Some(Moment(2_500)) }));
    assert_eq!(room(&throttle, "a", 1, Moment(2_500)).unwrap().0, 3);
    assert!(begin(&throttle, "a", 1, Moment(2_500)));
    end(&throttle, "a", 1, 2_500);
    assert_eq!(room(&throttle, "a", 1, Moment(9_000)).unwrap().0, 3, "a pause of its own is as good");
}

#[test]
fn what_was_learned_is_a_limit_and_says_so() {
    let throttle = throttle(limits(Window::Minute, Some(30), None));
    for n in 0..20 {
        assert!(begin(&throttle, "a", 1, Moment(n)));
        end(&throttle, "a", 1, n);
        throttle.delivered("u", "a", Moment(n));
    }
    let new = throttle.slow_down("u", "a", Slowdown::Rate, Moment(30));
    assert_eq!(new.as_deref(), Some("20 messages a minute"));
    let wait = room(&throttle, "a", 1, Moment(40)).unwrap_err();
    assert_eq!((wait.cause, wait.until), (Cause::Slowed, Some(Window::Minute.leaves(0))));
    throttle.reset("u", &[Window::Minute]);
    assert_eq!(room(&throttle, "a", 1, Moment(50)).unwrap().0, 30);
}

#[test]
fn a_forecast_is_what_the_limits_allow() {
    let own = limits(Window::Minute, Some(30), None);
    let throttle = with_shared(unlimited(), &[("a", own.clone()), ("b", own)]);
    for _ in 0..30 {
        assert!(begin(&throttle, "a", 1, Moment(1_000_000)));
        end(&throttle, "a", 1, 1_000_000);
    }
    let now = Moment(1_000_000);
    let when = |accounts: &[&str], n| throttle.forecast("u", accounts, now).when(n, n).unwrap().0 - now.0;
    assert_eq!(when(&["b"], 30), 0);
    let close = |got: i64, want: i64| assert!((got - want).abs() <= 1_000, "{got} {want}");
    close(when(&["a"], 1), 60_000);
    close(when(&["a"], 31), 120_000);
    close(when(&["b"], 31), 60_000);
    close(when(&["b"], 10_000), 333 * 60_000);
    close(when(&["a", "b"], 91), 120_000);
    throttle.pause("u", Some("b"), Moment(now.0 + 3_600_000), "quota");
    close(when(&["b"], 1), 3_600_000);
    assert_eq!(throttle.forecast("u", &["a"], now).when(u64::MAX, u64::MAX), None);
}

/// Not a check: it measures. `cargo test --lib -- --ignored --nocapture what_a_permit_costs`
#[test]
#[ignore = "it measures"]
fn what_a_permit_costs() {
    const ACCOUNTS: usize = 100;
    const PERMITS: u32 = 20_000;
    let cpu = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        std::time::Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let names: Vec<String> = (0..ACCOUNTS).map(|n| format!("mailer{n}@firm.example")).collect();
    for (case, per_minute, pause) in [
        ("all have room", 1_000_000, 1),
        ("all are used up at once", 30, 1),
        ("one after the other is used up", 30, 18),
    ] {
        let mut own = limits(Window::Minute, Some(per_minute), None);
        own.quotas[Window::Day as usize].recipients = Some(10_000_000);
        let accounts: Vec<_> = names.iter().map(|name| (name.as_str(), own.clone())).collect();
        let throttle = with_shared(unlimited(), &accounts);
        let (mut next, mut asked, mut now) = (0, 0, Moment(1_795_000_000_000));
        // As a lane chooses: the next in turn that can send; when there is none, it waits for the first.
        let mut turn = |asked: &mut u32, now: &mut Moment| loop {
            let mut wait = None;
            for _ in 0..ACCOUNTS {
                let name = &names[next % ACCOUNTS];
                (next, *asked) = (next + 1, *asked + 1);
                match throttle.reserve(("u", name), (1, 1, 1), *now) {
                    Ok(kept) => return (name, kept),
                    Err(other) => wait = Some(Wait::sooner(wait.take(), other)),
                }
            }
            *now = wait.unwrap().until.unwrap();
        };
        let begun = cpu();
        for _ in 0..PERMITS {
            let (name, mut kept) = turn(&mut asked, &mut now);
            kept.begin(1, now);
            drop(kept);
            throttle.end("u", name, 1, Some((1, 1, now)));
            now.0 += pause;
        }
        let each = cpu().saturating_sub(begun) / PERMITS;
        println!(
            "{case}: {each:?} for a permit, {:.1} accounts asked",
            f64::from(asked) / f64::from(PERMITS)
        );
    }
}

/// What the provider would say: more than `limit` events in some window of `length`.
fn overrun(events: &[(i64, i64)], length: i64, limit: usize) -> bool {
    // An event may be counted at its start or at its end: the worst of both must fit.
    let mut times: Vec<i64> = events.iter().flat_map(|&(start, end)| [start, end]).collect();
    times.sort_unstable();
    times
        .iter()
        .any(|&t| events.iter().filter(|&&(start, end)| end >= t && start < t + length).count() > limit)
}

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A worker asks for room for so many, and gets the store's answer only after the next step.
    Reserve { account: usize, messages: u32 },
    /// The oldest reservation begins so many transactions, which take so long.
    Begin { messages: u32, takes: i64 },
    /// Time passes.
    Pass(i64),
    /// The process is killed and started anew.
    Crash,
    /// The limits are read again, with others.
    Reload { limit: u32 },
    /// A person forgets what was counted.
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_usize..2, 1_u32..5).prop_map(|(account, messages)| Step::Reserve { account, messages }),
        4 => (1_u32..5, 0_i64..30_000).prop_map(|(messages, takes)| Step::Begin { messages, takes }),
        4 => (0_i64..20_000).prop_map(Step::Pass),
        1 => Just(Step::Crash),
        1 => (1_u32..8).prop_map(|limit| Step::Reload { limit }),
        1 => Just(Step::Reset),
    ]
}

/// A world in which permits are taken as the lanes take them, and everything is written down as the store does.
struct Model {
    throttle: Arc<Throttle>,
    limit: u32,
    rows: Vec<UsageRow>,
    reserved: std::collections::VecDeque<(usize, Reservation)>,
    /// Account, start, end.
    running: Vec<(usize, i64, i64)>,
    /// By account: start, end, and the limit in force.
    done: Vec<(usize, i64, i64)>,
    now: i64,
}

const ACCOUNTS: [&str; 2] = ["a", "b"];

impl Model {
    fn new(limit: u32) -> Self {
        Self {
            throttle: Self::throttle(limit),
            limit,
            rows: vec![],
            reserved: std::collections::VecDeque::new(),
            running: vec![],
            done: vec![],
            now: 1_000_000,
        }
    }

    fn throttle(limit: u32) -> Arc<Throttle> {
        let own = limits(Window::Minute, Some(limit), None);
        with_shared(limits(Window::Minute, Some(limit + 2), None), &[("a", own.clone()), ("b", own)])
    }

    fn ended(&mut self, (account, start, end): (usize, i64, i64), in_memory: bool) {
        self.rows.push(UsageRow {
            upstream: "u".into(),
            account: ACCOUNTS[account].into(),
            window: Window::Minute,
            slot: Window::Minute.slot(Moment(end)),
            messages: 1,
            recipients: 1,
        });
        if in_memory {
            self.throttle.end("u", ACCOUNTS[account], 1, Some((1, 1, Moment(end))));
        }
        self.done.push((account, start, end));
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Reserve { account, messages } => {
                let kept =
                    self.throttle.reserve(("u", ACCOUNTS[account]), (messages, 1, 1), Moment(self.now));
                self.reserved.extend(kept.ok().map(|kept| (account, kept)));
            }
            Step::Begin { messages, takes } => {
                if let Some((account, mut kept)) = self.reserved.pop_front() {
                    for _ in 0..messages.min(kept.messages()) {
                        kept.begin(1, Moment(self.now));
                        self.running.push((account, self.now, self.now + takes));
                    }
                }
            }
            Step::Pass(pause) => {
                self.now += pause;
                let now = self.now;
                for running in self.running.extract_if(.., |(.., end)| *end <= now).collect::<Vec<_>>() {
                    self.ended(running, true);
                }
            }
            Step::Crash => {
                // Reservations are in memory alone; what was under way counts as ended now.
                self.reserved.clear();
                let now = self.now;
                for (account, start, _) in std::mem::take(&mut self.running) {
                    self.ended((account, start, now), false);
                }
                self.throttle = Self::throttle(self.limit);
                self.throttle.restore(&self.rows);
            }
            Step::Reset => {
                // What is under way still counts when it ends.
                self.throttle.reset("u", &Window::ALL);
                self.rows.clear();
                self.done.clear();
            }
            Step::Reload { limit } => {
                // A lower limit holds at once for what is to come; here it only falls, so that the check is simple.
                self.limit = self.limit.min(limit);
                let own = limits(Window::Minute, Some(self.limit), None);
                let shared = limits(Window::Minute, Some(self.limit + 2), None);
                configure(&self.throttle, shared, &[("a", own.clone()), ("b", own)]);
            }
        }
    }
}

proptest! {
    /// However long transactions take, whoever asks first, and whenever the process restarts, no window is overrun:
    /// neither an account's nor that of all together.
    #[test]
    fn no_window_is_ever_overrun(limit in 1_u32..8, steps in prop::collection::vec(step(), 1..200)) {
        let mut model = Model::new(limit);
        for step in steps {
            // What is begun under one limit is not held against a lower one.
            let (before, held) = (model.limit, model.done.len() + model.running.len());
            model.step(step);
            let all: Vec<_> = model.done.iter().chain(&model.running).map(|&(_, start, end)| (start, end)).collect();
            if model.limit == limit {
                prop_assert!(!overrun(&all, 60_000, limit as usize + 2));
            }
            if model.limit < before {
                prop_assert_eq!(all.len(), held, "a reload begins nothing");
            }
        }
        for account in 0..2 {
            let own: Vec<_> = model.done.iter().chain(&model.running).filter(|e| e.0 == account).map(|e| (e.1, e.2)).collect();
            prop_assert!(!overrun(&own, 60_000, limit as usize));
        }
    }

    /// After a limit was lowered, nothing begins until the lower one has room.
    #[test]
    fn a_lower_limit_holds_from_its_reload_on(
        limit in 2_u32..8, lower in 1_u32..8, sent in 0_usize..10, later in 0_i64..120_000,
    ) {
        let mut model = Model::new(limit);
        for _ in 0..sent {
            model.step(Step::Reserve { account: 0, messages: 1 });
            model.step(Step::Begin { messages: 1, takes: 0 });
            model.step(Step::Pass(1));
        }
        model.step(Step::Reload { limit: lower });
        model.step(Step::Pass(later));
        let in_window = model.done.iter().filter(|(.., end)| model.now - end < 60_000).count();
        let began = begin(&model.throttle, "a", 1, Moment(model.now));
        prop_assert!(!began || in_window < model.limit as usize, "{} in the window", in_window);
    }
}

#[test]
fn recipients_join_a_transaction_that_is_under_way() {
    let mut own = limits(Window::Minute, Some(1), Some(3));
    own.quotas[Window::Hour as usize] = Quota { messages: None, recipients: Some(4) };
    let shared = Limits { connections: 9, ..limits(Window::Day, None, Some(5)) };
    let throttle = with_shared(shared, &[("a", own), ("b", unlimited())]);
    let now = Moment(1_000_000);
    assert!(begin(&throttle, "a", 1, now));
    let extend = |account, taken| throttle.extend(("u", account), (taken, 1), now);
    assert!(extend("a", 1).is_ok(), "that its message fills a window is not in the way");
    assert!(extend("a", 2).is_ok());
    assert_eq!(extend("a", 3).map_err(|w| w.cause), Err(Cause::Window(Window::Minute)));
    assert!(begin(&throttle, "b", 1, now) && extend("b", 1).is_ok());
    assert_eq!(extend("b", 2).map_err(|w| w.cause), Err(Cause::Shared(Window::Day)));
    // What was refused does not count, and what ended does.
    end(&throttle, "a", 3, 1_000_000);
    end(&throttle, "b", 2, 1_000_000);
    let used = throttle.show(now).into_iter().find(|line| line.account == "a" && line.window == Window::Hour);
    assert_eq!(used.map(|line| line.recipients_used), Some(3));
    assert_eq!(room(&throttle, "b", 1, now).map_err(|w| w.cause), Err(Cause::Shared(Window::Day)));
}
