//! What Exchange Online allows, as published; a test may make it stricter.

use std::time::Duration;

/// The limits in force.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Messages of a mailbox in any 60 seconds.
    pub per_minute: u64,
    /// Connections of a mailbox at the same time.
    pub connections: usize,
    /// Recipients of a message.
    pub recipients_per_message: usize,
    /// Recipients of a mailbox in any 24 hours.
    pub recipients_per_day: u64,
    /// Octets of a message.
    pub message_size: usize,
    /// Requests to Graph for a mailbox at the same time.
    pub requests: usize,
    /// Octets of a request to Graph, in base64.
    pub request_size: usize,
    /// Octets of a mailbox's requests to Graph in any 5 minutes, in base64.
    pub uploaded: u64,
    /// Whether a client that is too fast is hung up on (421), or told so (432).
    pub hangs_up: bool,
    /// How long a message is looked at before it is taken.
    pub think: Duration,
    /// How long a client may be silent.
    pub idle: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            per_minute: 30,
            connections: 3,
            recipients_per_message: 500,
            recipients_per_day: 10_000,
            message_size: 35 << 20,
            requests: 4,
            request_size: 4 << 20,
            uploaded: 150_000_000,
            hangs_up: true,
            think: Duration::ZERO,
            idle: Duration::from_mins(10),
        }
    }
}

/// The external recipients that a tenant with so many licences may have in 24 hours (TERRL).
pub fn external_recipients(licences: u32) -> u64 {
    (500.0 * f64::from(licences).powf(0.7) + 9_500.0).floor() as u64
}
