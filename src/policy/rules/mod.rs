//! Rules: what is done with which mail (`[[rule]]`). They run once, when a message has arrived and before it is routed, on
//! the mail as it came.
//!
//! [`judge`] reads as much of the content as the conditions need, and does no other I/O; the session, `mailsluice send` and
//! `mailsluice explain` all ask it.

mod condition;
mod part_names;
mod reading;
mod verdict;

use std::net::IpAddr;

pub use verdict::{Rejection, Verdict};

use condition::Facts;
use reading::Wanted;

use crate::config::Rule;
use crate::content::ContentError;
use crate::mail::Address;
use crate::store::Content;

/// A message that rules are asked about.
#[derive(Debug, Clone, Copy)]
pub struct RuledMail<'a> {
    /// Its content, with our Received field above what came.
    pub content: &'a Content,
    /// The address in From, or else the reverse-path; `None` when there is neither.
    pub sender: Option<&'a Address>,
    /// The recipients of the envelope.
    pub recipients: &'a [Address],
    /// Who has logged in.
    pub user: Option<&'a str>,
    /// The listener that it came in by, as the log has it.
    pub listener: &'a str,
    /// The client.
    pub client: IpAddr,
}

/// Asks all rules in their order about a message.
///
/// # Errors
/// When its content can't be read: then nothing may become of it.
pub async fn judge(rules: &[Rule], mail: RuledMail<'_>) -> Result<Verdict, ContentError> {
    let Some(wanted) = Wanted::by(rules) else { return Ok(Verdict::default()) };
    let found = reading::read(mail.content, wanted).await?;
    let facts = Facts { mail, found: &found };
    let mut verdict = Verdict::default();
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
