//! Rules: what is done with which mail (`[[rule]]`). They run once, when a message has arrived and before it is routed, on
//! the mail as it came.
//!
//! [`judge`] reads as much of the content as the conditions need, and does no other I/O; the session, `mailsluice send` and
//! `mailsluice explain` all ask it.

mod condition;
mod part_names;
mod reading;
mod verdict;

pub use condition::RuledMail;
pub use verdict::{Rejection, RulesVerdict};

use condition::Facts;
use reading::Wanted;

use crate::config::Rule;
use crate::content::ContentError;

/// Asks all rules in their order about a message.
///
/// # Errors
/// When its content can't be read: then nothing may become of it.
pub async fn judge(rules: &[Rule], mail: RuledMail<'_>) -> Result<RulesVerdict, ContentError> {
    let Some(wanted) = Wanted::by(rules) else { return Ok(RulesVerdict::default()) };
    let found = reading::read(mail.content, wanted).await?;
    let facts = Facts { mail, found: &found };
    let mut verdict = RulesVerdict::default();
    for rule in rules.iter().filter(|rule| facts.fit(&rule.when)) {
        if !verdict.follow(rule, &facts) {
            break;
        }
    }
    verdict.settle(mail.sender);
    Ok(verdict)
}

#[cfg(test)]
mod tests;
