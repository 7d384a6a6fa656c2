//! How our types look in the tables.

use std::path::Path;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::config::TestAction;
use crate::mail::{
    Address, Body, EnvelopeId, MessageRequest, Notify, OriginalRecipient, QueueId, RecipientRequest, Return,
    ReversePath,
};
use crate::store::{
    ClientInfo, Content, MessageId, MessageKind, QueuedMessage, RecipientState, TestTreatment,
};
use crate::time::Moment;

/// `message.state`
pub(super) const WAITING: i64 = 0;
/// `message.state`
pub(super) const SENDING: i64 = 1;
/// `message.state`
pub(super) const HELD: i64 = 2;

/// The columns that [`message`] reads.
pub(super) const COLUMNS: &str = "id, queue_id, kind, route, accepted, accepted_wall, age_base, reverse_path, sender, \
    body, smtputf8, client, helo, user, listener, test_action, test_address, warned, attempts, waiting, size, in_file, \
    ret, envelope_id, mt_priority";

/// What a row of `message` says; its recipients and content are read apart.
pub(super) struct MessageRow {
    pub(super) message: QueuedMessage,
    pub(super) waiting: u32,
    pub(super) in_file: bool,
}

/// Reads the [`COLUMNS`] of one row.
pub(super) fn message(row: &Row<'_>) -> rusqlite::Result<MessageRow> {
    let message = QueuedMessage {
        id: MessageId(row.get(0)?),
        queue_id: queue_id(row, 1)?,
        kind: if row.get::<_, i64>(2)? == 0 { MessageKind::Submitted } else { MessageKind::Report },
        route: row.get(3)?,
        accepted: Moment(row.get(4)?),
        accepted_wall: row.get(5)?,
        age_base: row.get(6)?,
        reverse_path: reverse_path(row, 7)?,
        sender: row.get(8)?,
        body: if row.get::<_, i64>(9)? == 0 { Body::SevenBit } else { Body::EightBitMime },
        smtputf8: row.get(10)?,
        request: message_request(row, 22)?,
        client: ClientInfo {
            address: row.get(11)?,
            helo: row.get(12)?,
            user: row.get(13)?,
            listener: row.get(14)?,
        },
        test: test_treatment(row, 15)?,
        warned: row.get(17)?,
        attempts: row.get(18)?,
        recipients: Vec::new(),
        others_waiting: 0,
        others_at_once: 0,
        size: row.get::<_, i64>(20)?.unsigned_abs(),
        content: Content::Inline(Vec::new()),
    };
    Ok(MessageRow { message, waiting: row.get(19)?, in_file: row.get(21)? })
}

/// The content of a message, or where it is.
pub(super) fn content(db: &Connection, row: &MessageRow, folder: &Path) -> rusqlite::Result<Content> {
    if row.in_file {
        return Ok(Content::File(folder.join(row.message.queue_id.as_str())));
    }
    inline(db, row.message.id).map(|data| Content::Inline(data.unwrap_or_default()))
}

/// Content that is in the data base.
pub(super) fn inline(db: &Connection, id: MessageId) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut select = db.prepare_cached("SELECT data FROM content WHERE message = ?1")?;
    select.query_row([id.0], |row| row.get(0)).optional()
}

pub(super) fn queue_id(row: &Row<'_>, column: usize) -> rusqlite::Result<QueueId> {
    let text: String = row.get(column)?;
    QueueId::parse(&text).map_err(|error| conversion(column, error))
}

pub(super) fn address(row: &Row<'_>, column: usize) -> rusqlite::Result<Address> {
    let text: String = row.get(column)?;
    Address::parse(&text).map_err(|error| conversion(column, error))
}

pub(super) fn test_treatment(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<TestTreatment>> {
    let action = match row.get::<_, Option<i64>>(column)? {
        None => return Ok(None),
        Some(0) => TestAction::Redirect,
        Some(1) => TestAction::Hold,
        Some(_) => TestAction::Capture,
    };
    let address =
        row.get::<_, Option<String>>(column + 1)?.is_some().then(|| address(row, column + 1)).transpose()?;
    Ok(Some(TestTreatment { action, address }))
}

/// Reads the columns `ret`, `envelope_id` and `mt_priority`, which follow each other.
fn message_request(row: &Row<'_>, column: usize) -> rusqlite::Result<MessageRequest> {
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

pub(super) fn test_action(action: TestAction) -> i64 {
    match action {
        TestAction::Redirect => 0,
        TestAction::Hold => 1,
        TestAction::Capture => 2,
    }
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

/// The number of a state in the table, and the name of the total that it counts into.
pub(super) fn settled(state: RecipientState) -> (i64, Option<&'static str>) {
    match state {
        // "Sending" is not stored: it follows from the message's state.
        RecipientState::Waiting | RecipientState::Sending => (0, None),
        RecipientState::Sent => (1, Some("sent")),
        RecipientState::Bounced => (2, Some("bounced")),
        RecipientState::Expired => (3, Some("expired")),
        RecipientState::Dropped => (4, Some("dropped")),
        RecipientState::Captured => (5, Some("captured")),
    }
}

/// Counts recipients into a total.
pub(super) fn count(db: &Connection, total: &str, recipients: u64) -> rusqlite::Result<()> {
    if recipients > 0 {
        let mut update = db.prepare_cached("UPDATE total SET count = count + ?2 WHERE name = ?1")?;
        update.execute((total, recipients as i64))?;
    }
    Ok(())
}

fn reverse_path(row: &Row<'_>, column: usize) -> rusqlite::Result<ReversePath> {
    let text: String = row.get(column)?;
    if text.is_empty() { Ok(ReversePath::Null) } else { address(row, column).map(ReversePath::Address) }
}

fn conversion(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}
