//! Messages that have waited too long.

use std::path::Path;
use std::time::Duration;

use super::lease::{self, Terms};
use super::rows::{self, MessageRow, OLDER_THAN, millis};
use super::writing::Writing;
use crate::store::{MessageId, Overdue, OverdueClaim};

/// Takes messages that have outlived the lifetime, and then those whose sender is to be warned. No permit is taken.
pub(super) fn claim(db: &Writing, claim: &OverdueClaim, folder: &Path) -> rusqlite::Result<Vec<Overdue>> {
    let now = db.now().0.saturating_sub(millis(claim.limit_wait));
    let before = |age: Duration| now.saturating_sub(millis(age));
    let most = claim.messages as usize;
    let mut overdue: Vec<(MessageRow, bool)> = Vec::new();
    if let Some(age) = claim.expired_after {
        let mut expired = older_than(db, claim, false, before(age))?;
        expired.extend(older_than(db, claim, true, before(age))?);
        expired.sort_by_key(|row| (row.message.age_base, row.id));
        expired.truncate(most);
        overdue.extend(expired.into_iter().map(|row| (row, true)));
    }
    if let Some(age) = claim.warn_after.filter(|_| overdue.len() < most) {
        let known: Vec<MessageId> = overdue.iter().map(|(row, _)| row.id).collect();
        let late = older_than(db, claim, false, before(age))?.into_iter();
        overdue.extend(late.filter(|row| !known.contains(&row.id)).map(|row| (row, false)));
        overdue.truncate(most);
    }
    let terms = Terms { account: None, recipients: u32::MAX, blacklist: None, folder };
    let mut claimed = Vec::new();
    for (row, expired) in overdue {
        let leased = lease::take_whole(db, row, &terms)?;
        claimed.extend(leased.map(|leased| Overdue { leased, expired }));
    }
    Ok(claimed)
}

/// The oldest messages of which the sender has been warned, or not.
fn older_than(
    db: &Writing,
    claim: &OverdueClaim,
    warned: bool,
    before: i64,
) -> rusqlite::Result<Vec<MessageRow>> {
    let mut select = db.prepare_cached(OLDER_THAN)?;
    let mut rows = select.query((claim.lane.as_str(), warned, before, claim.messages))?;
    let (mut readable, mut unreadable) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        match rows::message(row) {
            Ok(message) => readable.push(message),
            Err(error) => unreadable.push((MessageId(row.get(0)?), error)),
        }
    }
    drop(rows);
    for (id, error) in unreadable {
        lease::hold(db, id, &error)?;
    }
    Ok(readable)
}
