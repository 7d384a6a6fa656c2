//! Due messages are taken under a lease.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row, Rows};

use super::rows::{self, COLUMNS, HELD, MessageRow, SENDING, WAITING};
use super::turns::{PRIORITIES, Turn};
use super::writing::Writing;
use crate::store::{Claim, Claimed, MessageId, OverdueClaim, QueuedMessage, QueuedRecipient, Treatment};
use crate::time::Moment;

// Each of these finds its row in an index, whatever else waits: `message_turn`, and for the last `message_due`. They say
// `state = 0` in so many words, for that is what these indexes hold.
/// What a submitter has had due for longest.
pub(super) const FIRST: &str = "SELECT id FROM message WHERE route = ?1 AND state = 0 AND priority = ?2 \
    AND submitter = ?3 AND due <= ?4 ORDER BY due, id LIMIT 1";
/// When a submitter's first message is due.
pub(super) const FIRST_DUE: &str = "SELECT due FROM message WHERE route = ?1 AND state = 0 AND priority = ?2 \
    AND submitter = ?3 ORDER BY due, id LIMIT 1";
/// The first submitter of a lane and priority.
pub(super) const FIRST_SUBMITTER: &str = "SELECT submitter, due FROM message WHERE route = ?1 AND state = 0 \
    AND priority = ?2 ORDER BY submitter, due, id LIMIT 1";
/// The next submitter of a lane and priority.
pub(super) const NEXT_SUBMITTER: &str = "SELECT submitter, due FROM message WHERE route = ?1 AND state = 0 \
    AND priority = ?2 AND submitter > ?3 ORDER BY submitter, due, id LIMIT 1";
/// When something of a lane and priority is due next.
pub(super) const NEXT_DUE: &str =
    "SELECT due FROM message WHERE route = ?1 AND state = 0 AND priority = ?2 ORDER BY due, id LIMIT 1";

/// Takes what is due and fits, turn by turn (see [`turns`](super::turns)). It stops at the first that does not fit, whose
/// submitter keeps its turn, so that a large envelope is not overtaken for ever.
pub(super) fn claim(db: &Writing, claim: &Claim, folder: &Path) -> rusqlite::Result<Claimed> {
    let mut claimed = Claimed::default();
    let mut recipients_left = claim.recipients;
    while claimed.messages.len() < claim.messages as usize {
        let Some((turn, row)) = next(db, claim)? else {
            break;
        };
        let needed = needed(&row, claim.recipients_per_message);
        if needed > recipients_left {
            claimed.next_recipients = Some(needed);
            break;
        }
        let lease = Lease {
            upstream: &claim.upstream,
            account: &claim.account,
            most: claim.recipients_per_message,
            takes_permit: true,
            until: claim.lease_until,
        };
        if let Some(message) = take(db, row, &lease, folder)? {
            recipients_left = recipients_left.saturating_sub(message.permit());
            claimed.messages.push(message);
        }
        let due = first_due(db, &claim.route, &turn)?;
        if let Some(lane) = db.turns().lane(&claim.route) {
            lane.served(&turn, due, claim.now);
        }
    }
    claimed.next_due = next_due(db, &claim.route)?;
    let room = claimed.messages.len() < claim.messages as usize && claimed.next_recipients.is_none();
    if room && claimed.next_due.is_some_and(|due| due <= claim.now) {
        // It can't be; but if a write did not name what it made wait, the next claim finds it.
        debug_assert!(false, "a message is due whose submitter has no turn");
        db.turns().forget();
    }
    Ok(claimed)
}

