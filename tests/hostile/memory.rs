//! The binary itself under load: what it holds stays within 64 MiB of what it held when it was idle. (Guards: the bounds
//! in `session::channel`, `smtp::line`, `session::receive`.)

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a load may add, in octets.
const MOST: u64 = 64 << 20;
/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_mins(1);

/// The relay in a process of its own.
pub(crate) struct Relay {
    child: Child,
    address: SocketAddr,
    idle: u64,
    folder: tempfile::TempDir,
}

impl Relay {
    pub(crate) fn start(session: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), session, "")
    }

    /// The same on a folder that may hold files for the listener.
    pub(crate) fn start_in(folder: tempfile::TempDir, session: &str, listener: &str) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = format!(
            "data_dir = \"data\"\n[[listener]]\naddress = \"{address}\"\n{listener}\n[session]\n{session}\n\
            [[upstream]]\nname = \"local\"\nkind = \"capture\"\n"
        );
        let file = folder.path().join("mailsluice.toml");
        File::create(&file).unwrap().write_all(config.as_bytes()).unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_mailsluice"))
            .args([Path::new("--config"), &file, Path::new("run")])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut relay = Self { child, address, idle: 0, folder };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(start.elapsed() < PATIENCE, "it does not start: {}", relay.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut client = relay.connect();
        client.ask("NOOP", 250);
        client.ask("QUIT", 221);
        relay.idle = relay.memory("VmRSS:");
        relay
    }

    /// A line of the process's status, in octets.
    fn memory(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Fails when it has ever held more than it may.
    pub(crate) fn check(&self, what: &str) {
        let peak = self.memory("VmHWM:");

        assert!(
            peak <= self.idle + MOST,
            "{what}: {} KiB when idle, {} KiB at most",
            self.idle >> 10,
            peak >> 10
        );
    }

    /// Waits until it has read all that was sent to it.
    pub(crate) fn drain(&self) {
        let (start, port) = (Instant::now(), format!(":{:04X}", self.address.port()));
        let unread = || {
            let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
            let mut columns = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            // Either what it has not read, or what we could not send yet.
            let waits = |column: &Vec<&str>| match column[4].split_once(':') {
                Some((_, received)) if column[1].ends_with(&port) => received != "00000000",
                Some((sending, _)) if column[2].ends_with(&port) => sending != "00000000",
                _ => false,
            };
            columns.any(|column| waits(&column))
        };
        while unread() {
            assert!(start.elapsed() < PATIENCE, "it does not read: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub(crate) fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut client = Client { reader: BufReader::with_capacity(512, stream) };
        client.expect(220);
        client
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It is ours, and nobody waits for what it holds.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) struct Client {
    pub(crate) reader: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn send(&mut self, octets: &[u8]) {
        self.reader.get_mut().write_all(octets).unwrap();
    }

    fn expect(&mut self, code: u16) {
        let line = self.reply();
        assert!(line.starts_with(&format!("{code} ")), "{line:?} instead of {code}");
    }

    /// The last line of the next reply.
    pub(crate) fn reply(&mut self) -> String {
        let mut line = String::new();
        while line.as_bytes().get(3) != Some(&b' ') {
            line.clear();
            assert!(self.reader.read_line(&mut line).unwrap() > 0, "hung up");
        }
        line
    }

    pub(crate) fn code(&mut self) -> u16 {
        self.reply()[..3].parse().unwrap()
    }

    pub(crate) fn ask(&mut self, line: &str, code: u16) {
        self.send(format!("{line}\r\n").as_bytes());
        self.expect(code);
    }

    pub(crate) fn envelope(&mut self) {
        self.ask("EHLO x", 250);
        self.ask("MAIL FROM:<a@b>", 250);
        self.ask("RCPT TO:<c@d>", 250);
    }

    pub(crate) fn open(&mut self) {
        self.envelope();
        self.ask("DATA", 354);
    }

    /// Sends so many octets without a line end, and looks at the relay meanwhile.
    fn pour(&mut self, octets: u64, relay: &Relay) {
        let (block, start) = (vec![b'x'; 1 << 20], Instant::now());
        for count in 0..octets >> 20 {
            self.send(&block);
            assert!(start.elapsed() < PATIENCE, "{count} MiB of {} in {:?}", octets >> 20, start.elapsed());
            if count % 16 == 0 {
                relay.check("without a line end");
            }
        }
    }
}

#[test]
fn a_gibibyte_without_a_line_end() {
    let relay = Relay::start("");
    let mut command = relay.connect();
    command.pour(1 << 30, &relay);
    command.ask("", 500);
    command.ask("NOOP", 250);
    relay.check("a command of 1 GiB");
    let mut content = relay.connect();
    content.open();
    content.pour(1 << 30, &relay);
    content.ask("\r\n.", 552);
    content.ask("NOOP", 250);
    relay.check("a content line of 1 GiB");
    let mut header = relay.connect();
    header.open();
    header.send(b"Subject: ");
    header.pour(1 << 28, &relay);
    header.ask("\r\n.", 552);
    header.ask("NOOP", 250);
    relay.check("a header line of 256 MiB");
}

/// Large contents go to files while they arrive.
#[test]
fn large_contents_under_way() {
    let relay = Relay::start("");
    let mut clients: Vec<Client> = (0..6).map(|_| relay.connect()).collect();
    for client in &mut clients {
        client.open();
        client.send(b"Subject: x\r\n\r\n");
        client.pour(30 << 20, &relay);
    }
    for client in &mut clients {
        client.ask("\r\n.", 250);
    }
}

#[test]
fn very_much_of_one_thing() {
    let relay = Relay::start("max_recipients = 10000\nmax_errors = 1000000");
    let mut client = relay.connect();
    client.ask("EHLO x", 250);
    client.ask("MAIL FROM:<a@b>", 250);
    for n in 0..10_000 {
        client.ask(&format!("RCPT TO:<r{n}@dest.example>"), 250);
    }
    client.ask("DATA", 354);
    client.ask("Subject: x\r\n\r\nx\r\n.", 250);
    relay.check("10,000 recipients");
    for field in ["A: b\r\n", "To: a\r\n", "Bcc: a\r\n", "From:a@b\r\n"] {
        client.ask("MAIL FROM:<a@b>", 250);
        client.ask("RCPT TO:<c@d>", 250);
        client.ask("DATA", 354);
        client.send(field.repeat(100_000).as_bytes());
        client.ask("\r\nx\r\n.", 250);
        relay.check("100,000 header fields");
    }
    client.ask("MAIL FROM:<a@b>", 250);
    client.ask("RCPT TO:<c@d>", 250);
    client.ask("DATA", 354);
    client.send(format!("To: {}\r\n", "a@b, ".repeat(200_000)).as_bytes());
    client.ask("\r\nx\r\n.", 250);
    relay.check("a header field of 1 MiB");
    client.ask("MAIL FROM:<a@b>", 250);
    client.ask("RCPT TO:<c@d>", 250);
    client.ask("DATA", 354);
    let level = |n| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n");
    let levels = (0..10_000).fold(String::new(), |all, n| all + &level(n));
    client.send(levels.as_bytes());
    client.ask("\r\n\u{e9}\r\n.", 250);
    relay.check("10,000 levels of MIME");
}

/// However long a run of CRs is, and whatever becomes of it, it is held nowhere.
#[test]
fn runs_of_crs() {
    let relay = Relay::start("");
    let mut client = relay.connect();
    client.ask("EHLO x", 250);
    for (before, mebibytes, behind, code) in [
        ("Subject: x", 10, "\n\r\ny\r\n.", 250),
        ("Subject: x", 10, "y\r\n\r\ny\r\n.", 552),
        ("Subject: x\r\n\r\ny", 10, "\ny\r\n.", 250),
        ("Subject: x\r\n\r\n.", 10, "\ny\r\n.", 250),
        // Each of them is a line end then, and the message is read whole to be delivered.
        ("Subject: x\r\n\r\ny", 2, "y\r\n.", 250),
    ] {
        client.ask("MAIL FROM:<a@b>", 250);
        client.ask("RCPT TO:<c@d>", 250);
        client.ask("DATA", 354);
        client.send(before.as_bytes());
        for _ in 0..mebibytes {
            client.send(&b"\r".repeat(1 << 20));
        }
        client.ask(behind, code);
        relay.check("a run of CRs");
    }
}

/// A client that never reads what we say is no reason to keep it all.
#[test]
fn a_client_that_never_reads() {
    let relay = Relay::start("max_errors = 1000000");
    let mut client = relay.connect();
    client.reader.get_ref().set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let flood = b"HELP\r\n".repeat(100_000);
    let mut sent = 0;
    while sent < 64 << 20 {
        match client.reader.get_mut().write(&flood) {
            Ok(octets) => sent += octets,
            // It does not take more than it can answer.
            Err(_) => break,
        }
    }
    assert!(sent < 64 << 20, "it goes on reading: {sent}");
    relay.check("a client that never reads");
    let mut other = relay.connect();
    other.ask("NOOP", 250);
    let _ = client.reader.get_mut().take(1).read(&mut [0]);
}
