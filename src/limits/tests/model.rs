//! No window is overrun, whatever happens in whatever order, and nothing waits that could go.

use super::*;
use crate::config::Quotas;

/// A transaction.
#[derive(Debug, Clone, Copy)]
struct Event {
    account: usize,
    amount: Amount,
    end: i64,
}

/// What is limited: in [`scopes`], each with its quotas.
type AllQuotas = Vec<Quotas>;

/// A thing that happens.
#[derive(Debug, Clone)]
enum Step {
    /// A worker begins a transaction, if there is room; it takes so long.
    Begin { account: usize, amount: Amount, takes: i64 },
    /// Time passes.
    Pass(i64),
    /// A write is undone: an account's counts are read again from what was written down.
    Undo { account: usize },
    /// The process is killed and started anew. What was counted in windows without a name was written down, or was not.
    Crash { knows_all: bool },
    /// The limits are read again, with others: windows come, go, and let through more or less.
    Reload(AllQuotas),
    /// A person forgets what was counted for an upstream.
    Reset(&'static str),
}

const ACCOUNTS: [(&str, &str); 3] = [("u", "a"), ("u", "b"), ("v", "c")];
const WINDOWS: [&str; 5] = ["7s", "1m", "5m", "50m", "2h"];

fn key(account: usize) -> AccountKey {
    let (upstream, name) = ACCOUNTS[account];
    AccountKey::new(upstream, name)
}

/// The accounts, the upstreams, and both upstreams as a group.
fn scopes() -> Vec<Scope> {
    let accounts = (0..ACCOUNTS.len()).map(|account| Scope::Account(key(account)));
    let group = Scope::Group(GroupKey::new("g", ["v".into(), "u".into()]));
    accounts.chain(["u", "v"].map(|name| Scope::Upstream(name.into()))).chain([group]).collect()
}

fn amount() -> impl Strategy<Value = Amount> {
    // Whole KiB, as slots that are packed keep them.
    (1_u32..4, 1_u64..9).prop_map(|(recipients, kib)| Amount::of_message(recipients, kib << 10))
}

fn quotas_of_a_scope() -> impl Strategy<Value = Quotas> {
    let messages = prop::option::of(1_u32..8);
    let recipients = prop::option::of(3_u32..20);
    let octets = prop::option::of((8_u64..40).prop_map(|kib| kib << 10));
    let quota = (messages, recipients, octets).prop_map(|(messages, recipients, octets)| Quota {
        messages,
        recipients,
        octets,
    });
    let window = prop::sample::select(&WINDOWS[..]).prop_map(|name| Window::from_name(name).unwrap());
    prop::collection::btree_map(window, quota, 0..3).prop_map(|all| all.into_iter().collect())
}

fn all_quotas() -> impl Strategy<Value = AllQuotas> {
    prop::collection::vec(quotas_of_a_scope(), scopes().len())
}

fn step() -> impl Strategy<Value = Step> {
    let account = 0..ACCOUNTS.len();
    prop_oneof![
        8 => (account.clone(), amount(), 0_i64..30_000)
            .prop_map(|(account, amount, takes)| Step::Begin { account, amount, takes }),
        5 => (0_i64..20_000).prop_map(Step::Pass),
        1 => (0_i64..2_000_000).prop_map(Step::Pass),
        1 => account.prop_map(|account| Step::Undo { account }),
        1 => any::<bool>().prop_map(|knows_all| Step::Crash { knows_all }),
        1 => all_quotas().prop_map(Step::Reload),
        1 => prop::sample::select(vec!["u", "v"]).prop_map(Step::Reset),
    ]
}

/// A world in which permits are taken as the lanes take them, and everything is written down as the store does.
struct Model {
    ledger: Ledger,
    timeline: Timeline,
    quotas: AllQuotas,
    ended: Vec<Event>,
    running: VecDeque<Event>,
    now: i64,
}

impl Model {
    fn new(quotas: AllQuotas) -> Self {
        let timeline = Timeline::resume(Arc::new(SystemClock), None);
        let (ended, running) = (Vec::new(), VecDeque::new());
        let mut model = Self { ledger: Ledger::default(), timeline, quotas, ended, running, now: 10_000_000 };
        model.read_again(true);
        model
    }

