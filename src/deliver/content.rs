//! The content of a message on its way out: read while there is memory for it, and changed as an upstream needs it.

use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::carrier::Carrier;
use super::context::Context;
use crate::smtp::Reply;
use crate::smtp::extension::Capabilities;
use crate::store::{Content, QueuedMessage};
use crate::transform::{self, Prepared, Signer, UpstreamView};
use crate::upstream::Connection;

/// Content of this size is transformed on a thread of its own.
const LARGE: usize = 256 << 10;
/// A transformation holds the content up to this many times.
const COPIES: u64 = 3;

/// Content in memory.
pub(super) struct Loaded<'a> {
    pub(super) content: Vec<u8>,
    /// `None` for what is small enough not to be counted.
    pub(super) memory: Option<Memory<'a>>,
}

/// The right to hold content in memory: of the lane's share, so that one slow upstream can't take what the others need,
/// and of all there is.
pub(super) struct Memory<'a> {
    share: SemaphorePermit<'a>,
    all: SemaphorePermit<'a>,
}

impl Memory<'_> {
    /// Gives back all but so many octets.
    pub(super) fn keep(&mut self, octets: usize) {
        for permit in [&mut self.share, &mut self.all] {
            let surplus = permit.num_permits().saturating_sub(octets);
            drop(permit.split(surplus));
        }
    }
}

/// Reads the content. Content in a file waits until there is memory for it.
pub(super) async fn load<'a>(
    (share, most): (&'a Semaphore, u64),
    context: &'a Context,
    message: &QueuedMessage,
) -> Result<Loaded<'a>, String> {
    let path = match &message.content {
        Content::Inline(data) => return Ok(Loaded { content: data.clone(), memory: None }),
        Content::File(path) => path,
    };
    let needed = u32::try_from((message.size * COPIES).min(most)).unwrap_or(u32::MAX);
    let closed = |_| "the relay stops".to_owned();
    // Always in this order, so that nobody who holds some of all waits for a share.
    let share = share.acquire_many(needed).await.map_err(closed)?;
    let all = context.memory.acquire_many(needed).await.map_err(closed)?;
    let read = tokio::fs::read(path).await.and_then(|content| {
        // A file that was cut must not pass for the message.
        let whole = content.len() as u64 == message.size;
        if whole {
            Ok(content)
        } else {
            Err(std::io::Error::other(format!("it has {} octets of {}", content.len(), message.size)))
        }
    });
    match read {
        Ok(octets) => Ok(Loaded { content: octets, memory: Some(Memory { share, all }) }),
        Err(error) => {
            tracing::error!(event = "store", queue_id = %message.queue_id, path = %path.display(), reason = %error);
            Err(format!("cannot read the stored content: {error}"))
        }
    }
}

/// Changes a message, large ones on a thread of their own.
pub(super) async fn prepare(
    signer: &Arc<Signer>,
    message: &QueuedMessage,
    content: Vec<u8>,
    view: UpstreamView,
) -> Result<Prepared, Reply> {
    let signer = signer.clone();
    let prepared = if content.len() < LARGE {
        transform::prepare(message, content, &view, &signer)
    } else {
        let mut message = message.clone();
        message.content = Content::Inline(Vec::new());
        let task = tokio::task::spawn_blocking(move || transform::prepare(&message, content, &view, &signer));
        task.await.map_err(|_| Reply::new(451, (4, 3, 0), "the message could not be prepared"))?
    };
    prepared.map_err(|error| error.to_reply())
}

/// The message can't be made ready for an upstream, or is too large for it.
pub(super) struct Unfit {
    pub(super) reply: Reply,
    /// The upstream, where it is its limit; else empty.
    pub(super) host: String,
}

/// What an upstream offers, and its name.
pub(super) fn offered(connection: &Connection) -> (Capabilities, String) {
    (connection.capabilities().clone(), connection.host().to_owned())
}

/// Changes a message as an upstream needs it, and looks whether it takes one of that size.
pub(super) async fn make_ready(
    signer: &Arc<Signer>,
    carrier: &Carrier,
    (offered, host): (Capabilities, String),
    (message, content): (&QueuedMessage, Vec<u8>),
) -> Result<Prepared, Unfit> {
    let view = UpstreamView {
        sign: carrier.upstream().sign,
        eight_bit_mime: offered.eight_bit_mime,
        smtputf8: offered.smtputf8,
        local: false,
    };
    let prepared = prepare(signer, message, content, view).await;
    let prepared = prepared.map_err(|reply| Unfit { reply, host: String::new() })?;
    let size = prepared.content.len() as u64;
    let configured = carrier.limits.message_size.map(|limit| limit.0);
    let limit = offered.max_size().into_iter().chain(configured).min();
    if let Some(limit) = limit.filter(|&limit| size > limit) {
        let text = format!("the message has {size} octets, {host} takes {limit}");
        return Err(Unfit { reply: Reply::new(552, (5, 3, 4), text), host });
    }
    Ok(prepared)
}
