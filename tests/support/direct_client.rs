//! A client of the relay, in a session over a pipe.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use mailsluice::memory::MemoryBudget;
use mailsluice::policy::admission::Admission;
use mailsluice::policy::pacing::Pacing;
use mailsluice::policy::users::{LoginSecret, Users};
use mailsluice::session::{self, Door, Services};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::simulation::Simulation;

/// A client in a session.
pub struct Client {
    pub stream: BufReader<DuplexStream>,
    pub session: JoinHandle<()>,
    listener: usize,
    door: Arc<ArcSwap<Door>>,
    _stop: watch::Sender<bool>,
}

impl Client {
    /// At the relay's listener of that number, greeted.
    pub async fn at(sim: &Simulation, listener: usize) -> Self {
        Self::of(sim, listener, [127, 0, 0, 1].into()).await
    }

    /// The same, from this address.
    pub async fn of(sim: &Simulation, listener: usize, ip: IpAddr) -> Self {
        let door = Arc::new(ArcSwap::from_pointee(door(sim, listener)));
        let (stop, stopping) = watch::channel(false);
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let running = session::run(theirs, ip, "s1".into(), door.clone(), stopping);
        let session = tokio::spawn(running);
        let mut client = Self { stream: BufReader::new(ours), session, listener, door, _stop: stop };
        assert!(client.reply().await.starts_with("220 "));
        assert!(client.say("EHLO client.example").await.starts_with("250"));
        client
    }

    /// The relay has another configuration: the session has it from its next message on.
    pub fn follow(&self, sim: &Simulation) {
        self.door.store(Arc::new(door(sim, self.listener)));
    }

    /// The next reply, its lines joined by `|`.
    pub async fn reply(&mut self) -> String {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).await.unwrap();
            assert!(line.ends_with("\r\n"), "{lines:?} {line:?}");
            let last = line.as_bytes()[3] == b' ';
            lines.push(line.trim_end().to_owned());
            if last {
                return lines.join("|");
            }
        }
    }

    pub async fn write(&mut self, octets: &[u8]) {
        self.stream.get_mut().write_all(octets).await.unwrap();
    }

    pub async fn say(&mut self, line: &str) -> String {
        self.write(format!("{line}\r\n").as_bytes()).await;
        self.reply().await
    }

    /// A whole message: the replies to MAIL, each RCPT, and to DATA or the final dot.
    pub async fn send(&mut self, from: &str, to: &[&str], header_from: &str) -> Vec<String> {
        let mut replies = vec![self.say(&format!("MAIL FROM:<{from}>")).await];
        for to in to {
            replies.push(self.say(&format!("RCPT TO:<{to}>")).await);
        }
        let data = self.say("DATA").await;
        if data.starts_with("354") {
            let text = format!("From: {header_from}\r\nSubject: x\r\n\r\nHello.\r\n.");
            replies.push(self.say(&text).await);
        } else {
            replies.push(data);
            self.say("RSET").await;
        }
        replies
    }

    /// It goes without a word.
    pub async fn leave(self) {
        drop(self.stream);
        self.session.await.unwrap();
    }
}

/// What sessions get of the configuration in force.
pub fn door(sim: &Simulation, listener: usize) -> Door {
    let core = sim.core.as_ref().unwrap();
    let context = &core.context;
    let config = context.config.clone();
    let services = Services {
        instance: core.instance,
        store: context.store.clone(),
        timeline: context.timeline.clone(),
        router: context.router.clone(),
        transformer: context.transformer.clone(),
        wakeups: context.wakeups.clone(),
        limit_waits: context.limit_waits.clone(),
        test_mode: core.test_mode.clone(),
        memory: MemoryBudget::new(config.session.memory_in()),
        admission: Arc::new(Admission::new(&config)),
        users: Arc::new(Users::new(&config, LoginSecret::random(), context.timeline.clone())),
        pacing: Arc::new(Pacing::new(context.timeline.clone())),
        estimate: Arc::new(sim.estimate()),
        metrics: context.metrics.clone(),
        direct: core.direct.clone(),
        config: config.clone(),
    };
    let listener = Arc::new(config.listeners[listener].clone());
    Door { listener, tls: None, services: Arc::new(services) }
}
