//! Due messages are taken under a lease.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Rows};

use super::rows::{self, COLUMNS, HELD, MessageRow, SENDING, WAITING};
use crate::store::{
    Claim, Claimed, MessageId, OverdueClaim, Priority, QueuedMessage, QueuedRecipient, Treatment,
};
use crate::time::Moment;

const PRIORITIES: [Priority; 4] = [Priority::Report, Priority::High, Priority::Normal, Priority::Low];

/// Takes what is due and fits: by priority, then the longest due. It stops at the first that does not fit, so that a
/// large envelope is not overtaken for ever.
pub(super) fn claim(db: &Connection, claim: &Claim, folder: &Path) -> rusqlite::Result<Claimed> {
    let mut claimed = Claimed::default();
    let mut recipients_left = claim.recipients;
    for row in due(db, claim)? {
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
    }
    claimed.next_due = next_due(db, &claim.route)?;
    Ok(claimed)
}

/// Takes messages that have outlived the lifetime, and then those whose sender is to be warned. No permit is taken.
pub(super) fn claim_overdue(
    db: &Connection,
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

fn due(db: &Connection, claim: &Claim) -> rusqlite::Result<Vec<MessageRow>> {
    let mut select = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM message WHERE route = ?1 AND state = {WAITING} AND priority = ?2 AND due <= ?3 \
         ORDER BY due, id LIMIT ?4"
    ))?;
    let mut due = Vec::new();
    for priority in PRIORITIES {
        let left = i64::from(claim.messages) - due.len() as i64;
        if left <= 0 {
            break;
        }
        due.extend(readable(db, select.query((&claim.route, priority as i64, claim.now.0, left))?)?);
    }
    Ok(due)
}

/// Reads rows. One that can't be understood must not stop those behind it: it is held for a person.
fn readable(db: &Connection, mut rows: Rows<'_>) -> rusqlite::Result<Vec<MessageRow>> {
    let mut readable = Vec::new();
    while let Some(row) = rows.next()? {
        match rows::message(row) {
            Ok(message) => readable.push(message),
            Err(error) => hold(db, MessageId(row.get(0)?), &error)?,
        }
    }
    Ok(readable)
}

fn hold(db: &Connection, id: MessageId, error: &rusqlite::Error) -> rusqlite::Result<()> {
    tracing::error!(event = "held", message = id.0, reason = %error, next = "its row can't be read; export the data base and ask");
    db.prepare_cached(&format!("UPDATE message SET state = {HELD} WHERE id = ?1"))?
        .execute([id.0])
        .map(|_| ())
}

fn next_due(db: &Connection, route: &str) -> rusqlite::Result<Option<Moment>> {
    let mut select = db.prepare_cached(&format!(
        "SELECT due FROM message WHERE route = ?1 AND state = {WAITING} AND priority = ?2 ORDER BY due LIMIT 1"
    ))?;
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
    db: &Connection,
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
    db: &Connection,
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
    db: &Connection,
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
