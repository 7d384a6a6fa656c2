//! A message that has left is sent again.

use axum::Json;
use axum::extract;
use axum::extract::rejection::JsonRejection;

use super::following::InQueue;
use super::left;
use super::queue::IdPath;
use super::send::{CONTROL, Searched, enqueue, recipients, refused};
use crate::content::ContentError;
use crate::control::view::{Resend, Resent};
use crate::control::{ApiError, ApiState};
use crate::mail::{Address, AddressKey, QueueId};
use crate::policy::test_mode::Strictest;
use crate::session::accept;
use crate::session::carrier::{self, Carrier, carrier};
use crate::session::ruling::Ruling;
use crate::store::{
    ClientInfo, Content, Decisions, KeptMessage, MessageKind, NewMessage, Priority, RecipientEnd, Recipients,
};

/// What is read at once of a content in a file, in octets.
const BLOCK: usize = 256 << 10;

/// Sends a message that has left once more, as a new one; its content must have been kept. It obeys its own test mode and the one in
/// force, whichever is stricter.
#[utoipa::path(
    post,
    path = "/history/{id}/resend",
    tag = "history",
    params(("id" = String, Path, description = "A queue id")),
    request_body = Resend,
    responses(
        (status = 200, description = "The new message, in the queue", body = Resent),
        (status = 404, description = "There is no such message, or its content was not kept"),
        (status = 409, description = "It is refused"),
    )
)]
pub(super) async fn resend(
    extract::State(state): extract::State<ApiState>,
    id: IdPath,
    resend: Result<Json<Resend>, JsonRejection>,
) -> Result<Json<Resent>, ApiError> {
    let id = QueueId::parse(&id?)?;
    let named: Vec<Address> = resend?.0.to.iter().map(|to| Address::parse(to)).collect::<Result<_, _>>()?;
    let kept = state.store.kept(id.clone()).await?;
    let to = if named.is_empty() { original_recipients(&state, &id).await? } else { without_doubles(named) };
    let kept = kept.ok_or_else(|| not_kept(&state, &id, to.is_empty()))?;
    let recipients = recipients(&state, &to, true).await?;
    let queue_id = QueueId::new(state.timeline.wall().as_millisecond(), rand::random());
    let (message, searched) = message(&state, &kept, (queue_id.clone(), recipients)).await?;
    let upstream = searched.upstream.clone();
    let InQueue { json, held, open, dropped, .. } = enqueue(&state, message, searched).await?;
    tracing::info!(
        event = "resent",
        %queue_id,
        original = %id,
        to = %to[0],
        recipients = to.len(),
        upstream,
        reason = "by a person",
        test_mode = json.test_mode
    );
    Ok(Json(Resent {
        queue_id: json.queue_id,
        original: id.to_string(),
        to: open,
        dropped,
        upstream: json.upstream,
        eta: json.eta,
        held,
        test_mode: json.test_mode,
        test_address: json.test_address,
    }))
}

/// Why a message can't be sent again.
fn not_kept(state: &ApiState, id: &QueueId, is_unknown: bool) -> ApiError {
    if is_unknown {
        return ApiError::NotFound(left::unknown(id));
    }
    let why = if state.config.history.contents.is_some() {
        "it was not kept, or not for so long"
    } else {
        "contents are kept where `content` in [history] says for how long"
    };
    ApiError::NotFound(format!("the content of {id} is not there: {why}"))
}

/// Those whom a message was for when it left; without those that the blacklist dropped.
async fn original_recipients(state: &ApiState, id: &QueueId) -> Result<Vec<Address>, ApiError> {
    let mut entries = left::entries(&*state.store, id).await?;
    entries.reverse();
    let wanted = entries.iter().filter(|entry| entry.end != RecipientEnd::Dropped);
    Ok(without_doubles(wanted.filter_map(|entry| Address::parse(&entry.to).ok()).collect()))
}

