//! When mail will go, as it is told, against when it goes; and the switch of an upstream. Time is simulated.

#![allow(clippy::unwrap_used, reason = "a test may stop where its world breaks")]

mod support;

use std::sync::LazyLock;
use std::time::Duration;

use mailsluice::lane::LaneState;
use mailsluice::mail::QueueId;
use mailsluice::policy::estimate::Accepted;
use mailsluice::store::{ClientInfo, LaneName, ListFilter, NewMessage, Priority, Summary};
use mailsluice::time::Moment;
use support::simulation::{Simulation, secs};
use support::upstream::{Act, Script, Step, Upstream};

const LIMITED: &str = "[queue]\nexpire_after = \"90d\"\nwarn_after = \"never\"\n\
    [[upstream]]\nname = \"main\"\nhost = \"up\"\nsecurity = \"none\"\n\
    [upstream.limits]\nper_minute = { messages = 30 }\n";

const FALLBACK: &str = "[queue]\nwarn_after = \"never\"\n\
    [[upstream]]\nname = \"main\"\nhost = \"up\"\nsecurity = \"none\"\ndefault = true\n\
    fallback = [\"backup\"]\nfallback_on = [\"disabled\"]\n\
    [[upstream]]\nname = \"backup\"\nhost = \"backup\"\nsecurity = \"none\"\nfilter = [\"nobody.example\"]\n\
    [upstream.limits]\nper_hour = { messages = 10 }\n";

async fn queued(sim: &Simulation) -> Vec<Summary> {
    sim.store().list(ListFilter { limit: 100_000, ..ListFilter::default() }).await.unwrap()
}

fn now(sim: &Simulation) -> Moment {
    sim.core.as_ref().unwrap().context.timeline.now()
}

async fn submit_as(sim: &mut Simulation, user: &str, number: u32) -> QueueId {
    let message = sim.message("a@firm.example", &[&format!("r{number}@there.example")]);
    let client = ClientInfo { user: Some(user.to_owned()), ..message.client.clone() };
    sim.enqueue(NewMessage { client, ..message }).await
}

fn accepted<'a>(queue_id: &'a QueueId, submitter: &'a str) -> Accepted<'a> {
    static LANE: LazyLock<LaneName> = LazyLock::new(|| LaneName::of_upstream("main"));
    Accepted { queue_id, lane: &LANE, submitter, priority: Priority::Normal, recipients: 1 }
}

/// How long a message waits in the queue from now on.
async fn until_gone(sim: &Simulation, id: &QueueId, most: Duration) -> Moment {
    let gone = async |sim: &Simulation| sim.store().show(id.clone()).await.unwrap().is_none();
    sim.until(most, Duration::from_millis(200), gone).await;
    now(sim)
}

