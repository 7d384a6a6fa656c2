//! What becomes of a message at a relay that runs, up to its end.

use std::time::Duration;

use mailsluice::explain::Inquiry;
use mailsluice::mail::QueueId;
use mailsluice::store::{MessageState, Summary};
use serde_json::json;

use super::cases::{ACCOUNTS, DIRECT, LOGINS};
use super::support::direct_client::Client;
use super::support::simulation::{Simulation, secs};
use super::support::upstream::{Script, Seen, Upstream};

/// A relay with its upstreams.
pub(crate) struct Happening {
    pub(crate) sim: Simulation,
    upstreams: [(&'static str, Upstream); 2],
}

/// What was seen of a message.
#[derive(Debug, Default)]
pub(crate) struct Happened {
    /// The reply to the whole of it.
    pub(crate) reply: String,
    /// The recipients that were refused, each with the reply.
    pub(crate) refused: Vec<(String, String)>,
    /// As it stood in the queue, before anybody let it go.
    pub(crate) queued: Option<Summary>,
    /// Until when it waits, in milliseconds since 1970.
    pub(crate) due: Option<i64>,
    /// What has arrived, and by which upstream.
    pub(crate) arrived: Vec<(&'static str, Seen)>,
    /// What is in the local mailbox.
    pub(crate) captured: Vec<Vec<u8>>,
    /// What the relay shows of the limits: account, window, messages, recipients.
    pub(crate) limits: Vec<(String, String, Option<u64>, Option<u64>)>,
}

impl Happening {
    /// A relay that has not started.
    pub(crate) fn new(toml: &str) -> Self {
        let firm = Upstream::new(Script::default());
        let logins = [ACCOUNTS[1], "anna@other.example"];
        let other = Upstream::new(Script::default().with_logins(&logins));
        let sim = Simulation::new(toml, &[("firm", &firm), ("other", &other)]);
        Self { sim, upstreams: [("firm", firm), ("other", other)] }
    }

    /// Hands a message in, lets it go where something keeps it, and sees what comes of it.
    pub(crate) async fn of(mut self, asked: &Inquiry) -> Happened {
        self.sim.start().await;
        let is_direct = asked.listener.as_deref() == Some(DIRECT);
        if !is_direct {
            self.switch(false).await;
        }
        let mut happened = self.hand_in(asked, usize::from(is_direct)).await;
        let id = happened.reply.rsplit_once("queued as ").and_then(|(_, id)| QueueId::parse(id).ok());
        if let Some(id) = &id {
            happened.queued = self.sim.store().show(id.clone()).await.unwrap();
            let timeline = &self.sim.core.as_ref().unwrap().context.timeline;
            let due = happened.queued.as_ref().filter(|queued| queued.is_scheduled(timeline.now()));
            happened.due = due.map(|queued| timeline.wall_at(queued.due).as_millisecond());
        }
        if !is_direct {
            self.switch(true).await;
        }
        if let (Some(id), Some(queued)) = (&id, &happened.queued) {
            self.let_go(id, queued).await;
        }
        self.sim.until(secs(600), Duration::from_secs(1), async |sim| sim.store().queue_length() == 0).await;
        self.look(&mut happened).await;
        self.sim.stop().await;
        happened
    }

    /// The upstreams take mail, or none.
    async fn switch(&self, on: bool) {
        for (name, _) in &self.upstreams {
            if on {
                self.sim.switch_on(name).await;
            } else {
                self.sim.switch_off(name).await;
            }
        }
    }

    async fn hand_in(&self, asked: &Inquiry, listener: usize) -> Happened {
        let mut happened = Happened::default();
        let mut client = Client::of(&self.sim, listener, asked.client).await;
        if let Some(user) = &asked.user {
            let (_, login) = LOGINS.iter().find(|(name, _)| name == user).unwrap();
            let reply = client.say(&format!("AUTH PLAIN {login}")).await;
            assert!(reply.starts_with("235"), "{reply}");
        }
        happened.reply = client.say(&format!("MAIL FROM:<{}>", asked.reverse_path.as_str())).await;
        if !happened.reply.starts_with("250") {
            client.leave().await;
            return happened;
        }
        for to in &asked.recipients {
            let reply = client.say(&format!("RCPT TO:<{to}>")).await;
            if !reply.starts_with("250") {
                happened.refused.push((to.to_string(), reply));
            }
        }
        if happened.refused.len() == asked.recipients.len() {
            happened.reply = happened.refused[0].1.clone();
        } else {
            client.write(format!("BDAT {} LAST\r\n", asked.content.len()).as_bytes()).await;
            client.write(&asked.content).await;
            happened.reply = client.reply().await;
        }
        client.leave().await;
        happened
    }

    /// A person releases what is held, and sends at once what waits for its time.
    async fn let_go(&self, id: &QueueId, queued: &Summary) {
        let control = self.sim.control();
        if queued.state == MessageState::Held {
            use mailsluice::config::TestAction::{Capture, Redirect};
            let test = queued.decisions.test.as_ref().map(|test| test.action);
            let to = if matches!(test, Some(Redirect | Capture)) { "test" } else { "recipients" };
            let body = json!({"to": to, "confirmed": true}).to_string();
            let (status, _) = control.begin("POST", &format!("/queue/{id}/release"), body).await;
            assert!(status.is_success(), "{status}: {queued:?}");
        }
        if queued.decisions.ruled.delay_until.is_some() {
            // It may have gone by now.
            drop(control.begin("POST", &format!("/queue/{id}/retry"), String::new()).await);
        }
    }

    async fn look(&self, happened: &mut Happened) {
        for (name, upstream) in &self.upstreams {
            happened.arrived.extend(upstream.messages().into_iter().map(|seen| (*name, seen)));
        }
        let mailbox = self.sim.config.data_dir.join("captured/new");
        let files = std::fs::read_dir(mailbox).into_iter().flatten();
        happened.captured = files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
        let limits = self.sim.control().ask("GET", "/limits").await;
        let limits = limits.as_array().unwrap().iter().map(|line| {
            let text = |key: &str| line[key].as_str().unwrap().to_owned();
            let account = format!("{} {}", text("upstream"), text("account"));
            (
                account,
                text("window"),
                line["messages"]["limit"].as_u64(),
                line["recipients"]["limit"].as_u64(),
            )
        });
        happened.limits = limits.filter(|(.., messages, to)| messages.is_some() || to.is_some()).collect();
    }
}
