//! A message that is ready for one upstream.

use super::header_delivery::EditedFields;
use crate::content::SplitContent;
use crate::mail::{Address, Body, QueueId, ReversePath};
use crate::upstream::{DeliveredBy, Outgoing, Requests};

/// A message as it goes to the upstream.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The header and the body, not dot-stuffed.
    pub content: SplitContent,
    /// Where reports about it go: what MAIL says.
    pub reverse_path: ReversePath,
    /// Who it goes to: the recipients of the attempt, or the test address alone. Never empty.
    pub recipients: Vec<Address>,
    /// Whether the transaction needs the SMTPUTF8 parameter.
    pub smtputf8: bool,
    /// Whether the content has octets over 127, for `BODY=8BITMIME`.
    pub eight_bit: bool,
    /// By what the upstream may deliver it.
    pub delivery: DeliveredBy,
    /// The fields that others than the recipients were taken out of.
    pub edited: EditedFields,
}

impl Prepared {
    /// What the transaction says of its content.
    #[must_use]
    pub fn body(&self) -> Body {
        if self.eight_bit { Body::EightBitMime } else { Body::SevenBit }
    }

    /// It on its way to an upstream. `envelope` are the recipients of the attempt as the client gave them.
    #[must_use]
    pub fn outgoing<'a>(
        &'a self,
        queue_id: &'a QueueId,
        envelope: &'a [Address],
        requests: Requests<'a>,
    ) -> Outgoing<'a> {
        Outgoing {
            queue_id,
            reverse_path: &self.reverse_path,
            envelope,
            recipients: &self.recipients,
            body: self.body(),
            smtputf8: self.smtputf8,
            content: &self.content,
            delivery: self.delivery,
            requests,
            goes_as_whole: false,
        }
    }
}
