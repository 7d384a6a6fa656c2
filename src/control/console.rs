//! The interface at the console's address: TCP, for whoever shows a token.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Extension;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::access::ClientAddress;
use super::serving::{self, AdmittedClient};
use super::{SharedState, api};
use crate::mail::ClientNetwork;

/// Connections at the same time.
const MAX_CONNECTIONS: usize = 128;
/// Of them, from one client.
const MAX_OF_ONE: usize = 32;
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 128;

/// The address can't be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen at {address} for the console: {reason}; is another program using the port?")]
pub struct ConsoleError {
    /// Which.
    pub address: SocketAddr,
    /// What the system says.
    pub reason: io::Error,
}

/// The console's address, open though nobody is served yet.
#[derive(Debug)]
pub struct ConsoleSocket(TcpListener);

impl ConsoleSocket {
    /// Opens the address. To be called within a tokio runtime.
    ///
    /// # Errors
    /// When the system refuses it: the port is taken, or the address is not ours.
    pub fn bind(address: SocketAddr) -> Result<Self, ConsoleError> {
        let open = || {
            let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)
        };
        open().map(Self).map_err(|reason| ConsoleError { address, reason })
    }

    /// Where it listens, with the port that the system has chosen where none was named.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Answers requests until `stop` is done; those under way then get a short time to end.
    pub async fn serve(self, state: SharedState, stop: impl Future<Output = ()> + Send) {
        let router = api::guarded(state);
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let clients = Arc::new(ClientCounts::default());
        let accept = async || {
            let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
            let (stream, client) = self.0.accept().await?;
            let counted = clients.count(ClientNetwork::of(client.ip()));
            Ok(counted.map(|counted| AdmittedClient {
                stream,
                place: ConsolePlace { _place: place, _counted: counted },
                router: router.clone().layer(Extension(ClientAddress(client))),
            }))
        };
        serving::serve(accept, stop).await;
    }
}

/// A connection's place.
struct ConsolePlace {
    _place: OwnedSemaphorePermit,
    _counted: CountedClient,
}

/// How many connections each client has.
#[derive(Default)]
struct ClientCounts(Mutex<HashMap<ClientNetwork, usize>>);

/// A connection that is counted; no more when this is dropped.
struct CountedClient {
    counts: Arc<ClientCounts>,
    client: ClientNetwork,
}

impl ClientCounts {
    /// Counts a connection; `None` when the client has as many as it may.
    fn count(self: &Arc<Self>, client: ClientNetwork) -> Option<CountedClient> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(client).or_default();
        if *count >= MAX_OF_ONE {
            return None;
        }
        *count += 1;
        Some(CountedClient { counts: self.clone(), client })
    }
}

impl Drop for CountedClient {
    fn drop(&mut self) {
        let mut counts = self.counts.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_leaves_room_for_others() {
        let counts = Arc::new(ClientCounts::default());
        let network = |text: &str| ClientNetwork::of(text.parse().unwrap());
        let mut held: Vec<_> =
            (0..MAX_OF_ONE).map(|_| counts.count(network("2001:db8::1")).unwrap()).collect();
        assert!(counts.count(network("2001:db8::2")).is_none());
        assert!(counts.count(network("192.0.2.1")).is_some());
        held.pop();
        assert!(counts.count(network("2001:db8::2")).is_some());
        drop(held);
        assert!(counts.0.lock().unwrap().is_empty());
    }
}