/// Takes messages that have outlived the lifetime, and then those whose sender is to be warned. No permit is taken.
pub(super) fn claim_overdue(
    db: &Writing,
    claim: &OverdueClaim,
    folder: &Path,
) -> rusqlite::Result<Vec<QueuedMessage>> {
    let select = |warned: &str, before: Option<i64>, limit: usize| {
        let mut select = db.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM message WHERE route = ?1 AND state = {WAITING} AND age_base < ?2 {warned} \
             ORDER BY age_base LIMIT ?3"
        ))?;
        match before {
            Some(before) => readable(db, select.query((&claim.route, before, limit as i64))?),
            None => Ok(Vec::new()),
        }
    };
    let most = claim.messages as usize;
    let mut overdue = select("", claim.expired_before, most)?;
    if overdue.len() < most {
        let expired: Vec<MessageId> = overdue.iter().map(|row| row.message.id).collect();
        let late = select("AND warned = 0", claim.warn_before, most)?;
        overdue.extend(late.into_iter().filter(|row| !expired.contains(&row.message.id)));
    }
    let lease = Lease {
        upstream: &claim.route,
        account: "",
        most: u32::MAX,
        takes_permit: false,
        until: claim.lease_until,
    };
    let mut claimed = Vec::new();
    for row in overdue {
        claimed.extend(take_whole(db, row, &lease, folder)?);
    }
    Ok(claimed)
}

struct Lease<'a> {
    upstream: &'a str,
    account: &'a str,
    /// Recipients that are taken at most.
    most: u32,
    takes_permit: bool,
    until: Moment,
}

/// Whose turn it is, and the message for it: what that submitter has had due for longest.
fn next(db: &Writing, claim: &Claim) -> rusqlite::Result<Option<(Turn, MessageRow)>> {
    if db.turns().lane(&claim.route).is_none() {
        let waiting = submitters(db, &claim.route)?;
        db.turns().read(&claim.route, waiting);
    }
    let mut select = db.prepare_cached(&format!("SELECT {COLUMNS} FROM message WHERE id = ({FIRST})"))?;
    loop {
        let Some(turn) = db.turns().lane(&claim.route).and_then(|lane| lane.next(claim.now)) else {
            return Ok(None);
        };
        let key = (&claim.route, turn.priority as i64, &*turn.submitter, claim.now.0);
        if let Some(row) = readable(db, select.query(key)?)?.pop() {
            return Ok(Some((turn, row)));
        }
        // It is gone, was not due after all, or its row can't be read: the next one may be due.
        let due = first_due(db, &claim.route, &turn)?;
        if let Some(lane) = db.turns().lane(&claim.route) {
            lane.rests(&turn, due, claim.now);
        }
    }
}

/// When the first message of a submitter is due.
fn first_due(db: &Connection, route: &str, turn: &Turn) -> rusqlite::Result<Option<Moment>> {
    let mut select = db.prepare_cached(FIRST_DUE)?;
    select.query_row((route, turn.priority as i64, &*turn.submitter), |row| row.get(0).map(Moment)).optional()
}

/// The submitters that have mail waiting in a lane, with the moment when their first message is due: one look-up for
/// each, however much they have.
fn submitters(db: &Connection, route: &str) -> rusqlite::Result<Vec<(u8, String, Moment)>> {
    let mut first = db.prepare_cached(FIRST_SUBMITTER)?;
    let mut after = db.prepare_cached(NEXT_SUBMITTER)?;
    let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, Moment(row.get(1)?)));
    let mut submitters = Vec::new();
    for priority in PRIORITIES {
        let mut found = first.query_row((route, priority as i64), read).optional()?;
        while let Some((submitter, due)) = found {
            found = after.query_row((route, priority as i64, &submitter), read).optional()?;
            submitters.push((priority as u8, submitter, due));
        }
    }
    Ok(submitters)
}

/// Reads rows. One that can't be understood must not stop those behind it: it is held for a person.
fn readable(db: &Writing, mut rows: Rows<'_>) -> rusqlite::Result<Vec<MessageRow>> {
    let mut readable = Vec::new();
    while let Some(row) = rows.next()? {
        match rows::message(row) {
            Ok(message) => readable.push(message),
            Err(error) => hold(db, MessageId(row.get(0)?), &error)?,
        }
    }
    Ok(readable)
}

fn hold(db: &Writing, id: MessageId, error: &rusqlite::Error) -> rusqlite::Result<()> {
    tracing::error!(event = "held", message = id.0, reason = %error, next = "its row can't be read; export the data base and ask");
    let sql = format!("UPDATE message SET state = {HELD} WHERE id = ?1 RETURNING route, waiting");
    let (route, waiting): (String, i64) =
        db.prepare_cached(&sql)?.query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
    db.leaves(&route, waiting);
    Ok(())
}

