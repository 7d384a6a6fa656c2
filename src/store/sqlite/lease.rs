//! A message goes into an attempt: with which recipients, under which permit.

use std::path::Path;

use rusqlite::{Connection, Row};

use super::blacklist::ListedAt;
use super::queue_place::WaitingMessage;
use super::rows::{self, MessageRow};
use super::writing::Writing;
use crate::limits::{AccountKey, Amount};
use crate::store::{Disposition, Lease, Leased, Message, MessageId, QueuedRecipient};
use crate::time::Moment;

/// Under what a message is taken.
pub(super) struct Terms<'a> {
    /// Whose permit is taken; `None` takes none.
    pub(super) account: Option<&'a AccountKey>,
    /// Recipients that something goes to, at most.
    pub(super) recipients: u32,
    /// The blacklist as of now, where recipients are looked up in it.
    pub(super) blacklist: Option<ListedAt<'a>>,
    pub(super) folder: &'a Path,
}

/// What there must be room for, or a message of so many octets can't go at all: a larger envelope is split.
pub(super) fn least(disposition: Disposition, size: u64) -> Amount {
    match disposition {
        Disposition::Captured => Amount::NONE,
        Disposition::OneCopy | Disposition::Sent => Amount::of_message(1, size),
    }
}

/// Takes a message with the recipients that are due at `now` and go in one transaction. `None` when it can't be read.
pub(super) fn take(
    db: &Writing,
    row: MessageRow,
    now: Moment,
    terms: &Terms<'_>,
) -> rusqlite::Result<Option<Leased>> {
    if row.message.disposition() != Disposition::Sent {
        let terms = Terms { blacklist: None, ..*terms };
        return take_whole(db, row, &terms);
    }
    take_recipients(db, row, now, terms)
}

/// Takes a message with all recipients that wait.
pub(super) fn take_whole(
    db: &Writing,
    row: MessageRow,
    terms: &Terms<'_>,
) -> rusqlite::Result<Option<Leased>> {
    let terms = Terms { recipients: u32::MAX, ..*terms };
    take_recipients(db, row, Moment(i64::MAX), &terms)
}

fn take_recipients(
    db: &Writing,
    row: MessageRow,
    due: Moment,
    terms: &Terms<'_>,
) -> rusqlite::Result<Option<Leased>> {
    let recipients = match recipients(db, row.id, due, terms) {
        Ok(recipients) => recipients,
        Err(error) => return hold(db, row.id, &error).map(|()| None),
    };
    let content = rows::content(db, &row, terms.folder)?;
    let MessageRow { id, mut message, warned, attempts, waiting, copied, .. } = row;
    message.content = content;
    message.recipients = recipients;
    let taken = message.recipients.len() as u32;
    db.prepare_cached("UPDATE message SET state = 1 WHERE id = ?1")?.execute([id.0])?;
    let (recipients, octets) = (i64::from(waiting), message.size as i64);
    db.leaves(message.lane.clone(), WaitingMessage { recipients, octets, tried: attempts > 0 });
    let lease = record(db, id, &message, terms.account)?;
    let others_waiting = waiting.saturating_sub(taken);
    Ok(Some(Leased { lease, message, warned, attempts, others_waiting, copied }))
}

/// Notes the lease of a message with its recipients, and the permit of its transaction.
pub(super) fn record(
    db: &Writing,
    id: MessageId,
    message: &Message,
    account: Option<&AccountKey>,
) -> rusqlite::Result<Lease> {
    let amount = account.map_or(Amount::NONE, |_| message.amount());
    let (upstream, login) = match account {
        Some(key) => (&*key.upstream, &*key.account),
        None => (message.lane.upstream(), ""),
    };
    if let Some(key) = account.filter(|_| !amount.is_none()) {
        db.begin(key, &amount);
    }
    let lease = db.new_lease(id);
    db.prepare_cached(
        "INSERT INTO lease (message, upstream, account, messages, recipients, octets, owner, token) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute((
        id.0,
        upstream,
        login,
        amount.messages,
        amount.recipients,
        amount.octets as i64,
        db.owner(),
        lease.token as i64,
    ))?;
    Ok(lease)
}

/// Those that are due by then, the longest due first, as many as go.
pub(super) fn recipients(
    db: &Connection,
    id: MessageId,
    due: Moment,
    terms: &Terms<'_>,
) -> rusqlite::Result<Vec<QueuedRecipient>> {
    let mut select = db.prepare_cached(
        "SELECT place, address, attempts, failures, doubts, reply, notify, original FROM recipient \
         WHERE message = ?1 AND state = 0 AND due <= ?2 ORDER BY due, place",
    )?;
    let mut rows = select.query((id.0, due.0))?;
    let (mut recipients, mut going) = (Vec::new(), 0);
    while going < terms.recipients
        && let Some(row) = rows.next()?
    {
        let address = rows::address(row, 1)?;
        let entry = match terms.blacklist {
            Some(listed) => listed.find(db, address.as_str())?,
            None => None,
        };
        going += u32::from(entry.is_none());
        recipients.push(QueuedRecipient {
            index: row.get(0)?,
            address,
            attempts: row.get(2)?,
            failures: row.get(3)?,
            doubts: row.get(4)?,
            last_reply: row.get(5)?,
            request: rows::recipient_request(row, 6)?,
            listed: entry.map(|entry| entry.reason),
        });
    }
    recipients.sort_unstable_by_key(|recipient| recipient.index);
    Ok(recipients)
}

/// Holds a message that can't be read for a person.
pub(super) fn hold(db: &Writing, id: MessageId, error: &rusqlite::Error) -> rusqlite::Result<()> {
    tracing::error!(event = "held", message = id.0, reason = %error, action = "its row can't be read: keep a copy of queue.db, and report it");
    let sql = "UPDATE message SET state = 2 WHERE id = ?1 RETURNING route, waiting, CAST(size AS INTEGER), attempts > 0";
    let mut update = db.prepare_cached(sql)?;
    let read = |row: &Row<'_>| {
        let left = WaitingMessage { recipients: row.get(1)?, octets: row.get(2)?, tried: row.get(3)? };
        Ok((rows::lane(row, 0)?, left))
    };
    let (lane, left) = update.query_row([id.0], read)?;
    db.leaves(lane, left);
    Ok(())
}
