//! The addresses of hosts, as the machine knows them: `/etc/hosts`, other containers, the local network, the DNS.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// How many look-ups are under way at most. Each holds a thread until the resolver answers, also when nobody waits for it any
/// more: with a resolver that hangs, this many threads hang, and the others serve files and passwords.
const MOST_AT_ONCE: usize = 16;

/// Looks hosts up by the system's resolver, a bounded number at a time, all who share it together.
#[derive(Debug, Clone)]
pub struct HostLookups {
    places: Arc<Semaphore>,
}

impl Default for HostLookups {
    fn default() -> Self {
        Self::at_once(MOST_AT_ONCE)
    }
}

impl HostLookups {
    fn at_once(places: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(places)) }
    }

    /// The addresses of a host, with the port, in the resolver's order (RFC 6724). An address is its own answer, at once. Whoever
    /// calls sets the time-out: a resolver may take as long as it likes.
    ///
    /// # Errors
    /// What the resolver says.
    pub async fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        self.ask({
            let host = host.to_owned();
            move || (host.as_str(), port).to_socket_addrs().map(Iterator::collect)
        })
        .await
    }

    /// The place is given back when the resolver has answered, not when the caller has gone.
    async fn ask<T: Send + 'static>(
        &self,
        look: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let place = self.places.clone().acquire_owned().await.map_err(io::Error::other)?;
        let answer = spawn_blocking(move || {
            let answer = look();
            drop(place);
            answer
        });
        answer.await.map_err(io::Error::other)?
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn finds_a_host_and_takes_an_address_as_it_is() {
        let lookups = HostLookups::default();
        let found = lookups.addresses("localhost", 25).await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 25), "{found:?}");
        assert!(!found.is_empty());
        let nobody = HostLookups::at_once(0);
        assert_eq!(nobody.addresses("::1", 25).await.unwrap(), ["[::1]:25".parse().unwrap()]);
    }

    /// Callers go; the thread of a look-up that hangs still counts, and its place comes back when it ends.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_look_up_counts_until_the_resolver_answers() {
        let lookups = HostLookups::at_once(1);
        let (answer, hangs) = mpsc::channel::<()>();
        let hanging = tokio::spawn({
            let lookups = lookups.clone();
            async move { lookups.ask(move || hangs.recv().map_err(io::Error::other)).await }
        });
        while lookups.places.available_permits() == 1 {
            tokio::task::yield_now().await;
        }
        hanging.abort();
        assert!(hanging.await.unwrap_err().is_cancelled());
        let waits = timeout(Duration::from_millis(20), lookups.ask(|| Ok(())));
        assert!(waits.await.is_err(), "the resolver has not answered");
        answer.send(()).unwrap();
        lookups.ask(|| Ok(())).await.unwrap();
    }
}
