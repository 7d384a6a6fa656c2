//! The life of a copy for a Sent folder: real store, real relay, scripted servers; time is simulated.

#![allow(clippy::unwrap_used, reason = "a test may stop where its world breaks")]

#[path = "sent_copy/server.rs"]
mod server;
mod support;

use std::time::Duration;

use mailsluice::store::WaitingCopies;
use server::{Conduct, ImapServer};
use support::direct_client::Client;
use support::simulation::{Simulation, secs};
use support::upstream::{Act, Authority, Script, Step, Upstream};
use tokio::time::{Instant, sleep};

const FROM: &str = "a@firm.example";
const TO: &str = "x@there.example";
const HOUR: u64 = 3_600;
const MOMENT: Duration = Duration::from_millis(100);

/// A relay with an upstream, and the IMAP server of its account.
struct World {
    sim: Simulation,
    up: Upstream,
    imap: ImapServer,
    toml: String,
    _ca_file: tempfile::NamedTempFile,
}

impl World {
    async fn new(more: &str) -> Self {
        Self::with(more, "").await
    }

    /// With more keys of the upstream, and more sections.
    async fn with(upstream: &str, sections: &str) -> Self {
        let authority = Authority::new();
        let (up, ca_file) =
            (Upstream::new(Script::default().with_logins(&["anna@firm.example"])), authority.ca_file());
        let imap = ImapServer::new(authority.server("imap.firm.example"));
        let toml = format!(
            "[[upstream]]\nname = \"main\"\nhost = \"up\"\nsecurity = \"none\"\nallow_plaintext_auth = true\n\
             user = \"anna@firm.example\"\npassword = \"secret\"\nca_file = \"{}\"\n{upstream}\n\
             [upstream.sent_copy]\nimap = \"imap.firm.example\"\n{sections}",
            ca_file.path().display()
        );
        let mut sim = Simulation::new(&toml, &[("up", &up), ("imap.firm.example", &imap)]);
        sim.start().await;
        Self { sim, up, imap, toml, _ca_file: ca_file }
    }

    async fn waiting(&self) -> Option<WaitingCopies> {
        let mut all = self.sim.store().waiting_copies().await.unwrap();
        assert!(all.len() < 2, "{all:?}");
        all.pop()
    }

    async fn until_copied(&self, most: Duration) {
        self.sim
            .until(most, MOMENT, async |sim| sim.store().waiting_copies().await.unwrap().is_empty())
            .await;
    }

    /// A message is sent, and its copy made, within seconds.
    async fn send_and_copy(&mut self) {
        self.sim.submit(FROM, &[TO]).await;
        self.sim.until_empty(secs(5)).await;
        self.until_copied(secs(5)).await;
    }

