//! Permits of transactions that have no message in the queue.

use rusqlite::OptionalExtension;

use super::books::OpenPermit;
use super::ends::{EndedMessage, EndedRecipient};
use super::writing::Writing;
use super::{enqueue, kept_contents, mailboxes, sent_copies, usage};
use crate::limits::{AccountKey, Amount};
use crate::store::{NewPermit, PassedMessage, PermitEnd, PermitExtension, PermitId, Permitted, RecipientEnd};

/// Records a permit, if there is room for it.
pub(super) fn take(db: &Writing, permit: &NewPermit) -> rusqlite::Result<Permitted> {
    let needed = permit.needed;
    if let Err(wait) = db.room(&permit.ceilings, &needed)? {
        return Ok(Permitted::Blocked(wait));
    }
    db.begin(&permit.account, &needed);
    let recorded = permit.recorded.max(needed.recipients);
    let sql = "INSERT INTO permit (upstream, account, recipients, octets) VALUES (?1, ?2, ?3, ?4)";
    let (upstream, account) = (&*permit.account.upstream, &*permit.account.account);
    let id = db.prepare_cached(sql)?.insert((upstream, account, recorded, needed.octets as i64))?;
    let id = PermitId(id);
    db.opened(id, OpenPermit { account: permit.account.clone(), taken: needed, recorded });
    Ok(Permitted::Granted(id))
}

/// Adds to a permit what is beyond what was recorded. `None`: it has ended.
pub(super) fn extend(db: &Writing, extension: &PermitExtension) -> rusqlite::Result<Option<Permitted>> {
    let PermitExtension { permit: id, ceilings, more } = extension;
    let Some(open) = db.open_permit(*id) else { return Ok(None) };
    if let Err(wait) = db.room_for_more(ceilings, more)? {
        return Ok(Some(Permitted::Blocked(wait)));
    }
    let mut taken = open.taken;
    taken += Amount { messages: 0, ..*more };
    let recorded = open.recorded.max(taken.recipients);
    let sql = "UPDATE permit SET recipients = ?2, octets = ?3 WHERE id = ?1";
    db.prepare_cached(sql)?.execute((id.0, recorded, taken.octets as i64))?;
    db.joins(*id, OpenPermit { taken, recorded, ..open }, more);
    Ok(Some(Permitted::Granted(*id)))
}

/// Ends a permit. One that is gone was ended already, and counts nothing.
pub(super) fn end(db: &Writing, end: &PermitEnd) -> rusqlite::Result<bool> {
    let sql = "DELETE FROM permit WHERE id = ?1 RETURNING upstream, account, 1, recipients, octets";
    let mut delete = db.prepare_cached(sql)?;
    let row = delete.query_row([end.permit.0], |row| Ok((usage::account(row, 0)?, usage::amount(row, 2)?)));
    let Some((account, recorded)) = row.optional()? else { return Ok(false) };
    let taken = db.closed(end.permit).map_or(recorded, |open| open.taken);
    db.end(&account, &taken, end.used.as_ref())?;
    if let Some(passed) = &end.passed {
        note_passed(db, passed, &account)?;
    }
    for report in &end.reports {
        enqueue::enqueue(db, report)?;
    }
    if let Some(copy) = &end.copy {
        sent_copies::add(db, copy)?;
    }
    Ok(true)
}

/// Counts the recipients of a message that has gone through, and notes what became of them.
fn note_passed(db: &Writing, passed: &PassedMessage, account: &AccountKey) -> rusqlite::Result<()> {
    let PassedMessage { message, dropped, copies, reply, reached, .. } = passed;
    let all = (message.recipients.len() + dropped.len()) as u64;
    db.count("accepted", all.saturating_sub(*copies));
    db.count("generated", *copies);
    let ended = EndedMessage::passed(passed, &account.upstream);
    for recipient in &message.recipients {
        let (address, attempts) = (recipient.address.as_str(), 1);
        ended.note(db, &EndedRecipient { address, end: RecipientEnd::Sent, reply, attempts })?;
        if *reached {
            mailboxes::reached(db, address)?;
        }
    }
    for address in dropped {
        ended.note(db, &EndedRecipient::dropped(address))?;
    }
    kept_contents::keep_passed(db, passed)
}
