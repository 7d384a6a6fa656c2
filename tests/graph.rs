//! Mail by Microsoft Graph through the whole relay: what is sent, what waits, and for how long. Graph is scripted; time is
//! simulated.

#![allow(clippy::unwrap_used, reason = "a test may stop where its world breaks")]

mod support;

#[path = "graph/direct.rs"]
mod direct;
#[path = "graph/final_dot.rs"]
mod final_dot;

use std::sync::Arc;
use std::time::Duration;

use mailsluice::account::UpstreamView;
use mailsluice::oauth::{Resource, SignIns, TokenFeed};
use mailsluice::store::{Content, NewMessage, RecipientState};
use support::graph::{ScriptedGraph, Step};
use support::simulation::{Simulation, secs};
use support::tokens::{ready, renew};
use support::upstream::{Script, Upstream};
use tokio::time::{Instant, sleep};

const FROM: &str = "a@firm.example";
const TO: &str = "b@dest.example";
const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;

const GRAPH: &str = "[[upstream]]\nname = \"graph\"\npreset = \"office365-graph\"\n\
    mailbox = \"office@firm.example\"\noauth = \"m365\"\n";
const SMTP: &str = "[[upstream]]\nname = \"smtp\"\nhost = \"smtp\"\nsecurity = \"none\"\n";
const SIGN_IN: &str = "[[oauth]]\nname = \"m365\"\nprovider = \"microsoft\"\ntenant = \"firm.example\"\n\
    client_id = \"00000000-0000-0000-0000-000000000000\"\nflow = \"device_code\"\n";

/// A relay with `graph`, and what else the configuration says.
async fn relay(graph: &ScriptedGraph, toml: &str, hosts: &[(&str, &Upstream)]) -> (Simulation, TokenFeed) {
    let toml =
        format!("[queue]\nretry_min = \"1m\"\nretry_max = \"2m\"\nwarn_after = \"never\"\n{toml}{SIGN_IN}");
    let hosts: Vec<(&str, &dyn support::simulation::Host)> =
        hosts.iter().map(|&(name, host)| (name, host as &dyn support::simulation::Host)).collect();
    let mut sim = Simulation::new(&toml, &hosts);
    let feed = sign_in(&mut sim, graph);
    sim.start().await;
    (sim, feed)
}

/// Somebody has signed in.
fn sign_in(sim: &mut Simulation, graph: &ScriptedGraph) -> TokenFeed {
    sim.sign_ins = Arc::new(SignIns::new(Arc::new(graph.clone())));
    let feed = sim.sign_ins.feed("m365", Resource::Graph);
    feed.set(ready("t0ken"));
    feed
}

async fn view(sim: &Simulation) -> UpstreamView {
    sim.core.as_ref().unwrap().context.accounts.view("graph").await.unwrap().unwrap()
}

/// The seconds between one request and the next.
fn gaps(graph: &ScriptedGraph) -> Vec<u64> {
    let at: Vec<Instant> = graph.asked().iter().map(|asked| asked.at).collect();
    at.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect()
}

fn hour() -> Duration {
    secs(HOUR)
}

