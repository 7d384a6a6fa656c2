use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::config::{Batch, Limits, Pace, Quota, SharedLimits, Window};
use crate::time::{Moment, SystemClock, Timeline};

/// A ledger with the limits in force, as a store holds them.
struct Books {
    ledger: Ledger,
    shared: Ceilings,
    accounts: Vec<(AccountKey, Ceilings)>,
    timeline: Timeline,
}

fn quotas(window: Window, messages: Option<u32>, recipients: Option<u32>) -> Ceilings {
    let mut ceilings = Ceilings::default();
    ceilings.quotas.set(window, Quota { messages, recipients, octets: None });
    ceilings
}

fn recipients(count: u32) -> Amount {
    Amount::of_message(count, 1_000)
}

impl Books {
    fn with_shared(shared: Ceilings, accounts: &[(&str, Ceilings)]) -> Self {
        let accounts =
            accounts.iter().map(|(name, own)| (AccountKey::new("u", *name), own.clone())).collect();
        let timeline = Timeline::resume(Arc::new(SystemClock), None);
        let mut books = Self { ledger: Ledger::default(), shared, accounts, timeline };
        books.restore(&[]);
        books
    }

    fn of(own: Ceilings) -> Self {
        Self::with_shared(Ceilings::default(), &[("a", own)])
    }

    /// Begins anew with what was written down: accounts with what each of them has sent.
    fn restore(&mut self, rows: &[(AccountKey, UsageRow)]) {
        self.ledger = Ledger::default();
        let scopes: Vec<Scope> = self.accounts.iter().flat_map(|(key, _)| key.scopes()).collect();
        let read = |scope: &Scope| {
            let its_own = |key: &AccountKey| key.scopes().contains(scope);
            let mut rows: Vec<UsageRow> =
                rows.iter().filter(|(key, _)| its_own(key)).map(|(_, row)| *row).collect();
            rows.sort_by_key(|row| (row.window, row.slot));
            Ok::<_, ()>(ScopeUsage { rows, ..ScopeUsage::default() })
        };
        self.ledger.load(&scopes, read).unwrap();
    }

    fn ceilings(&self, account: &str) -> Vec<(Scope, Ceilings)> {
        let (key, own) = self.accounts.iter().find(|(key, _)| &*key.account == account).unwrap();
        let [account, upstream] = key.scopes();
        vec![(account, own.clone()), (upstream, self.shared.clone())]
    }

    /// What may go now: messages and recipients.
    fn room(&mut self, account: &str, needed: u32, now: i64) -> Result<(u32, u32), Wait> {
        let room =
            self.ledger.room(&self.ceilings(account), &recipients(needed), Moment(now), &self.timeline)?;
        Ok((room.messages, room.recipients))
    }

    /// Begins one transaction; false when it may not.
    fn begin(&mut self, account: &str, needed: u32, now: i64) -> bool {
        if self.room(account, needed, now).is_err() {
            return false;
        }
        self.ledger.begin(&AccountKey::new("u", account), &recipients(needed), Moment(now));
        true
    }

    fn end(&mut self, account: &str, taken: u32, at: i64) {
        let amount = recipients(taken);
        self.ledger.end(&AccountKey::new("u", account), &amount, Some(&amount), Moment(at));
    }

    fn send(&mut self, account: &str, count: u32, now: i64) -> bool {
        let begun = self.begin(account, count, now);
        if begun {
            self.end(account, count, now);
        }
        begun
    }

    fn line(&mut self, account: &str, window: Window, now: i64) -> LimitLine {
        let (scope, ceilings) = self.ceilings(account).swap_remove(0);
        let mut counts = self.ledger.snapshot(&scope).unwrap();
        let lines = LimitLine::of_scope(&scope, &ceilings, &mut counts, Moment(now), &self.timeline);
        lines.into_iter().find(|line| line.window == window).unwrap()
    }
}

#[test]
fn a_permit_leaves_its_length_after_the_end_and_not_much_later() {
    let mut books = Books::of(quotas(Window::MINUTE, Some(2), None));
    assert!(books.begin("a", 1, 1_000_000));
    assert_eq!(books.room("a", 1, 1_000_000).unwrap().0, 1);
    assert!(books.begin("a", 1, 1_000_000));
    let wait = books.room("a", 1, 9_000_000).unwrap_err();
    assert_eq!(wait.until, None, "both are under way: only their end helps");
    books.end("a", 1, 1_030_000);
    books.end("a", 1, 1_045_000);
    let until = books.room("a", 1, 1_046_000).unwrap_err().until.unwrap();
    assert!(until > Moment(1_090_000) && until <= Moment(1_090_100), "{until:?}");
    assert!(books.room("a", 1, until.0 - 1).is_err());
    assert!(books.room("a", 1, until.0).is_ok());
}