fn without_doubles(all: Vec<Address>) -> Vec<Address> {
    let mut known: Vec<AddressKey> = Vec::new();
    let mut is_new = |address: &Address| {
        let key = address.key();
        let is_new = !known.contains(&key);
        known.extend(is_new.then_some(key));
        is_new
    };
    all.into_iter().filter(|address| is_new(address)).collect()
}

/// The message as it enters the queue: as it was, but for what the test mode in force and the routes of today make of it.
async fn message(
    state: &ApiState,
    kept: &KeptMessage,
    (queue_id, recipients): (QueueId, Recipients),
) -> Result<(NewMessage, Searched), ApiError> {
    let mut decisions = kept.decisions.clone().released(None);
    // It goes when a person wants it to.
    decisions.ruled.delay_until = None;
    let in_force = state.test_mode.for_message(decisions.ruled.test_by.is_some());
    let test = Strictest::of(kept.decisions.test.as_ref(), in_force.as_ref());
    let mut ruling = Ruling {
        sender: kept.sender.clone(),
        reverse_path: kept.reverse_path.clone(),
        upstream: decisions.upstream.clone(),
        copies: Vec::new(),
        goes_at: None,
        ruled: decisions.ruled.clone(),
    };
    let content = copied(state, kept, &queue_id).await?;
    let upstream = carrier::route(&state.router, &ruling).map_err(|error| refused(&error))?;
    let relay = (&*state.router, &state.transformer);
    let sketch = || {
        let open = recipients.iter().filter(|recipient| !recipient.dropped);
        let ruled = (&ruling, test.treatment.as_ref());
        carrier::sketch((queue_id.clone(), kept.smtputf8), ruled, open.map(|recipient| &recipient.address))
    };
    let carried = carrier(relay, upstream, (&*kept.sender, &content), sketch).await;
    let Carrier { upstream, detour } = carried.map_err(|error| refused(&error))?;
    if let Some(detour) = detour {
        detour.log(&queue_id, &upstream.name);
        ruling.upstream = Some(upstream.name.clone());
    }
    let lane = accept::lane(test.treatment.as_ref(), state.router.lane_of(&upstream.name, &ruling.sender));
    let searched = Searched {
        upstream: upstream.name.clone(),
        message_id: kept.label.message_id.clone(),
        subject: kept.label.subject.clone().filter(|_| state.config.log.subject),
    };
    let message = NewMessage {
        queue_id,
        kind: MessageKind::Submitted,
        priority: ruling.ruled.priority.unwrap_or(Priority::Normal),
        limit_wait: state.limit_waits.of(&lane, state.timeline.now()),
        lane,
        delay: std::time::Duration::ZERO,
        reverse_path: ruling.reverse_path,
        sender: ruling.sender,
        body: kept.body,
        smtputf8: kept.smtputf8 || recipients.iter().any(|recipient| !recipient.address.is_ascii()),
        request: kept.request.clone(),
        client: ClientInfo { address: CONTROL.into(), listener: CONTROL.into(), ..ClientInfo::default() },
        held: test.held,
        label: kept.label.clone(),
        recipients,
        decisions: Decisions { test: test.treatment, upstream: ruling.upstream, ruled: ruling.ruled },
        content,
    };
    Ok((message, searched))
}

/// The content, as the new message's own.
async fn copied(state: &ApiState, kept: &KeptMessage, queue_id: &QueueId) -> Result<Content, ApiError> {
    let unreadable = |error: ContentError| ApiError::Conflict(format!("{}: {error}", kept.queue_id));
    if kept.content.octets().is_some() {
        return Ok(Content::memory(kept.content.read().await.map_err(unreadable)?));
    }
    let mut upload = state.store.upload(queue_id);
    let mut copied = 0;
    loop {
        let block = kept.content.block(copied, BLOCK).await.map_err(unreadable)?;
        if block.is_empty() {
            break;
        }
        copied += block.len() as u64;
        upload.write(block).await?;
    }
    let content = upload.finish().await?;
    kept.content.ensure_same(&content).map_err(unreadable)?;
    Ok(content)
}
