//! The content of a message on its way out: read while there is memory for it, and changed as an upstream needs it.

use std::sync::Arc;

use super::unfit::Misfit;
use crate::account::AccountSettings;
use crate::content::{LONGEST_HEAD, READ_BLOCK, SplitContent};
use crate::mail::QueueId;
use crate::memory::{MemoryBudget, MemoryGrant};
use crate::smtp::Reply;
use crate::store::{Content, ContentError, Message};
use crate::transform::{Prepared, TransformError, Transformer, UpstreamFacts, WayOut};
use crate::upstream::{Offer, Transport, held_by_request};

/// Content of this size is transformed on a thread of its own.
const LARGE: u64 = 256 << 10;
/// Content above this waits until there is memory for it; smaller content is not counted.
const COUNTED: u64 = 64 << 10;
/// A transformation holds what is in memory up to this many times.
const COPIES: u64 = 3;
/// Octets that a content takes at most whose body goes from its file block by block: its header section a few times over, a
/// block, and what of it is on the wire.
const STREAMED: u64 = COPIES * LONGEST_HEAD as u64 + READ_BLOCK as u64 + (64 << 10);

/// A content on its way out: the body of a large one stays in its file unless something is to change in it.
pub(super) struct Loaded {
    pub(super) content: SplitContent,
    memory: Memory,
    budgets: Budgets,
    stored: Content,
    queue_id: QueueId,
}

/// A content as the upstream was sent it.
pub(super) struct SentContent {
    pub(super) content: SplitContent,
    _memory: Memory,
}

/// Why a content is not there to be sent, in words.
pub(super) enum LoadError {
    /// The disk does not give it out at present.
    Unreadable(String),
    /// It is gone, cut, or not the same as it was.
    Damaged(String),
}

/// Where memory for contents comes from: a share, so that one slow upstream can't take what the others need, and all there is.
#[derive(Clone)]
pub(super) struct Budgets {
    pub(super) share: MemoryBudget,
    pub(super) all: MemoryBudget,
}

/// The right to hold content in memory, of a share and of all there is. `None` for what is small enough not to be counted.
#[derive(Default)]
struct Memory(Option<[MemoryGrant; 2]>);

impl Budgets {
    /// Waits for memory for what may hold so many octets of a content.
    async fn acquire(&self, size: u64, needed: u64) -> Memory {
        if size <= COUNTED {
            return Memory(None);
        }
        // Always in this order, so that nobody who holds some of all waits for a share.
        let share = self.share.acquire(needed).await;
        Memory(Some([share, self.all.acquire(needed).await]))
    }
}

impl Memory {
    /// Gives back all but so many octets.
    fn keep(&mut self, octets: u64) {
        for grant in self.0.iter_mut().flatten() {
            grant.keep(octets);
        }
    }
}

impl Loaded {
    /// Brings the whole content into memory, when there is room for it, and for sending it. What was held is given back before:
    /// nobody waits for memory who holds some. Without a transport it is not known yet how it goes.
    async fn load_all(&mut self, transport: Option<&Transport>) -> Result<(), LoadError> {
        (self.content, self.memory) = (SplitContent::default(), Memory::default());
        let size = self.stored.len();
        // Text that becomes base64 grows to eleven eighths.
        let grown = size.saturating_mul(11) / 8;
        let sent = transport.map_or(held_by_request(grown), |transport| transport.held(grown));
        self.memory = self.budgets.acquire(size, size.saturating_mul(COPIES).max(sent)).await;
        let loaded = self.stored.load().await;
        self.content = loaded.map_err(|error| LoadError::of(&error, &self.queue_id))?;
        Ok(())
    }

    /// The content was made ready, and goes by a transport. `again`: the original may be needed once more.
    pub(super) fn goes(&mut self, prepared: &SplitContent, transport: &Transport, again: bool) {
        if !again {
            self.content = SplitContent::default();
            self.memory.keep(transport.held(held(prepared)));
        }
    }

    /// The content was sent so.
    pub(super) fn sent(mut self, content: SplitContent) -> SentContent {
        self.memory.keep(held(&content));
        SentContent { content, _memory: self.memory }
    }
}

/// Octets of memory that a content takes.
fn held(content: &SplitContent) -> u64 {
    if content.body().octets().is_some() { content.len() } else { STREAMED }
}

impl LoadError {
    /// Why a content can't be read; what the disk says is logged.
    pub(super) fn of(error: &ContentError, queue_id: &QueueId) -> Self {
        if error.is_damage() {
            return Self::Damaged(error.to_string());
        }
        tracing::error!(event = "store", %queue_id, reason = %error);
        Self::Unreadable(format!("cannot read the stored content: {error}"))
    }
}

