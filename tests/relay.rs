//! From the queue to the upstream and back: retries, back-off, reports, test mode, shutdown. Time is simulated.

#![allow(clippy::unwrap_used, reason = "a test may stop where its world breaks")]

mod support;

#[path = "relay/damaged.rs"]
mod damaged;
#[path = "relay/mailboxes.rs"]
mod mailboxes;
#[path = "relay/memory.rs"]
mod memory;
#[path = "support/paper.rs"]
mod paper;
#[path = "relay/pauses.rs"]
mod pauses;
#[path = "relay/reports.rs"]
mod reports;
#[path = "relay/requests.rs"]
mod requests;
#[path = "relay/threads.rs"]
mod threads;

use std::time::Duration;

use mailsluice::store::{Admin as _, LaneName};
use support::simulation::{Simulation, secs};
use support::upstream::{Act, Script, Step, Upstream};
use tokio::time::Instant;

const ONE: &str = r#"
[[upstream]]
name = "main"
host = "up"
security = "none"
"#;

const TWO: &str = r#"
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

fn upstream(script: Script) -> Upstream {
    Upstream::new(script)
}

/// Recipients of all messages that the upstream took, in order.
fn taken(upstream: &Upstream) -> Vec<String> {
    upstream.messages().into_iter().filter(|seen| seen.taken).flat_map(|seen| seen.recipients).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_queued_is_sent() {
    let up = upstream(Script::default());
    let mut sim = Simulation::new(ONE, &[("up", &up)]);
    sim.start().await;
    for n in 0..20 {
        sim.submit("a@firm.example", &[&format!("r{n}@there.example")]).await;
    }
    sim.until_empty(secs(5)).await;
    assert_eq!(taken(&up).len(), 20);
    assert!(up.most_connections() <= 5, "the default limit of connections");
    assert!(up.connections() <= 5, "connections are used again");
    let totals = sim.totals().await;
    assert_eq!((totals.accepted, totals.sent, totals.queued), (20, 20, 0));
}

#[tokio::test(start_paused = true)]
async fn a_dead_upstream_delays_no_other_and_gets_all_when_it_answers() {
    let up = upstream(Script::default());
    let other = upstream(Script::default().with(Step::Connect, Act::Refuse));
    let mut sim = Simulation::new(TWO, &[("up", &up), ("other", &other)]);
    sim.start().await;
    for n in 0..50 {
        sim.submit("a@other.example", &[&format!("o{n}@there.example")]).await;
        sim.submit("a@firm.example", &[&format!("m{n}@there.example")]).await;
    }
    sim.until(secs(10), secs(1), async |_| taken(&up).len() == 50).await;
    tokio::time::sleep(secs(3 * 3600)).await;
    assert_eq!(sim.store().queue_length(), 50);
    let attempts: u32 = sim
        .store()
        .list(mailsluice::store::ListFilter { limit: 100, ..Default::default() })
        .await
        .unwrap()
        .iter()
        .map(|m| m.attempts)
        .sum();
    assert!((5..40).contains(&attempts), "one probe at a time, at growing intervals: {attempts}");
    other.set(Script::default());
    let start = Instant::now();
    sim.until_empty(secs(20 * 60)).await;
    assert_eq!(taken(&other).len(), 50);
    let times: Vec<_> = other.messages().iter().map(|seen| seen.at).collect();
    assert!(times[49] - times[0] < secs(5), "when it answers, all is due at once");
    assert!(start.elapsed() <= secs(17 * 60), "the longest wait for a probe is a quarter of an hour");
}

#[tokio::test(start_paused = true)]
async fn transient_failures_are_retried_at_growing_intervals_and_expire_with_a_report() {
    let up = upstream(Script::default().with(Step::AnyRcpt, Act::reply(451, "4.2.0 later")));
    let config = format!(
        "[queue]\nretry_min = \"1m\"\nretry_max = \"30m\"\nexpire_after = \"4h\"\nwarn_after = \"1h\"\n{ONE}"
    );
    let mut sim = Simulation::new(&config, &[("up", &up)]);
    sim.start().await;
    sim.submit("a@firm.example", &["late@there.example"]).await;
    tokio::time::sleep(secs(3 * 3600)).await;
    let tries = up.commands_of("RCPT TO:<late@").len();
    assert!((8..=11).contains(&tries), "1, 2, 4, 8, 16 and then every 30 minutes: {tries}");
    // The warning after an hour could not be delivered either; it waits like any mail.
    let warned = sim.totals().await.generated;
    assert_eq!(warned, 1);
    up.set(Script::default());
    // From now on everybody is taken, but the message itself is deferred until its next attempt.
    sim.until_empty(secs(3600)).await;
    assert!(taken(&up).contains(&"late@there.example".to_owned()));
    assert!(taken(&up).contains(&"a@firm.example".to_owned()), "the warning");

    up.set(Script::default().with(Step::Rcpt(0), Act::reply(451, "4.2.0 later")));
    sim.submit("b@firm.example", &["never@there.example"]).await;
    sim.until(secs(5 * 3600), secs(60), async |sim| sim.totals().await.expired == 1).await;
    up.set(Script::default());
    sim.until_empty(secs(3600)).await;
    let reports = up.messages().into_iter().filter(|seen| seen.taken && seen.reverse_path.is_empty());
    let failed = reports.map(|seen| (seen.recipients, String::from_utf8(seen.content).unwrap()));
    let (recipients, text) = failed.into_iter().find(|(_, text)| text.contains("Action: failed")).unwrap();
    assert_eq!(recipients, ["b@firm.example"]);
    for part in
        ["Auto-Submitted: auto-replied", "multipart/report", "Final-Recipient: rfc822; never@there.example"]
    {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_recipient_has_its_own_fate_and_the_sender_is_told() {
    let script = Script::default()
        .with(Step::Rcpt(1), Act::reply(550, "5.1.1 no such user"))
        .with(Step::Rcpt(2), Act::reply(450, "4.2.1 busy"))
        .with(Step::Rcpt(3), Act::reply(550, "5.7.1 not for you"));
    let up = upstream(script);
    let mut sim = Simulation::new(&format!("[blacklist]\nauto_add_after = 1\n{ONE}"), &[("up", &up)]);
    sim.start().await;
    let id = sim
        .submit("a@firm.example", &["ok@x.example", "gone@x.example", "busy@x.example", "no@x.example"])
        .await;
    sim.until(secs(10), secs(1), async |sim| sim.totals().await.bounced == 2).await;
    let states: Vec<_> =
        sim.store().show(id).await.unwrap().unwrap().recipients.iter().map(|r| r.state.name()).collect();
    assert_eq!(states, ["sent", "bounced", "waiting", "bounced"]);
    up.set(Script::default());
    sim.until_empty(secs(600)).await;
    let reports: Vec<_> = up.messages().into_iter().filter(|seen| seen.reverse_path.is_empty()).collect();
    assert_eq!(reports.len(), 1);
    let text = String::from_utf8_lossy(&reports[0].content).into_owned();
    assert!(
        text.contains("gone@x.example")
            && text.contains("no@x.example")
            && !text.contains("Final-Recipient: rfc822; ok@")
    );
    let listed: Vec<_> = sim
        .store()
        .blacklist_page(mailsluice::store::BlacklistFilter::default())
        .await
        .unwrap()
        .entries
        .into_iter()
        .map(|e| e.pattern)
        .collect();
    assert_eq!(listed, ["gone@x.example"], "only who does not exist");
    // From now on nothing is sent there, and the sender hears why.
    sim.submit("a@firm.example", &["Gone@x.example", "ok@x.example"]).await;
    sim.until_empty(secs(60)).await;
    assert_eq!(taken(&up).iter().filter(|to| to.eq_ignore_ascii_case("gone@x.example")).count(), 0);
    assert_eq!(sim.totals().await.bounced, 3);
}

#[tokio::test(start_paused = true)]
async fn a_refused_report_ends_there() {
    let script = Script::default().with(Step::AnyRcpt, Act::reply(550, "5.1.1 no such user"));
    let up = upstream(script);
    let mut sim = Simulation::new(ONE, &[("up", &up)]);
    sim.start().await;
    sim.submit("a@firm.example", &["x@there.example"]).await;
    sim.until_empty(secs(60)).await;
    let totals = sim.totals().await;
    assert_eq!((totals.accepted, totals.generated, totals.bounced), (1, 1, 2));
    // No report for the null reverse-path.
    sim.submit("", &["y@there.example"]).await;
    sim.until_empty(secs(60)).await;
    assert_eq!(sim.totals().await.generated, 1);
    let board = sim.core.as_ref().unwrap().context.statuses.snapshot();
    assert!(
        board.iter().all(|lane| lane.lane.as_str().is_empty() || lane.state.name() == "up"),
        "it never harms the upstream: {board:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_large_envelope_is_split() {
    let up = upstream(Script { max_recipients: 30, ..Script::default() });
    let config = format!("{ONE}[upstream.limits]\nrecipients_per_message = 40\n");
    let mut sim = Simulation::new(&config, &[("up", &up)]);
    sim.start().await;
    let all: Vec<String> = (0..205).map(|n| format!("r{n}@there.example")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    sim.submit("a@firm.example", &all).await;
    sim.until_empty(secs(30)).await;
    let mut got = taken(&up);
    got.sort_unstable();
    let mut want: Vec<String> = all.iter().map(|&to| to.to_owned()).collect();
    want.sort_unstable();
    assert_eq!(got, want, "each once, at once, although it takes no more than 30 at a time");
    assert!(up.messages().iter().all(|seen| seen.recipients.len() <= 30));
}

#[tokio::test(start_paused = true)]
async fn lost_after_the_dot_is_sent_again() {
    let up = upstream(Script::default().with(Step::Dot, Act::Drop));
    let mut sim = Simulation::new(ONE, &[("up", &up)]);
    sim.start().await;
    let id = sim.submit("a@firm.example", &["x@there.example"]).await;
    tokio::time::sleep(secs(2)).await;
    let waiting = sim.store().show(id).await.unwrap().unwrap();
    assert!(waiting.recipients[0].reply.contains("final dot"), "{waiting:?}");
    up.set(Script::default());
    sim.until_empty(secs(180)).await;
    assert_eq!(up.messages().len(), 2);
    assert_eq!(sim.totals().await.sent, 1);
}

#[tokio::test(start_paused = true)]
async fn in_test_mode_no_recipient_is_ever_named_to_the_upstream() {
    let in_test = format!("[test_mode]\nenabled = true\naddress = \"test@firm.example\"\n{ONE}");
    let script = Script::default().with(Step::AnyRcpt, Act::reply(451, "4.3.0 later"));
    let up = upstream(script);
    let mut sim = Simulation::new(&in_test, &[("up", &up)]);
    sim.start().await;
    let recipients = ["customer@there.example", "Second@there.example"];
    for _ in 0..5 {
        sim.submit("a@firm.example", &recipients).await;
    }
    // Retries, an end in good order, an end in bad order, the switch, another configuration.
    tokio::time::sleep(secs(600)).await;
    sim.stop().await;
    sim.start().await;
    sim.core.as_ref().unwrap().test_mode.set(false, None, None).await.unwrap();
    tokio::time::sleep(secs(3600)).await;
    sim.kill().await;
    sim.configure(ONE);
    sim.start().await;
    assert_eq!(sim.core.as_ref().unwrap().test_mode.for_message(false), None);
    sim.store().retry_all().await.unwrap();
    sim.core.as_ref().unwrap().context.wakeups.retry_all();
    tokio::time::sleep(secs(60)).await;
    up.set(Script::default());
    sim.until_empty(secs(7200)).await;
    let copies: Vec<_> = up.messages().into_iter().filter(|seen| seen.taken).collect();
    assert_eq!(copies.len(), 5, "one copy of each message");
    for command in up.commands() {
        assert!(!command.to_lowercase().contains("there.example"), "{command}");
    }
    for copy in copies {
        assert_eq!(copy.recipients, ["test@firm.example"]);
        let text = String::from_utf8(copy.content).unwrap();
        let header = text.split("\r\n\r\n").next().unwrap();
        for line in header.split("\r\n").filter(|line| line.contains("there.example")) {
            assert!(line.starts_with("X-Mailsluice-Original-") || line.starts_with([' ', '\t']), "{line}");
        }
        assert!(header.contains("Subject: [TEST] number"), "{header}");
    }
    assert_eq!(sim.totals().await.sent, 10, "the original recipients count");
}

#[tokio::test(start_paused = true)]
async fn a_stop_hands_back_what_is_under_way_and_loses_nothing() {
    let up = upstream(Script::default().with(Step::Mail, Act::Hang));
    let mut sim = Simulation::new(ONE, &[("up", &up)]);
    sim.start().await;
    for n in 0..12 {
        sim.submit("a@firm.example", &[&format!("r{n}@there.example")]).await;
    }
    tokio::time::sleep(secs(1)).await;
    let start = Instant::now();
    sim.stop().await;
    assert!(start.elapsed() <= secs(9), "within the grace: {:?}", start.elapsed());
    // While it ran again, some would be gone before they are counted.
    let counts = sim.open_store().queue_figures().await.unwrap().counts;
    assert_eq!(counts.ready + counts.deferred + counts.sending, 12);
    up.set(Script::default());
    sim.start().await;
    sim.until_empty(secs(30)).await;
    let mut got = taken(&up);
    got.sort_unstable();
    got.dedup();
    assert_eq!((got.len(), sim.totals().await.sent), (12, 12));
}

#[tokio::test(start_paused = true)]
async fn queued_mail_follows_the_configuration() {
    let up = upstream(Script::default().with(Step::Connect, Act::Refuse));
    let other = upstream(Script::default());
    let mut sim = Simulation::new(ONE, &[("up", &up), ("other", &other)]);
    sim.start().await;
    sim.submit("a@other.example", &["x@there.example"]).await;
    sim.submit("a@firm.example", &["y@there.example"]).await;
    tokio::time::sleep(secs(30)).await;
    sim.stop().await;
    let only_other = TWO.replace("default = true", "filter = [\"nobody.example\"]");
    sim.configure(&only_other);
    sim.start().await;
    sim.until(secs(60), secs(1), async |_| taken(&other) == ["x@there.example"]).await;
    tokio::time::sleep(secs(3600)).await;
    assert_eq!(sim.store().queue_length(), 1, "what nobody serves waits");
    assert!(taken(&up).is_empty());
    sim.stop().await;
    up.set(Script::default());
    sim.configure(TWO);
    sim.start().await;
    sim.until_empty(secs(60)).await;
    assert_eq!(taken(&up), ["y@there.example"]);
}

#[tokio::test(start_paused = true)]
async fn mail_for_an_upstream_that_never_answers_expires() {
    let up = upstream(Script::default().with(Step::Greeting, Act::reply(554, "5.3.2 no service here")));
    let config =
        format!("[queue]\nexpire_after = \"2h\"\nwarn_after = \"never\"\nbounce_to_sender = false\n{ONE}");
    let mut sim = Simulation::new(&config, &[("up", &up)]);
    sim.start().await;
    for n in 0..120 {
        sim.submit("a@firm.example", &[&format!("r{n}@there.example")]).await;
    }
    tokio::time::sleep(secs(7000)).await;
    assert_eq!(sim.totals().await.queued, 120, "a refusal at the greeting never bounces anything");
    sim.until_empty(secs(600)).await;
    assert_eq!(sim.totals().await.expired, 120);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_limit_uses_up_no_lifetime() {
    let up = upstream(Script::default());
    let config = format!(
        "[queue]\nexpire_after = \"10m\"\nwarn_after = \"5m\"\n{ONE}[upstream.limits]\nper_minute = {{ messages = 2 }}\n"
    );
    let mut sim = Simulation::new(&config, &[("up", &up)]);
    sim.start().await;
    for n in 0..60 {
        sim.submit("a@firm.example", &[&format!("r{n}@there.example")]).await;
    }
    tokio::time::sleep(secs(15 * 60)).await;
    sim.kill().await;
    sim.start().await;
    sim.until_empty(secs(40 * 60)).await;
    let totals = sim.totals().await;
    assert_eq!((totals.sent, totals.expired, totals.generated), (60, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_person_can_have_a_dead_upstream_tried_at_once() {
    let up = upstream(Script::default().with(Step::Connect, Act::Refuse));
    let mut sim = Simulation::new(ONE, &[("up", &up)]);
    sim.start().await;
    sim.submit("a@firm.example", &["x@there.example"]).await;
    tokio::time::sleep(secs(7200)).await;
    up.set(Script::default());
    let start = Instant::now();
    sim.core.as_ref().unwrap().context.wakeups.retry(&LaneName::of_upstream("main"));
    sim.until_empty(Duration::from_secs(3)).await;
    assert!(start.elapsed() < secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_reload_moves_queued_mail_and_keeps_the_limits() {
    let up = upstream(Script::default());
    let limits = "[upstream.limits]\nconnections = 2\nper_hour = { messages = 10 }\n";
    let mut sim = Simulation::new(&format!("{ONE}{limits}"), &[("up", &up)]);
    sim.start().await;
    for n in 0..30 {
        sim.submit("a@firm.example", &[&format!("r{n}@there.example")]).await;
    }
    tokio::time::sleep(secs(10)).await;
    assert_eq!(taken(&up).len(), 10);
    let lowered = limits.replace("10 }", "5 }");
    sim.reload(&format!("{ONE}{lowered}")).await;
    tokio::time::sleep(secs(3500)).await;
    assert_eq!(taken(&up).len(), 10, "the ten of this hour still count");
    tokio::time::sleep(secs(3600)).await;
    assert_eq!(taken(&up).len(), 15);
    // Another upstream takes over; the first is gone from the configuration.
    let other = upstream(Script::default());
    sim.hosts.0.insert("other".into(), other.dial());
    let moved = TWO.replace("host = \"up\"", "host = \"other\"").replace("name = \"main\"", "name = \"new\"");
    sim.stop().await;
    sim.start().await;
    sim.reload(&moved).await;
    sim.until_empty(secs(60)).await;
    assert_eq!((taken(&up).len(), taken(&other).len()), (15, 15));
    assert!(up.most_connections() <= 2);
}

#[tokio::test(start_paused = true)]
async fn a_split_envelope_that_is_deferred_waits_like_any_other() {
    // What a used connection refuses at RCPT is tried once more over a new one, and believed from then on.
    for (step, again) in [(Step::Mail, 0), (Step::AnyRcpt, 1), (Step::Dot, 0)] {
        let up = upstream(Script::default().with(step, Act::reply(451, "4.3.0 later")));
        let config = format!("{ONE}[upstream.limits]\nrecipients_per_message = 2\n");
        let mut sim = Simulation::new(&config, &[("up", &up)]);
        sim.start().await;
        sim.submit(
            "a@firm.example",
            &["1@x.example", "2@x.example", "3@x.example", "4@x.example", "5@x.example"],
        )
        .await;
        tokio::time::sleep(secs(50)).await;
        assert_eq!(up.commands_of("MAIL").len(), 3 + again, "{step:?}: each part once");
        tokio::time::sleep(secs(40)).await;
        assert_eq!(up.commands_of("MAIL").len(), 6 + again, "{step:?}: and once more after a minute");
        up.set(Script::default());
        sim.until_empty(secs(200)).await;
        assert_eq!(taken(&up).len(), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_closes_at_mail_is_left_alone_for_a_while() {
    let up = upstream(Script::default().with(Step::Mail, Act::ReplyAndDrop(421, "4.3.2 closing".into())));
    let mut sim = Simulation::new(ONE, &[("up", &up)]);
    sim.start().await;
    for n in 0..100 {
        sim.submit("a@firm.example", &[&format!("r{n}@there.example")]).await;
    }
    tokio::time::sleep(secs(8)).await;
    assert!(up.connections() <= 5, "{}", up.connections());
    up.set(Script::default());
    // What met it rests for its own pause; all else goes with the next probe.
    tokio::time::sleep(secs(20)).await;
    assert!(sim.store().queue_length() <= 5, "{}", sim.store().queue_length());
    sim.until_empty(secs(60)).await;
}

#[tokio::test(start_paused = true)]
async fn after_a_long_time_off_mail_gets_its_attempt_before_it_expires() {
    let up = upstream(Script::default());
    let mut sim = Simulation::new(ONE, &[("up", &up)]);
    sim.start().await;
    up.set(Script::default().with(Step::Connect, Act::Refuse));
    sim.submit("a@firm.example", &["x@there.example"]).await;
    tokio::time::sleep(secs(60)).await;
    sim.kill().await;
    tokio::time::sleep(secs(8 * 86_400)).await;
    up.set(Script::default());
    sim.start().await;
    sim.until_empty(secs(10)).await;
    assert!(taken(&up).contains(&"x@there.example".to_owned()));
    assert_eq!(sim.totals().await.expired, 0);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_not_held_against_a_message() {
    let up = upstream(Script::default().with(Step::Connect, Act::Refuse));
    let config = format!("[queue]\nwarn_after = \"never\"\n{ONE}");
    let mut sim = Simulation::new(&config, &[("up", &up)]);
    sim.start().await;
    sim.submit("a@firm.example", &["x@there.example"]).await;
    tokio::time::sleep(secs(10 * 3600)).await;
    up.set(Script::default().with(Step::AnyRcpt, Act::reply(450, "4.2.0 greylisted")));
    sim.until(secs(1000), secs(1), async |_| up.commands_of("RCPT").len() == 1).await;
    up.set(Script::default());
    sim.until_empty(secs(70)).await;
}

/// With three broken dialogues the upstream is down, while no message is due: nothing may spin then (a paused clock would
/// never advance).
#[tokio::test(start_paused = true)]
async fn a_lane_that_is_down_with_nothing_due_sleeps() {
    let up = upstream(Script::default().with(Step::Data, Act::Drop));
    let mut sim = Simulation::new(ONE, &[("up", &up)]);
    sim.start().await;
    for n in 0..3 {
        sim.submit("a@firm.example", &[&format!("r{n}@there.example")]).await;
    }
    tokio::time::sleep(secs(30)).await;
    assert_eq!(up.commands_of("DATA").len(), 3);
    up.set(Script::default());
    sim.until_empty(secs(120)).await;
}

#[tokio::test(start_paused = true)]
async fn the_local_mailbox_gets_a_message_whole() {
    let capture = "[[upstream]]\nname = \"local\"\nkind = \"capture\"\n";
    let mut sim = Simulation::new(capture, &[]);
    sim.start().await;
    let all: Vec<String> = (0..150).map(|n| format!("r{n}@there.example")).collect();
    sim.submit("a@firm.example", &all.iter().map(String::as_str).collect::<Vec<_>>()).await;
    sim.until_empty(secs(5)).await;
    let files: Vec<_> = std::fs::read_dir(sim.config.data_dir.join("captured/new")).unwrap().collect();
    let [Ok(file)] = files.as_slice() else { panic!("{files:?}") };
    let text = std::fs::read_to_string(file.path()).unwrap();
    assert_eq!(text.matches("X-Mailsluice-Recipient: ").count(), 150);
    assert_eq!(sim.totals().await.captured, 150);
}

#[tokio::test(start_paused = true)]
async fn mail_of_an_upstream_that_a_reload_removes_finds_its_way() {
    // It hangs, so that the reload finds the message in an attempt, which then fails by the old configuration.
    let up = upstream(Script::default().with(Step::Mail, Act::Hang));
    let other = upstream(Script::default());
    let mut sim = Simulation::new(ONE, &[("up", &up), ("other", &other)]);
    sim.start().await;
    sim.submit("a@firm.example", &["x@there.example"]).await;
    tokio::time::sleep(secs(5)).await;
    sim.reload("[[upstream]]\nname = \"new\"\nhost = \"other\"\nsecurity = \"none\"\n").await;
    sim.until_empty(secs(600)).await;
    assert_eq!(taken(&other), ["x@there.example"]);
}

#[tokio::test(start_paused = true)]
async fn the_test_switch_goes_by_what_was_set_last() {
    let file = |enabled: bool, address: &str| {
        format!("[test_mode]\nenabled = {enabled}\naddress = \"{address}\"\n{ONE}")
    };
    let up = upstream(Script::default());
    let mut sim = Simulation::new(&file(false, "one@t.example"), &[("up", &up)]);
    sim.start().await;
    let state = |sim: &Simulation| {
        let state = sim.core.as_ref().unwrap().test_mode.state();
        (state.enabled, state.address.unwrap().to_string(), state.origin)
    };
    let say = |enabled, address: &str, origin: &str| (enabled, address.to_owned(), origin.to_owned());
    assert_eq!(state(&sim), say(false, "one@t.example", "configuration"));
    let other = mailsluice::mail::Address::parse("other@t.example").unwrap();
    let switch = sim.core.as_ref().unwrap().test_mode.clone();
    switch.set(true, None, Some(other)).await.unwrap();
    switch.set(false, None, None).await.unwrap();
    switch.set(true, None, None).await.unwrap();
    assert_eq!(state(&sim), say(true, "other@t.example", "command"), "a command changes what it names");
    drop(switch);
    sim.kill().await;
    sim.start().await;
    let switch = sim.core.as_ref().unwrap().test_mode.clone();
    assert_eq!(state(&sim), say(true, "other@t.example", "command"), "it lasts");
    sim.reload(&file(false, "two@t.example")).await;
    assert_eq!(
        state(&sim),
        say(true, "two@t.example", "command"),
        "only the address has changed in the file"
    );
    assert!(switch.for_message(false).is_some(), "everybody asks the same switch");
    sim.reload(&file(true, "two@t.example")).await;
    sim.reload(&file(false, "two@t.example")).await;
    assert_eq!(state(&sim), say(false, "two@t.example", "configuration"));
    assert!(switch.for_message(false).is_none());
    let address = switch.for_message(true).and_then(|test| test.address).unwrap().to_string();
    assert_eq!(address, "two@t.example", "mail that must be a test has what is in force");
}
