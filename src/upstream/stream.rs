//! Octets to and from an upstream, whatever carries them.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

/// Octets both ways: TCP, TLS, or a pipe in a test.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// How long a dial may take, as a deadline.
pub(super) fn deadline_in(duration: Duration) -> Instant {
    // A time-out that overflows the clock is as good as a year.
    let now = Instant::now();
    now.checked_add(duration).unwrap_or(now + Duration::from_hours(365 * 24))
}
