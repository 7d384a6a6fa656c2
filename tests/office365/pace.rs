//! 10,000 invoices in one burst: the service sees exactly what it allows, and the last one leaves as early as it can.

use std::time::Duration;

use tokio::time::Instant;

use super::support::office365::{Limit, Office365, Rules};
use super::support::simulation::{Simulation, secs};

const USER: &str = "mailer@firm.example";

/// The preset's limits, at a service without TLS in memory.
fn config(more: &str) -> String {
    format!(
        "[queue]\nexpire_after = \"90d\"\nwarn_after = \"never\"\n\
         [[upstream]]\nname = \"office\"\npreset = \"office365\"\nsecurity = \"none\"\nallow_plaintext_auth = true\n\
         user = \"{USER}\"\npassword = \"secret\"\n{more}"
    )
}

async fn submit(sim: &mut Simulation, messages: u32) {
    for n in 0..messages {
        sim.submit("invoices@firm.example", &[&format!("r{n}@there.example")]).await;
    }
}

fn assert_kept(service: &Office365) {
    let violations = service.violations();
    assert!(violations.is_empty(), "{} violations, first {:?}", violations.len(), violations[0]);
    let throttled = service.throttled();
    assert!(throttled.is_empty(), "{} throttle replies, first {:?}", throttled.len(), throttled[0]);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_at_once_with_one_mailbox() {
    let service = Office365::with_mailboxes(Rules::default(), &[USER]);
    let mut sim = Simulation::new(&config(""), &[("smtp.office365.com", &service)]);
    sim.start().await;
    submit(&mut sim, 10_000).await;
    let start = Instant::now();
    sim.until(secs(400 * 60), secs(1), async |sim| sim.store().queue_length() == 0).await;
    assert_kept(&service);
    assert_eq!(service.messages(), 10_000);
    // 333 minutes must pass before the last ten may go.
    let least = secs(333 * 60);
    assert!(start.elapsed() >= least && start.elapsed() <= least + least / 100, "{:?}", start.elapsed());
    assert_eq!(sim.totals().await.bounced, 0);
}

#[tokio::test(start_paused = true)]
async fn more_recipients_than_a_day_allows_wait_for_the_next() {
    let service = Office365::with_mailboxes(Rules::default(), &[USER]);
    let mut sim = Simulation::new(&config(""), &[("smtp.office365.com", &service)]);
    sim.start().await;
    for n in 0..250 {
        let recipients: Vec<String> = (0..100).map(|r| format!("r{n}-{r}@there.example")).collect();
        sim.submit(USER, &recipients.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    let start = Instant::now();
    sim.until(secs(3 * 86_400), secs(10), async |sim| sim.store().queue_length() == 0).await;
    assert_kept(&service);
    let delivered: usize = service.delivered().iter().map(|message| message.recipients.len()).sum();
    let totals = sim.totals().await;
    assert_eq!((delivered, totals.sent, totals.bounced), (25_000, 25_000, 0));
    assert!(start.elapsed() <= secs(2 * 86_400 + 1_800), "{:?}", start.elapsed());
}

/// Kills, restarts, and somebody who sets the clock, while the mail goes out.
#[tokio::test(start_paused = true)]
async fn restarts_kills_and_clock_steps_overrun_nothing() {
    // A slow service, so that kills find transactions under way.
    let rules = Rules { think: Duration::from_millis(400), ..Rules::default() };
    let service = Office365::with_mailboxes(rules, &[USER]);
    let mut sim = Simulation::new(&config(""), &[("smtp.office365.com", &service)]);
    sim.start().await;
    submit(&mut sim, 3_000).await;
    let start = Instant::now();
    for turn in 0_u64.. {
        // Often within the minutes in which the limit is used up, sometimes between them.
        tokio::time::sleep(Duration::from_millis(421_003 + 7_919 * (turn % 13))).await;
        if sim.store().queue_length() == 0 {
            break;
        }
        assert!(start.elapsed() < secs(4 * 3_600), "{:?}", sim.totals().await);
        match turn % 4 {
            0 | 2 => sim.kill().await,
            1 => sim.stop().await,
            _ => {
                sim.clock.step(if turn % 8 == 3 { 3_600_000 } else { -3_600_000 });
                continue;
            }
        }
        sim.start().await;
    }
    assert_kept(&service);
    assert!(service.messages() >= 3_000 && service.messages() <= 3_100, "{}", service.messages());
    assert_eq!(sim.totals().await.bounced, 0);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_a_reload_lowers_is_kept_at_once() {
    let service = Office365::with_mailboxes(Rules::default(), &[USER]);
    let mut sim = Simulation::new(&config(""), &[("smtp.office365.com", &service)]);
    sim.start().await;
    submit(&mut sim, 300).await;
    tokio::time::sleep(secs(150)).await;
    assert_eq!(service.messages(), 90);
    sim.reload(&config("[upstream.limits]\nper_minute = { messages = 10 }\nconnections = 1\n")).await;
    // What is under way when the limit is lowered may end; what went within this minute counts.
    service.set_rules(Rules { per_minute: 10, connections: 1, ..Rules::default() });
    sim.until(secs(1_500), secs(1), async |sim| sim.store().queue_length() == 0).await;
    assert_kept(&service);
    assert_eq!((service.messages(), sim.totals().await.bounced), (300, 0));
}

/// The simulation sees a relay that does not keep to the limits: this one does not know them.
#[tokio::test(start_paused = true)]
async fn a_relay_without_limits_is_seen() {
    for (connections, limit) in [(1, Limit::Starts), (5, Limit::Connections)] {
        let rules = Rules { think: Duration::from_millis(100), ..Rules::default() };
        let service = Office365::with_mailboxes(rules, &[USER]);
        let unlimited = config("").replace("preset = \"office365\"", "host = \"smtp.office365.com\"");
        let unlimited = format!("{unlimited}[upstream.limits]\nconnections = {connections}\n");
        let mut sim = Simulation::new(&unlimited, &[("smtp.office365.com", &service)]);
        sim.start().await;
        submit(&mut sim, 100).await;
        tokio::time::sleep(secs(5)).await;
        let seen: Vec<Limit> = service.violations().iter().map(|violation| violation.limit).collect();
        assert!(seen.contains(&limit), "{connections} connections: {seen:?}");
    }
}
