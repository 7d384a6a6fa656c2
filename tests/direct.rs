//! Direct mode: what a client reads is what the upstream has said, and nothing stays in the queue. Real sessions, real
//! store, scripted upstreams; time is simulated.

#![allow(clippy::unwrap_used, reason = "a test may stop where its world breaks")]

mod support;

#[path = "direct/identity.rs"]
mod identity;
#[path = "direct/limits.rs"]
mod limits;
#[path = "support/paper.rs"]
mod paper;
#[path = "direct/routes.rs"]
mod routes;
#[path = "direct/rules.rs"]
mod rules;

use std::time::Duration;

use support::direct_client::Client;
use support::simulation::{Simulation, secs};
use support::upstream::{Act, Script, Step, Upstream};
use tokio::time::Instant;

const DIRECT: &str = r#"
[queue]
mode = "direct"
[[upstream]]
name = "main"
host = "up"
security = "none"
"#;

const FROM: &str = "a@firm.example";

/// A relay with one upstream, in direct mode.
async fn relay(up: &Upstream, more: &str) -> Simulation {
    let mut sim = Simulation::new(&format!("{DIRECT}{more}"), &[("up", up)]);
    sim.start().await;
    sim
}

/// What a client reads who sends one message to x and y: at both RCPT, and at DATA or the final dot.
async fn told(script: Script) -> (Vec<String>, Upstream, Simulation) {
    let up = Upstream::new(script);
    let sim = relay(&up, "").await;
    let mut client = Client::at(&sim, 0).await;
    let replies = client.send(FROM, &["x@there.example", "y@there.example"], FROM).await;
    assert_eq!(replies[0], "250 2.1.0 sender OK");
    client.leave().await;
    (replies[1..].to_vec(), up, sim)
}

/// Nothing is queued, and the sum of the totals is right.
async fn assert_nothing_left(sim: &Simulation, sent: u64) {
    sim.until(secs(30), Duration::from_millis(100), async |sim| {
        let totals = sim.totals().await;
        (totals.accepted, totals.sent, totals.queued) == (sent, sent, 0)
    })
    .await;
    assert_eq!(sim.store().queue_length(), 0);
    let content = sim.dir.path().join("data/content");
    let files = std::fs::read_dir(content).map_or(0, Iterator::count);
    assert_eq!(files, 0, "no content is left");
}

