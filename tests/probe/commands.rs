//! The commands themselves: what they print, and their exit status.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::support::simulation::Simulation;
use super::support::upstream::{Act, Authority, Script, Step, Upstream};

/// Runs the program, beside the servers of the test.
async fn run(config: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailsluice"));
    command.arg("--config").arg(config).args(arguments).env("TZ", "UTC").stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn said(output: &Output) -> (String, String) {
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// The lines without the times that steps took.
fn timeless(text: &str) -> Vec<String> {
    let line = |line: &str| match line.split_once(" ms  ") {
        Some((before, after)) => {
            let name = before.trim_end_matches(|c: char| c.is_ascii_digit()).trim();
            format!("{name}: {after}")
        }
        None => line.to_owned(),
    };
    text.lines().map(line).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_does_not_run_is_not_needed() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::named("Firm CA");
    let ca = authority.ca_file();
    let upstream =
        Upstream::new(Script::default().with_login("PLAIN").with_tls(authority.server("localhost")));
    let listening = upstream.listen().await;
    let port = listening.address.port();
    let file = folder.path().join("mailsluice.toml");
    let config = format!(
        "hostname = \"relay.firm.example\"\ndata_dir = \"data\"\n[[upstream]]\nname = \"main\"\ndefault = true\n\
         host = \"127.0.0.1\"\nport = {port}\nsecurity = \"starttls\"\ntls_name = \"localhost\"\nca_file = {:?}\n\
         user = \"anna\"\npassword = \"secret\"\n",
        ca.path()
    );
    std::fs::write(&file, &config).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let good = run(&file, &["probe"]).await;
    let (out, err) = said(&good);
    assert_eq!((good.status.code(), err.as_str()), (Some(0), ""), "{out}");
    let lines = timeless(&out);
    assert_eq!(lines[0], format!("main anna at 127.0.0.1:{port}"));
    assert_eq!(lines[1..3], ["resolve: 127.0.0.1".to_owned(), format!("connect: 127.0.0.1:{port}")]);
    assert_eq!(lines[3], "greeting: 220 upstream.example ESMTP");
    assert_eq!(
        lines[4],
        "EHLO: PIPELINING, SIZE 36700160, 8BITMIME, SMTPUTF8, ENHANCEDSTATUSCODES, AUTH PLAIN, STARTTLS"
    );
    assert_eq!(lines[5], "STARTTLS: it begins TLS");
    assert!(
        lines[6].starts_with("TLS: TLS 1.3, TLS13_") && lines[6].ends_with("issued by CN=Firm CA"),
        "{out}"
    );
    assert_eq!(lines[8..], ["AUTH: logged in by PLAIN", "  ok", "1 of 1 account can log in and send."]);

    upstream.set(Script::default().with_tls(authority.server("localhost")).with_login("PLAIN").with(
        Step::Auth,
        Act::reply(
            535,
            "5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.",
        ),
    ));
    let refused = run(&file, &["probe", "main"]).await;
    let (out, _) = said(&refused);
    assert_eq!(refused.status.code(), Some(1), "{out}");
    assert!(out.contains("failed: 535 5.7.139 Authentication unsuccessful"), "{out}");
    assert!(
        out.contains("  to do: SMTP AUTH is off for this mailbox: Set-CASMailbox -Identity MAILBOX"),
        "{out}"
    );
    assert!(out.ends_with("0 of 1 account can log in and send.\n"), "{out}");
    let json = run(&file, &["probe", "--json"]).await;
    let all: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&all[0]["account"], &all[0]["ok"]), (&"anna".into(), &false.into()));
    assert_eq!(all[0]["steps"].as_array().unwrap().last().unwrap()["step"], "auth");
    assert_eq!(json.status.code(), Some(1));
    assert!(upstream.commands_of("MAIL").is_empty());

    let unknown = run(&file, &["probe", "nobody"]).await;
    assert_eq!(unknown.status.code(), Some(1));
    drop(listening);
    let gone = said(&run(&file, &["probe"]).await).0;
    assert!(gone.contains(&format!("failed: 127.0.0.1:{port}: connection refused\n")), "{gone}");
    assert!(gone.contains("to do: nothing takes connections there"), "{gone}");
    std::fs::write(&file, config.replace("port =", "prt =")).unwrap();
    let faulty = run(&file, &["probe"]).await;
    assert_eq!(faulty.status.code(), Some(2));
    assert!(said(&faulty).1.contains("prt"), "{faulty:?}");
    std::fs::write(&file, config.replace("[[upstream]]", "[[upstream]]\nenabled = false")).unwrap();
    assert_eq!(said(&run(&file, &["probe"]).await).0, "No upstream is enabled.\n");
    let named = run(&file, &["probe", "main"]).await;
    assert_eq!(named.status.code(), Some(0), "what is disabled may fail");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_relay_makes_the_probe_and_shows_the_dialogue() {
    let upstream = Upstream::new(Script::default().with_login("PLAIN"));
    let config = "data_dir = \"data\"\nhostname = \"relay.firm.example\"\n[[upstream]]\nname = \"main\"\ndefault = true\n\
        host = \"main\"\nsecurity = \"none\"\nallow_plaintext_auth = true\nuser = \"anna\"\npassword = \"secret\"\n";
    let mut sim = Simulation::new(config, &[("main", &upstream)]);
    let file = sim.dir.path().join("mailsluice.toml");
    std::fs::write(&file, config).unwrap();
    sim.start().await;
    let (stop, serving) = sim.control().serve(&sim.config.data_dir);
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailsluice"));
    command.arg("--config").arg(&file).args(["trace", "main"]).env("TZ", "UTC").stdin(Stdio::null());
    let mut trace = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let hub = sim.core.as_ref().unwrap().context.accounts.dialogue("main").unwrap();
    sim.until(super::support::simulation::secs(20), std::time::Duration::from_millis(20), async |_| {
        hub.is_watched()
    })
    .await;

    let output = run(&file, &["probe"]).await;
    let (out, err) = said(&output);
    assert_eq!((output.status.code(), err.as_str()), (Some(0), ""), "{out}");
    let want = ["main anna at main:587", "connect: 192.0.2.25:25", "greeting: 220 upstream.example ESMTP"];
    assert_eq!(timeless(&out)[..3], want);
    assert_eq!(upstream.connections(), 1, "the relay has made it");

    // All that was said has been shown when Ctrl-C comes.
    let ended = tokio::task::spawn_blocking(move || {
        let mut lines = std::io::BufReader::new(trace.stdout.take().unwrap());
        let mut text = String::new();
        while !text.contains("the connection is closed") {
            assert!(std::io::BufRead::read_line(&mut lines, &mut text).unwrap() > 0, "{text}");
        }
        let pid = rustix::process::Pid::from_child(&trace);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        (trace.wait().unwrap(), text)
    });
    let (status, text) = ended.await.unwrap();
    assert_eq!(status.code(), Some(0), "{text}");
    let first = text.lines().next().unwrap();
    assert!(first.ends_with(" #1 anna -- 192.0.2.25:25"), "{text}");
    assert!(text.contains(" C: AUTH PLAIN […]\n") && text.contains(" S: 235 2.7.0 […]\n"), "{text}");
    sim.until(super::support::simulation::secs(20), std::time::Duration::from_millis(20), async |_| {
        !hub.is_watched()
    })
    .await;
    drop(stop);
    serving.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_mail_and_its_outcome() {
    let upstream = Upstream::new(Script::default());
    let config = "data_dir = \"data\"\nhostname = \"relay.firm.example\"\n[[upstream]]\nname = \"main\"\ndefault = true\n\
        host = \"main\"\nsecurity = \"none\"\n";
    let mut sim = Simulation::new(config, &[("main", &upstream)]);
    let file = sim.dir.path().join("mailsluice.toml");
    std::fs::write(&file, config).unwrap();
    let attached = sim.dir.path().join("list.csv");
    std::fs::write(&attached, "a;b\n").unwrap();
    sim.start().await;
    let (stop, serving) = sim.control().serve(&sim.config.data_dir);
    let subject = "Grüße";
    let arguments = ["send", "--to", "b@dest.example", "--subject", subject, "--attach"];
    let sent = run(&file, &[&arguments[..], &[attached.to_str().unwrap()]].concat()).await;
    let (out, err) = said(&sent);
    assert_eq!((sent.status.code(), err.as_str()), (Some(0), ""), "{out}");
    let lines: Vec<&str> = out.lines().filter(|line| *line != "it is being sent").collect();
    assert!(lines[0].ends_with(" from postmaster@relay.firm.example is queued for main"), "{out}");
    assert_eq!(lines[1..], ["b@dest.example: sent: 250 2.0.0 queued as 42"]);
    let content = String::from_utf8(upstream.messages().remove(0).content).unwrap();
    assert!(
        content.contains("list.csv")
            && content.contains("This is a test of Mailsluice at relay.firm.example."),
        "{content}"
    );

    upstream.set(Script::default().with(Step::AnyRcpt, Act::reply(550, "5.1.1 nobody here")));
    let bounced = run(&file, &["send", "--to", "b@dest.example", "--from", "a@firm.example", "--json"]).await;
    let json: Value = serde_json::from_slice(&bounced.stdout).unwrap();
    assert_eq!((bounced.status.code(), &json["end"]), (Some(1), &"settled".into()), "{json}");
    assert_eq!(json["recipients"][0]["state"], "bounced");
    assert_eq!(json["recipients"][0]["reply"], "550 5.1.1 nobody here");

    upstream.set(Script::default().with(Step::AnyRcpt, Act::reply(451, "4.3.0 later")));
    let deferred = run(&file, &["send", "--to", "c@dest.example", "--timeout", "1s"]).await;
    let (out, err) = said(&deferred);
    assert_eq!(deferred.status.code(), Some(1), "{out}");
    assert!(out.contains("c@dest.example: deferred: 451 4.3.0 later; it is tried again at "), "{out}");
    assert!(
        err.starts_with("mailsluice: not sent yet, it stays in the queue: mailsluice queue show "),
        "{err}"
    );

    let mut command = Command::new(env!("CARGO_BIN_EXE_mailsluice"));
    command.arg("--config").arg(&file).args(["send", "--to", "d@dest.example"]).stdin(Stdio::null());
    let mut waiting = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let ended = tokio::task::spawn_blocking(move || {
        let mut first = String::new();
        std::io::BufRead::read_line(
            &mut std::io::BufReader::new(waiting.stdout.as_mut().unwrap()),
            &mut first,
        )
        .unwrap();
        let pid = rustix::process::Pid::from_child(&waiting);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        waiting.wait_with_output().unwrap()
    });
    let ended = ended.await.unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(
        said(&ended).1.starts_with("mailsluice: it stays in the queue: mailsluice queue show "),
        "{ended:?}"
    );
    let missing = run(&file, &["send", "--to", "d@dest.example", "--attach", "/no/such/file"]).await;
    assert!(said(&missing).1.contains("cannot read /no/such/file"), "{missing:?}");
    drop(stop);
    serving.await.unwrap();
}
