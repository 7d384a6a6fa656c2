//! Takes the content of one message: decodes it, puts our fields before it, keeps it in memory or in a file.
//!
//! Memory: a session holds 64 KiB of the shared budget while content arrives, or none; it never waits for more. What
//! is larger, or comes when the budget is used up, streams to a file. The header section is gathered first, since
//! our own fields depend on it and stand before it.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::head::{Head, HeadFinder};
use super::spool::Spool;
use crate::config::{self, Newlines};
use crate::mail::header::{self, Scan};
use crate::mail::received::Received;
use crate::mail::{Address, QueueId, message_id};
use crate::policy::sender::{self, NotGranted};
use crate::smtp::Reply;
use crate::smtp::bdat::ChunkStream;
use crate::smtp::data_stream::{DataStream, Status};
use crate::smtp::long_lines::LongLines;
use crate::store::{Content, StoredContent};

/// The largest content that stays in memory, and what a session takes of the budget, in octets.
pub const INLINE: usize = 64 * 1024;
/// The size of the blocks in which a file is written by a session that holds none of the budget, in octets.
const SMALL_BLOCK: usize = 16 * 1024;
/// The largest header section, in octets.
const MAX_HEADER: usize = 1024 * 1024;
/// More Received fields than this mean a loop (RFC 5321 6.3).
const MAX_RECEIVED: usize = 100;

/// Why a content is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The client's fault: it is too large.
    #[error("the message is larger than {max} octets")]
    TooLarge {
        /// `[session] max_message_size`
        max: u64,
    },
    /// The client's fault: the header section is too large.
    #[error("the header section is larger than {MAX_HEADER} octets")]
    HeaderTooLarge,
    /// The client's fault: a NUL (RFC 5322 4).
    #[error("the message contains a NUL character")]
    Nul,
    /// The client's fault: a CR or LF alone, and the configuration refuses that.
    #[error("the message contains a CR or LF that is not part of CR LF")]
    BareNewline,
    /// The client's fault: a line over 998 octets, and the configuration refuses that.
    #[error("the message contains a line of more than 998 octets")]
    LongLine,
    /// The route's fault: the message has been here before.
    #[error("too many Received fields: the message is in a loop")]
    Loop,
    /// The client's fault: From or Sender is not the user's.
    #[error(transparent)]
    NotGranted(NotGranted),
    /// Ours: no memory for the header section now.
    #[error("not enough memory at present, try again later")]
    Memory,
    /// Ours: the file could not be written.
    #[error("the message cannot be stored at present, try again later")]
    Disk(#[source] io::Error),
}

impl Refusal {
    /// What the client is told.
    #[must_use]
    pub fn reply(&self) -> Reply {
        let (code, status) = match self {
            Self::TooLarge { .. } | Self::HeaderTooLarge => (552, (5, 3, 4)),
            Self::Nul | Self::BareNewline | Self::LongLine => (554, (5, 6, 0)),
            Self::Loop => (554, (5, 4, 6)),
            Self::NotGranted(refused) => return refused.reply(),
            Self::Memory => (452, (4, 3, 1)),
            Self::Disk(_) => (451, (4, 3, 0)),
        };
        Reply::new(code, status, self.to_string())
    }

    /// The word for it in the log.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "size",
            Self::HeaderTooLarge => "header_size",
            Self::Nul => "nul",
            Self::BareNewline => "bare_newline",
            Self::LongLine => "long_line",
            Self::Loop => "loop",
            Self::NotGranted(_) => "sender",
            Self::Memory => "memory",
            Self::Disk(_) => "disk",
        }
    }
}

/// A user who hands in a message.
#[derive(Debug, Clone)]
pub struct Submitter {
    /// As whom the user may send.
    pub user: Arc<config::User>,
    /// Whether the message has the null reverse-path, so that From alone says who sends it.
    pub null_reverse_path: bool,
}

/// What our own header fields say.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The message's name in the queue.
    pub queue_id: QueueId,
    /// What the client called itself.
    pub helo: String,
    /// The client's address.
    pub client: IpAddr,
    /// Our name.
    pub hostname: String,
    /// `SMTP`, `ESMTP` or `UTF8SMTP` (RFC 3848, RFC 6531 3.7.3).
    pub protocol: &'static str,
    /// The recipient when there is only one.
    pub recipient: Option<Address>,
    /// Who has logged in.
    pub submitter: Option<Submitter>,
    /// When it came.
    pub date: Timestamp,
}

/// A content that was taken.
#[derive(Debug)]
pub struct Taken {
    /// Our fields, the header section, the body.
    pub stored: Stored,
    /// Octets with our fields.
    pub size: u64,
    /// The mailboxes in From.
    pub from: Vec<Address>,
    /// Its share of the memory budget, given back when this is dropped.
    memory: Option<OwnedSemaphorePermit>,
}

