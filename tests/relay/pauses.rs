//! When each recipient is tried again.

use mailsluice::store::{LaneName, QueueCounts};

use crate::support::simulation::{Simulation, secs};
use crate::support::upstream::{Act, Script, Step, Upstream};
use crate::{ONE, paper::Paper, taken};

/// What waits must not be tried again at once because others of its message go on.
#[tokio::test(start_paused = true)]
async fn a_deferred_part_rests_while_others_go_on() {
    let up = Upstream::new(Script::default().with(Step::Rcpt(0), Act::reply(450, "4.2.0 busy")));
    let config = format!("{ONE}[upstream.limits]\nrecipients_per_message = 2\nconnections = 1\n");
    let mut sim = Simulation::new(&config, &[("up", &up)]);
    sim.start().await;
    let to = ["0@x.example", "1@x.example", "2@x.example", "3@x.example", "4@x.example"];
    sim.submit("a@firm.example", &to).await;
    tokio::time::sleep(secs(50)).await;
    assert_eq!((up.commands_of("MAIL").len(), up.commands_of("RCPT").len()), (3, 5), "each once");
    assert_eq!(taken(&up), ["1@x.example", "3@x.example"]);
    up.set(Script::default());
    sim.until_empty(secs(20)).await;
    assert_eq!(taken(&up)[2..], ["0@x.example", "2@x.example", "4@x.example"]);
}

#[tokio::test(start_paused = true)]
async fn a_time_that_the_reply_states_is_followed() {
    for (text, from, to) in [
        ("4.7.1 greylisted, try again in 300 seconds", 300, 330),
        ("4.7.1 please retry in 1 second", 60, 66),
        ("4.7.1 try again in 3 hours", 1200, 1320),
    ] {
        let up = Upstream::new(Script::default().with(Step::AnyRcpt, Act::reply(450, text)));
        let mut sim = Simulation::new(&format!("[queue]\nretry_max = \"20m\"\n{ONE}"), &[("up", &up)]);
        sim.start().await;
        sim.submit("a@firm.example", &["x@there.example"]).await;
        tokio::time::sleep(secs(from - 1)).await;
        assert_eq!(up.commands_of("RCPT").len(), 1, "{text}: too early");
        tokio::time::sleep(secs(to - from + 2)).await;
        assert_eq!(up.commands_of("RCPT").len(), 2, "{text}: too late");
    }
}

/// Nobody knows when mail goes that waits for a person.
#[tokio::test(start_paused = true)]
async fn what_waits_for_a_person_has_no_time() {
    for (text, has_time) in [("550 5.7.1 outgoing mail suspension", false), ("450 4.2.0 busy", true)] {
        let (paper, _listening) = Paper::listen();
        let (code, words) = text.split_once(' ').unwrap();
        let refused = Act::reply(code.parse().unwrap(), words);
        let up = Upstream::new(Script::default().with(Step::Mail, refused));
        let mut sim = Simulation::new(ONE, &[("up", &up)]);
        sim.start().await;
        sim.submit("a@firm.example", &["x@there.example"]).await;
        tokio::time::sleep(secs(5)).await;
        let lines = paper.lines();
        let line = lines.iter().find(|line| line.starts_with("deferred ")).unwrap();
        assert_eq!(line.contains(" next="), has_time, "{lines:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_recovery_makes_nothing_due_that_rests_for_its_own_sake() {
    let up = Upstream::new(Script::default().with(Step::AnyRcpt, Act::reply(450, "4.2.0 busy")));
    let mut sim = Simulation::new(&format!("[queue]\nretry_min = \"1h\"\n{ONE}"), &[("up", &up)]);
    sim.start().await;
    sim.submit("a@firm.example", &["rests@there.example"]).await;
    tokio::time::sleep(secs(5)).await;
    up.set(Script::default().with(Step::Connect, Act::Refuse));
    // A connection that is idle by now must not hide that nobody answers.
    tokio::time::sleep(secs(600)).await;
    sim.submit("a@firm.example", &["waits@there.example"]).await;
    tokio::time::sleep(secs(60)).await;
    up.set(Script::default());
    sim.until(secs(900), secs(1), async |_| taken(&up) == ["waits@there.example"]).await;
    sim.control().enable("main").await;
    tokio::time::sleep(secs(60)).await;
    assert_eq!(
        taken(&up),
        ["waits@there.example"],
        "neither a recovery nor a person's word makes the other due"
    );
    sim.until_empty(secs(3600)).await;
}

/// A message that may have arrived three times is not sent a fourth time by itself.
#[tokio::test(start_paused = true)]
async fn what_may_have_arrived_three_times_waits_for_a_person() {
    for is_wanted in [true, false] {
        let (paper, _listening) = Paper::listen();
        let up = Upstream::new(Script::default().with(Step::Dot, Act::Drop));
        let config = format!("[queue]\nexpire_after = \"2d\"\nwarn_after = \"never\"\n{ONE}");
        let mut sim = Simulation::new(&config, &[("up", &up)]);
        sim.start().await;
        let id = sim.submit("a@firm.example", &["x@there.example"]).await;
        sim.until(secs(3600), secs(1), async |_| up.messages().len() == 3).await;
        up.set(Script::default());
        tokio::time::sleep(secs(86_400)).await;
        assert_eq!(up.messages().len(), 3);
        let lines = paper.lines();
        let asks: Vec<_> = lines.iter().filter(|line| line.contains("queue retry")).collect();
        assert!(
            asks.len() == 1 && asks[0].starts_with("deferred") && asks[0].contains("attempt=3"),
            "{lines:?}"
        );
        if is_wanted {
            sim.store().retry(id).await.unwrap();
            sim.core.as_ref().unwrap().context.wakeups.retry(&LaneName::of_upstream("main"));
            sim.until_empty(secs(10)).await;
            assert_eq!((up.messages().len(), sim.totals().await.sent), (4, 1));
        } else {
            tokio::time::sleep(secs(86_400 - 7_200)).await;
            assert_eq!(sim.store().queue_length(), 1);
            sim.until_empty(secs(7_300)).await;
            let totals = sim.totals().await;
            assert_eq!(
                (totals.expired, totals.generated, totals.sent),
                (1, 1, 1),
                "a report, and nothing else"
            );
            assert_eq!(up.messages().len(), 4);
        }
        let counts = sim.store().queue_figures().await.unwrap().counts;
        assert_eq!(counts, QueueCounts::default());
    }
}