    fn ceilings(&self, account: usize) -> Vec<(Scope, Ceilings)> {
        let all = scopes().into_iter().zip(&self.quotas);
        let its_own = all.filter(|(scope, _)| scope.has(&key(account)));
        its_own
            .map(|(scope, quotas)| (scope, Ceilings { quotas: quotas.clone(), ..Ceilings::default() }))
            .collect()
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Begin { account, amount, takes } => self.begin(account, amount, takes),
            Step::Pass(pause) => {
                self.now += pause;
                let (ended, running): (Vec<Event>, Vec<Event>) =
                    self.running.drain(..).partition(|event| event.end <= self.now);
                self.running = running.into();
                let mut ended = ended;
                ended.sort_by_key(|event| event.end);
                for event in ended {
                    let Event { account, amount, end, .. } = event;
                    self.ledger.end(&key(account), &amount, Some(&amount), Moment(end));
                    self.ended.push(event);
                }
            }
            Step::Undo { account } => {
                self.ledger.doubt(&key(account));
                self.read_again(true);
            }
            Step::Crash { knows_all } => {
                // What was under way counts as ended now.
                let now = self.now;
                self.ended.extend(self.running.drain(..).map(|event| Event { end: now, ..event }));
                self.ledger = Ledger::default();
                self.read_again(knows_all);
            }
            Step::Reload(quotas) => self.quotas = quotas,
            Step::Reset(upstream) => {
                // What is under way still counts when it ends.
                self.ledger.reset(upstream, &[]);
                self.ended.retain(|event| ACCOUNTS[event.account].0 != upstream);
                self.read_again(true);
            }
        }
    }

    fn begin(&mut self, account: usize, amount: Amount, takes: i64) {
        let ceilings = self.ceilings(account);
        match self.ledger.room(&ceilings, &amount, Moment(self.now), &self.timeline) {
            Ok(room) => {
                assert!(room.min(amount) == amount, "there is no room for it: {room:?}");
                self.ledger.begin(&key(account), &amount, Moment(self.now));
                self.running.push_back(Event { account, amount, end: self.now + takes });
                // Whenever the provider counts each of them, this one is not too much.
                let overrun = self.full(&ceilings, &Amount::NONE, |_| 0);
                assert!(overrun.is_none(), "{overrun:?} of {:?} and {:?}", self.ended, self.running);
            }
            Err(wait) => {
                // Some window is full, or was a moment ago: it knows when something was sent as exactly as its slots, or as
                // those of the next longer one.
                let full = self.full(&ceilings, &amount, known_within);
                assert!(full.is_some(), "nothing is in the way, and yet: {wait:?}");
                let until = wait.until.map_or(i64::MAX, |until| until.0);
                assert!(until > self.now, "{wait:?} is over");
            }
        }
    }

    /// A window that has no room for so much more, when what has ended leaves it so much later.
    fn full(
        &self,
        ceilings: &[(Scope, Ceilings)],
        more: &Amount,
        late: fn(Window) -> i64,
    ) -> Option<(Scope, Window)> {
        let all = ceilings.iter().flat_map(|(scope, ceilings)| {
            ceilings.quotas.iter().map(move |(window, quota)| (scope, window, quota))
        });
        all.into_iter().find_map(|(scope, window, quota)| {
            let since = self.now - window.length().as_millis() as i64 - late(window);
            let counts = |event: &&Event| scope.has(&key(event.account)) && event.end > since;
            let events = self.ended.iter().filter(counts).chain(self.running.iter().filter(counts));
            let used = events.fold(*more, |used, event| used.plus(event.amount));
            let is_over = |used: u64, limit: Option<u64>| limit.is_some_and(|limit| used > limit);
            let full = is_over(used.messages.into(), quota.messages.map(u64::from))
                || is_over(used.recipients.into(), quota.recipients.map(u64::from))
                || is_over(used.octets, quota.octets);
            full.then(|| (scope.clone(), window))
        })
    }

