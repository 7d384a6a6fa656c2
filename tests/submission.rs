//! Programs hand in mail as users: over TLS, logged in, directly or through a proxy. On loopback, with an independent client.

#![allow(clippy::unwrap_used, reason = "a test may stop where its world breaks")]

#[path = "support/memory_store.rs"]
mod memory_store;
#[path = "submission/reload.rs"]
mod reload;
#[path = "support/tls.rs"]
mod tls;
#[path = "support/world.rs"]
#[expect(dead_code, reason = "other tests need more of a world")]
mod world;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use lettre::message::Message;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters, TlsVersion};
use lettre::{SmtpTransport, Transport};
use mailsluice::config::{ByteSize, ServerAuth, User, UserPassword, UserPriority};
use mailsluice::listen::{Door, Gate};
use mailsluice::policy::users::scram_verifier;
use mailsluice::route::Router;
use mailsluice::session::Services;
use memory_store::MemoryStore;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use world::World;

/// So long a test waits for anything.
const LONG: Duration = Duration::from_secs(20);

/// A listener that runs.
struct Submission {
    address: SocketAddr,
    store: Arc<MemoryStore>,
    door: Arc<ArcSwap<Door>>,
    serving: JoinHandle<()>,
    /// Whoever drops this stops the listener.
    _stop: watch::Sender<bool>,
    _folder: tempfile::TempDir,
}

impl Drop for Submission {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A world with a user `anna` whose password is `s3cret ü`.
fn world(mode: Option<&str>, auth: ServerAuth) -> World {
    let mut world = World::new();
    let listener = &mut world.config.listeners[0];
    listener.address = "127.0.0.1:0".parse().unwrap();
    listener.tls = mode.map(tls::server);
    listener.auth = auth;
    world.config.users.push(user(UserPassword::Plain("s3cret \u{fc}".into())));
    world
}

fn user(password: UserPassword) -> User {
    User {
        name: "anna".into(),
        password,
        senders: vec![],
        default_sender: None,
        replace_foreign_sender: false,
        priority: UserPriority::Normal,
        test: false,
    }
}

async fn open(world: World) -> Submission {
    let (services, store, folder) = world.services().await;
    let listener = services.config.listeners[0].clone();
    let socket = mailsluice::listen::bind(&listener).unwrap();
    let address = socket.local_addr().unwrap();
    let door = Arc::new(ArcSwap::from_pointee(Door::new(&listener, Arc::new(services))));
    let (stop, stopping) = watch::channel(false);
    let gate = Arc::new(Gate::new(9, 2));
    let serving = tokio::spawn(mailsluice::listen::serve(
        Arc::new(socket),
        door.clone(),
        gate,
        stopping,
        oneshot::channel().0,
    ));
    Submission { address, store, door, serving, _stop: stop, _folder: folder }
}

/// Sends one mail as a program would that uses the library.
async fn send(to: SocketAddr, tls: Tls, mechanism: Mechanism, password: &str) -> Result<String, String> {
    let credentials = Credentials::new("anna".into(), password.into());
    let transport = SmtpTransport::builder_dangerous("localhost")
        .port(to.port())
        .tls(tls)
        .credentials(credentials)
        .authentication(vec![mechanism])
        .timeout(Some(LONG))
        .build();
    let message = Message::builder()
        .from("anna@firm.example".parse().unwrap())
        .to("customer@elsewhere.example".parse().unwrap())
        .subject("x")
        .body("hello".to_owned())
        .unwrap();
    let sent = tokio::task::spawn_blocking(move || transport.send(&message)).await.unwrap();
    sent.map(|response| response.code().to_string()).map_err(|error| error.to_string())
}

fn parameters(least: TlsVersion) -> TlsParameters {
    TlsParameters::builder("localhost".into())
        .certificate_store(CertificateStore::None)
        .add_root_certificate(Certificate::from_pem(tls::PAIR.certificate.as_bytes()).unwrap())
        .set_min_tls_version(least)
        .build()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_library_logs_in() {
    for (mode, least) in [("starttls", TlsVersion::Tlsv12), ("implicit", TlsVersion::Tlsv13)] {
        let submission = open(world(Some(mode), ServerAuth::Required)).await;
        for mechanism in [Mechanism::Plain, Mechanism::Login] {
            let tls = || match mode {
                "implicit" => Tls::Wrapper(parameters(least)),
                _ => Tls::Required(parameters(least)),
            };
            let sent = send(submission.address, tls(), mechanism, "s3cret \u{fc}").await;
            assert_eq!(sent.as_deref(), Ok("250"), "{mode} {mechanism}");
            let refused = send(submission.address, tls(), mechanism, "sesame").await.unwrap_err();
            assert!(refused.contains("535") || refused.contains("wrong user name"), "{refused}");
        }
        let messages = submission.store.messages.lock().unwrap().clone();
        assert_eq!(messages.len(), 2, "{mode}");
        assert!(messages.iter().all(|message| message.client.user.as_deref() == Some("anna")));
    }
}

/// Reads replies until one begins with `last`; returns that line.
async fn hear<S: AsyncBufReadExt + Unpin>(client: &mut S, last: &str) -> String {
    loop {
        let mut line = String::new();
        timeout(LONG, client.read_line(&mut line)).await.expect("a line in time").unwrap();
        assert!(!line.is_empty(), "closed before {last}");
        if line.starts_with(last) {
            return line.trim_end().to_owned();
        }
    }
}

async fn connect(submission: &Submission) -> BufReader<TcpStream> {
    BufReader::new(TcpStream::connect(submission.address).await.unwrap())
}

async fn closed<S: AsyncBufReadExt + Unpin>(client: &mut S) -> String {
    let mut rest = Vec::new();
    // A reset is an end, too.
    let _ = timeout(LONG, client.read_to_end(&mut rest)).await.expect("an end in time");
    String::from_utf8_lossy(&rest).into_owned()
}

fn mac(key: &[u8], message: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().into()
}

/// The client's arithmetic of RFC 5802 3, written down once more: proof and the server's signature.
fn scram(password: &str, first: &str, challenge: &str, last: &str) -> (String, String) {
    let part = |key: &str| challenge.split(',').find_map(|part| part.strip_prefix(key)).unwrap();
    let mut salt = STANDARD.decode(part("s=")).unwrap();
    salt.extend_from_slice(&[0, 0, 0, 1]);
    let mut block = {
        let mut mac = Hmac::<Sha256>::new_from_slice(password.as_bytes()).unwrap();
        mac.update(&salt);
        <[u8; 32]>::from(mac.finalize().into_bytes())
    };
    let mut salted = block;
    for _ in 1..part("i=").parse::<u32>().unwrap() {
        let mut mac = Hmac::<Sha256>::new_from_slice(password.as_bytes()).unwrap();
        mac.update(&block);
        block = mac.finalize().into_bytes().into();
        salted.iter_mut().zip(block).for_each(|(sum, octet)| *sum ^= octet);
    }
    let client_key = mac(&salted, "Client Key");
    let signed = format!("{first},{challenge},{last}");
    let signature = mac(&<[u8; 32]>::from(Sha256::digest(client_key)), &signed);
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, mask)| key ^ mask).collect();
    (STANDARD.encode(proof), STANDARD.encode(mac(&mac(&salted, "Server Key"), &signed)))
}