#[tokio::test(start_paused = true)]
async fn success_in_the_upstreams_words() {
    let (paper, _listening) = paper::Paper::listen();
    let script =
        Script::default().with(Step::Dot, Act::Raw(b"250-2.6.0 taken\r\n250 2.6.0 as <7>\r\n".to_vec()));
    let (replies, up, sim) = told(script).await;
    assert_eq!(
        replies,
        ["250 2.1.5 recipient OK", "250 2.1.5 recipient OK", "250-2.6.0 taken|250 2.6.0 as <7>"]
    );
    let [seen] = up.messages().try_into().unwrap();
    assert_eq!(seen.recipients, ["x@there.example", "y@there.example"]);
    let content = String::from_utf8(seen.content).unwrap();
    assert!(content.starts_with("Received: from client.example") && content.ends_with("\r\n\r\nHello.\r\n"));
    assert_eq!((up.commands_of("MAIL").len(), up.commands_of("RCPT").len()), (1, 2));
    assert_nothing_left(&sim, 2).await;
    let log = paper.lines();
    let sent: Vec<_> = log.iter().filter(|line| line.starts_with("sent ")).collect();
    assert_eq!(sent.len(), 2, "{log:?}");
    for part in ["session=s1", "from=a@firm.example", "to=y@there.example", "upstream=main", "taken as <7>"] {
        assert!(sent[1].contains(part), "{part}: {log:?}");
    }
    assert!(!log.iter().any(|line| line.starts_with("accepted ")), "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn refusals_in_the_upstreams_words() {
    const OK: &str = "250 2.1.5 recipient OK";
    const NONE: &str = "554 5.5.1 no valid recipients";
    let refuse = |code, text| Act::reply(code, text);
    for (step, act, want) in [
        (Step::Mail, refuse(550, "5.7.1 not you"), ["550 5.7.1 not you", "550 5.7.1 not you", NONE]),
        (Step::Mail, refuse(450, "4.2.1 slowly"), ["450 4.2.1 slowly", "450 4.2.1 slowly", NONE]),
        (Step::Rcpt(0), refuse(550, "5.1.1 nobody"), ["550 5.1.1 nobody", OK, "250 2.0.0 queued as 42"]),
        (Step::Rcpt(1), refuse(450, "4.2.2 full"), [OK, "450 4.2.2 full", "250 2.0.0 queued as 42"]),
        (Step::Rcpt(1), refuse(501, "odd"), [OK, "501 odd", "250 2.0.0 queued as 42"]),
        (Step::AnyRcpt, refuse(550, "5.1.1 nobody"), ["550 5.1.1 nobody", "550 5.1.1 nobody", NONE]),
        (Step::Data, refuse(451, "4.3.0 not now"), [OK, OK, "451 4.3.0 not now"]),
        (Step::Data, refuse(554, "5.7.1 never"), [OK, OK, "554 5.7.1 never"]),
        (Step::Dot, refuse(452, "4.3.1 no room"), [OK, OK, "452 4.3.1 no room"]),
        (Step::Dot, refuse(554, "5.7.1 spam"), [OK, OK, "554 5.7.1 spam"]),
        (Step::Dot, refuse(500, "what"), [OK, OK, "500 what"]),
        (Step::Dot, Act::ReplyAndDrop(421, "4.3.2 bye".into()), [OK, OK, "451 4.3.2 bye"]),
    ] {
        let (replies, up, sim) = told(Script::default().with(step, act.clone())).await;
        assert_eq!(replies, want, "{step:?} {act:?}");
        let taken: usize =
            up.messages().iter().filter(|seen| seen.taken).map(|seen| seen.recipients.len()).sum();
        let sent = usize::from(want[2].starts_with("250"));
        assert_eq!(taken, sent, "{step:?} {act:?}");
        assert_nothing_left(&sim, sent as u64).await;
        assert!(up.messages().len() <= 1, "nothing is tried twice");
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_can_not_be_used() {
    for (step, act, want) in [
        (Step::Connect, Act::Refuse, "451 4.4.1 main is not reachable: connect to up at "),
        (Step::Greeting, Act::reply(554, "5.3.2 closed"), "451 4.4.1 main is not reachable: up["),
        (
            Step::Mail,
            Act::reply(530, "5.7.0 log in"),
            "451 4.4.1 main cannot be used at present: 530 5.7.0 log in",
        ),
        (Step::Rcpt(0), Act::Drop, "451 4.4.2 main has failed at RCPT: the upstream closed the connection"),
    ] {
        let (replies, up, sim) = told(Script::default().with(step, act)).await;
        assert!(replies[0].starts_with(want), "{replies:?}");
        assert_eq!((&replies[1], replies[2].as_str()), (&replies[0], "554 5.5.1 no valid recipients"));
        assert!(up.connections() <= 1, "it is not asked again for each recipient");
        assert_nothing_left(&sim, 0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn time_outs_end_before_the_client_loses_patience() {
    // Who was accepted before a recipient hung gets the message by another transaction.
    for (step, place, want, most, sent) in [
        (Step::Mail, 0, "451 4.4.2 main ", 5, 0),
        (Step::Rcpt(1), 1, "451 4.4.2 main ", 5, 1),
        (Step::Data, 2, "451 4.4.2 main ", 10, 0),
        (Step::Dot, 2, "451 4.4.2 main ", 10, 0),
    ] {
        let start = Instant::now();
        let (replies, _, sim) = told(Script::default().with(step, Act::Hang)).await;
        assert!(replies[place].starts_with(want), "{step:?} {replies:?}");
        assert!(start.elapsed() < Duration::from_mins(most), "{step:?} {:?}", start.elapsed());
        assert_nothing_left(&sim, sent).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_pipelines_and_one_that_sends_chunks() {
    let up = Upstream::new(Script::default().with(Step::Rcpt(1), Act::reply(550, "5.1.1 nobody")));
    let sim = relay(&up, "").await;
    let mut client = Client::at(&sim, 0).await;
    let envelope = "MAIL FROM:<a@firm.example>\r\nRCPT TO:<x@there.example>\r\nRCPT TO:<y@there.example>\r\n";
    client.write(format!("{envelope}DATA\r\n").as_bytes()).await;
    let mut codes = Vec::new();
    for _ in 0..4 {
        codes.push(client.reply().await[..3].to_owned());
    }
    assert_eq!(codes, ["250", "250", "550", "354"]);
    assert_eq!(client.say("From: a@firm.example\r\n\r\none\r\n.").await, "250 2.0.0 queued as 42");
    client.write(format!("{envelope}BDAT 12\r\nSubject: x\r\nBDAT 7 LAST\r\n\r\ntwo\r\n").as_bytes()).await;
    for want in ["250", "250", "550", "250 2.0.0 12 octets received", "250 2.0.0 queued as 42"] {
        let reply = client.reply().await;
        assert!(reply.starts_with(want), "{reply}");
    }
    assert!(up.messages()[1].content.ends_with(b"Subject: x\r\n\r\ntwo\r\n"));
    assert_eq!(up.connections(), 1, "a connection is used again");
    assert!(up.commands_of("RSET").is_empty());
    assert_nothing_left(&sim, 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_given_up_is_given_up_at_the_upstream() {
    let up = Upstream::new(Script::default());
    let sim = relay(&up, "").await;
    let mut client = Client::at(&sim, 0).await;
    for end in ["RSET", "EHLO again.example", "BDAT 99999999 LAST"] {
        client.say("MAIL FROM:<a@firm.example>").await;
        assert!(client.say("RCPT TO:<x@there.example>").await.starts_with("250"));
        if end.starts_with("BDAT") {
            client.write(format!("{end}\r\n").as_bytes()).await;
        } else {
            assert!(client.say(end).await.starts_with("250"));
        }
        tokio::time::sleep(secs(1)).await;
    }
    client.leave().await;
    sim.until(secs(60), secs(1), async |_| up.commands_of("RSET").len() == 3).await;
    assert!(up.messages().is_empty());
    assert_nothing_left(&sim, 0).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_handed_over_goes_even_when_the_client_is_gone() {
    let up = Upstream::new(Script::default().with(Step::Dot, Act::Slow(secs(1))));
    let sim = relay(&up, "").await;
    let mut client = Client::at(&sim, 0).await;
    client.say("MAIL FROM:<a@firm.example>").await;
    client.say("RCPT TO:<x@there.example>").await;
    assert!(client.say("DATA").await.starts_with("354"));
    client.write(b"From: a@firm.example\r\n\r\none\r\n.\r\n").await;
    tokio::time::sleep(secs(2)).await;
    client.session.abort();
    assert_nothing_left(&sim, 1).await;
    assert_eq!(up.messages().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_that_is_gone_is_not_the_clients_trouble() {
    let up = Upstream::new(Script::default());
    let sim = relay(&up, "").await;
    let mut client = Client::at(&sim, 0).await;
    assert!(client.send(FROM, &["x@there.example"], FROM).await[2].starts_with("250"));
    // The next MAIL finds the line dead; only the new connection's MAIL is answered.
    let slow = Act::Slow(Duration::from_millis(100));
    up.set(Script::default().with(Step::Mail, Act::Drop).with(Step::Greeting, slow));
    client.say("MAIL FROM:<a@firm.example>").await;
    let asked = client.say("RCPT TO:<x@there.example>");
    let mend = async {
        while up.connections() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        up.set(Script::default());
    };
    let (reply, ()) = tokio::join!(asked, mend);
    assert_eq!(reply, "250 2.1.5 recipient OK");
    assert_eq!(up.connections(), 2);
}

#[tokio::test(start_paused = true)]
async fn large_content_goes_by_a_file_that_is_gone_afterwards() {
    let up = Upstream::new(Script::default());
    let sim = relay(&up, "").await;
    let mut client = Client::at(&sim, 0).await;
    client.say("MAIL FROM:<a@firm.example>").await;
    client.say("RCPT TO:<x@there.example>").await;
    assert!(client.say("DATA").await.starts_with("354"));
    let body = "0123456789\r\n".repeat(20_000);
    assert_eq!(client.say(&format!("From: {FROM}\r\n\r\n{body}.")).await, "250 2.0.0 queued as 42");
    assert!(up.messages()[0].content.ends_with(body.as_bytes()));
    assert_nothing_left(&sim, 1).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_upstream_can_not_take_is_told() {
    let send = async |script: Script, mail: &str, body: &str| {
        let up = Upstream::new(script);
        let sim = relay(&up, "").await;
        let mut client = Client::at(&sim, 0).await;
        client.say(mail).await;
        let rcpt = client.say("RCPT TO:<x@there.example>").await;
        if !rcpt.starts_with("250") {
            return (rcpt, up);
        }
        client.say("DATA").await;
        let reply = client.say(&format!("From: {FROM}\r\nMIME-Version: 1.0\r\n{body}\r\n.")).await;
        client.leave().await;
        (reply, up)
    };
    let plain = "MAIL FROM:<a@firm.example>";
    let text =
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGr\u{fc}\u{df}e";
    let (reply, up) = send(Script::default().without("8BITMIME"), plain, text).await;
    assert_eq!(reply, "250 2.0.0 queued as 42");
    assert!(up.messages()[0].content.is_ascii(), "it was converted");
    let (reply, up) = send(Script::default(), plain, text).await;
    assert_eq!((reply.as_str(), up.commands_of("RSET").len()), ("250 2.0.0 queued as 42", 0));
    assert_eq!(up.commands_of("MAIL"), ["MAIL FROM:<a@firm.example> BODY=8BITMIME"]);
    assert!(!up.messages()[0].content.is_ascii());

    let small = Script::default().without("SIZE").offering("SIZE 100");
    let (reply, up) = send(small, plain, &format!("\r\n{}", "x".repeat(200))).await;
    assert!(reply.starts_with("552 5.3.4 the message has "), "{reply}");
    assert!(up.messages().is_empty());
    let (reply, _) =
        send(Script::default().without("SMTPUTF8"), "MAIL FROM:<\u{fc}@firm.example> SMTPUTF8", "").await;
    assert!(reply.starts_with("553 5.6.7 "), "{reply}");
    let asked = "MAIL FROM:<info@m\u{fc}ller.test> SMTPUTF8";
    let (reply, up) = send(Script::default().without("SMTPUTF8"), asked, "Subject: \u{fc}\r\n\r\nx").await;
    assert_eq!(reply, "250 2.0.0 queued as 42");
    assert_eq!(up.commands_of("MAIL"), ["MAIL FROM:<info@xn--mller-kva.test> BODY=8BITMIME"]);
    assert!(up.messages()[0].content.is_ascii(), "only domain and subject were not");
}

#[tokio::test(start_paused = true)]
async fn a_recipient_that_the_upstream_can_not_be_told_harms_no_other() {
    let up = Upstream::new(Script::default().without("SMTPUTF8"));
    let sim = relay(&up, "").await;
    let mut client = Client::at(&sim, 0).await;
    client.say("MAIL FROM:<a@firm.example> SMTPUTF8").await;
    let refused = client.say("RCPT TO:<j\u{f6}rg@there.example>").await;
    assert!(refused.starts_with("553 5.6.7 "), "{refused}");
    for to in ["x@there.example", "y@\u{fc}.example"] {
        assert_eq!(client.say(&format!("RCPT TO:<{to}>")).await, "250 2.1.5 recipient OK");
    }
    client.say("DATA").await;
    assert_eq!(client.say("From: a@firm.example\r\n\r\none\r\n.").await, "250 2.0.0 queued as 42");
    assert_eq!(up.commands_of("RCPT"), ["RCPT TO:<x@there.example>", "RCPT TO:<y@xn--tda.example>"]);
    client.leave().await;
    assert_nothing_left(&sim, 2).await;
}

#[tokio::test(start_paused = true)]
async fn requests_are_passed_on_or_answered_by_a_report() {
    let envelope =
        ["MAIL FROM:<a@firm.example> ENVID=e1 RET=HDRS", "RCPT TO:<x@there.example> NOTIFY=SUCCESS"];
    for offers in [true, false] {
        let script = Script::default();
        let up = Upstream::new(if offers { script.offering("DSN") } else { script });
        let sim = relay(&up, "").await;
        let mut client = Client::at(&sim, 0).await;
        for line in envelope {
            assert!(client.say(line).await.starts_with("250"));
        }
        client.say("DATA").await;
        assert!(client.say("From: a@firm.example\r\n\r\none\r\n.").await.starts_with("250"));
        let want = if offers { 1 } else { 2 };
        sim.until(secs(60), secs(1), async |_| up.messages().len() == want).await;
        if offers {
            assert!(
                up.commands_of("MAIL")[0].ends_with(" RET=HDRS ENVID=e1"),
                "{:?}",
                up.commands_of("MAIL")
            );
            assert!(up.commands_of("RCPT")[0].ends_with(" NOTIFY=SUCCESS"));
        } else {
            let report = up.messages().remove(1);
            assert_eq!((report.reverse_path.as_str(), report.recipients), ("", vec![FROM.to_owned()]));
            assert!(String::from_utf8_lossy(&report.content).contains("Action: relayed"));
        }
        sim.until(secs(60), secs(1), async |sim| sim.store().queue_length() == 0).await;
    }
}

/// A message up to the final dot.
async fn hand_in(client: &mut Client, to: &str) {
    client.say("MAIL FROM:<a@firm.example>").await;
    assert!(client.say(&format!("RCPT TO:<{to}>")).await.starts_with("250"));
    assert!(client.say("DATA").await.starts_with("354"));
    client.write(b"From: a@firm.example\r\n\r\none\r\n.\r\n").await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_what_is_under_way_and_not_for_ever() {
    let pause = Duration::from_millis(100);
    for (act, want) in [
        (Act::Slow(pause), "250 2.0.0 queued as 42"),
        (Act::Hang, "451 4.3.2 the relay is stopping, try again later"),
    ] {
        let (paper, _listening) = paper::Paper::listen();
        let up = Upstream::new(Script::default().with(Step::Dot, act.clone()));
        let mut sim = relay(&up, "").await;
        let mut client = Client::at(&sim, 0).await;
        hand_in(&mut client, "x@there.example").await;
        tokio::time::sleep(pause).await;
        let core = sim.core.take().unwrap();
        let (reply, ()) = tokio::join!(client.reply(), core.stop(secs(7)));
        assert_eq!(reply, want);
        let cut = paper.lines().iter().any(|line| line.contains("possible duplicate"));
        assert_eq!(cut, act == Act::Hang, "{:?}", paper.lines());
    }
}

#[tokio::test(start_paused = true)]
async fn a_reload_lets_what_is_under_way_end() {
    let (up, other) = (Upstream::new(Script::default()), Upstream::new(Script::default()));
    let mut sim = Simulation::new(DIRECT, &[("up", &up), ("other", &other)]);
    sim.start().await;
    up.set(Script::default().with(Step::Dot, Act::Slow(Duration::from_millis(100))));
    let mut client = Client::at(&sim, 0).await;
    hand_in(&mut client, "x@there.example").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    sim.reload(&DIRECT.replace("\"up\"", "\"other\"")).await;
    assert_eq!(client.reply().await, "250 2.0.0 queued as 42");
    let mut client = Client::at(&sim, 0).await;
    assert!(client.send(FROM, &["y@there.example"], FROM).await[2].starts_with("250"));
    assert_eq!((up.messages().len(), other.messages().len()), (1, 1));
    assert_nothing_left(&sim, 2).await;
}
