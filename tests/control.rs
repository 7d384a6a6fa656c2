//! The commands that need a running relay, from the binary through the control socket to the store.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail by panic and writes plain files"
)]

#[path = "control/blacklist.rs"]
mod blacklist;
#[path = "control/captured.rs"]
mod captured;
#[path = "control/commands.rs"]
mod commands;
#[path = "control/console.rs"]
mod console;
#[path = "control/history.rs"]
mod history;
#[path = "control/metrics.rs"]
mod metrics;
#[path = "control/release.rs"]
mod release;
#[path = "support/switches.rs"]
mod switches;
#[path = "control/waits.rs"]
mod waits;

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mailsluice::account::{AccountServices, Accounts};
use mailsluice::alert::{AlertServices, Alerts};
use mailsluice::config::{Config, Machine, Window};
use mailsluice::control::{ApiState, ControlSocket, SharedState};
use mailsluice::lane::{LaneState, LaneStatuses, LimitWaits, Wakeups};
use mailsluice::limits::{AccountKey, Amount};
use mailsluice::mail::{Address, Body, MessageLabel, MessageRequest, QueueId, RecipientRequest, ReversePath};
use mailsluice::memory::MemoryBudget;
use mailsluice::oauth::{Resource, SignIns};
use mailsluice::policy::estimate::{Estimate, Sources};
use mailsluice::policy::test_mode::Switch;
use mailsluice::policy::tokens::ApiTokens;
use mailsluice::report::log::LogFeed;
use mailsluice::route::Router;
use mailsluice::smtp::InstanceId;
use mailsluice::store::sqlite::{SqliteStore, Threading};
use mailsluice::store::{
    Ask, Claimed, ClientInfo, Content, Decisions, Delivery, LaneName, MessageKind, NewMessage, NewPermit,
    NewRecipient, NewSuspension, PermitEnd, Permitted, Priority, RecipientState, Recipients, Settlement,
    Store, StoredLabel, SuspensionKind,
};
use mailsluice::time::SystemClock;
use mailsluice::transform::Transformer;
use mailsluice::upstream::{Mailbox, TcpDial};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

const CONFIG: &str = r#"
data_dir = "data"

[[api_token]]
name = "viewer"
hash = "sha256:1c63769b0d7ee5e46857e778cc82b14a55ef8622f7a391794d131816a22da17f"
role = "viewer"

[[api_token]]
name = "admin"
hash = "sha256:4d7146fd4925de0ee14cde707c64fd4df1bc994c22799d64ef69cdad1939213d"
role = "admin"

[[upstream]]
name = "m365"
host = "smtp.example.net"
default = true

[upstream.limits]
per_minute = { messages = 30 }

[[upstream]]
name = "off"
host = "smtp.example.org"
enabled = false
filter = ["off.example"]
"#;

/// The part of a relay that answers commands, on a store of its own.
struct Relay {
    folder: tempfile::TempDir,
    runtime: Runtime,
    state: ApiState,
    stop: Option<oneshot::Sender<()>>,
    served: Option<tokio::task::JoinHandle<()>>,
}

/// What a command left behind.
#[derive(Debug)]
struct Outcome {
    status: Option<i32>,
    out: String,
    err: String,
}

