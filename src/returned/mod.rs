//! Delivery reports that came by mail, as others write them: which mailboxes do not exist by their word.
//!
//! [`read`] knows the standard form (RFC 3464, and RFC 6533 for addresses beyond ASCII), and what qmail, Exim, Postfix, Exchange and
//! Google write for people. It believes little: a recipient counts that has failed for good, by a code that says that the mailbox
//! does not exist ([`blacklist_candidate`](crate::upstream::blacklist_candidate)), with nothing beside it that speaks of another
//! cause. Whether a report is genuine nobody can tell: whoever can send mail to where reports arrive can write one.

mod free_form;
mod judgement;
mod report;
mod standard;

use mail_parser::MessageParser;

pub use report::{DeliveryReport, MissingMailbox, NoReport, NotTaken, ReportForm, ReportedRecipient};

use crate::mail::AddressKey;

/// Recipients of one report that are looked at.
const MAX_RECIPIENTS: usize = 10_000;

/// Reads a message.
///
/// # Errors
/// When it is no delivery report.
pub fn read(message: &[u8]) -> Result<DeliveryReport, NoReport> {
    let message = MessageParser::default().parse(message).ok_or(NoReport)?;
    let (form, mut recipients) = match standard::read(&message) {
        recipients if !recipients.is_empty() => (ReportForm::Standard, recipients),
        _ => free_form::read(&message).ok_or(NoReport)?,
    };
    let mut seen = std::collections::HashSet::new();
    recipients.truncate(MAX_RECIPIENTS);
    recipients.retain(|recipient| seen.insert(AddressKey::of_text(&recipient.address)));
    if recipients.is_empty() { Err(NoReport) } else { Ok(DeliveryReport { form, recipients }) }
}
