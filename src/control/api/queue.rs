//! The queue: look at it, try again, delete.

use std::collections::HashMap;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{self, Path, Query};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde::Deserialize;
use tokio::time::timeout;

use super::limits::must_exist;
use super::upstreams::enabling;
use crate::account::AccountView;
use crate::control::view::{
    DEFAULT_LIMIT, Done, DoneOutcome, MAX_LIMIT, MessageDetail, MessageJson, Retried, WaitJson, WaitSources,
};
use crate::control::{ApiError, ApiState};
use crate::lane::{LaneState, LaneStatus};
use crate::mail::{Address, MessageLabel, QueueId, header};
use crate::store::{LaneName, ListFilter, MessageState, StoreError, Summary};

/// How long a message that is being sent is waited for.
const SETTLE_TIMEOUT: Duration = Duration::from_mins(1);

/// Header sections are hardly ever longer, in octets.
const USUAL_HEADER: u64 = 64 << 10;
/// No more is read for Message-ID and subject: twice what is accepted, for our own fields and for folding.
const LONGEST_HEADER: u64 = 2 << 20;

pub(super) type IdPath = Result<Path<String>, PathRejection>;

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
        let Self { upstream, state, sender, recipient, limit } = self;
        let filter = list_filter(upstream, state.as_deref(), sender.as_deref(), recipient.as_deref())?;
        Ok(ListFilter { limit: limit.map_or(DEFAULT_LIMIT, u64::from).min(MAX_LIMIT) as u32, ..filter })
    }
}

/// Which messages are meant, however many.
pub(super) fn list_filter(
    upstream: Option<String>,
    state: Option<&str>,
    sender: Option<&str>,
    recipient: Option<&str>,
) -> Result<ListFilter, ApiError> {
    let unknown = || ApiError::BadRequest("unknown state: write ready, deferred, held or sending".to_owned());
    let known =
        |name: &str| MessageState::ALL.into_iter().find(|state| state.name() == name).ok_or_else(unknown);
    Ok(ListFilter {
        upstream,
        state: state.map(known).transpose()?,
        sender: sender.map(sender_filter).transpose()?,
        recipient: recipient.map(address_filter).transpose()?,
        limit: u32::MAX,
    })
}

/// An address; `<>` or nothing is the null reverse-path of reports.
fn sender_filter(text: &str) -> Result<String, ApiError> {
    if text.is_empty() || text == "<>" { Ok(String::new()) } else { address_filter(text) }
}

fn address_filter(text: &str) -> Result<String, ApiError> {
    match Address::parse(text) {
        Ok(address) => Ok(address.to_string()),
        Err(error) => Err(ApiError::BadRequest(format!("{text} is no address: {error}"))),
    }
}

pub(super) async fn list(
    extract::State(state): extract::State<ApiState>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Vec<MessageJson>>, ApiError> {
    let filter = query?.0.filter()?;
    let upstream = filter.upstream.clone();
    let messages = state.store.list(filter).await?;
    // One that has left the configuration may have left mail behind.
    if let Some(name) = upstream.filter(|_| messages.is_empty()) {
        must_exist(&state, &name)?;
    }
    let etas = state.estimate.of_all(&messages).await?;
    let mut lanes: HashMap<&LaneName, Option<LaneStatus>> = HashMap::new();
    for message in &messages {
        if !lanes.contains_key(&message.lane) {
            let (status, _) = lane_of(&state, &message.lane).await?;
            lanes.insert(&message.lane, status);
        }
    }
    let line = |message: &Summary| {
        let eta = etas.get(&message.id).copied();
        let lane = lanes.get(&message.lane).and_then(Option::as_ref);
        MessageJson::new(message, lane, eta, &state.timeline)
    };
    Ok(Json(messages.iter().map(line).collect()))
}

pub(super) async fn show(
    extract::State(state): extract::State<ApiState>,
    id: IdPath,
) -> Result<Json<MessageDetail>, ApiError> {
    let message = find(&state, &QueueId::parse(&id?)?).await?;
    let eta = state.estimate.of(&message).await?;
    let (lane, accounts) = lane_of(&state, &message.lane).await?;
    let enable = enabling(message.lane.upstream());
    let sources = sources(&state, &message, (lane.as_ref(), &accounts), &enable);
    let label = label(&state, &message.queue_id).await?;
    Ok(Json(MessageDetail::new(&sources, &label, eta)))
}

/// By what a person knows a message again. Of its content no more is read than the header section.
async fn label(state: &ApiState, queue_id: &QueueId) -> Result<MessageLabel, ApiError> {
    let mut octets = Vec::new();
    for most in [USUAL_HEADER, LONGEST_HEADER] {
        // It may have left since it was found.
        octets = state.store.beginning(queue_id.clone(), most).await?.unwrap_or_default();
        if header::end(&octets).is_some() {
            break;
        }
    }
    Ok(MessageLabel::of(&octets))
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
        let held = waits_though_due(&state, &message).await?.pop();
        let release = held.and_then(|held| held.action).unwrap_or_default();
        return Err(ApiError::Conflict(format!(
            "{id} is held: a retry does not release it; say `{release}`"
        )));
    }
    let lane = settled(&id, state.store.retry(id.clone())).await?;
    let outcome = if lane.is_none() { DoneOutcome::Gone } else { DoneOutcome::Due };
    if let Some(lane) = lane {
        state.wakeups.retry(&lane);
        tracing::info!(event = "retried", queue_id = %id, from = message.reverse_path, upstream = lane.upstream());
    }
    let mut done = Done::new(&id, outcome);
    // It may have gone already.
    if let Some(message) = state.store.show(id).await? {
        done.waits = waits_though_due(&state, &message).await?;
    }
    Ok(Json(done))
}

