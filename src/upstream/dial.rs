//! Reaches an upstream over TCP: resolves its name and tries its addresses in turn (RFC 5321 5.1).

use std::net::{IpAddr, SocketAddr};

use async_trait::async_trait;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};

use super::dial_error::DialError;
use super::observer::Observer;
use super::step::StepFinding;
use super::stream::Stream;
use crate::config::authority;
use crate::dns::HostLookups;

/// The most addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;

/// What to reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The local address to connect from.
    pub source_address: Option<IpAddr>,
}

impl Target {
    /// The host without brackets.
    pub(super) fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Host and port, as they stand in a URL.
    pub(super) fn authority(&self) -> String {
        authority(self.bare_host(), self.port)
    }
}

/// A connection that stands, and who answered.
pub struct Dialled {
    /// The connection.
    pub stream: Box<dyn Stream>,
    /// The address that answered.
    pub peer: SocketAddr,
}

/// Reaches upstreams. The tests have one without a network.
#[async_trait]
pub trait Dial: Send + Sync {
    /// Connects before the deadline. The observer is told of the addresses that are found, and of each that fails.
    ///
    /// # Errors
    /// Names each address that was tried, and why it failed.
    async fn dial(
        &self,
        target: &Target,
        deadline: Instant,
        observer: &Observer,
    ) -> Result<Dialled, DialError>;
}

/// TCP, with the names of the system's resolver.
#[derive(Debug, Clone, Default)]
pub struct TcpDial {
    lookups: HostLookups,
}

impl TcpDial {
    /// Shares the look-ups of hosts with others.
    #[must_use]
    pub fn new(lookups: HostLookups) -> Self {
        Self { lookups }
    }

    /// The addresses to try, in order.
    async fn resolve(&self, target: &Target, deadline: Instant) -> Result<Vec<SocketAddr>, DialError> {
        let unresolved = |reason: String| DialError::Unresolved { host: target.host.clone(), reason };
        let host = target.bare_host();
        let found = match timeout_at(deadline, self.lookups.addresses(host, target.port)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return Err(unresolved(error.to_string())),
            Err(_) => return Err(unresolved("the resolver did not answer".to_owned())),
        };
        if found.is_empty() {
            return Err(unresolved("it has no address".to_owned()));
        }
        let usable: Vec<_> = found
            .into_iter()
            .filter(|address| {
                target.source_address.is_none_or(|source| source.is_ipv4() == address.is_ipv4())
            })
            .collect();
        if usable.is_empty() {
            return Err(DialError::Family { host: target.host.clone() });
        }
        Ok(in_turn(usable))
    }
}

#[async_trait]
impl Dial for TcpDial {
    async fn dial(
        &self,
        target: &Target,
        deadline: Instant,
        observer: &Observer,
    ) -> Result<Dialled, DialError> {
        let addresses = self.resolve(target, deadline).await?;
        observer.found(|| StepFinding::Resolved(addresses.clone()));
        let mut tried: Vec<(SocketAddr, String)> = Vec::new();
        for (index, &address) in addresses.iter().enumerate() {
            let until = share(deadline, addresses.len() - index);
            let reason = match timeout_at(until, connect(address, target.source_address)).await {
                Ok(Ok(stream)) => return Ok(Dialled { stream: Box::new(stream), peer: address }),
                Ok(Err(error)) => plain(&error),
                Err(_) => "no answer".to_owned(),
            };
            observer.tried(address, &reason);
            tried.push((address, reason));
        }
        Err(DialError::Unreachable { host: target.host.clone(), tried })
    }
}

/// What the system says, without its number and capital letter: it stands in the middle of a sentence.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error ").next().unwrap_or_default();
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

/// Each address that is left gets an equal share of the time that is left, so that a silent one does not use up all.
fn share(deadline: Instant, left: usize) -> Instant {
    let now = Instant::now();
    let remaining = deadline.saturating_duration_since(now);
    now + remaining / u32::try_from(left.max(1)).unwrap_or(u32::MAX)
}

/// The resolver's order (RFC 6724), with the families in turn: a machine without working IPv6 is met by the second.
fn in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|a| a.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut order = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            order.dedup();
            order.truncate(MAX_ADDRESSES);
            return order;
        }
        order.extend(pair.into_iter().flatten());
    }
}

async fn connect(address: SocketAddr, source: Option<IpAddr>) -> std::io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    let stream = socket.connect(address).await?;
    // Commands and the final dot are small and answered at once: waiting to fill a packet only costs time.
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use std::time::Duration;

    use crate::upstream::stream::deadline_in;

    fn nobody() -> Observer {
        Observer::default()
    }

    fn target(host: &str, port: u16) -> Target {
        Target { host: host.to_owned(), port, source_address: None }
    }

    #[test]
    fn families_take_turns() {
        let parse = |list: &[&str]| list.iter().map(|a| a.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let (a, b, c) = ("[2001:db8::1]:25", "[2001:db8::2]:25", "192.0.2.1:25");
        assert_eq!(in_turn(parse(&[a, b, c])), parse(&[a, c, b]));
        assert_eq!(in_turn(parse(&[c, a, b])), parse(&[c, a, b]));
        assert_eq!(in_turn(parse(&[a])), parse(&[a]));
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_is_shared() {
        let deadline = Instant::now() + Duration::from_mins(1);
        assert_eq!(share(deadline, 3) - Instant::now(), Duration::from_secs(20));
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(share(deadline, 2) - Instant::now(), Duration::from_secs(20));
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(share(deadline, 1), Instant::now());
    }

    #[tokio::test]
    async fn reaches_a_listener_from_the_source_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let source = "127.0.0.9".parse().unwrap();
        let to = Target { source_address: Some(source), ..target("127.0.0.1", address.port()) };
        let dialled =
            TcpDial::default().dial(&to, deadline_in(Duration::from_secs(5)), &nobody()).await.ok().unwrap();
        assert_eq!(dialled.peer, address);
        assert_eq!(listener.accept().await.unwrap().1.ip(), source);
    }

    #[tokio::test]
    async fn an_address_that_refuses_gives_way_to_the_next() {
        // Where localhost has ::1, too, it is tried and refuses.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let deadline = deadline_in(Duration::from_secs(5));
        let dialled = TcpDial::default()
            .dial(&target("localhost", address.port()), deadline, &nobody())
            .await
            .ok()
            .unwrap();
        assert_eq!(dialled.peer, address);
    }

    #[tokio::test]
    async fn tells_what_was_tried() {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let deadline = deadline_in(Duration::from_secs(5));
        let error = TcpDial::default()
            .dial(&target("127.0.0.1", port), deadline, &nobody())
            .await
            .err()
            .unwrap()
            .to_string();
        assert_eq!(error, format!("connect to 127.0.0.1:{port}: connection refused"));
        let v6 = Target { source_address: Some("::1".parse().unwrap()), ..target("127.0.0.1", port) };
        let error = TcpDial::default().dial(&v6, deadline, &nobody()).await.err().unwrap();
        assert_eq!(error, DialError::Family { host: "127.0.0.1".into() });
    }

    #[tokio::test]
    async fn a_name_that_is_none() {
        let error = TcpDial::default()
            .dial(&target("no name at all", 25), deadline_in(Duration::from_secs(5)), &nobody())
            .await
            .err()
            .unwrap();
        assert!(matches!(error, DialError::Unresolved { .. }), "{error}");
    }
}
