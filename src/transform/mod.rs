//! What is done to a message on its way out, for one upstream and one attempt.
//!
//! The store keeps the content as it was accepted; each attempt starts from there again, so that another
//! upstream or a changed configuration finds the original. The order: the signature below the text, addresses are completed, the
//! upstream's sender is written, the test redirect, blind copies go, text goes as base64 where the
//! upstream damages it else, 7 bits where the upstream needs them, the header says what the
//! envelope says where the upstream delivers by it, S/MIME, signatures of
//! others that all this has broken go, and DKIM as the last change. All of it is computing, no waiting: the caller moves large
//! content to a thread of its own.

mod ascii;
mod base64_text;
mod broken_signatures;
mod decided;
pub mod dkim;
mod downgrade;
mod encoded_words;
mod error;
mod header_delivery;
mod identity;
mod kept;
mod redirect;
mod signature;
mod smime;

pub use dkim::{DkimError, Signer};
pub use error::{TransformError, TransformerError};
pub use header_delivery::{EditedFields, HeaderFault, OtherRecipients};
pub use smime::SmimeError;

use broken_signatures::Covered;
use downgrade::SevenBit;
use header_delivery::obey_envelope;
use identity::SenderIdentity;
use smime::SmimeSigners;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::config::{Config, Login, NamedSignature, Signature, TestAction, TextEncoding, Upstream};
use crate::mail::destinations::remove_blind_copies;
use crate::mail::header::Header;
use crate::mail::{Address, Body, Completion, QueueId, ReversePath};
use crate::store::{Message, MessageKind};
use crate::time::Timeline;
use crate::upstream::{DeliveredBy, Offer, Outgoing, Requests};

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

impl UpstreamFacts {
    /// Of an upstream that takes this.
    #[must_use]
    pub fn new(upstream: &Upstream, offer: &Offer) -> Self {
        let &Offer { eight_bit_mime, smtputf8, local, .. } = offer;
        Self { sign: upstream.sign && !local, eight_bit_mime, smtputf8, local }
    }
}

/// By which upstream a message goes.
#[derive(Debug, Clone, Copy)]
pub struct WayOut<'a> {
    /// What is configured about it.
    pub upstream: &'a Upstream,
    /// By which of its accounts.
    pub account: &'a Login,
    /// What it can take.
    pub facts: UpstreamFacts,
}

/// A message as it goes to the upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The header and the body, not dot-stuffed.
    pub content: Vec<u8>,
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

/// What messages are changed by: all that stands in one configuration beside the upstreams, ready to use.
#[derive(Debug)]
pub struct Transformer {
    signer: Signer,
    smime: SmimeSigners,
    signatures: Vec<NamedSignature>,
    completion: Option<Completion>,
    timeline: Timeline,
    trials: Semaphore,
}

/// Messages that are made ready at the same time to see what they come to: each is in memory a few times over.
const TRIALS: usize = 2;

impl Transformer {
    /// Makes it ready; the time line tells which keys sign.
    ///
    /// # Errors
    /// When a DKIM key or a certificate for S/MIME can't be used.
    pub fn new(config: &Config, timeline: Timeline) -> Result<Self, TransformerError> {
        Ok(Self {
            signer: Signer::new(&config.dkim, timeline.clone())?,
            smime: SmimeSigners::new(&config.smime)?,
            signatures: config.signatures.clone(),
            completion: config.complete_addresses.clone(),
            timeline,
            trials: Semaphore::new(TRIALS),
        })
    }

