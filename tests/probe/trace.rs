//! The live dialogue: what is seen of it, and what never is.

use std::time::Duration;

use mailsluice::store::Content;
use serde_json::Value;

use super::paper::Paper;
use super::relay;
use super::support::control::Events;
use super::support::simulation::{Simulation, secs};
use super::support::upstream::{Act, Authority, Script, Step, Upstream};

const LOGIN: &str = "user = \"anna\"\npassword = \"secret\"\n";
const PLAIN: &str = "security = \"none\"\nallow_plaintext_auth = true\n";

/// A line as a person reads it, without its time.
fn line(event: &Value) -> String {
    if event["event"] == "missed" {
        return format!("missed {}", event["lines"]);
    }
    let mark = match event["speaker"].as_str().unwrap() {
        "client" => "C:",
        "server" => "S:",
        _ => "--",
    };
    assert!(event["at"].as_str().unwrap().ends_with('Z'), "{event}");
    let account = event["account"].as_str().unwrap();
    format!("#{} {account} {mark} {}", event["connection"], event["text"].as_str().unwrap())
}

async fn until(events: &mut Events, end: &str) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        lines.push(line(&events.next().await.unwrap()));
        if lines.last().unwrap().contains(end) {
            return lines;
        }
    }
}

async fn listen(sim: &Simulation) -> Events {
    let (status, events) = sim.control().begin("GET", "/upstreams/main/trace", "").await;
    assert_eq!(status, 200);
    events
}

#[tokio::test(start_paused = true)]
async fn the_dialogue_is_shown_without_secrets_and_content() {
    let script = Script::default().without("PIPELINING").with_login("PLAIN");
    let mut sim = relay(&Upstream::new(script), &format!("{PLAIN}{LOGIN}auth = \"plain\"\n")).await;
    let mut events = listen(&sim).await;
    sim.submit("a@firm.example", &["b@dest.example"]).await;
    let seen = until(&mut events, "closed").await;
    let want = "\
-- 192.0.2.25:25
S: 220 upstream.example ESMTP
C: EHLO relay.firm.example
S: 250-upstream.example
S: 250-SIZE 36700160
S: 250-8BITMIME
S: 250-SMTPUTF8
S: 250-ENHANCEDSTATUSCODES
S: 250 AUTH PLAIN
C: AUTH PLAIN […]
S: 235 2.7.0 […]
C: MAIL FROM:<a@firm.example> SIZE=SIZE
S: 250 2.1.0 sender ok
C: RCPT TO:<b@dest.example>
S: 250 2.1.5 recipient ok
C: DATA
S: 354 go ahead
C: [content, SIZE octets]
S: 250 2.0.0 queued as 42
C: QUIT
S: 221 2.0.0 bye
-- the connection is closed";
    let size = seen.iter().find_map(|line| line.split_once("SIZE=")).unwrap().1;
    let want: Vec<_> = want
        .replace("=SIZE", &format!("={size}"))
        .replace("SIZE octets", &format!("{size} octets"))
        .lines()
        .map(|line| format!("#1 anna {line}"))
        .collect();
    assert_eq!(seen, want);
}

