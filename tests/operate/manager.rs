//! What a relay tells its service manager.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::process::Signal;

use crate::service::{PATIENCE, Service};

const CONFIG: &str = "data_dir = \"data\"\n[[listener]]\naddress = \"127.0.0.1:PORT\"\n\
    [[upstream]]\nname = \"main\"\nkind = \"capture\"\n";

/// Waits until these words come, and gives back all that came up to them.
fn hear(socket: &UnixDatagram, words: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    while !all.last().is_some_and(|last| last.starts_with(words)) {
        let mut buffer = [0; 512];
        let length =
            socket.recv(&mut buffer).unwrap_or_else(|error| panic!("no {words} in {all:?}: {error}"));
        all.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
    }
    all
}

#[test]
fn it_hears_of_the_start_of_reloads_of_life_and_of_the_end() {
    let mut service = Service::new(CONFIG);
    let path = service.folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    service.start_with(&[("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "300000")]);
    hear(&socket, "READY=1");
    hear(&socket, "WATCHDOG=1");
    hear(&socket, "WATCHDOG=1");
    service.signal(Signal::HUP);
    let reload = hear(&socket, "RELOADING=1\nMONOTONIC_USEC=");
    assert!(!reload.iter().any(|words| words == "READY=1"), "{reload:?}");
    hear(&socket, "READY=1");
    service.submit("hello", &["a@there.example"]);
    service.run(&["upstream", "disable", "main"]).done();
    service.submit("hello", &["a@there.example"]);
    hear(&socket, "STATUS=serving, 1 message in the queue");
    service.stop();
    hear(&socket, "STOPPING=1");
    // Nothing comes behind the end.
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut rest = [0; 64];
    while let Ok(length) = socket.recv(&mut rest) {
        assert!(rest[..length].starts_with(b"WATCHDOG") || rest[..length].starts_with(b"STATUS"));
    }
}
