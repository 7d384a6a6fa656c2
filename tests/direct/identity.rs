//! As whom mail goes: what MAIL says before the content is known, and what follows from the content.

use super::support::simulation::secs;
use super::support::upstream::{Act, Script, Step, Upstream};
use super::{Client, FROM, assert_nothing_left, relay};

const TO: [&str; 1] = ["x@there.example"];

fn header(content: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(content).into_owned();
    let line = text.lines().find(|line| line.starts_with(&format!("{name}: ")))?;
    Some(line[name.len() + 2..].to_owned())
}

#[tokio::test(start_paused = true)]
async fn always_is_said_before_the_content_is_known() {
    let up = Upstream::new(Script::default());
    let sender = "[upstream.sender]\nname = \"Firm\"\naddress = \"office@firm.example\"\nwhen = \"always\"\n";
    let sim = relay(&up, sender).await;
    let mut client = Client::at(&sim, 0).await;
    assert!(client.send(FROM, &TO, "jane@other.example").await[2].starts_with("250"));
    let seen = &up.messages()[0];
    assert_eq!(seen.reverse_path, "office@firm.example");
    assert_eq!(header(&seen.content, "From").unwrap(), "Firm <office@firm.example>");
    assert_eq!(header(&seen.content, "Reply-To").unwrap(), "jane@other.example");
    assert_eq!((up.commands_of("MAIL").len(), up.commands_of("RSET").len()), (1, 0), "it was said once");
    assert_nothing_left(&sim, 1).await;
}

#[tokio::test(start_paused = true)]
async fn missing_is_found_out_with_the_content() {
    let up = Upstream::new(Script::default());
    let sim = relay(&up, "[upstream.sender]\naddress = \"office@firm.example\"\n").await;
    let mut client = Client::at(&sim, 0).await;
    assert!(client.send("root@box.local", &TO, "nobody").await[2].starts_with("250"));
    assert!(client.send(FROM, &TO, FROM).await[2].starts_with("250"));
    let seen = up.messages();
    let told: Vec<_> =
        seen.iter().map(|seen| (seen.reverse_path.clone(), header(&seen.content, "From").unwrap())).collect();
    let both = |address: &str| (address.to_owned(), address.to_owned());
    assert_eq!(told, [both("office@firm.example"), both(FROM)]);
    let mails = up.commands_of("MAIL");
    let is_from = |mail: &String, path: &str| mail.starts_with(&format!("MAIL FROM:<{path}>"));
    assert!(is_from(&mails[0], "root@box.local") && is_from(&mails[1], "office@firm.example"), "{mails:?}");
    assert_eq!(up.commands_of("RSET").len(), 1, "the first transaction is begun anew");
}

#[tokio::test(start_paused = true)]
async fn reports_go_where_bounces_would() {
    let up = Upstream::new(Script::default().with(Step::Rcpt(1), Act::reply(550, "5.1.1 nobody")));
    let sender = "[upstream.sender]\naddress = \"office@firm.example\"\nwhen = \"always\"\n";
    let mut sim = relay(&up, sender).await;
    sim.submit("root@box.local", &[TO[0], "y@there.example"]).await;
    sim.until_empty(secs(60)).await;
    let [mail, report] = &up.messages()[..] else { panic!("a mail and a report: {:?}", up.commands()) };
    assert_eq!(
        (mail.reverse_path.as_str(), &*mail.recipients),
        ("office@firm.example", &[TO[0].to_owned()][..])
    );
    assert_eq!(
        (report.reverse_path.as_str(), &*report.recipients),
        ("", &["office@firm.example".to_owned()][..])
    );
    assert!(header(&report.content, "From").unwrap().contains("office@firm.example"), "{report:?}");
    assert_eq!(header(&report.content, "Reply-To"), None);
}
