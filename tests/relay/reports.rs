//! Reports: who gets one, how many, and what of the original is in it.

use mail_parser::{Message, MessageParser, MimeHeaders};
use mailsluice::mail::{MessageRequest, Return};
use mailsluice::store::{Content, NewMessage};

use super::support::simulation::{Simulation, secs};
use super::support::upstream::{Act, Script, Seen, Step, Upstream, Whose};
use super::{ONE, upstream};

const COPIED: &str = "[queue]\nbounce_copy_to = \"postmaster@firm.example\"\n";

/// Our reports that the upstream has taken, each with its one recipient.
fn reports(up: &Upstream) -> Vec<(String, Message<'static>)> {
    let reports = up.messages().into_iter().filter(|seen| seen.taken && seen.reverse_path.is_empty());
    let read = |seen: Seen| {
        let [to] = seen.recipients.as_slice() else { panic!("one recipient: {:?}", seen.recipients) };
        let message = MessageParser::default().parse(&seen.content).unwrap().into_owned();
        (to.clone(), message)
    };
    let mut all: Vec<_> = reports.map(read).collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

fn part(message: &Message<'_>, part: usize) -> String {
    String::from_utf8_lossy(message.parts[part].contents()).into_owned()
}

/// Of what kind the part with the original is.
fn returned(message: &Message<'_>) -> String {
    let kind = message.parts[3].content_type().unwrap();
    format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default())
}

/// The machine's part: who, and what became of each.
fn told(message: &Message<'_>) -> Vec<String> {
    let fields = part(message, 2);
    let wanted =
        |line: &&str| ["Final-Recipient: rfc822; ", "Action: "].iter().any(|name| line.starts_with(name));
    fields.lines().filter(wanted).map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
}

/// Refuses the first two recipients of a message of several; reports have one each.
fn refuses_two() -> Script {
    let full = Act::reply(550, "5.2.1 closed");
    Script::default().with(Step::Rcpt(1), full).with(Step::Rcpt(2), Act::reply(550, "5.1.1 no such user"))
}

#[tokio::test(start_paused = true)]
async fn one_report_tells_of_all_and_the_operator_gets_its_header_alone() {
    let up = upstream(refuses_two());
    let mut sim = Simulation::new(&format!("{COPIED}{ONE}"), &[("up", &up)]);
    sim.start().await;
    sim.submit("a@firm.example", &["ok@x.example", "b@x.example", "c@x.example"]).await;
    sim.until_empty(secs(60)).await;
    let reports = reports(&up);
    let [(to, report), (copied, copy)] = reports.as_slice() else { panic!("{} reports", reports.len()) };
    assert_eq!((to.as_str(), copied.as_str()), ("a@firm.example", "postmaster@firm.example"));
    for message in [report, copy] {
        assert_eq!(told(message), ["b@x.example", "failed", "c@x.example", "failed"]);
    }
    assert_eq!(
        (returned(report).as_str(), returned(copy).as_str()),
        ("message/rfc822", "text/rfc822-headers")
    );
    assert!(part(copy, 1).contains("The report itself went to a@firm.example."), "{}", part(copy, 1));
    assert_ne!(report.message_id(), copy.message_id());
    let totals = sim.totals().await;
    assert_eq!((totals.bounced, totals.generated, totals.sent), (2, 2, 3));
}