    fn read_again(&mut self, knows_all: bool) {
        let others = WINDOWS.map(|name| Window::from_name(name).unwrap());
        let others = others.into_iter().filter(|window| knows_all && window.name().is_none());
        let windows: Vec<Window> = others.collect();
        let (ended, running) = (&self.ended, &self.running);
        let read = |scope: &Scope| {
            let its_own = |event: &&Event| scope.has(&key(event.account));
            let counted = Window::NAMED.iter().chain(&windows).flat_map(|&window| {
                let row = move |event: &Event| UsageRow {
                    window,
                    slot: window.slot(Moment(event.end)),
                    amount: event.amount,
                };
                ended.iter().filter(its_own).map(row).collect::<Vec<_>>()
            });
            let mut rows: Vec<UsageRow> = counted.collect();
            rows.sort_by_key(|row| (row.window, row.slot));
            let under_way = running.iter().filter(its_own).map(|event| event.amount).collect();
            Ok::<_, ()>(ScopeUsage { windows: windows.clone(), rows, under_way })
        };
        self.ledger.load(&scopes(), read).unwrap();
    }
}

/// How late something leaves at most: by a slot of the window, and by one of the window that it was known from.
fn known_within(window: Window) -> i64 {
    let longer = Window::NAMED.into_iter().find(|named| *named >= window).unwrap();
    window.slot_width() + longer.slot_width()
}

proptest! {
    /// However long transactions take, whoever asks first, whatever is undone, read again or forgotten, and whenever the
    /// process restarts, no window is overrun: of no account, no upstream and no group, in messages, recipients or octets; and
    /// nobody is told to wait who could go.
    #[test]
    fn no_window_is_ever_overrun_and_nothing_waits_in_vain(
        quotas in all_quotas(), steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut model = Model::new(quotas);
        for step in steps {
            model.step(step);
        }
    }
}

#[test]
fn a_new_window_knows_what_was_sent_before_it_came() {
    let five = Window::from_name("5m").unwrap();
    let mut books = Books::of(quotas(Window::DAY, Some(100), None));
    let (begin, width) = (1_000_000, Window::HOUR.slot_width());
    for n in 0..4 {
        assert!(books.send("a", 1, begin + n));
    }
    books.accounts[0].1 = quotas(five, Some(4), None);
    let wait = books.room("a", 1, begin + 60_000).unwrap_err();
    assert_eq!(wait.cause, Cause::Window(five));
    let late = wait.until.unwrap().0 - (begin + 300_000);
    assert!((0..=width + five.slot_width()).contains(&late), "{late}");
    // One that nobody knows anything longer of begins with the longest.
    let month = Window::LONGEST;
    books.accounts[0].1 = quotas(month, Some(4), None);
    assert_eq!(books.room("a", 1, begin + 60_000).unwrap_err().cause, Cause::Window(month));
}

#[test]
fn upstreams_of_a_group_count_together_whoever_is_asked_first() {
    let group = Scope::Group(GroupKey::new("g", ["u".into(), "v".into()]));
    let (a, c, timeline) = (key(0), key(2), Timeline::resume(Arc::new(SystemClock), None));
    let limits = vec![(group.clone(), quotas(Window::MINUTE, Some(2), None))];
    let mut ledger = Ledger::default();
    ledger.load([&group], |_| Ok::<_, ()>(ScopeUsage::default())).unwrap();
    let room = |ledger: &mut Ledger, at| ledger.room(&limits, &recipients(1), Moment(at), &timeline);
    ledger.begin(&a, &recipients(1), Moment(0));
    ledger.begin(&c, &recipients(1), Moment(0));
    let wait = room(&mut ledger, 0).unwrap_err();
    assert_eq!(wait, Wait { cause: Cause::Group(Window::MINUTE), until: None });
    assert_eq!(wait.cause.to_string(), "limit per minute of its limit group");
    ledger.end(&c, &recipients(1), None, Moment(10));
    assert_eq!(room(&mut ledger, 10).unwrap().messages, 1);
    // A reset of one upstream leaves the other's: what is left is read again.
    ledger.reset("v", &[]);
    assert!(!ledger.knows(&group) && ledger.snapshot(&group).is_some());
    // Another group of that name takes its place.
    let other = Scope::Group(GroupKey::new("g", ["u".into()]));
    ledger.load([&other], |_| Ok::<_, ()>(ScopeUsage::default())).unwrap();
    assert!(ledger.snapshot(&group).is_none() && ledger.knows(&other));
}
