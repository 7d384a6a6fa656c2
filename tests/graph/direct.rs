//! Direct mode: the client reads what Graph says of the whole message.

use tokio::time::sleep;

use super::support::direct_client::Client;
use super::support::graph::{ScriptedGraph, Step};
use super::support::simulation::{Simulation, secs};
use super::support::upstream::{Script, Upstream};
use super::{FROM, GRAPH, HOUR, SMTP, TO, relay};

const DIRECT: &str = "[[listener]]\naddress = \"127.0.0.1:2525\"\nmode = \"direct\"\n";
const OTHER: &str = "c@dest.example";

/// What a client reads who sends a message to these.
async fn told(sim: &Simulation, to: &[&str]) -> String {
    let mut client = Client::at(sim, 0).await;
    let mut replies = client.send(FROM, to, FROM).await;
    client.leave().await;
    let last = replies.pop().unwrap();
    assert!(replies.iter().all(|reply| reply.starts_with("250 2.1.")), "{replies:?}");
    last
}

#[tokio::test(start_paused = true)]
async fn a_client_reads_what_graph_answers() {
    let answer = |status, code| Step::Answer(status, code, None);
    for (step, want) in [
        (answer(202, ""), "250 2.0.0 202 accepted (request 7c3e)"),
        (
            answer(413, "RequestEntityTooLarge"),
            "552 5.3.4 413 RequestEntityTooLarge: It says so. (request 7c3e)",
        ),
        (answer(400, "ErrorMessageBlocked"), "550 5.7.1 400 ErrorMessageBlocked: "),
        (answer(400, "ErrorInvalidRecipients"), "550 5.1.3 400 ErrorInvalidRecipients: "),
        (answer(503, "ErrorServerBusy"), "451 4.3.2 503 ErrorServerBusy: "),
        (answer(403, "ErrorAccessDenied"), "451 4.7.1 403 ErrorAccessDenied: "),
        (answer(418, "Teapot"), "451 4.3.0 418 Teapot: "),
        (answer(504, ""), "451 4.4.2 graph has failed at the request: answered 504 Gateway Timeout: "),
        (Step::Broken, "451 4.4.2 graph has failed at the request: "),
        (Step::TakenAnswerLost, "451 4.4.2 "),
        (Step::Unreachable, "451 4.4.1 graph is not reachable: "),
    ] {
        let graph = ScriptedGraph::new(std::slice::from_ref(&step));
        let (sim, _feed) = relay(&graph, &format!("{DIRECT}{GRAPH}"), &[]).await;
        let said = told(&sim, &[TO, OTHER]).await;
        assert!(said.starts_with(want), "{step:?}: {said}");
        let is_taken = said.starts_with("250");
        sleep(secs(HOUR)).await;
        let totals = sim.totals().await;
        assert_eq!((totals.sent, totals.queued), (2 * u64::from(is_taken), 0), "{step:?}");
        assert_eq!(sim.store().queue_length(), 0);
        assert!(graph.asked().len() <= 1, "nothing is sent again");
        if let [asked] = graph.asked().as_slice() {
            assert!(
                asked.content.contains("\r\nBcc: b@dest.example, c@dest.example\r\n"),
                "{}",
                asked.content
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_in_doubt_says_so() {
    for step in [Step::Answer(504, "", None), Step::Broken] {
        let graph = ScriptedGraph::new(&[step]);
        let (sim, _feed) = relay(&graph, &format!("{DIRECT}{GRAPH}"), &[]).await;
        let said = told(&sim, &[TO]).await;
        assert!(said.ends_with("; it may have the message"), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_for_graph_goes_by_large() {
    let graph = ScriptedGraph::new(&[Step::Answer(413, "", None)]);
    let up = Upstream::new(Script::default());
    let toml = format!("{DIRECT}{GRAPH}default = true\nlarge = \"smtp\"\n{SMTP}");
    let (sim, _feed) = relay(&graph, &toml, &[("smtp", &up)]).await;
    let said = told(&sim, &[TO, OTHER]).await;
    assert!(said.starts_with("250 "), "{said}");
    assert_eq!((graph.taken().len(), up.messages().len(), sim.store().queue_length()), (0, 1, 0));
    assert_eq!(up.messages()[0].recipients, [TO, OTHER]);
}

#[tokio::test(start_paused = true)]
async fn graph_and_smtp_stand_in_for_each_other() {
    // The smart host is not there.
    let graph = ScriptedGraph::default();
    let toml = format!("{DIRECT}{SMTP}default = true\nfallback = [\"graph\"]\n{GRAPH}");
    let (sim, _feed) = relay(&graph, &toml, &[]).await;
    for round in 1..=2 {
        let said = told(&sim, &[TO, OTHER]).await;
        assert!(said.starts_with("250 2.0.0 202 accepted"), "{said}");
        assert_eq!(graph.taken().len(), round);
    }

    // Graph is not there: the first client is told so, as by any upstream that is not.
    let graph = ScriptedGraph::default();
    graph.then(Some(Step::Unreachable));
    let up = Upstream::new(Script::default());
    let toml = format!("{DIRECT}{GRAPH}default = true\nfallback = [\"smtp\"]\n{SMTP}");
    let (sim, _feed) = relay(&graph, &toml, &[("smtp", &up)]).await;
    let said = told(&sim, &[TO]).await;
    assert!(said.starts_with("451 4.4.1 "), "{said}");
    let said = told(&sim, &[TO]).await;
    assert!(said.starts_with("250 "), "{said}");
    assert_eq!(up.messages().len(), 1);
}
