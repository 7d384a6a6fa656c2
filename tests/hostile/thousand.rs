//! A thousand clients at once, each with all that it can make the relay hold for it: together within 64 MiB. (Guards: the
//! budget in `session::receive` and `session::driver::envelope`, what `session::channel` keeps while it waits.)

use std::fs::File;
use std::io::{Read, Write};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::memory::{Client, Relay};

/// Room for them and a few more.
const MANY: &str = "max_connections = 1100\nmax_connections_per_client = 1100";

#[test]
fn a_thousand_idle_connections() {
    let relay = Relay::start(MANY);
    let mut clients: Vec<Client> = (0..1000).map(|_| relay.connect()).collect();
    for client in &mut clients {
        client.ask("EHLO x", 250);
        client.ask("MAIL FROM:<a@b>", 250);
    }
    relay.check("1000 idle connections");
    // They are all alive, and there is room for one that works.
    let mut working = relay.connect();
    working.open();
    working.ask("Subject: x\r\n\r\nx\r\n.", 250);
    for client in &mut clients {
        client.ask("NOOP", 250);
    }
}

/// The same after STARTTLS; then each sends a part of a record that must be kept until it is whole.
#[test]
fn a_thousand_connections_with_tls() {
    let (relay, config) = with_tls();
    let connect = || {
        let mut client = relay.connect();
        client.ask("EHLO x", 250);
        client.ask("STARTTLS", 220);
        let name = "relay.example".try_into().unwrap();
        let connection = ClientConnection::new(config.clone(), name).unwrap();
        let mut stream = StreamOwned::new(connection, client.reader.into_inner());
        stream.write_all(b"EHLO x\r\n").unwrap();
        let mut heard = [0; 1000];
        assert!(stream.read(&mut heard).unwrap() > 0 && heard.starts_with(b"250-"));
        stream
    };
    let mut clients: Vec<_> = (0..1000).map(|_| connect()).collect();
    relay.check("1000 idle connections with TLS");
    for client in &mut clients {
        client.write_all(b"NOOP\r\n").unwrap();
        let mut heard = [0; 100];
        assert!(client.read(&mut heard).unwrap() > 0 && heard.starts_with(b"250 "));
    }
    relay.check("1000 idle connections with TLS that work");
    for client in &mut clients {
        client.sock.write_all(&[&[23, 3, 3, 0x40, 0][..], &[0; 0x3f00]].concat()).unwrap();
    }
    relay.drain();
    relay.check("a part of a record on each of 1000 connections");
}

/// Each says that its first words will be very long, and sends most of them. (Guard: the bound in `session::wire`.)
#[test]
fn a_thousand_handshakes_under_way() {
    let (relay, _) = with_tls();
    // A ClientHello of 65,535 octets, in records of 16,384.
    let mut hello = vec![0; 60_000];
    hello[..4].copy_from_slice(&[1, 0, 0xff, 0xff]);
    let records: Vec<u8> =
        hello.chunks(0x4000).flat_map(|piece| [&[22, 3, 1, 0x40, 0][..], piece].concat()).collect();
    let mut clients: Vec<Client> = (0..1000).map(|_| relay.connect()).collect();
    for client in &mut clients {
        client.ask("EHLO x", 250);
        client.ask("STARTTLS", 220);
        // It may hang up before all is sent.
        let _ = client.reader.get_mut().write_all(&records);
    }
    relay.drain();
    relay.check("1000 handshakes under way");
}

/// A relay that offers STARTTLS, and how a client trusts it.
fn with_tls() -> (Relay, Arc<ClientConfig>) {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["relay.example".to_owned()]).unwrap();
    for (name, text) in [("chain", made.cert.pem()), ("private", made.signing_key.serialize_pem())] {
        File::create(folder.path().join(name)).unwrap().write_all(text.as_bytes()).unwrap();
    }
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let relay =
        Relay::start_in(folder, MANY, "tls = \"starttls\"\ncertificate = \"chain\"\nkey = \"private\"");
    (relay, Arc::new(config))
}

