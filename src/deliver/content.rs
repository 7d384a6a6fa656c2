//! The content of a message on its way out: read while there is memory for it, and changed as an upstream needs it.

use std::io;
use std::sync::Arc;

use super::unfit::Misfit;
use crate::account::AccountSettings;
use crate::memory::{MemoryBudget, MemoryGrant};
use crate::smtp::Reply;
use crate::store::{Content, ContentError, Message};
use crate::transform::{Prepared, TransformError, Transformer, UpstreamFacts, WayOut};
use crate::upstream::{Offer, Transport, held_by_request};

/// Content of this size is transformed on a thread of its own; smaller content is not counted as memory.
const LARGE: u64 = 256 << 10;
/// Content above this waits until there is memory for it.
const COUNTED: u64 = 64 << 10;
/// A transformation holds the content up to this many times.
const COPIES: u64 = 3;

/// Content in memory.
pub(super) struct Loaded {
    pub(super) octets: Vec<u8>,
    pub(super) memory: Memory,
}

/// A content as the upstream was sent it.
pub(super) struct SentContent {
    pub(super) octets: Vec<u8>,
    pub(super) _memory: Memory,
}

/// Why a content is not there to be sent, in words.
pub(super) enum LoadError {
    /// The disk does not give it out at present.
    Unreadable(String),
    /// It is gone, cut, or not the same as it was.
    Damaged(String),
}

/// The right to hold content in memory: of a share, so that one slow upstream can't take what the others need, and of all
/// there is. `None` for what is small enough not to be counted.
pub(super) struct Memory(Option<[MemoryGrant; 2]>);

impl Memory {
    /// Gives back all but so many octets.
    pub(super) fn keep(&mut self, octets: u64) {
        for grant in self.0.iter_mut().flatten() {
            grant.keep(octets);
        }
    }
}

/// Reads the content, when there is memory for it, and for sending it: of a share, and of all. Without a transport it is not
/// known yet how it goes.
///
/// # Errors
/// When it can't be read or is not all there.
pub(super) async fn load(
    (share, all): (&MemoryBudget, &MemoryBudget),
    message: &Message,
    transport: Option<&Transport>,
) -> Result<Loaded, LoadError> {
    let memory = if message.size > COUNTED {
        // Text that becomes base64 grows to eleven eighths.
        let grown = message.size.saturating_mul(11) / 8;
        let sent = transport.map_or(held_by_request(grown), |transport| transport.held(grown));
        let needed = message.size.saturating_mul(COPIES).max(sent);
        // Always in this order, so that nobody who holds some of all waits for a share.
        let share = share.acquire(needed).await;
        Some([share, all.acquire(needed).await])
    } else {
        None
    };
    match message.content.read().await {
        Ok(octets) => Ok(Loaded { octets, memory: Memory(memory) }),
        Err(error) if is_damage(&error) => Err(LoadError::Damaged(error.to_string())),
        Err(error) => {
            tracing::error!(event = "store", queue_id = %message.queue_id, reason = %error);
            Err(LoadError::Unreadable(format!("cannot read the stored content: {error}")))
        }
    }
}

/// Whether a content is not what was stored, and will not be by itself.
fn is_damage(error: &ContentError) -> bool {
    match error {
        ContentError::Unreadable { source, .. } => source.kind() == io::ErrorKind::NotFound,
        ContentError::Cut { .. } | ContentError::Altered { .. } => true,
    }
}

/// The message can't be made ready for an upstream, or is too large for it.
pub(super) struct Unfit {
    pub(super) reply: Reply,
    /// What the upstream can't take, and another one may; `None` when the fault is not the upstream's.
    pub(super) misfit: Option<Misfit>,
}

/// Changes a message as an upstream needs it, and looks whether it takes one of that size.
pub(super) async fn make_ready(
    transformer: &Arc<Transformer>,
    settings: &AccountSettings,
    (offer, host): (Offer, &str),
    (message, content): (&Message, Vec<u8>),
) -> Result<Prepared, Unfit> {
    let facts = UpstreamFacts::new(&settings.upstream, &offer);
    let prepared = prepare(transformer, settings, (message, content), facts).await?;
    let size = prepared.content.len() as u64;
    let limit = offer.max_size.into_iter().chain(settings.message_size()).min();
    if let Some(limit) = limit.filter(|&limit| size > limit) {
        let text = format!("the message has {size} octets, {host} takes {limit}");
        return Err(Unfit { reply: Reply::new(552, (5, 3, 4), text), misfit: Some(Misfit::Message) });
    }
    Ok(prepared)
}

/// Changes a message, large ones on a thread of their own.
async fn prepare(
    transformer: &Arc<Transformer>,
    settings: &AccountSettings,
    (message, content): (&Message, Vec<u8>),
    facts: UpstreamFacts,
) -> Result<Prepared, Unfit> {
    let prepared = if (content.len() as u64) < LARGE {
        let way_out = WayOut { upstream: &settings.upstream, account: settings.account(), facts };
        transformer.prepare(message, content, &way_out)
    } else {
        let message = Message { content: Content::memory(Vec::new()), ..message.clone() };
        let (transformer, upstream) = (transformer.clone(), settings.upstream.clone());
        let place = settings.place();
        let task = tokio::task::spawn_blocking(move || {
            let account = &upstream.accounts[place];
            transformer.prepare(&message, content, &WayOut { upstream: &upstream, account, facts })
        });
        task.await.map_err(|_| {
            let reply = Reply::new(451, (4, 3, 0), "the message could not be prepared");
            Unfit { reply, misfit: None }
        })?
    };
    prepared.map_err(|error| {
        let reply = error.to_reply();
        let misfit = match error {
            TransformError::InternationalRecipients(places) => Some(Misfit::Recipients(places)),
            _ => reply.is_permanent().then_some(Misfit::Message),
        };
        Unfit { reply, misfit }
    })
}
