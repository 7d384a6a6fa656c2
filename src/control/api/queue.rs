//! The queue: look at it, try again, delete.

use std::collections::HashMap;
use std::time::Duration;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{self, Path, Query};
use axum::http::header::LINK;
use axum::http::{HeaderMap, HeaderValue};
use axum::{Extension, Json};
use serde::Deserialize;
use tokio::time::timeout;
use url::form_urlencoded;
use utoipa::IntoParams;

use super::left;
use super::limits::must_exist;
use crate::account::AccountView;
use crate::account::enabling;
use crate::config::ApiRole;
use crate::control::access::Caller;
use crate::control::view::{
    DEFAULT_LIMIT, Done, DoneOutcome, MAX_LIMIT, MessageDetail, MessageJson, ROOT, Retried, WaitJson,
    WaitSources,
};
use crate::control::{ApiError, ApiState};
use crate::lane::{LaneState, LaneStatus};
use crate::mail::{Address, MessageLabel, QueueId, header};
use crate::metrics::{CountedLogin, CountedOutcome};
use crate::store::{LaneName, ListFilter, MessageId, MessageState, RecipientState, StoreError, Summary};

/// How long a message that is being sent is waited for.
const SETTLE_TIMEOUT: Duration = Duration::from_mins(1);

/// Header sections are hardly ever longer, in octets.
const USUAL_HEADER: u64 = 64 << 10;
/// No more is read for Message-ID and subject: twice what is accepted, for our own fields and for folding.
const LONGEST_HEADER: u64 = 2 << 20;

pub(super) type IdPath = Result<Path<String>, PathRejection>;

/// Which messages to show.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// Of this upstream.
    upstream: Option<String>,
    /// In this state.
    #[param(pattern = "^(ready|deferred|held|sending)$")]
    state: Option<String>,
    /// From this sender: an address, or `<>`.
    sender: Option<String>,
    /// For this recipient: an address.
    recipient: Option<String>,
    /// Behind this message: what the `Link` of the page before names.
    after: Option<i64>,
    /// Messages at most [default: 10000].
    #[param(value_type = Option<u64>, maximum = 100_000)]
    limit: Option<u64>,
}

impl ListQuery {
    fn filter(self) -> Result<ListFilter, ApiError> {
        let Self { upstream, state, sender, recipient, after, limit } = self;
        let filter = list_filter(upstream, state.as_deref(), sender.as_deref(), recipient.as_deref())?;
        let limit = limit.unwrap_or(DEFAULT_LIMIT);
        if limit > MAX_LIMIT {
            return Err(ApiError::BadRequest(format!(
                "limit: at most {MAX_LIMIT}; `after` leads to the next page"
            )));
        }
        let limit = limit as u32;
        Ok(ListFilter { limit, after: after.map(MessageId), ..filter })
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
        after: None,
        limit: u32::MAX,
    })
}

/// An address; `<>` or nothing is the null reverse-path of reports.
pub(super) fn sender_filter(text: &str) -> Result<String, ApiError> {
    if text.is_empty() || text == "<>" { Ok(String::new()) } else { address_filter(text) }
}

pub(super) fn address_filter(text: &str) -> Result<String, ApiError> {
    match Address::parse(text) {
        Ok(address) => Ok(address.to_string()),
        Err(error) => Err(ApiError::BadRequest(format!("{text} is no address: {error}"))),
    }
}

/// What is in the queue, oldest first. A page that is full is followed by another one: `Link` with `rel="next"` has its target.
#[utoipa::path(
    get,
    path = "/queue",
    tag = "queue",
    params(ListQuery),
    responses(
        (
            status = 200,
            description = "The messages that fit",
            body = Vec<MessageJson>,
            headers(("Link" = String, description = "The next page, where there may be one (RFC 8288)"))
        ),
        (status = 404, description = "There is no such upstream"),
    )
)]
pub(super) async fn list(
    extract::State(state): extract::State<ApiState>,
    query: Result<Query<ListQuery>, QueryRejection>,
    extract::RawQuery(asked): extract::RawQuery,
) -> Result<(HeaderMap, Json<Vec<MessageJson>>), ApiError> {
    let filter = query?.0.filter()?;
    let (upstream, limit) = (filter.upstream.clone(), filter.limit as usize);
    let messages = state.store.list(filter).await?;
    // One that has left the configuration may have left mail behind.
    if let Some(name) = upstream.filter(|_| messages.is_empty()) {
        must_exist(&state, &name)?;
    }
    let next = messages.last().filter(|_| messages.len() == limit).map(|last| last.id);
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
    let fields =
        next.map(|MessageId(next)| link_to("queue", asked.as_deref(), &next.to_string())).unwrap_or_default();
    Ok((fields, Json(messages.iter().map(line).collect())))
}

/// The field that leads to the page behind an entry of a list: what was asked for, and behind which entry.
pub(super) fn link_to(list: &str, asked: Option<&str>, behind: &str) -> HeaderMap {
    let pairs = form_urlencoded::parse(asked.unwrap_or_default().as_bytes());
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(pairs.filter(|(name, _)| name != "after"));
    query.append_pair("after", behind);
    let target = format!("<{ROOT}/{list}?{}>; rel=\"next\"", query.finish());
    // What is encoded so is ASCII without control characters.
    HeaderValue::from_str(&target).map(|value| HeaderMap::from_iter([(LINK, value)])).unwrap_or_default()
}

