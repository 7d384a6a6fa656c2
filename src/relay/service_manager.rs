//! What the relay tells the service manager that has started it (`sd_notify` of systemd): that it is ready, reads its configuration
//! again, or stops, how it is, and that it is alive. A datagram each, to the socket that `NOTIFY_SOCKET` names; nothing is said
//! where there is none.

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::task::JoinSet;

use crate::store::{Store, StoreError};

/// How often the status is looked at where nobody asks for signs of life.
const LOOK: Duration = Duration::from_secs(10);

/// The service manager; or none.
#[derive(Debug, Clone, Default)]
pub struct ServiceManager {
    way: Option<Arc<NotifySocket>>,
    /// Within which time it wants a sign of life.
    watchdog: Option<Duration>,
}

#[derive(Debug)]
struct NotifySocket {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl ServiceManager {
    /// Finds it by what it has put into the environment: `NOTIFY_SOCKET`, a path or, with `@` before it, an abstract name;
    /// `WATCHDOG_USEC`, and `WATCHDOG_PID` where that is for one process.
    ///
    /// # Errors
    /// When `NOTIFY_SOCKET` names nothing that can be a socket, or we can have none.
    pub fn find(variable: impl Fn(&str) -> Option<OsString>) -> io::Result<Self> {
        let Some(name) = variable("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Ok(Self::default());
        };
        let address = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            [b'/', ..] => SocketAddr::from_pathname(Path::new(&name))?,
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "NOTIFY_SOCKET is no path and no @name",
                ));
            }
        };
        let socket = UnixDatagram::unbound()?;
        // Nobody waits for who does not read.
        socket.set_nonblocking(true)?;
        let number = |name: &str| variable(name)?.to_str()?.parse::<u64>().ok();
        let is_ours = number("WATCHDOG_PID").is_none_or(|process| process == u64::from(std::process::id()));
        let watchdog =
            number("WATCHDOG_USEC").filter(|micros| is_ours && *micros > 0).map(Duration::from_micros);
        Ok(Self { way: Some(Arc::new(NotifySocket { socket, address })), watchdog })
    }

    /// All is in force, and clients are served.
    pub(super) fn ready(&self) {
        self.say("READY=1");
    }

    /// The configuration is being read again; [`ready`](Self::ready) ends it.
    pub(super) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec.unsigned_abs() * 1_000_000 + now.tv_nsec.unsigned_abs() / 1_000;
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// It ends in good order.
    pub(super) fn stopping(&self) {
        self.say("STOPPING=1\nSTATUS=stopping");
    }

    fn say(&self, words: &str) {
        if let Some(way) = &self.way {
            // Who does not hear it takes us for what we were; there is nobody else to tell.
            let _ = way.socket.send_to_addr(words.as_bytes(), &way.address);
        }
    }

    /// Tells from now on how the relay is, and gives signs of life: only while the runtime turns and the store's writer answers. A
    /// disk that fails is an answer, for another start would not mend it.
    pub(super) fn attend(&self, store: Arc<dyn Store>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        if self.way.is_some() {
            let manager = self.clone();
            tasks.spawn(async move { manager.tell(&*store).await });
        }
        tasks
    }

    async fn tell(&self, store: &dyn Store) {
        let pause = self.watchdog.map_or(LOOK, |within| within / 3);
        let mut told = String::new();
        loop {
            let answers = !matches!(store.answers().await, Err(StoreError::Closed));
            if answers && self.watchdog.is_some() {
                self.say("WATCHDOG=1");
            }
            let status = status(store);
            if status != told {
                self.say(&format!("STATUS={status}"));
                told = status;
            }
            tokio::time::sleep(pause).await;
        }
    }
}

/// How the relay is, in a line.
fn status(store: &dyn Store) -> String {
    let queued = match store.queue_length() {
        1 => "1 message".to_owned(),
        more => format!("{more} messages"),
    };
    match store.healthy() {
        Ok(()) => format!("serving, {queued} in the queue"),
        Err(_) => format!("the store accepts nothing: see the log; {queued} in the queue"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finds the manager of this environment; `heard` reads what it is told.
    fn find(name: &str, more: &[(&str, String)]) -> io::Result<ServiceManager> {
        let all: Vec<(String, String)> = [("NOTIFY_SOCKET".to_owned(), name.to_owned())]
            .into_iter()
            .chain(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())))
            .collect();
        ServiceManager::find(|name| {
            all.iter().find(|(known, _)| known == name).map(|(_, value)| value.into())
        })
    }

    fn heard(socket: &UnixDatagram) -> String {
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn speaks_to_sockets_with_and_without_a_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("mailsluice-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        let by_name = UnixDatagram::bind_addr(&address).unwrap();
        for (socket, name) in
            [(&by_path, path.to_string_lossy().into_owned()), (&by_name, format!("@{name}"))]
        {
            let manager = find(&name, &[]).unwrap();
            manager.ready();
            assert_eq!(heard(socket), "READY=1");
            manager.reloading();
            let words = heard(socket);
            let micros = words.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
            assert!(micros.parse::<u64>().unwrap() > 0, "{words}");
            manager.stopping();
            assert_eq!(heard(socket), "STOPPING=1\nSTATUS=stopping");
        }
    }

    #[test]
    fn a_watchdog_is_for_its_own_process() {
        let own = u64::from(std::process::id());
        for (process, micros, want) in [
            (None, Some("3000000"), Some(3)),
            (Some(own), Some("3000000"), Some(3)),
            (Some(own + 1), Some("3000000"), None),
            (None, Some("0"), None),
            (None, None, None),
        ] {
            let mut more = Vec::new();
            more.extend(process.map(|process| ("WATCHDOG_PID", process.to_string())));
            more.extend(micros.map(|micros| ("WATCHDOG_USEC", micros.to_owned())));
            assert_eq!(find("@x", &more).unwrap().watchdog, want.map(Duration::from_secs), "{more:?}");
        }
        assert!(find("relative", &[]).is_err());
        assert!(find("", &[]).unwrap().way.is_none());
        // Nobody hears it: nothing happens.
        find("/nowhere/notify", &[]).unwrap().ready();
    }
}
