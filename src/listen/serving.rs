//! Accepts connections, and starts a session for each that there is room for.
//!
//! [`serve`] runs once per listener; all listeners share one [`Gate`]. What a session gets stands in a [`Door`],
//! which is exchanged as a whole when the configuration is read again. [`Listeners`](super::Listeners) are all of them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::gate::{ConnectionRefused, Gate, Pass};
use super::proxy_protocol::{self, HeaderProgress, ProxyFault};
use super::tls;

use crate::config::{Listener, TlsMode};
use crate::mail::ClientNetwork;
use crate::session::{self, Door, Services};
use crate::smtp::Reply;

/// The wait after the system refused us a connection (no file descriptors left, for example).
const BACK_OFF: Duration = Duration::from_millis(200);
/// Why a connection is refused, as the log has it.
const NO_ROOM: &str = "connections";
/// How long a proxy may take to say whom it speaks for.
const PROXY_TIMEOUT: Duration = Duration::from_secs(10);

impl Door {
    /// The door of a listener.
    #[must_use]
    pub fn new(listener: &Listener, services: Arc<Services>) -> Self {
        Self { listener: Arc::new(listener.clone()), tls: tls::load(listener), services }
    }
}

/// Accepts connections until `stopping` turns true, closes the socket and drops `closing`, then waits for the sessions to end.
///
/// The caller bounds that last wait (`shutdown_grace`): when this is dropped, so are the sessions.
pub async fn serve(
    socket: Arc<TcpListener>,
    doors: Arc<ArcSwap<Door>>,
    gate: Arc<Gate>,
    stopping: watch::Receiver<bool>,
    closing: oneshot::Sender<()>,
) {
    let mut sessions = accept_all(socket, doors, gate, stopping).await;
    drop(closing);
    while sessions.join_next().await.is_some() {}
}

