//! The limits: what is used, and the manual reset.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{self, Query};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::config::Window;
use crate::control::view::{LimitJson, LimitReset};
use crate::control::{ApiError, ApiState};
use crate::limits::SHARED;
use crate::store::{StoreError, SuspensionKind};

/// Whose limits; all when absent.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ShowQuery {
    /// Of this upstream.
    upstream: Option<String>,
}

/// What is used of the limits, by account and window.
#[utoipa::path(
    get,
    path = "/limits",
    tag = "limits",
    params(ShowQuery),
    responses(
        (status = 200, description = "A line for each window", body = Vec<LimitJson>),
        (status = 404, description = "There is no such upstream"),
    )
)]
pub(super) async fn show(
    extract::State(state): extract::State<ApiState>,
    query: Result<Query<ShowQuery>, QueryRejection>,
) -> Result<Json<Vec<LimitJson>>, ApiError> {
    let wanted = query?.0.upstream;
    if let Some(name) = &wanted {
        must_exist(&state, name)?;
    }
    Ok(Json(limits_of(&state, wanted.as_deref()).await?))
}

/// Forgets what was counted, pauses by the provider's word and learned paces.
#[utoipa::path(
    post,
    path = "/limits/reset",
    tag = "limits",
    request_body = LimitReset,
    responses(
        (status = 200, description = "The limits as they are now", body = Vec<LimitJson>),
        (status = 404, description = "There is no such upstream"),
    )
)]
pub(super) async fn reset(
    extract::State(state): extract::State<ApiState>,
    reset: Result<Json<LimitReset>, JsonRejection>,
) -> Result<Json<Vec<LimitJson>>, ApiError> {
    let Json(LimitReset { upstream, windows }) = reset?;
    must_exist(&state, &upstream)?;
    let windows = parse(&windows)?;
    // First what lasts: if that fails, what is in force stays in force.
    state.store.reset_usage(upstream.clone(), windows.clone()).await?;
    let pauses = state.accounts.resume(Some(&upstream), &[SuspensionKind::Paused]).await?;
    let pauses = pauses.into_iter().map(|(account, reason)| {
        (account.unwrap_or_else(|| SHARED.to_owned()), format!("a pause: {reason}"))
    });
    let forgotten: Vec<_> = pauses.chain(state.accounts.forget_limits(&upstream)).collect();
    state.wakeups.wake_all();
    let names: Vec<_> = windows.iter().map(ToString::to_string).collect();
    let names = if names.is_empty() { "all".to_owned() } else { names.join(",") };
    tracing::info!(event = "limit_reset", upstream, windows = names);
    for (account, what) in forgotten {
        tracing::info!(event = "limit_reset", upstream, account, reason = format!("forgot {what}"));
    }
    Ok(Json(limits_of(&state, Some(&upstream)).await?))
}

/// The limits of an upstream, or of all.
pub(super) async fn limits_of(
    state: &ApiState,
    upstream: Option<&str>,
) -> Result<Vec<LimitJson>, StoreError> {
    let mut limits: Vec<LimitJson> = Vec::new();
    let mut names: Vec<&str> = state.config.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
    names.sort_unstable();
    for name in names.into_iter().filter(|name| upstream.is_none_or(|only| only == *name)) {
        let lines = state.accounts.limit_lines(name).await?;
        let mut lines: Vec<_> =
            lines.into_iter().map(|line| LimitJson::new(name, line, &state.timeline)).collect();
        // Each group once, with the first of its upstreams.
        let is_told = |group: &String| limits.iter().any(|told| told.limit_group.as_ref() == Some(group));
        lines.retain(|line| !line.limit_group.as_ref().is_some_and(is_told));
        limits.extend(lines);
    }
    Ok(limits)
}

fn parse(names: &[String]) -> Result<Vec<Window>, ApiError> {
    let wrong = || {
        ApiError::BadRequest(
            "unknown window: write minute, hour, day, week, or its length, such as 5m".to_owned(),
        )
    };
    names.iter().map(|name| Window::from_name(name).ok_or_else(wrong)).collect()
}

/// The upstream of that name.
pub(super) fn must_exist(state: &ApiState, upstream: &str) -> Result<(), ApiError> {
    let mut names = state.config.upstreams.iter().map(|u| u.name.as_str());
    if names.any(|name| name == upstream) {
        return Ok(());
    }
    let known: Vec<_> = state.config.upstreams.iter().map(|u| u.name.as_str()).collect();
    Err(ApiError::NotFound(format!("there is no upstream {upstream}: there is {}", known.join(", "))))
}
