//! Is the recipient on the blacklist?

use crate::config::BlacklistAction;
use crate::mail::Address;
use crate::smtp::Reply;
use crate::store::{Intake, StoreError};

/// What the blacklist says of a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlacklistResult {
    /// It is not listed.
    Clear,
    /// An entry covers the recipient, and the client is told so.
    Refused(Reply),
    /// An entry covers the recipient, who is silently dropped; here is why.
    Dropped {
        /// The entry's reason.
        reason: String,
    },
}

/// Looks a recipient up.
///
/// # Errors
/// When the store can't be read.
pub async fn look_up(
    store: &dyn Intake,
    action: BlacklistAction,
    recipient: &Address,
) -> Result<BlacklistResult, StoreError> {
    let found = store.blacklisted(std::slice::from_ref(recipient)).await?;
    let Some(entry) = found.into_iter().flatten().next() else {
        return Ok(BlacklistResult::Clear);
    };
    Ok(match action {
        BlacklistAction::Drop => BlacklistResult::Dropped { reason: entry.reason },
        BlacklistAction::Reject => {
            let text = format!("<{recipient}> is on the blacklist ({})", entry.reason);
            BlacklistResult::Refused(Reply::new(550, (5, 7, 1), text))
        }
    })
}
