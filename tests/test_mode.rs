//! No recipient of a message that was accepted in test mode is ever addressed without a release to recipients, nor anybody to
//! whom a rule has given a copy of it: random sequences of submissions (by users whose mail is a test, and by others, queued
//! and direct), rules, the switch, holds, releases of one and of all, retries, deletions, reloads, ends in good order and in
//! bad. Real sessions, real store, simulated time, an upstream that misbehaves. What a rule holds or refuses is watched in
//! the same way.
//!
//! Addressed means: named in MAIL or RCPT (with its parameters), or in any field of a header that is not one of ours that keep
//! the originals. (The subject stays as it is, with `[TEST]` before it: it is for people.)
//!
//! `TEST_MODE_CASES=1000` runs as many random cases instead, `TEST_MODE_SEED=7` one alone; what fails prints its seed and what
//! was done.

#![allow(clippy::unwrap_used, reason = "a test may stop where its world breaks")]

mod support;

#[path = "model/dice.rs"]
#[allow(dead_code, reason = "the model uses another part of it")]
mod dice;
#[path = "test_mode/plan.rs"]
mod plan;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use dice::Dice;
use mailsluice::config::TestAction;
use mailsluice::mail::{Address, QueueId};
use mailsluice::store::{ListFilter, MessageState, Summary};
use plan::{Letter, Plan, TESTER};
use serde_json::{Value, json};
use support::direct_client::Client;
use support::simulation::{Simulation, secs};
use support::upstream::{Act, Script, Step, Upstream};

/// Seeds that are always run.
const FIXED: std::ops::Range<u64> = 0..16;
/// What happens in one case.
const ACTS: u32 = 60;
/// The listener whose clients wait for the upstream.
const DIRECT: usize = 1;

/// A message that was handed in.
#[derive(Debug)]
struct HandedIn {
    /// `None` when its client waited for the upstream, or it was refused.
    id: Option<QueueId>,
    /// Whom it is for, those included to whom rules give a copy.
    to: Vec<String>,
    /// What test mode made of it.
    treatment: Option<TestAction>,
    /// Whether a rule has it held.
    held: bool,
    /// Whether a rule has refused it.
    rejected: bool,
    /// How many commands the upstream had seen before: an upstream may be asked about recipients before there is a message.
    since: usize,
    /// Whether a person has released it to its recipients. What was accepted to be redirected or captured stays.
    released: bool,
    deleted: bool,
}

impl HandedIn {
    fn may_be_addressed(&self) -> bool {
        match self.treatment {
            _ if self.rejected => false,
            None => !self.held || self.released,
            Some(TestAction::Hold) => self.released,
            Some(TestAction::Redirect | TestAction::Capture) => false,
        }
    }
}

/// What shows that a case has tried something.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Tally {
    tests: usize,
    tests_of_users_alone: usize,
    tests_of_rules_alone: usize,
    direct_tests: usize,
    tests_with_copies: usize,
    held_by_rules: usize,
    rejected: usize,
    released: usize,
    delivered: usize,
}

impl Tally {
    /// Notes what was accepted.
    fn count(&mut self, message: &HandedIn, why: Why) {
        let note = |what: &mut usize, is_so: bool| *what += usize::from(is_so);
        let is_test = message.treatment.is_some();
        note(&mut self.tests, is_test);
        note(&mut self.direct_tests, is_test && message.id.is_none());
        note(&mut self.tests_of_users_alone, is_test && why.user && !why.switch && !why.rule);
        note(&mut self.tests_of_rules_alone, is_test && why.rule && !why.switch && !why.user);
        note(&mut self.tests_with_copies, is_test && why.copies);
        note(&mut self.held_by_rules, message.held);
    }
}

/// Who wants a message to be a test, and whether rules have given copies of it.
#[derive(Debug, Clone, Copy)]
struct Why {
    switch: bool,
    user: bool,
    rule: bool,
    copies: bool,
}

