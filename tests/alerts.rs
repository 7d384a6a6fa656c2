//! Alerts, from the trouble to the webhook and the administrator's mailbox: each trouble once, and once when it is over. Real store
//! and lanes, scripted upstreams, a webhook that writes down what it is posted; time is simulated.

#![allow(clippy::unwrap_used, reason = "a test may stop where its world breaks")]

mod support;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use http::{Request, Response};
use mailsluice::alert::AlertChannel;
use mailsluice::oauth::SignIns;
use mailsluice::store::{NewBlacklistEntry, SuspensionKind};
use mailsluice::web::{HttpClient, HttpError, HttpTerms};
use serde_json::{Value, json};
use support::simulation::{Simulation, secs};
use support::upstream::{Act, Script, Step, Upstream, Whose};
use tokio::time::sleep;

const FROM: &str = "a@firm.example";
const ADMIN: &str = "it@firm.example";
const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;
const REFUSED: &str = "5.7.8 authentication failed";

/// A webhook: it writes down what it is posted.
#[derive(Default)]
struct Hook {
    posted: Mutex<Vec<Value>>,
}

#[async_trait]
impl HttpClient for Hook {
    async fn send(
        &self,
        request: Request<Vec<u8>>,
        _: &HttpTerms<'_>,
    ) -> Result<Response<Vec<u8>>, HttpError> {
        assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/hush"));
        assert_eq!(request.headers()["content-type"], "application/json");
        self.posted.lock().unwrap().push(serde_json::from_slice(request.body()).unwrap());
        Ok(Response::builder().status(204).body(Vec::new()).unwrap())
    }
}

struct World {
    sim: Simulation,
    hook: Arc<Hook>,
    main: Upstream,
    backup: Upstream,
}

/// Two upstreams, and everything that alerts can do without a program.
fn toml(alert: &str) -> String {
    format!(
        "hostname = \"relay.firm.example\"\n\
         [queue]\nretry_min = \"1m\"\nretry_max = \"10m\"\nexpire_after = \"90d\"\nwarn_after = \"never\"\nmin_free_disk = \"0B\"\n\
         [blacklist]\nauto_add = false\n\
         [alert]\nmail_to = [\"{ADMIN}\"]\nwebhook = \"https://hooks.firm.example/hush\"\n{alert}\n\
         [[upstream]]\nname = \"main\"\ndefault = true\nhost = \"up\"\nsecurity = \"none\"\nallow_plaintext_auth = true\n\
         user = \"anna\"\npassword = \"secret\"\n\
         [[upstream]]\nname = \"backup\"\nhost = \"backup\"\nfilter = [\"backup.example\"]\nsecurity = \"none\"\n"
    )
}

impl World {
    async fn start(alert: &str) -> Self {
        let main = Upstream::new(Script::default().with_login("PLAIN"));
        let backup = Upstream::new(Script::default());
        let mut sim = Simulation::new(&toml(alert), &[("up", &main), ("backup", &backup)]);
        let hook = Arc::new(Hook::default());
        sim.sign_ins = Arc::new(SignIns::new(hook.clone()));
        sim.start().await;
        Self { sim, hook, main, backup }
    }

