//! Rules decide when the content is here: nobody is asked before, and copies are none of the client's affair.

use std::time::Duration;

use super::support::simulation::{Simulation, secs};
use super::support::upstream::{Act, Script, Step, Upstream, Whose};
use super::{Client, FROM, paper, relay};

const TO: [&str; 2] = ["x@there.example", "y@there.example"];
const COPIES: &str =
    "[[rule]]\nname = \"archive\"\nadd_bcc = [\"archive@firm.example\"]\nadd_cc = [\"clerk@firm.example\"]\n";

/// The recipients of each transaction that the upstream has taken.
fn taken(up: &Upstream) -> Vec<Vec<String>> {
    up.messages().into_iter().filter(|seen| seen.taken).map(|seen| seen.recipients).collect()
}

/// That each recipient, and so many copies, are counted once, and nothing is queued in the end.
async fn assert_counted(sim: &Simulation, own: u64, copies: u64, sent: u64) {
    sim.until_empty(secs(600)).await;
    sim.until(secs(30), Duration::from_millis(100), async |sim| {
        let totals = sim.totals().await;
        let got = (totals.accepted, totals.generated, totals.sent, totals.queued);
        got == (own, copies, sent, 0)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_before_the_content_is_here() {
    let up = Upstream::new(Script::default());
    let rule = "[[rule]]\nname = \"office\"\nset_sender = \"Office <office@firm.example>\"\ndrop_header = [\"Subject\"]\n";
    let sim = relay(&up, rule).await;
    let mut client = Client::at(&sim, 0).await;
    client.say(&format!("MAIL FROM:<{FROM}>")).await;
    for to in TO {
        assert_eq!(client.say(&format!("RCPT TO:<{to}>")).await, "250 2.1.5 recipient OK");
    }
    assert!(client.say("DATA").await.starts_with("354"));
    client.write(format!("From: {FROM}\r\nSubject: x\r\n\r\nHello.\r\n").as_bytes()).await;
    tokio::time::sleep(secs(30)).await;
    assert_eq!((up.connections(), up.commands().len()), (0, 0), "before the final dot: {:?}", up.commands());
    assert_eq!(client.say(".").await, "250 2.0.0 queued as 42");
    let [seen] = up.messages().try_into().unwrap();
    assert_eq!(
        (seen.reverse_path.as_str(), &seen.recipients[..]),
        ("office@firm.example", &TO.map(str::to_owned)[..])
    );
    let text = String::from_utf8(seen.content).unwrap();
    assert!(text.contains("From: Office <office@firm.example>\r\n") && !text.contains("Subject"), "{text}");
    assert_counted(&sim, 2, 0, 2).await;
}

#[tokio::test(start_paused = true)]
async fn the_outcome_is_that_of_the_recipients() {
    for (step, act, want) in [
        (Step::Rcpt(1), Act::reply(550, "5.1.1 nobody"), "550 5.1.1 nobody"),
        (Step::Rcpt(0), Act::reply(450, "4.2.2 full"), "450 4.2.2 full"),
        (Step::Dot, Act::reply(554, "5.7.1 spam"), "554 5.7.1 spam"),
    ] {
        let up = Upstream::new(Script::default().with(step, act));
        let sim = relay(&up, COPIES).await;
        let mut client = Client::at(&sim, 0).await;
        assert_eq!(client.send(FROM, &TO, FROM).await[3], want, "{step:?}");
        // Who gets no message gets no copy of it either.
        assert!(taken(&up).is_empty(), "{step:?}: {:?}", up.commands());
        up.set(Script::default());
        assert_counted(&sim, 0, 0, 0).await;
        assert_eq!(client.send(FROM, &TO, FROM).await[3], "250 2.0.0 queued as 42");
        assert_counted(&sim, 2, 2, 4).await;
    }
}

#[tokio::test(start_paused = true)]
async fn copies_delay_and_refuse_nobody() {
    let (paper, _listening) = paper::Paper::listen();
    let up = Upstream::new(Script::default());
    let sim = relay(&up, COPIES).await;
    let mut client = Client::at(&sim, 0).await;
    assert_eq!(client.send(FROM, &TO, FROM).await[3], "250 2.0.0 queued as 42");
    assert_counted(&sim, 2, 2, 4).await;
    let copies = ["clerk@firm.example", "archive@firm.example"].map(str::to_owned);
    assert_eq!(taken(&up), [TO.map(str::to_owned).to_vec(), copies.to_vec()]);
    // Each sees who gets it openly, whichever transaction it came by.
    for seen in up.messages() {
        let text = String::from_utf8(seen.content).unwrap();
        assert!(text.contains("Cc: clerk@firm.example\r\n") && !text.contains("archive"), "{text}");
    }
    let log = paper.lines();
    let accepted: Vec<_> = log.iter().filter(|line| line.starts_with("accepted ")).collect();
    assert!(accepted.len() == 1 && accepted[0].contains("recipients=2 "), "the copies alone: {log:?}");

    let with_archive = |code, text| {
        let archive = Whose::Recipient("archive@firm.example".to_owned());
        Script::default().with_for(archive, Step::Dot, Act::reply(code, text))
    };
    up.set(with_archive(450, "4.2.2 full"));
    assert_eq!(client.send(FROM, &TO, FROM).await[3], "250 2.0.0 queued as 42");
    tokio::time::sleep(secs(30)).await;
    let totals = sim.totals().await;
    assert_eq!((totals.sent, totals.queued), (6, 2), "the copies wait");
    up.set(with_archive(554, "5.7.1 spam"));
    sim.until_empty(secs(7200)).await;
    assert_eq!(taken(&up).len(), 3, "they have failed, and nobody is told: {:?}", up.commands());
}

#[tokio::test(start_paused = true)]
async fn what_is_held_or_delayed_is_queued_with_its_copies() {
    for action in ["hold = true", "delay_until = \"03:00\""] {
        let up = Upstream::new(Script::default());
        let sim = relay(&up, &format!("{COPIES}[[rule]]\nname = \"later\"\n{action}\n")).await;
        let mut client = Client::at(&sim, 0).await;
        let reply = client.send(FROM, &TO, FROM).await.remove(3);
        assert!(reply.starts_with("250 2.0.0 queued as ") && !reply.ends_with(" 42"), "{reply}");
        assert_eq!((sim.store().queue_length(), up.connections()), (1, 0), "{action}");
        let id = reply.rsplit(' ').next().unwrap();
        let (path, body) = match action {
            "hold = true" => ("release", r#"{"to": "recipients"}"#),
            _ => ("retry", ""),
        };
        let (status, _) = sim.control().begin("POST", &format!("/queue/{id}/{path}"), body).await;
        assert!(status.is_success(), "{status}");
        assert_counted(&sim, 2, 2, 4).await;
        assert_eq!(taken(&up).concat().len(), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_test_there_is_one_mail() {
    let up = Upstream::new(Script::default());
    let test = "[[rule]]\nname = \"trial\"\ntest = true\n[test_mode]\naddress = \"test@firm.example\"\n";
    let sim = relay(&up, &format!("{COPIES}{test}")).await;
    let mut client = Client::at(&sim, 0).await;
    assert_eq!(client.send(FROM, &TO, FROM).await[3], "250 2.0.0 queued as 42");
    assert_counted(&sim, 2, 2, 4).await;
    assert_eq!(taken(&up), [["test@firm.example"]]);
}
