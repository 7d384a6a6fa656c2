//! Takes the content of one message: decodes it, puts our fields before it, keeps it in memory or in a file.
//!
//! Memory: the first 8 KiB of a content are free; what is more is taken off a budget that all sessions share, and never
//! waited for. What is larger than 64 KiB, or comes when the budget is used up, streams to a file. The header section
//! is gathered first, since our own fields depend on it and stand before it.

mod refusal;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;

pub use refusal::Refusal;

use super::head::{HeadFinder, HeaderSection};
use crate::config::{self, LongLines, Newlines};
use crate::mail::header::{self, Author, Scan};
use crate::mail::received::Received;
use crate::mail::{Address, Completion, MessageLabel, QueueId, message_id};
use crate::memory::{MemoryBudget, MemoryGrant};
use crate::policy::sender;
use crate::smtp::data_stream::{DataStream, StreamStatus};
use crate::smtp::line_ends::{LineEnds, end_lines};
use crate::smtp::long_lines::{LongLineFilter, fold_header, has_long_line};
use crate::store::{Content, Upload};

/// The largest content that stays in memory, in octets.
pub const INLINE: usize = 64 * 1024;
/// What a session may hold of a content without taking it off the budget, in octets.
const FREE: usize = 8 * 1024;
/// What is taken off the budget at once, in octets.
const STEP: usize = 16 * 1024;
/// What is left of that to a content that goes to a file: larger blocks would hardly be faster, in octets.
const BLOCK: usize = 32 * 1024;
/// How much is read at once while the content is free, and when the budget gives more, in octets.
const READ: (usize, usize) = (8 * 1024, 16 * 1024);
/// The largest header section, in octets.
const MAX_HEADER: usize = 1024 * 1024;
/// More Received fields than this mean a loop (RFC 5321 6.3).
const MAX_RECEIVED: usize = 100;

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
    /// What completes addresses without a domain. The content keeps them as they came; whoever decides by them reads them
    /// completed.
    pub completion: Option<Completion>,
    /// When it came.
    pub date: Timestamp,
}

/// A content that was taken.
#[derive(Debug)]
pub struct Taken {
    /// Our fields, the header section, the body.
    pub content: Content,
    /// Who it is from.
    pub author: Author,
    /// By what a person knows it again.
    pub label: MessageLabel,
}

/// How the content is wrapped.
enum Decoder {
    /// Content by DATA.
    Data(DataStream),
    /// Content by BDAT: counted octets, no dots, no end mark (RFC 3030).
    Chunks(LineEnds),
}

impl Decoder {
    /// What was seen of line ends.
    fn line_ends(&self) -> &LineEnds {
        match self {
            Self::Data(stream) => &stream.lines,
            Self::Chunks(lines) => lines,
        }
    }
}

/// Takes one content, in pieces.
pub struct Receiver {
    arrival: Arrival,
    settings: config::Session,
    decoder: Decoder,
    lines: LongLineFilter,
    /// Content that is not uploaded yet.
    buffer: Vec<u8>,
    /// Octets of content as the client sent them.
    received: u64,
    finder: HeadFinder,
    scan: Option<Scan>,
    label: MessageLabel,
    upload: Upload,
    memory: MemoryGrant,
    refusal: Option<Refusal>,
}

impl Receiver {
    /// A receiver that keeps what it needs of `memory` for as long as it or the content is there, and uploads what is
    /// larger.
    #[must_use]
    pub fn new(arrival: Arrival, settings: &config::Session, memory: &MemoryBudget, upload: Upload) -> Self {
        Self {
            arrival,
            settings: settings.clone(),
            decoder: Decoder::Data(DataStream::default()),
            lines: LongLineFilter::new(settings.long_lines),
            buffer: Vec::new(),
            received: 0,
            finder: HeadFinder::default(),
            scan: None,
            label: MessageLabel::default(),
            upload,
            memory: memory.nothing(),
            refusal: None,
        }
    }

    /// The content comes in chunks: it has no dots, and [`finish`](Self::finish) is its end (RFC 3030).
    #[must_use]
    pub fn in_chunks(mut self) -> Self {
        self.decoder = Decoder::Chunks(LineEnds::default());
        self
    }

