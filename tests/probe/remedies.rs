//! Each way in which an upstream can fail, what a person reads, and what to do about it. No mail is ever begun.

use mailsluice::config::ByteSize;
use serde_json::json;

use super::support::simulation::Simulation;
use super::support::upstream::{Act, Authority, Script, Step, Upstream};
use super::{probe, relay, result, steps};

const PLAIN: &str = "security = \"none\"\nallow_plaintext_auth = true\n";
const LOGIN: &str = "user = \"anna\"\npassword = \"secret\"\n";

/// The login is refused like this.
fn refused(code: u16, text: &str) -> Script {
    Script::default().with_login("PLAIN LOGIN").with(Step::Auth, Act::reply(code, text))
}

#[tokio::test(start_paused = true)]
async fn each_step_at_which_it_can_end() {
    for (script, keys, want, reason, action) in [
        (
            Script::default().with(Step::Connect, Act::Refuse),
            PLAIN,
            &[][..],
            "connect to main at 192.0.2.25:25: Connection refused",
            "check host and port, and whether the server runs",
        ),
        (
            Script::default().with(Step::Connect, Act::Hang),
            PLAIN,
            &["!connect"],
            "no answer within",
            "firewall",
        ),
        (
            Script::default().with(Step::Greeting, Act::reply(554, "5.7.1 go away")),
            PLAIN,
            &["connect", "!greeting"],
            "554 5.7.1 go away",
            "",
        ),
        (
            Script::default().with(Step::Greeting, Act::malformed()),
            PLAIN,
            &["connect", "!greeting"],
            "a line without a valid reply code",
            "check host, port and security",
        ),
        (
            Script::default().with(Step::Ehlo, Act::Drop),
            PLAIN,
            &["connect", "greeting", "!ehlo"],
            "the upstream closed the connection",
            "",
        ),
        (
            Script::default(),
            "security = \"starttls\"\n",
            &["connect", "greeting", "ehlo", "!starttls"],
            "the upstream does not offer STARTTLS, and clear text is no substitute",
            "check port (587)",
        ),
        (
            Script::default().without("AUTH"),
            "security = \"none\"\nallow_plaintext_auth = true\nuser = \"anna\"\npassword = \"secret\"\n",
            &["connect", "greeting", "ehlo", "!auth"],
            "no AUTH mechanism in common: the upstream offers none",
            "check port and security",
        ),
        (
            refused(454, "4.7.0 Temporary authentication failure"),
            "security = \"none\"\nallow_plaintext_auth = true\nuser = \"anna\"\npassword = \"secret\"\n",
            &["connect", "greeting", "ehlo", "!auth"],
            "454 4.7.0 Temporary authentication failure",
            "need not be wrong",
        ),
        (
            refused(535, "5.7.8 authentication failed"),
            "security = \"none\"\nallow_plaintext_auth = true\nuser = \"anna\"\npassword = \"secret\"\n",
            &["connect", "greeting", "ehlo", "!auth"],
            "535 5.7.8 authentication failed",
            "password",
        ),
    ] {
        let upstream = Upstream::new(script);
        let sim = relay(&upstream, keys).await;
        let events = probe(&sim.control(), &[]).await;
        let end = result(&events);
        assert_eq!(
            (steps(&events), &end["ok"]),
            (want.iter().map(ToString::to_string).collect(), &json!(false))
        );
        assert!(end["reason"].as_str().unwrap().contains(reason), "{end}");
        assert!(end["action"].as_str().unwrap_or_default().contains(action), "{end}");
        assert!(upstream.commands_of("MAIL").is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn certificates_are_told_and_what_is_wrong_with_them() {
    let authority = Authority::named("Firm CA");
    let (ca, other) = (authority.ca_file(), Authority::named("Another").ca_file());
    let good = authority.server("main");
    for (server, ca, reason, action) in [
        (&good, &ca, "", ""),
        (&good, &other, "not signed by an authority that is trusted here", "set ca_file"),
        (&authority.server("mail.elsewhere.example"), &ca, "is not for main", "tls_name"),
        (&authority.server_in("main", 2020..2021), &ca, "expired at 2021-01-01", "renew it"),
    ] {
        let upstream = Upstream::new(Script::default().with_login("PLAIN").with_tls(server.clone()));
        let keys = format!("security = \"starttls\"\nca_file = {:?}\n{LOGIN}", ca.path());
        let sim = relay(&upstream, &keys).await;
        let events = probe(&sim.control(), &[]).await;
        let end = result(&events);
        assert!(end["reason"].as_str().unwrap_or_default().contains(reason), "{end}");
        assert!(end["action"].as_str().unwrap_or_default().contains(action), "{end}");
        let begun = ["connect", "greeting", "ehlo", "starttls"];
        if reason.is_empty() {
            assert_eq!(steps(&events), [&begun[..], &["tls", "ehlo", "auth"]].concat());
            let tls = &events.iter().find(|event| event["step"] == "tls").unwrap()["tls"];
            let own = &tls["chain"][0];
            assert_eq!(
                [&tls["version"], &tls["name"], &tls["matched"], &own["issuer"]],
                ["TLS 1.3", "main", "main", "CN=Firm CA"],
                "{tls}"
            );
            assert!(own["not_after"].as_str().unwrap().ends_with('Z'), "{tls}");
        } else {
            assert_eq!(steps(&events), [&begun[..], &["!tls"]].concat());
            assert!(upstream.commands_of("AUTH").is_empty(), "nobody says a password to a stranger");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_good_account_is_ready_and_nothing_was_sent_or_counted() {
    let upstream = Upstream::new(Script::default().with_login("CRAM-MD5 PLAIN"));
    let sim =
        relay(&upstream, &format!("{PLAIN}{LOGIN}[upstream.limits]\nper_hour = {{ messages = 1 }}\n")).await;
    let control = sim.control();
    let events = probe(&control, &["main"]).await;
    let begun = json!({
        "event": "begun", "upstream": "main", "account": "anna", "host": "main:587", "enabled": true
    });
    assert_eq!(events[0], begun);
    assert_eq!(steps(&events), ["connect", "greeting", "ehlo", "auth"]);
    let offers = &events[3];
    assert_eq!(offers["size"], json!(ByteSize(35 << 20).0), "{offers}");
    assert_eq!(
        (&events[4]["mechanism"], &events[4]["detail"]),
        (&json!("CRAM-MD5"), &json!("logged in by CRAM-MD5"))
    );
    assert_eq!(result(&events)["ok"], true);
    let verbs: Vec<String> =
        upstream.commands().iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(verbs, ["EHLO", "AUTH", "QUIT"]);
    let used = control.ask("GET", "/limits").await;
    assert_eq!(used[0]["messages"]["used"], 0, "{used}");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_nobody_knows() {
    let mut sim = Simulation::new(
        "[[upstream]]\nname = \"main\"\ndefault = true\nhost = \"nowhere.invalid\"\nsecurity = \"none\"\n",
        &[],
    );
    sim.start().await;
    let events = probe(&sim.control(), &[]).await;
    assert_eq!(steps(&events), ["!resolve"]);
    let end = result(&events);
    assert_eq!(end["reason"], "nowhere.invalid can't be resolved: no such host");
    assert_eq!(end["action"], "check host, or the machine's DNS");
}