#[test]
fn what_the_provider_does_not_count_is_given_back() {
    let mut books = Books::of(quotas(Window::MINUTE, Some(3), Some(10)));
    assert!(books.begin("a", 8, 0));
    assert_eq!(books.room("a", 1, 0), Ok((2, 2)));
    assert!(books.room("a", 3, 0).is_err());
    books.ledger.end(&AccountKey::new("u", "a"), &recipients(8), None, Moment(0));
    assert_eq!(books.room("a", 3, 0), Ok((3, 10)));
}

#[test]
fn the_smallest_window_wins_and_the_longest_wait_is_told() {
    let mut both = quotas(Window::MINUTE, Some(3), None);
    both.quotas.set(Window::DAY, Quota { recipients: Some(10), ..Quota::default() });
    let mut books = Books::of(both);
    assert!(books.send("a", 9, 0));
    assert_eq!(books.room("a", 1, 1), Ok((2, 1)));
    let wait = books.room("a", 2, 1).unwrap_err();
    assert_eq!(wait, Wait { cause: Cause::Window(Window::DAY), until: Some(Window::DAY.leaves(0)) });
}

#[test]
fn octets_are_a_limit_as_well() {
    let mut own = Ceilings::default();
    own.quotas.set(Window::HOUR, Quota { octets: Some(5_000), ..Quota::default() });
    let mut books = Books::of(own);
    for _ in 0..4 {
        assert!(books.send("a", 1, 0));
    }
    let key = AccountKey::new("u", "a");
    let mut room = |octets, now| {
        let needed = Amount::of_message(1, octets);
        books.ledger.room(
            &[(key.scopes()[0].clone(), books.accounts[0].1.clone())],
            &needed,
            Moment(now),
            &books.timeline,
        )
    };
    assert_eq!(room(1_000, 1).unwrap().octets, 1_000);
    let wait = room(1_001, 1).unwrap_err();
    assert_eq!(wait, Wait { cause: Cause::Window(Window::HOUR), until: Some(Window::HOUR.leaves(0)) });
    assert!(room(5_000, Window::HOUR.leaves(0).0).is_ok());
}

#[test]
fn accounts_count_by_themselves_and_together() {
    let own = quotas(Window::MINUTE, Some(3), None);
    let mut books =
        Books::with_shared(quotas(Window::MINUTE, Some(5), None), &[("a", own.clone()), ("b", own)]);
    for n in 0..3 {
        assert!(books.send("a", 1, n));
    }
    assert_eq!(books.room("a", 1, 9).unwrap_err().cause, Cause::Window(Window::MINUTE));
    assert_eq!(books.room("b", 1, 9).unwrap().0, 2);
    for n in 0..2 {
        assert!(books.send("b", 1, n));
    }
    assert_eq!(books.room("b", 1, 9).unwrap_err().cause, Cause::Shared(Window::MINUTE));
}

#[test]
fn counts_come_back_from_rows_and_can_be_reset() {
    let mut books = Books::of(quotas(Window::DAY, Some(10), Some(20)));
    let amount = Amount { messages: 10, recipients: 12, octets: 9 };
    books.restore(&[(AccountKey::new("u", "a"), UsageRow { window: Window::DAY, slot: 5, amount })]);
    let line = books.line("a", Window::DAY, 1_000_000);
    assert_eq!((line.messages_used, line.recipients_used), (10, 12));
    assert_eq!(line.next_free, Some(Window::DAY.leaves(5)));
    let paused = line.held_back(Some(Moment(i64::MAX)), Some("why".into()));
    assert_eq!((paused.next_free, paused.reason.as_deref()), (Some(Moment(i64::MAX)), Some("why")));
    books.ledger.reset("other", &Window::NAMED);
    assert_eq!(books.line("a", Window::DAY, 1_000_000).messages_used, 10);
    books.ledger.reset("u", &[Window::DAY]);
    let line = books.line("a", Window::DAY, 1_000_000);
    assert_eq!((line.messages_used, line.next_free), (0, None));
}

#[test]
fn the_first_departure_is_that_of_the_oldest_that_counts() {
    let mut books = Books::of(Ceilings::default());
    for at in [0, 30_000, 45_000] {
        assert!(books.send("a", 1, at));
    }
    let counts = books.ledger.snapshot(&AccountKey::new("u", "a").scopes()[0]).unwrap();
    let first = |now| counts.first_departure(Window::MINUTE, Moment(now));
    assert_eq!(first(59_000), Some(Window::MINUTE.leaves(0)));
    assert_eq!(first(70_000), Some(Window::MINUTE.leaves(300)));
    assert_eq!(first(200_000), None);
}

