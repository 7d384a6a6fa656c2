//! To whom may this user write? Asked at RCPT.

use crate::config::{Filter, User};
use crate::mail::Address;
use crate::smtp::Reply;

/// The client's fault: the user may not write to a recipient.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{user} may not write to {address}: it is not among the recipients of this user")]
pub struct NotAmongRecipients {
    user: String,
    address: String,
}

impl NotAmongRecipients {
    /// What the client is told.
    #[must_use]
    pub fn reply(&self) -> Reply {
        Reply::new(550, (5, 7, 1), self.to_string())
    }
}

/// Lets a user write to whom `recipients` names; to anybody when it names nobody.
///
/// # Errors
/// When it names others alone.
pub fn permit(user: &User, recipient: &Address) -> Result<(), NotAmongRecipients> {
    let named = || Filter::any_matches(&user.recipients, recipient);
    if user.recipients.is_empty() || named() {
        return Ok(());
    }
    Err(NotAmongRecipients { user: user.name.clone(), address: recipient.to_string() })
}
