//! A reload at the sockets: listeners come, go and change, and what sessions do then.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use mailsluice::config::Listener;
use mailsluice::listen::Listeners;
use tempfile::TempDir;

use super::*;

/// Listeners in force, as the relay has them.
struct Place {
    listeners: Listeners,
    services: Services,
    store: Arc<MemoryStore>,
    _folder: TempDir,
}

impl Place {
    async fn open(world: World, addresses: &[SocketAddr]) -> Self {
        let (services, store, folder) = world.services().await;
        let listeners = Listeners::new(&services.config.session);
        let mut place = Self { listeners, services, store, _folder: folder };
        place.follow(addresses).await.unwrap();
        place
    }

    /// A reload that has these listeners, all of them or none.
    async fn follow(&mut self, addresses: &[SocketAddr]) -> Result<(), String> {
        let template = self.services.config.listeners[0].clone();
        let listener = |address: &SocketAddr| Listener { address: *address, ..template.clone() };
        let wanted: Vec<_> = addresses.iter().map(listener).collect();
        let bound = self.listeners.bind(&wanted).map_err(|error| error.to_string())?;
        self.listeners.follow(bound, &wanted, &Arc::new(self.services.clone())).await;
        Ok(())
    }

    fn configure(&mut self, change: impl FnOnce(&mut mailsluice::config::Config)) {
        let mut config = (*self.services.config).clone();
        change(&mut config);
        self.services.users = Arc::new(self.services.users.reloaded(&config));
        self.services.config = Arc::new(config);
    }
}

/// An address of this machine at whose port nobody listens: below those that the system gives to clients, and each only
/// once.
fn free() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + (std::process::id() % 1000) as u16 * 10;
    let mut ports = std::iter::from_fn(|| Some(first + NEXT.fetch_add(1, Ordering::Relaxed)));
    let port = ports.find(|port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok()).unwrap();
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

async fn greeted(address: SocketAddr) -> BufReader<TcpStream> {
    let mut client = BufReader::new(timeout(LONG, TcpStream::connect(address)).await.unwrap().unwrap());
    hear(&mut client, "220 ").await;
    client
}

async fn ask(client: &mut BufReader<TcpStream>, lines: &str, reply: &str) {
    client.write_all(lines.as_bytes()).await.unwrap();
    hear(client, reply).await;
}

#[tokio::test]
async fn listeners_come_and_go() {
    let [first, second] = [free(), free()];
    let mut place = Place::open(world(None, ServerAuth::None), &[first]).await;
    let mut idle = greeted(first).await;
    let mut busy = greeted(first).await;
    ask(&mut busy, "EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", "250 2.1.5 ").await;
    place.follow(&[first, second]).await.unwrap();
    greeted(second).await;
    ask(&mut idle, "NOOP\r\n", "250 ").await;
    place.follow(&[second]).await.unwrap();
    assert!(TcpStream::connect(first).await.is_err(), "the one that is gone is closed");
    // Whoever has begun a message finishes it, and nobody else stays.
    hear(&mut idle, "421 4.3.2 ").await;
    ask(&mut busy, "DATA\r\n", "354 ").await;
    ask(&mut busy, "x\r\n.\r\n", "250 2.0.0 ").await;
    hear(&mut busy, "421 4.3.2 ").await;
    assert_eq!(place.store.messages.lock().unwrap().len(), 1);
    place.follow(&[first]).await.unwrap();
    greeted(first).await;
    assert!(
        timeout(Duration::from_millis(1), place.listeners.failed()).await.is_err(),
        "all as it should be"
    );
}

#[tokio::test]
async fn a_listener_that_cannot_be_had_leaves_all_as_it_was() {
    let taken = TcpListener::bind(free()).unwrap();
    let [first, second] = [free(), free()];
    let mut place = Place::open(world(None, ServerAuth::None), &[first]).await;
    let fault = place.follow(&[second, taken.local_addr().unwrap()]).await.unwrap_err();
    assert!(fault.starts_with(&format!("cannot listen at {}: ", taken.local_addr().unwrap())), "{fault}");
    greeted(first).await;
    assert!(TcpStream::connect(second).await.is_err());
}

/// The wildcard address takes the place of one at its port, and the other way round.
#[tokio::test]
async fn a_listener_may_take_the_port_of_one_that_goes() {
    let one = free();
    let all = SocketAddr::from((Ipv4Addr::UNSPECIFIED, one.port()));
    let mut place = Place::open(world(None, ServerAuth::None), &[one]).await;
    for address in [all, one, all] {
        place.follow(&[address]).await.unwrap();
        greeted(one).await;
        assert!(TcpListener::bind(one).is_err(), "it is not shared with anybody");
    }
    // Both at once can't be, and then nothing changes.
    place.follow(&[all, one]).await.unwrap_err();
    greeted(one).await;
}

#[tokio::test]
async fn connection_limits_hold_at_once() {
    let address = free();
    let mut place = Place::open(world(None, ServerAuth::None), &[address]).await;
    let _inside = [greeted(address).await, greeted(address).await];
    place.configure(|config| config.session.max_connections_per_client = 2);
    place.follow(&[address]).await.unwrap();
    let mut refused = BufReader::new(TcpStream::connect(address).await.unwrap());
    hear(&mut refused, "421 4.7.0 ").await;
    place.configure(|config| config.session.max_connections_per_client = 3);
    place.follow(&[address]).await.unwrap();
    greeted(address).await;
}

/// Also in the middle of a message, and also where the listener goes with the user.
#[tokio::test]
async fn a_user_who_is_gone_is_refused_at_the_next_command() {
    let login = STANDARD.encode("\0anna\0s3cret \u{fc}");
    let login = format!("EHLO x\r\nAUTH PLAIN {login}\r\n");
    for (begun, command, refused) in [
        ("", "NOOP\r\n", true),
        ("", "MAIL FROM:<a@b>\r\n", true),
        ("", "QUIT\r\n", false),
        ("MAIL FROM:<a@b>\r\n", "RCPT TO:<c@d>\r\n", true),
        ("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", "DATA\r\n", true),
        ("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", "BDAT 6 LAST\r\nNOOP\r\n", true),
        ("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n", "x\r\n.\r\n", false),
    ] {
        let [address, other] = [free(), free()];
        let mut place = Place::open(world(None, ServerAuth::Optional), &[address]).await;
        let mut client = greeted(address).await;
        ask(&mut client, &login, "235 ").await;
        for line in begun.split_inclusive('\n') {
            ask(&mut client, line, if line.starts_with("DATA") { "354 " } else { "250 " }).await;
        }
        place.configure(|config| config.users.clear());
        let listeners = if begun.is_empty() { [address] } else { [other] };
        place.follow(&listeners).await.unwrap();
        ask(&mut client, command, if refused { "421 4.7.0 your user" } else { "2" }).await;
        if refused {
            assert_eq!(closed(&mut client).await, "", "{begun} {command}");
        }
        let messages = place.store.messages.lock().unwrap().len();
        assert_eq!(messages, usize::from(command.starts_with('x')), "{begun} {command}");
    }
}
