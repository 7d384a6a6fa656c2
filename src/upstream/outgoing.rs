//! A message that is ready for an upstream.

use super::transaction::{Requests, Transaction};
use crate::content::SplitContent;
use crate::mail::{Address, Body, QueueId, ReversePath};

/// By what an upstream knows to whom a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeliveredBy {
    /// By the recipients of the transaction.
    #[default]
    Envelope,
    /// By the fields To, Cc and Bcc of the header alone.
    Header,
}

/// A message that is ready for an upstream.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// The name.
    pub queue_id: &'a QueueId,
    /// Where reports go.
    pub reverse_path: &'a ReversePath,
    /// The recipients of the attempt as the client gave them.
    pub envelope: &'a [Address],
    /// Whom the upstream is told: these, or a test address in their place. At least one.
    pub recipients: &'a [Address],
    /// Whether the content has octets over 127.
    pub body: Body,
    /// Whether an address or a header needs SMTPUTF8.
    pub smtputf8: bool,
    /// Header and body, not dot-stuffed.
    pub content: &'a SplitContent,
    /// By what the content was made to be delivered.
    pub delivery: DeliveredBy,
    /// What the client asked for beyond delivery.
    pub requests: Requests<'a>,
    /// Whether it goes to all of the recipients or to none, since one reply is read for all of them.
    pub goes_as_whole: bool,
}

impl<'a> Outgoing<'a> {
    pub(super) fn transaction(&self) -> Transaction<'a> {
        Transaction {
            reverse_path: self.reverse_path,
            recipients: self.recipients,
            body: self.body,
            smtputf8: self.smtputf8,
            content: self.content,
            requests: self.requests,
        }
    }
}
