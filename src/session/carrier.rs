//! By which upstream a message goes: the one that its route leads to; where that can't carry it by that one's `large`, or by none.

use std::sync::Arc;

use super::ruling::Ruling;
use super::submission::SubmissionError;
use super::trial;
use crate::config::{ByteSize, TestAction, Upstream};
use crate::mail::{Address, Body, MessageRequest, QueueId, RecipientRequest, header};
use crate::route::Router;
use crate::store::{
    ClientInfo, Content, ContentError, Decisions, Disposition, LaneName, Message, MessageKind,
    QueuedRecipient, TestTreatment,
};
use crate::time::Moment;
use crate::transform::{TransformError, Transformer};

/// Octets of a header section that are looked at by itself; of a longer one the whole message is.
const MOST: u64 = 256 << 10;

/// The upstream that carries a message.
#[derive(Debug, Clone)]
pub struct Carrier<'r> {
    /// By which it goes.
    pub upstream: &'r Upstream,
    /// Why it is not the one that its route leads to, if it is not.
    pub detour: Option<Detour<'r>>,
}

/// Why a message goes by the `large` of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detour<'r> {
    /// The upstream that can't carry it.
    pub of: &'r str,
    /// What is in the way.
    pub reason: String,
}

/// The upstream that a rule wants, or else the one that serves the sender.
///
/// # Errors
/// When no upstream serves it.
pub fn route<'r>(router: &'r Router, ruling: &Ruling) -> Result<&'r Upstream, SubmissionError> {
    let by_rule = ruling.upstream.as_deref().and_then(|name| router.upstream(name));
    let upstream = by_rule.or_else(|| router.route(&ruling.sender));
    upstream
        .map(|upstream| &**upstream)
        .ok_or_else(|| SubmissionError::NoRoute { sender: named(&ruling.sender) })
}

impl Detour<'_> {
    /// Logs it, of a message that goes by that one.
    pub(crate) fn log(&self, queue_id: &QueueId, large: &str) {
        tracing::info!(event = "by_large", %queue_id, upstream = self.of, large, reason = self.reason);
    }
}

/// A message as its first attempt would get it, without its content.
pub fn sketch<'a>(
    (queue_id, smtputf8): (QueueId, bool),
    (ruling, test): (&Ruling, Option<&TestTreatment>),
    recipients: impl Iterator<Item = &'a Address>,
) -> Message {
    let recipient = |(index, address): (u32, &Address)| {
        QueuedRecipient::untried(index, address.clone(), RecipientRequest::default())
    };
    // Held mail goes as it is when a person releases it to its recipients.
    let test = test.filter(|test| test.action != TestAction::Hold).cloned();
    Message {
        queue_id,
        kind: MessageKind::Submitted,
        lane: LaneName::unrouted(),
        accepted: Moment(0),
        accepted_wall: 0,
        age_base: 0,
        reverse_path: ruling.reverse_path.clone(),
        sender: ruling.sender.clone(),
        body: Body::EightBitMime,
        smtputf8,
        request: MessageRequest::default(),
        client: ClientInfo::default(),
        decisions: Decisions { test, upstream: ruling.upstream.clone(), ruled: ruling.ruled.clone() },
        recipients: (0..).zip(recipients).map(recipient).collect(),
        size: 0,
        content: Content::memory(Vec::new()),
    }
}

/// Decides it. `message` is as its first attempt would get it, without its content.
///
/// # Errors
/// When no upstream can carry it, or it can't be read.
pub async fn carrier<'r>(
    (router, transformer): (&'r Router, &Arc<Transformer>),
    upstream: &'r Upstream,
    (sender, content): (&str, &Content),
    message: impl FnOnce() -> Message,
) -> Result<Carrier<'r>, SubmissionError> {
    let refused = match admit(router, upstream, sender, content.len()) {
        Ok(()) if upstream.delivers_by_header() => {
            let known = router.upstream(&upstream.name);
            let Some(known) = known else { return Ok(Carrier { upstream, detour: None }) };
            let not_carried = not_carried((transformer, known), message(), content).await;
            not_carried.map_err(SubmissionError::Unreadable)?
        }
        Ok(()) => None,
        Err(refused @ SubmissionError::TooLarge { .. }) => Some(refused),
        Err(refused) => return Err(refused),
    };
    let Some(refused) = refused else { return Ok(Carrier { upstream, detour: None }) };
    let Some(large) = upstream.large().and_then(|name| router.upstream(name)) else { return Err(refused) };
    admit(router, large, sender, content.len())?;
    let reason = match refused {
        SubmissionError::Header(TransformError::Header(fault)) => fault.to_string(),
        other => other.to_string(),
    };
    Ok(Carrier { upstream: large, detour: Some(Detour { of: &upstream.name, reason }) })
}

/// Whether an upstream can take a sender's message of that size.
///
/// # Errors
/// With the reason why it can't, whatever happens.
fn admit(router: &Router, upstream: &Upstream, sender: &str, size: u64) -> Result<(), SubmissionError> {
    if router.lane_of(&upstream.name, sender).is_none() {
        return Err(SubmissionError::NoAccount { upstream: upstream.name.clone(), sender: named(sender) });
    }
    match upstream.message_size().filter(|max| size > max.0) {
        Some(ByteSize(max)) => Err(SubmissionError::TooLarge { max }),
        None => Ok(()),
    }
}

fn named(sender: &str) -> String {
    if sender.is_empty() { "mail without a sender".to_owned() } else { sender.to_owned() }
}

/// The header section of a content; `None` when it is longer than is looked at by itself.
async fn section(content: &Content) -> Result<Option<Vec<u8>>, ContentError> {
    let mut beginning = content.beginning(MOST).await?;
    let end = header::end(&beginning)
        .or_else(|| (beginning.len() as u64 == content.len()).then_some(beginning.len()));
    Ok(end.map(|end| {
        beginning.truncate(end);
        beginning
    }))
}

/// Why an upstream that delivers by the header can't carry a message: the header does not say beyond doubt what the envelope says,
/// or it becomes too large. Mail that nobody gets, or that stays here, may be as it likes.
async fn not_carried(
    (transformer, upstream): (&Arc<Transformer>, &Arc<Upstream>),
    message: Message,
    content: &Content,
) -> Result<Option<SubmissionError>, ContentError> {
    if message.recipients.is_empty() || message.disposition() == Disposition::Captured {
        return Ok(None);
    }
    let by_header = |fault| SubmissionError::Header(TransformError::Header(fault));
    let limit = upstream.message_size();
    // Text that becomes base64 grows by less than half, and what is put into the header is little.
    let may_outgrow = limit.is_some_and(|limit| content.len() > limit.0 / 2);
    if let (Some(section), false) = (section(content).await?, may_outgrow) {
        let account = (&**upstream, &upstream.accounts[0]);
        return Ok(transformer.ensure_header(&message, &section, account).err().map(by_header));
    }
    if content.len() > trial::MOST {
        return Ok(None);
    }
    let made = trial::size_as_sent((transformer, upstream), (message, content)).await?;
    Ok(match (made, limit) {
        (Ok(size), Some(ByteSize(max))) if size > max => Some(SubmissionError::Outgrown { size, max }),
        (Err(TransformError::Header(fault)), _) => Some(by_header(fault)),
        // What else is in the way is judged when it goes.
        _ => None,
    })
}