#[test]
fn a_scope_in_doubt_is_read_again_and_one_without_anything_is_let_go() {
    let mut books = Books::of(quotas(Window::MINUTE, Some(3), None));
    let key = AccountKey::new("u", "a");
    let [own, shared] = key.scopes();
    assert!(books.begin("a", 1, 0));
    books.ledger.doubt(&key);
    assert!(!books.ledger.knows(&own) && !books.ledger.knows(&shared));
    assert!(books.ledger.snapshot(&own).is_some(), "it is still what is known best");
    let usage = ScopeUsage { under_way: vec![recipients(1), recipients(2)], ..ScopeUsage::default() };
    books.ledger.load([&own], |_| Ok::<_, ()>(usage.clone())).unwrap();
    assert_eq!(books.room("a", 1, 0).unwrap().0, 1);
    books.end("a", 1, 0);
    books.end("a", 2, 0);
    books.ledger.expire(Moment(1_000_000));
    assert!(books.ledger.snapshot(&own).is_some(), "its week is not over");
    books.ledger.expire(Moment(700_000_000));
    assert!(books.ledger.snapshot(&own).is_none());
}

#[test]
fn an_even_pace_spreads_the_permits() {
    let mut books = Books::of(Ceilings { pace: Pace::Even, ..quotas(Window::MINUTE, Some(30), None) });
    let (mut now, mut sent) = (0, vec![]);
    while sent.len() < 40 {
        match books.room("a", 1, now) {
            Ok((messages, _)) => {
                assert_eq!(messages, 1);
                assert!(books.send("a", 1, now));
                sent.push(now);
            }
            Err(wait) => now = wait.until.unwrap().0,
        }
    }
    assert!(sent.windows(2).all(|pair| pair[1] - pair[0] >= 2_000), "{sent:?}");
    assert!(sent[39] <= 39 * 2_000 + 200, "{sent:?}");
}

#[test]
fn what_the_provider_has_not_counted_keeps_no_distance() {
    let own = Ceilings { pace: Pace::Even, ..quotas(Window::MINUTE, Some(5), None) };
    let account = AccountKey::new("u", "a");
    let until = |books: &mut Books, now| books.room("a", 1, now).unwrap_err().until.unwrap();
    let mut books = Books::of(own);
    assert!(books.begin("a", 1, 1_000_000));
    books.ledger.end(&account, &recipients(1), None, Moment(1_000_500));
    assert!(books.begin("a", 2, 1_000_500), "nothing has gone yet");
    // Another begins while that one runs, and is given back: the first still keeps its distance.
    assert!(books.begin("a", 1, 1_012_500));
    books.ledger.end(&account, &recipients(1), None, Moment(1_012_600));
    assert!(books.begin("a", 1, 1_012_700));
    books.end("a", 2, 1_012_800);
    assert_eq!(until(&mut books, 1_013_000), Moment(1_024_700));
    books.end("a", 1, 1_013_100);
    assert_eq!(until(&mut books, 1_013_200), Moment(1_024_700));
}

#[test]
fn recipients_that_join_do_not_begin_the_distance_anew() {
    let own = Ceilings { pace: Pace::Even, ..quotas(Window::MINUTE, Some(5), Some(30)) };
    let mut books = Books::of(own);
    let begun = 1_000_000 - 11_000;
    assert!(books.begin("a", 1, begun));
    join(&mut books, "a", 1).unwrap();
    let by_messages = Wait { cause: Cause::Even, until: Some(Moment(begun + 12_000)) };
    assert_eq!(books.room("a", 1, 1_000_000), Err(by_messages));
    for taken in 2..9 {
        join(&mut books, "a", taken).unwrap();
    }
    let by_recipients = Wait { cause: Cause::Even, until: Some(Moment(begun + 9 * 2_000)) };
    assert_eq!(books.room("a", 1, 1_000_000), Err(by_recipients));
}

#[test]
fn a_batch_is_followed_by_its_pause() {
    let batch = Some(Batch { messages: 3, pause: Duration::from_secs(2) });
    let mut books = Books::of(Ceilings { batch, ..Ceilings::default() });
    for n in 0..3 {
        assert_eq!(books.room("a", 1, n).unwrap().0, 3 - n as u32);
        assert!(books.begin("a", 1, n));
    }
    let wait = books.room("a", 1, 10).unwrap_err();
    assert_eq!(wait, Wait { cause: Cause::Batch, until: None }, "they must end first");
    for _ in 0..3 {
        books.end("a", 1, 500);
    }
    let wait = books.room("a", 1, 600).unwrap_err();
    assert_eq!(wait, Wait { cause: Cause::Batch, until: Some(Moment(2_500)) });
    assert_eq!(books.room("a", 1, 2_500).unwrap().0, 3);
    assert!(books.send("a", 1, 2_500));
    assert_eq!(books.room("a", 1, 9_000).unwrap().0, 3, "a pause of its own is as good");
}

