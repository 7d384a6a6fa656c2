//! Limits as the upstream sees them: never overrun in any window, over restarts, kills and clock steps; and not much
//! slower than they allow. Time is simulated.

#![allow(clippy::unwrap_used, reason = "a test may stop where its world breaks")]

mod support;

use std::time::Duration;

use support::simulation::{Simulation, secs};
use support::upstream::{Act, Script, Step, Upstream};
use tokio::time::Instant;

fn config(limits: &str) -> String {
    format!(
        "[queue]\nexpire_after = \"90d\"\nwarn_after = \"never\"\n[[upstream]]\nname = \"main\"\nhost = \"up\"\nsecurity = \"none\"\n\
         [upstream.limits]\n{limits}\n"
    )
}

const LIMITS: &str = "per_minute = { messages = 30 }\nper_day = { recipients = 100 }";

/// What the upstream saw: when each message arrived, and for how many recipients.
fn seen(up: &Upstream) -> Vec<(Instant, usize)> {
    up.messages().into_iter().map(|seen| (seen.at, seen.recipients.len())).collect()
}

/// The most that any window of this length held: messages and recipients.
fn most_in_any(seen: &[(Instant, usize)], window: Duration) -> (usize, usize) {
    let mut most = (0, 0);
    for (start, _) in seen {
        let inside = || seen.iter().filter(|(at, _)| at >= start && at.duration_since(*start) < window);
        most.0 = most.0.max(inside().count());
        most.1 = most.1.max(inside().map(|(_, recipients)| recipients).sum());
    }
    most
}

fn assert_kept(up: &Upstream, messages_a_minute: usize, recipients_a_day: usize) {
    let seen = seen(up);
    let minute = most_in_any(&seen, secs(60)).0;
    let day = most_in_any(&seen, secs(86_400)).1;
    assert!(minute <= messages_a_minute, "{minute} messages in a minute");
    assert!(day <= recipients_a_day, "{day} recipients in a day");
}

/// A simple generator, so that a failure can be had again.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

