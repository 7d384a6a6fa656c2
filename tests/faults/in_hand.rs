//! What a lane takes before a connection is free for it goes at once, or goes back.

use std::time::Duration;

use mailsluice::store::Priority;
use mailsluice::store::sqlite::Threading;
use rusqlite::Connection;
use tokio::time::{Instant, advance};

use super::support::pacer::Pacer;
use super::support::simulation::{Simulation, secs};
use super::support::upstream::{Act, Script, Step, Upstream, Whose};
use super::{FROM, arrivals, one};

const FIRST: &str = "first@firm.example";
const SECOND: &str = "second@firm.example";
const CONNECTIONS: usize = 5;

fn late(ms: u64) -> Act {
    Act::Late(Duration::from_millis(ms))
}

/// What is being sent, and what waits.
async fn figures(sim: &Simulation) -> (u64, u64) {
    let counts = sim.store().queue_figures().await.unwrap().counts;
    (counts.sending, counts.ready + counts.deferred)
}

/// Messages that wait, in nobody's hands.
fn waits(sim: &Simulation) -> u64 {
    let lane = sim.core.as_ref().unwrap().context.router.lane(FROM).unwrap();
    sim.store().lane_load(&lane).messages
}

/// Lets a time pass for everything but the store.
async fn pass_beside_the_store(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        advance(Duration::from_millis(10)).await;
    }
}

/// Five messages are under way, thirty wait. While a claim takes long, the other four connections become free; then the upstream
/// becomes slow.
async fn with_some_in_hand() -> (Simulation, Pacer, Upstream) {
    let quick = Script::default().with_for(Whose::sender(FIRST), Step::Dot, late(1_000)).with_for(
        Whose::sender(SECOND),
        Step::Dot,
        late(1_500),
    );
    let up = Upstream::new(quick);
    let mut sim = Simulation::new(&one("[upstream.limits]\nconnections = 5\n"), &[("up", &up)]);
    sim.threading = Threading::Writer;
    let pacer = Pacer::new();
    sim.start().await;
    for from in [FIRST, SECOND, SECOND, SECOND, SECOND] {
        sim.submit(from, &["r@there.example"]).await;
    }
    pacer.until(&sim, secs(1), || up.commands_of("DATA").len() == CONNECTIONS).await;
    for n in 0..30 {
        sim.submit(FROM, &[&format!("r{n}@there.example")]).await;
    }
    let other = Connection::open(sim.config.data_dir.join("queue.db")).unwrap();
    other.busy_timeout(secs(5)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    pass_beside_the_store(Duration::from_millis(1_600)).await;
    up.set(Script::default().with(Step::Dot, late(5_000)));
    other.execute_batch("COMMIT").unwrap();
    drop(other);

    pacer.until(&sim, secs(1), || up.commands_of("DATA").len() == 2 * CONNECTIONS).await;
    assert_eq!(figures(&sim).await, (5 + 5, 20), "as many are in hand as there are connections");
    (sim, pacer, up)
}

/// Each has arrived once.
async fn all_arrive(sim: &Simulation, pacer: &Pacer, up: &Upstream, count: usize) {
    pacer.until(sim, secs(60), || up.messages().len() >= count && sim.store().queue_length() == 0).await;
    let mut recipients: Vec<_> = arrivals(up).into_iter().map(|(recipient, _)| recipient).collect();
    assert_eq!(recipients.len(), count);
    recipients.sort();
    recipients.dedup();
    assert_eq!(recipients.len(), count - 4, "the first five have one recipient");
}

#[tokio::test(start_paused = true)]
async fn what_is_in_hand_goes_back_when_the_upstream_becomes_slow() {
    let (mut sim, pacer, up) = with_some_in_hand().await;
    pacer
        .until(&sim, secs(2), {
            let since = Instant::now();
            move || since.elapsed() > secs(1) + Duration::from_millis(200)
        })
        .await;
    assert_eq!(figures(&sim).await, (5, 25));
    // Whoever's turn it is by then goes first.
    let mut urgent = sim.message(FROM, &["urgent@there.example"]);
    urgent.priority = Priority::High;
    sim.enqueue(urgent).await;
    up.set(Script::default());
    all_arrive(&sim, &pacer, &up, 36).await;
    let place = arrivals(&up).iter().position(|(recipient, _)| recipient.starts_with("urgent")).unwrap();
    assert!((2 * CONNECTIONS..3 * CONNECTIONS).contains(&place), "{place}");
}

#[tokio::test(start_paused = true)]
async fn what_is_in_hand_goes_as_connections_become_free() {
    let (sim, pacer, up) = with_some_in_hand().await;
    up.set(Script::default());
    all_arrive(&sim, &pacer, &up, 35).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_in_hand_goes_back_when_the_upstream_is_switched_off() {
    let (sim, pacer, up) = with_some_in_hand().await;
    sim.switch_off("main").await;
    pacer.until(&sim, Duration::from_millis(100), || waits(&sim) == 25).await;
    pacer.until(&sim, secs(10), || waits(&sim) == sim.store().queue_length()).await;
    assert_eq!((up.messages().len(), waits(&sim)), (2 * CONNECTIONS, 25), "what was under way has gone");
    up.set(Script::default());
    sim.switch_on("main").await;
    all_arrive(&sim, &pacer, &up, 35).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_in_hand_goes_back_at_a_reload() {
    let (mut sim, pacer, up) = with_some_in_hand().await;
    sim.reload(&one("[upstream.limits]\nconnections = 5\nmessages_per_connection = 50\n")).await;
    pacer.until(&sim, secs(1), || waits(&sim) == 25).await;
    up.set(Script::default());
    all_arrive(&sim, &pacer, &up, 35).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_in_hand_goes_elsewhere_at_once_when_the_routes_change() {
    let (mut sim, pacer, up) = with_some_in_hand().await;
    // The content of five is there; the upstream takes its time for the answer.
    let since = Instant::now();
    pacer.until(&sim, secs(1), || since.elapsed() > Duration::from_millis(50)).await;
    up.set(Script::default());
    let second = format!(
        "[[upstream]]\nname = \"second\"\nhost = \"up\"\nsecurity = \"none\"\nfilter = [\"{FROM}\"]\n"
    );
    sim.reload(&one(&format!("default = true\nenabled = false\n{second}"))).await;
    // None of the others waits for that.
    pacer.until(&sim, secs(1), || sim.store().queue_length() == CONNECTIONS as u64).await;
    all_arrive(&sim, &pacer, &up, 35).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_in_hand_goes_back_when_the_relay_stops() {
    let (mut sim, pacer, up) = with_some_in_hand().await;
    // What is under way has the time to end.
    drop(pacer);
    sim.stop().await;
    assert_eq!(up.messages().len(), 2 * CONNECTIONS);
    up.set(Script::default());
    let pacer = Pacer::new();
    sim.start().await;
    all_arrive(&sim, &pacer, &up, 35).await;
}