#[tokio::test]
async fn scram_to_its_end() {
    for (password, want) in [("pencil", "235 2.7.0"), ("crayon", "535 5.7.8")] {
        let mut world = world(None, ServerAuth::Required);
        let verifier = scram_verifier(&"pencil".into());
        world.config.users = vec![user(UserPassword::Scram(verifier))];
        let submission = open(world).await;
        let mut client = connect(&submission).await;
        let first = "n=anna,r=fyko+d2lbbFgONRv9qkxdawL";
        let line = format!("EHLO x\r\nAUTH SCRAM-SHA-256 {}\r\n", STANDARD.encode(format!("n,,{first}")));
        client.write_all(line.as_bytes()).await.unwrap();
        let challenge = hear(&mut client, "334 ").await;
        let challenge = String::from_utf8(STANDARD.decode(&challenge[4..]).unwrap()).unwrap();
        let nonce = challenge.split(',').next().unwrap();
        assert!(nonce.starts_with("r=fyko+d2lbbFgONRv9qkxdawL") && nonce.len() > 50, "{challenge}");
        let last = format!("c=biws,{nonce}");
        let (proof, signature) = scram(password, first, &challenge, &last);
        let line = format!("{}\r\n", STANDARD.encode(format!("{last},p={proof}")));
        client.write_all(line.as_bytes()).await.unwrap();
        if want.starts_with("235") {
            let signed = hear(&mut client, "334 ").await;
            assert_eq!(STANDARD.decode(&signed[4..]).unwrap(), format!("v={signature}").as_bytes());
            client.write_all(b"\r\n").await.unwrap();
        }
        let end = hear(&mut client, &want[..3]).await;
        assert!(end.starts_with(want), "{end}");
        client.write_all(b"MAIL FROM:<a@b.example>\r\n").await.unwrap();
        hear(&mut client, if want.starts_with("235") { "250 2.1.0" } else { "530 5.7.0" }).await;
    }
}