fn next_due(db: &Connection, route: &str) -> rusqlite::Result<Option<Moment>> {
    let mut select = db.prepare_cached(NEXT_DUE)?;
    let mut first: Option<Moment> = None;
    for priority in PRIORITIES {
        let due = select.query_row((route, priority as i64), |row| row.get(0).map(Moment)).optional()?;
        first = [first, due].into_iter().flatten().min();
    }
    Ok(first)
}

/// The recipients that the provider will see at most. In test redirect it is one copy, whoever it was for.
fn needed(row: &MessageRow, per_message: u32) -> u32 {
    match row.message.treatment() {
        Treatment::OneCopy => 1,
        Treatment::Captured => 0,
        Treatment::Sent => row.waiting.min(per_message),
    }
}

/// Takes a message with the recipients that go in one transaction. `None` when it can't be read.
fn take(
    db: &Writing,
    row: MessageRow,
    lease: &Lease<'_>,
    folder: &Path,
) -> rusqlite::Result<Option<QueuedMessage>> {
    if row.message.treatment() != Treatment::Sent {
        return take_whole(db, row, lease, folder);
    }
    let sql = "SELECT min(attempts) FROM recipient WHERE message = ?1 AND state = 0";
    let fewest: Option<u32> = db.prepare_cached(sql)?.query_row([row.message.id.0], |row| row.get(0))?;
    let sql = "SELECT count(*) FROM recipient WHERE message = ?1 AND state = 0 AND attempts = ?2";
    let round: u32 = db.prepare_cached(sql)?.query_row((row.message.id.0, fewest), |row| row.get(0))?;
    take_recipients(db, row, (fewest.unwrap_or(0), round), lease, folder)
}

/// Takes a message with all recipients that wait.
fn take_whole(
    db: &Writing,
    row: MessageRow,
    lease: &Lease<'_>,
    folder: &Path,
) -> rusqlite::Result<Option<QueuedMessage>> {
    let round = row.waiting;
    let lease = Lease { most: u32::MAX, ..*lease };
    take_recipients(db, row, (u32::MAX, round), &lease, folder)
}

/// `round`: only recipients with at most so many attempts are taken, and there are so many of them.
fn take_recipients(
    db: &Writing,
    row: MessageRow,
    (attempts, round): (u32, u32),
    lease: &Lease<'_>,
    folder: &Path,
) -> rusqlite::Result<Option<QueuedMessage>> {
    let id = row.message.id;
    let recipients = match recipients(db, id, attempts, lease.most) {
        Ok(recipients) => recipients,
        Err(error) => return hold(db, id, &error).map(|()| None),
    };
    let content = rows::content(db, &row, folder)?;
    let mut message = row.message;
    message.content = content;
    message.recipients = recipients;
    let taken = message.recipients.len() as u32;
    message.others_waiting = row.waiting.saturating_sub(taken);
    message.others_at_once = round.saturating_sub(taken);
    let permit = if lease.takes_permit { message.permit() } else { 0 };
    db.prepare_cached(&format!("UPDATE message SET state = {SENDING} WHERE id = ?1"))?.execute([id.0])?;
    db.leaves(&message.route, i64::from(row.waiting));
    db.prepare_cached(
        "INSERT INTO lease (message, upstream, account, recipients, expires) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute((id.0, lease.upstream, lease.account, permit, lease.until.0))?;
    Ok(Some(message))
}

fn recipients(
    db: &Connection,
    id: MessageId,
    attempts: u32,
    most: u32,
) -> rusqlite::Result<Vec<QueuedRecipient>> {
    let mut select = db.prepare_cached(
        "SELECT place, address, attempts, failures, reply, notify, original FROM recipient \
         WHERE message = ?1 AND state = 0 AND attempts <= ?2 ORDER BY place LIMIT ?3",
    )?;
    let rows = select.query_map((id.0, attempts, most), |row| {
        Ok(QueuedRecipient {
            index: row.get(0)?,
            address: rows::address(row, 1)?,
            attempts: row.get(2)?,
            failures: row.get(3)?,
            last_reply: row.get(4)?,
            request: rows::recipient_request(row, 5)?,
        })
    })?;
    rows.collect()
}
