//! The reports that a client asked for (RFC 3461), and what an upstream announces (RFC 9422).

use mailsluice::mail::{EnvelopeId, MessageRequest, Notify, OriginalRecipient, RecipientRequest, Return};
use mailsluice::store::NewMessage;

use super::support::simulation::{Simulation, secs};
use super::support::upstream::{Act, Script, Seen, Step, Upstream};
use super::{ONE, upstream};

/// The same message, with RET=FULL, an envelope id, and NOTIFY for each recipient (empty: none).
fn asking(mut message: NewMessage, notifies: &[&str]) -> NewMessage {
    message.request = MessageRequest {
        ret: Some(Return::Full),
        envelope_id: EnvelopeId::parse("order+207"),
        priority: None,
    };
    for (recipient, notify) in message.recipients.iter_mut().zip(notifies) {
        let original = OriginalRecipient::parse(&format!("rfc822;old-{}", recipient.address));
        recipient.request = RecipientRequest { notify: Notify::parse(notify), original };
    }
    message
}

/// Our reports that the upstream has taken.
fn reports(up: &Upstream) -> Vec<String> {
    let reports = up.messages().into_iter().filter(|seen| seen.taken && seen.reverse_path.is_empty());
    reports.map(|seen: Seen| String::from_utf8(seen.content).unwrap()).collect()
}

fn about(report: &str) -> Vec<&str> {
    report.lines().filter_map(|line| line.strip_prefix("Final-Recipient: rfc822; ")).collect()
}

