//! Several that could carry a mail: a fact about one of them is no fact about the mail, and what one of them is busy
//! with is no reason for the others to stand idle.

use mailsluice::mail::{Address, Body};
use mailsluice::store::{Content, NewMessage};
use tokio::time::{Instant, sleep};

use super::support::direct_client::Client;
use super::support::simulation::{Simulation, secs};
use super::support::upstream::{Act, Script, Step, Upstream, Whose};
use super::{FROM, arrivals};

const FALLBACK: &str = r#"
[queue]
warn_after = "never"
[[upstream]]
name = "main"
host = "up"
security = "none"
default = true
fallback = ["backup"]
[[upstream]]
name = "backup"
host = "backup"
security = "none"
filter = ["nobody.example"]
"#;

/// An upstream with two logins: anna takes small messages alone.
fn two_accounts(of_bert: &str) -> String {
    format!(
        r#"
[queue]
warn_after = "never"
[[upstream]]
name = "main"
host = "up"
security = "none"
allow_plaintext_auth = true
user = "anna"
password = "secret"
[upstream.limits]
message_size = "2KiB"
[[upstream.account]]
user = "bert"
password = "secret"
[upstream.account.limits]
{of_bert}
"#
    )
}

/// Mail that needs something of an upstream which is not to be taken for granted.
#[derive(Debug, Clone, Copy)]
enum Special {
    Large,
    EightBit,
    International,
}

impl Special {
    /// An upstream that can't take it, and takes all else.
    fn refuser(self) -> Script {
        match self {
            Self::Large => Script::default().without("SIZE").offering("SIZE 2000"),
            Self::EightBit => Script::default().without("8BITMIME").without("SMTPUTF8"),
            Self::International => Script::default().without("SMTPUTF8"),
        }
    }

    fn message(self, sim: &mut Simulation) -> NewMessage {
        let mut message = sim.message(FROM, &["special@there.example"]);
        let header =
            "From: a@firm.example\r\nTo: special@there.example\r\nSubject: x\r\nMIME-Version: 1.0\r\n";
        let text = match self {
            Self::Large => format!("{header}\r\n{}", "0123456789\r\n".repeat(500)),
            // What is signed can't be converted to seven bits.
            Self::EightBit => format!(
                "{header}Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\
                 Content-Transfer-Encoding: 8bit\r\n\r\nGr\u{fc}\u{df}e\r\n--b--\r\n"
            ),
            Self::International => format!("{header}\r\nHello.\r\n"),
        };
        match self {
            Self::Large => {}
            Self::EightBit => message.body = Body::EightBitMime,
            Self::International => {
                message.smtputf8 = true;
                message.recipients[0].address = Address::parse("sp\u{e9}cial@there.example").unwrap();
            }
        }
        NewMessage { content: Content::memory(text.into_bytes()), ..message }
    }
}

/// The own upstream is down, and the fallback can't take one of four mails.
async fn waits_for_its_own_upstream(special: Special) {
    let up = Upstream::new(Script::default().with(Step::Connect, Act::Refuse));
    let backup = Upstream::new(special.refuser());
    let mut sim = Simulation::new(FALLBACK, &[("up", &up), ("backup", &backup)]);
    sim.start().await;
    let message = special.message(&mut sim);
    sim.enqueue(message).await;
    for n in 0..3 {
        sim.submit(FROM, &[&format!("plain{n}@there.example")]).await;
    }
    sleep(secs(30 * 60)).await;
    let totals = sim.totals().await;
    assert_eq!((totals.bounced, totals.queued), (0, 1), "{special:?}: it waits for its own upstream");
    assert_eq!(backup.messages().len(), 3, "{special:?}: what the fallback can take goes there");
    up.set(Script::default());
    sim.until_empty(secs(20 * 60)).await;
    assert_eq!((up.messages().len(), sim.totals().await.bounced), (1, 0), "{special:?}");
}

#[tokio::test(start_paused = true)]
async fn a_fallback_that_takes_no_large_mail_bounces_nothing() {
    waits_for_its_own_upstream(Special::Large).await;
}

#[tokio::test(start_paused = true)]
async fn a_fallback_that_takes_no_eight_bit_mail_bounces_nothing() {
    waits_for_its_own_upstream(Special::EightBit).await;
}

