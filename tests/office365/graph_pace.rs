//! Mail by Graph: 10,000 messages in one burst, and what goes wrong on the way. Nothing overruns a limit, nothing is lost, and
//! what may have arrived twice was said to be so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mailsluice::mail::QueueId;
use mailsluice::oauth::SignIns;
use tokio::time::Instant;

use super::paper::Paper;
use super::support::office365::graph::{Incident, Web};
use super::support::office365::{Limit, Office365, Rules};
use super::support::simulation::{Simulation, secs};

const USER: &str = "mailer@firm.example";

/// The preset, at a service in memory.
const GRAPH: &str = "[[upstream]]\nname = \"graph\"\nkind = \"graph\"\npreset = \"office365-graph\"\n\
    mailbox = \"mailer@firm.example\"\noauth = \"m365\"\n";
const SIGN_IN: &str = "[[oauth]]\nname = \"m365\"\nprovider = \"microsoft\"\ntenant = \"firm.example\"\n\
    client_id = \"00000000-0000-0000-0000-000000000000\"\nclient_secret = \"secret\"\nflow = \"client_credentials\"\n";

fn config(more: &str) -> String {
    format!("[queue]\nexpire_after = \"90d\"\nwarn_after = \"never\"\n{GRAPH}{more}{SIGN_IN}")
}

fn simulation(service: &Office365, toml: &str) -> Simulation {
    let mut sim = Simulation::new(toml, &[("smtp.office365.com", service)]);
    sim.sign_ins = Arc::new(SignIns::new(Arc::new(Web(service.clone()))));
    sim
}

/// The relay ends, in good order or not, and those who keep its tokens with it.
async fn end(sim: &mut Simulation, service: &Office365, in_order: bool) {
    sim.sign_ins.stop(Duration::ZERO).await;
    if in_order {
        sim.stop().await;
    } else {
        sim.kill().await;
    }
    sim.sign_ins = Arc::new(SignIns::new(Arc::new(Web(service.clone()))));
}

fn assert_kept(service: &Office365) {
    let violations = service.violations();
    assert!(violations.is_empty(), "{} violations, first {:?}", violations.len(), violations[0]);
    let throttled = service.throttled();
    assert!(throttled.is_empty(), "{} refusals, first {:?}", throttled.len(), throttled[0]);
}

/// Hands in messages to a recipient each; the recipients with the queue ids of their messages.
async fn submit(sim: &mut Simulation, messages: u32) -> BTreeMap<String, QueueId> {
    let mut submitted = BTreeMap::new();
    for n in 0..messages {
        let recipient = format!("r{n}@there.example");
        let id = sim.submit(USER, &[&recipient]).await;
        submitted.insert(recipient, id);
    }
    submitted
}

