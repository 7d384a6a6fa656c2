//! How long a client waits for an upstream.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::refusal;
use super::shared::DirectContext;
use crate::direct::DirectRefusal;

/// A client waits five minutes for the answer to RCPT (RFC 5321 4.5.3.2.3), and reads ours before.
pub(super) const RECIPIENT: Duration = Duration::from_mins(4);
/// A client waits ten minutes for the answer to the final dot (RFC 5321 4.5.3.2.6).
pub(super) const CONTENT: Duration = Duration::from_mins(9);

/// Waits for the upstream for as long as the client waits for us, and the relay does not stop.
pub(super) async fn wait_for_upstream<T>(
    shared: &DirectContext,
    upstream: &str,
    until: Instant,
    answer: impl Future<Output = T>,
) -> Result<T, DirectRefusal> {
    tokio::select! {
        biased;
        answer = answer => Ok(answer),
        () = sleep_until(until) => Err(refusal::too_slow(upstream)),
        () = shared.context.stopping() => Err(refusal::stopping()),
    }
}