impl Outcome {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Relay {
    #[expect(clippy::too_many_lines, reason = "all parts of a relay, one after the other")]
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mailsluice.toml");
        std::fs::write(&file, CONFIG).unwrap();
        let config = Config::load(Some(&file), &Machine::bare(folder.path())).unwrap().config;
        let runtime = Runtime::new().unwrap();
        let clock = Arc::new(SystemClock);
        let store = SqliteStore::open(&config.data_dir, 1000, Threading::Writer, clock).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let test_mode = runtime.block_on(Switch::load(store.clone(), &config.test_mode)).unwrap();
        let timeline = store.timeline().clone();
        let config = Arc::new(config);
        let (router, wakeups) = (Arc::new(Router::new(&config)), Arc::new(Wakeups::default()));
        let sign_ins = Arc::new(SignIns::default());
        let services = AccountServices {
            store: store.clone(),
            timeline: timeline.clone(),
            wakeups: wakeups.clone(),
            dial: Arc::new(TcpDial::default()),
            instance: InstanceId::random(),
            sign_ins: sign_ins.clone(),
        };
        let accounts = Arc::new(Accounts::new(services, router.clone()));
        let mailbox = Arc::new(Mailbox::new(config.data_dir.join("captured"), 10));
        accounts.configure(&config, &[], &router, &mailbox);
        let statuses = Arc::new(LaneStatuses::default());
        let estimate = Estimate::new(Sources {
            store: store.clone(),
            timeline: timeline.clone(),
            accounts: accounts.clone(),
            statuses: statuses.clone(),
        });
        let tokens = Arc::new(ApiTokens::new(&config.api_tokens, timeline.clone()));
        let test_mode = Arc::new(test_mode);
        let requests = {
            let _inside = runtime.enter();
            switches::without_a_file(test_mode.clone())
        };
        let limit_waits = LimitWaits::default();
        let alert_services = AlertServices {
            store: store.clone(),
            timeline: timeline.clone(),
            accounts: accounts.clone(),
            sign_ins: sign_ins.clone(),
            statuses: statuses.clone(),
            limit_waits: limit_waits.clone(),
            wakeups: wakeups.clone(),
            http: sign_ins.http(),
        };
        let state = ApiState {
            alerts: Arc::new(Alerts::new(alert_services, config.clone(), router.clone())),
            limit_waits,
            outcomes: Arc::default(),
            memory: MemoryBudget::new(1 << 20),
            memory_out: MemoryBudget::new(1 << 20),
            metrics: Arc::default(),
            transformer: Arc::new(Transformer::new(&config, timeline.clone()).unwrap()),
            router,
            accounts,
            estimate: Arc::new(estimate),
            store,
            started: timeline.now(),
            timeline,
            config,
            is_running: true,
            version: "9.9.9",
            wakeups,
            statuses,
            sign_ins,
            test_mode,
            kept_switches: Arc::default(),
            requests,
            tokens,
            events: LogFeed::default(),
        };
        let (stop, stopped) = oneshot::channel();
        let socket = {
            let _inside = runtime.enter();
            ControlSocket::bind(&state.config.data_dir, None).unwrap()
        };
        let served =
            runtime.spawn(socket.serve(SharedState::new(state.clone()), async { drop(stopped.await) }));
        Self { folder, runtime, state, stop: Some(stop), served: Some(served) }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("mailsluice.toml")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailsluice"));
        command.arg("--config").arg(self.file()).args(arguments).env("TZ", "UTC").stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let output = self.command(arguments).output().unwrap();
        Outcome {
            status: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The whole answer to a request.
    fn post(&self, path: &str, body: &str) -> String {
        let mut stream = UnixStream::connect(self.state.config.data_dir.join("control.sock")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        let fields = format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{fields}{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Puts a message into the queue; `n` makes its name.
    fn enqueue(&self, n: u32, recipients: &[&str], held: bool) -> QueueId {
        self.enqueue_content(n, recipients, held, b"Subject: x\r\n\r\nhello\xff\r\n".to_vec())
    }

    fn enqueue_content(&self, n: u32, recipients: &[&str], held: bool, content: Vec<u8>) -> QueueId {
        let queue_id = QueueId::new(1_795_329_600_000 + i64::from(n), n);
        let recipient = |a: &&str| NewRecipient {
            address: Address::parse(a).unwrap(),
            dropped: false,
            copy: false,
            request: RecipientRequest::default(),
        };
        let message = NewMessage {
            queue_id: queue_id.clone(),
            kind: MessageKind::Submitted,
            priority: Priority::Normal,
            lane: LaneName::of_upstream("m365"),
            limit_wait: Duration::ZERO,
            delay: Duration::ZERO,
            reverse_path: ReversePath::Address(Address::parse("ERP@firm.example").unwrap()),
            sender: "erp@firm.example".to_owned(),
            body: Body::SevenBit,
            smtputf8: false,
            request: MessageRequest::default(),
            client: ClientInfo {
                address: "127.0.0.1".to_owned(),
                helo: "evil\u{1b}[2J\u{9b}".to_owned(),
                user: None,
                listener: "127.0.0.1:2525".to_owned(),
            },
            decisions: Decisions::default(),
            held,
            label: StoredLabel::new(&MessageLabel::of(&content), true),
            recipients: Recipients::new(recipients.iter().map(recipient).collect()).unwrap(),
            content: Content::memory(content),
        };
        self.runtime.block_on(self.state.store.enqueue(message)).unwrap();
        queue_id
    }

    /// Takes the one due message into an attempt; the settlement given back defers it by an hour.
    fn attempt(&self) -> Settlement {
        let ask = Ask {
            lane: LaneName::of_upstream("m365"),
            account: AccountKey::new("m365", ""),
            ceilings: Vec::new(),
            messages: 1,
            recipients_per_message: 100,
            unfit: Arc::default(),
            max_size: None,
        };
        let claimed = self.runtime.block_on(self.state.store.claim(ask)).unwrap();
        let Claimed::Messages { leased, .. } = claimed else { panic!("{claimed:?}") };
        let delivery = |index: u32| Delivery {
            index,
            state: RecipientState::Waiting,
            reply: "450 4.2.0 \u{1b}]0;busy".to_owned(),
            counts: true,
            failed: false,
            doubtful: false,
            again_in: Some(Duration::from_hours(1)),
            reached: false,
        };
        Settlement {
            lease: leased[0].lease,
            deliveries: leased[0].message.recipients.iter().map(|r| delivery(r.index)).collect(),
            counts: true,
            warned: false,
            hold: false,
            used: Some(Amount::of_message(1, 0)),
            reports: vec![],
            copy: None,
        }
    }

    /// Uses up the 30 messages of the minute.
    fn fill_the_minute(&self) {
        let one = Amount::of_message(1, 0);
        let ceilings = self.state.accounts.of("m365")[0].ceilings();
        loop {
            let permit = NewPermit {
                account: AccountKey::new("m365", ""),
                ceilings: ceilings.clone(),
                needed: one,
                recorded: 1,
            };
            let taken = self.runtime.block_on(self.state.store.take_permit(permit)).unwrap();
            let Permitted::Granted(permit) = taken else { return };
            let end = PermitEnd::without_message(permit, Some(one));
            self.runtime.block_on(self.state.store.end_permit(end)).unwrap();
        }
    }

    /// Nothing goes by the upstream, or by an account of it.
    fn suspend(&self, account: Option<&str>, kind: SuspensionKind, lasts: Option<Duration>, reason: &str) {
        let new = suspension(account, kind, lasts, reason);
        self.runtime.block_on(self.state.accounts.suspend(new)).unwrap();
    }

    fn settle(&self, settlement: Settlement) {
        self.runtime.block_on(self.state.store.settle(settlement)).unwrap();
    }
}

fn suspension(
    account: Option<&str>,
    kind: SuspensionKind,
    lasts: Option<Duration>,
    reason: &str,
) -> NewSuspension {
    let account = account.map(str::to_owned);
    NewSuspension {
        upstream: "m365".to_owned(),
        account,
        kind,
        lasts,
        login: None,
        reason: reason.to_owned(),
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(served) = self.served.take() {
            let ended =
                self.runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), served).await });
            assert!(ended.is_ok() || std::thread::panicking(), "the control socket did not stop");
        }
    }
}

#[test]
fn the_queue_is_shown_retried_and_deleted() {
    let relay = Relay::start();
    assert_eq!(relay.run(&["queue", "list", "--json"]).json(), json!([]));
    assert_eq!(relay.run(&["queue", "list"]).out, "Nothing in the queue.\n");

    let id = relay.enqueue(1, &["a@x.example", "b@x.example"], false).to_string();
    relay.settle(relay.attempt());
    let list = relay.run(&["--json", "queue", "list", "--sender", "erp@FIRM.example", "--state", "deferred"]);
    let entry = &list.json()[0];
    let keys: Vec<&str> = entry.as_object().unwrap().keys().map(String::as_str).collect();
    let mut contract = [
        "queue_id",
        "state",
        "from",
        "to",
        "size",
        "user",
        "client",
        "upstream",
        "accepted_at",
        "next_attempt",
        "eta",
        "waiting_for",
        "test_mode",
    ];
    contract.sort_unstable();
    assert_eq!(keys, contract);
    assert_eq!(entry["queue_id"], json!(id));
    assert_eq!(entry["waiting_for"], json!("retry"));
    assert_eq!(entry["from"], json!("ERP@firm.example"));
    let recipient = json!({
        "address": "a@x.example", "state": "waiting", "attempts": 1, "reply": "450 4.2.0 \u{1b}]0;busy"
    });
    assert_eq!(entry["to"][0], recipient);
    assert!(entry["next_attempt"].as_str().unwrap().ends_with('Z'), "{entry}");

    for arguments in [&["queue", "list"][..], &["queue", "show", &id], &["queue", "show", &id, "--json"]] {
        let shown = relay.run(arguments);
        assert_eq!(shown.status, Some(0), "{shown:?}");
        assert!(shown.out.contains("450 4.2.0 \\u001b]0;busy"), "{shown:?}");
        assert!(!shown.out.contains(['\u{1b}', '\u{9b}']), "nothing may act on the terminal: {shown:?}");
    }
    let content = relay.command(&["queue", "show", &id, "--content"]).output().unwrap();
    assert_eq!(content.stdout, b"Subject: x\r\n\r\nhello\xff\r\n");

    assert_eq!(relay.run(&["queue", "retry", &id.to_lowercase()]).out, format!("{id} is due now\n"));
    assert_eq!(relay.run(&["queue", "list", "--json"]).json()[0]["state"], json!("deferred"));
    assert_eq!(relay.run(&["queue", "retry", "--all", "--json"]).status, Some(0));
    assert_eq!(
        relay.run(&["queue", "delete", &id, "--json"]).json(),
        json!([{"queue_id": id, "outcome": "deleted"}])
    );
    assert_eq!(relay.run(&["status", "--json"]).json()["totals"]["deleted"], json!(2));
}

#[test]
fn what_is_not_there_is_a_failure_that_says_so() {
    let relay = Relay::start();
    let id = relay.enqueue(1, &["a@x.example"], false).to_string();
    let unknown = "0000000000000000";
    for (arguments, told) in [
        (&["queue", "show", unknown][..], "is neither in the queue nor in the history"),
        (&["queue", "show", unknown, "--content"], "is not in the queue"),
        (&["queue", "retry", unknown], "is not in the queue"),
        (&["queue", "list", "--upstream", "nobody"], "there is no upstream nobody: there is m365, off"),
        (&["limits", "show", "nobody"], "there is no upstream nobody: there is m365, off"),
        (&["limits", "reset", "nobody"], "there is no upstream nobody"),
        (&["upstream", "enable", "nobody"], "there is no upstream nobody"),
        (&["upstream", "disable", "nobody"], "there is no upstream nobody"),
        (&["upstream", "default", "nobody"], "there is no upstream nobody"),
        (&["blacklist", "remove", "x@y"], "x@y is not on the blacklist"),
        (&["test-mode", "on"], "there is no test address"),
    ] {
        let outcome = relay.run(arguments);
        assert_eq!(outcome.status, Some(1), "{arguments:?} {outcome:?}");
        assert!(outcome.err.contains(told), "{arguments:?} {outcome:?}");
        assert_eq!(outcome.out, "", "{arguments:?}");
    }
    let mixed = relay.run(&["queue", "delete", unknown, &id]);
    assert_eq!(
        (mixed.status, mixed.out),
        (Some(1), format!("{id} is deleted\n")),
        "the others are done all the same"
    );
}

#[test]
fn what_is_written_wrong_is_wrong_use() {
    let relay = Relay::start();
    let id = "a queue id has 16 characters";
    let pattern = "write local@domain, @domain or *.domain";
    for (arguments, told) in [
        (&["queue", "show", "../../status"][..], id),
        (&["queue", "show", ""], id),
        (&["queue", "show", "", "--content"], id),
        (&["queue", "retry", "0000000000000000", "x"], id),
        (&["queue", "hold", "x"], id),
        (&["queue", "release", "x", "--to", "test"], id),
        (&["queue", "delete", "000000000000000U"], id),
        (&["queue", "list", "--sender", "anna"], "anna is no address: the address has no domain"),
        (&["queue", "list", "--recipient", "a b@x.example"], "a b@x.example is no address: the local part"),
        (&["queue", "list", "--recipient", ""], "is no address"),
        (&["blacklist", "add", "x"], pattern),
        (&["blacklist", "add", ""], pattern),
        (&["blacklist", "remove", "@"], pattern),
        (&["blacklist", "check", "x"], pattern),
        (&["blacklist", "check", "*.@x"], pattern),
        (&["blacklist", "add", "x@y", "--expires", "soon"], "the expiry is not understood"),
        (&["blacklist", "add", "x@y", "--reason", "two\nlines"], "the reason must be one line"),
        (&["test-mode", "on", "--address", "me"], "the address has no domain"),
    ] {
        let outcome = relay.run(arguments);
        assert_eq!(outcome.status, Some(2), "{arguments:?} {outcome:?}");
        assert!(outcome.err.contains(told), "{arguments:?} {outcome:?}");
        assert_eq!(outcome.out, "", "{arguments:?}");
    }
    let reports = relay.run(&["queue", "list", "--sender", "<>"]);
    assert_eq!((reports.status, reports.out.as_str()), (Some(0), "Nothing in the queue.\n"), "{reports:?}");
}

#[test]
fn a_domain_is_checked_against_the_blacklist() {
    let relay = Relay::start();
    for entry in ["@spam.example", "*.bulk.example", "joe@firm.example"] {
        assert_eq!(relay.run(&["blacklist", "add", entry]).status, Some(0), "{entry}");
    }
    for (asked, listed) in [
        ("@Spam.Example", Some("@spam.example")),
        ("@a.spam.example", None),
        ("*.spam.example", None),
        ("@a.bulk.example", Some("*.bulk.example")),
        ("@bulk.example", None),
        ("*.bulk.example", Some("*.bulk.example")),
        ("*.a.bulk.example", Some("*.bulk.example")),
        ("@firm.example", None),
        ("joe@firm.example", Some("joe@firm.example")),
        ("x@a.bulk.example", Some("*.bulk.example")),
    ] {
        let checked = relay.run(&["blacklist", "check", asked, "--json"]);
        let entry = checked.json()["entry"]["address"].clone();
        assert_eq!(entry.as_str(), listed, "{asked}");
        assert_eq!(checked.status, Some(i32::from(listed.is_none())), "{asked}");
    }
}

#[test]
fn a_message_that_is_being_sent_is_waited_for() {
    let relay = Relay::start();
    let id = relay.enqueue(1, &["a@x.example"], false).to_string();
    let settlement = relay.attempt();
    assert_eq!(relay.run(&["queue", "list", "--json"]).json()[0]["state"], json!("sending"));
    let begun = Instant::now();
    let mut retry = relay.command(&["queue", "delete", &id]).stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(400));
    assert!(retry.try_wait().unwrap().is_none(), "it must not end before the attempt");
    relay.settle(settlement);
    assert!(retry.wait().unwrap().success());
    assert!(begun.elapsed() < Duration::from_secs(10));
    let mut out = String::new();
    retry.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(out, format!("{id} is deleted\n"));
}

