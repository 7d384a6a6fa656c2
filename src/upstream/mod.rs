//! Clients of upstreams: a connection, one transaction over it, and what the answers mean.
//!
//! Nothing here knows accounts, lanes or the store. [`Connector`] makes a [`Connection`] ready for mail,
//! [`Connection::send`] tells what became of each recipient, [`replies`] says what a refusal means, and for whom.

mod answer;
mod capture;
mod classify;
mod connection;
mod connector;
mod credentials;
mod dial;
mod dial_error;
mod dialogue;
mod error;
mod graph;
mod login;
mod observer;
mod offer;
mod outgoing;
mod proxy;
mod remedy;
pub mod replies;
mod reuse;
mod step;
mod stream;
mod tls;
mod tls_error;
mod transaction;
mod transport;
mod trust_verifier;
mod wire;

pub use answer::{Answer, RecipientResult, TransactionResult};
pub use capture::{CaptureError, CapturedFile, Mailbox, RECIPIENT_FIELD};
pub use classify::{DeferralCause, Outcome, blacklist_candidate, classify, outcome};
pub use connection::Connection;
pub use connector::Connector;
pub(crate) use credentials::PresentedLogin;
pub use credentials::{Credentials, TokenLogin};
pub use dial::{Dial, Dialled, Target, TcpDial};
pub use dial_error::{DialError, TunnelFault};
pub use dialogue::{DialogueHub, DialogueLine, DialogueWatch, Speaker, Watched};
pub use error::{
    ConnectCause, ConnectError, DialogueFault, LoginError, LoginMethod, LoginRefusal, SendError, Stage,
};
pub use graph::{GraphClient, GraphLink};
pub(crate) use login::{LoginLine, in_order, respond, without};
pub use observer::Observer;
pub use offer::Offer;
pub use outgoing::{DeliveredBy, Outgoing};
pub(crate) use proxy::reach;
pub use replies::{
    AppliesTo, Codes, Provider, ReplyAction, Row, Senders, Slow, StatusPattern, cause_of, is_greylisting,
    row_for, rows, stated_wait,
};
pub use step::{ConnectStep, GraphLogin, Offered, StepFailure, StepFinding, StepName, TlsFacts};
pub use stream::Stream;
pub(crate) use stream::deadline_in;
pub(crate) use tls::{TlsClient, binding};
pub use tls_error::TlsError;
pub use transaction::{Requests, Steps, Transaction};
pub use transport::{Link, Transport, held_by_request};
