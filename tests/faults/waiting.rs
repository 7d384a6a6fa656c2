//! Who waits for room or for a connection waits no longer than that is so.

use std::time::Duration;

use mailsluice::store::sqlite::Threading;
use tokio::time::{Instant, sleep};

use super::support::pacer::Pacer;
use super::support::simulation::{Host, Simulation, secs};
use super::support::upstream::{Act, Script, Step, Upstream};
use super::{FROM, arrivals, recipients, strs};

fn limited(limits: &str) -> String {
    format!(
        "[queue]\nexpire_after = \"90d\"\nwarn_after = \"never\"\n\
         [[upstream]]\nname = \"main\"\nhost = \"up\"\nsecurity = \"none\"\n[upstream.limits]\n{limits}\n"
    )
}

/// A large envelope may be split to the room that is left, or be overtaken: either way the room is used.
#[tokio::test(start_paused = true)]
async fn a_large_envelope_leaves_no_room_unused() {
    for (window, wait) in [("per_day", 3 * 86_400), ("per_hour", 3 * 3_600)] {
        let up = Upstream::new(Script::default());
        let mut sim =
            Simulation::new(&limited(&format!("{window} = {{ recipients = 100 }}")), &[("up", &up)]);
        sim.start().await;
        sim.submit_by("192.0.2.1", FROM, &strs(&recipients("first", 70))).await;
        sim.until_empty(secs(10)).await;
        sim.submit_by("192.0.2.2", FROM, &strs(&recipients("large", 50))).await;
        for n in 3..60 {
            sim.submit_by(&format!("192.0.2.{n}"), FROM, &[&format!("single{n}@there.example")]).await;
        }
        sleep(secs(60)).await;
        assert_eq!(arrivals(&up).len(), 100, "{window}: others wait, and there is room");
        sim.until_empty(secs(wait)).await;
        assert_eq!((arrivals(&up).len(), sim.totals().await.bounced), (70 + 50 + 57, 0), "{window}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_envelope_is_not_overtaken_for_ever() {
    let up = Upstream::new(Script::default());
    let mut sim = Simulation::new(&limited("per_hour = { recipients = 10 }"), &[("up", &up)]);
    sim.start().await;
    let start = Instant::now();
    let mut through = None;
    for n in 0..240 {
        if n == 40 {
            sim.submit_by("192.0.2.1", FROM, &strs(&recipients("large", 8))).await;
        }
        for client in 2..4 {
            let to = format!("single{n}-{client}@there.example");
            sim.submit_by(&format!("192.0.2.{client}"), FROM, &[&to]).await;
        }
        sleep(secs(120)).await;
        let large = arrivals(&up).iter().filter(|(to, _)| to.starts_with("large")).count();
        if large == 8 && through.is_none() {
            through = Some(start.elapsed().saturating_sub(secs(80 * 60)));
        }
    }
    let through = through.expect("it has gone at all");
    assert!(through <= secs(4 * 3_600), "{through:?}");
    // Eight hours of ten an hour; while one waits for room, that room is somebody's.
    assert!(arrivals(&up).len() >= 72, "{}", arrivals(&up).len());
}

/// Two lanes have one message each at the same moment, and there are five connections.
async fn both_go(toml: &str, hosts: &[(&str, &dyn Host)], up: &Upstream, from: [&str; 2]) {
    let mut sim = Simulation::new(toml, hosts);
    sim.threading = Threading::Writer;
    let pacer = Pacer::new();
    sim.start().await;
    pacer.until(&sim, secs(1), || true).await;
    let before = up.messages().len();
    let both = from.map(|from| sim.message(from, &["r@there.example"]));
    let [one, other] = both;
    tokio::join!(sim.enqueue(one), sim.enqueue(other));
    let start = Instant::now();
    pacer.until(&sim, secs(40), || up.messages().len() == before + 2).await;
    let (took, open) = (start.elapsed(), up.most_connections());
    assert!(took <= secs(3), "the second went after {took:?}, and at most {open} of 5 connections were open");
}

#[tokio::test(start_paused = true)]
async fn what_a_lane_does_not_use_another_has_at_once() {
    let fallback = r#"
        [[upstream]]
        name = "main"
        host = "up"
        security = "none"
        default = true
        [[upstream]]
        name = "second"
        host = "second"
        security = "none"
        enabled = false
        filter = ["second.example"]
        fallback = ["main"]
        fallback_on = ["disabled"]
    "#;
    let bound = r#"
        [[upstream]]
        name = "main"
        host = "up"
        security = "none"
        allow_plaintext_auth = true
        user = "anna"
        password = "secret"
        [upstream.shared_limits]
        connections = 5
        [[upstream.account]]
        user = "bert@firm.example"
        password = "secret"
        sender_bound = true
    "#;
    let late = || Script::default().with(Step::Dot, Act::Late(secs(60)));
    for _ in 0..5 {
        let up = Upstream::new(late());
        both_go(fallback, &[("up", &up)], &up, [FROM, "b@second.example"]).await;
        let up = Upstream::new(late().with_logins(&["bert@firm.example"]));
        both_go(bound, &[("up", &up)], &up, [FROM, "bert@firm.example"]).await;
    }
}

/// Two lanes, one of which sends by the other's one connection.
const ONE_CONNECTION: &str = r#"
        [[upstream]]
        name = "main"
        host = "up"
        security = "none"
        default = true
        [upstream.limits]
        connections = 1
        [[upstream]]
        name = "second"
        host = "second"
        security = "none"
        enabled = false
        filter = ["second.example"]
        fallback = ["main"]
        fallback_on = ["disabled"]
    "#;

/// Both lanes send by the same connection again and again; neither waits for a look around.
#[tokio::test(start_paused = true)]
async fn lanes_take_turns_at_one_connection() {
    let up = Upstream::new(Script::default().with(Step::Dot, Act::Late(Duration::from_millis(500))));
    let mut sim = Simulation::new(ONE_CONNECTION, &[("up", &up)]);
    sim.start().await;
    for n in 0..100 {
        sim.submit(FROM, &[&format!("main{n}@there.example")]).await;
    }
    for n in 0..20 {
        sim.submit("b@second.example", &[&format!("second{n}@there.example")]).await;
    }
    sleep(secs(30)).await;
    let second = arrivals(&up).iter().filter(|(to, _)| to.starts_with("second")).count();
    assert!(second >= 15, "{second} of 20 while {} went", up.messages().len());
    sim.until_empty(secs(60)).await;
    assert_eq!((up.messages().len(), up.most_connections(), sim.store().queue_length()), (120, 1, 0));
}

/// What one account has under way holds the other back: when it ends, the other knows at once.
#[tokio::test(start_paused = true)]
async fn the_end_of_what_is_shared_wakes_the_other_accounts() {
    let up = Upstream::new(
        Script::default().with_logins(&["anna", "b@firm.example"]).with(Step::Mail, Act::Late(secs(20))),
    );
    let config = "[[upstream]]\nname = \"main\"\nhost = \"up\"\nsecurity = \"none\"\nallow_plaintext_auth = true\n\
        user = \"anna\"\npassword = \"secret\"\n[[upstream.account]]\nuser = \"b@firm.example\"\npassword = \"secret\"\n\
        sender_bound = true\n[upstream.shared_limits]\nper_minute = { messages = 1 }\n";
    let mut sim = Simulation::new(config, &[("up", &up)]);
    sim.start().await;
    sim.submit(FROM, &["first@there.example"]).await;
    sleep(secs(1)).await;
    sim.submit("b@firm.example", &["second@there.example"]).await;
    sim.until_empty(secs(300)).await;
    let at: Vec<_> = arrivals(&up).into_iter().map(|(_, at)| at).collect();
    let between = at[1] - at[0];
    assert!(between <= secs(82), "it waited for {between:?}, of which the minute and its own 20 s");
}

/// Lanes whose mail is not due yet wake each other in turn, for ever: then no time passes any more.
#[test]
fn lanes_with_nothing_to_send_leave_each_other_alone() {
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let put_off = Act::reply(450, "4.2.0 not now");
            let up = Upstream::new(Script::default().with(Step::AnyRcpt, put_off));
            let third =
                ONE_CONNECTION[ONE_CONNECTION.rfind("[[upstream]]").unwrap()..].replace("second", "third");
            let mut sim = Simulation::new(&format!("{ONE_CONNECTION}{third}"), &[("up", &up)]);
            sim.start().await;
            for n in 0..6 {
                for from in ["b@second.example", "c@third.example"] {
                    sim.submit(from, &[&format!("{n}@there.example")]).await;
                }
                sleep(secs(1)).await;
            }
            sleep(secs(600)).await;
            assert_eq!(sim.store().queue_length(), 12);
        });
        done.send(()).unwrap();
    });
    let within = Duration::from_mins(1);
    is_done.recv_timeout(within).expect("ten minutes of simulated time pass in a moment");
}

/// A person wants the mail of one lane tried; that lets the upstream that stands in for it be probed, by whoever has mail
/// for it.
#[tokio::test(start_paused = true)]
async fn a_probe_that_somebody_allows_is_made_by_who_waits_for_it() {
    let toml = "[[upstream]]\nname = \"main\"\nhost = \"up\"\nsecurity = \"none\"\ndefault = true\n\
        fallback = [\"second\"]\n[[upstream]]\nname = \"second\"\nhost = \"second\"\nsecurity = \"none\"\n\
        filter = [\"second.example\"]\n";
    let (up, second) = (Upstream::new(Script::default()), Upstream::new(Script::default()));
    second.set(Script::default().with(Step::Connect, Act::Refuse));
    let mut sim = Simulation::new(toml, &[("up", &up), ("second", &second)]);
    sim.start().await;
    sim.submit("b@second.example", &["r@there.example"]).await;
    sleep(secs(1_000)).await;
    second.set(Script::default());
    sim.control().enable("main").await;
    sleep(secs(1)).await;
    assert_eq!((second.messages().len(), sim.store().queue_length()), (1, 0));
}
