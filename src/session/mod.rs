//! The SMTP dialogue with a client, from the greeting to the 250 that follows the store's commit.
//!
//! [`state`] knows which command is legal, [`driver`] does the I/O and carries decisions between the dialogue
//! and the policies, [`receive`] takes the content, [`accept`] puts the message into the queue.

pub mod accept;
pub mod carrier;
mod channel;
mod direct;
pub mod driver;
mod head;
mod help;
pub mod receive;
pub mod ruling;
pub mod state;
pub mod submission;
mod trial;
mod wire;

use std::net::IpAddr;
use std::sync::Arc;

use tokio_rustls::rustls::ServerConfig;

use crate::config::{ByteSize, Config, Listener};
use crate::direct::Direct;
use crate::lane::{LimitWaits, Wakeups};
use crate::memory::MemoryBudget;
use crate::metrics::Metrics;
use crate::policy::admission::Admission;
use crate::policy::estimate::Estimate;
use crate::policy::pacing::Pacing;
use crate::policy::test_mode::Switch;
use crate::policy::users::{self, LoggedIn, Users};
use crate::route::Router;
use crate::smtp::InstanceId;
use crate::store::Intake;
use crate::time::Timeline;
use crate::transform::Transformer;

pub use driver::run;

/// What all sessions share; handed in, nothing is global.
#[derive(Clone)]
pub struct Services {
    /// The configuration in force.
    pub config: Arc<Config>,
    /// Who we are, which a listener announces that may relay.
    pub instance: InstanceId,
    /// Where messages become durable.
    pub store: Arc<dyn Intake>,
    /// The time.
    pub timeline: Timeline,
    /// Which upstream serves a sender.
    pub router: Arc<Router>,
    /// Knows what becomes of a message on its way out.
    pub transformer: Arc<Transformer>,
    /// Wakes the upstream's lane when a message has been queued.
    pub wakeups: Arc<Wakeups>,
    /// How long lanes have waited for limits.
    pub limit_waits: LimitWaits,
    /// The test mode in force.
    pub test_mode: Arc<Switch>,
    /// Memory for what clients are handing in ([`config::Session::memory_in`](crate::config::Session::memory_in)).
    pub memory: MemoryBudget,
    /// How fast clients and users may be; outlives a reload.
    pub pacing: Arc<Pacing>,
    /// Whether messages can be taken at present.
    pub admission: Arc<Admission>,
    /// When accepted mail will probably go.
    pub estimate: Arc<Estimate>,
    /// Who may log in.
    pub users: Arc<Users>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Speaks with upstreams while clients wait.
    pub direct: Arc<dyn Direct>,
}

impl Services {
    /// The largest content that is taken, from this user if somebody has logged in.
    #[must_use]
    pub fn max_message_size(&self, user: Option<&LoggedIn>) -> ByteSize {
        let granted = user.and_then(|user| self.users.granted(user));
        users::max_message_size(&self.config.session, granted.as_deref())
    }
}

/// What a listener's sessions get, all of it from one reading of the configuration. A reload exchanges it as a whole; a
/// session looks before each message and each login whether it has been.
#[derive(Clone)]
pub struct Door {
    /// The listener as the configuration has it.
    pub listener: Arc<Listener>,
    /// Its TLS, with the certificate in force.
    pub tls: Option<Arc<ServerConfig>>,
    /// What sessions share.
    pub services: Arc<Services>,
}

/// Who is at the other end.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The client's address; an IPv4 address in its own form.
    pub ip: IpAddr,
    /// The session's name in the log.
    pub session_id: String,
    /// Where the client came in.
    pub listener: Arc<Listener>,
    /// TLS as the listener's `tls` says, with the certificate that is in force; `None` is clear text alone.
    pub tls: Option<Arc<ServerConfig>>,
}
