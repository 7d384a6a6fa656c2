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
mod prepared;
mod redirect;
mod signature;
mod smime;

pub use dkim::{DkimError, Signer};
pub use error::{TransformError, TransformerError};
pub use header_delivery::{EditedFields, HeaderFault, OtherRecipients};
pub use prepared::Prepared;
pub use smime::SmimeError;

use broken_signatures::Covered;
use downgrade::SevenBit;
use header_delivery::obey_envelope;
use identity::SenderIdentity;
use smime::SmimeSigners;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::config::{
    Config, Login, NamedSignature, Signature, TestAction, TextEncoding, Upstream, UpstreamKind,
};
use crate::content::SplitContent;
use crate::mail::destinations::remove_blind_copies;
use crate::mail::header::Header;
use crate::mail::{Address, Completion, ReversePath};
use crate::store::{Message, MessageKind};
use crate::time::Timeline;
use crate::upstream::{DeliveredBy, Offer};

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

    /// The signature that a message with this header section gets below its text, if it gets one. Our own reports have none.
    fn signature_of<'a>(
        &'a self,
        message: &Message,
        head: &[u8],
        upstream: &'a Upstream,
    ) -> Option<&'a Signature> {
        let named = message.decisions.ruled.signature.as_deref().and_then(|name| self.signature(name));
        let signature = named.or(upstream.signature.as_ref());
        let signature = signature.filter(|_| message.kind == MessageKind::Submitted)?;
        signature::is_wanted(&Header::parse(head), signature).then_some(signature)
    }

    /// Makes a message ready for one upstream.
    ///
    /// # Errors
    /// When the upstream can't take it as it is and it can't be changed, when test mode forbids it, or signing fails.
    #[expect(clippy::missing_panics_doc, reason = "nothing is missing of a body in memory")]
    pub fn prepare(
        &self,
        message: &Message,
        content: Vec<u8>,
        way_out: &WayOut<'_>,
    ) -> Result<Prepared, TransformError> {
        let prepared = self.prepare_split(message, SplitContent::memory(content), way_out)?;
        Ok(prepared.expect("nothing is missing of a body in memory"))
    }

    /// Makes a message ready for one upstream, its body wherever it lies. `None` when something is to change in a body that is
    /// not in memory: then it must be brought there first. One in a file that is signed (DKIM) is read on the calling thread.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare); and when the body can't be read, or is not what it was.
    pub fn prepare_split(
        &self,
        message: &Message,
        mut content: SplitContent,
        way_out: &WayOut<'_>,
    ) -> Result<Option<Prepared>, TransformError> {
        let upstream = &way_out.facts;
        let covered = Covered::of(&content);
        if let Some(signature) = self.signature_of(message, content.head(), way_out.upstream) {
            let signed = match content.octets() {
                Some(octets) => signature::with_signature(&octets, &Header::parse(&octets), signature),
                None => return Ok(None),
            };
            content = signed.map_or(content, SplitContent::memory);
        }
        let mut header = Header::parse(content.head());
        let (reverse_path, recipients) =
            self.write_header(message, &mut header, (way_out.upstream, way_out.account), upstream.local)?;
        let envelope = (&reverse_path, &recipients[..]);
        let international = needs_smtputf8(message, &header, envelope);
        let takes_international = upstream.smtputf8 || upstream.local;
        if !takes_international {
            ensure_known(message, envelope)?;
        }
        let changed = header.is_changed().then(|| header.to_content());
        content = with_changed(content, changed);
        if way_out.upstream.encode == TextEncoding::Base64 && !upstream.local {
            content = match content.octets() {
                Some(octets) => SplitContent::memory(base64_text::encode(octets.into_owned())),
                None => return Ok(None),
            };
        }
        let seven_bit = SevenBit {
            header: international && !takes_international,
            body: !upstream.eight_bit_mime && !upstream.local,
        };
        if (seven_bit.header || seven_bit.body) && !content.is_ascii() {
            let Some(written) = seven_bit.write_split(content)? else { return Ok(None) };
            content = written;
        }
        let mut edited = EditedFields::default();
        let mut delivery = DeliveredBy::Envelope;
        if let Some(others) = OtherRecipients::by(way_out.upstream) {
            (content, edited) = delivered_by_header(content, &recipients, others)?;
            delivery = DeliveredBy::Header;
        }
        let Some(content) = self.signed(content, covered, upstream.sign)? else { return Ok(None) };
        let eight_bit = !content.is_ascii();
        let smtputf8 = international && takes_international;
        Ok(Some(Prepared { content, reverse_path, recipients, smtputf8, eight_bit, delivery, edited }))
    }

    /// Whether something is to change in the body of a message, even where its upstream takes all there is: then it is brought into
    /// memory before anything else. An upstream that takes less may need that, too.
    #[must_use]
    pub fn needs_body(
        &self,
        message: &Message,
        content: &SplitContent,
        (upstream, account): (&Upstream, &Login),
    ) -> bool {
        let local = matches!(upstream.kind, UpstreamKind::Capture(_));
        // Signing by DKIM changes no body, and reads it.
        let facts = UpstreamFacts { sign: false, eight_bit_mime: true, smtputf8: true, local };
        let way_out = WayOut { upstream, account, facts };
        matches!(self.prepare_split(message, content.clone(), &way_out), Ok(None))
    }

    /// The content with our signatures, and without those of others that no longer fit it. `None` as for
    /// [`prepare_split`](Self::prepare_split).
    fn signed(
        &self,
        mut content: SplitContent,
        covered: Option<Covered>,
        sign: bool,
    ) -> Result<Option<SplitContent>, TransformError> {
        if self.smime.has_signer(content.head()) {
            let signed = match content.octets() {
                Some(octets) => self.smime.sign(&octets, self.timeline.wall())?,
                None => return Ok(None),
            };
            content = signed.map_or(content, SplitContent::memory);
        }
        if let Some(covered) = covered {
            content = covered.without_broken(content);
        }
        if sign {
            let mut head = self.signer.sign(&content)?;
            if !head.is_empty() {
                head.extend_from_slice(content.head());
                content = content.with_head(head);
            }
        }
        Ok(Some(content))
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

/// The content with its header section as it was changed, if it was.
fn with_changed(content: SplitContent, changed: Option<Vec<u8>>) -> SplitContent {
    match changed {
        Some(head) => content.with_head(head),
        None => content,
    }
}

/// The content with a header that says what the envelope says.
fn delivered_by_header(
    content: SplitContent,
    recipients: &[Address],
    others: OtherRecipients,
) -> Result<(SplitContent, EditedFields), TransformError> {
    let mut header = Header::parse(content.head());
    let edited = obey_envelope(&mut header, recipients, others)?;
    let changed = header.is_changed().then(|| header.to_content());
    Ok((with_changed(content, changed), edited))
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
