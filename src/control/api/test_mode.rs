//! Test mode: how it is, and the switch.

use axum::Json;
use axum::extract;
use axum::extract::rejection::JsonRejection;

use crate::control::view::{TestModeChange, TestModeJson};
use crate::control::{ApiError, ApiState};
use crate::mail::Address;
use crate::policy::test_mode::{TestState, action_from_name, users_in_test};

pub(super) async fn show(
    extract::State(state): extract::State<ApiState>,
) -> Result<Json<TestModeJson>, ApiError> {
    Ok(Json(describe(&state, state.test_mode.state()).await?))
}

/// A state of test mode, with all that a person wants to know of it.
pub(super) async fn describe(state: &ApiState, now: TestState) -> Result<TestModeJson, ApiError> {
    let users = users_in_test(&state.config.users).map(str::to_owned).collect();
    Ok(TestModeJson::new(now, users, state.store.test_mode_counts().await?))
}

pub(super) async fn set(
    extract::State(state): extract::State<ApiState>,
    change: Result<Json<TestModeChange>, JsonRejection>,
) -> Result<Json<TestModeJson>, ApiError> {
    let Json(change) = change?;
    let unknown = || ApiError::BadRequest("unknown action: write redirect, hold or capture".to_owned());
    let action =
        change.action.as_deref().map(|name| action_from_name(name).ok_or_else(unknown)).transpose()?;
    let address = change.address.as_deref().map(Address::parse).transpose()?;
    let set = state.test_mode.set(change.enabled, action, address).await?;
    Ok(Json(describe(&state, set).await?))
}
