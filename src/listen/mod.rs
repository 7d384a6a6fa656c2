//! Sockets and who is let in: accepts connections, and starts a session for each that there is room for.

mod gate;
mod listeners;
pub mod proxy_protocol;
mod serving;
mod sockets;
pub mod tls;

pub use gate::{ConnectionRefused, Gate, Pass};
pub use listeners::{BoundSockets, ListenError, Listeners};
pub use serving::serve;
pub use sockets::bind;

pub use crate::session::Door;