#[tokio::test(start_paused = true)]
async fn a_message_goes_to_its_recipients_as_the_mailbox() {
    let graph = ScriptedGraph::default();
    let (mut sim, _feed) = relay(&graph, GRAPH, &[]).await;
    sim.submit(FROM, &[TO, "c@dest.example"]).await;
    sim.until_empty(secs(MINUTE)).await;
    let [asked] = graph.asked().try_into().unwrap();
    assert_eq!(
        (asked.path.as_str(), asked.token.as_str()),
        ("/v1.0/users/office@firm.example/sendMail", "t0ken")
    );
    assert!(asked.content.contains("To: b@dest.example, c@dest.example\r\n"), "{}", asked.content);
    assert_eq!(sim.totals().await.sent, 2);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_rests_for_half_an_hour_then_twice_that_over_a_restart() {
    let lost = [Step::TakenAnswerLost, Step::Answer(504, "UnknownError", None)];
    let graph = ScriptedGraph::new(&lost);
    let toml = GRAPH.to_owned() + "[upstream.timeouts]\nfinal_dot = \"10s\"\n";
    let (mut sim, feed) = relay(&graph, &toml, &[]).await;
    let id = sim.submit(FROM, &[TO]).await;
    sleep(secs(5 * MINUTE)).await;
    let shown = sim.store().show(id.clone()).await.unwrap().unwrap();
    let reply = shown.recipients[0].reply.clone();
    assert!(
        reply.contains("has not answered within 10 seconds") && reply.contains("it may have been sent"),
        "{reply}"
    );
    sim.stop().await;
    sim.start().await;
    sim.until_empty(3 * hour()).await;
    let gaps = gaps(&graph);
    assert_eq!(gaps.len(), 2, "{gaps:?}");
    // Ten seconds pass before the answer is given up.
    assert!((30 * MINUTE..=34 * MINUTE).contains(&gaps[0]), "{gaps:?}");
    assert!((60 * MINUTE..=67 * MINUTE).contains(&gaps[1]), "{gaps:?}");
    assert_eq!(graph.taken().len(), 2);
    drop(feed);
}

#[tokio::test(start_paused = true)]
async fn a_stop_in_the_middle_of_a_request_is_in_doubt_as_well() {
    let graph = ScriptedGraph::new(&[Step::TakenAnswerLost]);
    let (mut sim, _feed) = relay(&graph, GRAPH, &[]).await;
    sim.submit(FROM, &[TO]).await;
    sleep(secs(2)).await;
    sim.stop().await;
    sim.start().await;
    sim.until_empty(hour()).await;
    let gaps = gaps(&graph);
    assert!(gaps.len() == 1 && gaps[0] >= 29 * MINUTE, "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn a_kill_in_the_middle_of_a_request_is_in_doubt_as_well() {
    let graph = ScriptedGraph::new(&[Step::TakenAnswerLost, Step::TakenAnswerLost]);
    let (mut sim, mut feed) = relay(&graph, GRAPH, &[]).await;
    let id = sim.submit(FROM, &[TO]).await;
    sleep(secs(2)).await;
    for restart in 1..=2 {
        sim.sign_ins.stop(Duration::ZERO).await;
        sim.kill().await;
        drop(std::mem::replace(&mut feed, sign_in(&mut sim, &graph)));
        sim.start().await;
        let shown = sim.store().show(id.clone()).await.unwrap().unwrap();
        assert_eq!(shown.recipients[0].doubts, restart);
        // Whether it ends where it stands or has a moment to write that down.
        assert!(shown.recipients[0].reply.starts_with("broken off: "), "{}", shown.recipients[0].reply);
        sleep(secs(u64::from(restart) * 34 * MINUTE)).await;
    }
    sim.until_empty(hour()).await;
    let gaps = gaps(&graph);
    assert!(gaps.len() == 2 && gaps[0] >= 30 * MINUTE - 2 && gaps[1] >= 60 * MINUTE - 2, "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn a_busy_graph_is_left_alone_for_as_long_as_it_asks() {
    for (after, least) in [(Some("90"), [90, 90, 90]), (Some("1"), [15, 30, 60]), (None, [15, 30, 60])] {
        let busy = Step::Answer(429, "TooManyRequests", after);
        let graph = ScriptedGraph::new(&[busy.clone(), busy.clone(), busy]);
        let (mut sim, _feed) = relay(&graph, GRAPH, &[]).await;
        sim.submit(FROM, &[TO]).await;
        sim.until_empty(hour()).await;
        let gaps = gaps(&graph);
        assert_eq!(gaps.len(), 3, "{gaps:?}");
        for (gap, least) in gaps.iter().zip(least) {
            assert!((least..least + 70).contains(gap), "{after:?}: {gaps:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced() {
    let graph = ScriptedGraph::default().with_tokens(&["t0ken-2"]);
    let (mut sim, feed) = relay(&graph, GRAPH, &[]).await;
    tokio::spawn(renew(feed, [ready("t0ken-2")].into_iter()));
    sim.submit(FROM, &[TO]).await;
    sim.until_empty(secs(MINUTE)).await;
    let tokens: Vec<_> = graph.asked().into_iter().map(|asked| asked.token).collect();
    assert_eq!(tokens, ["t0ken", "t0ken-2"]);
}

#[tokio::test(start_paused = true)]
async fn what_only_a_person_can_mend_stops_the_account() {
    let graph = ScriptedGraph::default();
    graph.then(Some(Step::Answer(403, "ErrorAccessDenied", None)));
    let (mut sim, _feed) = relay(&graph, GRAPH, &[]).await;
    let id = sim.submit(FROM, &[TO]).await;
    sleep(hour()).await;
    assert_eq!(graph.asked().len(), 1);
    let stopped = &view(&sim).await.accounts[0];
    assert_eq!(stopped.state.name(), "disabled", "{:?}", stopped.state);
    let shown = sim.store().show(id).await.unwrap().unwrap();
    assert_eq!(shown.recipients[0].state, RecipientState::Waiting);
    assert!(shown.recipients[0].reply.contains("403 ErrorAccessDenied: It says so. (request 7c3e)"));
}

#[tokio::test(start_paused = true)]
async fn one_recipient_that_graph_refuses_bounces_alone() {
    let refused = Step::Answer(400, "ErrorInvalidRecipients", None);
    // Both, the second, and in the end the first alone is taken.
    let graph = ScriptedGraph::new(&[refused.clone(), refused]);
    let (mut sim, _feed) = relay(&graph, GRAPH, &[]).await;
    sim.submit(FROM, &[TO, "bad@dest.example"]).await;
    sim.until_empty(hour()).await;
    let totals = sim.totals().await;
    assert_eq!(totals.bounced, 1, "{totals:?}");
    let last = graph.taken().pop().unwrap().content;
    assert!(last.contains("To: b@dest.example\r\n"), "{last}");
}

#[tokio::test(start_paused = true)]
async fn graph_and_smtp_stand_in_for_each_other() {
    // Graph is not there.
    let graph = ScriptedGraph::default();
    graph.then(Some(Step::Unreachable));
    let up = Upstream::new(Script::default());
    let toml = format!("{GRAPH}default = true\nfallback = [\"smtp\"]\n{SMTP}");
    let (mut sim, _feed) = relay(&graph, &toml, &[("smtp", &up)]).await;
    sim.submit(FROM, &[TO]).await;
    sim.until_empty(hour()).await;
    assert_eq!((graph.taken().len(), up.messages().len()), (0, 1));

    // The smart host is not there.
    let graph = ScriptedGraph::default();
    let toml = format!("{SMTP}default = true\nfallback = [\"graph\"]\n{GRAPH}");
    let (mut sim, _feed) = relay(&graph, &toml, &[]).await;
    sim.submit(FROM, &[TO]).await;
    sim.until_empty(hour()).await;
    assert_eq!(graph.taken().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_known_is_shown_to_a_person() {
    let graph = ScriptedGraph::default();
    graph.then(Some(Step::Answer(418, "ErrorSomethingNew", None)));
    let (mut sim, _feed) = relay(&graph, GRAPH, &[]).await;
    let id = sim.submit(FROM, &[TO]).await;
    sleep(hour()).await;
    let shown = sim.core.as_ref().unwrap().context.accounts.strange_replies("graph");
    let [strange] = shown.as_slice() else { panic!("{shown:?}") };
    assert!(strange.reply.contains("418 ErrorSomethingNew: It says so. (request 7c3e)"), "{}", strange.reply);
    assert!(graph.asked().len() > 10, "it is tried again");
    let shown = sim.store().show(id).await.unwrap().unwrap();
    assert_eq!(shown.recipients[0].state, RecipientState::Waiting, "and never bounces");
    graph.then(None);
    sim.until_empty(secs(5 * MINUTE)).await;
    sleep(secs(5 * MINUTE)).await;
    assert_eq!(sim.core.as_ref().unwrap().context.accounts.strange_replies("graph"), []);
}

#[tokio::test(start_paused = true)]
async fn what_graph_finds_too_large_goes_by_large_or_bounces() {
    for (large, want) in [("large = \"smtp\"\n", (1, 0)), ("", (0, 1))] {
        let graph = ScriptedGraph::new(&[Step::Answer(413, "RequestEntityTooLarge", None)]);
        let up = Upstream::new(Script::default());
        let toml = format!("{GRAPH}default = true\n{large}{SMTP}");
        let (mut sim, _feed) = relay(&graph, &toml, &[("smtp", &up)]).await;
        sim.submit(FROM, &[TO]).await;
        // Our report of a bounce goes by Graph.
        sim.until_empty(hour()).await;
        let totals = sim.totals().await;
        assert_eq!((up.messages().len() as u64, totals.bounced), want, "{totals:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_stay_within_the_memory_budget() {
    // Of a request its content and the base64 of that are in memory.
    const HELD: usize = (1 << 20) * 7 / 3;
    let graph = ScriptedGraph::default();
    graph.then(Some(Step::TakenAnswerLost));
    let toml = format!("[session]\nmemory_budget = \"32MiB\"\n{GRAPH}[upstream.limits]\nconnections = 100\n");
    let (mut sim, _feed) = relay(&graph, &toml, &[]).await;
    for _ in 0..25 {
        let message = sim.message(FROM, &[TO]);
        let text =
            format!("From: {FROM}\r\nTo: {TO}\r\n\r\n{}", format!("{}\r\n", "x".repeat(62)).repeat(1 << 14));
        sim.enqueue(NewMessage { content: Content::memory(text.into_bytes()), ..message }).await;
    }
    sleep(secs(30)).await;
    let under_way = graph.asked().len();
    // A lane has half of it.
    assert!(under_way >= 4 && under_way * HELD <= 16 << 20, "{under_way} at once");
}