#[tokio::test(start_paused = true)]
async fn a_fallback_that_takes_no_international_mail_bounces_nothing() {
    waits_for_its_own_upstream(Special::International).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_is_not_refused_for_good_by_a_fallback() {
    let up = Upstream::new(Script::default().with(Step::Connect, Act::Refuse));
    let backup = Upstream::new(Special::Large.refuser());
    let direct = FALLBACK.replace("[queue]", "[queue]\nmode = \"direct\"");
    let mut sim = Simulation::new(&direct, &[("up", &up), ("backup", &backup)]);
    sim.start().await;
    // The first finds out that its upstream is down.
    let mut client = Client::at(&sim, 0).await;
    client.send(FROM, &["first@there.example"], FROM).await;
    client.say("MAIL FROM:<a@firm.example>").await;
    let rcpt = client.say("RCPT TO:<special@there.example>").await;
    let told = if rcpt.starts_with("250") {
        assert!(client.say("DATA").await.starts_with("354"));
        let body = "0123456789\r\n".repeat(500);
        client.say(&format!("From: {FROM}\r\n\r\n{body}.")).await
    } else {
        rcpt
    };
    assert!(told.starts_with('4'), "its own upstream would take it: {told}");
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_too_small_bounces_nothing() {
    let up = Upstream::new(Script::default().with_logins(&["bert"]));
    let toml = two_accounts("message_size = \"1MiB\"\nper_hour = { messages = 1 }");
    let mut sim = Simulation::new(&toml, &[("up", &up)]);
    sim.start().await;
    for _ in 0..3 {
        let message = Special::Large.message(&mut sim);
        sim.enqueue(message).await;
    }
    for n in 0..10 {
        sim.submit_by("192.0.2.7", FROM, &[&format!("plain{n}@there.example")]).await;
    }
    sleep(secs(60)).await;
    let by = |user: &str| up.messages().iter().filter(|seen| seen.user.as_deref() == Some(user)).count();
    assert_eq!(sim.totals().await.bounced, 0, "the other account takes it");
    assert!(by("anna") >= 9, "what is small goes meanwhile: {}", by("anna"));
    sim.until_empty(secs(6 * 3600)).await;
    let large = |seen: &super::support::upstream::Seen| seen.content.len() > 2048;
    let users: Vec<_> = up.messages().into_iter().filter(large).map(|seen| seen.user.unwrap()).collect();
    assert_eq!((users, sim.totals().await.bounced), (vec!["bert".to_owned(); 3], 0));
}

#[tokio::test(start_paused = true)]
async fn a_client_is_not_refused_for_good_because_of_one_account() {
    let up = Upstream::new(Script::default().with_logins(&["bert"]));
    let toml = two_accounts("message_size = \"3KiB\"").replace("[queue]", "[queue]\nmode = \"direct\"");
    let mut sim = Simulation::new(&toml, &[("up", &up)]);
    sim.start().await;
    for (size, want) in [(2500, "250"), (2500, "250"), (5000, "552 5.3.4 ")] {
        let mut client = Client::at(&sim, 0).await;
        client.say("MAIL FROM:<a@firm.example>").await;
        client.say("RCPT TO:<x@there.example>").await;
        client.say("DATA").await;
        let body = "0123456789\r\n".repeat(size / 12);
        let told = client.say(&format!("From: {FROM}\r\n\r\n{body}.")).await;
        assert!(told.starts_with(want), "{told}");
    }
    let users: Vec<_> = up.messages().into_iter().map(|seen| seen.user.unwrap()).collect();
    assert_eq!(users, ["bert", "bert"]);
}

#[tokio::test(start_paused = true)]
async fn what_no_own_account_can_ever_take_is_bounced() {
    let up = Upstream::new(Script::default().with_logins(&["bert"]));
    let mut sim = Simulation::new(&two_accounts("message_size = \"3KiB\""), &[("up", &up)]);
    sim.start().await;
    let message = Special::Large.message(&mut sim);
    sim.enqueue(message).await;
    sim.until(secs(120), secs(1), async |sim| sim.totals().await.bounced == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_keeps_no_fallback_from_its_work() {
    let up = Upstream::new(Script::default().with(Step::Connect, Act::Refuse));
    let backup = Upstream::new(Script::default());
    let mut sim = Simulation::new(FALLBACK, &[("up", &up), ("backup", &backup)]);
    sim.start().await;
    sim.submit(FROM, &["first@there.example"]).await;
    sim.until_empty(secs(10)).await;
    up.set(Script::default().with(Step::Greeting, Act::Hang));
    let mut handed_in = Vec::new();
    for n in 0..120 {
        let to = format!("r{n}@there.example");
        handed_in.push((to.clone(), Instant::now()));
        sim.submit(FROM, &[&to]).await;
        sleep(secs(10)).await;
    }
    sleep(secs(20)).await;
    let arrived = arrivals(&backup);
    let soon = |(to, at): &&(String, Instant)| {
        arrived.iter().any(|(arrived, when)| arrived == to && *when - *at < secs(20))
    };
    let soon = handed_in.iter().filter(soon).count();
    // Each probe has one message, and there is no more than one every few minutes.
    assert!(soon >= 110, "{soon} of 120 went within 20 s");
    assert!(up.connections() >= 2, "it was probed");
}

#[tokio::test(start_paused = true)]
async fn a_busy_account_does_not_hide_when_the_other_has_room() {
    let slow = Act::Late(secs(20));
    let up = Upstream::new(Script::default().with_logins(&["bert"]).with_for(
        Whose::user("anna"),
        Step::Dot,
        slow,
    ));
    let toml = two_accounts("per_minute = { messages = 30 }\npace = \"even\"");
    let toml = toml.replace("message_size = \"2KiB\"", "connections = 1");
    let mut sim = Simulation::new(&toml, &[("up", &up)]);
    sim.start().await;
    for n in 0..400 {
        sim.submit(FROM, &[&format!("r{n}@there.example")]).await;
    }
    sleep(secs(300)).await;
    let by = |user: &str| up.messages().iter().filter(|seen| seen.user.as_deref() == Some(user)).count();
    assert!(by("anna") >= 12, "{} by the slow one", by("anna"));
    assert!(by("bert") >= 140, "{} of 150 that were allowed in five minutes", by("bert"));
}
