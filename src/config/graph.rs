//! An upstream that is reached by Microsoft Graph (`kind = "graph"`).

use url::Url;

use super::{Proxy, Timeouts};
use crate::mail::Address;

/// Mail goes by requests over HTTP, as a mailbox of Microsoft 365.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// The preset that it has been made from.
    pub preset: Option<&'static str>,
    /// Which mailbox sends.
    pub mailbox: GraphMailbox,
    /// Where requests go: `https`, or `http` on this machine, without the version of the interface.
    pub base_url: Url,
    /// The name of the smart host for what a request can't carry, as that writes it.
    pub large: Option<String>,
    /// Who connects in our place.
    pub proxy: Option<Proxy>,
    /// How long we wait: `connect` for a connection, `final_dot` for a request and its answer.
    pub timeouts: Timeouts,
}

/// Which mailbox sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GraphMailbox {
    /// This one.
    Address(Address),
    /// That of the From field, where a filter of the upstream covers it.
    From,
}

impl Graph {
    /// The host that requests go to.
    #[must_use]
    pub fn host(&self) -> &str {
        self.base_url.host_str().unwrap_or_default()
    }

    /// Its TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.base_url.port_or_known_default().unwrap_or(443)
    }
}
