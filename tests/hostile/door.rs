//! A reload in the moment in which a client comes in. (Guard: what goes along with a connection in `listen::serving`.)

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use mailsluice::config::Listener;
use mailsluice::listen::{Door, Gate, bind, serve};
use mailsluice::policy::pacing::Pacing;
use mailsluice::time::{Clock, Timeline};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::world::World;

/// Less than a proxy may take for its header.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is to be in force.
struct Reload {
    doors: Arc<ArcSwap<Door>>,
    next: Arc<Door>,
}

/// A clock that stands still. Whoever looks at it next finds a reload done behind them.
#[derive(Default)]
struct ReloadingClock(Mutex<Option<Reload>>);

impl Clock for ReloadingClock {
    fn wall(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn since_boot(&self) -> Duration {
        if let Some(Reload { doors, next }) = self.0.lock().unwrap().take() {
            doors.store(next);
        }
        Duration::from_secs(1)
    }

    fn boot_id(&self) -> String {
        "boot".to_owned()
    }
}

/// A client was counted by its own address when a reload makes that a proxy's: nobody waits for a header from it, which
/// would count it once more.
#[tokio::test]
async fn a_client_is_judged_once() {
    let mut world = World::new();
    world.config.listeners[0].address = "127.0.0.1:0".parse().unwrap();
    let clock = Arc::new(ReloadingClock::default());
    let (mut services, _store, _folder) = world.services().await;
    services.pacing = Arc::new(Pacing::new(Timeline::resume(clock.clone(), None)));
    let services = Arc::new(services);
    let listener = services.config.listeners[0].clone();
    let socket = bind(&listener).unwrap();
    let address = socket.local_addr().unwrap();
    let doors = Arc::new(ArcSwap::from_pointee(Door::new(&listener, services.clone())));
    let proxied = Listener { proxy_protocol_from: vec!["127.0.0.0/8".parse().unwrap()], ..listener };
    let next = Arc::new(Door::new(&proxied, services));
    *clock.0.lock().unwrap() = Some(Reload { doors: doors.clone(), next });
    let (_stop, stopping) = watch::channel(false);
    let closing = oneshot::channel().0;
    let serving = tokio::spawn(serve(Arc::new(socket), doors, Arc::new(Gate::new(9, 9)), stopping, closing));
    let mut client = BufReader::new(TcpStream::connect(address).await.unwrap());
    let mut greeting = String::new();
    let read = timeout(PATIENCE, client.read_line(&mut greeting)).await;
    assert!(clock.0.lock().unwrap().is_none(), "the reload has come");
    assert!(greeting.starts_with("220 "), "{read:?} {greeting:?}");
    serving.abort();
}