#[tokio::test(start_paused = true)]
async fn a_burst_goes_as_fast_as_the_limit_allows() {
    let up = Upstream::new(Script::default());
    let mut sim = Simulation::new(&config("per_minute = { messages = 30 }"), &[("up", &up)]);
    sim.start().await;
    for n in 0..600 {
        sim.submit("a@firm.example", &[&format!("r{n}@there.example")]).await;
    }
    let start = Instant::now();
    sim.until_empty(secs(3600)).await;
    let took = start.elapsed();
    assert_kept(&up, 30, usize::MAX);
    // 19 windows must pass before the last 30 may go.
    assert!(took >= secs(19 * 60) && took <= secs(19 * 60 + 12), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn limits_hold_over_restarts_kills_and_clock_steps() {
    for seed in 1..=3 {
        let mut random = Random(seed);
        // A slow upstream, so that kills find transactions under way.
        let up = Upstream::new(Script::default().with(Step::Dot, Act::Slow(Duration::from_millis(40))));
        let mut sim = Simulation::new(&config(LIMITS), &[("up", &up)]);
        sim.start().await;
        let mut sent = 0;
        for n in 0..80 {
            let recipients: Vec<String> =
                (0..=random.below(4)).map(|r| format!("r{n}-{r}@there.example")).collect();
            let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
            sent += recipients.len();
            sim.submit("a@firm.example", &recipients).await;
        }
        let end = Instant::now() + secs(5 * 86_400);
        while sim.store().queue_length() > 0 {
            assert!(Instant::now() < end, "seed {seed}: {:?}", sim.totals().await);
            // Often while mail is flowing, rarely while a day passes.
            let pause = if random.below(3) == 0 { random.below(9 * 3_600_000) } else { random.below(2_000) };
            tokio::time::sleep(Duration::from_millis(pause)).await;
            something_happens(&mut sim, &mut random).await;
        }
        assert_kept(&up, 30, 100);
        let recipients: usize = seen(&up).iter().map(|(_, recipients)| recipients).sum();
        assert!(recipients >= sent, "seed {seed}");
    }
}

/// A restart, a kill, or somebody sets the clock.
async fn something_happens(sim: &mut Simulation, random: &mut Random) {
    match random.below(6) {
        0 => sim.stop().await,
        1..=3 => sim.kill().await,
        4 => return sim.clock.step(3_600_000),
        _ => return sim.clock.step(-3_600_000),
    }
    if random.below(4) == 0 {
        // The relay was down for a while.
        tokio::time::sleep(secs(random.below(120))).await;
    }
    sim.start().await;
}

#[tokio::test(start_paused = true)]
async fn limits_hold_over_a_reboot() {
    let up = Upstream::new(Script::default());
    let mut sim = Simulation::new(&config(LIMITS), &[("up", &up)]);
    sim.start().await;
    for n in 0..150 {
        sim.submit("a@firm.example", &[&format!("r{n}@there.example")]).await;
    }
    for _ in 0..5 {
        tokio::time::sleep(secs(20)).await;
        sim.kill().await;
        sim.clock.reboot();
        sim.start().await;
    }
    sim.until_empty(secs(2 * 86_400)).await;
    assert_kept(&up, 30, 100);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_new_counts_what_went_before() {
    let up = Upstream::new(Script::default());
    let mut sim = Simulation::new(&config("connections = 3"), &[("up", &up)]);
    sim.start().await;
    for n in 0..80 {
        sim.submit("a@firm.example", &[&format!("r{n}@there.example")]).await;
    }
    sim.until_empty(secs(10)).await;
    sim.stop().await;
    sim.configure(&config(LIMITS));
    sim.start().await;
    for n in 0..60 {
        sim.submit("a@firm.example", &[&format!("s{n}@there.example")]).await;
    }
    tokio::time::sleep(secs(3600)).await;
    assert_eq!(seen(&up).len(), 100, "80 of the day's 100 had gone before");
    sim.until_empty(secs(86_400)).await;
}

#[tokio::test(start_paused = true)]
async fn an_even_pace_leaves_no_bursts() {
    let up = Upstream::new(Script::default());
    let limits = "per_minute = { messages = 30 }\npace = \"even\"";
    let mut sim = Simulation::new(&config(limits), &[("up", &up)]);
    sim.start().await;
    for n in 0..90 {
        sim.submit("a@firm.example", &[&format!("r{n}@there.example")]).await;
    }
    sim.until_empty(secs(600)).await;
    assert!(most_in_any(&seen(&up), secs(10)).0 <= 6);
    assert_kept(&up, 30, usize::MAX);
}

#[tokio::test(start_paused = true)]
async fn a_message_with_more_recipients_than_a_day_allows_goes_in_parts() {
    let up = Upstream::new(Script::default());
    let mut sim = Simulation::new(&config("per_day = { recipients = 100 }"), &[("up", &up)]);
    sim.start().await;
    let all: Vec<String> = (0..250).map(|n| format!("r{n}@there.example")).collect();
    sim.submit("a@firm.example", &all.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let start = Instant::now();
    sim.until_empty(secs(4 * 86_400)).await;
    assert_kept(&up, usize::MAX, 100);
    assert!(start.elapsed() < secs(2 * 86_400 + 900), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn our_own_reports_count_and_go_first() {
    let script = Script::default().with(Step::AnyRcpt, Act::reply(550, "5.1.1 no such user"));
    let up = Upstream::new(script);
    let mut sim = Simulation::new(&config("per_minute = { messages = 1 }"), &[("up", &up)]);
    sim.start().await;
    for n in 0..3 {
        sim.submit("a@firm.example", &[&format!("r{n}@there.example")]).await;
    }
    sim.until(secs(10), Duration::from_millis(100), async |sim| sim.totals().await.bounced == 1).await;
    up.set(Script::default());
    sim.until_empty(secs(600)).await;
    let order: Vec<_> = up.messages().into_iter().map(|seen| (seen.at, seen.recipients[0].clone())).collect();
    assert_eq!(order[0].1, "a@firm.example", "the report before the mail that was already waiting");
    assert!(order.windows(2).all(|pair| pair[1].0 - pair[0].0 >= secs(60)), "{order:?}");
}

/// The most octets that any window of this length held.
fn most_octets(ups: &[&Upstream], window: Duration) -> usize {
    let seen: Vec<(Instant, usize)> =
        ups.iter().flat_map(|up| up.messages()).map(|seen| (seen.at, seen.content.len())).collect();
    let inside = |start: Instant| {
        let within = seen.iter().filter(move |(at, _)| *at >= start && at.duration_since(start) < window);
        within.map(|(_, octets)| octets).sum()
    };
    seen.iter().map(|(start, _)| inside(*start)).max().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn octets_in_any_window_hold_over_kills_and_reloads() {
    let up = Upstream::new(Script::default());
    // Each message has some 250 octets, with our Received field.
    let with = |per: &str| config(&format!("per_day = {{ recipients = 100000 }}\nper = {{ {per} }}"));
    let mut sim = Simulation::new(&with("\"90s\" = { octets = 4000 }"), &[("up", &up)]);
    sim.start().await;
    for n in 0..150 {
        sim.submit("a@firm.example", &[&format!("r{n}@there.example")]).await;
    }
    let start = Instant::now();
    tokio::time::sleep(secs(200)).await;
    sim.kill().await;
    sim.start().await;
    tokio::time::sleep(secs(100)).await;
    // A window that is new knows what was sent before it came.
    sim.reload(&with("\"90s\" = { octets = 4000 }, \"10m\" = { octets = 16000 }")).await;
    let new = Instant::now();
    let before = up.messages().len();
    assert!(before >= 30, "{before}");
    sim.until_empty(secs(7_200)).await;
    assert!(most_octets(&[&up], secs(90)) <= 4_000, "{}", most_octets(&[&up], secs(90)));
    let octets: usize = up.messages().iter().map(|seen| seen.content.len()).sum();
    let in_ten: usize = {
        let since = new - secs(600).min(new.duration_since(start));
        let until = since + secs(600);
        let inside = up.messages().into_iter().filter(|seen| seen.at >= since && seen.at < until);
        inside.map(|seen| seen.content.len()).sum()
    };
    assert!(in_ten <= 16_000, "{in_ten} octets in the ten minutes around the reload");
    // And it is not much slower than that allows.
    let took = start.elapsed();
    let least = secs((octets as u64 / 16_000) * 600 + 300);
    assert!(took <= least + secs(120), "{took:?} for {octets} octets");
}

const GROUP: &str = r#"
[queue]
expire_after = "90d"
warn_after = "never"
retry_min = "1m"
[[limit_group]]
name = "mailbox"
per_minute = { messages = 10 }
connections = 2
[[upstream]]
name = "main"
host = "up"
security = "none"
default = true
limit_group = "mailbox"
fallback = ["other"]
[[upstream]]
name = "other"
host = "way"
security = "none"
filter = ["other.example"]
limit_group = "mailbox"
fallback = ["main"]
"#;

#[tokio::test(start_paused = true)]
async fn upstreams_of_a_group_share_its_limits_and_fail_over_within_them() {
    // Upstreams that lead back to each other are refused: here one stands in for the other in turn.
    let one_way = GROUP.replace("fallback = [\"main\"]\n", "");
    let other_way = GROUP.replace("fallback = [\"other\"]\n", "");
    for (toml, down) in [(one_way, "up"), (other_way, "way")] {
        let (up, way) = (Upstream::new(Script::default()), Upstream::new(Script::default()));
        let mut sim = Simulation::new(&toml, &[("up", &up), ("way", &way)]);
        sim.start().await;
        for n in 0..60 {
            let sender = if n % 2 == 0 { "a@firm.example" } else { "a@other.example" };
            sim.submit(sender, &[&format!("r{n}@there.example")]).await;
        }
        let start = Instant::now();
        tokio::time::sleep(secs(70)).await;
        let gone = if down == "up" { &up } else { &way };
        gone.set(Script::default().with(Step::Connect, Act::Refuse));
        sim.kill().await;
        sim.start().await;
        let is_done = async |sim: &Simulation| {
            let open = up.open_connections() + way.open_connections();
            assert!(open <= 2, "{down}: {open} connections of the group");
            sim.store().queue_length() == 0
        };
        sim.until(secs(3_600), Duration::from_millis(500), is_done).await;
        let both: Vec<_> = seen(&up).into_iter().chain(seen(&way)).collect();
        assert_eq!(both.len(), 60);
        let most = most_in_any(&both, secs(60)).0;
        assert!(most <= 10, "{down}: {most} messages in a minute");
        assert!(!seen(&up).is_empty() && !seen(&way).is_empty(), "{down}");
        // Six windows, five of which must pass; what one frees wakes the other.
        assert!(start.elapsed() <= secs(5 * 60 + 90), "{down}: {:?}", start.elapsed());
    }
}
