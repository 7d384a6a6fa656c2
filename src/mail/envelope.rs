//! The envelope: who a message is from and for, apart from what its header says.

use super::{Address, ReversePath};

/// How the client declared the content (RFC 6152, RFC 6531).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Body {
    /// Nothing was declared, or `BODY=7BIT`.
    #[default]
    SevenBit,
    /// `BODY=8BITMIME`.
    EightBitMime,
}

/// Reverse-path and recipients of one message (RFC 5321 2.3.1). There is always at least one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Where reports go.
    pub reverse_path: ReversePath,
    /// What the client declared about the content.
    pub body: Body,
    /// Whether the client asked for SMTPUTF8.
    pub smtputf8: bool,
    recipients: Vec<Address>,
}

impl Envelope {
    /// An envelope with its first recipient.
    #[must_use]
    pub fn new(reverse_path: ReversePath, first: Address) -> Self {
        Self { reverse_path, body: Body::SevenBit, smtputf8: false, recipients: vec![first] }
    }

    /// Adds one more recipient.
    pub fn add(&mut self, recipient: Address) {
        self.recipients.push(recipient);
    }

    /// The recipients in the order the client gave them; never empty.
    #[must_use]
    pub fn recipients(&self) -> &[Address] {
        &self.recipients
    }
}
