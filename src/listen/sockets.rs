//! Opens listening sockets.

use std::io;
use std::net::SocketAddr;

use rustix::net::sockopt::set_socket_reuseport;
use tokio::net::{TcpListener, TcpSocket};

use crate::config::Listener;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Opens a listener's socket. To be called within a tokio runtime.
///
/// # Errors
/// With the system's reason: the port is taken, or needs a privilege, or the address is not ours.
pub fn bind(listener: &Listener) -> io::Result<TcpListener> {
    open(listener.address, false)
}

/// Opens a socket, though others of ours that are about to be closed may have its port, such as `127.0.0.1:25` where
/// `0.0.0.0:25` is wanted.
pub(super) fn open_beside(address: SocketAddr, leaving: &[&TcpListener]) -> io::Result<TcpListener> {
    let opened = open(address, false);
    let in_use = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
    if leaving.is_empty() || !opened.as_ref().is_err_and(in_use) {
        return opened;
    }
    // For a moment both sides agree to share it; so the old ones stay open when the new one can't be had.
    leaving.iter().try_for_each(|socket| set_socket_reuseport(socket, true))?;
    let opened = open(address, true);
    for socket in leaving.iter().copied().chain(&opened) {
        // A program that shares ports by mistake is no danger of ours; it works without, too.
        let _ = set_socket_reuseport(socket, false);
    }
    opened
}

/// Opens a socket.
fn open(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(shared)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
