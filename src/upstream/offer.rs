//! What an upstream takes, whatever the transport.

use std::borrow::Cow;

use crate::mail::Address;

/// What an upstream takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offer {
    /// Whether it offers 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// Whether it offers SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// The largest content, in octets (RFC 1870).
    pub max_size: Option<u64>,
    /// Recipients in one transaction (RFC 9422).
    pub max_recipients: Option<u32>,
    /// Whether it sends the reports that clients ask for (RFC 3461).
    pub dsn: bool,
    /// Whether it is on this machine, so that nothing leaves.
    pub local: bool,
}

impl Offer {
    /// What Microsoft Graph takes: a content of any octets, since it goes as base64.
    pub const GRAPH: Self = Self {
        eight_bit_mime: true,
        smtputf8: false,
        max_size: None,
        max_recipients: None,
        dsn: false,
        local: false,
    };

    /// An address of the envelope as the upstream is told it: where it offers no SMTPUTF8, with the domain in A-labels. `None`
    /// when it can't be told, since the local part is not ASCII.
    #[must_use]
    pub fn path<'a>(&self, address: &'a Address) -> Option<Cow<'a, str>> {
        if self.smtputf8 { Some(Cow::Borrowed(address.as_str())) } else { address.without_smtputf8() }
    }
}
