//! The queue: look at it, try again, delete.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{self, Path, Query};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde::Deserialize;
use tokio::time::timeout;

use super::SETTLE_TIMEOUT;
use crate::control::view::{DEFAULT_LIMIT, Done, MAX_LIMIT, Message, MessageDetail, Retried};
use crate::control::{ApiError, State};
use crate::mail::QueueId;
use crate::queue::UpstreamStatus;
use crate::store::{ListFilter, MessageState, StoreError, Summary};

type IdPath = Result<Path<String>, PathRejection>;

/// Which messages to show.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    upstream: Option<String>,
    state: Option<String>,
    sender: Option<String>,
    recipient: Option<String>,
    limit: Option<u32>,
}

impl ListQuery {
    fn filter(self) -> Result<ListFilter, ApiError> {
        let state = match self.state {
            Some(name) => {
                let known = MessageState::ALL.into_iter().find(|s| s.name() == name);
                Some(known.ok_or_else(|| {
                    ApiError::BadRequest("unknown state: write ready, deferred, held or sending".to_owned())
                })?)
            }
            None => None,
        };
        Ok(ListFilter {
            upstream: self.upstream,
            state,
            sender: self.sender.map(|s| s.to_lowercase()),
            recipient: self.recipient.map(|r| r.to_lowercase()),
            limit: self.limit.map_or(DEFAULT_LIMIT, u64::from).min(MAX_LIMIT) as u32,
        })
    }
}

pub(super) async fn list(
    extract::State(state): extract::State<State>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Vec<Message>>, ApiError> {
    let filter = query?.0.filter()?;
    let board = state.board.snapshot();
    let messages = state.store.list(filter).await?;
    Ok(Json(messages.iter().map(|m| Message::new(m, status_of(&board, m), &state.timeline)).collect()))
}

pub(super) async fn show(
    extract::State(state): extract::State<State>,
    id: IdPath,
) -> Result<Json<MessageDetail>, ApiError> {
    let message = find(&state, &QueueId::parse(&id?)?).await?;
    let board = state.board.snapshot();
    Ok(Json(MessageDetail::new(&message, status_of(&board, &message), &state.timeline)))
}

pub(super) async fn content(
    extract::State(state): extract::State<State>,
    id: IdPath,
) -> Result<impl IntoResponse, ApiError> {
    let id = QueueId::parse(&id?)?;
    let content = state.store.content(id.clone()).await?.ok_or_else(|| unknown(&id))?;
    Ok(([(CONTENT_TYPE, "message/rfc822")], content))
}

pub(super) async fn retry(
    extract::State(state): extract::State<State>,
    id: IdPath,
) -> Result<Json<Done>, ApiError> {
    let id = QueueId::parse(&id?)?;
    let message = find(&state, &id).await?;
    if message.state == MessageState::Held {
        return Err(ApiError::Conflict(format!("{id} is held: a retry does not release it")));
    }
    let due = settled(&id, state.store.retry(Some(id.clone()), state.timeline.now())).await?;
    state.wake.retry(&message.route);
    let outcome = if due == 0 { "gone" } else { "due" };
    if due > 0 {
        tracing::info!(event = "retried", queue_id = %id, from = message.reverse_path, upstream = message.route);
    }
    Ok(Json(Done { queue_id: id.to_string(), outcome: outcome.to_owned() }))
}

pub(super) async fn retry_all(
    extract::State(state): extract::State<State>,
) -> Result<Json<Retried>, ApiError> {
    let messages = state.store.retry(None, state.timeline.now()).await?;
    state.wake.retry_all();
    tracing::info!(event = "retried", messages);
    Ok(Json(Retried { messages }))
}

pub(super) async fn delete(
    extract::State(state): extract::State<State>,
    id: IdPath,
) -> Result<Json<Done>, ApiError> {
    let id = QueueId::parse(&id?)?;
    find(&state, &id).await?;
    let deleted = settled(&id, state.store.delete(id.clone())).await?;
    let outcome = match deleted {
        Some(message) => {
            let recipients = message.recipients.len();
            tracing::info!(event = "deleted", queue_id = %id, from = message.reverse_path, recipients);
            "deleted"
        }
        None => "gone",
    };
    Ok(Json(Done { queue_id: id.to_string(), outcome: outcome.to_owned() }))
}

/// Waits, within bounds, for a message that is being sent.
async fn settled<T>(id: &QueueId, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, ApiError> {
    const WAIT: Duration = SETTLE_TIMEOUT;
    match timeout(WAIT, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(ApiError::Conflict(format!(
            "{id} is still being sent after {} s: try again later",
            WAIT.as_secs()
        ))),
    }
}

async fn find(state: &State, id: &QueueId) -> Result<Summary, ApiError> {
    state.store.show(id.clone()).await?.ok_or_else(|| unknown(id))
}

fn unknown(id: &QueueId) -> ApiError {
    ApiError::NotFound(format!("{id} is not in the queue: `mailsluice queue list` shows what is"))
}

fn status_of<'a>(board: &'a [UpstreamStatus], message: &Summary) -> Option<&'a UpstreamStatus> {
    board.iter().find(|status| status.name == message.route)
}
