//! A message enters the queue.

use rusqlite::params;

use super::ends::{EndedMessage, EndedRecipient};
use super::queue_place::{QueueEntry, QueuePlace};
use super::rows::{self, HELD, SENDING, WAITING};
use super::taker;
use super::writing::Writing;
use crate::mail::Body;
use crate::store::{MessageId, MessageKind, NewMessage, TakenAtOnce};

/// Writes the message, its recipients and its content. With no recipient that is to get it, only the totals change.
/// What an ask that stands has taken at once is returned.
pub(super) fn enqueue(db: &Writing, message: &NewMessage) -> rusqlite::Result<Option<TakenAtOnce>> {
    let all = message.recipients.len() as u64;
    let dropped = all - message.recipients.kept() as u64;
    let is_report = message.kind == MessageKind::Report;
    let generated = message.recipients.iter().filter(|recipient| is_report || recipient.copy).count() as u64;
    db.count("generated", generated);
    db.count("accepted", all - generated);
    let ended = EndedMessage::new(message, db.wall());
    for recipient in message.recipients.iter().filter(|recipient| recipient.dropped) {
        ended.note(db, &EndedRecipient::dropped(&recipient.address))?;
    }
    if dropped == all {
        return Ok(None);
    }
    let submitter = message.client.submitter();
    let accepted = db.now();
    let due = accepted.after(message.delay);
    let entry = QueueEntry { accepted, accepted_wall: db.wall(), due, waiting: all - dropped };
    let taker = taker::taker(db, message, &entry)?;
    let state = match (&taker, message.held) {
        (_, true) => HELD,
        (Some(_), false) => SENDING,
        (None, false) => WAITING,
    };
    let id = insert_message(db, message, &submitter, (&entry, state))?;
    if state == WAITING {
        db.enters(&QueuePlace {
            lane: message.lane.clone(),
            priority: message.priority as u8,
            submitter,
            due,
            recipients: entry.waiting as i64,
            octets: message.content.len() as i64,
            tried: false,
        });
    }
    let mut insert =
        db.prepare_cached("INSERT INTO recipient (message, place, address, state, notify, original, due) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    for (place, recipient) in message.recipients.iter().enumerate() {
        let state = if recipient.dropped { 4 } else { 0 };
        let notify = recipient.request.notify.map(rows::notify_number);
        let original = recipient.request.original.as_ref().map(ToString::to_string);
        insert.execute((id, place as i64, recipient.address.as_str(), state, notify, original, due.0))?;
    }
    if let Some(data) = message.content.octets() {
        db.prepare_cached("INSERT INTO content (message, data) VALUES (?1, ?2)")?.execute((id, data))?;
    }
    let at_once = taker.map(|taker| taker.take(db, MessageId(id), message, &entry)).transpose()?;
    // From here on the commit decides, whether or not somebody still waits for it.
    message.content.keep();
    Ok(at_once)
}

fn insert_message(
    db: &Writing,
    message: &NewMessage,
    submitter: &str,
    (entry, state): (&QueueEntry, i64),
) -> rusqlite::Result<i64> {
    let mut insert = db.prepare_cached(
        "INSERT INTO message (id, queue_id, kind, priority, state, route, due, age_base, waiting, accepted, accepted_wall, \
         reverse_path, sender, body, smtputf8, client, helo, user, listener, decisions, size, in_file, ret, envelope_id, \
         mt_priority, submitter, checksum, copied, message_id, subject) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, \
         ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30)",
    )?;
    insert.insert(params![
        db.numbers.message(),
        message.queue_id.as_str(),
        i64::from(message.kind == MessageKind::Report),
        message.priority as i64,
        state,
        message.lane.as_str(),
        entry.due.0,
        entry.age_base(message),
        entry.waiting as i64,
        entry.accepted.0,
        entry.accepted_wall,
        message.reverse_path.as_str(),
        message.sender,
        i64::from(message.body == Body::EightBitMime),
        message.smtputf8,
        message.client.address,
        message.client.helo,
        message.client.user,
        message.client.listener,
        message.decisions.to_text(),
        message.content.len() as i64,
        message.content.octets().is_none(),
        message.request.ret.map(rows::ret_number),
        message.request.envelope_id.as_ref().map(ToString::to_string),
        message.request.priority,
        submitter,
        message.content.checksum().map(|checksum| checksum.0),
        // The copy belongs to the transaction that the others were in.
        message.recipients.are_copies(),
        message.label.message_id,
        message.label.subject,
    ])
}
