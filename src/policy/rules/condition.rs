//! Whether a condition holds for a message.

use std::net::IpAddr;

use super::reading::FoundText;
use crate::config::{Filter, RuleCondition, TextTest};
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

/// All that conditions are about.
pub(super) struct Facts<'a> {
    pub(super) mail: RuledMail<'a>,
    pub(super) found: &'a FoundText,
}

impl Facts<'_> {
    pub(super) fn fit(&self, condition: &RuleCondition) -> bool {
        let mail = &self.mail;
        let is_one = |filters: &[Filter], address: &Address| Filter::any_matches(filters, address);
        match condition {
            RuleCondition::All(all) => all.iter().all(|one| self.fit(one)),
            RuleCondition::Any(any) => any.iter().any(|one| self.fit(one)),
            RuleCondition::Not(inner) => !self.fit(inner),
            RuleCondition::Header { name, text } => self.has_field(name, text),
            RuleCondition::Subject(text) => self.has_field("Subject", text),
            RuleCondition::Attachment(text) => self.found.attachments.iter().any(|name| text.fits(name)),
            RuleCondition::Sender(filters) => mail.sender.is_some_and(|sender| is_one(filters, sender)),
            RuleCondition::Recipient(filters) => mail.recipients.iter().any(|to| is_one(filters, to)),
            RuleCondition::AllRecipients(filters) => mail.recipients.iter().all(|to| is_one(filters, to)),
            RuleCondition::User(users) => mail
                .user
                .is_some_and(|user| users.iter().any(|one| one.to_lowercase() == user.to_lowercase())),
            RuleCondition::Listener(listeners) => listeners.iter().any(|listener| listener == mail.listener),
            RuleCondition::Client(nets) => nets.iter().any(|net| net.contains(&mail.client)),
            RuleCondition::Size(size) => size.fits(mail.content.len()),
        }
    }

    fn has_field(&self, name: &str, text: &TextTest) -> bool {
        self.found.fields(name).any(|field| text.fits(&field.text()))
    }
}
