//! What happens to a relay.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mailsluice::store::{Decisions, MOST_DOUBTS, MessageState, Summary};
use tokio::time::sleep;

use super::count::Ghost;
use super::plan::SENDERS;
use super::provider::Mood;
use super::support::direct_client::Client;
use super::walk::Walk;

/// Clients of the queue.
const CLIENTS: [&str; 3] = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];

/// Within how many milliseconds the relay has noted that the clock was set.
const STEP_NOTED: u64 = 6_000;

impl Walk {
    pub(crate) async fn act(&mut self) {
        match self.dice.between(0, 99) {
            0..40 => self.submit().await,
            40..52 => self.client().await,
            52..67 => self.mood(),
            67..79 => self.reload().await,
            79..85 => self.switch().await,
            85..93 => self.handle().await,
            93..96 => self.restart().await,
            96..98 => {
                let by = *self.dice.pick(&[-7_200_000, -5_000, 5_000, 86_400_000]);
                self.note(&format!("the clock is set by {by} ms"));
                self.stepped = Some(self.world.facts.now());
                self.world.sim.clock.step(by);
            }
            _ => {
                self.note("nothing for a while");
                sleep(Duration::from_secs(self.dice.between(60, 2_400))).await;
            }
        }
    }

    pub(crate) async fn start(&mut self) {
        self.world.sim.start().await;
        self.world.history.begins(self.world.facts.now(), self.world.sim.config.clone());
        self.stepped = None;
    }

    fn addresses(&mut self, most: u64) -> Vec<String> {
        self.named += 1;
        (0..self.dice.between(1, most)).map(|n| format!("m{}r{n}@there.example", self.named)).collect()
    }

    async fn submit(&mut self) {
        for _ in 0..*self.dice.pick(&[1, 1, 1, 2, 5, 12]) {
            let most = *self.dice.pick(&[1, 1, 3, 40]);
            let to = self.addresses(most);
            let (client, sender) = (*self.dice.pick(&CLIENTS), *self.dice.pick(&SENDERS));
            let strs: Vec<&str> = to.iter().map(String::as_str).collect();
            let id = self.world.sim.submit_by(client, sender, &strs).await;
            self.note(&format!("{client} submits {id} from {sender} to {}, {} recipients", to[0], to.len()));
            self.world.submitted.extend(to.into_iter().map(|address| (address, id.clone())));
        }
    }

    /// A client that waits for the upstream, in a session of its own.
    async fn client(&mut self) {
        for _ in 0..self.dice.between(1, 3) {
            let to = self.addresses(3);
            let sender = *self.dice.pick(&SENDERS);
            let pause = *self.dice.pick(&[0, 0, 0, 500, 20_000, 90_000]);
            let leaves = self.dice.percent(15);
            self.note(&format!("a client from {sender} to {to:?}, pauses for {pause} ms, leaves {leaves}"));
            let client = Client::at(&self.world.sim, 0).await;
            let dialogue = Dialogue { sender, to, pause: Duration::from_millis(pause), leaves };
            self.clients.spawn(dialogue.run(client, self.told.clone()));
        }
    }

    fn mood(&mut self) {
        let place = self.dice.between(0, 1) as usize;
        let mood = if self.dice.percent(45) { Mood::default() } else { Mood::random(&mut self.dice) };
        self.note(&format!("h{place} is {mood:?}"));
        *self.moods[place].lock().unwrap() = mood;
    }

    async fn reload(&mut self) {
        for _ in 0..self.dice.between(0, 3) {
            self.plan.change(&mut self.dice);
        }
        let toml = self.plan.toml();
        self.note(&format!("reload\n{toml}"));
        self.world.sim.reload(&toml).await;
        self.world.history.begins(self.world.facts.now(), self.world.sim.config.clone());
    }

    async fn switch(&mut self) {
        let place = self.dice.between(0, self.plan.upstreams.len() as u64 - 1) as usize;
        let name = self.plan.upstreams[place].name.to_owned();
        let control = self.world.sim.control();
        if self.world.disabled.remove(&name) {
            self.note(&format!("enable {name}"));
            control.enable(&name).await;
        } else if self.dice.percent(60) {
            self.note(&format!("disable {name}"));
            control.disable(&name).await;
            self.world.disabled.insert(name);
        }
    }

