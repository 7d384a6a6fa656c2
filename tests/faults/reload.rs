//! A reload changes what is configured, and nothing else: no connection is forgotten, no memory, no wait, no word of a
//! person.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::FROM;
use super::paper::Paper;
use super::support::direct_client::Client;
use super::support::simulation::{Simulation, secs};
use super::support::upstream::{Act, Script, Step, Upstream};

fn config(mode: &str, host: &str, limits: &str) -> String {
    format!(
        "[queue]\nmode = \"{mode}\"\nexpire_after = \"90d\"\nwarn_after = \"4h\"\n\
         [[upstream]]\nname = \"main\"\nhost = \"{host}\"\nsecurity = \"none\"\n[upstream.limits]\n{limits}\n"
    )
}

async fn submit(sim: &mut Simulation, messages: usize) {
    for n in 0..messages {
        sim.submit(FROM, &[&format!("r{n}@there.example")]).await;
    }
}

/// The upstream takes its time over QUIT, and counts the connection until then. With another host nothing that is open
/// can be used again; else nothing need be closed.
#[tokio::test(start_paused = true)]
async fn mail_does_not_wait_for_what_a_reload_has_retired() {
    const UNDER_WAY: Duration = Duration::from_millis(100);
    const IDLE: Duration = Duration::from_secs(1);
    for (host, before, most) in [
        ("up", IDLE, secs(2)),
        ("up", UNDER_WAY, secs(2)),
        // QUIT, and two rounds of half a second by two connections.
        ("other", IDLE, secs(6)),
        ("other", UNDER_WAY, secs(6)),
    ] {
        let script = Script::default()
            .with(Step::Quit, Act::Late(secs(3)))
            .with(Step::Dot, Act::Late(Duration::from_millis(500)));
        let up = Upstream::new(script);
        let mut sim =
            Simulation::new(&config("queued", "up", "connections = 2"), &[("up", &up), ("other", &up)]);
        sim.start().await;
        submit(&mut sim, 2).await;
        sleep(before).await;
        sim.reload(&config("queued", host, "connections = 2")).await;
        submit(&mut sim, 4).await;
        let start = Instant::now();
        sim.until_empty(secs(120)).await;
        let took = start.elapsed();
        assert!(took <= most, "reload to {host} after {before:?}: {took:?} for a second's work");
        assert_eq!((up.messages().len(), up.most_connections()), (6, 2), "{host} {before:?}");
    }
}