#[tokio::test(start_paused = true)]
async fn only_reports_that_were_asked_for() {
    let no = || Act::reply(550, "5.1.1 no such user");
    // Reports have one recipient, and are taken.
    let script =
        Script::default().with(Step::Rcpt(1), no()).with(Step::Rcpt(2), no()).with(Step::Rcpt(3), no());
    let up = upstream(script);
    let mut sim = Simulation::new(ONE, &[("up", &up)]);
    sim.start().await;
    let to = ["glad@x.example", "never@x.example", "unsaid@x.example", "success@x.example", "calm@x.example"];
    let message = sim.message("a@firm.example", &to);
    sim.enqueue(asking(message, &["SUCCESS", "NEVER", "", "SUCCESS,DELAY", ""])).await;
    sim.until_empty(secs(10)).await;
    let mut reports = reports(&up);
    reports.sort_by_key(|report| report.contains("Action: relayed"));
    let [failed, relayed] = reports.as_slice() else { panic!("{} reports", reports.len()) };
    assert_eq!(about(failed), ["unsaid@x.example"], "{failed}");
    assert_eq!(about(relayed), ["glad@x.example"], "{relayed}");
    for part in [
        "Original-Envelope-Id: order 7\r\n",
        "Original-Recipient: rfc822; old-unsaid@x.example\r\n",
        "\r\nHello.\r\n",
    ] {
        assert!(failed.contains(part), "{part} is missing: {failed}");
    }
    for part in [
        "Original-Envelope-Id: order 7\r\n",
        "Original-Recipient: rfc822; old-glad@x.example\r\n",
        "Action: relayed\r\nStatus: 2.0.0\r\n",
    ] {
        assert!(relayed.contains(part), "{part} is missing: {relayed}");
    }
    assert!(!relayed.contains("\r\nHello.\r\n"), "the content goes back with failures only");
    let totals = sim.totals().await;
    assert_eq!((totals.accepted, totals.generated, totals.bounced, totals.sent), (5, 2, 3, 4));
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_reports_is_left_to_it() {
    let up = upstream(Script::default().offering("DSN"));
    let mut sim = Simulation::new(ONE, &[("up", &up)]);
    sim.start().await;
    let message = sim.message("a@firm.example", &["glad@x.example"]);
    sim.enqueue(asking(message, &["SUCCESS,FAILURE"])).await;
    sim.until_empty(secs(10)).await;
    assert_eq!(up.messages().len(), 1);
    assert_eq!(up.messages()[0].parameters.last().unwrap(), "ENVID=order+207");
    let rcpt = "RCPT TO:<glad@x.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;old-glad@x.example";
    assert_eq!(up.commands_of("RCPT"), [rcpt]);
    // What it refuses is ours to report, and a report asks for no report.
    up.set(Script::default().offering("DSN").with(Step::Rcpt(1), Act::reply(550, "5.1.1 no")));
    let message = sim.message("a@firm.example", &["ok@x.example", "gone@x.example"]);
    sim.enqueue(asking(message, &["SUCCESS,FAILURE", "SUCCESS,FAILURE"])).await;
    sim.until_empty(secs(10)).await;
    assert_eq!(reports(&up).len(), 1);
    let last = up.commands_of("RCPT").pop().unwrap();
    assert_eq!(last, "RCPT TO:<a@firm.example> NOTIFY=NEVER");
}

#[tokio::test(start_paused = true)]
async fn a_delay_is_told_only_to_who_wants_to_know() {
    let config = format!("[queue]\nexpire_after = \"10h\"\nwarn_after = \"1h\"\n{ONE}");
    let up = upstream(Script::default().with(Step::Connect, Act::Refuse));
    let mut sim = Simulation::new(&config, &[("up", &up)]);
    sim.start().await;
    for notify in ["FAILURE", "NEVER", "DELAY", ""] {
        let to = format!("to-{notify}@x.example");
        let message = sim.message("a@firm.example", &[&to]);
        sim.enqueue(asking(message, &[notify])).await;
    }
    tokio::time::sleep(secs(2 * 3600)).await;
    up.set(Script::default());
    sim.until_empty(secs(3600)).await;
    let reports = reports(&up);
    let mut about: Vec<_> = reports.iter().flat_map(|report| about(report)).collect();
    about.sort_unstable();
    assert_eq!(about, ["to-@x.example", "to-DELAY@x.example"]);
    assert!(reports.iter().all(|report| report.contains("Action: delayed")));
}

#[tokio::test(start_paused = true)]
async fn a_test_copy_asks_for_nothing_and_confirms_nothing() {
    let config = format!("[test_mode]\nenabled = true\naddress = \"test@firm.example\"\n{ONE}");
    for script in [Script::default(), Script::default().offering("DSN").offering("MT-PRIORITY")] {
        let up = upstream(script);
        let mut sim = Simulation::new(&config, &[("up", &up)]);
        sim.start().await;
        let message = sim.message("a@firm.example", &["glad@x.example"]);
        sim.enqueue(asking(message, &["SUCCESS"])).await;
        sim.until_empty(secs(10)).await;
        assert_eq!(up.commands_of("RCPT"), ["RCPT TO:<test@firm.example>"]);
        assert!(!up.commands_of("MAIL")[0].contains("ENVID"));
        assert_eq!((up.messages().len(), sim.totals().await.generated), (1, 0));
    }
}

/// The first transaction learns how many recipients fit; from then on no permit is taken for more.
#[tokio::test(start_paused = true)]
async fn announced_limits_are_kept() {
    let up =
        upstream(Script { max_recipients: 3, ..Script::default().offering("LIMITS RCPTMAX=3 MAILMAX=2") });
    let config = format!("{ONE}limits = {{ per_day = {{ recipients = 1000 }}, connections = 1 }}\n");
    let mut sim = Simulation::new(&config, &[("up", &up)]);
    sim.start().await;
    let to: Vec<String> = (0..10).map(|n| format!("r{n}@x.example")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    sim.submit("a@firm.example", &to).await;
    sim.until_empty(secs(60)).await;
    let sizes: Vec<_> = up.messages().iter().map(|seen| seen.recipients.len()).collect();
    assert_eq!(sizes, [3, 3, 3, 1]);
    assert!(up.commands_of("RCPT").len() == 10, "nobody is named in vain");
    assert_eq!(up.connections(), 2, "two messages over each");
    let lines = sim.core.as_ref().unwrap().context.accounts.limit_lines("main").await.unwrap();
    let day =
        lines.iter().find(|line| line.window == mailsluice::config::Window::DAY).unwrap().recipients_used;
    assert_eq!(day, 10 + 3 + 3 + 1, "only the first was taken for all ten");
}
