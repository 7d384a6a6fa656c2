use proptest::prelude::*;

use super::*;
use crate::config::{Pace, Quota};

fn limits(window: Window, messages: Option<u32>, recipients: Option<u32>) -> Limits {
    let mut limits = Limits::default();
    limits.quotas[window as usize] = Quota { messages, recipients };
    limits
}

fn throttle(limits: Limits) -> Throttle {
    let throttle = Throttle::default();
    throttle.set_limits("u", "a", limits);
    throttle
}

/// One transaction with one recipient that starts and ends at once.
fn send(throttle: &Throttle, at: Moment) {
    throttle.begin("u", "a", 1, at);
    throttle.end("u", "a", 1, Some((1, 1, at)));
}

#[test]
fn a_permit_leaves_its_length_after_the_end_and_not_much_later() {
    let throttle = throttle(limits(Window::Minute, Some(2), None));
    throttle.begin("u", "a", 1, Moment(1_000_000));
    assert_eq!(
        throttle.budget("u", "a", Moment(1_000_000)),
        Budget::Open { messages: 1, recipients: u32::MAX }
    );
    throttle.begin("u", "a", 1, Moment(1_000_000));
    let wait = |at: i64| match throttle.budget("u", "a", Moment(at)) {
        Budget::Wait(wait) => Some(wait),
        Budget::Open { .. } => None,
    };
    assert_eq!(wait(9_000_000).map(|w| w.until), Some(None), "both are under way: only their end helps");
    throttle.end("u", "a", 1, Some((1, 1, Moment(1_030_000))));
    throttle.end("u", "a", 1, Some((1, 1, Moment(1_045_000))));
    let until = wait(1_046_000).and_then(|w| w.until).unwrap();
    assert!(until > Moment(1_090_000) && until <= Moment(1_090_100), "{until:?}");
    assert!(wait(until.0 - 1).is_some());
    assert!(wait(until.0).is_none());
}

#[test]
fn the_smallest_window_wins_and_the_longest_wait_is_told() {
    let mut both = limits(Window::Minute, Some(3), None);
    both.quotas[Window::Day as usize] = Quota { messages: None, recipients: Some(10) };
    let throttle = throttle(both);
    throttle.begin("u", "a", 9, Moment(0));
    throttle.end("u", "a", 9, Some((1, 9, Moment(0))));
    assert_eq!(throttle.budget("u", "a", Moment(1)), Budget::Open { messages: 2, recipients: 1 });
    let Budget::Wait(wait) = throttle.budget_for("u", "a", 2, Moment(1)) else { panic!("2 do not fit") };
    assert_eq!(wait.window, Some(Window::Day));
    assert_eq!(wait.until, Some(Window::Day.leaves(0)));
}

#[test]
fn a_refused_transaction_that_the_provider_does_not_count_gives_its_permit_back() {
    let throttle = throttle(limits(Window::Hour, Some(1), None));
    throttle.begin("u", "a", 5, Moment(0));
    throttle.end("u", "a", 5, None);
    assert_eq!(throttle.budget("u", "a", Moment(0)), Budget::Open { messages: 1, recipients: u32::MAX });
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
fn an_even_pace_spreads_the_permits() {
    let mut even = limits(Window::Minute, Some(30), None);
    even.pace = Pace::Even;
    let throttle = throttle(even);
    let (mut now, mut sent) = (Moment(0), vec![]);
    while sent.len() < 40 {
        match throttle.budget("u", "a", now) {
            Budget::Open { messages, .. } => {
                assert_eq!(messages, 1);
                send(&throttle, now);
                sent.push(now.0);
            }
            Budget::Wait(wait) => now = wait.until.unwrap(),
        }
    }
    assert!(sent.windows(2).all(|pair| pair[1] - pair[0] >= 2_000), "{sent:?}");
    assert!(sent[39] <= 39 * 2_000 + 200, "{sent:?}");
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

proptest! {
    /// However long transactions take and whenever the process restarts, no window is overrun.
    #[test]
    fn no_window_is_ever_overrun(
        limit in 1u32..8,
        steps in prop::collection::vec((0i64..20_000, 0i64..30_000, prop::bool::weighted(0.1)), 1..200),
    ) {
        let minute = limits(Window::Minute, Some(limit), None);
        let mut throttle = throttle(minute.clone());
        let mut rows: Vec<UsageRow> = vec![];
        let mut running: Vec<(i64, i64)> = vec![];
        let mut done: Vec<(i64, i64)> = vec![];
        let mut now = 1_000_000i64;
        let count = |rows: &mut Vec<UsageRow>, end: i64| rows.push(UsageRow {
            upstream: "u".into(), account: "a".into(), window: Window::Minute,
            slot: Window::Minute.slot(Moment(end)), messages: 1, recipients: 1,
        });
        for (pause, takes, crash) in steps {
            now += pause;
            for (start, end) in running.extract_if(.., |(_, end)| *end <= now).collect::<Vec<_>>() {
                throttle.end("u", "a", 1, Some((1, 1, Moment(end))));
                count(&mut rows, end);
                done.push((start, end));
            }
            if crash {
                // What was under way counts as ended now.
                for (start, _) in running.drain(..) {
                    count(&mut rows, now);
                    done.push((start, now));
                }
                rows.sort_by_key(|row| row.slot);
                throttle = Throttle::default();
                throttle.set_limits("u", "a", minute.clone());
                throttle.restore(&rows);
            }
            if let Budget::Open { messages, .. } = throttle.budget("u", "a", Moment(now)) {
                prop_assert!(messages >= 1);
                throttle.begin("u", "a", 1, Moment(now));
                running.push((now, now + takes));
            }
        }
        done.extend(running);
        prop_assert!(!overrun(&done, 60_000, limit as usize));
    }
}
