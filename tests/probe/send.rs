//! A test mail from the control interface to its outcome.

use std::time::Duration;

use serde_json::{Value, json};

use super::relay;
use super::support::control::Control;
use super::support::simulation::{Simulation, secs};
use super::support::upstream::{Act, Script, Step, Upstream};

const PLAIN: &str = "security = \"none\"\n";
const MAIL: &str = "From: <a@firm.example>\r\nTo: <b@dest.example>\r\nSubject: a test\r\n\r\nHello.\r\n";

/// Sends it to these, with these further parameters, and tells what became of it.
async fn send(control: &Control, query: &str) -> Vec<Value> {
    control.follow("POST", &format!("/send?from=a@firm.example&{query}"), MAIL).await
}

async fn refusal(control: &Control, query: &str, mail: &str) -> (u16, String) {
    let (status, mut events) = control.begin("POST", &format!("/send?{query}"), mail.to_owned()).await;
    let said = events.next().await.unwrap();
    (status.as_u16(), said["detail"].as_str().unwrap_or_default().to_owned())
}

/// What happened, in short.
fn short(events: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let one = |event: &Value| match event["event"].as_str().unwrap() {
        "queued" => format!("queued for {}", text(&event["upstream"])),
        "waiting" => format!("{} {}", text(&event["state"]), text(&event["waiting_for"])),
        "recipient" => {
            format!("{} {}: {}", text(&event["address"]), text(&event["state"]), text(&event["reply"]))
        }
        "ended" => text(&event["end"]),
        other => panic!("{other}"),
    };
    // Whether it is seen while it is being sent is a matter of chance.
    events.iter().map(one).filter(|line| line != "sending -" && line != "ready -").collect()
}