/// A lane that falls back uses another's connection, and gives it back when that one's old lane has ended.
#[tokio::test(start_paused = true)]
async fn a_connection_that_a_fallback_has_used_over_a_reload_is_not_lost() {
    for host in ["up", "other"] {
        let toml = |host: &str| {
            format!(
                "{}[[upstream]]\nname = \"second\"\nhost = \"second\"\nsecurity = \"none\"\nenabled = false\n\
                 filter = [\"second.example\"]\nfallback = [\"main\"]\nfallback_on = [\"disabled\"]\n",
                config("queued", host, "connections = 1").replace("host =", "default = true\nhost =")
            )
        };
        let up = Upstream::new(Script::default().with(Step::Dot, Act::Late(secs(3))));
        let mut sim = Simulation::new(&toml("up"), &[("up", &up), ("other", &up)]);
        sim.start().await;
        sim.submit("b@second.example", &["r@there.example"]).await;
        sleep(secs(1)).await;
        sim.reload(&toml(host)).await;
        submit(&mut sim, 2).await;
        let start = Instant::now();
        sim.until_empty(secs(300)).await;
        assert!(start.elapsed() <= secs(12), "{host}: {:?} for nine seconds' work", start.elapsed());
        assert_eq!((up.messages().len(), up.most_connections()), (3, 1), "{host}");
        sleep(secs(60)).await;
        assert_eq!(up.open_connections(), 0, "{host}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_finds_the_connection_that_was_in_use_at_a_reload() {
    for host in ["up", "other"] {
        let up = Upstream::new(Script::default().with(Step::Quit, Act::Late(secs(3))));
        let mut sim =
            Simulation::new(&config("direct", "up", "connections = 1"), &[("up", &up), ("other", &up)]);
        sim.start().await;
        let mut client = Client::at(&sim, 0).await;
        client.say("MAIL FROM:<a@firm.example>").await;
        assert!(client.say("RCPT TO:<x@there.example>").await.starts_with("250"));
        sim.reload(&config("direct", host, "connections = 1")).await;
        client.follow(&sim);
        assert!(client.say("DATA").await.starts_with("354"));
        assert!(client.say(&format!("From: {FROM}\r\n\r\none\r\n.")).await.starts_with("250"), "{host}");
        for n in 0..3 {
            let mut other = Client::at(&sim, 0).await;
            let replies = other.send(FROM, &["y@there.example"], FROM).await;
            assert!(replies[2].starts_with("250"), "{host}, client {n}: {replies:?}");
        }
        // What is not used any more is closed, whoever it was opened by.
        sleep(secs(60)).await;
        assert_eq!((up.most_connections(), up.open_connections()), (1, 0), "{host}");
    }
}

/// Content that is too large to lie in the data base.
async fn hand_in(sim: &Simulation, to: &str, lines: usize) {
    let mut client = Client::at(sim, 0).await;
    client.say("MAIL FROM:<a@firm.example>").await;
    client.say(&format!("RCPT TO:<{to}>")).await;
    client.say("DATA").await;
    let line = format!("{}\r\n", "x".repeat(498));
    client.write(format!("From: {FROM}\r\n\r\n").as_bytes()).await;
    for _ in 0..lines {
        client.write(line.as_bytes()).await;
    }
    let reply = client.say(".").await;
    assert!(reply.starts_with("250"), "{reply}");
    client.leave().await;
}

#[tokio::test(start_paused = true)]
async fn less_memory_after_a_reload_is_enough() {
    let with_memory = |budget: &str| {
        format!("[session]\nmemory_budget = \"{budget}\"\n{}", config("queued", "up", "connections = 3"))
    };
    for budget in ["1MiB", "256KiB"] {
        let up = Upstream::new(Script::default().with(Step::Greeting, Act::Late(secs(20))));
        let mut sim = Simulation::new(&with_memory("8MiB"), &[("up", &up)]);
        sim.start().await;
        for to in ["one@there.example", "two@there.example", "three@there.example"] {
            hand_in(&sim, to, 3_000).await;
        }
        sleep(secs(2)).await;
        sim.reload(&with_memory(budget)).await;
        up.set(Script::default());
        hand_in(&sim, "four@there.example", 200).await;
        sim.until_empty(secs(600)).await;
        assert_eq!((up.messages().len(), sim.totals().await.bounced), (4, 0), "{budget}");
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_limit_makes_no_mail_older_over_reloads() {
    let up = Upstream::new(Script::default().with(Step::Dot, Act::Late(secs(3))));
    let toml = config("queued", "up", "per_day = { messages = 2 }");
    let mut sim = Simulation::new(&toml, &[("up", &up)]);
    sim.start().await;
    submit(&mut sim, 6).await;
    sleep(secs(1)).await;
    // Two are under way by the old configuration, the rest waits by the new one.
    sim.reload(&toml).await;
    sleep(secs(12 * 3600)).await;
    assert_eq!(up.messages().len(), 2);
    assert_eq!(sim.store().queue_length(), 4, "a report says that mail is late which waits for a limit");
    sim.reload(&toml).await;
    sleep(secs(11 * 3600)).await;
    assert_eq!((up.messages().len(), sim.store().queue_length()), (2, 4));
    sim.until_empty(secs(3 * 86_400)).await;
    assert_eq!(up.messages().len(), 6, "and no report has gone");
}

/// The request is made at each moment at which a reload waits for something, and by what was in force when it began.
#[tokio::test(start_paused = true)]
async fn an_upstream_that_is_disabled_during_a_reload_is_disabled() {
    for moment in 0..12 {
        let up = Upstream::new(Script::default());
        let toml = config("queued", "up", "connections = 2");
        let mut sim = Simulation::new(&toml, &[("up", &up)]);
        sim.start().await;
        let control = sim.control();
        let mut reload = Box::pin(sim.reload(&toml));
        let mut waited = 0;
        let ended = std::future::poll_fn(|context| match reload.as_mut().poll(context) {
            std::task::Poll::Ready(()) => std::task::Poll::Ready(true),
            std::task::Poll::Pending if waited == moment => std::task::Poll::Ready(false),
            std::task::Poll::Pending => {
                waited += 1;
                std::task::Poll::Pending
            }
        });
        let ended = ended.await;
        let rest = async {
            if !ended {
                reload.await;
            }
        };
        tokio::join!(biased; control.disable("main"), rest);
        submit(&mut sim, 2).await;
        sleep(secs(120)).await;
        assert_eq!(up.messages().len(), 0, "disabled when the reload had waited {waited} times");
        let upstreams = sim.control().ask("GET", "/upstreams").await;
        assert_eq!(upstreams[0]["state"], "disabled", "after {waited} waits");
        sim.control().enable("main").await;
        sim.until_empty(secs(10)).await;
    }
}

/// What an attempt, or a session, puts in a lane by the routes of before a reload goes where the new ones have it, also
/// while the old lane is there and sends nothing.
#[tokio::test(start_paused = true)]
async fn what_comes_back_over_a_reload_follows_the_new_routes() {
    let main = |more: &str| format!("{}{more}", config("queued", "up", ""));
    let main = |more: &str| main(more).replace("host = \"up\"", "host = \"up\"\ndefault = true");
    let second = "[[upstream]]\nname = \"second\"\nhost = \"second\"\nsecurity = \"none\"\nfilter = [\"second.example\"]\n";
    let sender = "b@second.example";
    for by_session in [false, true] {
        let up = Upstream::new(Script::default().with(Step::Mail, Act::Late(secs(20))));
        let other = Upstream::new(Script::default());
        let mut sim = Simulation::new(&main(""), &[("up", &up), ("second", &other)]);
        sim.start().await;
        up.set(
            Script::default()
                .with(Step::AnyRcpt, Act::Late(secs(20)))
                .with(Step::Dot, Act::reply(451, "later")),
        );
        let mut client = Client::at(&sim, 0).await;
        if by_session {
            client.say(&format!("MAIL FROM:<{sender}>")).await;
            client.say("RCPT TO:<x@there.example>").await;
            assert!(client.say("DATA").await.starts_with("354"));
        } else {
            sim.submit(sender, &["x@there.example"]).await;
            sleep(secs(1)).await;
        }
        sim.control().disable("main").await;
        sim.reload(&main(second)).await;
        client.follow(&sim);
        if by_session {
            assert!(client.say(&format!("From: {sender}\r\n\r\none\r\n.")).await.starts_with("250"));
        }
        sleep(secs(30)).await;
        if !by_session {
            sim.control().ask("POST", "/queue/retry").await;
        }
        sleep(secs(1)).await;
        assert_eq!(
            (other.messages().len(), sim.store().queue_length()),
            (1, 0),
            "by a session: {by_session}"
        );
    }
}

/// A reload that switches test mode says so, loudly and once.
#[tokio::test(start_paused = true)]
async fn test_mode_that_a_reload_switches_is_told() {
    let up = Upstream::new(Script::default());
    let off = config("queued", "up", "connections = 1");
    let on = format!("{off}[test_mode]\nenabled = true\naddress = \"test@firm.example\"\n");
    let mut sim = Simulation::new(&off, &[("up", &up)]);
    sim.start().await;
    let (paper, _listening) = Paper::listen();
    for _ in 0..2 {
        sim.reload(&on).await;
    }
    let lines: Vec<_> = paper.lines().into_iter().filter(|line| line.starts_with("test_mode ")).collect();
    assert_eq!(lines, ["test_mode enabled=true action=redirect to=test@firm.example origin=configuration"]);
}

/// What has not changed in `[test_mode]` asks nothing of a store that is broken.
#[tokio::test(start_paused = true)]
async fn a_broken_store_does_not_keep_a_reload_from_its_work() {
    let up = Upstream::new(Script::default());
    let mut sim = Simulation::new(&config("queued", "up", ""), &[("up", &up)]);
    sim.start().await;
    let file = sim.config.data_dir.join("queue.db");
    let broken = rusqlite::Connection::open(file).unwrap();
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let names: Vec<String> = broken
        .prepare(tables)
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(names.len() > 5, "{names:?}");
    for name in names {
        broken.execute_batch(&format!("ALTER TABLE {name} RENAME TO gone_{name}")).unwrap();
    }
    sim.reload(&config("direct", "up", "")).await;
    let switched = format!("[test_mode]\nenabled = true\naction = \"hold\"\n{}", config("direct", "up", ""));
    sim.configure(&switched);
    let core = sim.core.as_mut().unwrap();
    let prepared = core.prepare(sim.config.clone()).unwrap();
    let refused = core.reload(prepared).await;
    assert!(refused.is_err(), "a switch that can't be kept is not set");
}
