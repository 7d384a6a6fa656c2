//! The interface at the console's address: who comes in, by which names, with which role; paging, the log, health.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use mailsluice::control::{ConsoleSocket, SharedState, api};
use mailsluice::report::log::LineLayer;
use mailsluice::time::SystemClock;
use serde_json::{Value, json};
use tracing_subscriber::layer::SubscriberExt as _;

use super::Relay;

/// Whose hashes stand in the configuration of the tests.
pub(crate) const VIEWER: &str = "Bearer token-of-a-viewer";
const ADMIN: &str = "Bearer token-of-an-admin";

/// The interface of a relay at an address of its own.
pub(crate) struct Console {
    address: SocketAddr,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

impl Console {
    pub(crate) fn of(relay: &Relay) -> Self {
        let _inside = relay.runtime.enter();
        let socket = ConsoleSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.address().unwrap();
        relay.runtime.spawn(socket.serve(SharedState::new(relay.state.clone()), std::future::pending()));
        Self { address }
    }

    /// Sends a request, and leaves the answer to be read.
    fn begin(&self, request: &str, fields: &[(&str, &str)]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(stream, "{request} HTTP/1.1\r\nConnection: close\r\n").unwrap();
        if !fields.iter().any(|(name, _)| *name == "Host") {
            write!(stream, "Host: {}\r\n", self.address).unwrap();
        }
        for (name, value) in fields {
            write!(stream, "{name}: {value}\r\n").unwrap();
        }
        stream.write_all(b"\r\n").unwrap();
        stream
    }