    /// The fault that was found, if there is one; it is told once.
    pub fn refusal(&mut self) -> Option<Refusal> {
        self.refusal.take()
    }

    /// How many octets are to be read at once.
    #[must_use]
    pub fn room(&self) -> usize {
        if self.memory.octets() > 0 { READ.1 } else { READ.0 }
    }

    /// Takes the next octets from the client. A fault is remembered, and the rest is read and thrown away.
    pub async fn feed(&mut self, input: &[u8]) -> StreamStatus {
        let mut taken = 0;
        loop {
            let status = self.decode(&input[taken..]);
            self.settle().await;
            taken += status.consumed();
            match status {
                StreamStatus::End { .. } => return StreamStatus::End { consumed: taken },
                StreamStatus::More { .. } if taken == input.len() => {
                    return StreamStatus::More { consumed: taken };
                }
                StreamStatus::More { .. } => {}
            }
        }
    }

    /// The first half of [`feed`](Self::feed): what was consumed is not needed any more. [`settle`](Self::settle) must
    /// follow, and then the rest of the input.
    pub fn decode(&mut self, input: &[u8]) -> StreamStatus {
        let mut decoded = Vec::with_capacity(input.len() + 2);
        let status = match &mut self.decoder {
            Decoder::Data(stream) => stream.feed(input, &mut decoded),
            Decoder::Chunks(lines) => StreamStatus::More { consumed: lines.feed(input, &mut decoded) },
        };
        self.received += decoded.len() as u64;
        if self.refusal.is_none()
            && let Err(refusal) = self.take(&decoded)
        {
            self.refuse(refusal);
        }
        status
    }

    /// The second half of [`feed`](Self::feed): what is too much for memory goes to the file. That may take long, and the
    /// caller holds no input meanwhile.
    pub async fn settle(&mut self) {
        if self.scan.is_some()
            && self.buffer.len() > self.reserve().min(INLINE)
            && let Err(refusal) = self.spill().await
        {
            self.refuse(refusal);
        }
    }

    /// The content has ended. When it is in a file, the file is synced.
    ///
    /// # Errors
    /// With the reason why the message is not taken; nothing of it is left.
    pub async fn finish(mut self) -> Result<Taken, Refusal> {
        if let Decoder::Chunks(lines) = &mut self.decoder
            && self.refusal.is_none()
        {
            let mut decoded = Vec::new();
            lines.finish(&mut decoded);
            self.take(&decoded)?;
        }
        if let Some(refusal) = self.refusal.take() {
            return Err(refusal);
        }
        if self.scan.is_none() {
            let head = self.finder.find(&self.buffer).or_else(|| self.finder.cut(&self.buffer));
            let head = head.unwrap_or_else(|| self.finder.all(&self.buffer));
            self.begin(head)?;
        }
        self.lines.finish(&mut self.buffer);
        self.faults()?;
        let label = std::mem::take(&mut self.label);
        let author = self.scan.take().map(|scan| scan.author).unwrap_or_default();
        if !self.upload.is_begun() && self.buffer.len() <= self.reserve().min(INLINE) {
            return Ok(Taken { content: Content::granted(self.buffer, self.memory), author, label });
        }
        self.spill().await?;
        Ok(Taken { content: self.upload.finish().await?, author, label })
    }

    fn faults(&self) -> Result<(), Refusal> {
        let line_ends = self.decoder.line_ends();
        if line_ends.nul {
            return Err(Refusal::Nul);
        }
        if line_ends.bare_newline && self.settings.bare_newline == Newlines::Reject {
            return Err(Refusal::BareNewline);
        }
        if self.lines.found && self.settings.long_lines == LongLines::Reject {
            return Err(Refusal::LongLine);
        }
        Ok(())
    }

    /// Moves what was decoded on to the buffer.
    fn take(&mut self, decoded: &[u8]) -> Result<(), Refusal> {
        let max = self.settings.max_message_size.0;
        if self.received + self.decoder.line_ends().withheld() > max {
            return Err(Refusal::TooLarge { max });
        }
        self.faults()?;
        if self.scan.is_some() {
            self.body(decoded);
            return Ok(());
        }
        self.buffer.extend_from_slice(decoded);
        self.gather()
    }

