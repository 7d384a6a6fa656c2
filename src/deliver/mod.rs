//! The way out: connections to upstreams, and the transactions over them.
//!
//! Level 5. A [`Lane`] for each upstream takes what is due and may go, and starts an attempt for each message.
//! [`Connector`] makes a [`Connection`] ready for mail, [`Connection::send`] tells what became of each recipient,
//! [`classify`] says what is to be done; the outcome is logged, stored, and reported to the sender.

mod attempt;
mod capture;
mod carrier;
mod classify;
mod connection;
mod content;
mod context;
mod dial;
mod direct;
mod error;
mod health;
mod lane;
mod lessons;
mod login;
mod outcome;
mod pool;
mod replies;
mod reports;
mod signals;
mod tiers;
mod tls;
mod transaction;
mod view;
mod wire;

pub use capture::{CaptureError, Mailbox};
pub use carrier::{Carrier, Fleet};
pub use classify::{Verdict, blacklist_candidate, classify};
pub use connection::{Connection, Connector};
pub use context::{Context, Phase};
pub use dial::{Dial, Dialled, Stream, Target, TcpDial};
pub use direct::{Courier, Exchanges};
pub use error::{ConnectCause, ConnectError, DialError, Fault, LoginError, Stage};
pub use lane::Lane;
pub use replies::{
    Codes, Provider, Row, Scope, Senders, Slow, StatusPattern, Treatment, rows, stated_wait, treat,
};
pub use tls::{TlsClient, TlsError};
pub use transaction::{Answer, RecipientResult, Requests, Steps, Transaction, TransactionResult};
pub use view::{AccountView, UpstreamView};