#[test]
fn the_list_tells_what_each_message_waits_for() {
    let relay = Relay::start();
    relay.enqueue(1, &["a@x.example"], false);
    let soon = relay.state.timeline.now().after(Duration::from_secs(90));
    let reason = || "no answer".to_owned();
    let m365 = LaneName::of_upstream("m365");
    for (lane, want, next) in [
        (LaneState::Up, Value::Null, true),
        (LaneState::Down { reason: reason(), until: Some(soon) }, json!("connection"), true),
        (LaneState::Limited { reason: reason(), until: Some(soon) }, json!("limit"), true),
        (LaneState::Disabled { reason: reason(), until: None }, json!("disabled"), false),
        (LaneState::SignIn { reason: reason(), until: None, action: None }, json!("sign_in"), false),
        (LaneState::SignIn { reason: reason(), until: Some(soon), action: None }, json!("sign_in"), true),
    ] {
        relay.state.statuses.set(&m365, lane);
        let entry = relay.run(&["queue", "list", "--json"]).json()[0].clone();
        assert_eq!((&entry["waiting_for"], entry["next_attempt"].is_string()), (&want, next), "{entry}");
    }
    let down = LaneState::Down { reason: reason(), until: Some(soon) };
    relay.state.statuses.set_via(&m365, down, "off");
    relay.suspend(None, SuspensionKind::Stopped, None, "no answer");
    let text = relay.run(&["queue", "list"]).out;
    assert!(text.contains("m365 is disabled: no answer; its mail takes the fallback off\n"), "{text}");
    let entry = relay.run(&["queue", "list", "--json"]).json()[0].clone();
    assert_eq!(entry["waiting_for"], Value::Null, "it takes the fallback: {entry}");
    let shown = relay.run(&["queue", "show", entry["queue_id"].as_str().unwrap(), "--json"]).json();
    assert_eq!((&shown["upstream_reason"], &shown["fallback"]), (&json!("no answer"), &json!("off")));
    relay.enqueue(2, &["b@x.example"], true);
    let held = relay.run(&["queue", "list", "--json", "--state", "held"]).json();
    assert_eq!(held[0]["waiting_for"], json!("release"));
    let id = held[0]["queue_id"].as_str().unwrap().to_owned();
    let retry = relay.run(&["queue", "retry", &id]);
    assert!(retry.status == Some(1) && retry.err.contains("is held"), "{retry:?}");
}