#[tokio::test]
async fn a_proof_alone_is_no_login() {
    let mut world = world(None, ServerAuth::Required);
    world.config.users = vec![user(UserPassword::Scram(scram_verifier(&"pencil".into())))];
    let submission = open(world).await;
    let mut client = connect(&submission).await;
    let first = "n=anna,r=abc";
    let line = format!("EHLO x\r\nAUTH SCRAM-SHA-256 {}\r\n", STANDARD.encode(format!("n,,{first}")));
    client.write_all(line.as_bytes()).await.unwrap();
    let challenge = hear(&mut client, "334 ").await;
    let challenge = String::from_utf8(STANDARD.decode(&challenge[4..]).unwrap()).unwrap();
    let last = format!("c=biws,{}", challenge.split(',').next().unwrap());
    let (proof, _) = scram("pencil", first, &challenge, &last);
    let line =
        format!("{}\r\n*\r\nMAIL FROM:<a@b.example>\r\n", STANDARD.encode(format!("{last},p={proof}")));
    client.write_all(line.as_bytes()).await.unwrap();
    hear(&mut client, "334 ").await;
    hear(&mut client, "501 5.7.0").await;
    hear(&mut client, "530 5.7.0").await;
}

#[tokio::test]
async fn a_certificate_is_exchanged_while_the_listener_runs() {
    let submission = open(world(Some("implicit"), ServerAuth::None)).await;
    let mut old = BufReader::new(tls::handshake(Box::new(connect(&submission).await)).await.unwrap());
    hear(&mut old, "220 ").await;
    let other = tls::Pair::new();
    let mut door = Door::clone(&submission.door.load());
    let mut listener = (*door.listener).clone();
    listener.tls.as_mut().unwrap().identity = other.identity();
    door = Door::new(&listener, door.services);
    submission.door.store(Arc::new(door));
    // The old certificate is not shown any more, and the new one is.
    let refused = tls::handshake(Box::new(connect(&submission).await)).await;
    assert!(refused.is_err());
    let mut new = BufReader::new(other.handshake(Box::new(connect(&submission).await)).await.unwrap());
    hear(&mut new, "220 ").await;
    // Who was there before stays.
    old.write_all(b"NOOP\r\n").await.unwrap();
    old.flush().await.unwrap();
    hear(&mut old, "250 ").await;
}

/// A client may keep its session for hours. What is reloaded meanwhile is in force from its next message on.
#[tokio::test(start_paused = true)]
async fn a_session_follows_a_reload_from_message_to_message() {
    let mut world = world(None, ServerAuth::Optional);
    world.config.users.push(User { name: "otto".into(), ..user(UserPassword::Plain("x".into())) });
    let running = world.connect().await;
    let mut client = BufReader::new(running.client);
    let mut ask = async |lines: &str, reply: &str| {
        client.write_all(lines.as_bytes()).await.unwrap();
        hear(&mut client, reply).await;
    };
    let login = STANDARD.encode("\0anna\0s3cret \u{fc}");
    ask(&format!("EHLO x\r\nAUTH PLAIN {login}\r\n"), "235 ").await;
    ask("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", "250 2.1.5 ").await;

    let mut door = Door::clone(&running.door.load());
    let mut services = Services::clone(&door.services);
    let mut config = (*services.config).clone();
    Arc::make_mut(&mut config.upstreams[0]).name = "other".into();
    config.session.max_message_size = ByteSize(1000);
    services.router = Arc::new(Router::new(&config));
    services.config = Arc::new(config.clone());
    door.services = Arc::new(services.clone());
    running.door.store(Arc::new(door.clone()));

    // The message that has begun ends as it began.
    ask(&format!("DATA\r\n{}.\r\n", "x\r\n".repeat(1000)), "250 2.0.0 ").await;
    ask("MAIL FROM:<a@b> SIZE=1001\r\n", "552 5.3.4 ").await;
    ask("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n", "354 ").await;
    ask("x\r\n.\r\n", "250 2.0.0 ").await;
    let routes: Vec<_> =
        running.store.messages.lock().unwrap().iter().map(|m| m.lane.as_str().to_owned()).collect();
    assert_eq!(routes, ["main", "other"]);

    // Who is no user any more is no user in an old session either.
    config.users.remove(0);
    services.users = Arc::new(services.users.reloaded(&config));
    door.services = Arc::new(services);
    running.door.store(Arc::new(door));
    ask("MAIL FROM:<a@b>\r\n", "421 4.7.0 ").await;
    assert_eq!(closed(&mut client).await, "");
}

