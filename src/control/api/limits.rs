//! The limits: what is used, and the manual reset.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{self, Query};
use serde::Deserialize;

use crate::config::Window;
use crate::control::view::{Limit, LimitReset};
use crate::control::{ApiError, State};

/// Whose limits; all when absent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShowQuery {
    upstream: Option<String>,
}

pub(super) async fn show(
    extract::State(state): extract::State<State>,
    query: Result<Query<ShowQuery>, QueryRejection>,
) -> Result<Json<Vec<Limit>>, ApiError> {
    let wanted = query?.0.upstream;
    if let Some(name) = &wanted {
        must_exist(&state, name)?;
    }
    Ok(Json(limits_of(&state, wanted.as_deref())))
}

pub(super) async fn reset(
    extract::State(state): extract::State<State>,
    reset: Result<Json<LimitReset>, JsonRejection>,
) -> Result<Json<Vec<Limit>>, ApiError> {
    let Json(LimitReset { upstream, windows }) = reset?;
    must_exist(&state, &upstream)?;
    let windows = if windows.is_empty() { Window::ALL.to_vec() } else { parse(&windows)? };
    // First what lasts: if that fails, what is in force stays in force.
    state.store.reset_usage(upstream.clone(), windows.clone()).await?;
    state.throttle.reset(&upstream, &windows);
    state.wake.wake_all();
    let names: Vec<_> = windows.iter().map(|w| w.name()).collect();
    tracing::info!(event = "limit_reset", upstream, windows = names.join(","));
    Ok(Json(limits_of(&state, Some(&upstream))))
}

fn limits_of(state: &State, upstream: Option<&str>) -> Vec<Limit> {
    let lines = state.throttle.show(state.timeline.now()).into_iter();
    lines
        .filter(|line| upstream.is_none_or(|name| line.upstream == name))
        .map(|line| Limit::new(line, &state.timeline))
        .collect()
}

fn parse(names: &[String]) -> Result<Vec<Window>, ApiError> {
    let wrong = || ApiError::BadRequest("unknown window: write minute, hour, day or week".to_owned());
    names.iter().map(|name| Window::from_name(name).ok_or_else(wrong)).collect()
}

fn must_exist(state: &State, upstream: &str) -> Result<(), ApiError> {
    let mut names = state.config.upstreams.iter().map(|u| u.name.as_str());
    if names.any(|name| name == upstream) {
        return Ok(());
    }
    let known: Vec<_> = state.config.upstreams.iter().map(|u| u.name.as_str()).collect();
    Err(ApiError::NotFound(format!("there is no upstream {upstream}: there is {}", known.join(", "))))
}
