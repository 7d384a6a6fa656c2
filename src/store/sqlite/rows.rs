//! How our types look in the tables.

use std::path::Path;
use std::time::Duration;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::config::TestAction;
use crate::content::{Checksum, ContentFile};
use crate::mail::{
    Address, Body, EnvelopeId, MessageRequest, Notify, OriginalRecipient, QueueId, RecipientRequest, Return,
    ReversePath,
};
use crate::store::{
    ClientInfo, Content, Decisions, LaneName, Message, MessageId, MessageKind, RecipientEnd, RecipientState,
};
use crate::time::Moment;

/// `message.state`
pub(super) const WAITING: i64 = 0;
/// `message.state`
pub(super) const SENDING: i64 = 1;
/// `message.state`
pub(super) const HELD: i64 = 2;

/// What a submitter has due in a lane and priority, the longest due first. It is found in the index `message_turn`.
pub(super) const DUE_OF_SUBMITTER: &str = "SELECT id, size, queue_id, kind, route, accepted, accepted_wall, age_base, \
    reverse_path, sender, body, smtputf8, ret, envelope_id, mt_priority, client, helo, user, listener, decisions, \
    warned, attempts, waiting, in_file, checksum, copied FROM message \
    WHERE route = ?1 AND state = 0 AND priority = ?2 AND submitter = ?3 AND due <= ?4 ORDER BY due, id";
/// What waits in a lane whose age counts from before then, the oldest first. It is found in the index `message_age`.
pub(super) const OLDER_THAN: &str = "SELECT id, size, queue_id, kind, route, accepted, accepted_wall, age_base, \
    reverse_path, sender, body, smtputf8, ret, envelope_id, mt_priority, client, helo, user, listener, decisions, \
    warned, attempts, waiting, in_file, checksum, copied FROM message \
    WHERE route = ?1 AND state = 0 AND warned = ?2 AND age_base < ?3 ORDER BY age_base LIMIT ?4";

/// What a row of `message` says; its recipients and content are read apart.
pub(super) struct MessageRow {
    pub(super) id: MessageId,
    pub(super) message: Message,
    pub(super) warned: bool,
    pub(super) attempts: u32,
    /// Recipients that are not settled.
    pub(super) waiting: u32,
    pub(super) in_file: bool,
    /// Of the content; `None`: an older version has stored it.
    pub(super) checksum: Option<Checksum>,
    /// Whether a copy for a Sent folder was made.
    pub(super) copied: bool,
}

/// Reads a row of [`DUE_OF_SUBMITTER`] or [`OLDER_THAN`].
pub(super) fn message(row: &Row<'_>) -> rusqlite::Result<MessageRow> {
    let message = Message {
        size: row.get::<_, i64>(1)?.unsigned_abs(),
        queue_id: queue_id(row, 2)?,
        kind: if row.get::<_, i64>(3)? == 0 { MessageKind::Submitted } else { MessageKind::Report },
        lane: lane(row, 4)?,
        accepted: Moment(row.get(5)?),
        accepted_wall: row.get(6)?,
        age_base: row.get(7)?,
        reverse_path: reverse_path(row, 8)?,
        sender: row.get(9)?,
        body: if row.get::<_, i64>(10)? == 0 { Body::SevenBit } else { Body::EightBitMime },
        smtputf8: row.get(11)?,
        request: message_request(row, 12)?,
        client: client(row, 15)?,
        decisions: decisions(row, 19)?,
        recipients: Vec::new(),
        content: Content::memory(Vec::new()),
    };
    Ok(MessageRow {
        id: MessageId(row.get(0)?),
        message,
        warned: row.get(20)?,
        attempts: row.get(21)?,
        waiting: row.get(22)?,
        in_file: row.get(23)?,
        checksum: checksum(row, 24)?,
        copied: row.get(25)?,
    })
}

/// Reads the columns `client`, `helo`, `user` and `listener`, which follow each other.
pub(super) fn client(row: &Row<'_>, column: usize) -> rusqlite::Result<ClientInfo> {
    Ok(ClientInfo {
        address: row.get(column)?,
        helo: row.get(column + 1)?,
        user: row.get(column + 2)?,
        listener: row.get(column + 3)?,
    })
}

/// Reads `message.route`.
pub(super) fn lane(row: &Row<'_>, column: usize) -> rusqlite::Result<LaneName> {
    Ok(LaneName::parse(row.get_ref(column)?.as_str()?))
}

pub(super) fn decisions(row: &Row<'_>, column: usize) -> rusqlite::Result<Decisions> {
    let text = row.get_ref(column)?.as_str_or_null()?;
    Decisions::from_text(text).map_err(|error| conversion(column, error))
}