impl Taken {
    /// The content to read, and what must be held for as long as somebody reads it: a file is removed, and memory given
    /// back, when that is dropped.
    #[must_use]
    pub fn into_content(self) -> (Content, Box<dyn Send + Sync>) {
        match self.stored {
            Stored::Memory(octets) => (Content::Inline(octets), Box::new(self.memory)),
            Stored::File(file) => (Content::File(file.0.path().to_owned()), Box::new(file)),
        }
    }
}

/// Where a content that was taken is.
#[derive(Debug)]
pub enum Stored {
    /// In memory.
    Memory(Vec<u8>),
    /// In a file, synced; it is removed when this is dropped.
    File(SyncedFile),
}

/// A file that is durable, together with its name.
#[derive(Debug)]
pub struct SyncedFile(Spool);

impl SyncedFile {
    /// Hands the file over: from now on it is not removed. Returns its size and path.
    #[must_use]
    pub fn hand_over(self) -> (StoredContent, std::path::PathBuf) {
        let size = self.0.written;
        (StoredContent::File(size), self.0.keep())
    }
}

/// How the content is wrapped.
enum Decoder {
    /// It came by DATA.
    Data(DataStream),
    /// It comes by BDAT.
    Chunks(ChunkStream),
}

/// Takes one content, in pieces.
pub struct Receiver<'a> {
    arrival: Arrival,
    settings: &'a config::Session,
    folder: &'a Path,
    decoder: Decoder,
    lines: LongLines,
    /// Decoded octets on their way through the line filter.
    scratch: Vec<u8>,
    /// Content that is not in the file yet.
    buffer: Vec<u8>,
    /// Octets of content as the client sent them.
    received: u64,
    finder: HeadFinder,
    scan: Option<Scan>,
    spool: Option<Spool>,
    memory: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
    /// How large the buffer may be before the header section has ended.
    allowance: usize,
    refusal: Option<Refusal>,
}

impl<'a> Receiver<'a> {
    /// Takes its share of the memory budget, if there is one.
    #[must_use]
    pub fn new(
        arrival: Arrival,
        settings: &'a config::Session,
        memory: Arc<Semaphore>,
        folder: &'a Path,
    ) -> Self {
        let permit = memory.clone().try_acquire_many_owned(INLINE as u32).ok();
        Self {
            arrival,
            settings,
            folder,
            decoder: Decoder::Data(DataStream::default()),
            lines: LongLines::new(settings.long_lines),
            scratch: Vec::new(),
            buffer: Vec::new(),
            received: 0,
            finder: HeadFinder::default(),
            scan: None,
            spool: None,
            memory,
            permit,
            allowance: INLINE,
            refusal: None,
        }
    }

    /// The content comes in chunks: it has no dots, and [`finish`](Self::finish) is its end (RFC 3030).
    #[must_use]
    pub fn in_chunks(mut self) -> Self {
        self.decoder = Decoder::Chunks(ChunkStream::default());
        self
    }

    /// The fault that was found, if there is one; it is told once.
    pub fn refusal(&mut self) -> Option<Refusal> {
        self.refusal.take()
    }

    /// Takes the next octets from the client. A fault is remembered, and the rest is read and thrown away.
    pub async fn feed(&mut self, input: &[u8]) -> Status {
        self.scratch.clear();
        let status = match &mut self.decoder {
            Decoder::Data(stream) => stream.feed(input, &mut self.scratch),
            Decoder::Chunks(stream) => {
                stream.feed(input, &mut self.scratch);
                Status::More
            }
        };
        self.received += self.scratch.len() as u64;
        if self.refusal.is_none()
            && let Err(refusal) = self.take().await
        {
            self.refuse(refusal);
        }
        status
    }

    /// The content has ended. When it is in a file, the file is synced.
    ///
    /// # Errors
    /// With the reason why the message is not taken; nothing of it is left.
    pub async fn finish(mut self) -> Result<Taken, Refusal> {
        if let Decoder::Chunks(stream) = &mut self.decoder
            && self.refusal.is_none()
        {
            self.scratch.clear();
            stream.finish(&mut self.scratch);
            self.take().await?;
        }
        if let Some(refusal) = self.refusal.take() {
            return Err(refusal);
        }
        self.faults()?;
        self.lines.finish(&mut self.buffer);
        if self.scan.is_none() {
            let head = self.finder.find(&self.buffer).or_else(|| self.finder.cut(&self.buffer));
            let end = self.buffer.len();
            self.begin(head.unwrap_or(Head { fields: end, body: end }))?;
        }
        let from = self.scan.take().map(|scan| scan.from).unwrap_or_default();
        if self.spool.is_none() && self.permit.is_some() && self.buffer.len() <= INLINE {
            let size = self.buffer.len() as u64;
            return Ok(Taken { stored: Stored::Memory(self.buffer), size, from, memory: self.permit });
        }
        let spool = self.spill().await?.sync().await.map_err(Refusal::Disk)?;
        let size = spool.written;
        Ok(Taken { stored: Stored::File(SyncedFile(spool)), size, from, memory: None })
    }

