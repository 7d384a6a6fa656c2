//! Why an upstream, or its proxy, could not be reached.

use std::net::SocketAddr;

/// Why no address of an upstream could be reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The name has no address, or the resolver failed.
    #[error("{host} can't be resolved: {reason}; check host, or the machine's DNS")]
    Unresolved {
        /// The name.
        host: String,
        /// What the resolver says.
        reason: String,
    },
    /// The name resolves, but not to the family of `source_address`.
    #[error("{host} has no address of the same family as source_address")]
    Family {
        /// The name.
        host: String,
    },
    /// Each address was tried.
    #[error("connect to {}", tried_list(host, tried))]
    Unreachable {
        /// The name.
        host: String,
        /// The addresses in the order in which they were tried, and why each failed.
        tried: Vec<(SocketAddr, String)>,
    },
    /// The proxy gave no connection.
    #[error("connect to {target} over the proxy {proxy}: {fault}")]
    Proxy {
        /// The proxy, without its login.
        proxy: String,
        /// The upstream: name and port.
        target: String,
        /// What happened.
        fault: TunnelFault,
    },
}

/// Why a proxy gave no connection to an upstream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TunnelFault {
    /// The proxy itself could not be reached.
    #[error("{0}; check proxy")]
    Unreachable(Box<DialError>),
    /// Nothing, or not all, came in time.
    #[error("no answer from the proxy in time")]
    TimedOut,
    /// The line to the proxy broke.
    #[error("the proxy gave no answer: {0}")]
    Broken(String),
    /// What came is not what was to be spoken.
    #[error("the proxy speaks another protocol; check scheme and port of proxy")]
    OtherProtocol,
    /// Name or password are wrong.
    #[error("the proxy refuses the login; check user and password in proxy")]
    Login,
    /// The proxy wants a login, and there is none.
    #[error("the proxy wants a login; write user:password@ before the host in proxy")]
    LoginWanted,
    /// The proxy said no, or could not reach the upstream.
    #[error("the proxy answers: {0}")]
    Refused(String),
}

impl TunnelFault {
    /// Whether it stays like this until a person changes something.
    pub(super) fn needs_a_person(&self) -> bool {
        matches!(self, Self::OtherProtocol | Self::Login | Self::LoginWanted)
    }
}

/// Each address once: a host that is an address is not named before it.
fn tried_list(host: &str, tried: &[(SocketAddr, String)]) -> String {
    let each: Vec<_> = tried.iter().map(|(address, reason)| format!("{address}: {reason}")).collect();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if tried.iter().any(|(address, _)| address.ip().to_string() == host) {
        return each.join("; ");
    }
    format!("{host} at {}", each.join("; "))
}