/// Accepts connections until `stopping` turns true, and closes the socket. Returns the sessions that are left.
async fn accept_all(
    socket: Arc<TcpListener>,
    doors: Arc<ArcSwap<Door>>,
    gate: Arc<Gate>,
    mut stopping: watch::Receiver<bool>,
) -> JoinSet<()> {
    let mut sessions = JoinSet::new();
    while !*stopping.borrow() {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            Some(_) = sessions.join_next(), if !sessions.is_empty() => continue,
            changed = stopping.changed() => match changed {
                Ok(()) => continue,
                // Nobody can stop us any more, which is how a relay that is going down looks from here.
                Err(_) => break,
            },
        };
        let door = doors.load_full();
        match accepted {
            Ok((stream, from)) => match admit_connection(&stream, from, &door, &gate) {
                Ok(pass) => {
                    let admitted = AdmittedConnection { stream, from, door, pass };
                    sessions.spawn(serve_connection(admitted, doors.clone(), stopping.clone()));
                }
                Err(refused) => turn_away(stream, from.ip(), refused, &door),
            },
            Err(error) => {
                tracing::warn!(event = "accept_failed", listener = %door.listener.address, reason = %error);
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
    sessions
}

/// A connection that was let in.
struct AdmittedConnection {
    stream: TcpStream,
    from: SocketAddr,
    /// What was in force when it was let in: it tells whether the pass is still to be named. By now it may have changed.
    door: Arc<Door>,
    pass: Pass,
}

/// Asks the gate, and sets the connection up. A proxy's pass is still to be named.
fn admit_connection(
    stream: &TcpStream,
    from: SocketAddr,
    door: &Door,
    gate: &Arc<Gate>,
) -> Result<Pass, ConnectionRefused> {
    let ip = from.ip().to_canonical();
    let pass = if is_proxy(&door.listener, ip) {
        gate.enter_unnamed()?
    } else {
        let client = ClientNetwork::of(ip);
        door.services.pacing.connection(client).map_err(ConnectionRefused::Pace)?;
        gate.enter(client)?
    };
    // Replies are written whole; waiting for more to send would only delay them. It works without, too.
    let _ = stream.set_nodelay(true);
    Ok(pass)
}

fn is_proxy(listener: &Listener, ip: IpAddr) -> bool {
    listener.proxy_protocol_from.iter().any(|net| net.contains(&ip))
}

/// Serves one connection, from the first octet to the last.
async fn serve_connection(
    admitted: AdmittedConnection,
    doors: Arc<ArcSwap<Door>>,
    stopping: watch::Receiver<bool>,
) {
    let AdmittedConnection { mut stream, from, door, mut pass } = admitted;
    let mut ip = from.ip().to_canonical();
    if is_proxy(&door.listener, ip) {
        match timeout(PROXY_TIMEOUT, read_proxy_header(&mut stream))
            .await
            .unwrap_or(Err(ProxyHeaderError::Timeout))
        {
            Ok(client) => ip = client.map_or(ip, |client| client.ip().to_canonical()),
            Err(reason) => {
                tracing::warn!(event = "proxy_refused", client = %ip, listener = %door.listener.address, %reason);
                return;
            }
        }
        let client = ClientNetwork::of(ip);
        let pace = door.services.pacing.connection(client).map_err(ConnectionRefused::Pace);
        if let Err(refused) = pace.and_then(|()| pass.name(client)) {
            return turn_away(stream, ip, refused, &door);
        }
    }
    let counted = door.services.metrics.session_begins();
    // What was in force when the client came in is not kept for as long as it stays.
    drop(door);
    // It is large, and nothing else of this task is.
    Box::pin(session::run(stream, ip, session_id(), doors, stopping)).await;
    drop(counted);
    drop(pass);
}

/// Why a proxy's connection is closed without a word.
#[derive(Debug, thiserror::Error)]
enum ProxyHeaderError {
    /// What it said is no header.
    #[error("{0}")]
    Fault(#[from] ProxyFault),
    /// The connection broke.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The proxy said too little.
    #[error("the proxy did not send a whole PROXY header in time")]
    Timeout,
}

/// Reads the PROXY header, and not an octet more. Returns the client that the proxy speaks for, if it does.
async fn read_proxy_header(stream: &mut TcpStream) -> Result<Option<SocketAddr>, ProxyHeaderError> {
    let mut header = Vec::new();
    loop {
        match proxy_protocol::parse(&header)? {
            HeaderProgress::Done { client, .. } => return Ok(client),
            HeaderProgress::More(octets) => {
                let known = header.len();
                header.resize(known + octets, 0);
                stream.read_exact(&mut header[known..]).await?;
            }
        }
    }
}

/// Says why, and closes. The socket's buffer is empty, so this does not wait.
fn turn_away(stream: TcpStream, client: IpAddr, refused: ConnectionRefused, door: &Door) {
    let reply = refused.reply(&door.services.config.hostname);
    tracing::info!(
        event = "rejected",
        client = %client.to_canonical(),
        listener = %door.listener.address,
        reply = %reply,
        reason = NO_ROOM,
    );
    door.services.metrics.rejected(NO_ROOM);
    // Who expects TLS can't read clear text.
    let reads = door.listener.tls.as_ref().is_none_or(|tls| tls.mode == TlsMode::StartTls);
    if let Some(mut stream) = reads.then(|| stream.into_std().ok()).flatten() {
        // A client that is gone already does not miss it.
        let _ = io::Write::write(&mut stream, &reply.to_wire());
    }
}

impl ConnectionRefused {
    /// What the client is told.
    fn reply(self, hostname: &str) -> Reply {
        match self {
            Self::All => {
                Reply::new(421, (4, 3, 2), format!("{hostname} has too many connections, try again later"))
            }
            Self::Client => {
                Reply::new(421, (4, 7, 0), format!("{hostname}: too many connections from your address"))
            }
            Self::Pace(too_fast) => too_fast.greeting(hostname),
        }
    }
}

/// A short name for the log, different from all that are in use at the time, for all practical purposes.
fn session_id() -> String {
    format!("{:08x}", rand::random::<u32>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_refused_why() {
        for (refused, want) in
            [(ConnectionRefused::All, "421 4.3.2 "), (ConnectionRefused::Client, "421 4.7.0 ")]
        {
            assert!(refused.reply("relay.example").to_string().starts_with(want));
        }
    }
}