/// Reads the content, when there is memory for it: all of one that is to change, of another that is in a file the header section.
/// `way`: by what it goes, where that is known.
///
/// # Errors
/// When it can't be read or is not all there.
pub(super) async fn load(
    budgets: Budgets,
    message: &Message,
    way: Option<(&Transformer, &AccountSettings)>,
) -> Result<Loaded, LoadError> {
    let (stored, queue_id) = (message.content.clone(), message.queue_id.clone());
    let mut loaded =
        Loaded { content: SplitContent::default(), memory: Memory::default(), budgets, stored, queue_id };
    let stored = &loaded.stored;
    if stored.octets().is_none() {
        let needed = stored.len().saturating_mul(COPIES).min(STREAMED);
        loaded.memory = loaded.budgets.acquire(stored.len(), needed).await;
        let split = stored.split().await.map_err(|error| LoadError::of(&error, &loaded.queue_id))?;
        if let Some(content) = split.filter(|content| !goes_whole(way, message, content)) {
            loaded.content = content;
            return Ok(loaded);
        }
    }
    loaded.load_all(way.map(|(_, settings)| &settings.transport)).await?;
    Ok(loaded)
}

/// Whether it is known already that all of a content must be in memory.
fn goes_whole(
    way: Option<(&Transformer, &AccountSettings)>,
    message: &Message,
    content: &SplitContent,
) -> bool {
    way.is_some_and(|(transformer, settings)| {
        settings.transport.is_by_request()
            || transformer.needs_body(message, content, (&settings.upstream, settings.account()))
    })
}

/// A message was not made ready for an upstream.
pub(super) enum NotMadeReady {
    /// It can't be, or is too large for it.
    Unfit(Unfit),
    /// Its content can't be read.
    Unread(LoadError),
}

impl From<LoadError> for NotMadeReady {
    fn from(error: LoadError) -> Self {
        Self::Unread(error)
    }
}

/// The message can't be made ready for an upstream, or is too large for it.
pub(super) struct Unfit {
    pub(super) reply: Reply,
    /// What the upstream can't take, and another one may; `None` when the fault is not the upstream's.
    pub(super) misfit: Option<Misfit>,
}

/// Changes a message as an upstream needs it, and looks whether it takes one of that size. Where that needs all of the content in
/// memory, it is brought there first.
pub(super) async fn make_ready(
    transformer: &Arc<Transformer>,
    settings: &AccountSettings,
    (offer, host): (Offer, &str),
    (message, loaded): (&Message, &mut Loaded),
) -> Result<Prepared, NotMadeReady> {
    let facts = UpstreamFacts::new(&settings.upstream, &offer);
    let is_here = loaded.content.body().octets().is_some();
    let mut prepared = None;
    if is_here || !settings.transport.is_by_request() {
        prepared = prepare(transformer, settings, (message, &loaded.content), facts).await?;
    }
    if prepared.is_none() {
        loaded.load_all(Some(&settings.transport)).await?;
        prepared = prepare(transformer, settings, (message, &loaded.content), facts).await?;
    }
    let prepared = prepared.expect("nothing is missing of a body in memory");
    let size = prepared.content.len();
    let limit = offer.max_size.into_iter().chain(settings.message_size()).min();
    if let Some(limit) = limit.filter(|&limit| size > limit) {
        let text = format!("the message has {size} octets, {host} takes {limit}");
        let unfit = Unfit { reply: Reply::new(552, (5, 3, 4), text), misfit: Some(Misfit::Message) };
        return Err(NotMadeReady::Unfit(unfit));
    }
    Ok(prepared)
}

/// Changes a message; large ones, and those whose body must be read, on a thread of their own. `None` where its body must be in
/// memory.
async fn prepare(
    transformer: &Arc<Transformer>,
    settings: &AccountSettings,
    (message, content): (&Message, &SplitContent),
    facts: UpstreamFacts,
) -> Result<Option<Prepared>, NotMadeReady> {
    let content = content.clone();
    let prepared = if content.body().octets().is_some() && content.len() < LARGE {
        let way_out = WayOut { upstream: &settings.upstream, account: settings.account(), facts };
        transformer.prepare_split(message, content, &way_out)
    } else {
        let message = Message { content: Content::memory(Vec::new()), ..message.clone() };
        let (transformer, upstream) = (transformer.clone(), settings.upstream.clone());
        let place = settings.place();
        let task = tokio::task::spawn_blocking(move || {
            let account = &upstream.accounts[place];
            transformer.prepare_split(&message, content, &WayOut { upstream: &upstream, account, facts })
        });
        task.await.map_err(|_| {
            let reply = Reply::new(451, (4, 3, 0), "the message could not be prepared");
            NotMadeReady::Unfit(Unfit { reply, misfit: None })
        })?
    };
    prepared.map_err(|error| {
        let reply = error.to_reply();
        let misfit = match error {
            TransformError::Content(error) => return LoadError::of(&error, &message.queue_id).into(),
            TransformError::InternationalRecipients(places) => Some(Misfit::Recipients(places)),
            _ => reply.is_permanent().then_some(Misfit::Message),
        };
        NotMadeReady::Unfit(Unfit { reply, misfit })
    })
}