#[test]
fn the_blacklist_and_the_switches_are_kept() {
    let relay = Relay::start();
    let add = ["blacklist", "add", "*.Spam.example", "--reason", "never again", "--expires", "36h"];
    assert_eq!(relay.run(&add).status, Some(0));
    let list = relay.run(&["blacklist", "list", "--json"]).json();
    assert_eq!((&list[0]["address"], &list[0]["reason"]), (&json!("*.spam.example"), &json!("never again")));
    assert!(list[0]["expires_at"].is_string());
    let listed = relay.run(&["blacklist", "check", "Joe@a.spam.example"]);
    assert!(listed.status == Some(0) && listed.out.contains("never again"), "{listed:?}");
    let unlisted = relay.run(&["blacklist", "check", "joe+x@spam.example"]);
    assert_eq!(
        (unlisted.status, unlisted.out.as_str()),
        (Some(1), "joe+x@spam.example is not on the blacklist\n")
    );
    assert_eq!(relay.run(&["blacklist", "remove", "*.spam.EXAMPLE"]).status, Some(0));

    let on = relay.run(&["test-mode", "on", "--address", "test@firm.example"]);
    assert!(on.out.starts_with("Test mode: ON, all mail goes to test@firm.example"), "{on:?}");
    assert_eq!(relay.run(&["test-mode", "status", "--json"]).json()["enabled"], json!(true));
    assert_eq!(relay.run(&["test-mode", "off", "--json"]).json()["enabled"], json!(false));
}

