//! Upstreams to which no secure line can be had: mail waits, the log says why and what to do, and they hear neither who
//! writes nor a password.

use std::fmt::Write as _;

use tokio::time::sleep;

use super::FROM;
use super::paper::Paper;
use super::support::simulation::{Simulation, secs};
use super::support::upstream::{Act, Authority, Script, SelfSigned, Step, Upstream};

const HOST: &str = "smtp.firm.example";
/// A fatal alert of TLS: `protocol_version` (RFC 8446 6.2).
const OTHER_VERSION: [u8; 7] = [0x15, 3, 1, 0, 2, 2, 70];

/// A server that would take the login in clear text, too.
fn eager() -> Script {
    Script::default().with_login("PLAIN LOGIN")
}

/// A `ServerHello` of TLS 1.1 (RFC 4346 7.4.1.3).
fn hello_of_tls_1_1() -> Vec<u8> {
    let hello = [&[3, 2][..], &[7; 32], &[0], &[0, 0x2f], &[0]].concat();
    let message = [&[2, 0, 0, hello.len() as u8][..], &hello].concat();
    [&[0x16, 3, 2, 0, message.len() as u8][..], &message].concat()
}

/// Mail for an upstream waits for an hour; what the log has said of the upstream.
async fn waits(upstream: &Upstream, security: &str, ca: &Authority, name: &str) -> String {
    let (paper, _listening) = Paper::listen();
    let file = ca.ca_file();
    let mut toml = "[queue]\nwarn_after = \"never\"\n[[upstream]]\nname = \"main\"\n".to_owned();
    write!(toml, "host = \"{HOST}\"\nsecurity = \"{security}\"\nca_file = \"{}\"\n", file.path().display())
        .unwrap();
    toml.push_str("user = \"anna\"\npassword = \"secret\"\nallow_plaintext_auth = true\n");
    toml.push_str("[upstream.timeouts]\ngreeting = \"20s\"\n");
    let mut sim = Simulation::new(&toml, &[(HOST, upstream)]);
    sim.start().await;
    sim.submit(FROM, &["x@there.example"]).await;
    sleep(secs(3_600)).await;
    let totals = sim.totals().await;
    assert_eq!((totals.queued, totals.bounced, totals.sent), (1, 0, 0), "{name}");
    assert!(upstream.connections() >= 2, "{name}: it is tried again");
    for verb in ["AUTH", "MAIL", "RCPT", "DATA"] {
        assert_eq!(upstream.commands_of(verb), [""; 0], "{name}");
    }
    let said = upstream.commands().concat();
    assert!(!said.contains("secret") && !said.contains("AGFubmEAc2VjcmV0"), "{name}: {said}");
    let lines = paper.lines();
    let told = lines.iter().find(|line| line.starts_with("upstream_down ")).cloned();
    assert!(!lines.concat().contains("secret"), "{name}: {lines:#?}");
    told.unwrap_or_else(|| panic!("{name}: {lines:#?}"))
}