async fn waits_though_due(state: &ApiState, message: &Summary) -> Result<Vec<WaitJson>, ApiError> {
    let (lane, accounts) = lane_of(state, &message.lane).await?;
    let enable = enabling(message.lane.upstream());
    Ok(sources(state, message, (lane.as_ref(), &accounts), &enable).waits_though_due())
}

pub(super) async fn retry_all(
    extract::State(state): extract::State<ApiState>,
) -> Result<Json<Retried>, ApiError> {
    // Whoever has asked may go: what is due by then must be known to its lanes all the same.
    let retrying = tokio::spawn({
        let (store, wakeups) = (state.store.clone(), state.wakeups.clone());
        async move {
            let retried = store.retry_all().await;
            wakeups.retry_all();
            retried
        }
    });
    let messages = retrying.await.map_err(|_| StoreError::Closed)??;
    tracing::info!(event = "retried", messages);
    let lanes = state.statuses.snapshot();
    let waiting = lanes.iter().filter(|status| state.store.lane_load(&status.lane).messages > 0);
    let mut upstreams: Vec<_> = waiting.map(|status| status.lane.upstream().to_owned()).collect();
    upstreams.dedup();
    Ok(Json(Retried { messages, upstreams }))
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
    Ok(Json(Done::new(&id, outcome)))
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
    Ok(Json(Done::new(&id, outcome)))
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

pub(super) async fn find(state: &ApiState, id: &QueueId) -> Result<Summary, ApiError> {
    state.store.show(id.clone()).await?.ok_or_else(|| unknown(id))
}

fn unknown(id: &QueueId) -> ApiError {
    ApiError::NotFound(format!("{id} is not in the queue: `mailsluice queue list` shows what is"))
}

/// How a lane is, and the accounts that serve it. A lane in which nothing is due does not look at what its accounts can do:
/// what is in the way of all of them is in its way.
async fn lane_of(
    state: &ApiState,
    name: &LaneName,
) -> Result<(Option<LaneStatus>, Vec<AccountView>), ApiError> {
    let said = state.statuses.of(name);
    let Some(view) = state.accounts.lane_view(name).await? else { return Ok((said, Vec::new())) };
    let stands_in = said.as_ref().is_some_and(|lane| lane.via.is_some());
    let lane = match view.state {
        LaneState::Up => said,
        _ if stands_in => said,
        obstacle => Some(LaneStatus { lane: name.clone(), state: obstacle, via: None }),
    };
    Ok((lane, view.accounts))
}

fn sources<'a>(
    state: &'a ApiState,
    summary: &'a Summary,
    (lane, accounts): (Option<&'a LaneStatus>, &'a [AccountView]),
    enable: &'a str,
) -> WaitSources<'a> {
    WaitSources { summary, lane, accounts, enable, timeline: &state.timeline }
}