#[test]
fn limits_are_shown_and_reset() {
    let relay = Relay::start();
    relay.fill_the_minute();
    let show = relay.run(&["limits", "show", "m365", "--json"]).json();
    let minute = show.as_array().unwrap().iter().find(|l| l["window"] == "minute").unwrap();
    assert_eq!(minute["messages"], json!({"used": 30, "limit": 30}));
    assert!(minute["next_free"].is_string(), "{minute}");
    assert!(relay.run(&["limits", "show"]).out.contains("30 of 30"));
    let reset = relay.run(&["limits", "reset", "m365", "--window", "minute,hour", "--json"]).json();
    let used = |window: &str| {
        let line = reset.as_array().unwrap().iter().find(|l| l["window"] == window).unwrap();
        line["messages"]["used"].clone()
    };
    assert_eq!((used("minute"), used("hour"), used("day")), (json!(0), json!(0), json!(30)));
}

#[test]
fn a_reset_ends_pauses_says_what_it_forgot_and_holds_over_a_restart() {
    let relay = Relay::start();
    relay.enqueue(1, &["a@x.example"], false);
    relay.settle(relay.attempt());
    relay.fill_the_minute();
    let why = "the tenant's quota is used up";
    relay.suspend(None, SuspensionKind::Paused, Some(Duration::from_hours(3)), why);
    let disabled = suspension(None, SuspensionKind::Disabled, None, why);
    let store = &relay.state.store;
    relay.runtime.block_on(store.suspend(disabled)).unwrap();
    let show = relay.run(&["limits", "show", "m365", "--json"]).json();
    let shared = show.as_array().unwrap().iter().find(|l| l["account"] == "*").unwrap();
    assert_eq!(shared["reason"], json!("a pause: the tenant's quota is used up"));
    let text = relay.run(&["limits", "show"]).out;
    assert!(text.contains("all together") && text.contains("    a pause: the tenant's quota"), "{text}");
    assert_eq!(relay.run(&["upstream", "list", "--json"]).json()[0]["state"], json!("limited"));

    let reset = relay.run(&["limits", "reset", "m365"]).out;
    for told in [
        "Forgot without a login: 30 messages in the last minute\n",
        "Forgot all together: a pause: the tenant's quota is used up\n",
    ] {
        assert!(reset.contains(told), "{reset}");
    }
    assert_eq!(relay.run(&["upstream", "list", "--json"]).json()[0]["state"], json!("up"));
    // What the next process reads.
    let account = AccountKey::new("m365", "");
    let (usage, suspensions) = relay.runtime.block_on(async {
        (store.usage(account.scopes().to_vec()).await.unwrap(), store.suspensions().await.unwrap())
    });
    for counts in usage {
        for window in Window::NAMED {
            assert_eq!(counts.first_departure(window, relay.state.timeline.now()), None);
        }
    }
    let kinds: Vec<_> = suspensions.iter().map(|s| (s.kind, s.account.clone(), s.until)).collect();
    assert_eq!(kinds, [(SuspensionKind::Disabled, None, None)], "a reset enables nothing");
}

