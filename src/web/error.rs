//! Why a request has no answer.

use std::time::Duration;

use super::LONGEST_ANSWER;

/// Why there is no answer. It is the network's or the server's fault: another try may do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// There was no connection: nothing of the request has arrived.
    #[error("{host} cannot be reached ({reason})")]
    Unreachable {
        /// Whom we wanted to reach.
        host: String,
        /// What the system, TLS or the proxy says.
        reason: String,
    },
    /// The connection broke while there was no answer. The request may have arrived.
    #[error("the connection to {host} broke ({reason})")]
    Broken {
        /// Whom we had asked.
        host: String,
        /// What the system or TLS says.
        reason: String,
    },
    /// The answer did not come in time. The request may have arrived.
    #[error("{host} has not answered within {} seconds", limit.as_secs())]
    TimedOut {
        /// Whom we had asked.
        host: String,
        /// How long we waited.
        limit: Duration,
    },
    /// The answer is longer than anything that was asked for.
    #[error("the answer of {host} is longer than {LONGEST_ANSWER} octets")]
    TooLong {
        /// Whom we had asked.
        host: String,
    },
}

impl HttpError {
    /// Whether nothing of the request has arrived, for certain.
    #[must_use]
    pub fn is_unsent(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}
