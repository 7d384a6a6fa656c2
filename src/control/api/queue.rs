//! The queue: look at it, try again, delete.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{self, Path, Query};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde::Deserialize;
use tokio::time::timeout;

use super::limits::must_exist;
use super::upstreams::enabling;
use crate::config::TestAction;
use crate::control::view::{
    DEFAULT_LIMIT, Done, DoneOutcome, MAX_LIMIT, MessageDetail, MessageJson, Release, Retried, WaitSources,
};
use crate::control::{ApiError, ApiState};
use crate::lane::LaneStatus;
use crate::mail::{Address, MessageLabel, QueueId};
use crate::store::{Decisions, ListFilter, MessageState, RecipientState, StoreError, Summary, TestTreatment};

/// How long a message that is being sent is waited for.
const SETTLE_TIMEOUT: Duration = Duration::from_mins(1);

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
            sender: self.sender,
            recipient: self.recipient,
            limit: self.limit.map_or(DEFAULT_LIMIT, u64::from).min(MAX_LIMIT) as u32,
        })
    }
}

pub(super) async fn list(
    extract::State(state): extract::State<ApiState>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Vec<MessageJson>>, ApiError> {
    let filter = query?.0.filter()?;
    let lanes = state.statuses.snapshot();
    let upstream = filter.upstream.clone();
    let messages = state.store.list(filter).await?;
    // One that has left the configuration may have left mail behind.
    if let Some(name) = upstream.filter(|_| messages.is_empty()) {
        must_exist(&state, &name)?;
    }
    let etas = state.estimate.of_all(&messages).await?;
    let line = |message: &Summary| {
        let eta = etas.get(&message.id).copied();
        MessageJson::new(message, status_of(&lanes, message), eta, &state.timeline)
    };
    Ok(Json(messages.iter().map(line).collect()))
}

pub(super) async fn show(
    extract::State(state): extract::State<ApiState>,
    id: IdPath,
) -> Result<Json<MessageDetail>, ApiError> {
    let message = find(&state, &QueueId::parse(&id?)?).await?;
    let eta = state.estimate.of(&message).await?;
    let lane = state.statuses.of(&message.lane);
    let sources = WaitSources {
        summary: &message,
        lane: lane.as_ref(),
        accounts: &state.accounts.lane_view(&message.lane).await?,
        enable: &enabling(&state, message.lane.upstream()),
        timeline: &state.timeline,
    };
    // It may have left since it was found.
    let content = state.store.content(message.queue_id.clone()).await?.unwrap_or_default();
    Ok(Json(MessageDetail::new(&sources, MessageLabel::of(&content), eta)))
}

pub(super) async fn content(
    extract::State(state): extract::State<ApiState>,
    id: IdPath,
) -> Result<impl IntoResponse, ApiError> {
    let id = QueueId::parse(&id?)?;
    let content = state.store.content(id.clone()).await?.ok_or_else(|| unknown(&id))?;
    Ok(([(CONTENT_TYPE, "message/rfc822")], content))
}

pub(super) async fn retry(
    extract::State(state): extract::State<ApiState>,
    id: IdPath,
) -> Result<Json<Done>, ApiError> {
    let id = QueueId::parse(&id?)?;
    let message = find(&state, &id).await?;
    if message.state == MessageState::Held {
        return Err(ApiError::Conflict(format!("{id} is held: a retry does not release it")));
    }
    let lane = settled(&id, state.store.retry(id.clone())).await?;
    let outcome = if lane.is_none() { DoneOutcome::Gone } else { DoneOutcome::Due };
    if let Some(lane) = lane {
        state.wakeups.retry(&lane);
        tracing::info!(event = "retried", queue_id = %id, from = message.reverse_path, upstream = lane.upstream());
    }
    Ok(Json(Done { queue_id: id.to_string(), outcome }))
}

pub(super) async fn retry_all(
    extract::State(state): extract::State<ApiState>,
) -> Result<Json<Retried>, ApiError> {
    let messages = state.store.retry_all().await?;
    state.wakeups.retry_all();
    tracing::info!(event = "retried", messages);
    Ok(Json(Retried { messages }))
}

pub(super) async fn hold(
    extract::State(state): extract::State<ApiState>,
    id: IdPath,
) -> Result<Json<Done>, ApiError> {
    let id = QueueId::parse(&id?)?;
    find(&state, &id).await?;
    let held = settled(&id, state.store.hold(id.clone())).await?;
    if held {
        tracing::info!(event = "held", queue_id = %id, reason = "by a person");
    }
    let outcome = if held { DoneOutcome::Held } else { DoneOutcome::Gone };
    Ok(Json(Done { queue_id: id.to_string(), outcome }))
}

pub(super) async fn release(
    extract::State(state): extract::State<ApiState>,
    id: IdPath,
    release: Result<Json<Release>, JsonRejection>,
) -> Result<Json<Done>, ApiError> {
    let id = QueueId::parse(&id?)?;
    let message = find(&state, &id).await?;
    let test = released_test(&state, &message, &release?.0)?;
    let decisions = Decisions { test: test.clone(), ..message.decisions.clone() };
    let lane = state.store.release(id.clone(), decisions).await?;
    let lane =
        lane.ok_or_else(|| ApiError::Conflict(format!("{id} is not held: there is nothing to release")))?;
    let to = test.as_ref().and_then(|test| test.address.as_ref()).map(ToString::to_string);
    tracing::info!(event = "released", queue_id = %id, to, reason = "by a person");
    state.wakeups.wake(&lane);
    Ok(Json(Done { queue_id: id.to_string(), outcome: DoneOutcome::Released }))
}

/// How a released message is treated. One that was accepted to be redirected is never sent to its recipients.
fn released_test(
    state: &ApiState,
    message: &Summary,
    Release { to, confirmed }: &Release,
) -> Result<Option<TestTreatment>, ApiError> {
    let redirected = message.decisions.test.as_ref().filter(|test| test.action == TestAction::Redirect);
    match (to.as_str(), redirected) {
        ("recipients", None) => Ok(None),
        ("recipients", Some(_)) => {
            let why = "it was accepted in test mode with redirect, and never goes to its recipients";
            Err(ApiError::Conflict(format!("{}: {why}: release it to test, or delete it", message.queue_id)))
        }
        ("test", Some(test)) => Ok(Some(test.clone())),
        ("test", None) => {
            let address = state.test_mode.state().address.ok_or_else(|| {
                let what =
                    "there is no test address: set `address` in [test_mode], or say `test-mode on --address`";
                ApiError::Conflict(what.to_owned())
            })?;
            if message.decisions.test.is_none() && !confirmed {
                return Err(ApiError::Conflict(unconfirmed(message, &address)));
            }
            Ok(Some(TestTreatment { action: TestAction::Redirect, address: Some(address) }))
        }
        _ => Err(ApiError::BadRequest("release where to: write test or recipients".to_owned())),
    }
}

/// Why mail that is no test does not go to the test address without further words.
fn unconfirmed(message: &Summary, test: &Address) -> String {
    let waiting =
        message.recipients.iter().filter(|recipient| recipient.state == RecipientState::Waiting).count();
    let who = if waiting == 1 {
        "its recipient never gets".to_owned()
    } else {
        format!("its {waiting} recipients never get")
    };
    let id = &message.queue_id;
    format!("{id} was not accepted in test mode: released to {test}, {who} it; say --yes if that is meant")
}

pub(super) async fn delete(
    extract::State(state): extract::State<ApiState>,
    id: IdPath,
) -> Result<Json<Done>, ApiError> {
    let id = QueueId::parse(&id?)?;
    find(&state, &id).await?;
    let deleted = settled(&id, state.store.delete(id.clone())).await?;
    let outcome = match deleted {
        Some(message) => {
            let recipients = message.recipients.len();
            tracing::info!(event = "deleted", queue_id = %id, from = message.reverse_path, recipients);
            DoneOutcome::Deleted
        }
        None => DoneOutcome::Gone,
    };
    Ok(Json(Done { queue_id: id.to_string(), outcome }))
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

async fn find(state: &ApiState, id: &QueueId) -> Result<Summary, ApiError> {
    state.store.show(id.clone()).await?.ok_or_else(|| unknown(id))
}

fn unknown(id: &QueueId) -> ApiError {
    ApiError::NotFound(format!("{id} is not in the queue: `mailsluice queue list` shows what is"))
}

fn status_of<'a>(lanes: &'a [LaneStatus], message: &Summary) -> Option<&'a LaneStatus> {
    let place = lanes.binary_search_by(|status| status.lane.cmp(&message.lane)).ok()?;
    lanes.get(place)
}