#[tokio::test(start_paused = true)]
async fn what_is_told_is_when_it_goes() {
    let up = Upstream::new(Script::default());
    let mut sim = Simulation::new(LIMITED, &[("up", &up)]);
    sim.start().await;
    for n in 0..300 {
        submit_as(&mut sim, "erp", n).await;
    }
    tokio::time::sleep(secs(5)).await;
    let single = submit_as(&mut sim, "boss", 0).await;
    let (start, estimate) = (now(&sim), sim.estimate());
    let all = queued(&sim).await;
    let told = estimate.of_all(&all).await.unwrap();
    assert_eq!(told.len(), all.len(), "each has its estimate");
    for message in &all {
        let one = estimate.of(message).await.unwrap().unwrap_or_else(|| panic!("{message:?}"));
        let apart = (one.0 - told[&message.id].0).abs();
        assert!(apart <= 1_000 + one.since(start).as_millis() as i64 / 50, "{apart} ms between one and all");
    }
    let of = |id: &QueueId| told[&all.iter().find(|m| m.queue_id == *id).unwrap().id];
    let middle = all[135].queue_id.clone();
    let last = all.iter().rev().find(|m| m.queue_id != single).unwrap().queue_id.clone();
    let mut goes = Vec::new();
    for (id, least) in [(single, 20), (middle, 200), (last, 500)] {
        let at = until_gone(&sim, &id, secs(3600)).await;
        goes.push((of(&id).since(start), at.since(start), secs(least)));
    }
    for (told, is, least) in goes {
        assert!(is >= least, "{is:?} is too early for this test");
        let apart = told.abs_diff(is);
        assert!(apart <= is / 33 + secs(1), "told {told:?}, was {is:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn acceptance_tells_only_what_will_wait_for_more_than_a_minute() {
    let up = Upstream::new(Script::default());
    let mut sim = Simulation::new(LIMITED, &[("up", &up)]);
    sim.start().await;
    let estimate = sim.estimate();
    let mut told = Vec::new();
    for n in 0..150 {
        let queue_id = submit_as(&mut sim, "erp", n).await;
        told.push((estimate.of_accepted(accepted(&queue_id, "erp")).await, queue_id));
        // Each that may go has gone before the next comes, so what is under way makes no difference.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Those of the first minute go at once, those of the next within a minute.
    for (n, (eta, _)) in told.iter().enumerate() {
        assert_eq!(eta.is_some(), n >= 60, "{n}: {told:?}");
    }
    let start = now(&sim);
    let (eta, last) = told.pop().unwrap();
    let is = until_gone(&sim, &last, secs(3600)).await.since(start);
    let eta = eta.unwrap().since(start);
    assert!(eta.abs_diff(is) <= is / 20 + secs(2), "told {eta:?}, was {is:?}");
    tokio::time::sleep(secs(5)).await;
    // Beside a burst a single mail goes soon: nothing is told of it.
    for n in 0..150 {
        submit_as(&mut sim, "erp", n).await;
    }
    let queue_id = submit_as(&mut sim, "boss", 1).await;
    assert_eq!(estimate.of_accepted(accepted(&queue_id, "boss")).await, None);
}

#[tokio::test(start_paused = true)]
async fn what_has_gone_since_is_not_promised_again() {
    let up = Upstream::new(Script::default());
    let mut sim = Simulation::new(LIMITED, &[("up", &up)]);
    sim.start().await;
    let estimate = sim.estimate();
    for n in 0..30 {
        let queue_id = submit_as(&mut sim, "erp", n).await;
        assert_eq!(estimate.of_accepted(accepted(&queue_id, "erp")).await, None, "{n}");
        // All of a minute goes while what was asked at first still serves.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(up.messages().len(), 30);
    let mut told = None;
    for n in 0..45 {
        let queue_id = submit_as(&mut sim, "erp", n).await;
        told = estimate.of_accepted(accepted(&queue_id, "erp")).await;
    }
    let wait = told.unwrap().since(now(&sim));
    assert!(wait > secs(90) && wait < secs(150), "{wait:?}");
}

#[tokio::test(start_paused = true)]
async fn while_nothing_answers_the_next_probe_is_told() {
    let up = Upstream::new(Script::default().with(Step::Connect, Act::Refuse));
    let mut sim = Simulation::new(LIMITED, &[("up", &up)]);
    sim.start().await;
    sim.submit("a@firm.example", &["r@there.example"]).await;
    tokio::time::sleep(secs(45)).await;
    let message = queued(&sim).await.remove(0);
    let eta = sim.estimate().of(&message).await.unwrap();
    let accounts = &sim.core.as_ref().unwrap().context.accounts;
    let view = accounts.view("main").await.unwrap().unwrap();
    assert_eq!(view.accounts.len(), 1);
    assert_eq!(view.state, view.accounts[0].state);
    let lane = sim.lane("main");
    assert_eq!((lane.state.name(), lane.state.until()), ("down", eta));
    assert!(matches!(view.state, LaneState::Down { until, .. } if until == eta));
}

#[tokio::test(start_paused = true)]
async fn a_disabled_upstream_keeps_its_mail_over_restart_and_reload_until_it_is_enabled() {
    let up = Upstream::new(Script::default());
    let mut sim = Simulation::new(LIMITED, &[("up", &up)]);
    sim.start().await;
    sim.switch_off("main").await;
    sim.submit("a@firm.example", &["r@there.example"]).await;
    for round in ["at once", "after a restart", "after a reload"] {
        tokio::time::sleep(secs(120)).await;
        assert_eq!(up.messages().len(), 0, "{round}");
        let lane = sim.lane("main");
        assert_eq!((lane.state.name(), lane.state.reason()), ("disabled", "disabled by hand"), "{round}");
        let message = queued(&sim).await.remove(0);
        assert_eq!(sim.estimate().of(&message).await.unwrap(), None, "{round}");
        if round == "at once" {
            sim.stop().await;
            sim.start().await;
        } else {
            sim.reload(LIMITED).await;
        }
    }
    sim.switch_on("main").await;
    sim.until_empty(secs(5)).await;
    assert_eq!(sim.lane("main").state.name(), "up");
}

#[tokio::test(start_paused = true)]
async fn mail_that_takes_a_fallback_says_so_and_is_told_its_time() {
    let (up, backup) = (Upstream::new(Script::default()), Upstream::new(Script::default()));
    let mut sim = Simulation::new(FALLBACK, &[("up", &up), ("backup", &backup)]);
    sim.start().await;
    sim.switch_off("main").await;
    for n in 0..15 {
        sim.submit("a@firm.example", &[&format!("r{n}@there.example")]).await;
        tokio::time::sleep(secs(1)).await;
        if n == 5 {
            let lane = sim.lane("main");
            let lane = (lane.state.name(), lane.state.reason(), lane.via.as_deref());
            assert_eq!(lane, ("disabled", "disabled by hand", Some("backup")));
        }
    }
    assert_eq!((up.messages().len(), backup.messages().len()), (0, 10), "as many as its limit has room for");
    sim.switch_on("main").await;
    sim.until_empty(secs(5)).await;
    assert_eq!(up.messages().len(), 5);
    assert_eq!(sim.lane("main").via, None);
}

#[tokio::test(start_paused = true)]
async fn a_long_list_is_told_to_its_end() {
    let up = Upstream::new(Script::default());
    let mut sim = Simulation::new(LIMITED, &[("up", &up)]);
    sim.start().await;
    for n in 0..2_000 {
        submit_as(&mut sim, ["erp", "shop", "boss"][n as usize % 3], n).await;
    }
    tokio::time::sleep(secs(2)).await;
    let (all, estimate) = (queued(&sim).await, sim.estimate());
    let told = estimate.of_all(&all).await.unwrap();
    let mut times: Vec<_> = told.values().copied().collect();
    times.sort_unstable();
    assert_eq!(told.len(), all.len());
    // 1,970 messages at 30 a minute.
    let last = times[times.len() - 1].since(now(&sim));
    assert!(last.abs_diff(secs(66 * 60)) <= secs(80), "{last:?}");
}