    /// What the webhook was posted, each once: event, cause, upstream.
    fn posted(&self) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let posted = self.hook.posted.lock().unwrap();
        let short = |one: &Value| [&one["event"], &one["cause"], &one["upstream"]].map(text).join(" ");
        posted.iter().map(short).collect()
    }

    /// The subjects of the mail that administrators got by an upstream.
    fn mailed(upstream: &Upstream) -> Vec<String> {
        let all = upstream.messages().into_iter().filter(|seen| seen.recipients == [ADMIN]);
        all.map(|seen| {
            let text = String::from_utf8(seen.content).unwrap();
            assert!(text.contains("\r\nAuto-Submitted: auto-generated\r\n"), "{text}");
            mail_parser::MessageParser::default()
                .parse(text.as_bytes())
                .unwrap()
                .subject()
                .unwrap()
                .to_owned()
        })
        .collect()
    }

    fn script(refuses: bool) -> Script {
        let script = Script::default().with_login("PLAIN");
        if refuses { script.with(Step::Auth, Act::reply(535, REFUSED)) } else { script }
    }

    /// A person lets it send again.
    async fn enable(&self) {
        let kinds = [SuspensionKind::Disabled, SuspensionKind::Stopped, SuspensionKind::Login];
        let accounts = &self.sim.core.as_ref().unwrap().context.accounts;
        accounts.resume(Some("main"), &kinds).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_told_once_and_its_end_once() {
    let mut world = World::start("").await;
    world.main.set(World::script(true));
    world.sim.submit(FROM, &["x@there.example"]).await;
    sleep(secs(10 * MINUTE)).await;
    assert_eq!(world.posted(), ["alert upstream_disabled main"]);
    let told = world.hook.posted.lock().unwrap()[0].clone();
    let keys: Vec<&String> = told.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["account", "action", "cause", "event", "text", "time", "upstream"]);
    assert_eq!(
        (&told["account"], &told["action"]),
        (&json!("anna"), &json!("mailsluice upstream enable main"))
    );
    assert!(told["text"].as_str().unwrap().contains("535"), "{told}");
    let mailed = World::mailed(&world.backup);
    assert_eq!(mailed.len(), 1, "{mailed:?}");
    assert!(
        mailed[0].starts_with("Mailsluice relay.firm.example: upstream main account anna:"),
        "{mailed:?}"
    );
    // Neither its hourly probes, nor a reload, nor an end in whatever order tell it again.
    sleep(secs(5 * HOUR)).await;
    world.sim.reload(&toml("nothing_sent_for = \"30d\"")).await;
    sleep(secs(5 * HOUR)).await;
    world.sim.stop().await;
    world.sim.start().await;
    sleep(secs(5 * HOUR)).await;
    world.sim.kill().await;
    world.sim.start().await;
    sleep(secs(5 * HOUR)).await;
    assert_eq!((world.posted().len(), World::mailed(&world.backup).len()), (1, 1));
    sleep(secs(5 * HOUR)).await;
    assert_eq!(world.posted(), ["alert upstream_disabled main"; 2], "again after a day");
    assert!(world.hook.posted.lock().unwrap()[1]["text"].as_str().unwrap().contains("(since "));
    world.main.set(World::script(false));
    world.enable().await;
    sleep(secs(3 * MINUTE)).await;
    assert_eq!(world.posted()[2..], ["over upstream_disabled main"]);
    assert_eq!(world.hook.posted.lock().unwrap()[2]["action"], Value::Null);
    let mailed = [World::mailed(&world.backup), World::mailed(&world.main)].concat();
    assert_eq!(mailed.len(), 3, "{mailed:?}");
    sleep(secs(3 * HOUR)).await;
    assert_eq!(world.posted().len(), 3);
    let totals = world.sim.totals().await;
    assert_eq!((totals.accepted, totals.generated, totals.sent, totals.queued), (1, 3, 4, 0), "{totals:?}");
}

