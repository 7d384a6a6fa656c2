//! An upstream that turns out to be the relay itself, by another name or over an address translation.

use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use mailsluice::session::{self, Door};
use mailsluice::upstream::{Dial, DialError, Dialled, Observer, Target};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::FROM;
use super::paper::Paper;
use super::support::direct_client::door;
use super::support::simulation::{Host, Simulation, secs};

const CONFIG: &str = r#"
[queue]
warn_after = "never"
[[upstream]]
name = "main"
host = "elsewhere"
security = "none"
disable_after = 2
"#;

/// A name that leads to the listener of the relay whose door stands here.
#[derive(Clone, Default)]
struct OtherName(Arc<Mutex<Option<Arc<ArcSwap<Door>>>>>);

impl OtherName {
    fn leads_to(&self, sim: &Simulation) {
        *self.0.lock().unwrap() = Some(Arc::new(ArcSwap::from_pointee(door(sim, 0))));
    }
}

impl Host for OtherName {
    fn way(&self) -> Arc<dyn Dial> {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl Dial for OtherName {
    async fn dial(&self, _: &Target, _: Instant, _: &Observer) -> Result<Dialled, DialError> {
        let door = self.0.lock().unwrap().clone().unwrap();
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let stopping = watch::channel(false).1;
        tokio::spawn(session::run(theirs, [127, 0, 0, 1].into(), "round".into(), door, stopping));
        Ok(Dialled { stream: Box::new(ours), peer: "192.0.2.1:25".parse().unwrap() })
    }
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_meets_itself_sends_nothing_round() {
    let (paper, _listening) = Paper::listen();
    let name = OtherName::default();
    let mut sim = Simulation::new(CONFIG, &[("elsewhere", &name)]);
    sim.start().await;
    name.leads_to(&sim);
    sim.submit(FROM, &["x@there.example"]).await;
    sleep(secs(3600)).await;
    let lines = paper.lines();
    let of_upstream = |line: &&String| line.starts_with("upstream_") || line.starts_with("accepted ");
    let said: Vec<&String> = lines.iter().filter(of_upstream).collect();
    // It is said twice and no more, and nothing has come round.
    let [down, disabled] = said[..] else { panic!("said {said:#?}") };
    assert!(down.starts_with("upstream_down upstream=main "), "{down}");
    assert!(down.contains("this upstream is this relay itself"), "{down}");
    assert!(disabled.starts_with("upstream_disabled upstream=main "), "{disabled}");
    assert!(disabled.contains("set host and port to the provider's server"), "{disabled}");
    assert_eq!((sim.store().queue_length(), sim.totals().await.accepted), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn another_relay_of_the_kind_is_an_upstream_as_any() {
    let name = OtherName::default();
    let mut first = Simulation::new(CONFIG, &[("elsewhere", &name)]);
    first.start().await;
    let mut second = Simulation::new("[[upstream]]\nname = \"box\"\nkind = \"capture\"\n", &[]);
    second.start().await;
    name.leads_to(&second);
    first.submit(FROM, &["x@there.example"]).await;
    first.until_empty(secs(60)).await;
    assert_eq!(first.totals().await.sent, 1);
    assert_eq!(second.totals().await.accepted, 1);
}
