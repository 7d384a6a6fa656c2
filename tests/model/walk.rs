//! One random walk: what people, clients, upstreams and machines do, and a look at what becomes of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mailsluice::lane::LaneStatus;
use mailsluice::mail::QueueId;
use mailsluice::store::{LaneName, ListFilter, Summary};
use mailsluice::time::Moment;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::checks::{self, History};
use super::count::Ghost;
use super::dice::Dice;
use super::facts::Facts;
use super::oracle::nothing_idle;
use super::plan::{Plan, RETRY_MAX};
use super::provider::{Mood, Provider};
use super::support::simulation::{Host, Simulation, secs};

/// Steps of a walk.
const STEPS: u64 = 80;
/// A moment is quiet when nothing has happened for so long.
const QUIET: Duration = Duration::from_millis(130);
/// When all troubles are over all mail goes within this: the longest wait before a try or a probe, with what is added by
/// chance, and some time for the mail itself.
const AT_LAST: Duration = Duration::from_secs(RETRY_MAX * 11 / 10 + 120);

/// What was done, for who looks into a failure.
#[derive(Clone, Default)]
pub(crate) struct Trace(Arc<Mutex<Vec<String>>>);

impl Trace {
    pub(crate) fn note(&self, line: String) {
        if std::env::var_os("MODEL_TRACE").is_some() {
            eprintln!("{line}");
        }
        self.0.lock().unwrap().push(line);
    }

    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }
}

/// The relay with all that is known of it.
pub(crate) struct World {
    pub(crate) sim: Simulation,
    pub(crate) facts: Facts,
    pub(crate) history: History,
    /// Each recipient of the queue, with its message.
    pub(crate) submitted: BTreeMap<String, QueueId>,
    pub(crate) deleted: BTreeSet<String>,
    /// Recipients that were in an attempt when the relay died.
    pub(crate) crashed: BTreeSet<String>,
    pub(crate) ghosts: Vec<Ghost>,
    /// Upstreams that are switched off, by name.
    pub(crate) disabled: BTreeSet<String>,
}

/// The world, and who acts in it.
pub(crate) struct Walk {
    pub(crate) world: World,
    pub(crate) dice: Dice,
    pub(crate) trace: Trace,
    pub(crate) plan: Plan,
    pub(crate) moods: Vec<Arc<Mutex<Mood>>>,
    pub(crate) clients: JoinSet<()>,
    /// What clients were told that it had gone.
    pub(crate) told: Arc<Mutex<Vec<String>>>,
    pub(crate) named: u32,
    /// When somebody has last set the clock since the start.
    pub(crate) stepped: Option<u64>,
    quiet: u32,
}

impl Host for Provider {
    fn way(&self) -> Arc<dyn mailsluice::upstream::Dial> {
        Arc::new(self.clone())
    }
}

impl World {
    pub(crate) fn moment(&self) -> Moment {
        self.sim.core.as_ref().unwrap().context.timeline.now()
    }

    pub(crate) async fn queue(&self) -> Vec<Summary> {
        self.sim.store().list(ListFilter { limit: 100_000, ..ListFilter::default() }).await.unwrap()
    }

    /// What the relay says that each message waits for.
    pub(crate) async fn said(&self) -> HashMap<String, Option<String>> {
        let all = self.sim.control().ask("GET", "/queue").await;
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let each = |message: &serde_json::Value| {
            (text(&message["queue_id"]).unwrap(), text(&message["waiting_for"]))
        };
        all.as_array().unwrap().iter().map(each).collect()
    }

    pub(crate) fn status(&self, lane: &LaneName) -> Option<LaneStatus> {
        self.sim.core.as_ref().unwrap().context.statuses.of(lane)
    }

    pub(crate) fn via(&self, lane: &LaneName) -> Option<String> {
        self.status(lane).and_then(|status| status.via)
    }
}

impl Walk {
    /// Walks, and looks.
    pub(crate) async fn run(mut dice: Dice, trace: Trace) {
        let facts = Facts::new();
        let provider = |host, dice: &mut Dice| Provider {
            host,
            mood: Arc::default(),
            facts: facts.clone(),
            dice: Arc::new(Mutex::new(dice.split())),
        };
        let providers = [provider("h0", &mut dice), provider("h1", &mut dice)];
        let plan = Plan::new(&mut dice);
        let sim = Simulation::new(&plan.toml(), &[("h0", &providers[0]), ("h1", &providers[1])]);
        let world = World {
            sim,
            facts: facts.clone(),
            history: History::default(),
            submitted: BTreeMap::new(),
            deleted: BTreeSet::new(),
            crashed: BTreeSet::new(),
            ghosts: Vec::new(),
            disabled: BTreeSet::new(),
        };
        let moods = providers.iter().map(|provider| provider.mood.clone()).collect();
        let mut walk = Self {
            world,
            dice,
            trace,
            plan,
            moods,
            clients: JoinSet::new(),
            told: Arc::default(),
            named: 0,
            stepped: None,
            quiet: 0,
        };
        walk.note(&walk.plan.toml());
        walk.start().await;
        for _ in 0..STEPS {
            walk.act().await;
            let pause = *walk.dice.pick(&[0, 0, 20, 300, 1_000, 3_000, 10_000, 40_000, 200_000]);
            sleep(Duration::from_millis(pause)).await;
            walk.look().await;
        }
        walk.end().await;
    }

    pub(crate) fn note(&self, line: &str) {
        self.trace.note(format!("{}: {line}", self.world.facts.now()));
    }

    /// Looks, if the moment is quiet.
    async fn look(&mut self) {
        let before = self.world.facts.book().events;
        sleep(QUIET).await;
        if self.world.facts.book().events == before {
            self.quiet += 1;
            nothing_idle(&self.world).await;
            checks::nothing_lost(&self.world).await;
        }
    }

    /// All troubles are over.
    async fn end(mut self) {
        self.note("the end of all troubles");
        self.moods.iter().for_each(|mood| *mood.lock().unwrap() = Mood::default());
        self.plan = Plan::generous();
        let toml = self.plan.toml();
        self.world.history.begins(self.world.facts.now(), self.world.sim.config.clone());
        self.world.sim.reload(&toml).await;
        self.world.history.begins(self.world.facts.now(), self.world.sim.config.clone());
        for upstream in std::mem::take(&mut self.world.disabled) {
            if self.plan.upstreams.iter().any(|up| up.name == upstream) {
                self.world.sim.switch_on(&upstream).await;
            }
        }
        self.release_all().await;
        self.retry_given_up().await;
        let last = Instant::now() + AT_LAST;
        while self.world.sim.store().queue_length() > 0 {
            assert!(
                Instant::now() < last,
                "at {} still there: {:#?}",
                self.world.facts.now(),
                self.world.queue().await
            );
            sleep(secs(1)).await;
        }
        self.clients.shutdown().await;
        sleep(secs(1)).await;
        checks::nothing_lost(&self.world).await;
        let book = self.world.facts.book();
        checks::windows(&book, &self.world.history);
        checks::connections(&book, &self.world.history);
        for address in self.told.lock().unwrap().iter() {
            assert_eq!(book.taken.get(address), Some(&1), "a client was told that {address} had gone");
        }
        assert!(self.quiet > 0, "no moment was quiet");
        self.note(&format!("{} transactions, {} quiet moments", book.transactions.len(), self.quiet));
    }
}