    /// Whoever makes a message ready only to see what it comes to holds this meanwhile, and waits for it in turn. `None` can't be.
    pub async fn trial(&self) -> Option<SemaphorePermit<'_>> {
        self.trials.acquire().await.ok()
    }

    /// The signature of that name, in upper or lower case.
    fn signature(&self, name: &str) -> Option<&Signature> {
        let found = self.signatures.iter().find(|known| known.name.to_lowercase() == name.to_lowercase());
        found.map(|known| &known.signature)
    }

    /// Where reports about a message go that goes, or would have gone, by an account of an upstream. Of the content the
    /// header section is needed.
    #[must_use]
    pub fn reverse_path(
        &self,
        message: &Message,
        content: &[u8],
        (upstream, account): (&Upstream, &Login),
    ) -> ReversePath {
        let Some(sender) = sender_of(message, upstream, account) else { return message.reverse_path.clone() };
        // A content that can't be read says nothing of its author.
        if content.is_empty() {
            return sender.announced_reverse_path(&message.reverse_path);
        }
        let mut header = Header::parse(content);
        decided::apply(&mut header, &message.decisions.ruled);
        self.complete(message, &mut header);
        sender.reverse_path(&header, &message.reverse_path)
    }

    /// Completes the addresses of a message that was handed in; our reports have whole ones.
    fn complete(&self, message: &Message, header: &mut Header<'_>) {
        if let Some(completion) = self.completion.as_ref().filter(|_| message.kind == MessageKind::Submitted)
        {
            completion.complete(header);
        }
    }

    /// The content with a signature below its text, where it gets one. Our own reports have none.
    fn with_signature(
        &self,
        message: &Message,
        (content, header): (&[u8], &Header<'_>),
        upstream: &Upstream,
    ) -> Option<Vec<u8>> {
        let named = message.decisions.ruled.signature.as_deref().and_then(|name| self.signature(name));
        let signature = named.or(upstream.signature.as_ref());
        let signature = signature.filter(|_| message.kind == MessageKind::Submitted)?;
        signature::with_signature(content, header, signature)
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
        let mut header = Header::parse(&content);
        let covered = Covered::of(&header);
        let with_signature = self.with_signature(message, (&content, &header), way_out.upstream);
        if let Some(content) = &with_signature {
            header = Header::parse(content);
        }
        let (reverse_path, recipients) =
            self.write_header(message, &mut header, (way_out.upstream, way_out.account), upstream.local)?;
        let envelope = (&reverse_path, &recipients[..]);
        let international = needs_smtputf8(message, &header, envelope);
        let takes_international = upstream.smtputf8 || upstream.local;
        if !takes_international {
            ensure_known(message, envelope)?;
        }
        let changed = header.is_changed().then(|| header.to_content());
        let mut content = changed.or(with_signature).unwrap_or(content);
        if way_out.upstream.encode == TextEncoding::Base64 && !upstream.local {
            content = base64_text::encode(content);
        }
        let seven_bit = SevenBit {
            header: international && !takes_international,
            body: !upstream.eight_bit_mime && !upstream.local,
        };
        if (seven_bit.header || seven_bit.body) && !content.is_ascii() {
            content = seven_bit.write(&content)?;
        }
        let mut edited = EditedFields::default();
        let mut delivery = DeliveredBy::Envelope;
        if let Some(others) = OtherRecipients::by(way_out.upstream) {
            (content, edited) = delivered_by_header(content, &recipients, others)?;
            delivery = DeliveredBy::Header;
        }
        content = self.smime.sign(content, self.timeline.wall())?;
        if let Some(covered) = covered {
            content = covered.without_broken(content);
        }
        if upstream.sign {
            let signatures = self.signer.sign(&content)?;
            content.splice(..0, signatures);
        }
        let eight_bit = !content.is_ascii();
        let smtputf8 = international && takes_international;
        Ok(Prepared { content, reverse_path, recipients, smtputf8, eight_bit, delivery, edited })
    }

    /// Writes what the configuration and what was decided make of a header. Returns where reports go, and to whom it is
    /// addressed.
    fn write_header(
        &self,
        message: &Message,
        header: &mut Header<'_>,
        (upstream, account): (&Upstream, &Login),
        local: bool,
    ) -> Result<(ReversePath, Vec<Address>), TransformError> {
        decided::apply(header, &message.decisions.ruled);
        self.complete(message, header);
        let mut reverse_path = message.reverse_path.clone();
        let mut original = None;
        if let Some(sender) = sender_of(message, upstream, account) {
            reverse_path = sender.reverse_path(header, &reverse_path);
            original = sender.write(header);
        }
        let recipients = addressed(message, header, local)?;
        remove_blind_copies(header);
        if let Some(original) = original {
            header.append_raw(original);
        }
        Ok((reverse_path, recipients))
    }

    /// Why a message can't go by an upstream that delivers to whom the header names, if that is so. Of the content the header
    /// section is needed; all else that may be in the way is not looked at.
    ///
    /// # Errors
    /// With the reason.
    pub fn ensure_header(
        &self,
        message: &Message,
        section: &[u8],
        (upstream, account): (&Upstream, &Login),
    ) -> Result<(), HeaderFault> {
        let Some(others) = OtherRecipients::by(upstream) else { return Ok(()) };
        let mut header = Header::parse(section);
        let written = self.write_header(message, &mut header, (upstream, account), false);
        let Ok((_, recipients)) = written else { return Ok(()) };
        obey_envelope(&mut header, &recipients, others).map(|_| ())
    }
}

