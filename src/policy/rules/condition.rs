//! Whether a condition holds for a message.

use super::RuledMail;
use super::reading::Found;
use crate::config::{Condition, Filter, TextTest};
use crate::mail::Address;

/// All that conditions are about.
pub(super) struct Facts<'a> {
    pub(super) mail: RuledMail<'a>,
    pub(super) found: &'a Found,
}

impl Facts<'_> {
    pub(super) fn fit(&self, condition: &Condition) -> bool {
        let mail = &self.mail;
        let is_one =
            |filters: &[Filter], address: &Address| filters.iter().any(|filter| filter.matches(address));
        match condition {
            Condition::All(all) => all.iter().all(|one| self.fit(one)),
            Condition::Any(any) => any.iter().any(|one| self.fit(one)),
            Condition::Not(inner) => !self.fit(inner),
            Condition::Header { name, text } => self.has_field(name, text),
            Condition::Subject(text) => self.has_field("Subject", text),
            Condition::Attachment(text) => self.found.attachments.iter().any(|name| text.fits(name)),
            Condition::Sender(filters) => mail.sender.is_some_and(|sender| is_one(filters, sender)),
            Condition::Recipient(filters) => mail.recipients.iter().any(|to| is_one(filters, to)),
            Condition::AllRecipients(filters) => mail.recipients.iter().all(|to| is_one(filters, to)),
            Condition::User(users) => mail
                .user
                .is_some_and(|user| users.iter().any(|one| one.to_lowercase() == user.to_lowercase())),
            Condition::Listener(listeners) => listeners.iter().any(|listener| listener == mail.listener),
            Condition::Client(nets) => nets.iter().any(|net| net.contains(&mail.client)),
            Condition::Size(size) => size.fits(mail.content.len()),
        }
    }

    fn has_field(&self, name: &str, text: &TextTest) -> bool {
        self.found.fields(name).any(|field| text.fits(&field.text()))
    }
}
