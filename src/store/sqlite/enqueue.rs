//! A message enters the queue.

use rusqlite::{Connection, params};

use super::rows::{self, HELD, WAITING};
use super::writing::{Place, Writing};
use crate::mail::Body;
use crate::store::{MessageKind, NewMessage, StoredContent};

/// Writes the message, its recipients and its content. With no recipient that is to get it, only the totals change.
pub(super) fn enqueue(db: &Writing, message: &NewMessage) -> rusqlite::Result<()> {
    let all = message.recipients.len() as u64;
    let dropped = message.recipients.iter().filter(|r| r.dropped).count() as u64;
    let entered = if message.kind == MessageKind::Report { "generated" } else { "accepted" };
    rows::count(db, entered, all)?;
    rows::count(db, "dropped", dropped)?;
    if dropped == all {
        return Ok(());
    }
    let submitter = message.client.submitter();
    let id = insert_message(db, message, &submitter, all - dropped)?;
    if !message.held {
        db.enters(&Place {
            route: message.route.clone(),
            priority: message.priority as u8,
            submitter,
            due: message.accepted,
            recipients: (all - dropped) as i64,
        });
    }
    let mut insert =
        db.prepare_cached("INSERT INTO recipient (message, place, address, state, notify, original) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for (place, recipient) in message.recipients.iter().enumerate() {
        let state = if recipient.dropped { 4 } else { 0 };
        let notify = recipient.request.notify.map(rows::notify_number);
        let original = recipient.request.original.as_ref().map(ToString::to_string);
        insert.execute((id, place as i64, recipient.address.as_str(), state, notify, original))?;
    }
    if let StoredContent::Inline(data) = &message.content {
        db.prepare_cached("INSERT INTO content (message, data) VALUES (?1, ?2)")?.execute((id, data))?;
    }
    Ok(())
}

fn insert_message(
    db: &Connection,
    message: &NewMessage,
    submitter: &str,
    waiting: u64,
) -> rusqlite::Result<i64> {
    let (size, in_file) = match &message.content {
        StoredContent::Inline(data) => (data.len() as u64, false),
        StoredContent::File(size) => (*size, true),
    };
    let mut insert = db.prepare_cached(
        "INSERT INTO message (queue_id, kind, priority, state, route, due, age_base, waiting, accepted, accepted_wall, \
         reverse_path, sender, body, smtputf8, client, helo, user, listener, test_action, test_address, size, in_file, \
         ret, envelope_id, mt_priority, submitter) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, \
         ?23, ?24, ?25, ?26)",
    )?;
    insert.insert(params![
        message.queue_id.as_str(),
        i64::from(message.kind == MessageKind::Report),
        message.priority as i64,
        if message.held { HELD } else { WAITING },
        message.route,
        message.accepted.0,
        message.accepted.0 - message.limit_wait,
        waiting as i64,
        message.accepted.0,
        message.accepted_wall,
        message.reverse_path.as_str(),
        message.sender,
        i64::from(message.body == Body::EightBitMime),
        message.smtputf8,
        message.client.address,
        message.client.helo,
        message.client.user,
        message.client.listener,
        message.test.as_ref().map(|t| rows::test_action(t.action)),
        message.test.as_ref().and_then(|t| t.address.as_ref()).map(|a| a.as_str().to_owned()),
        size as i64,
        in_file,
        message.request.ret.map(rows::ret_number),
        message.request.envelope_id.as_ref().map(ToString::to_string),
        message.request.priority,
        submitter,
    ])
}