    fn faults(&self) -> Result<(), Refusal> {
        let (nul, bare_newline) = match &self.decoder {
            Decoder::Data(stream) => (stream.nul, stream.bare_newline),
            Decoder::Chunks(stream) => (stream.nul, stream.bare_newline),
        };
        if nul {
            return Err(Refusal::Nul);
        }
        if bare_newline && self.settings.bare_newline == Newlines::Reject {
            return Err(Refusal::BareNewline);
        }
        if self.lines.found && self.settings.long_lines == config::LongLines::Reject {
            return Err(Refusal::LongLine);
        }
        Ok(())
    }

    /// Moves what was decoded on to the buffer, and from there to the file when there is too much.
    async fn take(&mut self) -> Result<(), Refusal> {
        let max = self.settings.max_message_size.0;
        if self.received > max {
            return Err(Refusal::TooLarge { max });
        }
        self.faults()?;
        self.lines.feed(&self.scratch, &mut self.buffer);
        if self.scan.is_none() {
            self.gather()?;
        }
        let most = if self.permit.is_some() { INLINE } else { SMALL_BLOCK };
        if self.scan.is_some() && self.buffer.len() > most {
            self.spool = Some(self.spill().await?);
        }
        Ok(())
    }

    /// The header section is arriving.
    fn gather(&mut self) -> Result<(), Refusal> {
        if let Some(head) = self.finder.find(&self.buffer) {
            return self.begin(head);
        }
        if self.buffer.len() > MAX_HEADER {
            // A line without end may be a body that lacks its header section.
            return self
                .finder
                .cut(&self.buffer)
                .map_or(Err(Refusal::HeaderTooLarge), |head| self.begin(head));
        }
        while self.buffer.len() > self.allowance {
            let more = self.memory.clone().try_acquire_many_owned(INLINE as u32);
            let more = more.map_err(|_| Refusal::Memory)?;
            self.allowance += INLINE;
            match &mut self.permit {
                Some(permit) => permit.merge(more),
                none => *none = Some(more),
            }
        }
        Ok(())
    }

    /// The header section is complete: our fields go before it, and an empty line behind it when it has none.
    fn begin(&mut self, mut head: Head) -> Result<(), Refusal> {
        if head.fields > MAX_HEADER {
            return Err(Refusal::HeaderTooLarge);
        }
        if let Some(fields) = self.arrival.replaced(&self.buffer[..head.fields])? {
            let separator = head.body - head.fields;
            self.buffer.splice(..head.fields, fields.iter().copied());
            head = Head { fields: fields.len(), body: fields.len() + separator };
        }
        let mut scan = header::scan(&self.buffer[..head.fields]);
        if scan.received > MAX_RECEIVED {
            return Err(Refusal::Loop);
        }
        if head.body == head.fields {
            self.buffer.splice(head.fields..head.fields, *b"\r\n");
        }
        let fields = self.arrival.fields(&mut scan);
        self.buffer.splice(0..0, fields);
        self.scan = Some(scan);
        Ok(())
    }

    /// Writes the buffer to the file, which is created when there is none, and returns the file.
    async fn spill(&mut self) -> Result<Spool, Refusal> {
        let spool = match self.spool.take() {
            Some(spool) => spool,
            None => Spool::create(self.folder, &self.arrival.queue_id).await.map_err(Refusal::Disk)?,
        };
        let block = std::mem::take(&mut self.buffer);
        let (spool, block) = spool.write(block).await.map_err(Refusal::Disk)?;
        self.buffer = block;
        Ok(spool)
    }

    /// Remembers the fault, and gives back what the message has taken.
    fn refuse(&mut self, refusal: Refusal) {
        self.refusal = Some(refusal);
        self.buffer = Vec::new();
        self.spool = None;
        self.permit = None;
    }
}

impl Arrival {
    /// The header section with another sender, when the user's is to be replaced.
    fn replaced(&self, fields: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
        let Some(Submitter { user, null_reverse_path }) = &self.submitter else { return Ok(None) };
        sender::header(user, fields, *null_reverse_path).map_err(Refusal::NotGranted)
    }

    /// Received, and Date, Message-ID and From where they are missing (RFC 6409 8.1, 8.3).
    fn fields(&self, scan: &mut Scan) -> Vec<u8> {
        let received = Received {
            helo: &self.helo,
            client_ip: self.client,
            by: &self.hostname,
            with: self.protocol,
            id: &self.queue_id,
            recipient: self.recipient.as_ref(),
            date: self.date,
        };
        let mut fields = received.to_header();
        if !scan.has_date {
            let date = header::rfc5322_date(self.date);
            fields.extend_from_slice(format!("Date: {date}\r\n").as_bytes());
        }
        if !scan.has_message_id {
            let id = message_id::generate(&self.queue_id, &self.hostname);
            fields.extend_from_slice(format!("Message-ID: {id}\r\n").as_bytes());
        }
        let own = self.submitter.as_ref().and_then(|submitter| submitter.user.default_sender.as_ref());
        if let Some(own) = own.filter(|_| !scan.has_from) {
            fields.extend_from_slice(format!("From: {own}\r\n").as_bytes());
            scan.from.push(own.clone());
        }
        fields
    }
}

#[cfg(test)]
mod tests;
