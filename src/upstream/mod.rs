//! Clients of upstreams: a connection, one transaction over it, and what the answers mean.
//!
//! Nothing here knows accounts, lanes or the store. [`Connector`] makes a [`Connection`] ready for mail,
//! [`Connection::send`] tells what became of each recipient, [`replies`] says what a refusal means, and for whom.

mod capture;
pub mod classify;
mod connection;
mod dial;
mod error;
mod login;
pub mod replies;
mod stream;
mod tls;
mod transaction;
mod wire;

pub use capture::{CaptureError, Mailbox};
pub use classify::{Verdict, blacklist_candidate, classify};
pub use connection::{Connection, Connector};
pub use dial::{Dial, Dialled, Target, TcpDial};
pub use error::{ConnectCause, ConnectError, DialError, Fault, LoginError, Stage};
pub use replies::{
    Codes, Provider, Row, Scope, Senders, Slow, StatusPattern, Treatment, rows, stated_wait, treat,
};
pub use stream::Stream;
pub use tls::{TlsClient, TlsError};
pub use transaction::{Answer, RecipientResult, Requests, Steps, Transaction, TransactionResult};