#[test]
fn an_upstream_is_switched_off_and_on_and_stays_so() {
    let relay = Relay::start();
    relay.enqueue(1, &["a@x.example"], false);
    relay.settle(relay.attempt());
    let list = relay.run(&["upstream", "list", "--json"]).json();
    let one = &list[0];
    let contract = ["default", "host", "name", "port", "reason", "state"].map(|key| one[key].clone());
    let want = [json!(true), json!("smtp.example.net"), json!("m365"), json!(587), Value::Null, json!("up")];
    assert_eq!(contract, want, "{one}");
    assert_eq!(list[1]["state"], json!("disabled"));
    assert_eq!(list[1]["reason"], json!("enabled = false in the configuration"));

    let off = relay.run(&["upstream", "disable", "m365", "--json"]).json();
    assert_eq!((&off["state"], &off["reason"]), (&json!("disabled"), &json!("disabled by hand")));
    assert_eq!(off["accounts"][0]["state"], json!("disabled"));
    let again = relay.run(&["upstream", "disable", "m365"]);
    assert!(again.status == Some(0) && again.out.contains("    disabled by hand\n"), "{again:?}");
    let suspensions = || relay.runtime.block_on(relay.state.store.suspensions()).unwrap();
    let kinds: Vec<_> = suspensions().iter().map(|s| (s.kind, s.account.clone())).collect();
    assert_eq!(kinds, [(SuspensionKind::Disabled, None)], "it must last");

    // What the relay has stopped by itself is enabled as well.
    relay.suspend(Some(""), SuspensionKind::Stopped, None, "535 wrong password");
    let on = relay.run(&["upstream", "enable", "m365", "--json"]).json();
    assert_eq!((&on["state"], &on["reason"]), (&json!("up"), &Value::Null));
    assert_eq!(suspensions(), []);
    let next = relay.run(&["queue", "list", "--json"]).json()[0]["next_attempt"].clone();
    let next: jiff::Timestamp = next.as_str().unwrap().parse().unwrap();
    assert!(next > jiff::Timestamp::now(), "what rests for its own sake keeps its time");
}

