//! What Graph can't carry is known at the final dot, as far as it can be.

use super::support::direct_client::Client;
use super::support::graph::ScriptedGraph;
use super::support::simulation::secs;
use super::support::upstream::{Script, Upstream};
use super::{FROM, GRAPH, HOUR, SMTP, TO, relay};

/// Text of 8 bits, which grows when it becomes base64.
fn eight_bit(octets: usize) -> String {
    let line = "ä".repeat(35) + "\r\n";
    let head = format!(
        "From: {FROM}\r\nTo: {TO}\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 8bit\r\n\r\n"
    );
    head + &line.repeat(octets / line.len())
}

/// A header that some programs read otherwise, in a section that is long.
fn unclear() -> String {
    let long = format!(" {}\r\n", "x".repeat(900)).repeat(400);
    format!("From: {FROM}\r\nX-Long:{long}To: <{TO}\r\n\r\nx\r\n")
}

#[tokio::test(start_paused = true)]
async fn what_a_request_can_not_carry_goes_by_large_or_is_refused() {
    for (name, content, want) in [
        ("it fits as it comes, and grows", eight_bit(2_500_000), "552 5.3.4 the message has 3"),
        ("it is too large as it comes", eight_bit(3_100_000), "552 5.3.4 the message is larger than 3000000"),
        ("a long header", unclear(), "554 5.6.0 the upstream delivers to whom the header names"),
        ("it fits", eight_bit(1_900_000), "250 2.0.0 queued as "),
    ] {
        for large in ["", "large = \"smtp\"\n"] {
            let graph = ScriptedGraph::default();
            let up = Upstream::new(Script::default());
            let toml = format!("{GRAPH}default = true\n{large}{SMTP}");
            let (sim, _feed) = relay(&graph, &toml, &[("smtp", &up)]).await;
            let mut client = Client::at(&sim, 0).await;
            for line in
                [format!("MAIL FROM:<{FROM}> BODY=8BITMIME"), format!("RCPT TO:<{TO}>"), "DATA".into()]
            {
                client.say(&line).await;
            }
            let said = client.say(&format!("{content}.")).await;
            client.leave().await;
            let fits = want.starts_with("250");
            let want = if large.is_empty() { want } else { "250 2.0.0 queued as " };
            assert!(said.starts_with(want), "{name}, {large}: {said}");
            sim.until_empty(secs(HOUR)).await;
            let goes = usize::from(said.starts_with("250"));
            let by_large = usize::from(!fits && !large.is_empty());
            assert_eq!((graph.taken().len(), up.messages().len()), (goes - by_large, by_large), "{name}");
        }
    }
}
