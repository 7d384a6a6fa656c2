//! `mailsluice connect`, from the binary to a provider on this machine and to the store.

#![allow(clippy::unwrap_used, reason = "a test may stop where its world breaks")]
#![allow(clippy::disallowed_methods, reason = "a test writes where it likes")]

#[path = "support/token_server.rs"]
mod token_server;

use std::fs;
use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mailsluice::store::SignInStore as _;
use mailsluice::store::sqlite::{SqliteStore, Threading};
use mailsluice::time::SystemClock;
use token_server::{TokenServer, refusal, tokens};

/// A relay's folder whose sign-in is at a provider of our own.
struct Place {
    folder: tempfile::TempDir,
    server: TokenServer,
}

/// What a command left behind.
#[derive(Debug)]
struct Said {
    status: Option<i32>,
    out: String,
    err: String,
}

impl Place {
    /// `flow` is what differs in `[[oauth]]`.
    fn new(flow: &str, answers: impl IntoIterator<Item = (u16, serde_json::Value)>) -> Self {
        let server = TokenServer::start(answers);
        let place = Self { folder: tempfile::tempdir().unwrap(), server };
        let address = &place.server.address;
        let text = format!(
            "data_dir = \"data\"\nhostname = \"relay.firm.example\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
             [[upstream]]\nname = \"out\"\nhost = \"127.0.0.1\"\nport = 1\nsecurity = \"none\"\nuser = \"a@firm.example\"\noauth = \"own\"\n\
             [[oauth]]\nname = \"own\"\nclient_id = \"relay\"\n{}\n",
            flow.replace("SERVER", address)
        );
        fs::write(place.file(), text).unwrap();
        place
    }

    fn custom(flow: &str, answers: impl IntoIterator<Item = (u16, serde_json::Value)>) -> Self {
        let urls = "device_url = \"SERVER/device\"\nauthorize_url = \"SERVER/authorize\"\ntoken_url = \"SERVER/token\"";
        Self::new(
            &format!("provider = \"custom\"\nscope = \"mail offline_access\"\nflow = \"{flow}\"\n{urls}"),
            answers,
        )
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("mailsluice.toml")
    }

    fn start(&self, arguments: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_mailsluice"))
            .args(arguments)
            .arg("--config")
            .arg(self.file())
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Said {
        finish(self.start(arguments), String::new())
    }

    /// Who has signed in, as the store has it.
    fn stored(&self) -> Vec<(String, Option<String>)> {
        let store =
            SqliteStore::open(&self.folder.path().join("data"), 10, Threading::Caller, Arc::new(SystemClock));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let grants = runtime.block_on(store.unwrap().grants()).unwrap();
        grants.into_iter().map(|grant| (grant.sign_in, grant.account)).collect()
    }
}

fn finish(child: Child, mut out: String) -> Said {
    let output = child.wait_with_output().unwrap();
    out += &String::from_utf8(output.stdout).unwrap();
    let said = Said { status: output.status.code(), out, err: String::from_utf8(output.stderr).unwrap() };
    // Neither tokens nor codes are ever said.
    assert!(!format!("{said:?}").contains("canary"), "{said:?}");
    said
}

/// Reads what a command says up to a line with these words, which is given back.
fn read_to(reader: &mut impl std::io::BufRead, words: &str, out: &mut String) -> String {
    loop {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).unwrap() > 0, "it ended before {words:?}: {out}");
        out.push_str(&line);
        if line.contains(words) {
            return line.trim().to_owned();
        }
    }
}

fn parameter(url: &str, name: &str) -> String {
    let url = url::Url::parse(url).unwrap();
    url.query_pairs().find(|(key, _)| key == name).unwrap_or_else(|| panic!("{name} in {url}")).1.into_owned()
}