#[test]
fn the_queue_tells_when_mail_will_probably_go() {
    let relay = Relay::start();
    relay.fill_the_minute();
    for n in 1..=40 {
        relay.enqueue(n, &["a@x.example"], false);
    }
    let held = relay.enqueue(41, &["a@x.example"], true);
    let seconds = |eta: &Value| {
        let eta: jiff::Timestamp = eta.as_str().unwrap().parse().unwrap();
        (eta.as_millisecond() - relay.state.timeline.wall().as_millisecond()) / 1000
    };
    let list = relay.run(&["queue", "list", "--json"]).json();
    for (line, least, most) in [(0, 30, 61), (29, 30, 61), (30, 90, 122), (39, 90, 122)] {
        let entry = &list[line];
        assert!((least..=most).contains(&seconds(&entry["eta"])), "{line}: {entry}");
        let shown = relay.run(&["queue", "show", entry["queue_id"].as_str().unwrap(), "--json"]).json();
        assert!((seconds(&shown["eta"]) - seconds(&entry["eta"])).abs() <= 2, "{shown} {entry}");
    }
    assert_eq!(list[40]["queue_id"], json!(held.to_string()));
    assert_eq!(list[40]["eta"], Value::Null, "nobody knows when it is released");
    assert!(relay.run(&["queue", "list"]).out.contains("GOES ABOUT"));
    let disabled = LaneState::Disabled { reason: "off".to_owned(), until: None };
    relay.state.statuses.set(&LaneName::of_upstream("m365"), disabled);
    assert_eq!(relay.run(&["queue", "list", "--json"]).json()[0]["eta"], Value::Null);
}

#[test]
fn status_has_what_the_contract_names() {
    let relay = Relay::start();
    relay.enqueue(1, &["a@x.example", "b@x.example"], false);
    let status = relay.run(&["status", "--json"]).json();
    assert_eq!(status["version"], json!("9.9.9"));
    assert_eq!(status["queue"], json!({"ready": 1, "deferred": 0, "held": 0, "sending": 0}));
    assert_eq!(status["totals"]["accepted"], json!(2));
    assert_eq!(status["totals"]["queued"], json!(2));
    assert_eq!(status["upstreams"][0]["name"], json!("m365"));
    assert_eq!(status["upstreams"][0]["state"], json!("up"));
    assert_eq!(
        status["listeners"],
        json!([{"address": "127.0.0.1:2525", "relay_from": ["127.0.0.0/8", "::1/128"], "tls": "none", "auth": "none"}])
    );
    assert!(status["uptime"].is_u64() && status["test_mode"].is_object());
    let text = relay.run(&["status"]).out;
    assert!(text.contains("Queue: 1 message (ready 1, deferred 0, held 0, sending 0)"), "{text}");
    assert!(text.contains("30 of 30 messages a minute"), "{text}");
    assert!(!text.contains("DIFFER"), "{text}");
}