/// Neither a report nor its copy ever has another for a consequence, and nothing goes in circles.
#[tokio::test(start_paused = true)]
async fn a_report_that_fails_ends_there() {
    let no = Act::reply(550, "5.1.1 no such user");
    let up = upstream(Script::default().with(Step::AnyRcpt, no));
    for (reverse_path, copied_to, generated) in [
        ("a@firm.example", "postmaster@firm.example", 2),
        ("postmaster@firm.example", "Postmaster@FIRM.example", 1),
        ("", "postmaster@firm.example", 1),
    ] {
        let config = format!("[queue]\nbounce_copy_to = \"{copied_to}\"\n{ONE}");
        let mut sim = Simulation::new(&config, &[("up", &up)]);
        sim.start().await;
        sim.submit(reverse_path, &["b@x.example"]).await;
        sim.until_empty(secs(60)).await;
        let totals = sim.totals().await;
        assert_eq!((totals.generated, totals.bounced), (generated, generated + 1), "{reverse_path:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_operator_is_told_of_failures_alone_also_where_the_sender_is_not() {
    let config = format!(
        "[queue]\nexpire_after = \"3h\"\nwarn_after = \"1h\"\nretry_max = \"10m\"\nbounce_to_sender = false\n\
        bounce_copy_to = \"postmaster@firm.example\"\n{ONE}"
    );
    let up = upstream(Script::default().with(Step::AnyRcpt, Act::reply(451, "4.2.2 mailbox full")));
    let mut sim = Simulation::new(&config, &[("up", &up)]);
    sim.start().await;
    sim.submit("a@firm.example", &["b@x.example"]).await;
    sim.until(secs(4 * 3600), secs(60), async |sim| sim.totals().await.expired == 1).await;
    up.set(Script::default());
    sim.until_empty(secs(3600)).await;
    let reports = reports(&up);
    let [(to, copy)] = reports.as_slice() else { panic!("{} reports", reports.len()) };
    assert_eq!(
        (to.as_str(), copy.subject()),
        ("postmaster@firm.example", Some("Copy: Your message could not be delivered in time"))
    );
    let text = part(copy, 1);
    for words in ["The sender gets no report.", "said: 451 4.2.2 mailbox full", "(3 hours) is over"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(part(copy, 2).contains("Status: 4.2.2\r\n"), "the reply says more than that it was too late");
}

/// What fails and what expires in the same attempt is one report; the delay before it was told once.
#[tokio::test(start_paused = true)]
async fn one_attempt_makes_one_report_and_a_delay_is_told_once() {
    let config = format!(
        "[queue]\nretry_min = \"8h\"\nretry_max = \"8h\"\nexpire_after = \"6h\"\nwarn_after = \"1h\"\n{ONE}"
    );
    let full = || Act::reply(452, "4.2.2 mailbox full");
    let of_message = |step, act| Script::default().with_for(Whose::sender("a@firm.example"), step, act);
    let up = upstream(of_message(Step::AnyRcpt, full()));
    let mut sim = Simulation::new(&config, &[("up", &up)]);
    sim.start().await;
    sim.submit("a@firm.example", &["b@x.example", "c@x.example"]).await;
    tokio::time::sleep(secs(7 * 3600)).await;
    let delays = reports(&up);
    let [(_, delay)] = delays.as_slice() else { panic!("{} reports", delays.len()) };
    assert_eq!(told(delay), ["b@x.example", "delayed", "c@x.example", "delayed"]);
    assert!(part(delay, 1).contains("The recipient's mailbox is full."), "{}", part(delay, 1));
    up.set(of_message(Step::Rcpt(0), full()).with_for(
        Whose::sender("a@firm.example"),
        Step::Rcpt(1),
        Act::reply(550, "5.2.1 closed"),
    ));
    sim.until_empty(secs(3 * 3600)).await;
    let all = reports(&up);
    let [_, (_, failure)] = all.as_slice() else { panic!("{} reports", all.len()) };
    assert_eq!(told(failure), ["b@x.example", "failed", "c@x.example", "failed"]);
    assert!(part(failure, 2).contains("Status: 4.2.2\r\n") && part(failure, 2).contains("Status: 5.2.1\r\n"));
    assert_eq!(part(failure, 1).matches("(6 hours) is over").count(), 1, "{}", part(failure, 1));
    let totals = sim.totals().await;
    assert_eq!((totals.expired, totals.bounced, totals.generated), (1, 1, 2));
}

#[tokio::test(start_paused = true)]
async fn what_goes_back_of_the_original() {
    let up = upstream(Script::default().with(Step::Rcpt(1), Act::reply(550, "5.1.1 no such user")));
    let mut sim = Simulation::new(ONE, &[("up", &up)]);
    sim.start().await;
    let large = format!("Subject: x\r\n\r\n{}", "0123456789\r\n".repeat(10_000));
    for (content, ret, want) in [
        ("Subject: x\r\n\r\nHello.\r\n", None, "message/rfc822"),
        ("Subject: x\r\n\r\nHello.\r\n", Some(Return::Full), "message/rfc822"),
        ("Subject: x\r\n\r\nHello.\r\n", Some(Return::Headers), "text/rfc822-headers"),
        ("Subject: x\r\n\r\nGr\u{fc}\u{df}e\r\n", Some(Return::Full), "text/rfc822-headers"),
        (&large, Some(Return::Full), "text/rfc822-headers"),
    ] {
        let before = reports(&up).len();
        let message = sim.message("a@firm.example", &["ok@x.example", "b@x.example"]);
        let request = MessageRequest { ret, ..MessageRequest::default() };
        let content = Content::memory(content.as_bytes().to_vec());
        sim.enqueue(NewMessage { request, content, ..message }).await;
        sim.until_empty(secs(60)).await;
        assert_eq!(reports(&up).len(), before + 1);
        let newest = up.messages().into_iter().rev().find(|seen| seen.reverse_path.is_empty()).unwrap();
        assert!(newest.content.len() < 70_000);
        assert_eq!(returned(&MessageParser::default().parse(&newest.content).unwrap()), want, "{ret:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn reports_speak_the_configured_language() {
    let up = upstream(refuses_two());
    let mut sim = Simulation::new(&format!("language = \"de\"\n{COPIED}{ONE}"), &[("up", &up)]);
    sim.start().await;
    sim.submit("a@firm.example", &["ok@x.example", "b@x.example", "c@x.example"]).await;
    sim.until_empty(secs(60)).await;
    let reports = reports(&up);
    let [(_, report), (_, copy)] = reports.as_slice() else { panic!("{} reports", reports.len()) };
    assert_eq!(report.subject(), Some("Ihre Nachricht konnte nicht zugestellt werden"));
    assert_eq!(copy.subject(), Some("Kopie: Ihre Nachricht konnte nicht zugestellt werden"));
    assert!(part(report, 1).contains("Dieses Postfach gibt es nicht."), "{}", part(report, 1));
    assert!(part(report, 2).contains("Action: failed\r\nStatus: 5.1.1\r\n"));
}
