//! Is the recipient on the blacklist?

use crate::config::BlacklistAction;
use crate::mail::Address;
use crate::smtp::Reply;
use crate::store::{Store, StoreError};
use crate::time::Moment;

/// What the blacklist says of a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is not listed.
    Clear,
    /// It is listed, and the client is told so.
    Refused(Reply),
    /// It is listed, and silently dropped; here is why.
    Dropped {
        /// The entry's reason.
        reason: String,
    },
}

/// Looks a recipient up.
///
/// # Errors
/// When the store can't be read.
pub async fn standing(
    store: &dyn Store,
    action: BlacklistAction,
    recipient: &Address,
    now: Moment,
) -> Result<Standing, StoreError> {
    let Some(entry) = store.blacklist_match(recipient.key(), now).await? else {
        return Ok(Standing::Clear);
    };
    Ok(match action {
        BlacklistAction::Drop => Standing::Dropped { reason: entry.reason },
        BlacklistAction::Reject => {
            let text = format!("<{recipient}> is on the blacklist ({})", entry.reason);
            Standing::Refused(Reply::new(550, (5, 7, 1), text))
        }
    })
}