struct Walk {
    dice: Dice,
    sim: Simulation,
    up: Upstream,
    plan: Plan,
    handed_in: Vec<HandedIn>,
    /// Whose recipient an address is; each is named by one message alone.
    owners: HashMap<String, usize>,
    /// How many letters were written.
    written: u64,
    /// How much of what the upstream has seen was looked at.
    looked_at: (usize, usize),
    tally: Tally,
    trace: Arc<Mutex<Vec<String>>>,
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn case(seed: u64) -> Tally {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let trace: Arc<Mutex<Vec<String>>> = Arc::default();
    let walk = runtime.block_on(async { Walk::new(Dice::new(seed), Arc::clone(&trace)) });
    match catch_unwind(AssertUnwindSafe(|| runtime.block_on(walk.run()))) {
        Ok(tally) => tally,
        Err(panic) => {
            eprintln!("TEST_MODE_SEED={seed}\n{}", trace.lock().unwrap().join("\n"));
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn no_recipient_of_a_test_is_addressed() {
    let seeds: Vec<u64> = match (number("TEST_MODE_SEED"), number("TEST_MODE_CASES")) {
        (Some(seed), _) => vec![seed],
        (None, Some(cases)) => (0..cases).map(|_| rand::random::<u64>() >> 16).collect(),
        (None, None) => FIXED.collect(),
    };
    let is_alone = seeds.len() == 1;
    let all: Vec<Tally> = seeds.into_iter().map(case).collect();
    let sum = |of: fn(&Tally) -> usize| all.iter().map(of).sum::<usize>();
    let tried = [
        sum(|tally| tally.tests),
        sum(|tally| tally.tests_of_users_alone),
        sum(|tally| tally.tests_of_rules_alone),
        sum(|tally| tally.direct_tests),
        sum(|tally| tally.tests_with_copies),
        sum(|tally| tally.held_by_rules),
        sum(|tally| tally.rejected),
        sum(|tally| tally.released),
        sum(|tally| tally.delivered),
    ];
    assert!(is_alone || tried.iter().all(|&count| count > 10), "{tried:?}");
}

impl Walk {
    fn new(mut dice: Dice, trace: Arc<Mutex<Vec<String>>>) -> Self {
        let up = Upstream::new(Script::default().offering("DSN"));
        let plan = Plan { enabled: false, user_in_test: true, ..Plan::drawn(&mut dice, 0) };
        let sim = Simulation::new(&plan.toml(), &[("up", &up), ("other", &up)]);
        let (handed_in, owners, tally) = (Vec::new(), HashMap::new(), Tally::default());
        Self { dice, sim, up, plan, handed_in, owners, written: 0, looked_at: (0, 0), tally, trace }
    }

    fn note(&self, what: &str) {
        self.trace.lock().unwrap().push(what.to_owned());
    }

    async fn run(mut self) -> Tally {
        self.sim.start().await;
        for _ in 0..ACTS {
            match self.dice.between(0, 99) {
                0..35 => self.submit().await,
                35..45 => self.switch().await,
                45..55 => self.reload().await,
                55..67 => self.handle().await,
                67..72 => self.release_all().await,
                72..80 => self.mood(),
                80..87 => self.restart().await,
                _ => tokio::time::sleep(secs(self.dice.between(1, 3_000))).await,
            }
            self.check();
        }
        self.end().await;
        self.tally
    }

    /// All troubles are over: what may go goes, and everybody else is left alone.
    async fn end(&mut self) {
        self.note("the end");
        self.up.set(Script::default().offering("DSN"));
        for _ in 0..20 {
            self.sim.store().retry_all().await.unwrap();
            self.sim.core.as_ref().unwrap().context.wakeups.retry_all();
            tokio::time::sleep(secs(600)).await;
        }
        self.check();
        let queue = self.queue().await;
        let is_done = queue.iter().all(|message| message.state == MessageState::Held);
        assert!(is_done, "nothing keeps it: {queue:?}");
        let held: Vec<QueueId> = queue.into_iter().map(|message| message.queue_id).collect();
        let reached: Vec<String> = self.up.messages().into_iter().flat_map(|seen| seen.recipients).collect();
        for message in self.handed_in.iter().filter(|message| message.may_be_addressed() && !message.deleted)
        {
            if message.id.as_ref().is_some_and(|id| held.contains(id)) {
                continue;
            }
            for to in &message.to {
                assert!(reached.contains(to), "{to} has got nothing: {message:?}");
                self.tally.delivered += 1;
            }
        }
    }

    async fn queue(&self) -> Vec<Summary> {
        let all = ListFilter { limit: u32::MAX, ..ListFilter::default() };
        self.sim.store().list(all).await.unwrap()
    }

    async fn submit(&mut self) {
        let listener = usize::from(self.dice.percent(35));
        self.written += 1;
        let letter = Letter::drawn(&mut self.dice, self.written);
        let mut client = Client::at(&self.sim, listener).await;
        if let Some((_, login)) = letter.user {
            assert!(client.say(&format!("AUTH PLAIN {login}")).await.starts_with("235"));
        }
        assert!(client.say(&format!("MAIL FROM:<{}> RET=HDRS", letter.from)).await.starts_with("250"));
        let mut taken = Vec::new();
        for to in &letter.to {
            let rcpt = format!("RCPT TO:<{to}> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;{to}");
            if client.say(&rcpt).await.starts_with("250") {
                taken.push(to.clone());
            }
        }
        // Somebody may switch while the message is under way; what is in force at its end counts.
        if self.dice.percent(15) {
            self.switch().await;
        }
        if taken.is_empty() || !client.say("DATA").await.starts_with("354") {
            return client.leave().await;
        }
        let (mut message, why) = self.expected(&letter, taken.clone());
        let mut apart = None;
        let reply = client.say(&letter.content(&taken)).await;
        client.leave().await;
        self.note(&format!("at {listener}: {letter:?}, {message:?}: {reply}"));
        assert_eq!(message.rejected, reply == "550 5.7.1 not you", "{message:?}: {reply}");
        if reply.starts_with("250") {
            message.id = reply.rsplit_once("queued as ").and_then(|(_, id)| QueueId::parse(id).ok());
            assert!(message.id.is_some() || listener == DIRECT, "{reply}");
            self.tally.count(&message, why);
            if message.id.is_none() && message.treatment.is_none() && message.to.len() > taken.len() {
                apart = Some(self.copies_apart(&mut message, taken.len()).await);
            }
        } else {
            // In direct mode nothing was accepted; of a test nobody is to hear of it all the same.
            message.deleted = true;
            self.tally.rejected += usize::from(message.rejected);
        }
        for message in [Some(message), apart].into_iter().flatten() {
            self.owners.extend(message.to.iter().map(|to| (to.clone(), self.handed_in.len())));
            self.handed_in.push(message);
        }
    }

    /// The copies of a message that the upstream took while its client waited: they are queued, and may have gone by now.
    async fn copies_apart(&self, message: &mut HandedIn, own: usize) -> HandedIn {
        let to = message.to.split_off(own);
        let queue = self.queue().await;
        let is_it = |queued: &&Summary| queued.recipients.iter().any(|one| one.address == to[0]);
        let id = queue.iter().find(is_it).map(|queued| queued.queue_id.clone());
        HandedIn { id, to, ..*message }
    }

    /// What becomes of a letter whose content ends now.
    fn expected(&self, letter: &Letter, taken: Vec<String>) -> (HandedIn, Why) {
        let state = self.sim.core.as_ref().unwrap().test_mode.state();
        let fate = self.plan.fate(letter, &taken);
        let user = letter.user() == Some("trial") && self.plan.user_in_test;
        let why = Why { switch: state.enabled, user, rule: fate.test, copies: !fate.copies.is_empty() };
        let message = HandedIn {
            id: None,
            to: taken.into_iter().chain(fate.copies).collect(),
            treatment: (why.switch || why.user || why.rule).then_some(state.action),
            held: fate.held,
            rejected: fate.rejected,
            since: self.up.commands().len(),
            released: false,
            deleted: false,
        };
        (message, why)
    }

    async fn switch(&mut self) {
        let actions = [TestAction::Redirect, TestAction::Hold, TestAction::Capture];
        let (enabled, action) = (self.dice.percent(50), *self.dice.pick(&actions));
        self.note(&format!("switch: {enabled} {action:?}"));
        let address = Address::parse(TESTER).ok();
        let switch = self.sim.core.as_ref().unwrap().test_mode.clone();
        switch.set(enabled, Some(action), address).await.unwrap();
    }

    async fn reload(&mut self) {
        self.plan = Plan::drawn(&mut self.dice, self.written);
        self.note(&format!("reload: {:?}", self.plan));
        self.sim.reload(&self.plan.toml()).await;
    }

    /// A person sees to one message.
    async fn handle(&mut self) {
        let queue = self.queue().await;
        let still: Vec<&Summary> = queue.iter().filter(|one| one.state != MessageState::Sending).collect();
        if still.is_empty() {
            return;
        }
        let message = *self.dice.pick(&still);
        let id = &message.queue_id;
        let what = *self.dice.pick(&["hold", "hold", "retry", "release", "release", "release", "delete"]);
        let to = *self.dice.pick(&["test", "recipients", "recipients"]);
        self.note(&format!("a person: {what} {id} ({:?}), to {to}", message.state));
        let (method, path, body) = match what {
            "delete" => ("DELETE", format!("/queue/{id}"), String::new()),
            "release" => {
                let body = json!({"to": to, "confirmed": self.dice.percent(70)}).to_string();
                ("POST", format!("/queue/{id}/release"), body)
            }
            _ => ("POST", format!("/queue/{id}/{what}"), String::new()),
        };
        let (status, events) = self.sim.control().begin(method, &path, body).await;
        drop(events);
        let known = self.handed_in.iter_mut().find(|one| one.id.as_ref() == Some(id));
        if let Some(known) = known.filter(|_| status.is_success()) {
            known.deleted |= what == "delete";
            if what == "release" {
                self.tally.released += usize::from(to == "recipients");
                match to {
                    "recipients" => known.released = true,
                    // It is redirected from now on, for good.
                    _ if known.treatment != Some(TestAction::Capture) => {
                        known.treatment = Some(TestAction::Redirect);
                        known.since = self.up.commands().len();
                    }
                    _ => {}
                }
            }
        }
    }

    /// All that is held, to one place.
    async fn release_all(&mut self) {
        let to = *self.dice.pick(&["test", "recipients"]);
        self.note(&format!("all that is held is released to {to}"));
        let held: Vec<QueueId> = self
            .queue()
            .await
            .into_iter()
            .filter(|message| message.state == MessageState::Held)
            .map(|message| message.queue_id)
            .collect();
        let since = self.up.commands().len();
        for message in &mut self.handed_in {
            if !message.id.as_ref().is_some_and(|id| held.contains(id)) {
                continue;
            }
            match (to, message.treatment) {
                ("recipients", _) => {
                    message.released = true;
                    self.tally.released += usize::from(message.may_be_addressed());
                }
                (_, None | Some(TestAction::Hold)) => {
                    (message.treatment, message.since) = (Some(TestAction::Redirect), since);
                }
                _ => {}
            }
        }
        let control = self.sim.control();
        let plan: Value = control.ask("GET", &format!("/queue/release?to={to}")).await;
        let body = json!({"query": {"to": to}, "plan": plan}).to_string();
        let events = control.follow("POST", "/queue/release", body).await;
        let last = events.last().unwrap();
        assert_eq!((&last["done"], &last["messages"]), (&json!(true), &plan["messages"]), "{last}");
    }

    fn mood(&mut self) {
        let good = Script::default().offering("DSN");
        let script = match self.dice.between(0, 4) {
            0 => good.with(Step::AnyRcpt, Act::reply(451, "4.3.0 later")),
            1 => good.with(Step::Dot, Act::Drop),
            2 => good.with(Step::Connect, Act::Refuse),
            _ => good,
        };
        self.note("the upstream has another mood");
        self.up.set(script);
    }

    async fn restart(&mut self) {
        let dies = self.dice.percent(50);
        self.note(&format!("restart: dies {dies}"));
        if dies {
            self.sim.kill().await;
        } else {
            self.sim.stop().await;
        }
        self.check();
        self.sim.start().await;
    }

    /// Nobody was addressed who must not be.
    fn check(&mut self) {
        let (commands, messages) = (self.up.commands(), self.up.messages());
        for (at, line) in commands.iter().enumerate().skip(self.looked_at.0) {
            for message in self.named_in(line) {
                let is_innocent = message.may_be_addressed() || at < message.since;
                assert!(is_innocent, "{line}: {message:?}");
            }
        }
        for seen in messages.iter().skip(self.looked_at.1) {
            let text = String::from_utf8_lossy(&seen.content).replace("\r\n ", " ").replace("\r\n\t", " ");
            let (header, _) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
            let fields = header.split("\r\n").filter(|field| !field.starts_with("X-Mailsluice-Original-"));
            for field in fields.chain(seen.recipients.iter().map(String::as_str)) {
                for message in self.named_in(field) {
                    assert!(message.may_be_addressed(), "{field}: {message:?}");
                }
            }
        }
        self.looked_at = (commands.len(), messages.len());
    }

    /// The messages whose recipients stand in a text.
    fn named_in<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'a HandedIn> {
        let is_of_address = |c: char| c.is_ascii_alphanumeric() || matches!(c, '@' | '.' | '-' | '_');
        let words = text.split(move |c| !is_of_address(c));
        words.filter_map(|word| self.owners.get(word).map(|&owner| &self.handed_in[owner]))
    }
}