/// Faults of certificates, with what the log says of each.
fn faulty_certificates(ca: &Authority) -> Vec<(&'static str, Script, String)> {
    let own = SelfSigned::new(HOST);
    let (expired, early) = (ca.server_in(HOST, 2019..2020), ca.server_in(HOST, 2090..2091));
    let told = |text: &str| text.to_owned();
    vec![
        (
            "expired",
            eager().with_tls(expired),
            told("expired at 2020-01-01T00:00:00Z; its operator must renew it"),
        ),
        (
            "not yet valid",
            eager().with_tls(early),
            told("is not valid yet, but from 2090-01-01T00:00:00Z on; check"),
        ),
        (
            "wrong host",
            eager().with_tls(ca.server("mail.other.example")),
            told("is not for smtp.firm.example, but for mail.other.example; set host or tls_name"),
        ),
        ("self-signed", eager().with_tls(own.server), format!("set pin = \\\"{}\\\"", own.pin)),
        (
            "unknown issuer",
            eager().with_tls(Authority::named("Another").server(HOST)),
            told("is not signed by an authority that is trusted here; if it has its own, set ca_file"),
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn certificates_that_prove_nothing_get_no_mail_and_no_password() {
    let ca = Authority::new();
    for (security, at_once) in [("starttls", false), ("tls", true)] {
        for (name, mut script, want) in faulty_certificates(&ca) {
            script.implicit_tls = at_once;
            let told = waits(&Upstream::new(script), security, &ca, name).await;
            assert!(told.contains(&want), "{name} {security}: {told}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_version_of_tls_gets_no_mail_and_no_password() {
    let ca = Authority::new();
    for (security, at_once) in [("starttls", false), ("tls", true)] {
        for (name, octets) in [("alert", OTHER_VERSION.to_vec()), ("hello", hello_of_tls_1_1())] {
            let mut script = eager().with_tls(ca.server(HOST)).with(Step::Handshake, Act::Raw(octets));
            script.implicit_tls = at_once;
            let told = waits(&Upstream::new(script), security, &ca, name).await;
            assert!(told.contains("speaks no TLS newer than 1.1"), "{name} {security}: {told}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_meddles_with_starttls_gets_no_mail_and_no_password() {
    let ca = Authority::new();
    let secure = || eager().with_tls(ca.server(HOST));
    let append = |step, octets: &[u8]| secure().with(step, Act::Append(octets.to_vec()));
    let cut = |octets: &[u8]| Act::RawAndDrop(octets.to_vec());
    let injected = "sent unencrypted data around its reply to STARTTLS";
    for (name, script, want) in [
        ("not offered", eager(), "does not offer STARTTLS, and clear text is no substitute; check port"),
        ("injected behind 220", append(Step::StartTls, b"250 injected\r\n"), injected),
        ("injected half a line", append(Step::StartTls, b"25"), injected),
        ("injected behind EHLO", append(Step::Ehlo, b"220 go ahead\r\n"), injected),
        ("injected behind the greeting", append(Step::Greeting, b"250-x\r\n250 AUTH PLAIN\r\n"), injected),
        (
            "cut in the reply to EHLO",
            secure().with(Step::Ehlo, cut(b"250-upstream.example\r\n250-AUTH PLAIN\r\n250-STARTT")),
            "at EHLO: the upstream closed the connection in the middle of a reply",
        ),
        (
            "cut in the reply to STARTTLS",
            secure().with(Step::StartTls, cut(b"220 go a")),
            "at STARTTLS: the upstream closed the connection in the middle of a reply",
        ),
        (
            "cut in the greeting",
            secure().with(Step::Greeting, cut(b"220 upst")),
            "at the greeting: the upstream closed the connection in the middle of a reply",
        ),
        ("no TLS behind 220", secure().with(Step::Handshake, Act::malformed()), "does not speak TLS here"),
        ("ends behind 220", secure().with(Step::Handshake, Act::Drop), "the upstream closed the connection"),
    ] {
        let told = waits(&Upstream::new(script), "starttls", &ca, name).await;
        assert!(told.contains(want), "{name}: {told}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_speaks_tls_otherwise_than_configured_is_told_with_the_key_to_change() {
    let ca = Authority::new();
    let good = ca.server(HOST);
    let expired = ca.server_in(HOST, 2019..2020);
    let at_once = |server| Script { implicit_tls: true, ..eager().with_tls(server) };
    let ends = Act::RawAndDrop(OTHER_VERSION.to_vec());
    let tls_at_once = "speaks TLS from the first octet on this port; set security = \\\"tls\\\"";
    for (name, script, security, want) in [
        ("TLS at once", at_once(good.clone()), "starttls", tls_at_once),
        ("TLS at once, expired", at_once(expired), "starttls", tls_at_once),
        ("TLS at once, TLS 1.1", at_once(good.clone()).with(Step::Handshake, ends), "starttls", tls_at_once),
        ("in clear text", eager().with_tls(good), "tls", "set security = \\\"starttls\\\""),
        ("a refusal", eager().with(Step::Greeting, Act::reply(554, "no")), "tls", "begins in clear text"),
        (
            "silent",
            eager().with(Step::Greeting, Act::Hang),
            "starttls",
            "at the greeting: no answer within 20s",
        ),
    ] {
        let told = waits(&Upstream::new(script), security, &ca, name).await;
        assert!(told.contains(want), "{name}: {told}");
    }
}