    pub(crate) fn ask(&self, request: &str, fields: &[(&str, &str)]) -> Answer {
        let mut octets = Vec::new();
        self.begin(request, fields).read_to_end(&mut octets).unwrap();
        let text = String::from_utf8_lossy(&octets);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    pub(crate) fn get(&self, path: &str, token: &str) -> Answer {
        self.ask(&format!("GET {path}"), &[("Authorization", token)])
    }
}

/// The operations of the document: method, path with a name that nothing has, and the role that is needed.
fn operations() -> Vec<(String, String, Option<String>)> {
    let document = api::openapi();
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let path = path.replace("{id}", "01M8B598RBW1B5PE").replace("{name}", "nobody");
        for (method, operation) in methods.as_object().unwrap() {
            let role = operation["security"][0]["token"][0].as_str().map(str::to_owned);
            all.push((method.to_uppercase(), path.clone(), role));
        }
    }
    all
}

#[test]
fn nothing_is_open_but_health() {
    let relay = Relay::start();
    let console = Console::of(&relay);
    let mut open = Vec::new();
    for (method, path, role) in operations() {
        let request = format!("{method} {path}");
        let without = console.ask(&request, &[]);
        if role.is_none() {
            open.push(path);
            assert_eq!(without.status, 200, "{request}: {}", without.body);
            continue;
        }
        assert_eq!(without.status, 401, "{request}: {}", without.body);
        assert!(without.head.contains("www-authenticate: bearer"), "{}", without.head);
        assert!(without.head.contains("content-type: application/problem+json"), "{}", without.head);
        assert_eq!(without.json()["type"], "urn:mailsluice:problem:no-token");
        if role.as_deref() == Some("admin") {
            let as_viewer = console.ask(&request, &[("Authorization", VIEWER)]);
            assert_eq!(as_viewer.status, 403, "{request}: {}", as_viewer.body);
            assert_eq!(as_viewer.json()["type"], "urn:mailsluice:problem:wrong-role");
        }
    }
    assert_eq!(open, ["/healthz", "/readyz"]);
    assert_eq!(console.ask("GET /metrics", &[]).status, 401);
    // What is not there is told to nobody.
    for (path, token, want) in [("/", "", 401), ("/api/v1/nothing", "", 401), ("/", VIEWER, 404)] {
        assert_eq!(console.get(path, token).status, want, "{path}");
    }
    let wrong = console.ask("PATCH /api/v1/queue", &[("Authorization", ADMIN)]);
    assert_eq!(wrong.status, 405);
    assert!(wrong.head.contains("allow: get"), "{}", wrong.head);
}

#[test]
fn viewers_see_no_contents_and_admins_do() {
    let relay = Relay::start();
    let console = Console::of(&relay);
    let id = relay.enqueue(1, &["a@x.example"], true);
    for (token, subject, content) in [(VIEWER, json!(null), 403), (ADMIN, json!("x"), 200)] {
        let shown = console.get(&format!("/api/v1/queue/{id}"), token);
        assert_eq!((shown.status, &shown.json()["subject"]), (200, &subject), "{}", shown.body);
        for part in ["content", "export"] {
            let answer = console.get(&format!("/api/v1/queue/{id}/{part}"), token);
            assert_eq!(answer.status, content, "{part}: {}", answer.body);
            if content == 200 {
                assert!(answer.head.contains("content-type: message/rfc822"), "{}", answer.head);
                assert!(answer.body.contains("Subject: x"), "{}", answer.body);
                let name = format!("attachment; filename=\"{id}.eml\"").to_lowercase();
                assert_eq!(answer.head.contains(&name), part == "export", "{}", answer.head);
            }
        }
    }
    let exported = relay.command(&["queue", "export", id.as_str()]).output().unwrap();
    assert_eq!(exported.stdout, b"Subject: x\r\n\r\nhello\xff\r\n", "{exported:?}");
}

#[test]
fn a_wrong_token_waits_and_a_right_one_does_not() {
    let relay = Relay::start();
    let console = Console::of(&relay);
    let begun = std::time::Instant::now();
    let wrong = console.get("/api/v1/status", "Bearer guess");
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!((wrong.status, wrong.json()["status"].clone()), (401, json!(401)));
    assert_eq!(console.get("/api/v1/status", VIEWER).status, 200);
}

#[test]
fn other_names_and_other_sites_are_refused() {
    let relay = Relay::start();
    let console = Console::of(&relay);
    let token = ("Authorization", ADMIN);
    for (request, field, want, problem) in [
        ("GET /api/v1/status", ("Host", "evil.example"), 421, "wrong-host"),
        ("GET /healthz", ("Host", "evil.example"), 421, "wrong-host"),
        ("GET /api/v1/status", ("Host", "localhost:1"), 200, ""),
        ("GET /api/v1/status", ("Origin", "http://evil.example"), 200, ""),
        ("POST /api/v1/queue/retry", ("Origin", "http://evil.example"), 403, "cross-site"),
        ("POST /api/v1/queue/retry", ("Origin", "null"), 403, "cross-site"),
        ("POST /api/v1/queue/retry", ("Sec-Fetch-Site", "cross-site"), 403, "cross-site"),
        ("POST /api/v1/queue/retry", ("Sec-Fetch-Site", "same-origin"), 200, ""),
    ] {
        let answer = console.ask(request, &[token, field]);
        assert_eq!(answer.status, want, "{request} {field:?}: {}", answer.body);
        let kind = answer.json()["type"].as_str().map(str::to_owned);
        let want = Some(problem).filter(|name| !name.is_empty());
        assert_eq!(kind, want.map(|name| format!("urn:mailsluice:problem:{name}")), "{request} {field:?}");
    }
}

#[test]
fn the_queue_comes_page_by_page() {
    let relay = Relay::start();
    let console = Console::of(&relay);
    let ids: Vec<String> =
        (1..=5).map(|n| relay.enqueue(n, &["a@x.example"], n % 2 == 0).to_string()).collect();
    let mut target = "/api/v1/queue?limit=2&recipient=a%40x.example".to_owned();
    let (mut listed, mut pages) = (Vec::new(), 0);
    loop {
        let page = console.get(&target, VIEWER);
        listed.extend(
            page.json().as_array().unwrap().iter().map(|one| one["queue_id"].as_str().unwrap().to_owned()),
        );
        pages += 1;
        let link = page.head.lines().find_map(|line| line.strip_prefix("link: <"));
        match link.and_then(|link| link.split_once(">; rel=\"next\"")) {
            Some((next, _)) => target = next.to_owned(),
            None => break,
        }
    }
    assert_eq!((listed, pages), (ids, 3));
}

#[test]
fn something_is_done_to_all_that_fit() {
    let relay = Relay::start();
    let console = Console::of(&relay);
    for n in 1..=7 {
        relay.enqueue(n, &[if n < 5 { "a@x.example" } else { "b@x.example" }], false);
    }
    let bulk = |body: &Value| {
        let body = body.to_string();
        let length = body.len().to_string();
        let fields =
            [("Authorization", ADMIN), ("Content-Type", "application/json"), ("Content-Length", &length)];
        let mut stream = console.begin("POST /api/v1/queue/bulk", &fields);
        stream.write_all(body.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    let held = || relay.run(&["status", "--json"]).json()["queue"]["held"].clone();
    let nothing = bulk(&json!({ "action": "delete" }));
    assert!(nothing.starts_with("HTTP/1.1 400 ") && nothing.contains("all = true"), "{nothing}");
    let some = bulk(&json!({ "action": "hold", "filter": { "recipient": "A@x.example" } }));
    assert!(some.contains(r#"{"messages":4,"others":0,"done":true,"error":null}"#), "{some}");
    assert_eq!(held(), json!(4));
    let retried = bulk(&json!({ "action": "retry", "all": true }));
    assert!(retried.contains(r#"{"messages":3,"others":4,"done":true,"error":null}"#), "{retried}");
    let gone = bulk(&json!({ "action": "delete", "filter": { "state": "held" } }));
    assert!(gone.contains(r#"{"messages":4,"others":0,"done":true,"error":null}"#), "{gone}");
    assert_eq!(held(), json!(0));
    let by_command = |words: &[&str], want: &str| {
        let done = relay.run(&[&["queue"], words].concat());
        assert!(done.out.starts_with(want) || done.err.contains(want), "{words:?}: {done:?}");
    };
    by_command(&["hold", "--all", "--recipient", "b@x.example"], "Held 3 messages\n");
    by_command(
        &["retry", "--all", "--state", "held"],
        "Made due 0 messages; 3 messages are left as they are\n",
    );
    by_command(&["delete", "--all", "--state", "held"], "nothing was deleted: say --yes");
    by_command(&["delete", "--state", "held", "01M8B598RBW1B5PE"], "say --all with a filter");
    by_command(&["delete", "--all", "--yes"], "Deleted 3 messages\n");
}

/// The first event of a name, read from a log that goes on.
fn event(reader: &mut impl std::io::BufRead, name: &str) -> Value {
    let mut lines = reader.lines().map(Result::unwrap);
    lines.find(|line| *line == format!("event: {name}")).unwrap();
    let data = lines.next().unwrap();
    serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap()
}

#[test]
fn the_log_is_read_along() {
    let mut relay = Relay::start();
    let settings = relay.state.config.log;
    let (layer, log) = LineLayer::new(settings, Arc::new(SystemClock), std::io::sink());
    relay.state.events = log.feed();
    let console = Console::of(&relay);
    let mut readers = [VIEWER, ADMIN].map(|token| {
        let stream = console.begin("GET /api/v1/events", &[("Authorization", token)]);
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        // Whoever has the head of the answer misses nothing from then on.
        while !head.ends_with("\r\n\r\n") {
            reader.read_line(&mut head).unwrap();
        }
        assert!(head.contains("content-type: text/event-stream"), "{head}");
        reader
    });
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        tracing::info!(target: "mailsluice", event = "accepted", from = "a@b\n", subject = "hush");
    });
    for (reader, subject) in readers.iter_mut().zip([json!(null), json!("hush")]) {
        let event = event(reader, "accepted");
        assert_eq!((&event["from"], &event["subject"]), (&json!("a@b\n"), &subject), "{event}");
    }
}

#[test]
fn readiness_has_a_reason() {
    let relay = Relay::start();
    let console = Console::of(&relay);
    assert_eq!(console.ask("GET /healthz", &[]).json(), json!({ "status": "alive" }));
    assert_eq!(console.ask("GET /readyz", &[]).json(), json!({ "status": "ready" }));
    relay.run(&["upstream", "disable", "m365"]);
    let not = console.ask("GET /readyz", &[]);
    assert_eq!(not.status, 503);
    let detail = not.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("default upstream m365 is disabled: disabled by hand"), "{detail}");
    assert_eq!(console.ask("GET /healthz", &[]).status, 200);
    relay.run(&["upstream", "enable", "m365"]);
    assert_eq!(console.ask("GET /readyz", &[]).status, 200);
}

#[test]
fn status_answers_while_the_store_is_broken() {
    let relay = Relay::start();
    relay.enqueue(1, &["a@x.example"], false);
    let file = relay.state.config.data_dir.join("queue.db");
    rusqlite::Connection::open(file).unwrap().execute_batch("ALTER TABLE message RENAME TO gone").unwrap();
    let status = relay.run(&["status", "--json"]);
    let said = status.json();
    assert_eq!((&said["queue"], &said["totals"], &said["queued"]), (&json!(null), &json!(null), &json!(1)));
    assert_eq!(said["upstreams"][0]["name"], "m365");
    assert_eq!(said["listeners"][0]["address"], "127.0.0.1:2525");
    let fault = said["store_fault"].as_str().unwrap();
    assert!(fault.contains("no such table"), "{fault}");
    let person = said["needs_a_person"][0].as_str().unwrap();
    assert!(person.starts_with(&format!("store: {fault}: ")), "{person}");
    let shown = relay.run(&["status", "--check"]);
    assert_eq!(shown.status, Some(1));
    assert!(shown.out.contains("Queue: 1 message (the store can't be read)"), "{}", shown.out);
}