    /// A person sees to a message, or to all.
    async fn handle(&mut self) {
        let queue = self.world.queue().await;
        let still: Vec<&Summary> =
            queue.iter().filter(|message| message.state != MessageState::Sending).collect();
        if still.is_empty() {
            return;
        }
        let message = *self.dice.pick(&still);
        let id = &message.queue_id;
        let what = self.dice.between(0, 4);
        self.note(&format!("a person: {what} with {id}, {:?}", message.state));
        let control = self.world.sim.control();
        match what {
            0 => {
                control.ask("DELETE", &format!("/queue/{id}")).await;
                let all = message.recipients.iter().map(|recipient| recipient.address.clone());
                self.world.deleted.extend(all);
            }
            1 if message.state != MessageState::Held => {
                control.ask("POST", &format!("/queue/{id}/hold")).await;
            }
            2 if message.state != MessageState::Held => {
                control.ask("POST", &format!("/queue/{id}/retry")).await;
            }
            3 => drop(control.ask("POST", "/queue/retry").await),
            _ => {
                drop(control);
                self.release_all().await;
            }
        }
    }

    pub(crate) async fn release_all(&mut self) {
        for message in self.world.queue().await {
            if message.state == MessageState::Held {
                let store = self.world.sim.store();
                let lane = store.release(message.queue_id, Decisions::default()).await.unwrap();
                self.world.sim.core.as_ref().unwrap().context.wakeups.wake(&lane.unwrap());
            }
        }
    }

    /// A person wants what may have arrived so often that it is not sent again by itself.
    pub(crate) async fn retry_given_up(&mut self) {
        for message in self.world.queue().await {
            if message.recipients.iter().any(|recipient| recipient.doubts >= MOST_DOUBTS) {
                let path = format!("/queue/{}/retry", message.queue_id);
                self.world.sim.control().ask("POST", &path).await;
            }
        }
    }

    /// The relay stops or dies, the machine perhaps with it, and is started again.
    async fn restart(&mut self) {
        let dies = self.dice.percent(60);
        let is_noted = self.stepped.is_none_or(|at| self.world.facts.now() > at + STEP_NOTED);
        let reboots = is_noted && self.dice.percent(30);
        self.note(&format!("restart: dies {dies}, reboots {reboots}"));
        let mut ghosts = Vec::new();
        if dies {
            for message in self.world.queue().await {
                if message.state == MessageState::Sending {
                    ghosts.push(message.recipients.len() as u64);
                    let all = message.recipients.into_iter().map(|recipient| recipient.address);
                    self.world.crashed.extend(all);
                }
            }
            while self.clients.try_join_next().is_some() {}
            ghosts.extend((0..self.clients.len()).map(|_| 100));
            drop(self.world.sim.core.take());
            self.clients.shutdown().await;
            self.world.sim.kill().await;
        } else {
            self.clients.shutdown().await;
            self.world.sim.stop().await;
        }
        if reboots {
            self.world.sim.clock.reboot();
        }
        sleep(Duration::from_millis(*self.dice.pick(&[10, 1_000, 90_000]))).await;
        self.start().await;
        let at = self.world.facts.now();
        self.world.ghosts.extend(ghosts.into_iter().map(|recipients| Ghost { at, messages: 1, recipients }));
    }
}

/// What a client says.
struct Dialogue {
    sender: &'static str,
    to: Vec<String>,
    pause: Duration,
    /// Whether it goes before it has handed in its message.
    leaves: bool,
}

impl Dialogue {
    async fn run(self, mut client: Client, told: Arc<Mutex<Vec<String>>>) {
        client.say(&format!("MAIL FROM:<{}>", self.sender)).await;
        let mut accepted = Vec::new();
        for to in self.to {
            if client.say(&format!("RCPT TO:<{to}>")).await.starts_with("250") {
                accepted.push(to);
            }
            sleep(self.pause / 3).await;
        }
        sleep(self.pause).await;
        if self.leaves || accepted.is_empty() || !client.say("DATA").await.starts_with("354") {
            return client.leave().await;
        }
        let text = format!("From: {}\r\nSubject: x\r\n\r\nHello.\r\n.", self.sender);
        if client.say(&text).await.starts_with("250") {
            told.lock().unwrap().extend(accepted);
        }
        client.leave().await;
    }
}
