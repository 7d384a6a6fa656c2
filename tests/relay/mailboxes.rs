//! Mailboxes that do not exist: who comes on the blacklist for it, who reads of it, and who does not.

use crate::paper::Paper;
use crate::support::simulation::{Simulation, secs};
use crate::support::upstream::{Act, Script, Step, Upstream};
use crate::{ONE, taken};

const DAY: u64 = 86_400;

/// Refuses the second recipient of each message; reports have one.
fn refuses_the_second(text: &str) -> Upstream {
    Upstream::new(Script::default().with(Step::Rcpt(1), Act::reply(550, text)))
}

/// Reports that the upstream has got, as texts.
fn reports(up: &Upstream) -> Vec<String> {
    let all = up.messages().into_iter().map(|message| String::from_utf8_lossy(&message.content).into_owned());
    all.filter(|text| text.contains("multipart/report"))
        .map(|text| text.replace("=\r\n", "").replace("\r\n    ", " "))
        .collect()
}

async fn patterns(sim: &Simulation) -> Vec<String> {
    sim.store()
        .blacklist_page(mailsluice::store::BlacklistFilter::default())
        .await
        .unwrap()
        .entries
        .into_iter()
        .map(|entry| entry.pattern)
        .collect()
}

/// A message to somebody and to this address, up to its end and its report's. How often the upstream was asked for it.
async fn send(sim: &mut Simulation, up: &Upstream, to: &str) -> usize {
    let asked = || up.commands_of("RCPT").iter().filter(|command| command.contains(to)).count();
    let before = asked();
    sim.submit("a@firm.example", &["ok@fine.example", to]).await;
    sim.until_empty(secs(60)).await;
    asked() - before
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_is_listed_after_two_failures_a_day_apart() {
    let (paper, _listening) = Paper::listen();
    let up = refuses_the_second("5.1.1 no such user");
    let mut sim = Simulation::new(ONE, &[("up", &up)]);
    sim.start().await;
    let to = "gone@x.example";
    for hours in [0, 1, 24] {
        assert_eq!(patterns(&sim).await, [] as [&str; 0], "{hours}");
        sim.pass_stopped(secs(hours * 3_600)).await;
        send(&mut sim, &up, to).await;
    }
    assert_eq!(patterns(&sim).await, [to]);
    let lines: Vec<_> = paper.lines().into_iter().filter(|line| line.starts_with("blacklisted")).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in
        ["queue_id=", "to=gone@x.example", "5.1.1 no such user", "next=", "blacklist remove gone@x.example"]
    {
        assert!(lines[0].contains(part), "{part}: {lines:?}");
    }
    // The last report of the sender tells of it, and those before do not.
    let told: Vec<bool> =
        reports(&up).iter().map(|text| text.contains("on this relay's blacklist")).collect();
    assert!(
        told.len() >= 3 && told.iter().filter(|told| **told).count() == 1 && told[told.len() - 1],
        "{told:?}"
    );
    assert_eq!(send(&mut sim, &up, to).await, 0, "nothing is sent there");
    sim.pass_stopped(secs(30 * DAY)).await;
    assert_eq!(send(&mut sim, &up, "Gone@X.example").await, 1, "after 30 days");
}

#[tokio::test(start_paused = true)]
async fn who_is_never_listed() {
    for (name, more, refusal, delivered) in [
        ("no such domain", "", "5.1.2 no such domain", false),
        ("switched off", "", "5.2.1 disabled", false),
        ("a delivery between", "", "5.1.1 nobody", true),
        ("auto_add", "[blacklist]\nauto_add = false\n", "5.1.1 nobody", false),
        (
            "test mode",
            "[queue]\nbounce_to_sender = false\n[blacklist]\nauto_add_after = 1\n[test_mode]\nenabled = true\naddress = \"it@firm.example\"\n",
            "5.1.1 nobody",
            false,
        ),
    ] {
        let up = if name == "test mode" {
            Upstream::new(Script::default().with(Step::AnyRcpt, Act::reply(550, refusal)))
        } else {
            refuses_the_second(refusal)
        };
        let mut sim = Simulation::new(&format!("{more}{ONE}"), &[("up", &up)]);
        sim.start().await;
        for n in 0..2 {
            if delivered && n > 0 {
                sim.submit("a@firm.example", &["x@there.example"]).await;
                sim.until_empty(secs(60)).await;
                assert!(taken(&up).contains(&"x@there.example".to_owned()));
            }
            send(&mut sim, &up, "x@there.example").await;
            sim.pass_stopped(secs(DAY)).await;
        }
        assert_eq!(patterns(&sim).await, [] as [&str; 0], "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_domain_whose_server_refuses_everybody_is_in_trouble_itself() {
    let (paper, _listening) = Paper::listen();
    let up = refuses_the_second("5.1.1 nobody");
    let config = format!("[blacklist]\nauto_add_after = 1\n{ONE}");
    let mut sim = Simulation::new(&config, &[("up", &up)]);
    sim.start().await;
    for n in 0..15 {
        send(&mut sim, &up, &format!("x{n}@there.example")).await;
    }
    assert_eq!(patterns(&sim).await, [] as [&str; 0]);
    let lines: Vec<_> =
        paper.lines().into_iter().filter(|line| line.starts_with("blacklist_paused")).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in ["domain=there.example", "10 of 10", "taken back: 9", "action="] {
        assert!(lines[0].contains(part), "{part}: {lines:?}");
    }
}
