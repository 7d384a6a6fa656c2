//! A message is made ready at the final dot as for its first attempt, to know whether its upstream can carry it.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::config::Upstream;
use crate::store::{Content, ContentError, Message};
use crate::transform::{TransformError, Transformer, UpstreamFacts, WayOut};
use crate::upstream::Offer;

/// Octets of a content that is made ready; what is larger is judged when it goes.
pub(super) const MOST: u64 = 8 << 20;

/// Octets of a message as an upstream gets it that delivers by the header.
///
/// # Errors
/// When the content can't be read. Within: when the message can't be made ready.
pub(super) async fn size_as_sent(
    (transformer, upstream): (&Arc<Transformer>, &Arc<Upstream>),
    (message, content): (Message, &Content),
) -> Result<Result<u64, TransformError>, ContentError> {
    let _trial = transformer.trial().await;
    let octets = content.read().await?;
    let (transformer, upstream) = (transformer.clone(), upstream.clone());
    let made = spawn_blocking(move || {
        let facts = UpstreamFacts::new(&upstream, &Offer::GRAPH);
        let way_out = WayOut { upstream: &upstream, account: &upstream.accounts[0], facts };
        transformer.prepare(&message, octets, &way_out).map(|prepared| prepared.content.len())
    });
    // A fault of ours shows itself when the message goes.
    Ok(made.await.unwrap_or(Ok(0)))
}