#[test]
fn without_a_relay_the_command_says_how_to_start_one() {
    let mut relay = Relay::start();
    let socket = relay.state.config.data_dir.join("control.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    drop(relay.stop.take());
    relay.runtime.block_on(relay.served.take().unwrap()).unwrap();
    assert!(!socket.exists());
    // Its store is still open, as in a relay that is on its way down.
    let outcome = relay.run(&["status"]);
    let want = "mailsluice: the relay is stopping (or starting): try again in a moment\n";
    assert_eq!((outcome.status, outcome.err.as_str()), (Some(1), want));
    std::fs::remove_file(socket.with_file_name("lock")).unwrap();
    let outcome = relay.run(&["reload"]);
    let want = format!(
        "mailsluice: cannot reach the relay at {}: is it running? start it with: mailsluice run (one that was \
         started with another data_dir is found by --data-dir)\n",
        socket.display()
    );
    assert_eq!((outcome.status, outcome.err), (Some(1), want));
}

#[test]
fn check_tells_faults_and_exits_with_2() {
    let relay = Relay::start();
    let good = relay.run(&["check"]);
    assert_eq!(
        (good.status, good.out),
        (Some(0), format!("{}: ok\n", relay.file().display())),
        "{}",
        good.err
    );
    let key = "\n[[dkim]]\ndomain = \"firm.example\"\nselector = \"s\"\nkey = \"-----BEGIN PRIVATE KEY-----\\nAAAA\\n-----END PRIVATE KEY-----\\n\"\n";
    for fault in ["\nhostnam = \"x\"\n[log]\nlevel = \"loud\"\n", key] {
        std::fs::write(relay.file(), format!("{CONFIG}{fault}")).unwrap();
        let bad = relay.run(&["check"]);
        assert_eq!((bad.status, bad.out.as_str()), (Some(2), ""), "{bad:?}");
        assert!(!bad.err.is_empty());
        for line in bad.err.lines() {
            assert!(line.starts_with(&relay.file().display().to_string()), "{line}");
            let place: Vec<&str> = line.split(':').skip(1).take(2).collect();
            let [row, column] = place[..] else { panic!("{line}") };
            assert!(row.parse::<u32>().unwrap() > 10 && column.parse::<u32>().is_ok(), "{line}");
        }
        let run = relay.run(&["run"]);
        assert_eq!((run.status, run.out, run.err), (Some(2), String::new(), bad.err.clone()), "check is run");
        let told = relay.run(&["--json", "check"]);
        assert_eq!((told.status, told.err.as_str()), (Some(2), ""));
        let (told, file) = (told.json(), relay.file().display().to_string());
        assert_eq!((&told["ok"], &told["file"]), (&json!(false), &json!(file)));
        assert!(told["warnings"].as_array().unwrap().iter().all(|warning| warning["file"] == json!(file)));
        let line = |fault: &Value| {
            let text = |key: &str| fault[key].as_str().unwrap().to_owned();
            let (line, column) = (&fault["line"], &fault["column"]);
            format!(
                "{}:{line}:{column}: {}: {}: {}",
                text("file"),
                text("key"),
                text("text"),
                text("instead")
            )
        };
        let faults: Vec<String> = told["faults"].as_array().unwrap().iter().map(line).collect();
        assert_eq!(faults, bad.err.lines().collect::<Vec<_>>());
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let relay = Relay::start();
    for n in 0..300 {
        relay.enqueue(n, &["a@x.example"], false);
    }
    // More than a pipe holds, and nobody ever reads: the write fails.
    let mut list = relay.command(&["queue", "list", "--json"]);
    let mut child = list.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let status = child.wait().unwrap();
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((status.code(), err.as_str()), (Some(0), ""));
}

#[test]
fn a_wrong_request_gets_a_fitting_status_and_an_error_in_json() {
    let relay = Relay::start();
    let socket = relay.state.config.data_dir.join("control.sock");
    let huge = format!("{{\"address\": \"{}\"}}", "x".repeat(70_000));
    for (method, path, body, want) in [
        ("GET", "/api/v1/nothing", "", "404"),
        ("GET", "/", "", "404"),
        ("PATCH", "/api/v1/queue", "", "405"),
        ("POST", "/api/v1/blacklist", "{", "400"),
        ("POST", "/api/v1/blacklist", "{\"adress\": \"a@b\"}", "400"),
        ("POST", "/api/v1/blacklist", &huge, "413"),
        ("GET", "/api/v1/queue?state=lost", "", "400"),
        ("GET", "/api/v1/queue?colour=red", "", "400"),
        ("GET", "/api/v1/queue/%ff", "", "400"),
        ("GET", "/api/v1/blacklist/check?address=x", "", "400"),
        ("PUT", "/api/v1/test-mode", "{\"enabled\": true, \"action\": \"burn\"}", "400"),
        ("GET", "/api/v1/upstreams/m365/enable", "", "405"),
        ("POST", "/api/v1/upstreams/nobody/disable", "", "404"),
        ("GET", "/api/v1/upstreams/m365/default", "", "405"),
        ("POST", "/api/v1/upstreams/nobody/default", "", "404"),
        // There is no test address.
        ("PUT", "/api/v1/test-mode", "{\"enabled\": true, \"action\": \"redirect\"}", "409"),
        ("POST", "/api/v1/limits/reset", "{\"upstream\": \"m365\", \"windows\": [\"year\"]}", "400"),
    ] {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        let fields = format!("Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
        // The relay may answer, and close, before it has read all of a body that is too large.
        let _ = stream.write_all(format!("{head}{fields}{body}").as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {want} ")), "{method} {path}: {answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let error: Value = serde_json::from_str(body).unwrap();
        assert!(answer.contains("content-type: application/problem+json\r\n"), "{answer}");
        let texts = ["type", "title", "detail"].map(|key| error[key].as_str().unwrap_or_default());
        assert!(texts.iter().all(|text| !text.is_empty()), "{method} {path}: {answer}");
        assert_eq!(error["status"].to_string(), want, "{method} {path}");
    }
}