/// The content with a header that says what the envelope says.
fn delivered_by_header(
    content: Vec<u8>,
    recipients: &[Address],
    others: OtherRecipients,
) -> Result<(Vec<u8>, EditedFields), TransformError> {
    let mut header = Header::parse(&content);
    let edited = obey_envelope(&mut header, recipients, others)?;
    let changed = header.is_changed().then(|| header.to_content());
    Ok((changed.unwrap_or(content), edited))
}

/// Whom the upstream is told: the recipients, or in test mode the test address alone, in the header as well.
fn addressed(
    message: &Message,
    header: &mut Header<'_>,
    local: bool,
) -> Result<Vec<Address>, TransformError> {
    let recipients: Vec<Address> = message.recipients.iter().map(|r| r.address.clone()).collect();
    let Some(test) = &message.decisions.test else { return Ok(recipients) };
    match (test.action, &test.address) {
        (TestAction::Redirect, Some(address)) => {
            redirect::redirect(header, &recipients, address);
            Ok(vec![address.clone()])
        }
        // A local mailbox is where held and captured mail may go as it is.
        _ if local => Ok(recipients),
        _ => Err(TransformError::Test),
    }
}

/// The reverse-path to say for a message whose content is still to come.
#[must_use]
pub fn announced_reverse_path(path: &ReversePath, (upstream, account): (&Upstream, &Login)) -> ReversePath {
    let sender = upstream.sender.as_ref().map(|sender| SenderIdentity { sender, account });
    sender.map_or_else(|| path.clone(), |sender| sender.announced_reverse_path(path))
}

/// As whom a message goes, if its upstream says so. Our reports are from us, whatever is configured; and what a rule has
/// decided about this message comes before what holds for all.
fn sender_of<'a>(
    message: &Message,
    upstream: &'a Upstream,
    account: &'a Login,
) -> Option<SenderIdentity<'a>> {
    let is_open = message.kind == MessageKind::Submitted && message.decisions.ruled.author.is_none();
    let sender = upstream.sender.as_ref().filter(|_| is_open)?;
    Some(SenderIdentity { sender, account })
}

/// Whether a transaction needs SMTPUTF8 (RFC 6531 3.4) as it is.
///
/// Octets over 127 in a header count only when the client asked for SMTPUTF8; else they are an old fault that upstreams
/// have always taken.
fn needs_smtputf8(
    message: &Message,
    header: &Header<'_>,
    (reverse_path, recipients): (&ReversePath, &[Address]),
) -> bool {
    !reverse_path.as_str().is_ascii()
        || !recipients.iter().all(Address::is_ascii)
        || message.smtputf8 && header.fields().any(|field| !field.raw().is_ascii())
}

/// Looks whether an upstream without SMTPUTF8 can be told all addresses of the envelope.
fn ensure_known(
    message: &Message,
    (reverse_path, recipients): (&ReversePath, &[Address]),
) -> Result<(), TransformError> {
    let is_unknown = |address: &Address| address.without_smtputf8().is_none();
    if reverse_path.address().is_some_and(is_unknown) {
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