#[test]
fn a_device_code_while_the_relay_is_stopped() {
    let place =
        Place::custom("device_code", [refusal("authorization_pending", ""), tokens("A@firm.example")]);
    let said = place.run(&["connect"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    for words in ["/enter", "ABCD-EFGH", "a@firm.example", "Signed in as A@firm.example.", "mailsluice run"] {
        assert!(said.out.contains(words), "{words}: {said:?}");
    }
    assert_eq!(said.err, "", "it is the right account, and there is no terminal to count down on");
    assert_eq!(place.stored(), [("own".to_owned(), Some("A@firm.example".to_owned()))]);
    let asked = place.server.asked();
    assert_eq!(asked.iter().filter(|fields| fields.contains_key("device_code")).count(), 2);
    // Once more, as somebody else: the new one takes the place of the old one.
    let again = Place { server: TokenServer::start([tokens("b@firm.example")]), ..place };
    let text = fs::read_to_string(again.file()).unwrap();
    let old = text.split("device_url = \"").nth(1).unwrap().split("/device").next().unwrap().to_owned();
    fs::write(again.file(), text.replace(&old, &again.server.address)).unwrap();
    let said = again.run(&["connect", "OWN", "--json"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    let told: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        (&told["account"], &told["kept"], &told["sign_in"]),
        (&"b@firm.example".into(), &"store".into(), &"own".into())
    );
    assert!(
        said.err.contains("warning: b@firm.example has signed in, and a@firm.example is the mailbox"),
        "{said:?}"
    );
    assert_eq!(again.stored(), [("own".to_owned(), Some("b@firm.example".to_owned()))]);
}

#[test]
fn what_ends_a_device_code() {
    for (error, description, words) in [
        ("access_denied", "the person said no", "access_denied"),
        ("expired_token", "", "nobody has used the code in time"),
        ("invalid_client", "who is that", "check client_id"),
    ] {
        let place = Place::custom("device_code", [refusal(error, description)]);
        let said = place.run(&["connect", "own"]);
        assert_eq!(said.status, Some(1), "{said:?}");
        assert!(said.err.contains(words) && said.err.contains("nothing is stored"), "{said:?}");
        assert!(!place.folder.path().join("data").exists(), "{error}");
    }
}

#[test]
fn a_grant_without_a_refresh_token_is_none() {
    let (status, mut answer) = tokens("a@firm.example");
    answer.as_object_mut().unwrap().remove("refresh_token");
    let said = Place::custom("device_code", [(status, answer)]).run(&["connect"]);
    assert_eq!(said.status, Some(1), "{said:?}");
    assert!(said.err.contains("offline_access"), "{said:?}");
}

#[test]
fn a_browser_brings_a_code() {
    let place = Place::custom("authorization_code", [tokens("a@firm.example")]);
    let mut child = place.start(&["connect"]);
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut out = String::new();
    let url = read_to(&mut reader, "/authorize?", &mut out);
    let redirect = parameter(&url, "redirect_uri");
    assert_eq!(
        (parameter(&url, "code_challenge_method").as_str(), parameter(&url, "login_hint").as_str()),
        ("S256", "a@firm.example")
    );
    let visit = |query: &str| {
        let host = redirect.strip_prefix("http://").unwrap().trim_end_matches('/');
        let mut stream = TcpStream::connect(host).unwrap();
        write!(stream, "GET /?{query} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(visit("code=code-canary&state=made-up"), "400");
    assert_eq!(visit(&format!("code=code-canary&state={}", parameter(&url, "state"))), "200");
    reader.read_to_string(&mut out).unwrap();
    let said = finish(child, out);
    assert_eq!(said.status, Some(0), "{said:?}");
    let [exchange] = &place.server.asked()[..] else { panic!("{:?}", place.server.asked()) };
    assert_eq!(
        (exchange["code"].as_str(), exchange["redirect_uri"].as_str()),
        ("code-canary", redirect.as_str())
    );
    assert!(exchange["code_verifier"].len() >= 43, "{exchange:?}");
    assert_eq!(place.stored().len(), 1);
}

#[test]
fn an_address_is_pasted() {
    for (typed, status, words) in [
        ("REDIRECT?code=code-canary&state=STATE&session_state=x", 0, "Signed in as a@firm.example"),
        ("code-canary", 0, "Signed in as a@firm.example"),
        (
            "REDIRECT?code=code-canary&state=made-up\nREDIRECT?code=code-canary&state=STATE",
            0,
            "state is not ours",
        ),
        ("x y\nx y\nx y", 1, "nothing that was pasted was of use"),
        ("REDIRECT?error=access_denied&error_description=AADSTS65004&state=STATE", 1, "access_denied"),
        ("", 1, "nothing was pasted"),
    ] {
        let place = Place::custom("authorization_code", [tokens("a@firm.example")]);
        let mut child = place.start(&["connect", "--paste"]);
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        let mut out = String::new();
        let url = read_to(&mut reader, "/authorize?", &mut out);
        let typed = typed
            .replace("REDIRECT", &parameter(&url, "redirect_uri"))
            .replace("STATE", &parameter(&url, "state"));
        let mut stdin = child.stdin.take().unwrap();
        for line in typed.lines() {
            // When enough lines were no good, nobody reads the rest.
            let _ = writeln!(stdin, "{line}");
        }
        drop(stdin);
        reader.read_to_string(&mut out).unwrap();
        let said = finish(child, out);
        assert_eq!(said.status, Some(status), "{typed}: {said:?}");
        assert!(format!("{}{}", said.out, said.err).contains(words), "{typed}: {said:?}");
    }
}

#[test]
fn consent_is_missing() {
    for (error, description) in [
        ("invalid_grant", "AADSTS65001: The user or administrator has not consented to use the application"),
        ("invalid_grant", "AADSTS90094: An administrator of firm has set a policy"),
        ("consent_required", ""),
        ("interaction_required", ""),
    ] {
        let flow = "provider = \"microsoft\"\ntenant = \"firm.example\"\ndevice_url = \"SERVER/device\"\n\
                    token_url = \"SERVER/firm.example/oauth2/v2.0/token\"\nflow = \"device_code\"";
        let place = Place::new(flow, [refusal(error, description)]);
        let said = place.run(&["connect"]);
        assert_eq!(said.status, Some(1), "{said:?}");
        let link = format!("{}/firm.example/adminconsent?client_id=relay", place.server.address);
        assert!(said.err.contains(&link), "{error} {description}: {said:?}");
    }
}

#[test]
fn who_signs_in_alone_is_tried() {
    let flow = "client_credentials\"\nclient_secret = \"secret-canary";
    let place = Place::custom(flow, [tokens("")]);
    let said = place.run(&["connect"]);
    assert_eq!((said.status, said.out.contains("nobody has to sign in")), (Some(0), true), "{said:?}");
    assert!(!place.folder.path().join("data").exists(), "there is nothing to store");
    let wrong = Place::custom(flow, [refusal("invalid_client", "")]).run(&["connect"]);
    assert_eq!(
        (wrong.status, wrong.err.contains("check client_id and client_secret")),
        (Some(1), true),
        "{wrong:?}"
    );
}

#[test]
fn which_sign_in_is_meant() {
    let place = Place::custom("device_code", [tokens("a@firm.example")]);
    let text = fs::read_to_string(place.file()).unwrap();
    let unknown = place.run(&["connect", "other"]);
    assert_eq!((unknown.status, unknown.err.contains("own")), (Some(1), true), "{unknown:?}");
    let pasted = place.run(&["connect", "--paste"]);
    assert_eq!((pasted.status, pasted.err.contains("authorization_code")), (Some(2), true), "{pasted:?}");
    let second = "[[oauth]]\nname = \"two\"\nprovider = \"microsoft\"\ntenant = \"firm.example\"\n\
                  client_id = \"00000000-0000-0000-0000-000000000000\"\n";
    fs::write(place.file(), format!("{text}{second}")).unwrap();
    let several = place.run(&["connect"]);
    assert_eq!((several.status, several.err.contains("own, two")), (Some(2), true), "{several:?}");
    let unregistered = place.run(&["connect", "two"]);
    assert_eq!(
        (unregistered.status, unregistered.err.contains("connect two --script")),
        (Some(1), true),
        "{unregistered:?}"
    );
    let script = place.run(&["connect", "two", "--script"]);
    assert_eq!((script.status, script.out.contains("New-MgApplication")), (Some(0), true), "{script:?}");
    fs::write(
        place.file(),
        text.split("oauth = ").next().unwrap().replace("user = \"a@firm.example\"\n", ""),
    )
    .unwrap();
    let none = place.run(&["connect"]);
    assert_eq!((none.status, none.err.contains("[[oauth]]")), (Some(1), true), "{none:?}");
}

#[test]
fn a_relay_that_runs_has_it_at_once() {
    let place = Place::custom("device_code", [tokens("a@firm.example"), tokens("a@firm.example")]);
    let mut relay = place.start(&["run"]);
    let mut log = BufReader::new(relay.stdout.take().unwrap());
    let mut lines = String::new();
    read_to(&mut log, " started ", &mut lines);
    let text = fs::read_to_string(place.file()).unwrap();
    fs::write(place.file(), text.replace("client_id = \"relay\"", "client_id = \"another\"")).unwrap();
    let said = place.run(&["connect"]);
    assert_eq!((said.status, said.err.contains("mailsluice reload")), (Some(1), true), "{said:?}");
    fs::write(place.file(), text).unwrap();
    let said = place.run(&["connect"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    assert!(said.out.contains("the relay uses it at once"), "{said:?}");
    read_to(&mut log, " signed_in ", &mut lines);
    let pid = rustix::process::Pid::from_child(&relay);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let end = Instant::now() + Duration::from_secs(30);
    while relay.try_wait().unwrap().is_none() {
        assert!(Instant::now() < end, "the relay does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    log.read_to_string(&mut lines).unwrap();
    let said = finish(relay, lines);
    assert!(said.out.contains("a@firm.example"), "{said:?}");
    assert_eq!(place.stored(), [("own".to_owned(), Some("a@firm.example".to_owned()))]);
}
