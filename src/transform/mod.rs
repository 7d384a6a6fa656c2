//! What is done to a message on its way out, for one upstream and one attempt.
//!
//! The store keeps the content as it was accepted; each attempt starts from there again, so that another
//! upstream or a changed configuration finds the original. The order: blind copies go, the test redirect, 7 bits where
//! the upstream needs them, and DKIM as the last change. All of it is computing, no waiting: the caller moves large
//! content to a thread of its own.

mod ascii;
mod decided;
pub mod dkim;
mod downgrade;
mod encoded_words;
mod error;
mod identity;
mod redirect;

pub use dkim::{DkimError, Signer};
pub use error::TransformError;

use downgrade::SevenBit;

use crate::config::{Config, TestAction, Upstream};
use crate::mail::Address;
use crate::mail::destinations::remove_blind_copies;
use crate::mail::header::Header;
use crate::store::Message;

/// What a transformation must know of the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamFacts {
    /// Whether we sign for it.
    pub sign: bool,
    /// Whether it offers 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// Whether it offers SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// Whether it is the local mailbox: then nothing leaves the machine.
    pub local: bool,
}

/// By which upstream a message goes.
#[derive(Debug, Clone, Copy)]
pub struct WayOut<'a> {
    /// What is configured about it.
    pub upstream: &'a Upstream,
    /// What it can take.
    pub facts: UpstreamFacts,
}

/// A message as it goes to the upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The header and the body, not dot-stuffed.
    pub content: Vec<u8>,
    /// Who it goes to: the recipients of the attempt, or the test address alone. Never empty.
    pub recipients: Vec<Address>,
    /// Whether the transaction needs the SMTPUTF8 parameter.
    pub smtputf8: bool,
    /// Whether the content has octets over 127, for `BODY=8BITMIME`.
    pub eight_bit: bool,
}

/// What messages are changed by: all that stands in one configuration beside the upstreams, ready to use.
#[derive(Debug, Default)]
pub struct Transformer {
    signer: Signer,
}

impl Transformer {
    /// Makes it ready.
    ///
    /// # Errors
    /// When a DKIM key can't be used.
    pub fn new(config: &Config) -> Result<Self, DkimError> {
        Ok(Self { signer: Signer::new(&config.dkim)? })
    }

    /// Makes a message ready for one upstream.
    ///
    /// # Errors
    /// When the upstream can't take it as it is and it can't be changed, when test mode forbids it, or signing fails.
    pub fn prepare(
        &self,
        message: &Message,
        content: Vec<u8>,
        way_out: &WayOut<'_>,
    ) -> Result<Prepared, TransformError> {
        let upstream = &way_out.facts;
        let mut recipients: Vec<Address> = message.recipients.iter().map(|r| r.address.clone()).collect();
        let mut header = Header::parse(&content);
        decided::apply(&mut header, &message.decisions.ruled);
        if let Some(test) = &message.decisions.test {
            match (test.action, &test.address) {
                (TestAction::Redirect, Some(address)) => {
                    redirect::redirect(&mut header, &recipients, address);
                    recipients = vec![address.clone()];
                }
                // A local mailbox is where held and captured mail may go as it is.
                _ if upstream.local => {}
                _ => return Err(TransformError::Test),
            }
        }
        remove_blind_copies(&mut header);
        let international = needs_smtputf8(message, &header, &recipients);
        let takes_international = upstream.smtputf8 || upstream.local;
        if !takes_international {
            ensure_known(message, &recipients)?;
        }
        let changed = header.is_changed().then(|| header.to_content());
        let mut content = changed.unwrap_or(content);
        let seven_bit = SevenBit {
            header: international && !takes_international,
            body: !upstream.eight_bit_mime && !upstream.local,
        };
        if (seven_bit.header || seven_bit.body) && !content.is_ascii() {
            content = seven_bit.write(&content)?;
        }
        if upstream.sign {
            let signatures = self.signer.sign(&content)?;
            content.splice(..0, signatures);
        }
        let eight_bit = !content.is_ascii();
        Ok(Prepared { content, recipients, smtputf8: international && takes_international, eight_bit })
    }
}

/// Whether a transaction needs SMTPUTF8 (RFC 6531 3.4) as it is.
///
/// Octets over 127 in a header count only when the client asked for SMTPUTF8; else they are an old fault that upstreams
/// have always taken.
fn needs_smtputf8(message: &Message, header: &Header<'_>, recipients: &[Address]) -> bool {
    !message.reverse_path.as_str().is_ascii()
        || !recipients.iter().all(Address::is_ascii)
        || message.smtputf8 && header.fields().any(|field| !field.raw().is_ascii())
}

/// Looks whether an upstream without SMTPUTF8 can be told all addresses of the envelope.
fn ensure_known(message: &Message, recipients: &[Address]) -> Result<(), TransformError> {
    let is_unknown = |address: &Address| address.without_smtputf8().is_none();
    if message.reverse_path.address().is_some_and(is_unknown) {
        return Err(TransformError::International("the reverse-path"));
    }
    if !recipients.iter().any(is_unknown) {
        return Ok(());
    }
    let theirs = message.recipients.iter().filter(|recipient| is_unknown(&recipient.address));
    Err(match message.decisions.test {
        Some(_) => TransformError::International("the test address"),
        None => TransformError::InternationalRecipients(theirs.map(|recipient| recipient.index).collect()),
    })
}

#[cfg(test)]
mod tests;