#[tokio::test]
async fn clear_text_where_tls_is_expected_ends_the_session() {
    let submission = open(world(Some("implicit"), ServerAuth::None)).await;
    let mut client = connect(&submission).await;
    client.write_all(b"EHLO x\r\nMAIL FROM:<a@b.example>\r\n").await.unwrap();
    let rest = closed(&mut client).await;
    assert!(!rest.contains("220") && !rest.contains("250"), "{rest}");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_come_is_given_up() {
    for mode in ["implicit", "starttls"] {
        let mut running = world(Some(mode), ServerAuth::None).connect().await;
        if mode == "starttls" {
            running.client.write_all(b"EHLO x\r\nSTARTTLS\r\n").await.unwrap();
        }
        let start = tokio::time::Instant::now();
        (&mut running.session).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 30, "{mode}");
        let mut rest = String::new();
        running.client.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest.contains("220 2.0.0"), mode == "starttls", "{rest}");
        assert!(!rest.contains("421"), "nothing is said in clear text any more: {rest}");
    }
}

/// A world whose listener believes proxies on this machine; the client's real address may not relay.
fn behind_proxy(mode: Option<&str>) -> World {
    let mut world = world(mode, ServerAuth::None);
    world.config.listeners[0].proxy_protocol_from = vec!["127.0.0.1/32".parse().unwrap()];
    world
}

const V2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0f\xc0\x00\x02\x07\x7f\x00\x00\x01\xc0\x01\x00\x19\x04\x00\x00";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
const V1: &[u8] = b"PROXY TCP4 192.0.2.7 127.0.0.1 49153 25\r\n";

#[tokio::test]
async fn a_proxy_tells_who_the_client_is() {
    let opening = b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n";
    for (header, want) in [
        (V1, "550 5.7.1 relaying denied: 192.0.2.7 "),
        (V2, "550 5.7.1 relaying denied: 192.0.2.7 "),
        (b"PROXY TCP6 2001:db8::7 ::1 49153 25\r\n", "550 5.7.1 relaying denied: 2001:db8::7 "),
        (b"PROXY UNKNOWN\r\n", "250 2.1.5 "),
        (LOCAL, "250 2.1.5 "),
    ] {
        let submission = open(behind_proxy(None)).await;
        let mut client = connect(&submission).await;
        client.write_all(&[header, opening].concat()).await.unwrap();
        hear(&mut client, "250 2.1.0").await;
        let mut reply = String::new();
        timeout(LONG, client.read_line(&mut reply)).await.unwrap().unwrap();
        assert!(reply.starts_with(want), "{} {reply}", header.escape_ascii());
    }
}

#[tokio::test]
async fn tls_begins_behind_the_header() {
    let submission = open(behind_proxy(Some("implicit"))).await;
    let mut stream = connect(&submission).await;
    stream.write_all(V2).await.unwrap();
    let mut client = BufReader::new(tls::handshake(Box::new(stream)).await.unwrap());
    hear(&mut client, "220 ").await;
}

#[tokio::test]
async fn a_proxy_must_introduce_its_client() {
    let submission = open(behind_proxy(None)).await;
    for header in [&b"EHLO relay.example\r\n"[..], b"PROXY TCP4 192.0.2.7\r\nEHLO x\r\n", b"PROXY TCP4 1"] {
        let mut client = connect(&submission).await;
        client.write_all(header).await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(closed(&mut client).await, "", "{}", header.escape_ascii());
    }
}

#[tokio::test]
async fn nobody_else_is_believed() {
    let mut world = world(None, ServerAuth::None);
    world.config.listeners[0].proxy_protocol_from = vec!["192.0.2.0/24".parse().unwrap()];
    let submission = open(world).await;
    let mut client = connect(&submission).await;
    client.write_all(V1).await.unwrap();
    hear(&mut client, "220 ").await;
    hear(&mut client, "500 5.5.1").await;
}

#[tokio::test]
async fn clients_behind_a_proxy_are_counted_one_by_one() {
    let submission = open(behind_proxy(None)).await;
    let mut clients = Vec::new();
    for (last, want) in [(7, "220 "), (7, "220 "), (7, "421 4.7.0"), (8, "220 ")] {
        let mut client = connect(&submission).await;
        let header = format!("PROXY TCP4 192.0.2.{last} 127.0.0.1 1 25\r\n");
        client.write_all(header.as_bytes()).await.unwrap();
        hear(&mut client, want).await;
        clients.push(client);
    }
}