#[test]
fn the_wait_of_a_window_and_of_a_batch_is_the_longer_one() {
    let batch = Some(Batch { messages: 1, pause: Duration::from_mins(2) });
    let mut books = Books::of(Ceilings { batch, ..quotas(Window::MINUTE, Some(1), None) });
    assert!(books.send("a", 1, 0));
    let wait = books.room("a", 1, 1).unwrap_err();
    assert_eq!(wait, Wait { cause: Cause::Batch, until: Some(Moment(120_000)) });
}

#[test]
fn what_was_learned_is_a_limit_and_says_so() {
    let mut learned = LearnedPace::default();
    let mut books = Books::of(quotas(Window::MINUTE, Some(30), None));
    for n in 0..20 {
        assert!(books.send("a", 1, n));
        learned.delivered(Some(30), 3, Moment(n));
    }
    let new = learned.slow_down(Slowdown::Rate, Some(30), (1, 3), Moment(30));
    assert_eq!(new.as_deref(), Some("20 messages a minute"));
    books.accounts[0].1.learned_per_minute = learned.per_minute();
    let wait = books.room("a", 1, 40).unwrap_err();
    assert_eq!((wait.cause, wait.until), (Cause::Slowed, Some(Window::MINUTE.leaves(0))));
    books.accounts[0].1.learned_per_minute = None;
    assert_eq!(books.room("a", 1, 50).unwrap().0, 10);
}

#[test]
fn the_calendar_begins_anew_and_frees_all_at_once() {
    let zone = TimeZone::get("Europe/Zurich").unwrap();
    let limits =
        Limits { calendar: true, quotas: quotas(Window::HOUR, Some(2), None).quotas, ..Limits::default() };
    let own = Ceilings::of_account(&limits, &zone);
    let shared = Ceilings::of_several(&SharedLimits::default(), true, &zone);
    assert!(shared.is_unlimited() && !own.is_unlimited());
    let mut books = Books::with_shared(shared, &[("a", own)]);
    let now = books.timeline.now().0;
    assert!(books.send("a", 1, now) && books.send("a", 1, now));
    let until = books.room("a", 1, now).unwrap_err().until.unwrap();
    assert!(until.0 > now && until.0 <= now + 3_600_000);
    let wall = books.timeline.wall_at(until).as_millisecond() + 100;
    assert!(wall.rem_euclid(3_600_000) < 300, "at the full hour: {wall}");
    assert_eq!(books.room("a", 1, until.0 + 100).unwrap().0, 2);
}

/// One more recipient for a transaction that holds so many.
fn join(books: &mut Books, account: &str, taken: u32) -> Result<(), Cause> {
    let more = Amount::of_recipients(1);
    let (ceilings, at) = (books.ceilings(account), Moment(1_000_000));
    books.ledger.room_for_more(&ceilings, &more, at, &books.timeline).map_err(|wait| wait.cause)?;
    books.ledger.join(&AccountKey::new("u", account), &more, &recipients(taken + 1));
    Ok(())
}

#[test]
fn recipients_join_a_transaction_that_is_under_way() {
    let mut own = quotas(Window::MINUTE, Some(1), Some(3));
    own.quotas.set(Window::HOUR, Quota { recipients: Some(4), ..Quota::default() });
    let shared = quotas(Window::DAY, None, Some(5));
    let mut books = Books::with_shared(shared, &[("a", own), ("b", Ceilings::default())]);
    let now = 1_000_000;
    assert!(books.begin("a", 1, now));
    assert!(join(&mut books, "a", 1).is_ok(), "that its message fills a window is not in the way");
    assert!(join(&mut books, "a", 2).is_ok());
    assert_eq!(join(&mut books, "a", 3), Err(Cause::Window(Window::MINUTE)));
    assert!(books.begin("b", 1, now) && join(&mut books, "b", 1).is_ok());
    assert_eq!(join(&mut books, "b", 2), Err(Cause::Shared(Window::DAY)));
    // What was refused does not count, and what ended does.
    books.end("a", 3, now);
    books.end("b", 2, now);
    assert_eq!(books.line("a", Window::HOUR, now).recipients_used, 3);
    assert_eq!(books.room("b", 1, now).map_err(|w| w.cause), Err(Cause::Shared(Window::DAY)));
}

mod cost;
mod forecast;
mod model;
