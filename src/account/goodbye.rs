//! How a connection ends.

use std::time::Duration;

use tokio::time::timeout;

use crate::upstream::Link;

/// How long we wait for the answer to QUIT.
const QUIT: Duration = Duration::from_secs(5);

/// Ends a connection in good order, without waiting for long. Until then the provider counts it.
pub(crate) async fn say_goodbye(link: Link) {
    let _ = timeout(QUIT, link.quit()).await;
}