/// The content of a message.
pub(super) fn content(db: &Connection, row: &MessageRow, folder: &Path) -> rusqlite::Result<Content> {
    let message = &row.message;
    if row.in_file {
        return Ok(in_file(folder, &message.queue_id, message.size, row.checksum));
    }
    let mut select = db.prepare_cached("SELECT data FROM content WHERE message = ?1")?;
    let data: Option<Vec<u8>> = select.query_row([row.id.0], |row| row.get(0)).optional()?;
    Ok(Content::found(data.unwrap_or_default(), message.size, row.checksum))
}

/// Content in a file of so many octets, which has the queue id's name.
pub(super) fn in_file(folder: &Path, queue_id: &QueueId, size: u64, checksum: Option<Checksum>) -> Content {
    Content::file(ContentFile::stored(folder.join(queue_id.as_str())), size, checksum)
}

/// Reads `message.checksum`.
pub(super) fn checksum(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Checksum>> {
    Ok(row.get::<_, Option<u32>>(column)?.map(Checksum))
}

pub(super) fn queue_id(row: &Row<'_>, column: usize) -> rusqlite::Result<QueueId> {
    let text: String = row.get(column)?;
    QueueId::parse(&text).map_err(|error| conversion(column, error))
}

pub(super) fn address(row: &Row<'_>, column: usize) -> rusqlite::Result<Address> {
    let text: String = row.get(column)?;
    Address::parse(&text).map_err(|error| conversion(column, error))
}

/// Reads the columns `ret`, `envelope_id` and `mt_priority`, which follow each other.
pub(super) fn message_request(row: &Row<'_>, column: usize) -> rusqlite::Result<MessageRequest> {
    let ret = row.get::<_, Option<i64>>(column)?;
    let envelope_id = row.get::<_, Option<String>>(column + 1)?;
    Ok(MessageRequest {
        ret: ret.map(|ret| if ret == 0 { Return::Full } else { Return::Headers }),
        // What was written is sound; what somebody else changed is no reason to hold the message back.
        envelope_id: envelope_id.as_deref().and_then(EnvelopeId::parse),
        priority: row.get(column + 2)?,
    })
}

/// Reads the columns `notify` and `original`, which follow each other.
pub(super) fn recipient_request(row: &Row<'_>, column: usize) -> rusqlite::Result<RecipientRequest> {
    let notify = row.get::<_, Option<i64>>(column)?;
    let original = row.get::<_, Option<String>>(column + 1)?;
    Ok(RecipientRequest {
        notify: notify.map(|bits| Notify {
            success: bits & 1 != 0,
            failure: bits & 2 != 0,
            delay: bits & 4 != 0,
        }),
        original: original.as_deref().and_then(OriginalRecipient::parse),
    })
}

/// `recipient.notify`
pub(super) fn notify_number(notify: Notify) -> i64 {
    i64::from(notify.success) | i64::from(notify.failure) << 1 | i64::from(notify.delay) << 2
}

/// `message.ret`
pub(super) fn ret_number(ret: Return) -> i64 {
    i64::from(ret == Return::Headers)
}

pub(super) fn recipient_state(number: i64) -> RecipientState {
    match number {
        0 => RecipientState::Waiting,
        1 => RecipientState::Sent,
        2 => RecipientState::Bounced,
        3 => RecipientState::Expired,
        4 => RecipientState::Dropped,
        _ => RecipientState::Captured,
    }
}

/// `recipient.state`
pub(super) fn state_number(state: RecipientState) -> i64 {
    // "Sending" is not stored: it follows from the message's state.
    RecipientEnd::of(state).map_or(0, end_number)
}

/// `history.state`, and that of a recipient that has ended.
pub(super) fn end_number(end: RecipientEnd) -> i64 {
    match end {
        RecipientEnd::Sent => 1,
        RecipientEnd::Bounced => 2,
        RecipientEnd::Expired => 3,
        RecipientEnd::Dropped => 4,
        RecipientEnd::Captured => 5,
        RecipientEnd::Deleted => 6,
    }
}

/// `history.test`
pub(super) fn test_number(action: TestAction) -> i64 {
    match action {
        TestAction::Redirect => 0,
        TestAction::Hold => 1,
        TestAction::Capture => 2,
    }
}

/// A duration as the tables have it.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn reverse_path(row: &Row<'_>, column: usize) -> rusqlite::Result<ReversePath> {
    let text: String = row.get(column)?;
    if text.is_empty() { Ok(ReversePath::Null) } else { address(row, column).map(ReversePath::Address) }
}

fn conversion(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}
