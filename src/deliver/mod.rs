//! The way out: connections to upstreams, and the transactions over them.
//!
//! Level 5. [`Connector`] makes a [`Connection`] ready for mail, [`Connection::send`] tells what became of each
//! recipient, and [`classify`] says what is to be done.

mod classify;
mod connection;
mod dial;
mod error;
mod login;
mod tls;
mod transaction;
mod wire;

pub use classify::{Verdict, blacklist_candidate, classify};
pub use connection::{Connection, Connector};
pub use dial::{Dial, Dialled, Stream, Target, TcpDial};
pub use error::{ConnectCause, ConnectError, DialError, Fault, LoginError, Stage};
pub use tls::{TlsClient, TlsError};
pub use transaction::{Answer, RecipientResult, Transaction, TransactionResult};