    /// What the upstream has taken, and what lies in the folder.
    fn is_copied(&self) {
        let taken: Vec<_> = self.up.messages().into_iter().map(|seen| seen.content).collect();
        assert_eq!(self.imap.stored(), taken);
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_made_at_once_and_the_folder_too() {
    let mut world = World::new("").await;
    for _ in 0..3 {
        world.send_and_copy().await;
    }
    world.is_copied();
    assert_eq!(world.imap.connections(), 1, "the session stays open for a while");
    assert!(world.up.messages()[0].content.starts_with(b"From: "), "{:?}", world.up.messages()[0]);
    sleep(secs(60)).await;
    world.send_and_copy().await;
    assert_eq!(world.imap.connections(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_another_client_makes_is_as_good() {
    let mut world = World::new("").await;
    world.imap.set(Conduct::MadeByAnother);
    world.send_and_copy().await;
    world.is_copied();
    assert_eq!(world.imap.connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_nobody_may_make_is_told_with_the_reason() {
    let mut world = World::new("").await;
    world.imap.set(Conduct::NoCreate);
    world.sim.submit(FROM, &[TO]).await;
    sleep(secs(30)).await;
    let waiting = world.waiting().await.unwrap();
    assert!(waiting.reason.contains("refuses CREATE: [NOPERM] not for you"), "{waiting:?}");
    world.imap.set(Conduct::Well);
    world.until_copied(secs(HOUR)).await;
    world.is_copied();
}

/// Whatever the IMAP server does, the mail goes as if there were none.
#[tokio::test(start_paused = true)]
async fn no_mail_waits_for_a_copy() {
    for conduct in [Conduct::Down, Conduct::Hang, Conduct::NoLogin, Conduct::Refuse, Conduct::LoseAnswer] {
        let mut world = World::new("disable_after = 1").await;
        world.imap.set(conduct);
        let start = Instant::now();
        for _ in 0..20 {
            world.sim.submit(FROM, &[TO]).await;
        }
        world.sim.until_empty(secs(5)).await;
        assert!(start.elapsed() < secs(5), "{conduct:?}");
        assert_eq!(world.up.messages().len(), 20, "{conduct:?}");
        assert_eq!(world.sim.store().suspensions().await.unwrap(), [], "{conduct:?}");
        sleep(secs(HOUR)).await;
        world.imap.set(Conduct::Well);
        world.until_copied(secs(3 * HOUR)).await;
        assert_eq!(world.imap.stored().len(), 20, "{conduct:?}: each once");
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_told_and_tried_at_growing_pauses() {
    let mut world = World::new("").await;
    world.imap.set(Conduct::NoLogin);
    world.sim.submit(FROM, &[TO]).await;
    sleep(secs(30)).await;
    let waiting = world.waiting().await.unwrap();
    assert_eq!((&*waiting.account.account, waiting.copies), ("anna@firm.example", 1));
    assert!(waiting.reason.contains("refuses the login: [AUTHENTICATIONFAILED] who are you"), "{waiting:?}");
    // After 1, 2, 4 … minutes, and in the end each hour.
    sleep(secs(6 * HOUR)).await;
    let tries = world.imap.connections();
    assert!((9..=13).contains(&tries), "{tries}");
    world.imap.set(Conduct::Well);
    let toml = world.toml.clone();
    world.sim.reload(&toml).await;
    // Whoever has mended it does not wait for an hour.
    world.until_copied(secs(1)).await;
    world.is_copied();
}

#[tokio::test(start_paused = true)]
async fn a_copy_outlives_the_process() {
    for is_killed in [true, false] {
        let mut world = World::new("").await;
        world.imap.set(Conduct::Down);
        world.sim.submit(FROM, &[TO]).await;
        world.sim.until_empty(secs(5)).await;
        if is_killed {
            world.sim.kill().await;
        } else {
            world.sim.stop().await;
        }
        world.imap.set(Conduct::Well);
        world.sim.start().await;
        world.until_copied(secs(5)).await;
        world.is_copied();
    }
}

/// The answer to APPEND is lost, with the process or without it.
#[tokio::test(start_paused = true)]
async fn what_may_be_there_is_looked_for() {
    for is_killed in [false, true] {
        let mut world = World::new("").await;
        world.imap.set(Conduct::LoseAnswer);
        world.sim.submit(FROM, &[TO]).await;
        world.sim.until(secs(5), MOMENT, async |_| world.imap.offers() == 1).await;
        world.imap.set(Conduct::Well);
        if is_killed {
            world.sim.kill().await;
            world.sim.start().await;
        }
        world.until_copied(secs(HOUR)).await;
        assert_eq!((world.imap.stored().len(), world.imap.offers()), (1, 1), "{is_killed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_given_up_in_the_end() {
    // After three days where the server can't be asked; after twenty refusals where it can.
    for (conduct, after, offers) in [(Conduct::Down, 74 * HOUR, 0), (Conduct::Refuse, 20 * HOUR, 20)] {
        let mut world = World::new("").await;
        world.imap.set(conduct);
        world.sim.submit(FROM, &[TO]).await;
        sleep(secs(10 * HOUR)).await;
        assert_eq!(world.waiting().await.unwrap().copies, 1, "{conduct:?}");
        sleep(secs(after)).await;
        assert_eq!(world.waiting().await, None, "{conduct:?}");
        assert_eq!(world.imap.offers(), offers, "{conduct:?}");
        assert_eq!(world.sim.totals().await.sent, 1);
        let tried = world.imap.connections();
        world.imap.set(Conduct::Well);
        sleep(secs(10 * HOUR)).await;
        assert_eq!((world.imap.connections(), world.imap.stored().len()), (tried, 0), "{conduct:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_went_in_parts_is_copied_once() {
    let mut world = World::new("limits.recipients_per_message = 1\nlimits.per_minute.messages = 1").await;
    world.sim.submit(FROM, &["x@there.example", "y@there.example", "z@there.example"]).await;
    world.sim.until_empty(secs(600)).await;
    world.until_copied(secs(5)).await;
    assert_eq!((world.up.messages().len(), world.imap.stored().len()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_has_no_copy() {
    let mut world = World::new("").await;
    world.up.set(
        Script::default()
            .with_logins(&["anna@firm.example"])
            .with(Step::Rcpt(0), Act::reply(550, "5.1.1 nobody")),
    );
    world.sim.submit(FROM, &[TO]).await;
    sleep(secs(60)).await;
    // Its report has gone, and that has no copy either.
    world.up.set(Script::default().with_logins(&["anna@firm.example"]));
    world.sim.until_empty(secs(HOUR)).await;
    assert_eq!((world.waiting().await, world.imap.connections()), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn a_test_has_no_copy() {
    let test = "[test_mode]\nenabled = true\naction = \"redirect\"\naddress = \"test@firm.example\"\n";
    let mut world = World::with("", test).await;
    world.sim.submit(FROM, &[TO]).await;
    world.sim.until_empty(secs(60)).await;
    assert_eq!((world.up.messages().len(), world.imap.connections()), (1, 0));
    assert_eq!(world.waiting().await, None);
}

#[tokio::test(start_paused = true)]
async fn large_mail_waits_in_files_of_its_own() {
    let mut world = World::new("").await;
    world.imap.set(Conduct::Down);
    for _ in 0..3 {
        let mut large = world.sim.message(FROM, &[TO]);
        let octets = [large.content.octets().unwrap(), &b"0123456789\r\n".repeat(20_000)].concat();
        large.content = mailsluice::store::Content::memory(octets);
        world.sim.enqueue(large).await;
    }
    world.sim.until_empty(secs(60)).await;
    let files = || std::fs::read_dir(world.sim.config.data_dir.join("content")).unwrap().count();
    assert_eq!(files(), 3);
    world.imap.set(Conduct::Well);
    world.until_copied(secs(600)).await;
    let stored: Vec<_> = world.imap.stored().iter().map(Vec::len).collect();
    let taken: Vec<_> = world.up.messages().iter().map(|seen| seen.content.len()).collect();
    assert_eq!((stored.iter().sum::<usize>(), files()), (taken.iter().sum(), 0));
}

#[tokio::test(start_paused = true)]
async fn an_upstream_without_a_sent_folder_costs_nothing() {
    let mut world = World::new("").await;
    let toml = world.toml.split("[upstream.sent_copy]").next().unwrap().to_owned();
    world.sim.reload(&toml).await;
    world.sim.submit(FROM, &[TO]).await;
    world.sim.until_empty(secs(60)).await;
    assert_eq!((world.waiting().await, world.imap.connections()), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn in_direct_mode_the_client_has_its_answer_first() {
    let rule = "[[rule]]\nname = \"archive\"\nadd_bcc = [\"archive@firm.example\"]\n";
    let world = World::with("", &format!("[queue]\nmode = \"direct\"\n{rule}")).await;
    world.imap.set(Conduct::Hang);
    let mut client = Client::at(&world.sim, 0).await;
    let start = Instant::now();
    let replies = client.send(FROM, &[TO], FROM).await;
    assert!(replies.iter().all(|reply| reply.starts_with('2')) && start.elapsed() < secs(1), "{replies:?}");
    client.leave().await;
    world.sim.until_empty(secs(5)).await;
    assert_eq!(world.up.messages().len(), 2, "one for the archive");
    world
        .sim
        .until(secs(5), MOMENT, async |sim| !sim.store().waiting_copies().await.unwrap().is_empty())
        .await;
    world.imap.set(Conduct::Well);
    world.until_copied(secs(2 * HOUR)).await;
    assert_eq!(world.imap.stored(), [world.up.messages()[0].content.clone()]);
}
