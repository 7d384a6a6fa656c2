//! Due messages are taken under a lease.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::rows::{self, COLUMNS, MessageRow, SENDING, WAITING};
use crate::config::TestAction;
use crate::store::{Claim, Claimed, MessageId, OverdueClaim, Priority, QueuedMessage, QueuedRecipient};
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
        recipients_left -= needed;
        let most = if is_one_copy(&row) { row.waiting } else { needed };
        let lease = Lease {
            upstream: &claim.route,
            account: &claim.account,
            permit: needed,
            recipients: most,
            until: claim.lease_until,
        };
        let message = take(db, row, &lease, folder)?;
        claimed.messages.push(message);
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
    let sql = |warned: &str| {
        format!(
            "SELECT {COLUMNS} FROM message WHERE route = ?1 AND state = {WAITING} AND age_base < ?2 {warned} \
             ORDER BY age_base LIMIT ?3"
        )
    };
    let select = |warned: &str, before: i64, limit: usize| {
        let mut select = db.prepare_cached(&sql(warned))?;
        let rows = select.query_map((&claim.route, before, limit as i64), rows::message)?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    };
    let most = claim.messages as usize;
    let mut overdue = select("", claim.expired_before, most)?;
    if let Some(before) = claim.warn_before
        && overdue.len() < most
    {
        let expired: Vec<MessageId> = overdue.iter().map(|row| row.message.id).collect();
        let late = select("AND warned = 0", before, most)?;
        overdue.extend(late.into_iter().filter(|row| !expired.contains(&row.message.id)));
    }
    let lease = Lease {
        upstream: &claim.route,
        account: "",
        permit: 0,
        recipients: u32::MAX,
        until: claim.lease_until,
    };
    overdue.into_iter().map(|row| take(db, row, &lease, folder)).collect()
}

struct Lease<'a> {
    upstream: &'a str,
    account: &'a str,
    /// Recipients that the provider will count; 0 takes no permit.
    permit: u32,
    /// Recipients that are taken at most.
    recipients: u32,
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
        let rows = select.query_map((&claim.route, priority as i64, claim.now.0, left), rows::message)?;
        for row in rows {
            due.push(row?);
        }
    }
    Ok(due)
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

/// The recipients that the provider will see. In test redirect it is one copy, whoever it was for.
fn needed(row: &MessageRow, per_message: u32) -> u32 {
    if is_one_copy(row) { 1 } else { row.waiting.min(per_message) }
}

fn is_one_copy(row: &MessageRow) -> bool {
    row.message.test.as_ref().is_some_and(|test| test.action == TestAction::Redirect)
}

fn take(
    db: &Connection,
    row: MessageRow,
    lease: &Lease<'_>,
    folder: &Path,
) -> rusqlite::Result<QueuedMessage> {
    let id = row.message.id;
    db.prepare_cached(&format!("UPDATE message SET state = {SENDING} WHERE id = ?1"))?.execute([id.0])?;
    db.prepare_cached(
        "INSERT INTO lease (message, upstream, account, recipients, expires) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute((id.0, lease.upstream, lease.account, lease.permit, lease.until.0))?;
    let content = rows::content(db, &row, folder)?;
    let mut message = row.message;
    message.content = content;
    message.recipients = recipients(db, id, lease.recipients)?;
    message.others_waiting = row.waiting.saturating_sub(message.recipients.len() as u32);
    Ok(message)
}

fn recipients(db: &Connection, id: MessageId, most: u32) -> rusqlite::Result<Vec<QueuedRecipient>> {
    let mut select = db.prepare_cached(
        "SELECT place, address, attempts, reply, notify, original FROM recipient WHERE message = ?1 AND state = 0 \
         ORDER BY attempts, place LIMIT ?2",
    )?;
    let rows = select.query_map((id.0, most), |row| {
        Ok(QueuedRecipient {
            index: row.get(0)?,
            address: rows::address(row, 1)?,
            attempts: row.get(2)?,
            last_reply: row.get(3)?,
            request: rows::recipient_request(row, 4)?,
        })
    })?;
    rows.collect()
}
