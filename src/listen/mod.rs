//! Accepts connections, and starts a session for each that there is room for.
//!
//! Level 6. [`serve`] runs once per listener; all listeners share one [`Gate`].

mod gate;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use gate::{Gate, Pass, Surplus};

use crate::config::Listener;
use crate::session::{self, Peer, Services};
use crate::smtp::Reply;

/// The wait after the system refused us a connection (no file descriptors left, for example).
const BACK_OFF: Duration = Duration::from_millis(200);

/// Opens a listener's socket.
///
/// # Errors
/// With the system's reason: the port is taken, or needs a privilege, or the address is not ours.
pub async fn bind(listener: &Listener) -> io::Result<TcpListener> {
    TcpListener::bind(listener.address).await
}

/// Accepts connections until `stopping` turns true, then waits for the sessions to end.
///
/// The caller bounds that last wait (`shutdown_grace`): when this is dropped, so are the sessions.
pub async fn serve(
    socket: TcpListener,
    listener: Arc<Listener>,
    services: Arc<Services>,
    gate: Arc<Gate>,
    mut stopping: watch::Receiver<bool>,
) {
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
        match accepted {
            Ok((stream, from)) => match welcome(&stream, from, &gate) {
                Ok((pass, ip)) => {
                    let peer = Peer { ip, session_id: session_id(), listener: listener.clone() };
                    let (services, stopping) = (services.clone(), stopping.clone());
                    sessions.spawn(async move {
                        session::run(stream, peer, services, stopping).await;
                        drop(pass);
                    });
                }
                Err(surplus) => turn_away(stream, from, surplus, &services.config.hostname),
            },
            Err(error) => {
                tracing::warn!(event = "accept_failed", listener = %listener.address, reason = %error);
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
    drop(socket);
    while sessions.join_next().await.is_some() {}
}

/// Asks the gate, and sets the connection up.
fn welcome(stream: &TcpStream, from: SocketAddr, gate: &Arc<Gate>) -> Result<(Pass, IpAddr), Surplus> {
    let ip = from.ip().to_canonical();
    let pass = gate.enter(ip)?;
    // Replies are written whole; waiting for more to send would only delay them. It works without, too.
    let _ = stream.set_nodelay(true);
    Ok((pass, ip))
}

/// Says why, and closes. The socket's buffer is empty, so this does not wait.
fn turn_away(stream: TcpStream, from: SocketAddr, surplus: Surplus, hostname: &str) {
    let reply = surplus.reply(hostname);
    tracing::info!(event = "rejected", client = %from.ip().to_canonical(), reply = %reply, reason = "connections");
    if let Ok(mut stream) = stream.into_std() {
        // A client that is gone already does not miss it.
        let _ = io::Write::write(&mut stream, &reply.to_wire());
    }
}

impl Surplus {
    /// What the client is told.
    fn reply(self, hostname: &str) -> Reply {
        match self {
            Self::All => {
                Reply::new(421, (4, 3, 2), format!("{hostname} has too many connections, try again later"))
            }
            Self::Client => {
                Reply::new(421, (4, 7, 0), format!("{hostname}: too many connections from your address"))
            }
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
    fn tells_the_surplus_why() {
        for (surplus, want) in [(Surplus::All, "421 4.3.2 "), (Surplus::Client, "421 4.7.0 ")] {
            assert!(surplus.reply("relay.example").to_string().starts_with(want));
        }
    }
}
