//! How long we wait for an upstream.

use std::time::Duration;

/// How long we wait for an upstream (RFC 5321 4.5.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the connection and the TLS handshake.
    pub connect: Duration,
    /// For the greeting.
    pub greeting: Duration,
    /// For the reply to EHLO, AUTH, MAIL, RCPT and QUIT.
    pub command: Duration,
    /// For the reply to DATA.
    pub data: Duration,
    /// For each block of content to be taken.
    pub block: Duration,
    /// For the reply to the final dot.
    pub final_dot: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minutes = |m: u64| Duration::from_secs(60 * m);
        Self {
            connect: minutes(1),
            greeting: minutes(5),
            command: minutes(5),
            data: minutes(2),
            block: minutes(3),
            final_dot: minutes(10),
        }
    }
}
