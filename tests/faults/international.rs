//! Upstreams without SMTPUTF8: who asks for it without need is served, and only a local part that is not ASCII bounces.

use mailsluice::mail::{Address, ReversePath};
use mailsluice::store::{Content, NewMessage};

use super::support::simulation::{Simulation, recipients, secs};
use super::support::upstream::{Script, Upstream};

/// What the test reads of one message at the upstream.
fn header_of(content: &[u8]) -> String {
    let text = String::from_utf8_lossy(content);
    text.split("\r\n\r\n").next().unwrap_or_default().to_owned()
}

async fn started(upstream: &Upstream, queue: &str) -> Simulation {
    let toml = format!(
        "[queue]\n{queue}\n[[upstream]]\nname = \"main\"\nhost = \"up\"\nsecurity = \"none\"\ndefault = true\n"
    );
    let mut sim = Simulation::new(&toml, &[("up", upstream)]);
    sim.start().await;
    sim
}

fn asked(sim: &mut Simulation, from: &str, to: &[&str], content: &str) -> NewMessage {
    let message = sim.message("office@firm.example", &["x@there.example"]);
    NewMessage {
        smtputf8: true,
        reverse_path: ReversePath::Address(Address::parse(from).unwrap()),
        recipients: recipients(to),
        content: Content::memory(content.as_bytes().to_vec()),
        ..message
    }
}

#[tokio::test(start_paused = true)]
async fn programs_that_ask_without_need_are_served() {
    let go = "From: office@firm.example\r\nTo: b@there.example\r\nSubject: plain\r\n\r\nHello\r\n";
    let mailkit =
        "From: Müller <info@müller.test>\r\nTo: b@straße.example\r\nSubject: Grüße\r\n\r\nHällo\r\n";
    for (from, to, content, mail, rcpt, header) in [
        (
            "office@firm.example",
            "b@there.example",
            go,
            "MAIL FROM:<office@firm.example>",
            "RCPT TO:<b@there.example>",
            "From: office@firm.example\r\nTo: b@there.example\r\nSubject: plain",
        ),
        (
            "info@müller.test",
            "b@straße.example",
            mailkit,
            "MAIL FROM:<info@xn--mller-kva.test>",
            "RCPT TO:<b@xn--strae-oqa.example>",
            "From: =?utf-8?B?TcO8bGxlcg==?= <info@xn--mller-kva.test>\r\nTo: b@xn--strae-oqa.example\r\n\
             Subject: =?utf-8?B?R3LDvMOfZQ==?=",
        ),
    ] {
        let upstream = Upstream::new(Script::default().without("SMTPUTF8").without("SIZE"));
        let mut sim = started(&upstream, "").await;
        let message = asked(&mut sim, from, &[to], content);
        sim.enqueue(message).await;
        sim.until_empty(secs(60)).await;
        let heard = upstream.commands_of("MAIL");
        let told = heard[0].trim_end_matches(" BODY=8BITMIME");
        assert_eq!((told, upstream.commands_of("RCPT")), (mail, vec![rcpt.to_owned()]));
        let got = upstream.messages().remove(0).content;
        assert_eq!(header_of(&got), header);
        assert_eq!(got.is_ascii(), content.is_ascii(), "the body goes as it is, for 8BITMIME is offered");
        assert_eq!(sim.totals().await.sent, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn only_its_local_part_makes_a_recipient_bounce() {
    let upstream = Upstream::new(Script::default().without("SMTPUTF8"));
    let mut sim = started(&upstream, "").await;
    let to = ["jörg@there.example", "b@ü.example", "c@there.example"];
    let content = "From: info@müller.test\r\nSubject: Grüße\r\n\r\nHello\r\n";
    let message = asked(&mut sim, "info@müller.test", &to, content);
    sim.enqueue(message).await;
    sim.until_empty(secs(60)).await;
    let totals = sim.totals().await;
    assert_eq!((totals.sent, totals.bounced, totals.generated), (3, 1, 1), "two of three, and the report");
    let told = upstream.commands_of("RCPT");
    let want =
        ["RCPT TO:<b@xn--tda.example>", "RCPT TO:<c@there.example>", "RCPT TO:<info@xn--mller-kva.test>"];
    assert!(want.iter().all(|rcpt| told.iter().any(|one| one == rcpt)) && told.len() == 3, "{told:?}");
    let messages = upstream.messages();
    let report = messages.iter().map(|one| &one.content).find(|content| content.starts_with(b"Date: "));
    let report = String::from_utf8(report.unwrap().clone()).unwrap();
    assert!(
        report.is_ascii() && header_of(report.as_bytes()).contains("To: <info@xn--mller-kva.test>"),
        "{report}"
    );
    assert!(report.contains("Final-Recipient: utf-8; j\\x{F6}rg@there.example"), "{report}");
    assert!(!report.contains("c@there.example"), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_reverse_path_that_nobody_can_be_told_bounces_to_who_can() {
    let upstream = Upstream::new(Script::default().without("SMTPUTF8"));
    let mut sim = started(&upstream, "bounce_copy_to = \"postmaster@firm.example\"").await;
    let message = asked(&mut sim, "jörg@firm.example", &["b@there.example"], "Subject: x\r\n\r\nHello\r\n");
    sim.enqueue(message).await;
    sim.until_empty(secs(60)).await;
    assert_eq!(upstream.commands_of("MAIL").len(), 1, "{:?}", upstream.commands());
    assert_eq!(upstream.commands_of("RCPT"), ["RCPT TO:<postmaster@firm.example>"]);
    let report = upstream.messages().remove(0).content;
    assert!(report.is_ascii() && String::from_utf8_lossy(&report).contains("Status: 5.6.7"));
    let totals = sim.totals().await;
    assert_eq!((totals.sent, totals.bounced), (1, 2), "the message, and the report to who sent it");
}