/// A login whose line does not end.
#[test]
fn a_thousand_logins_under_way() {
    let user = "auth = \"optional\"\n[[user]]\nname = \"anna\"\npassword = \"x\"\nsenders = [\"b\"]";
    let relay = Relay::start_in(tempfile::tempdir().unwrap(), MANY, user);
    let mut clients: Vec<Client> = (0..1000).map(|_| relay.connect()).collect();
    for client in &mut clients {
        client.ask("EHLO x", 250);
        client.send(format!("AUTH PLAIN {}", "A".repeat(12_000)).as_bytes());
    }
    relay.drain();
    relay.check("1000 logins under way");
}

/// Each of a thousand clients holds as much as it can of one thing, and none goes on. (Guards: the budget in
/// `session::receive` and `session::driver::envelope`, what `session::channel` keeps while it waits.)
#[test]
fn a_thousand_contents_under_way() {
    let line = "0123456789 0123456789 0123456789 0123456789 0123456789 01234\r\n";
    let body = |octets: usize| line.repeat(octets / line.len());
    for (what, content) in [
        ("9 KB", format!("Subject: x\r\n\r\n{}", body(9_000))),
        ("60 KB", format!("Subject: x\r\n\r\n{}", body(60_000))),
        ("200 KB", format!("Subject: x\r\n\r\n{}", body(200_000))),
        ("a header section of 60 KB", format!("X: {line}").repeat(60_000 / line.len())),
    ] {
        let (relay, mut clients) = a_thousand(Client::open);
        for client in &mut clients {
            client.send(content.as_bytes());
        }
        relay.drain();
        relay.check(&format!("{what} in each of 1000 contents"));
        // There is still room for one that works, be its content small or large.
        for octets in [1_000, 50_000] {
            let mut working = relay.connect();
            working.open();
            working.ask(&format!("Subject: x\r\n\r\n{}.", body(octets)), 250);
        }
        relay.check(&format!("{what} in each of 1000 contents, and others that end"));
    }
}

/// The same by BDAT: the first of two chunks.
#[test]
fn a_thousand_chunks_under_way() {
    let (relay, mut clients) = a_thousand(Client::envelope);
    let chunk = format!("Subject: x\r\n\r\n{}", "0123456789 0123456789 0123456789\r\n".repeat(1_700));
    for client in &mut clients {
        client.ask(&format!("BDAT {}\r\n{}", chunk.len(), &chunk[..chunk.len() - 2]), 250);
    }
    relay.check("60 KB in each of 1000 chunks");
    for client in &mut clients {
        client.ask("BDAT 0 LAST", 250);
    }
    relay.check("1000 messages that came by chunks");
}

/// As many recipients as there is memory for; the others are refused for now, and the message goes on.
#[test]
fn a_thousand_envelopes_under_way() {
    for (what, recipients, ways) in
        [("60 recipients", 60, ""), ("100 recipients", 100, " NOTIFY=NEVER ORCPT=rfc822;")]
    {
        let (relay, mut clients) = a_thousand(|client| {
            client.ask("EHLO x", 250);
            client.ask("MAIL FROM:<a@b>", 250);
        });
        let name = "x".repeat(60);
        let original = if ways.is_empty() { String::new() } else { format!("{ways}{}", "y".repeat(400)) };
        let line = |n| format!("RCPT TO:<{name}@d{n}.example>{original}\r\n");
        let all = (0..recipients).map(line).collect::<Vec<_>>().concat();
        for client in &mut clients {
            client.send(all.as_bytes());
            let codes: Vec<u16> = (0..recipients).map(|_| client.code()).collect();
            assert_eq!(codes[0], 250);
            assert!(codes.is_sorted() && codes.iter().all(|code| matches!(code, 250 | 452)), "{codes:?}");
        }
        relay.check(&format!("1000 envelopes of {what}"));
        for client in &mut clients {
            client.ask("DATA", 354);
            client.ask("Subject: x\r\n\r\nx\r\n.", 250);
        }
        relay.check(&format!("1000 messages of {what}"));
    }
}

/// A relay, and a thousand clients that have said so much.
fn a_thousand(opening: impl Fn(&mut Client)) -> (Relay, Vec<Client>) {
    let relay = Relay::start(MANY);
    let mut clients: Vec<Client> = (0..1000).map(|_| relay.connect()).collect();
    clients.iter_mut().for_each(opening);
    (relay, clients)
}
