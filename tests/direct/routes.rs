//! Whom to ask: by the reverse-path at RCPT, by From in the end. And what never asks anybody.

use mailsluice::config::TestAction;
use mailsluice::mail::Address;
use mailsluice::store::NewBlacklistEntry;

use super::support::simulation::{Simulation, secs};
use super::support::upstream::{Act, Script, Step, Upstream};
use super::{Client, FROM, assert_nothing_left, relay};

const TWO: &str = r#"
[queue]
mode = "direct"
[[upstream]]
name = "main"
host = "up"
security = "none"
default = true
[[upstream]]
name = "other"
host = "other"
security = "none"
filter = ["other.example"]
"#;

async fn two(up: Script, other: Script) -> (Simulation, Upstream, Upstream) {
    let (up, other) = (Upstream::new(up), Upstream::new(other));
    let mut sim = Simulation::new(TWO, &[("up", &up), ("other", &other)]);
    sim.start().await;
    (sim, up, other)
}

const TO: [&str; 2] = ["x@there.example", "y@there.example"];

#[tokio::test(start_paused = true)]
async fn from_routes_elsewhere_than_the_reverse_path() {
    let (sim, up, other) =
        two(Script::default(), Script::default().with(Step::Dot, Act::reply(250, "other's"))).await;
    let mut client = Client::at(&sim, 0).await;
    let replies = client.send(FROM, &TO, "b@other.example").await;
    assert_eq!(replies[3], "250 other's");
    assert!(up.messages().is_empty());
    assert_eq!((up.commands_of("RCPT").len(), up.commands_of("RSET").len()), (2, 1));
    assert_eq!(other.messages()[0].recipients, TO);
    assert_nothing_left(&sim, 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_recipient_that_the_right_upstream_refuses_refuses_the_message() {
    for (act, want) in [
        (Act::reply(550, "5.1.1 nobody"), "550 5.1.1 nobody"),
        (Act::reply(450, "4.2.1 later"), "450 4.2.1 later"),
    ] {
        let (sim, up, other) = two(Script::default(), Script::default().with(Step::Rcpt(1), act)).await;
        let mut client = Client::at(&sim, 0).await;
        assert_eq!(client.send(FROM, &TO, "b@other.example").await[3], want);
        assert_nothing_left(&sim, 0).await;
        assert!(up.messages().is_empty() && other.messages().is_empty(), "it is sent to all or to none");
        assert_eq!(other.commands_of("DATA").len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_trouble_of_a_guessed_upstream_refuses_nobody() {
    let down = Script::default().with(Step::Connect, Act::Refuse);
    let (sim, _, other) = two(down, Script::default()).await;
    let mut client = Client::at(&sim, 0).await;
    assert_eq!(client.send(FROM, &TO, "b@other.example").await[3], "250 2.0.0 queued as 42");
    assert_eq!(other.messages().len(), 1);
    let replies = client.send(FROM, &TO, FROM).await;
    assert!(
        replies[1].starts_with("250") && replies[3].starts_with("451 4.4.1 main is not reachable"),
        "{replies:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_null_reverse_path_waits_for_from() {
    let (sim, up, other) = two(Script::default(), Script::default()).await;
    let mut client = Client::at(&sim, 0).await;
    assert!(client.send("", &TO, "b@other.example").await[3].starts_with("250"));
    assert_eq!((up.connections(), other.messages().len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn who_is_blacklisted_is_not_asked_about() {
    let up = Upstream::new(Script::default());
    for (action, at_rcpt, dropped) in [("reject", "550 5.7.1 ", 0), ("drop", "250 ", 1)] {
        let sim = relay(&up, &format!("[blacklist]\naction = \"{action}\"\n")).await;
        let entry = NewBlacklistEntry {
            pattern: "x@there.example".into(),
            reason: "asked for it".into(),
            lasts: None,
        };
        sim.store().blacklist_add(entry).await.unwrap();
        let mut client = Client::at(&sim, 0).await;
        let replies = client.send(FROM, &TO, FROM).await;
        assert!(replies[1].starts_with(at_rcpt) && replies[3].starts_with("250"), "{replies:?}");
        sim.until(secs(30), secs(1), async |sim| {
            let totals = sim.totals().await;
            (totals.accepted, totals.sent, totals.dropped) == (1 + dropped, 1, dropped)
        })
        .await;
        assert_eq!(up.messages().last().unwrap().recipients, ["y@there.example"]);
        assert!(!up.commands().join(" ").contains("x@there"), "nobody asks about it");
    }
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_does_not_exist_goes_on_the_blacklist() {
    let up = Upstream::new(Script::default().with(Step::Rcpt(0), Act::reply(550, "5.1.1 nobody")));
    let sim = relay(&up, "[blacklist]\nauto_add_after = 1\n").await;
    let mut client = Client::at(&sim, 0).await;
    assert_eq!(client.send(FROM, &TO, FROM).await[1], "550 5.1.1 nobody");
    sim.until(secs(30), secs(1), async |sim| {
        !sim.store()
            .blacklist_page(mailsluice::store::BlacklistFilter::default())
            .await
            .unwrap()
            .entries
            .is_empty()
    })
    .await;
    let listed = client.send(FROM, &TO, FROM).await.remove(1);
    assert_eq!(listed, "550 5.7.1 <x@there.example> is on the blacklist (550 5.1.1 nobody)");
}

#[tokio::test(start_paused = true)]
async fn test_mode_holds_in_direct_mode() {
    let test = |action: &str| {
        format!("[test_mode]\nenabled = true\naction = \"{action}\"\naddress = \"it@firm.example\"\n")
    };
    let up = Upstream::new(Script::default());
    let sim = relay(&up, &test("redirect")).await;
    let mut client = Client::at(&sim, 0).await;
    assert_eq!(client.send(FROM, &TO, FROM).await[3], "250 2.0.0 queued as 42");
    assert_eq!(up.commands_of("RCPT"), ["RCPT TO:<it@firm.example>"]);
    assert_nothing_left(&sim, 2).await;
    up.set(Script::default().with(Step::AnyRcpt, Act::reply(550, "5.1.1 nobody")));
    assert_eq!(client.send(FROM, &TO, FROM).await[3], "550 5.1.1 nobody");
    assert!(
        sim.store()
            .blacklist_page(mailsluice::store::BlacklistFilter::default())
            .await
            .unwrap()
            .entries
            .is_empty()
    );

    for (action, held) in [("hold", 1), ("capture", 0)] {
        let up = Upstream::new(Script::default());
        let sim = relay(&up, &test(action)).await;
        let mut client = Client::at(&sim, 0).await;
        let reply = client.send(FROM, &TO, FROM).await.remove(3);
        assert!(reply.starts_with("250 2.0.0 queued as "), "{reply}");
        sim.until(secs(30), secs(1), async |sim| sim.store().queue_length() == held).await;
        assert_eq!(up.connections(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn test_mode_that_is_switched_in_the_middle() {
    let up = Upstream::new(Script::default());
    let sim = relay(&up, "").await;
    let switch = sim.core.as_ref().unwrap().test_mode.clone();
    let mut client = Client::at(&sim, 0).await;
    let it = Address::parse("it@firm.example").ok();
    for (on, want) in [(true, vec!["it@firm.example"]), (false, TO.to_vec())] {
        client.say("MAIL FROM:<a@firm.example>").await;
        for to in TO {
            assert!(client.say(&format!("RCPT TO:<{to}>")).await.starts_with("250"));
        }
        switch.set(on, Some(TestAction::Redirect), it.clone()).await.unwrap();
        client.say("DATA").await;
        assert!(client.say("From: a@firm.example\r\n\r\none\r\n.").await.starts_with("250"));
        assert_eq!(up.messages().last().unwrap().recipients, want);
    }
    assert_eq!(up.messages().len(), 2);
    assert_nothing_left(&sim, 4).await;
}

#[tokio::test(start_paused = true)]
async fn each_listener_has_its_own_mode() {
    let up = Upstream::new(Script::default().with(Step::Dot, Act::reply(250, "direct")));
    let toml = r#"
        [[listener]]
        address = "127.0.0.1:2525"
        mode = "direct"
        [[listener]]
        address = "127.0.0.1:2526"
        [[upstream]]
        name = "main"
        host = "up"
        security = "none"
    "#;
    let mut sim = Simulation::new(toml, &[("up", &up)]);
    sim.start().await;
    let answer =
        async |listener: usize| Client::at(&sim, listener).await.send(FROM, &TO, FROM).await.remove(3);
    assert_eq!(answer(0).await, "250 direct");
    assert!(answer(1).await.starts_with("250 2.0.0 queued as "));
    sim.until(secs(30), secs(1), async |_| up.messages().len() == 2).await;
}

#[tokio::test(start_paused = true)]
async fn what_stays_on_this_machine_is_queued() {
    let up = Upstream::new(Script::default());
    let toml = "[queue]\nmode = \"direct\"\n[[upstream]]\nname = \"local\"\nkind = \"capture\"\n";
    let mut sim = Simulation::new(toml, &[("up", &up)]);
    sim.start().await;
    let mut client = Client::at(&sim, 0).await;
    assert!(client.send(FROM, &TO, FROM).await[3].starts_with("250 2.0.0 queued as "));
    sim.until(secs(30), secs(1), async |sim| sim.totals().await.captured == 2).await;
}
