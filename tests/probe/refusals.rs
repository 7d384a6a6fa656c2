//! What a provider says when it refuses a login: the same remedy in the probe, in the log and in the status.

use mailsluice::oauth::Resource;
use mailsluice::upstream::LoginMethod;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::paper::Paper;
use super::support::simulation::{Simulation, secs};
use super::support::tokens::{ready, renew};
use super::support::upstream::{Act, Script, Step, Upstream};
use super::{probe, result, steps};
use remedies::REMEDIES;

#[path = "../../src/upstream/replies/tests/remedies.rs"]
mod remedies;

const OAUTH: &str = "[[oauth]]\nname = \"m365\"\nprovider = \"microsoft\"\ntenant = \"firm.example\"\n\
    client_id = \"00000000-0000-0000-0000-000000000000\"\nflow = \"device_code\"\n";

/// What Google says about a token before it refuses it.
const GOOGLE_SAYS: &str = r#"{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}"#;

/// An upstream that refuses each login like this.
fn refusing(lines: &str, method: LoginMethod) -> Upstream {
    Upstream::new(match method {
        LoginMethod::Password => {
            let wire = format!("{lines}\r\n").into_bytes();
            Script::default().with_login("PLAIN LOGIN").with(Step::Auth, Act::Raw(wire))
        }
        LoginMethod::Token => Script {
            token_error: lines.contains("gsmtp").then(|| GOOGLE_SAYS.to_owned()),
            ..Script::default().with_tokens("XOAUTH2", &[]).refusing_tokens(lines)
        },
    })
}

/// A relay with one account there, which counts as disabled after so many failures.
async fn relay(upstream: &Upstream, method: LoginMethod, disable_after: u32) -> Simulation {
    let (login, sign_in) = match method {
        LoginMethod::Password => ("password = \"secret\"", ""),
        LoginMethod::Token => ("oauth = \"m365\"", OAUTH),
    };
    let config = format!(
        "hostname = \"relay.firm.example\"\n[[upstream]]\nname = \"main\"\ndefault = true\nhost = \"main\"\n\
         security = \"none\"\nallow_plaintext_auth = true\ndisable_after = {disable_after}\nuser = \"anna@firm.example\"\n{login}\n\
         {sign_in}"
    );
    let mut sim = Simulation::new(&config, &[("main", upstream)]);
    if method == LoginMethod::Token {
        let feed = sim.sign_ins.feed("m365", Resource::Smtp);
        feed.set(ready("t0"));
        let others: Vec<_> = (1..9).map(|n| ready(&format!("t{n}"))).collect();
        tokio::spawn(renew(feed, others.into_iter()));
    }
    sim.start().await;
    sim
}

/// What the status says of the account, if anything: to whoever must see to it, or beside its name.
fn told(status: &Value, is_temporary: bool) -> String {
    let people = status["needs_a_person"].as_array().unwrap().iter().map(|text| text.as_str().unwrap());
    let own: Vec<&str> = people.filter(|text| text.starts_with("upstream main account")).collect();
    assert_eq!(own.len(), usize::from(!is_temporary), "{status}");
    let reason = &status["upstreams"][0]["accounts"][0]["reason"];
    own.first().map_or_else(|| reason.as_str().unwrap().to_owned(), ToString::to_string)
}

#[tokio::test(start_paused = true)]
async fn the_remedy_is_the_same_wherever_it_is_read() {
    for &(lines, method, remedy) in REMEDIES {
        let case = format!("{method:?} {lines}");
        let is_temporary = lines.starts_with('4');
        let (paper, _listening) = Paper::listen();
        let upstream = refusing(lines, method);
        let mut sim = relay(&upstream, method, if is_temporary { 9 } else { 1 }).await;

        let events = probe(&sim.control(), &[]).await;
        let end = result(&events);
        let (reason, action) = (end["reason"].as_str().unwrap(), end["action"].as_str().unwrap());
        assert_eq!((&end["ok"], steps(&events).last().unwrap().as_str()), (&json!(false), "!auth"), "{case}");

        sim.submit("a@firm.example", &["b@dest.example"]).await;
        sleep(secs(5)).await;
        let event = if is_temporary { "upstream_down" } else { "upstream_disabled" };
        let event = format!("{event} upstream=main account=anna@firm.example reason=");
        let log = paper.lines();
        let logged: Vec<&String> = log.iter().filter(|line| line.starts_with(&event)).collect();
        let [logged] = logged[..] else { panic!("{case}: {log:#?}") };
        let told = told(&sim.control().ask("GET", "/status").await, is_temporary);

        // Each line without its codes, as it may stand among others.
        let words =
            lines.split("\r\n").map(|line| line[4..].trim_start_matches(|c| "0123456789. ".contains(c)));
        for word in words {
            for (place, text) in [("probe", reason), ("log", logged), ("status", &told)] {
                assert!(text.contains(&lines[..3]) && text.contains(word), "{case}: {place}: {text}");
            }
        }
        for (place, text) in [("probe", action), ("log", logged), ("status", &told)] {
            for part in remedy {
                assert!(text.contains(part), "{case}: the {place} lacks {part}: {text}");
            }
        }
        assert!(upstream.commands_of("MAIL").is_empty(), "{case}");
        assert_eq!(sim.store().queue_length(), 1, "{case}: the mail waits");
    }
}