    /// Moves a piece of the body on to the buffer.
    fn body(&mut self, piece: &[u8]) {
        let bare_cr = self.decoder.line_ends().bare_cr;
        let piece = if bare_cr { end_lines(piece) } else { Cow::Borrowed(piece) };
        self.lines.feed(&piece, &mut self.buffer);
    }

    /// Takes off the budget what the buffer needs, if it is there. Returns how large the buffer may be.
    fn reserve(&mut self) -> usize {
        let held = FREE + self.memory.octets() as usize;
        // What goes to a file needs no more, and what has been refused by the budget takes small blocks.
        let wanted = self.buffer.len().saturating_sub(held).next_multiple_of(STEP);
        if wanted == 0 || self.upload.is_begun() || (self.scan.is_some() && self.buffer.len() > INLINE) {
            return held;
        }
        if self.memory.try_grow(wanted as u64) { held + wanted } else { held }
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
                .map_or(Err(Refusal::HeaderTooLarge { max: MAX_HEADER }), |head| self.begin(head));
        }
        if self.reserve() < self.buffer.len() { Err(Refusal::Memory) } else { Ok(()) }
    }

    /// The header section is complete: our fields go before it, and an empty line behind it. All else is the body.
    fn begin(&mut self, head: HeaderSection) -> Result<(), Refusal> {
        let content = std::mem::take(&mut self.buffer);
        let fields = self.fields(&content[head.start..head.fields])?;
        let mut scan = header::scan(&self.arrival.completed(&fields));
        if scan.received > MAX_RECEIVED {
            return Err(Refusal::Loop);
        }
        self.buffer = self.arrival.fields(&mut scan);
        self.buffer.reserve(fields.len() + 2 + content.len() - head.body);
        self.buffer.extend_from_slice(&fields);
        self.buffer.extend_from_slice(b"\r\n");
        self.label = MessageLabel::of(&self.buffer);
        self.scan = Some(scan);
        self.body(&content[head.body..]);
        Ok(())
    }

    /// The header section as fields that every reader knows, with lines of a length that every server takes, and by a sender
    /// that the user may be.
    fn fields<'a>(&self, section: &'a [u8]) -> Result<Cow<'a, [u8]>, Refusal> {
        if section.len() > MAX_HEADER {
            return Err(Refusal::HeaderTooLarge { max: MAX_HEADER });
        }
        let treatment = self.settings.long_lines;
        if treatment == LongLines::Reject && has_long_line(section) {
            return Err(Refusal::LongLine);
        }
        let mut fields = header::to_fields(section);
        if treatment != LongLines::Pass && has_long_line(&fields) {
            fields = Cow::Owned(fold_header(&fields));
        }
        Ok(self.arrival.replaced(&fields)?.map_or(fields, Cow::Owned))
    }

    /// Uploads the buffer.
    async fn spill(&mut self) -> Result<(), Refusal> {
        self.upload.write(std::mem::take(&mut self.buffer)).await?;
        self.memory.keep(BLOCK as u64);
        Ok(())
    }

    /// Remembers the fault, and gives back what the message has taken.
    fn refuse(&mut self, refusal: Refusal) {
        self.refusal = Some(refusal);
        self.buffer = Vec::new();
        self.upload.give_up();
        self.memory.keep(0);
    }
}

impl Arrival {
    /// The header section with another sender, when the user's is to be replaced.
    fn replaced(&self, fields: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
        let Some(Submitter { user, null_reverse_path }) = &self.submitter else { return Ok(None) };
        sender::header(user, &self.completed(fields), *null_reverse_path).map_err(Refusal::NotGranted)
    }

    /// The fields as they will go.
    fn completed<'a>(&self, fields: &'a [u8]) -> Cow<'a, [u8]> {
        self.completion.as_ref().map_or(Cow::Borrowed(fields), |completion| completion.section(fields))
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
        if let Some(own) = own.filter(|_| scan.author == Author::Missing) {
            fields.extend_from_slice(format!("From: {own}\r\n").as_bytes());
            scan.author = Author::Mailboxes(vec![own.clone()]);
        }
        fields
    }
}

#[cfg(test)]
mod tests;