#[tokio::test(start_paused = true)]
async fn nothing_planted_is_ever_shown() {
    let secrets = ["c4n4ry-pw", "YzRuNHJ5LXB3", "AGFubmEAYzRuNHJ5LXB3", "c4n4ry-content"];
    for (mechanism, step, repeated) in [
        ("PLAIN", Step::Connect, ""),
        ("LOGIN", Step::Connect, ""),
        // The upstream repeats what it was told, as bad ones do.
        ("PLAIN", Step::Auth, "AGFubmEAYzRuNHJ5LXB3"),
        ("CRAM-MD5", Step::Auth, "c4n4ry-pw"),
    ] {
        let echo = Act::reply(535, &format!("5.7.8 bad {repeated}, password c4n4ry-pw"));
        let mut script = Script::default().with_login(mechanism);
        script.login = Some(("anna".to_owned(), "c4n4ry-pw".to_owned()));
        if step == Step::Auth {
            script = script.with(Step::Auth, echo);
        }
        let upstream = Upstream::new(script);
        let keys = format!("{PLAIN}user = \"anna\"\npassword = \"c4n4ry-pw\"\n");
        let (paper, _listening) = Paper::listen_to_all();
        let mut sim = relay(&upstream, &keys).await;
        let mut events = listen(&sim).await;
        let mut message = sim.message("a@firm.example", &["b@dest.example"]);
        message.content = Content::memory(b"Subject: c4n4ry-content\r\n\r\nc4n4ry-content\r\n".to_vec());
        sim.enqueue(message).await;
        let mut seen = until(&mut events, "closed").await;
        // A probe of a person is heard, too.
        let probed = super::probe(&sim.control(), &[]).await;
        seen.extend(until(&mut events, "closed").await);
        seen.extend(probed.iter().map(ToString::to_string));
        let logged = paper.lines();
        let login = format!(
            "upstream_line upstream=main account=anna connection=1 speaker=client text=\"AUTH {mechanism}"
        );
        assert!(logged.iter().any(|line| line.starts_with(&login)), "{logged:?}");
        assert!(logged.iter().any(|line| line.ends_with("speaker=none text=\"the connection is closed\"")));
        seen.extend(logged);
        assert!(!upstream.commands_of("AUTH").is_empty());
        let told = seen.iter().find(|line| secrets.iter().any(|secret| line.contains(secret)));
        assert_eq!(told, None, "{mechanism} {step:?}");
        assert!(seen.iter().any(|line| line.contains(&format!("C: AUTH {mechanism}"))), "{seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn tls_and_what_goes_wrong_are_noted() {
    let authority = Authority::named("Firm CA");
    let ca = authority.ca_file();
    let script = Script::default().with_login("PLAIN").with_tls(authority.server("main"));
    let upstream = Upstream::new(script.clone());
    let mut sim =
        relay(&upstream, &format!("security = \"starttls\"\nca_file = {:?}\n{LOGIN}", ca.path())).await;
    let mut events = listen(&sim).await;
    sim.submit("a@firm.example", &["b@dest.example"]).await;
    let seen = until(&mut events, "closed").await;
    let tls = seen.iter().find(|line| line.contains("TLS 1.3")).unwrap();
    assert!(
        tls.starts_with("#1 anna -- TLS 1.3, TLS13_") && tls.contains("certificate for main until "),
        "{tls}"
    );
    upstream.set(script.with(Step::Mail, Act::Hang));
    sim.submit("a@firm.example", &["b@dest.example"]).await;
    let seen = until(&mut events, "closed").await;
    assert!(seen.iter().any(|line| line.contains("-- no answer within")), "{seen:?}");
    assert!(seen.iter().all(|line| line.starts_with("#2 ")), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn goes_on_over_a_reload_and_ends_with_its_client() {
    let upstream = Upstream::new(Script::default());
    let mut sim = relay(&upstream, PLAIN).await;
    let mut events = listen(&sim).await;
    sim.reload(
        "hostname = \"other.firm.example\"\n[[upstream]]\nname = \"main\"\ndefault = true\nhost = \"main\"\nsecurity = \"none\"\n",
    )
    .await;
    sim.submit("a@firm.example", &["b@dest.example"]).await;
    let seen = until(&mut events, "EHLO").await;
    assert_eq!(seen.last().unwrap(), "#1  C: EHLO other.firm.example");
    let hub = sim.core.as_ref().unwrap().context.accounts.dialogue("main").unwrap();
    assert!(hub.is_watched());
    drop(events);
    sim.until(secs(1), Duration::from_millis(1), async |_| !hub.is_watched()).await;
}

#[tokio::test(start_paused = true)]
async fn there_are_only_so_many_and_only_of_what_speaks() {
    let upstream = Upstream::new(Script::default());
    let kept = "security = \"none\"\n[[upstream]]\nname = \"kept\"\nkind = \"capture\"\nfilter = [\"kept.example\"]\n";
    let sim = relay(&upstream, kept).await;
    let control = sim.control();
    let mut all = Vec::new();
    for _ in 0..16 {
        let (status, events) = control.begin("GET", "/upstreams/main/trace", "").await;
        assert_eq!(status, 200);
        all.push(events);
    }
    for (path, status) in [("main", 429), ("kept", 409), ("nobody", 404)] {
        let (found, _) = control.begin("GET", &format!("/upstreams/{path}/trace"), "").await;
        assert_eq!(found, status, "{path}");
    }
    all.pop();
    let (status, _events) = control.begin("GET", "/upstreams/main/trace", "").await;
    assert_eq!(status, 200);
}