/// How often each recipient has got its message.
fn copies(service: &Office365) -> BTreeMap<String, usize> {
    let mut copies = BTreeMap::new();
    for message in service.delivered() {
        for recipient in message.recipients {
            *copies.entry(recipient).or_default() += 1;
        }
    }
    copies
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_at_once() {
    let service = Office365::with_mailboxes(Rules::default(), &[USER]);
    let mut sim = simulation(&service, &config(""));
    sim.start().await;
    submit(&mut sim, 10_000).await;
    let start = Instant::now();
    sim.until(secs(400 * 60), secs(1), async |sim| sim.store().queue_length() == 0).await;
    assert_kept(&service);
    assert!(copies(&service).values().all(|copies| *copies == 1));
    assert_eq!(service.messages(), 10_000);
    // 333 minutes must pass before the last ten may go.
    let least = secs(333 * 60);
    assert!(start.elapsed() >= least && start.elapsed() <= least + least / 100, "{:?}", start.elapsed());
    assert_eq!(sim.totals().await.bounced, 0);
}

/// Kills, restarts, a provider that throttles, answers that are lost.
#[tokio::test(start_paused = true)]
async fn what_may_have_come_twice_was_said() {
    const MESSAGES: u32 = 600;
    let rules = Rules { think: Duration::from_millis(400), ..Rules::default() };
    let service = Office365::with_mailboxes(rules, &[USER]);
    let (paper, _listening) = Paper::listen();
    let mut sim = simulation(&service, &config(""));
    sim.start().await;
    let submitted = submit(&mut sim, MESSAGES).await;
    let start = Instant::now();
    for turn in 0_u64.. {
        if turn < 20 {
            service.upset_graph([
                Incident::TakenAnswerLost,
                Incident::Refused(429, "TooManyRequests", Some("7")),
                Incident::TakenBut(504),
                Incident::Refused(503, "ErrorServerBusy", None),
                Incident::RequestLost,
                Incident::Slow(secs(70)),
            ]);
        }
        tokio::time::sleep(Duration::from_millis(121_003 + 7_919 * (turn % 13))).await;
        if sim.store().queue_length() == 0 {
            break;
        }
        assert!(start.elapsed() < secs(5 * 86_400), "{:?}", sim.totals().await);
        match turn % 3 {
            0 if turn < 20 => end(&mut sim, &service, false).await,
            1 if turn < 20 => end(&mut sim, &service, true).await,
            _ => continue,
        }
        sim.start().await;
    }
    // What was under way when the relay was killed goes on at the service, beside what the next one begins. Nothing else is
    // ever too much.
    let violations = service.violations();
    assert!(violations.iter().all(|one| one.limit == Limit::Requests), "{violations:?}");
    let (copies, totals) = (copies(&service), sim.totals().await);
    assert_eq!((copies.len(), totals.bounced, totals.expired), (MESSAGES as usize, 0, 0));
    let lines = paper.lines();
    let surplus: Vec<_> = copies.iter().filter(|(_, copies)| **copies > 1).collect();
    assert!(!surplus.is_empty(), "nothing came twice: the test has shown nothing");
    for (recipient, copies) in surplus {
        let id = submitted[recipient].as_str();
        let is_doubt = |line: &&String| line.contains("possible duplicate") && line.contains(id);
        let said = lines.iter().filter(is_doubt).count();
        assert!(said >= copies - 1, "{recipient} got {copies} copies, which was said {said} times");
    }
}

/// One mailbox, by SMTP and by Graph: what goes by either counts for both, and each stands in for the other.
#[tokio::test(start_paused = true)]
async fn smtp_and_graph_of_one_mailbox_share_its_limits_and_stand_in_for_each_other() {
    const BY_SMTP: &str = "smtp@other.example";
    let service = Office365::with_mailboxes(Rules::default(), &[USER]);
    let both = "fallback = [\"smtp\"]\nlimit_group = \"mailbox\"\n[[upstream]]\nname = \"smtp\"\npreset = \"office365\"\n\
        security = \"none\"\nallow_plaintext_auth = true\nuser = \"mailer@firm.example\"\npassword = \"secret\"\n\
        filter = [\"other.example\"]\nfallback = [\"graph\"]\nlimit_group = \"mailbox\"\n\
        [[limit_group]]\nname = \"mailbox\"\nper_minute = { messages = 30 }\nper_day = { recipients = 10000 }\n";
    let toml = config(&format!("default = true\n{both}"));
    let mut sim = simulation(&service, &toml);
    sim.start().await;
    let by_graph =
        |service: &Office365| service.delivered().iter().filter(|one| one.content.is_some()).count();
    for n in 0..150 {
        sim.submit(USER, &[&format!("g{n}@there.example")]).await;
        sim.submit(BY_SMTP, &[&format!("s{n}@there.example")]).await;
    }
    let start = Instant::now();
    sim.until_empty(secs(20 * 60)).await;
    assert_kept(&service);
    assert_eq!((by_graph(&service), service.messages()), (150, 300));
    assert!(start.elapsed() <= secs(10 * 60), "{:?}", start.elapsed());
    for (graph_is_down, sender, want) in [(true, USER, 150), (false, BY_SMTP, 190)] {
        // Connections that are open would go on.
        tokio::time::sleep(secs(20 * 60)).await;
        service.set_graph_unreachable(graph_is_down);
        service.set_unreachable(!graph_is_down);
        for n in 0..40 {
            sim.submit(sender, &[&format!("{graph_is_down}{n}@there.example")]).await;
        }
        sim.until_empty(secs(20 * 60)).await;
        assert_eq!(by_graph(&service), want, "Graph is down: {graph_is_down}");
    }
    assert_kept(&service);
    assert_eq!((service.messages(), sim.totals().await.bounced), (380, 0));
}