#[tokio::test(start_paused = true)]
async fn what_comes_and_goes_is_no_flood() {
    let mut world = World::start("").await;
    for _ in 0..10 {
        world.main.set(World::script(true));
        world.sim.submit(FROM, &["x@there.example"]).await;
        sleep(secs(30 * MINUTE)).await;
        world.main.set(World::script(false));
        world.enable().await;
        sleep(secs(30 * MINUTE)).await;
    }
    assert_eq!(world.posted(), ["alert upstream_disabled main", "over upstream_disabled main"]);
    assert_eq!(World::mailed(&world.backup).len() + World::mailed(&world.main).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn nothing_sent_while_mail_waits() {
    let mut world = World::start("nothing_sent_for = \"2h\"").await;
    world.sim.submit(FROM, &["first@there.example"]).await;
    sleep(secs(5 * HOUR)).await;
    assert_eq!(world.posted(), [""; 0], "nothing waits");
    // Deferred, message after message, by an upstream that answers.
    world.main.set(World::script(false).with(Step::AnyRcpt, Act::reply(451, "4.3.0 later")));
    world.sim.submit(FROM, &["x@there.example"]).await;
    sleep(secs(2 * HOUR - MINUTE)).await;
    assert_eq!(world.posted(), [""; 0]);
    sleep(secs(2 * MINUTE)).await;
    assert_eq!(world.posted(), ["alert nothing_sent main"]);
    assert_eq!(World::mailed(&world.backup).len(), 1);
    sleep(secs(10 * HOUR)).await;
    assert_eq!(world.posted().len(), 1);
    world.main.set(World::script(false));
    sleep(secs(20 * MINUTE)).await;
    assert_eq!(world.posted(), ["alert nothing_sent main", "over nothing_sent main"]);
}

#[tokio::test(start_paused = true)]
async fn mail_that_waits_for_a_limit_is_not_stuck() {
    let mut world = World::start("nothing_sent_for = \"2h\"").await;
    let limited = toml("nothing_sent_for = \"2h\"").replace(
        "password = \"secret\"\n",
        "password = \"secret\"\n[upstream.limits]\nper_day = { messages = 1 }\n",
    );
    world.sim.reload(&limited).await;
    for _ in 0..2 {
        world.sim.submit(FROM, &["x@there.example"]).await;
    }
    sleep(secs(20 * HOUR)).await;
    assert_eq!((world.main.messages().len(), world.posted()), (1, vec![]));
}

#[tokio::test(start_paused = true)]
async fn too_many_bounces() {
    let mut world = World::start("").await;
    let refuses = World::script(false).with_for(
        Whose::recipient("bad@there.example"),
        Step::AnyRcpt,
        Act::reply(550, "5.2.1 disabled"),
    );
    world.main.set(refuses);
    for _ in 0..2 {
        world.sim.submit(FROM, &["bad@there.example"]).await;
    }
    for _ in 0..18 {
        world.sim.submit(FROM, &["good@there.example"]).await;
    }
    sleep(secs(5 * MINUTE)).await;
    assert_eq!(world.posted(), [""; 0], "a tenth is not too much");
    world.sim.submit(FROM, &["bad@there.example"]).await;
    sleep(secs(MINUTE)).await;
    assert_eq!(world.posted(), ["alert bounces main"]);
    let text = world.hook.posted.lock().unwrap()[0]["text"].as_str().unwrap().to_owned();
    assert!(text.contains("3 of 21 recipients"), "{text}");
    sleep(secs(2 * HOUR)).await;
    assert_eq!(world.posted(), ["alert bounces main", "over bounces main"]);
}

#[tokio::test(start_paused = true)]
async fn mail_never_goes_by_what_is_stopped() {
    let mut world = World::start("").await;
    let sole = toml("").split("[[upstream]]\nname = \"backup\"").next().unwrap().to_owned();
    world.sim.reload(&sole).await;
    world.main.set(World::script(true));
    world.sim.submit(FROM, &["x@there.example"]).await;
    sleep(secs(HOUR / 2)).await;
    assert_eq!(world.posted(), ["alert upstream_disabled main"]);
    assert_eq!(world.sim.totals().await.generated, 0);
    world.main.set(World::script(false));
    world.enable().await;
    sleep(secs(5 * MINUTE)).await;
    let mailed = World::mailed(&world.main);
    assert_eq!((mailed.len(), world.posted().len()), (1, 2));
    assert!(mailed[0].contains("over, since "), "{mailed:?}");
}

#[tokio::test(start_paused = true)]
async fn alerts_reach_administrators_in_test_mode_but_not_by_the_blacklist() {
    let mut world = World::start("").await;
    let test = toml("") + "[test_mode]\nenabled = true\naddress = \"test@firm.example\"\n";
    world.sim.reload(&test).await;
    world.main.set(World::script(true));
    world.sim.submit(FROM, &["customer@there.example"]).await;
    sleep(secs(10 * MINUTE)).await;
    assert_eq!(World::mailed(&world.backup).len(), 1);
    let alerts = world.sim.core.as_ref().unwrap().alerts.clone();
    let entry = NewBlacklistEntry { pattern: ADMIN.to_owned(), reason: "test".to_owned(), lasts: None };
    world.sim.store().blacklist_add(entry).await.unwrap();
    let trials = alerts.try_channels().await;
    let outcomes: Vec<(AlertChannel, bool)> =
        trials.iter().map(|trial| (trial.channel, trial.outcome.is_ok())).collect();
    assert_eq!(outcomes, [(AlertChannel::Mail, false), (AlertChannel::Webhook, true)]);
    let reason = trials[0].outcome.as_ref().unwrap_err();
    assert_eq!(reason, "it@firm.example is on the blacklist");
}
