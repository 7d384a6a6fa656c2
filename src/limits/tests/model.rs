//! No window is overrun, whatever happens in whatever order.

use super::*;

/// What the provider would say: more than `limit` events in some window of `length`.
fn overrun(events: &[(i64, i64)], length: i64, limit: usize) -> bool {
    // An event may be counted at its start or at its end: the worst of both must fit.
    let mut times: Vec<i64> = events.iter().flat_map(|&(start, end)| [start, end]).collect();
    times.sort_unstable();
    times
        .iter()
        .any(|&t| events.iter().filter(|&&(start, end)| end >= t && start < t + length).count() > limit)
}

/// A thing that happens.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A worker takes so many permits, as far as there is room; the transactions take so long.
    Begin { account: usize, messages: u32, takes: i64 },
    /// Time passes.
    Pass(i64),
    /// A write is undone: an account's counts are read again from what was written down.
    Undo { account: usize },
    /// The process is killed and started anew.
    Crash,
    /// The limits are read again, with others.
    Reload { limit: u32 },
    /// A person forgets what was counted.
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0_usize..2, 1_u32..5, 0_i64..30_000)
            .prop_map(|(account, messages, takes)| Step::Begin { account, messages, takes }),
        4 => (0_i64..20_000).prop_map(Step::Pass),
        1 => (0_usize..2).prop_map(|account| Step::Undo { account }),
        1 => Just(Step::Crash),
        1 => (1_u32..8).prop_map(|limit| Step::Reload { limit }),
        1 => Just(Step::Reset),
    ]
}

/// A world in which permits are taken as the lanes take them, and everything is written down as the store does.
struct Model {
    books: Books,
    limit: u32,
    rows: Vec<(AccountKey, UsageRow)>,
    /// Account, start, end.
    running: VecDeque<(usize, i64, i64)>,
    /// By account: start, end.
    done: Vec<(usize, i64, i64)>,
    now: i64,
}

const ACCOUNTS: [&str; 2] = ["a", "b"];

fn books(limit: u32) -> Books {
    let own = quotas(Window::Minute, Some(limit), None);
    Books::with_shared(quotas(Window::Minute, Some(limit + 2), None), &[("a", own.clone()), ("b", own)])
}

impl Model {
    fn new(limit: u32) -> Self {
        Self {
            books: books(limit),
            limit,
            rows: vec![],
            running: VecDeque::new(),
            done: vec![],
            now: 1_000_000,
        }
    }

    fn ended(&mut self, (account, start, end): (usize, i64, i64), in_memory: bool) {
        let slot = Window::Minute.slot(Moment(end));
        let row = UsageRow { window: Window::Minute, slot, amount: recipients(1) };
        self.rows.push((AccountKey::new("u", ACCOUNTS[account]), row));
        if in_memory {
            self.books.end(ACCOUNTS[account], 1, end);
        }
        self.done.push((account, start, end));
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Begin { account, messages, takes } => {
                for _ in 0..messages {
                    if self.books.begin(ACCOUNTS[account], 1, self.now) {
                        self.running.push_back((account, self.now, self.now + takes));
                    }
                }
            }
            Step::Pass(pause) => {
                self.now += pause;
                let (ended, running) = self.running.drain(..).partition(|(.., end)| *end <= self.now);
                self.running = running;
                let ended: VecDeque<_> = ended;
                for event in ended {
                    self.ended(event, true);
                }
            }
            Step::Undo { account } => {
                self.books.ledger.doubt(&AccountKey::new("u", ACCOUNTS[account]));
                self.read_again();
            }
            Step::Crash => {
                // What was under way counts as ended now.
                let now = self.now;
                for (account, start, _) in std::mem::take(&mut self.running) {
                    self.ended((account, start, now), false);
                }
                self.books.ledger = Ledger::default();
                self.read_again();
            }
            Step::Reset => {
                // What is under way still counts when it ends.
                self.books.ledger.reset("u", &Window::ALL);
                self.rows.clear();
                self.done.clear();
            }
            Step::Reload { limit } => {
                // A lower limit holds at once for what is to come; here it only falls, so that the check is simple.
                self.limit = self.limit.min(limit);
                let new = books(self.limit);
                (self.books.shared, self.books.accounts) = (new.shared, new.accounts);
            }
        }
    }

    fn read_again(&mut self) {
        let keys = ACCOUNTS.map(|account| AccountKey::new("u", account));
        let scopes: Vec<Scope> = keys.iter().flat_map(AccountKey::scopes).collect();
        let (rows, running) = (&self.rows, &self.running);
        let read = |scope: &Scope| {
            let its_own = |key: &AccountKey| key.scopes().contains(scope);
            let mut rows: Vec<UsageRow> =
                rows.iter().filter(|(key, _)| its_own(key)).map(|(_, row)| *row).collect();
            rows.sort_by_key(|row| (row.window, row.slot));
            let under_way = running.iter().filter(|(account, ..)| its_own(&keys[*account]));
            Ok::<_, ()>(ScopeUsage { rows, under_way: under_way.map(|_| recipients(1)).collect() })
        };
        self.books.ledger.load(&scopes, read).unwrap();
    }
}

proptest! {
    /// However long transactions take, whoever asks first, whatever is undone, and whenever the process restarts, no
    /// window is overrun: neither an account's nor that of all together.
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
            model.step(Step::Begin { account: 0, messages: 1, takes: 0 });
            model.step(Step::Pass(1));
        }
        model.step(Step::Reload { limit: lower });
        model.step(Step::Pass(later));
        let in_window = model.done.iter().filter(|(.., end)| model.now - end < 60_000).count();
        let began = model.books.begin("a", 1, model.now);
        prop_assert!(!began || in_window < model.limit as usize, "{} in the window", in_window);
    }
}