/// All that is known about a message; of one that has left, what the history tells of it.
#[utoipa::path(
    get,
    path = "/queue/{id}",
    tag = "queue",
    params(("id" = String, Path, description = "A queue id")),
    responses((status = 200, description = "The message; without its subject for a viewer", body = MessageDetail))
)]
pub(super) async fn show(
    extract::State(state): extract::State<ApiState>,
    Extension(caller): Extension<Caller>,
    id: IdPath,
) -> Result<Json<MessageDetail>, ApiError> {
    let id = QueueId::parse(&id?)?;
    // The subject is content.
    let shown = |detail: MessageDetail| {
        let subject = detail.subject.clone().filter(|_| caller.role() == ApiRole::Admin);
        Json(MessageDetail { subject, ..detail })
    };
    let Some(message) = state.store.show(id.clone()).await? else {
        let left = left::detail(&*state.store, &id).await?;
        return left.map(shown).ok_or_else(|| ApiError::NotFound(left::unknown(&id)));
    };
    let eta = state.estimate.of(&message).await?;
    let (lane, accounts) = lane_of(&state, &message.lane).await?;
    let enable = enabling(message.lane.upstream());
    let sources = sources(&state, &message, (lane.as_ref(), &accounts), &enable);
    let label = label(&state, &message.queue_id).await?;
    Ok(shown(MessageDetail::new(&sources, &label, eta)))
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

/// Tries a message again now; one that is being sent is waited for.
#[utoipa::path(
    post,
    path = "/queue/{id}/retry",
    tag = "queue",
    params(("id" = String, Path, description = "A queue id")),
    responses(
        (status = 200, description = "What became of it", body = Done),
        (status = 409, description = "It is held, or still being sent"),
    )
)]
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
    let is_due = retry_one(&state, &message).await?;
    let mut done = Done::new(&id, if is_due { DoneOutcome::Due } else { DoneOutcome::Gone });
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

/// Tries all messages again now that wait for a retry.
#[utoipa::path(
    post,
    path = "/queue/retry",
    tag = "queue",
    responses((status = 200, description = "How many are due now", body = Retried))
)]
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

/// Keeps a message until it is released; one that is being sent is waited for.
#[utoipa::path(
    post,
    path = "/queue/{id}/hold",
    tag = "queue",
    params(("id" = String, Path, description = "A queue id")),
    responses(
        (status = 200, description = "What became of it", body = Done),
        (status = 409, description = "It is held, or still being sent"),
    )
)]
pub(super) async fn hold(
    extract::State(state): extract::State<ApiState>,
    id: IdPath,
) -> Result<Json<Done>, ApiError> {
    let id = QueueId::parse(&id?)?;
    find(&state, &id).await?;
    let held = hold_one(&state, &id).await?;
    let outcome = if held { DoneOutcome::Held } else { DoneOutcome::Gone };
    Ok(Json(Done::new(&id, outcome)))
}

/// Deletes a message for good, without a report; one that is being sent is waited for.
#[utoipa::path(
    delete,
    path = "/queue/{id}",
    tag = "queue",
    params(("id" = String, Path, description = "A queue id")),
    responses(
        (status = 200, description = "What became of it", body = Done),
        (status = 409, description = "It is still being sent"),
    )
)]
pub(super) async fn delete(
    extract::State(state): extract::State<ApiState>,
    id: IdPath,
) -> Result<Json<Done>, ApiError> {
    let id = QueueId::parse(&id?)?;
    find(&state, &id).await?;
    let deleted = delete_one(&state, &id).await?;
    let outcome = if deleted { DoneOutcome::Deleted } else { DoneOutcome::Gone };
    Ok(Json(Done::new(&id, outcome)))
}

/// Makes a message due; false when no such message waits any more.
pub(super) async fn retry_one(state: &ApiState, message: &Summary) -> Result<bool, ApiError> {
    let id = &message.queue_id;
    let Some(lane) = settled(id, state.store.retry(id.clone())).await? else { return Ok(false) };
    state.wakeups.retry(&lane);
    tracing::info!(event = "retried", queue_id = %id, from = message.reverse_path, upstream = lane.upstream());
    Ok(true)
}

/// Keeps a message; false when it has left.
pub(super) async fn hold_one(state: &ApiState, id: &QueueId) -> Result<bool, ApiError> {
    let held = settled(id, state.store.hold(id.clone())).await?;
    if held {
        tracing::info!(event = "held", queue_id = %id, reason = "by a person");
    }
    Ok(held)
}

/// Deletes a message; false when it has left.
pub(super) async fn delete_one(state: &ApiState, id: &QueueId) -> Result<bool, ApiError> {
    let deleted = settled(id, state.store.delete(id.clone())).await?;
    if let Some(message) = &deleted {
        let recipients = message.recipients.len();
        let waiting =
            message.recipients.iter().filter(|recipient| recipient.state == RecipientState::Waiting);
        let login = CountedLogin::of_upstream(message.lane.upstream());
        state.metrics.count(CountedOutcome::Deleted, login, waiting.count() as u64);
        tracing::info!(event = "deleted", queue_id = %id, from = message.reverse_path, recipients);
    }
    Ok(deleted.is_some())
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

pub(super) fn unknown(id: &QueueId) -> ApiError {
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
