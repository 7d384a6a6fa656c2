//! All listeners of a relay: which are open, and how a reload opens, closes and changes them.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::{Id, JoinSet};

use super::gate::Gate;
use super::serving::serve;
use super::sockets::open_beside;
use crate::config::{self, Listener};
use crate::session::{Door, Services};

/// A listener's address can't be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen at {address}: {reason}; is another program using the port, or is it below 1024?")]
pub struct ListenError {
    /// Which.
    pub address: SocketAddr,
    /// What the system says.
    pub reason: io::Error,
}

/// Sockets that are open though nobody is served yet. Dropped, they are closed.
#[derive(Debug, Default)]
pub struct BoundSockets(Vec<(SocketAddr, TcpListener)>);

/// The listeners that are open, and those whose last sessions end.
pub struct Listeners {
    gate: Arc<Gate>,
    open: BTreeMap<SocketAddr, OpenListener>,
    /// Each accepts connections, and waits for its sessions.
    tasks: JoinSet<()>,
}

struct OpenListener {
    door: Arc<ArcSwap<Door>>,
    /// The task has it; it is closed when that lets it go.
    socket: Weak<TcpListener>,
    stop: watch::Sender<bool>,
    /// Ends when the socket is closed.
    closed: oneshot::Receiver<()>,
    task: Id,
}

impl Listeners {
    /// None is open yet.
    #[must_use]
    pub fn new(session: &config::Session) -> Self {
        let gate = Gate::new(session.max_connections, session.max_connections_per_client);
        Self { gate: Arc::new(gate), open: BTreeMap::new(), tasks: JoinSet::new() }
    }

    /// Opens the sockets that these listeners need and that are not open. Nothing that is open changes.
    ///
    /// # Errors
    /// With the first that the system refuses: then none of them is open.
    pub fn bind(&self, listeners: &[Listener]) -> Result<BoundSockets, ListenError> {
        let stays = |address: &SocketAddr| listeners.iter().any(|listener| listener.address == *address);
        let leaving: Vec<_> = self
            .open
            .iter()
            .filter(|(address, _)| !stays(address))
            .filter_map(|(address, open)| Some((*address, open.socket.upgrade()?)))
            .collect();
        let mut bound = BoundSockets::default();
        for Listener { address, .. } in listeners.iter().filter(|l| !self.open.contains_key(&l.address)) {
            let at_its_port = leaving.iter().filter(|(leaving, _)| leaving.port() == address.port());
            let at_its_port: Vec<_> = at_its_port.map(|(_, socket)| &**socket).collect();
            let socket = open_beside(*address, &at_its_port)
                .map_err(|reason| ListenError { address: *address, reason })?;
            bound.0.push((*address, socket));
        }
        Ok(bound)
    }

    /// Puts these listeners in force, for which [`bind`](Self::bind) has made `bound`: new ones are served, those that are
    /// no more are closed when this returns. Their sessions finish the message that is under way.
    pub async fn follow(&mut self, bound: BoundSockets, listeners: &[Listener], services: &Arc<Services>) {
        let session = &services.config.session;
        self.gate.resize(session.max_connections, session.max_connections_per_client);
        for listener in listeners {
            if let Some(open) = self.open.get(&listener.address) {
                open.door.store(Arc::new(Door::new(listener, services.clone())));
            }
        }
        for (address, socket) in bound.0 {
            if let Some(listener) = listeners.iter().find(|listener| listener.address == address) {
                self.serve(address, socket, Door::new(listener, services.clone()));
            }
        }
        let gone = |address: &SocketAddr| !listeners.iter().any(|listener| listener.address == *address);
        let gone: Vec<SocketAddr> = self.open.keys().copied().filter(gone).collect();
        for open in gone.iter().filter_map(|address| self.open.remove(address)) {
            // Who is no user any more is none in these sessions either.
            open.door.rcu(|door| Door { services: services.clone(), ..Door::clone(door) });
            open.stop.send_replace(true);
            let _ = open.closed.await;
        }
    }

    fn serve(&mut self, address: SocketAddr, socket: TcpListener, door: Door) {
        let door = Arc::new(ArcSwap::from_pointee(door));
        let socket = Arc::new(socket);
        let weak = Arc::downgrade(&socket);
        let (stop, stopping) = watch::channel(false);
        let (closing, closed) = oneshot::channel();
        let serving = self.tasks.spawn(serve(socket, door.clone(), self.gate.clone(), stopping, closing));
        let open = OpenListener { door, socket: weak, stop, closed, task: serving.id() };
        self.open.insert(address, open);
    }

    /// Waits for a listener that ends although nobody has told it to: a fault of ours that must not go unseen.
    pub async fn failed(&mut self) -> String {
        loop {
            let (id, fault) = match self.tasks.join_next_with_id().await {
                None => std::future::pending().await,
                Some(Ok((id, ()))) => (id, "it stopped".to_owned()),
                Some(Err(error)) => (error.id(), error.to_string()),
            };
            if let Some((address, _)) = self.open.iter().find(|(_, open)| open.task == id) {
                return format!("the listener {address} has ended: {fault}");
            }
        }
    }

    /// Closes all of them. Sessions finish the message that is under way.
    pub fn stop(&mut self) {
        for open in std::mem::take(&mut self.open).into_values() {
            open.stop.send_replace(true);
        }
    }

    /// Waits for all sessions; to be called behind [`stop`](Self::stop).
    pub async fn ended(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    /// Ends all sessions where they are.
    pub async fn shutdown(&mut self) {
        self.tasks.shutdown().await;
    }
}