#[tokio::test(start_paused = true)]
async fn what_becomes_of_each_recipient_is_told() {
    let later = || Act::reply(451, "4.3.0 later");
    for (script, query, want) in [
        (
            Script::default(),
            "to=b@dest.example&to=c@dest.example",
            &[
                "queued for main",
                "b@dest.example sent: 250 2.0.0 queued as 42",
                "c@dest.example sent: 250 2.0.0 queued as 42",
                "settled",
            ][..],
        ),
        (
            Script::default().with(Step::Rcpt(1), Act::reply(550, "5.1.1 nobody")),
            "to=b@dest.example&to=c@dest.example",
            &[
                "queued for main",
                "b@dest.example sent: 250 2.0.0 queued as 42",
                "c@dest.example bounced: 550 5.1.1 nobody",
                "settled",
            ],
        ),
        (
            Script::default().with(Step::Dot, later()),
            "to=b@dest.example&timeout=30",
            &["queued for main", "b@dest.example deferred: 451 4.3.0 later", "deferred retry", "waiting"],
        ),
        (
            Script::default().with(Step::Connect, Act::Refuse),
            "to=b@dest.example&timeout=5",
            &[
                "queued for main",
                "b@dest.example deferred: connect to main at 192.0.2.25:25: Connection refused",
                "deferred connection",
                "waiting",
            ],
        ),
    ] {
        let upstream = Upstream::new(script);
        let sim = relay(&upstream, PLAIN).await;
        let events = send(&sim.control(), query).await;
        assert_eq!(short(&events), want, "{events:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_a_mail_like_any_other() {
    let upstream = Upstream::new(Script::default());
    let sim = relay(&upstream, PLAIN).await;
    let events = send(&sim.control(), "to=b@dest.example").await;
    let seen = upstream.messages().remove(0);
    assert_eq!(
        (seen.reverse_path.as_str(), seen.recipients),
        ("a@firm.example", vec!["b@dest.example".to_owned()])
    );
    let content = String::from_utf8(seen.content).unwrap();
    let id = events[0]["queue_id"].as_str().unwrap();
    assert!(
        content.starts_with("Received: from control ([127.0.0.1])\r\n\tby relay.firm.example with HTTP id "),
        "{content}"
    );
    assert!(content.contains(&format!("\r\nMessage-ID: <{id}@relay.firm.example>\r\n")), "{content}");
    assert!(content.ends_with("Subject: a test\r\n\r\nHello.\r\n"), "{content}");
    let totals = sim.totals().await;
    assert_eq!((totals.accepted, totals.sent), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_limit_is_told_and_a_deletion() {
    let upstream = Upstream::new(Script::default());
    let sim = relay(&upstream, &format!("{PLAIN}[upstream.limits]\nper_hour = {{ messages = 1 }}\n")).await;
    let control = sim.control();
    send(&control, "to=b@dest.example").await;
    // What the limits were is remembered for a moment.
    tokio::time::sleep(secs(5)).await;
    let (_, mut events) = control.begin("POST", "/send?from=a@firm.example&to=c@dest.example", MAIL).await;
    let queued = events.next().await.unwrap();
    assert!(queued["eta"].is_string(), "{queued}");
    let mut waiting = events.next().await.unwrap();
    while waiting["waiting_for"] != "limit" {
        waiting = events.next().await.unwrap();
    }
    assert!(
        waiting["reason"].as_str().unwrap().contains("hour") && waiting["until"].is_string(),
        "{waiting}"
    );
    control.ask("DELETE", &format!("/queue/{}", queued["queue_id"].as_str().unwrap())).await;
    assert_eq!(events.next().await.unwrap(), json!({"event": "ended", "end": "gone"}));
    assert_eq!(upstream.messages().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn test_mode_and_the_blacklist_hold_for_it() {
    let upstream = Upstream::new(Script::default());
    let sim = relay(&upstream, PLAIN).await;
    let control = sim.control();
    let switch = &sim.core.as_ref().unwrap().test_mode;
    let address = "t@firm.example".parse::<String>().unwrap();
    let test = mailsluice::mail::Address::parse(&address).unwrap();
    for (action, want) in [
        (
            mailsluice::config::TestAction::Redirect,
            &["queued for main", "b@dest.example sent: 250 2.0.0 queued as 42", "settled"][..],
        ),
        (mailsluice::config::TestAction::Hold, &["queued for main", "held"]),
        (
            mailsluice::config::TestAction::Capture,
            &["queued for main", "b@dest.example captured: 250 2.0.0 kept in the local mailbox", "settled"],
        ),
    ] {
        switch.set(true, Some(action), Some(test.clone())).await.unwrap();
        let events = send(&control, "to=b@dest.example").await;
        assert_eq!(short(&events), want, "{events:?}");
        assert!(events[0]["test_mode"].is_string(), "{events:?}");
    }
    let seen = upstream.messages();
    assert_eq!((seen.len(), &seen[0].recipients[..]), (1, &["t@firm.example".to_owned()][..]));
    switch.set(false, None, None).await.unwrap();
    let listed = json!({ "address": "@listed.example", "reason": "asked for it" }).to_string();
    control.follow("POST", "/blacklist", listed).await;
    let (status, said) =
        refusal(&control, "to=b@dest.example&to=x@listed.example&from=a@firm.example", MAIL).await;
    assert_eq!(status, 409);
    assert_eq!(
        said,
        "<x@listed.example> is on the blacklist (asked for it): mailsluice blacklist remove x@listed.example"
    );
    assert_eq!(upstream.messages().len(), 1, "nobody got it");
}

#[tokio::test(start_paused = true)]
async fn the_blacklist_may_drop() {
    let upstream = Upstream::new(Script::default());
    let sim = relay(&upstream, &format!("{PLAIN}[blacklist]\naction = \"drop\"\n")).await;
    let control = sim.control();
    control.follow("POST", "/blacklist", json!({ "address": "x@listed.example" }).to_string()).await;
    let events = send(&control, "to=b@dest.example&to=x@listed.example").await;
    let want = [
        "queued for main",
        "x@listed.example dropped: on the blacklist",
        "b@dest.example sent: 250 2.0.0 queued as 42",
        "settled",
    ];
    assert_eq!(short(&events), want);
    assert_eq!(
        short(&send(&control, "to=x@listed.example").await)[1..],
        want[1..2].iter().chain(&want[3..]).copied().collect::<Vec<_>>()
    );
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_taken_is_refused_with_the_reason() {
    let upstream = Upstream::new(Script::default());
    let keys = format!("{PLAIN}[upstream.limits]\nmessage_size = \"1KiB\"\n[session]\nmax_recipients = 2\n");
    let sim = relay(&upstream, &keys).await;
    let control = sim.control();
    let large = format!("{MAIL}{}\r\n", "x".repeat(900));
    for (query, mail, status, want) in [
        ("to=b@dest.example", large.as_str(), 409, "the limit of its upstream"),
        ("", MAIL, 400, "say to whom"),
        ("to=nobody", MAIL, 400, ""),
        ("to=b@dest.example&upstream=other", MAIL, 404, "there is no upstream other"),
        ("to=b@dest.example&timeout=soon", MAIL, 400, "seconds"),
        ("to=b@dest.example&subject=x", MAIL, 400, "no parameter subject"),
        ("to=a@d.example&to=b@d.example&to=c@d.example", MAIL, 409, "max_recipients"),
        ("to=b@dest.example", "Subject: x\0\r\n\r\n", 409, "NUL"),
    ] {
        let (found, said) = refusal(&control, &format!("from=a@firm.example&{query}"), mail).await;
        assert!(found == status && said.contains(want), "{query}: {found} {said}");
    }
    assert_eq!(sim.totals().await.accepted, 0);
}

const TWO: &str = "hostname = \"relay.firm.example\"\n[[upstream]]\nname = \"main\"\ndefault = true\nhost = \"main\"\n\
    security = \"none\"\n[[upstream]]\nname = \"other\"\nhost = \"other\"\nsecurity = \"none\"\nfilter = [\"x.example\"]\n";

#[tokio::test(start_paused = true)]
async fn a_person_decides_by_which_upstream_it_goes() {
    let (main, other) = (Upstream::new(Script::default()), Upstream::new(Script::default()));
    let mut sim = Simulation::new(TWO, &[("main", &main), ("other", &other)]);
    sim.start().await;
    let events = send(&sim.control(), "to=b@dest.example&upstream=other").await;
    assert_eq!(
        short(&events),
        ["queued for other", "b@dest.example sent: 250 2.0.0 queued as 42", "settled"]
    );
    assert_eq!((main.messages().len(), other.messages().len()), (0, 1));

    // While it waits there, no reload moves it, and neither does the sender's other mail.
    other.set(Script::default().with(Step::Dot, Act::reply(451, "4.3.0 later")));
    send(&sim.control(), "to=c@dest.example&upstream=other&timeout=3").await;
    sim.reload(&TWO.replace("x.example", "y.example")).await;
    sim.submit("a@firm.example", &["d@dest.example"]).await;
    sim.until(secs(10), Duration::from_millis(100), async |_| main.messages().len() == 1).await;
    let queue = sim.control().ask("GET", "/queue").await;
    assert_eq!((queue.as_array().unwrap().len(), &queue[0]["upstream"]), (1, &json!("other")));
    // An upstream that is no more decides nothing: its sender's takes it.
    let only = TWO.split("[[upstream]]\nname = \"other\"").next().unwrap();
    sim.reload(only).await;
    sim.until_empty(Duration::from_hours(1)).await;
    let taken = |upstream: &Upstream| upstream.messages().iter().filter(|seen| seen.taken).count();
    assert_eq!((taken(&main), taken(&other)), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn who_sends_it_if_nobody_says() {
    let upstream = Upstream::new(Script::default());
    let login = "user = \"erp@firm.example\"\npassword = \"secret\"\nallow_plaintext_auth = true\n";
    let reports = "[queue]\nbounce_from = \"reports@firm.example\"\n";
    for (keys, want) in [
        (format!("{PLAIN}{login}{reports}"), "erp@firm.example"),
        (format!("{PLAIN}{reports}"), "reports@firm.example"),
        (
            format!("{PLAIN}user = \"erp\"\npassword = \"x\"\nallow_plaintext_auth = true\n"),
            "postmaster@relay.firm.example",
        ),
    ] {
        let sim = relay(&upstream, &keys).await;
        for query in ["", "?upstream=main"] {
            let plan = sim.control().ask("GET", &format!("/send{query}")).await;
            let max_size = plan["max_size"].as_u64().unwrap();
            assert_eq!(
                plan,
                json!({"from": want, "upstream": "main", "hostname": "relay.firm.example", "max_size": max_size})
            );
        }
        let plan = sim.control().ask("GET", "/send?from=me@firm.example").await;
        assert_eq!(plan["from"], "me@firm.example");
    }
}

#[tokio::test(start_paused = true)]
async fn the_mail_goes_though_its_sender_has_gone() {
    let upstream = Upstream::new(Script::default().with(Step::Dot, Act::Late(secs(20))));
    let sim = relay(&upstream, PLAIN).await;
    for _ in 0..20 {
        let (status, mut events) =
            sim.control().begin("POST", "/send?from=a@firm.example&to=b@dest.example", MAIL).await;
        assert_eq!(status, 200, "those that have gone hold no place");
        events.next().await.unwrap();
    }
    sim.until_empty(Duration::from_mins(10)).await;
    assert_eq!(upstream.messages().len(), 20);
}
